#include "proto/websocket.h"

#include <openssl/evp.h>
#include <string.h>
#include <wslay/wslay.h>
#include <zlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/base64.h"

enum {
    CONTROL_BYTES_MAX = 125,
    KEY_BYTES = 16,
    RSV_COMPRESSED = WSLAY_RSV1_BIT,
    /* Less is not worth compressing. */
    DEFLATE_BYTES_MIN = 64,
    /* A window of 4 KiB: 32 KiB of memory for a connection that compresses. */
    DEFLATE_WINDOW_BITS = 12,
    DEFLATE_MEMORY = 5,
    INFLATE_STEP_BYTES = 16 * 1024,
};

struct WebSocket {
    WebSocketOptions options;
    wslay_frame_context_ptr frames;
    Slice input; /* what wslay has not taken yet */
    Buf *output; /* where it writes to */

    bool is_in_frame, is_in_message, is_message_compressed;
    uint8_t opcode;
    uint64_t frame_left;
    char control[CONTROL_BYTES_MAX];
    size_t control_len;
    Buf deflated; /* a compressed message so far */
    z_stream *deflater;
};

static ssize_t take_input(uint8_t *to, size_t len, int flags, void *cookie) {
    WebSocket *socket = cookie;
    (void)flags;
    size_t n = len < socket->input.len ? len : socket->input.len;
    if (n == 0)
        return -1;
    memcpy(to, socket->input.ptr, n);
    socket->input = slice_from_at(socket->input, n);
    return (ssize_t)n;
}

static ssize_t give_output(const uint8_t *bytes, size_t len, int flags, void *cookie) {
    WebSocket *socket = cookie;
    (void)flags;
    buf_append_bytes(socket->output, bytes, len);
    return (ssize_t)len;
}

WebSocket *websocket_new(const WebSocketOptions *options) {
    static const struct wslay_frame_callbacks callbacks = {give_output, take_input, NULL};
    WebSocket *socket = mem_zalloc(sizeof *socket);
    socket->options = *options;
    int result = wslay_frame_context_init(&socket->frames, &callbacks, socket);
    ASSERT(result == 0); /* it only allocates */
    return socket;
}

void websocket_free(WebSocket *socket) {
    if (socket == NULL)
        return;
    wslay_frame_context_free(socket->frames);
    if (socket->deflater)
        (void)deflateEnd(socket->deflater);
    mem_free(socket->deflater);
    buf_done(&socket->deflated);
    mem_free(socket);
}

/* Writing. */

static void write_frame(WebSocket *socket, uint8_t opcode, uint8_t rsv, Slice payload, Buf *out) {
    struct wslay_frame_iocb frame = {.fin = 1,
                                     .rsv = rsv,
                                     .opcode = opcode,
                                     .payload_length = payload.len,
                                     .data = (const uint8_t *)payload.ptr,
                                     .data_length = payload.len};
    socket->output = out;
    ssize_t n = wslay_frame_send(socket->frames, &frame);
    ASSERT(n >= 0 && (size_t)n == payload.len); /* give_output takes all */
}

static z_stream *deflater_of(WebSocket *socket) {
    if (socket->deflater) {
        (void)deflateReset(socket->deflater);
        return socket->deflater;
    }
    socket->deflater = mem_zalloc(sizeof *socket->deflater);
    int result = deflateInit2(socket->deflater, Z_BEST_SPEED, Z_DEFLATED, -DEFLATE_WINDOW_BITS,
                              DEFLATE_MEMORY, Z_DEFAULT_STRATEGY);
    ASSERT(result == Z_OK);
    return socket->deflater;
}

/* Without the 00 00 ff ff that ends each flush: the reader puts it back. */
static void deflate_message(WebSocket *socket, Slice plain, Buf *out) {
    z_stream *z = deflater_of(socket);
    size_t room = deflateBound(z, plain.len) + 16;
    z->next_in = (Bytef *)plain.ptr;
    z->avail_in = (uInt)plain.len;
    z->next_out = (Bytef *)buf_reserve(out, room);
    z->avail_out = (uInt)room;
    int result = deflate(z, Z_SYNC_FLUSH);
    ASSERT(result == Z_OK && z->avail_in == 0 && z->avail_out > 0);
    out->len += room - z->avail_out - 4;
}

void websocket_write(WebSocket *socket, Slice plain, Buf *out) {
    if (!socket->options.is_compressed || plain.len < DEFLATE_BYTES_MIN ||
        plain.len > UINT32_MAX / 2) {
        write_frame(socket, WSLAY_BINARY_FRAME, 0, plain, out);
        return;
    }
    Buf small = {0};
    deflate_message(socket, plain, &small);
    write_frame(socket, WSLAY_BINARY_FRAME, RSV_COMPRESSED, buf_slice(&small), out);
    buf_done(&small);
}

void websocket_write_close(WebSocket *socket, unsigned code, Slice reason, Buf *out) {
    char payload[CONTROL_BYTES_MAX] = {(char)(code >> 8), (char)code};
    ASSERT(reason.len <= CONTROL_BYTES_MAX - 2);
    if (reason.len)
        memcpy(payload + 2, reason.ptr, reason.len);
    write_frame(socket, WSLAY_CONNECTION_CLOSE, 0, slice_from(payload, reason.len + 2), out);
}

/* Reading. */

typedef struct Reading {
    WebSocket *socket;
    Buf *plain, *reply;
    const char *error;
} Reading;

static Status violation(Reading *reading, const char *error) {
    reading->error = error;
    websocket_write_close(reading->socket, WEBSOCKET_VIOLATION, slice_of_text(error),
                          reading->reply);
    return ERR_SYNTAX;
}

static Status inflate_more(Reading *reading, z_stream *z, size_t *room_left) {
    do {
        size_t step = *room_left < INFLATE_STEP_BYTES ? *room_left : INFLATE_STEP_BYTES;
        if (step == 0)
            return violation(reading, "message too large");
        z->next_out = (Bytef *)buf_reserve(reading->plain, step);
        z->avail_out = (uInt)step;
        int result = inflate(z, Z_SYNC_FLUSH);
        size_t made = step - z->avail_out;
        reading->plain->len += made;
        *room_left -= made;
        if (result == Z_STREAM_END)
            return OK;
        if (result != Z_OK && result != Z_BUF_ERROR)
            return violation(reading, "message is not deflated as it should be");
    } while (z->avail_out == 0);
    return OK;
}

static Status inflate_message(Reading *reading) {
    WebSocket *socket = reading->socket;
    size_t room_left = socket->options.inflated_max;
    z_stream z = {0};
    buf_append_bytes(&socket->deflated, "\0\0\xff\xff", 4);
    int result = inflateInit2(&z, -MAX_WBITS);
    ASSERT(result == Z_OK);
    z.next_in = (Bytef *)socket->deflated.ptr;
    z.avail_in = (uInt)socket->deflated.len;
    Status status = inflate_more(reading, &z, &room_left);
    (void)inflateEnd(&z);
    buf_done(&socket->deflated);
    return status;
}

static bool is_control(uint8_t opcode) {
    return opcode >= WSLAY_CONNECTION_CLOSE;
}

/* The rules for the first bytes of a frame; the texts are the original's. */
static Status begin_frame(Reading *reading, const struct wslay_frame_iocb *frame) {
    WebSocket *socket = reading->socket;
    bool is_first = frame->opcode == WSLAY_BINARY_FRAME || frame->opcode == WSLAY_TEXT_FRAME;
    bool is_compressed = (frame->rsv & RSV_COMPRESSED) != 0;
    if (frame->rsv & ~RSV_COMPRESSED)
        return violation(reading, "RSV2 and RSV3 must be clear");
    if (!frame->mask && !socket->options.takes_unmasked)
        return violation(reading, "mask bit missing");
    if (is_compressed && (!socket->options.is_compressed || !is_first))
        return violation(reading, "invalid use of compressed bit");
    if (frame->opcode > WSLAY_BINARY_FRAME && frame->opcode != WSLAY_CONNECTION_CLOSE &&
        frame->opcode != WSLAY_PING && frame->opcode != WSLAY_PONG)
        return violation(reading, "unknown opcode");
    if (is_control(frame->opcode) && !frame->fin)
        return violation(reading, "control frame does not have final bit set");
    if (is_control(frame->opcode) && frame->payload_length > CONTROL_BYTES_MAX)
        return violation(reading, "control frame length bigger than maximum allowed of 125 bytes");
    if (is_first && socket->is_in_message)
        return violation(reading, "new message started before final frame for previous message "
                                  "was received");
    if (frame->opcode == WSLAY_CONTINUATION_FRAME && !socket->is_in_message)
        return violation(reading, "invalid continuation frame");
    if (is_first) {
        socket->is_in_message = true;
        socket->is_message_compressed = is_compressed;
    }
    socket->is_in_frame = true;
    socket->opcode = frame->opcode;
    socket->frame_left = frame->payload_length;
    socket->control_len = 0;
    return OK;
}

static Status end_control(Reading *reading) {
    WebSocket *socket = reading->socket;
    Slice payload = slice_from(socket->control, socket->control_len);
    if (socket->opcode == WSLAY_PING) {
        write_frame(socket, WSLAY_PONG, 0, payload, reading->reply);
    } else if (socket->opcode == WSLAY_CONNECTION_CLOSE) {
        if (payload.len == 1)
            return violation(reading, "invalid close frame");
        write_frame(socket, WSLAY_CONNECTION_CLOSE, 0, payload, reading->reply);
        return ERR_CLOSED;
    }
    return OK;
}

static Status take_payload(Reading *reading, const struct wslay_frame_iocb *frame) {
    WebSocket *socket = reading->socket;
    Slice bytes = slice_from((const char *)frame->data, frame->data_length);
    if (is_control(socket->opcode)) {
        if (bytes.len)
            memcpy(socket->control + socket->control_len, bytes.ptr, bytes.len);
        socket->control_len += bytes.len;
    } else if (socket->is_message_compressed) {
        if (socket->deflated.len + bytes.len > socket->options.inflated_max)
            return violation(reading, "message too large");
        buf_append(&socket->deflated, bytes);
    } else {
        buf_append(reading->plain, bytes);
    }
    return OK;
}

static Status take_part(Reading *reading, const struct wslay_frame_iocb *frame) {
    WebSocket *socket = reading->socket;
    Status status = socket->is_in_frame ? OK : begin_frame(reading, frame);
    if (status == OK)
        status = take_payload(reading, frame);
    if (status != OK)
        return status;
    socket->frame_left -= frame->data_length;
    if (socket->frame_left != 0)
        return OK;
    socket->is_in_frame = false;
    if (is_control(socket->opcode))
        return end_control(reading);
    if (!frame->fin)
        return OK;
    socket->is_in_message = false;
    return socket->is_message_compressed ? inflate_message(reading) : OK;
}

Status websocket_read(WebSocket *socket, Slice raw, Buf *plain, Buf *reply,
                      const char **out_error) {
    Reading reading = {socket, plain, reply, NULL};
    Status status = OK;
    socket->input = raw;
    while (status == OK) {
        struct wslay_frame_iocb frame = {0};
        ssize_t n = wslay_frame_recv(socket->frames, &frame);
        if (n == WSLAY_ERR_WANT_READ)
            break;
        status = n < 0 ? violation(&reading, "invalid frame") : take_part(&reading, &frame);
    }
    *out_error = reading.error;
    return status;
}

Status websocket_accept(Slice key, Buf *out) {
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    Buf text = {0};
    Status status = base64_read(&text, key);
    if (status == OK && text.len != KEY_BYTES)
        status = ERR_SYNTAX;
    if (status == OK) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned len = 0;
        buf_clear(&text);
        buf_append(&text, key);
        buf_append_bytes(&text, magic, sizeof magic - 1);
        if (EVP_Digest(text.ptr, text.len, digest, &len, EVP_sha1(), NULL) != 1)
            status = ERR_UNSUPPORTED;
        else
            base64_write(out, slice_from((const char *)digest, len));
    }
    buf_done(&text);
    return status;
}
