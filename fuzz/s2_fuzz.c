/* Any bytes are read without harm, alike in one piece and in many; what is written is read back. */
#include "base/assert.h"
#include "base/mem.h"
#include "proto/s2.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { OUT_BYTES_MAX = 64 * 1024 * 1024 };

static Status read_all(S2Reader *reader, Buf *out) {
    Status status = OK;
    while (status == OK && out->len < OUT_BYTES_MAX)
        status = s2_reader_read(reader, out);
    return status;
}

static Status read_pieces(const uint8_t *bytes, size_t len, size_t step, Buf *out) {
    S2Reader reader = {0};
    Status status = ERR_AGAIN;
    for (size_t at = 0; at < len && status == ERR_AGAIN; at += step) {
        s2_reader_feed(&reader, slice_from(bytes + at, len - at < step ? len - at : step));
        status = read_all(&reader, out);
    }
    s2_reader_done(&reader);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    Buf whole = {0}, pieces = {0}, packed = {0};
    if (len == 0)
        return 0;
    Status one = read_pieces(bytes, len, len, &whole);
    Status many = read_pieces(bytes, len, 7, &pieces);
    ASSERT(one == many && (one == OK || slice_equal(buf_slice(&whole), buf_slice(&pieces))));
    (void)s2_decode_block(slice_from(bytes, len), S2_BLOCK_BYTES_MAX, &pieces);

    s2_write_magic(&packed);
    for (size_t at = 0; at < len; at += S2_WRITE_BYTES_MAX)
        s2_write_chunk(&packed, slice_first(slice_from(bytes + at, len - at), S2_WRITE_BYTES_MAX));
    buf_clear(&whole);
    ASSERT(read_pieces((const uint8_t *)packed.ptr, packed.len, packed.len, &whole) == ERR_AGAIN);
    ASSERT(slice_equal(buf_slice(&whole), slice_from(bytes, len)));
    buf_done(&whole);
    buf_done(&pieces);
    buf_done(&packed);
    return 0;
}
