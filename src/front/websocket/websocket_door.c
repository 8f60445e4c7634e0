#include "front/websocket/websocket_door.h"

#include <llhttp/llhttp.h>

#include "base/log.h"
#include "base/mem.h"
#include "front/websocket/origin.h"
#include "front/websocket/websocket_codec.h"
#include "io/clock.h"
#include "io/conn.h"
#include "io/listener.h"

enum {
    HANDSHAKES_MAX = 4096,
    REQUEST_BYTES_MAX = 16 * 1024,
};

/* The headers that matter. */
enum {
    HEADER_HOST,
    HEADER_UPGRADE,
    HEADER_CONNECTION,
    HEADER_VERSION,
    HEADER_KEY,
    HEADER_EXTENSIONS,
    HEADER_ORIGIN,
    HEADER_NO_MASKING,
    HEADER_COUNT
};
static const char *const HEADER_NAMES[HEADER_COUNT] = {"Host",
                                                       "Upgrade",
                                                       "Connection",
                                                       "Sec-WebSocket-Version",
                                                       "Sec-WebSocket-Key",
                                                       "Sec-WebSocket-Extensions",
                                                       "Origin",
                                                       "Nats-No-Masking"};

struct WebSocketDoor {
    Worker *home;
    WebSocketDoorOptions options;
    Listener *listener;
    WebSocketTaker *take;
    void *cookie;
    List handshakes;
    size_t handshake_count;
    bool is_closing; /* freed with the last handshake */
};

typedef struct Handshake {
    Conn conn; /* first */
    WebSocketDoor *door;
    Link link;
    Timer timer;
    llhttp_t parser;
    size_t bytes;
    Buf name;
    Buf values[HEADER_COUNT];
    Buf *value; /* where the value being read goes; NULL: nowhere */
} Handshake;

static void on_accept(Listener *listener, int fd);
static int on_field(llhttp_t *parser, const char *at, size_t len);
static int on_field_end(llhttp_t *parser);
static int on_value(llhttp_t *parser, const char *at, size_t len);
static int on_message_complete(llhttp_t *parser);
static llhttp_settings_t settings;

Status websocket_door_open(Worker *main, const WebSocketDoorOptions *options, WebSocketTaker *take,
                           void *cookie, WebSocketDoor **out_door) {
    WebSocketDoor *door = mem_zalloc(sizeof *door);
    *door = (WebSocketDoor){.home = main, .options = *options, .take = take, .cookie = cookie};
    list_init(&door->handshakes);
    llhttp_settings_init(&settings);
    settings.on_header_field = on_field;
    settings.on_header_field_complete = on_field_end;
    settings.on_header_value = on_value;
    settings.on_message_complete = on_message_complete;
    Status status =
        listener_open(main, options->host, options->port, on_accept, door, &door->listener);
    if (status != OK) {
        mem_free(door);
        return status;
    }
    *out_door = door;
    return OK;
}

uint16_t websocket_door_port(const WebSocketDoor *door) {
    return listener_port(door->listener);
}

const char *websocket_door_host(const WebSocketDoor *door) {
    return listener_host(door->listener);
}

void websocket_door_close(WebSocketDoor *door) {
    if (door == NULL)
        return;
    listener_close(door->listener);
    LIST_FOR_EACH(link, &door->handshakes)
    conn_close(&CONTAINER_OF(link, Handshake, link)->conn, CONN_END_OURS);
    door->is_closing = true;
    if (door->handshake_count == 0)
        mem_free(door);
}

/* --- the request --- */

static int on_field(llhttp_t *parser, const char *at, size_t len) {
    Handshake *handshake = parser->data;
    handshake->value = NULL;
    buf_append_bytes(&handshake->name, at, len);
    return 0;
}

static int on_field_end(llhttp_t *parser) {
    Handshake *handshake = parser->data;
    for (size_t i = 0; i < HEADER_COUNT; i++)
        if (slice_equal_ignoring_case(buf_slice(&handshake->name), slice_of_text(HEADER_NAMES[i])))
            handshake->value = &handshake->values[i];
    if (handshake->value && handshake->value->len) /* said twice: the values are a list */
        buf_append_lit(handshake->value, ", ");
    buf_clear(&handshake->name);
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len) {
    Handshake *handshake = parser->data;
    if (handshake->value)
        buf_append_bytes(handshake->value, at, len);
    return 0;
}

static int on_message_complete(llhttp_t *parser) {
    (void)parser;
    return HPE_PAUSED;
}

static Slice header(const Handshake *handshake, unsigned which) {
    return buf_slice(&handshake->values[which]);
}

/* One of the values of a list, without regard to case; parameters behind ';' do not count. */
static bool has_token(Slice list, const char *token) {
    Slice piece;
    while (slice_cut(&list, ',', &piece))
        if (slice_equal_ignoring_case(slice_trim(slice_first(piece, slice_find(piece, ';'))),
                                      slice_of_text(token)))
            return true;
    return false;
}

/* --- the answer --- */

/* Others may not set what the handshake itself says. */
static void append_more_headers(const WebSocketDoorOptions *options, Buf *out) {
    for (size_t i = 0; i + 1 < options->header_count; i += 2)
        buf_printf(out, "%.*s: %.*s\r\n", SLICE_ARG(options->headers[i]),
                   SLICE_ARG(options->headers[i + 1]));
}

static void refuse(Handshake *handshake, unsigned status, const char *text, const char *why) {
    char ip[46] = "";
    uint16_t port = 0;
    (void)(conn_peer(&handshake->conn, ip, &port) == OK);
    LOG_ERR("websocket handshake error:", "%s:%u - %s", ip, port, why);
    Buf answer = {0};
    buf_printf(&answer,
               "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\n"
               "Content-Length: %zu\r\nConnection: close\r\n\r\n%s\n",
               status, text, strlen(text) + 1, text);
    conn_append(&handshake->conn, buf_slice(&answer));
    buf_done(&answer);
    conn_close_after_flush(&handshake->conn);
}

static void hand_over(Handshake *handshake, Slice accept) {
    WebSocketDoor *door = handshake->door;
    WebSocketOptions agreed = {
        .is_compressed = door->options.is_compressed &&
                         has_token(header(handshake, HEADER_EXTENSIONS), "permessage-deflate"),
        .takes_unmasked =
            slice_equal_ignoring_case(header(handshake, HEADER_NO_MASKING), LIT("true")),
        .inflated_max = door->options.message_bytes_max,
    };
    Buf answer = {0};
    buf_printf(&answer,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Accept: %.*s\r\n",
               SLICE_ARG(accept));
    if (agreed.is_compressed)
        buf_append_lit(&answer,
                       "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                       "client_no_context_takeover\r\n");
    if (agreed.takes_unmasked)
        buf_append_lit(&answer, "Nats-No-Masking: true\r\n");
    append_more_headers(&door->options, &answer);
    buf_append_lit(&answer, "\r\n");
    ConnCodec *codec = websocket_codec_new(&agreed, buf_slice(&answer));
    buf_done(&answer);
    door->take(door->cookie, conn_detach(&handshake->conn), codec);
}

/* Texts are the original's. */
static void answer(Handshake *handshake, bool has_more) {
    const WebSocketDoorOptions *options = &handshake->door->options;
    Slice same_host = options->is_same_origin ? header(handshake, HEADER_HOST) : (Slice){0};
    Buf accept = {0};
    if (handshake->parser.method != HTTP_GET)
        refuse(handshake, 405, "Method Not Allowed", "request method must be GET");
    else if (header(handshake, HEADER_HOST).len == 0)
        refuse(handshake, 400, "Bad Request", "'Host' missing in request");
    else if (!has_token(header(handshake, HEADER_UPGRADE), "websocket"))
        refuse(handshake, 400, "Bad Request", "invalid value for header 'Upgrade'");
    else if (!has_token(header(handshake, HEADER_CONNECTION), "Upgrade"))
        refuse(handshake, 400, "Bad Request", "invalid value for header 'Connection'");
    else if (!has_token(header(handshake, HEADER_VERSION), "13"))
        refuse(handshake, 400, "Bad Request", "invalid version");
    else if (websocket_accept(header(handshake, HEADER_KEY), &accept) != OK)
        refuse(handshake, 400, "Bad Request", "invalid websocket key");
    else if (!origin_is_allowed(header(handshake, HEADER_ORIGIN), same_host,
                                options->allowed_origins, options->allowed_origin_count))
        refuse(handshake, 403, "Forbidden", "origin not allowed");
    else if (has_more)
        refuse(handshake, 400, "Bad Request", "client sent data before handshake is complete");
    else
        hand_over(handshake, buf_slice(&accept));
    buf_done(&accept);
}

/* --- the connection --- */

static size_t on_data(Conn *conn, char *data, size_t len) {
    Handshake *handshake = CONTAINER_OF(conn, Handshake, conn);
    handshake->bytes += len;
    llhttp_errno_t result = llhttp_execute(&handshake->parser, data, len);
    if (result == HPE_OK && handshake->bytes <= REQUEST_BYTES_MAX)
        return len;
    if (result != HPE_PAUSED && result != HPE_PAUSED_UPGRADE) {
        refuse(handshake, 400, "Bad Request", "malformed request");
        return len;
    }
    answer(handshake, llhttp_get_error_pos(&handshake->parser) < data + len);
    return len;
}

static void on_drained(Conn *conn) {
    (void)conn;
}

static void on_closed(Conn *conn, ConnEnd end) {
    Handshake *handshake = CONTAINER_OF(conn, Handshake, conn);
    WebSocketDoor *door = handshake->door;
    (void)end;
    timer_cancel(door->home, &handshake->timer);
    list_remove(&handshake->link);
    buf_done(&handshake->name);
    for (size_t i = 0; i < HEADER_COUNT; i++)
        buf_done(&handshake->values[i]);
    mem_free(handshake);
    if (--door->handshake_count == 0 && door->is_closing)
        mem_free(door);
}

static void on_timeout(Timer *timer) {
    conn_close(&CONTAINER_OF(timer, Handshake, timer)->conn, CONN_END_OURS);
}

static void on_accept(Listener *listener, int fd) {
    static const ConnOps ops = {on_data, on_drained, on_closed};
    WebSocketDoor *door = listener_cookie(listener);
    Handshake *handshake = mem_zalloc(sizeof *handshake);
    handshake->door = door;
    llhttp_init(&handshake->parser, HTTP_REQUEST, &settings);
    handshake->parser.data = handshake;
    if (conn_open(&handshake->conn, door->home, fd, &ops) != OK) {
        mem_free(handshake);
        return;
    }
    timer_init(&handshake->timer, on_timeout);
    timer_set(door->home, &handshake->timer,
              door->home->now_ns + door->options.handshake_timeout_ns);
    list_push_back(&door->handshakes, &handshake->link);
    if (++door->handshake_count > HANDSHAKES_MAX)
        conn_close(&handshake->conn, CONN_END_OURS);
}
