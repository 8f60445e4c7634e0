/* WebSocketDoor: takes connections that begin as HTTP, makes WebSockets of them, and hands their
 * sockets on with a codec. On the main worker. Source: reference/protocol.md section 12. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "io/conn_codec.h"
#include "io/worker.h"

typedef struct WebSocketDoor WebSocketDoor;

typedef struct WebSocketDoorOptions {
    const char *host;
    int port; /* -1 = any */
    bool is_compressed, is_same_origin;
    const Slice *allowed_origins; /* URLs; none = all */
    size_t allowed_origin_count;
    const Slice *headers; /* of the response: name, value, name, value */
    size_t header_count;  /* slices, twice the pairs */
    uint64_t handshake_timeout_ns;
    size_t message_bytes_max; /* of a compressed message, inflated */
} WebSocketDoorOptions;

/* Takes fd and codec. */
typedef void WebSocketTaker(void *cookie, int fd, ConnCodec *codec);

/* What options point to must live on. ERR_IO: errno says why; ERR_NOT_FOUND: no such host. */
MUST_CHECK Status websocket_door_open(Worker *main, const WebSocketDoorOptions *options,
                                      WebSocketTaker *take, void *cookie, WebSocketDoor **out_door);
uint16_t websocket_door_port(const WebSocketDoor *door);
const char *websocket_door_host(const WebSocketDoor *door);
/* Stops listening and ends unfinished handshakes, in this turn and the next. In set-up, after
 * workers_join or on the main worker. NULL-safe. */
void websocket_door_close(WebSocketDoor *door);
