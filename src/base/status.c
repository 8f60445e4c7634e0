#include "base/status.h"

const char *status_text(Status status) {
    switch (status) {
    case OK:
        return "ok";
    case ERR_AGAIN:
        return "try again";
    case ERR_IO:
        return "input/output error";
    case ERR_FULL:
        return "limit reached";
    case ERR_MEMORY:
        return "out of memory";
    case ERR_SYNTAX:
        return "syntax error";
    case ERR_RANGE:
        return "out of range";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_EXISTS:
        return "exists already";
    case ERR_CLOSED:
        return "closed";
    case ERR_DENIED:
        return "denied";
    case ERR_CORRUPT:
        return "corrupt";
    case ERR_VERSION:
        return "unknown version";
    case ERR_BUSY:
        return "busy";
    case ERR_UNSUPPORTED:
        return "not supported";
    }
    return "unknown status";
}
