/* WebSocket: a server's side of a connection: frames <-> the bytes they carry (RFC 6455; framing is
 * wslay's), with permessage-deflate without context takeover (RFC 7692). Borders of frames and
 * messages mean nothing to who uses the bytes. Source: reference/protocol.md section 12. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

typedef struct WebSocket WebSocket;

typedef struct WebSocketOptions {
    bool is_compressed;  /* both sides agreed on permessage-deflate */
    bool takes_unmasked; /* the peer was told that it need not mask */
    size_t inflated_max; /* bytes of one compressed message, inflated */
} WebSocketOptions;

WebSocket *websocket_new(const WebSocketOptions *options);
/* NULL-safe. */
void websocket_free(WebSocket *socket);

/* Takes all of raw. What it carries is appended to plain, answers (pongs, the last words after an
 * error or a close) to reply. ERR_CLOSED: the peer closes. ERR_SYNTAX: it broke the rules,
 * *out_error says how. Neither is to be read from again; what came before stands in plain. */
MUST_CHECK Status websocket_read(WebSocket *socket, Slice raw, Buf *plain, Buf *reply,
                                 const char **out_error);

/* Appends one binary frame. */
void websocket_write(WebSocket *socket, Slice plain, Buf *out);

enum { WEBSOCKET_NORMAL = 1000, WEBSOCKET_VIOLATION = 1002 };
/* Appends a close frame; reason has at most 123 bytes. */
void websocket_write_close(WebSocket *socket, unsigned code, Slice reason, Buf *out);

/* The value of Sec-WebSocket-Accept for that of Sec-WebSocket-Key. ERR_SYNTAX: it is not a key. */
MUST_CHECK Status websocket_accept(Slice key, Buf *out);
