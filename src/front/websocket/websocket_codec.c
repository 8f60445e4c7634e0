#include "front/websocket/websocket_codec.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    /* Read at once from one that compresses: a little may become much. */
    CODED_BYTES_AT_ONCE = 16 * 1024,
    PLAIN_BYTES_MAX = 2 * LIMIT_PAYLOAD_BYTES,
};

typedef struct WebSocketCodec {
    ConnCodec codec; /* first */
    WebSocket *socket;
} WebSocketCodec;

static WebSocketCodec *of(ConnCodec *codec) {
    return CONTAINER_OF(codec, WebSocketCodec, codec);
}

static Status decode(ConnCodec *codec, Slice coded, Buf *plain) {
    Status status = OK;
    const char *error = NULL;
    while (coded.len && status == OK) {
        Slice part = slice_first(coded, CODED_BYTES_AT_ONCE);
        coded = slice_from_at(coded, part.len);
        status = websocket_read(of(codec)->socket, part, plain, &codec->replies, &error);
        if (status == OK && plain->len > PLAIN_BYTES_MAX) {
            status = ERR_SYNTAX;
            error = "too much at once";
        }
    }
    if (error)
        LOG_ERR("websocket read error:", "%s", error);
    return status;
}

static void encode(ConnCodec *codec, Slice plain, Buf *coded) {
    websocket_write(of(codec)->socket, plain, coded);
}

static void end(ConnCodec *codec, Buf *coded) {
    websocket_write_close(of(codec)->socket, WEBSOCKET_NORMAL, (Slice){0}, coded);
}

static void codec_free(ConnCodec *codec) {
    websocket_free(of(codec)->socket);
    mem_free(of(codec));
}

ConnCodec *websocket_codec_new(const WebSocketOptions *options, Slice greeting) {
    static const ConnCodecOps ops = {decode, encode, end, codec_free};
    WebSocketCodec *codec = mem_zalloc(sizeof *codec);
    codec->codec.ops = &ops;
    codec->socket = websocket_new(options);
    buf_append(&codec->codec.replies, greeting);
    return &codec->codec;
}
