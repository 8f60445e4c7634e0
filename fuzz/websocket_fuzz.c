/* Any bytes are read without harm, alike in one piece and in many; what is written is read back. */
#include "base/assert.h"
#include "base/mem.h"
#include "proto/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static Status read_pieces(const WebSocketOptions *options, Slice raw, size_t step, Buf *plain,
                          Buf *reply) {
    WebSocket *socket = websocket_new(options);
    Status status = OK;
    for (size_t at = 0; at < raw.len && status == OK; at += step) {
        const char *error = NULL;
        status =
            websocket_read(socket, slice_first(slice_from_at(raw, at), step), plain, reply, &error);
        ASSERT((status == ERR_SYNTAX) == (error != NULL));
    }
    websocket_free(socket);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    if (len == 0)
        return 0;
    WebSocketOptions options = {
        .is_compressed = bytes[0] & 1, .takes_unmasked = bytes[0] & 2, .inflated_max = 1024 * 1024};
    Slice raw = slice_from(bytes + 1, len - 1);
    Buf one = {0}, one_reply = {0}, many = {0}, many_reply = {0}, written = {0};
    Status whole = read_pieces(&options, raw, len, &one, &one_reply);
    Status pieces = read_pieces(&options, raw, 3, &many, &many_reply);
    ASSERT(whole == pieces && slice_equal(buf_slice(&one), buf_slice(&many)) &&
           slice_equal(buf_slice(&one_reply), buf_slice(&many_reply)));

    options.takes_unmasked = true; /* what a server writes is not masked */
    options.inflated_max = len;
    WebSocket *socket = websocket_new(&options);
    websocket_write(socket, raw, &written);
    websocket_free(socket);
    buf_clear(&one);
    ASSERT(read_pieces(&options, buf_slice(&written), written.len, &one, &one_reply) == OK);
    ASSERT(slice_equal(buf_slice(&one), raw));
    buf_done(&one);
    buf_done(&one_reply);
    buf_done(&many);
    buf_done(&many_reply);
    buf_done(&written);
    return 0;
}
