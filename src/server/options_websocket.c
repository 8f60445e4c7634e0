/* The websocket block. */
#include "server/directive.h"

#define ROW(name, kind, member, field)                                                             \
    { name, DIRECTIVE_##kind, offsetof(WebSocketServerOptions, member), 0, 0, NULL, field, 0 }
#define REFUSED(name)                                                                              \
    { name, DIRECTIVE_REFUSED, 0, 0, 0, NULL, NULL, 0 }

static DirectiveHandler read_listen, read_headers;

static const Directive rows[] = {
    {"listen", DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(WebSocketServerOptions, host), 0, 0,
     read_listen, "Websocket.Host", DIRECTIVE_TEXT},
    ROW("host|net", TEXT, host, "Websocket.Host"),
    {"port", DIRECTIVE_INT, offsetof(WebSocketServerOptions, port), -1, 65535, NULL,
     "Websocket.Port", 0},
    ROW("advertise", TEXT, advertise, "Websocket.Advertise"),
    ROW("no_tls", BOOL, is_without_tls, "Websocket.NoTLS"),
    ROW("same_origin", BOOL, is_same_origin, "Websocket.SameOrigin"),
    ROW("allowed_origins|allowed_origin|allow_origins|allow_origin|origins|origin", TEXTS,
        allowed_origins, "Websocket.AllowedOrigins"),
    ROW("handshake_timeout", DURATION_TEXT, handshake_timeout_ns, "Websocket.HandshakeTimeout"),
    ROW("compress|compression", BOOL, is_compressed, "Websocket.Compression"),
    {"headers", DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(WebSocketServerOptions, headers), 0, 0,
     read_headers, "Websocket.Headers", DIRECTIVE_TEXTS},
    ROW("ping_interval", DURATION, ping_interval_ns, "Websocket.PingInterval"),
    REFUSED("tls"),
    REFUSED("authorization|authentication"),
    REFUSED("no_auth_user"),
    REFUSED("jwt_cookie"),
    REFUSED("user_cookie"),
    REFUSED("pass_cookie"),
    REFUSED("token_cookie"),
};

DirectiveTable options_websocket_table(void) {
    return DIRECTIVE_TABLE(rows);
}

static void read_listen(OptionsReader *reader, const ConfValue *value, void *target) {
    WebSocketServerOptions *websocket = &reader->options->websocket;
    Slice host;
    int64_t port;
    (void)target;
    if (!reader_address(reader, value, &host, &port))
        return;
    websocket->host = host;
    websocket->port = port;
}

/* What the handshake says itself cannot be set. */
static void read_headers(OptionsReader *reader, const ConfValue *value, void *target) {
    static const char *const own[] = {"Upgrade", "Connection"};
    TextPairs *pairs = target;
    if (!reader_pairs(reader, value, pairs))
        return;
    for (size_t i = 0; i < pairs->count; i += 2) {
        Slice name = pairs->at[i];
        bool is_own = slice_equal_ignoring_case(slice_first(name, 14), LIT("Sec-WebSocket-"));
        if (is_own)
            reader_fail(reader, value,
                        "websocket: invalid header \"%.*s\", \"Sec-WebSocket-\" prefix not allowed",
                        SLICE_ARG(name));
        for (size_t k = 0; k < sizeof own / sizeof own[0]; k++)
            if (slice_equal_ignoring_case(name, slice_of_text(own[k])))
                reader_fail(reader, value, "websocket: invalid header \"%.*s\" not allowed",
                            SLICE_ARG(name));
        for (size_t k = i; k < i + 2; k++)
            if (slice_find(pairs->at[k], '\r') < pairs->at[k].len ||
                slice_find(pairs->at[k], '\n') < pairs->at[k].len)
                reader_fail(reader, value, "websocket: header \"%.*s\" has a line break",
                            SLICE_ARG(name));
    }
}

void read_websocket(OptionsReader *reader, const ConfValue *value, void *target) {
    WebSocketServerOptions *websocket = target;
    if (value->type != CONF_MAP) {
        reader_fail(reader, value, "Expected websocket to be a map, got %s",
                    conf_type_name(value->type));
        return;
    }
    directives_read(reader, DIRECTIVE_TABLE(rows), value, websocket);
}
