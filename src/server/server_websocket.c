/* The door for WebSockets. */
#include <errno.h>

#include "base/limits.h"
#include "base/log.h"
#include "front/websocket/origin.h"
#include "io/clock.h"
#include "server/server_private.h"

#define HANDSHAKE_TIMEOUT_NS (2 * (uint64_t)NS_PER_S)

static void take(void *cookie, int fd, ConnCodec *codec) {
    Server *server = cookie;
    clients_accept_websocket(server->main->clients, fd, codec);
}

/* A reload frees the options; the door stays. */
static const Slice *keep_texts(Server *server, const TextList *list) {
    Slice *kept = arena_alloc(server->arena, (list->count + 1) * sizeof *kept);
    for (size_t i = 0; i < list->count; i++)
        kept[i] = arena_copy(server->arena, list->at[i]);
    return kept;
}

static bool are_origins_sound(const WebSocketServerOptions *options) {
    Origin origin;
    for (size_t i = 0; i < options->allowed_origins.count; i++)
        if (origin_parse(options->allowed_origins.at[i], &origin) != OK) {
            LOG_AT(LOG_FATAL, "unable to parse allowed origin:", "\"%.*s\"",
                   SLICE_ARG(options->allowed_origins.at[i]));
            return false;
        }
    return true;
}

Status server_open_websocket(Server *server) {
    const WebSocketServerOptions *options = &server->options->websocket;
    char reason[128];
    if (options->port == 0)
        return OK;
    if (!are_origins_sound(options))
        return ERR_SYNTAX;
    WebSocketDoorOptions door = {
        .host = arena_copy(server->arena, options->host).ptr,
        .port = (int)options->port,
        .is_compressed = options->is_compressed,
        .is_same_origin = options->is_same_origin,
        .allowed_origins = keep_texts(server, &options->allowed_origins),
        .allowed_origin_count = options->allowed_origins.count,
        .headers = keep_texts(server, &options->headers),
        .header_count = options->headers.count,
        .handshake_timeout_ns = options->handshake_timeout_ns > 0
                                    ? (uint64_t)options->handshake_timeout_ns
                                    : HANDSHAKE_TIMEOUT_NS,
        .message_bytes_max = LIMIT_PAYLOAD_BYTES + 1024 * 1024,
    };
    Status status = websocket_door_open(server->main, &door, take, server, &server->websocket);
    if (status != OK) {
        LOG_AT(LOG_FATAL, "Unable to listen for websocket connections:", "listen tcp %s:%d: %s",
               door.host, door.port,
               status == ERR_NOT_FOUND ? "no such host" : strerror_r(errno, reason, sizeof reason));
        return status;
    }
    server->facts.websocket_port = websocket_door_port(server->websocket);
    LOG_INFO("Listening for websocket clients on", "ws://%s:%u", door.host,
             server->facts.websocket_port);
    LOG_WARNING("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!", "%s", "");
    return OK;
}
