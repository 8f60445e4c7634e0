/* CloseReason: why a connection ended, with the texts that monitoring and advisories show. */
#pragma once

typedef enum CloseReason {
    CLOSE_NONE, /* still open */
    CLOSE_CLIENT,
    CLOSE_AUTH_TIMEOUT,
    CLOSE_AUTH_FAILURE,
    CLOSE_PENDING_BYTES,
    CLOSE_WRITE_DEADLINE,
    CLOSE_WRITE_ERROR,
    CLOSE_READ_ERROR,
    CLOSE_PARSE_ERROR,
    CLOSE_STALE,
    CLOSE_PROTOCOL_VIOLATION,
    CLOSE_BAD_PROTOCOL_VERSION,
    CLOSE_MAX_CONNECTIONS,
    CLOSE_MAX_ACCOUNT_CONNECTIONS,
    CLOSE_MAX_PAYLOAD,
    CLOSE_MAX_CONTROL_LINE,
    CLOSE_SHUTDOWN,
    CLOSE_NO_RESPONDERS_NEEDS_HEADERS,
    CLOSE_KICKED,
} CloseReason;

/* "Client Closed"; never NULL. */
const char *close_reason_text(CloseReason reason);
