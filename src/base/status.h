/* Status: what a function that can fail returns. OK is 0. Text for logs by status_text. */
#pragma once

typedef enum Status {
    OK = 0,
    ERR_AGAIN,     /* nothing to do now; try again when the cause went away */
    ERR_IO,        /* the OS refused: see errno at the place where it is handled */
    ERR_FULL,      /* a limit of base/limits.h or of the configuration is reached */
    ERR_MEMORY,    /* an allocation whose size a peer chose was refused */
    ERR_SYNTAX,    /* bytes from outside do not parse */
    ERR_RANGE,     /* a number is outside what is allowed */
    ERR_NOT_FOUND, /* no such thing */
    ERR_EXISTS,    /* there is one already */
    ERR_CLOSED,    /* the other side, or we, ended it */
    ERR_DENIED,    /* not permitted */
    ERR_CORRUPT,   /* a checksum, length or chain does not fit */
    ERR_VERSION,   /* written by a newer version or another server */
    ERR_BUSY,      /* somebody else holds it */
    ERR_UNSUPPORTED,
} Status;

#define MUST_CHECK __attribute__((warn_unused_result))

/* A word for the status, never NULL. */
const char *status_text(Status status);
