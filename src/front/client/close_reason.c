#include "front/client/close_reason.h"

static const char *const TEXTS[] = {
    [CLOSE_NONE] = "",
    [CLOSE_CLIENT] = "Client Closed",
    [CLOSE_AUTH_TIMEOUT] = "Authentication Timeout",
    [CLOSE_AUTH_FAILURE] = "Authentication Failure",
    [CLOSE_PENDING_BYTES] = "Slow Consumer (Pending Bytes)",
    [CLOSE_WRITE_DEADLINE] = "Slow Consumer (Write Deadline)",
    [CLOSE_WRITE_ERROR] = "Write Error",
    [CLOSE_READ_ERROR] = "Read Error",
    [CLOSE_PARSE_ERROR] = "Parse Error",
    [CLOSE_STALE] = "Stale Connection",
    [CLOSE_PROTOCOL_VIOLATION] = "Protocol Violation",
    [CLOSE_BAD_PROTOCOL_VERSION] = "Bad Client Protocol Version",
    [CLOSE_MAX_CONNECTIONS] = "Maximum Connections Exceeded",
    [CLOSE_MAX_ACCOUNT_CONNECTIONS] = "Maximum Account Connections Exceeded",
    [CLOSE_MAX_PAYLOAD] = "Maximum Message Payload Exceeded",
    [CLOSE_MAX_CONTROL_LINE] = "Maximum Control Line Exceeded",
    [CLOSE_SHUTDOWN] = "Server Shutdown",
    [CLOSE_NO_RESPONDERS_NEEDS_HEADERS] = "No Responders Requires Headers",
    [CLOSE_KICKED] = "Kicked",
};

const char *close_reason_text(CloseReason reason) {
    return TEXTS[reason];
}
