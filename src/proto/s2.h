/* S2: the framed stream that wraps archives of streams, a superset of Snappy's.
 *
 *   ff 06 00 00 "S2sTwO" (or "sNaPpY"), then chunks:
 *   u8 type | u24 length | bytes; 00: masked CRC32C of the plain bytes, S2 block; 01: the same with
 *   plain bytes; 80..fe: to be skipped.
 * An S2 block is a Snappy block whose copies may repeat the last offset. What is written uses
 * Snappy's own forms alone, in blocks of 64 KiB. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    S2_BLOCK_BYTES_MAX = 4 * 1024 * 1024, /* plain bytes of a chunk that is read */
    S2_WRITE_BYTES_MAX = 64 * 1024,       /* plain bytes of a chunk that is written */
};

/* Begins a stream. */
void s2_write_magic(Buf *out);
/* One chunk; at most S2_WRITE_BYTES_MAX. What does not shrink is stored plain. O(length). */
void s2_write_chunk(Buf *out, Slice plain);

/* Appends the plain bytes of a block to out. ERR_CORRUPT, also when it says that it is longer than
 * max; out is unchanged then. */
MUST_CHECK Status s2_decode_block(Slice block, size_t max, Buf *out);

/* Reads a stream that comes in pieces. Zero-initialised is ready. Keeps what it was fed and has not
 * decoded. */
typedef struct S2Reader {
    Buf input;      /* of the chunk that is not whole yet */
    size_t at;      /* in input */
    size_t to_skip; /* of a chunk that is skipped */
    bool has_magic;
    bool is_corrupt;
} S2Reader;
void s2_reader_done(S2Reader *reader);
void s2_reader_feed(S2Reader *reader, Slice bytes);
/* Takes the next chunk and appends its plain bytes, if it has any, to out. ERR_AGAIN: feed more.
 * ERR_CORRUPT is final. */
MUST_CHECK Status s2_reader_read(S2Reader *reader, Buf *out);
/* Bytes fed and not decoded yet. */
static inline size_t s2_reader_held(const S2Reader *reader) {
    return reader->input.len - reader->at;
}
/* Nothing is left over of a chunk that was not whole. */
bool s2_reader_is_at_end(const S2Reader *reader);
