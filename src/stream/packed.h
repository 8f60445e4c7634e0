/* Packed: numbers and bytes one behind the other, for what the stream writes into checkpoints: 7
 * bits a byte, low ones first. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

static inline void packed_write_u64(Buf *out, uint64_t value) {
    char *to = buf_reserve(out, 10);
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        to[n++] = (char)(value | 0x80);
    to[n++] = (char)value;
    out->len += n;
}

static inline void packed_write_i64(Buf *out, int64_t value) {
    packed_write_u64(out, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

static inline void packed_write_slice(Buf *out, Slice bytes) {
    packed_write_u64(out, bytes.len);
    buf_append(out, bytes);
}

/* False when the bytes end before the value does, or it is too long; *from is moved on only by
 * success. */
static inline bool packed_read_u64(Slice *from, uint64_t *out_value) {
    uint64_t value = 0;
    for (size_t i = 0; i < from->len && i < 10; i++) {
        uint64_t byte = (uint8_t)from->ptr[i];
        if (i == 9 && byte > 1)
            return false;
        value |= (byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *from = slice_from_at(*from, i + 1);
        *out_value = value;
        return true;
    }
    return false;
}

static inline bool packed_read_i64(Slice *from, int64_t *out_value) {
    uint64_t value;
    if (!packed_read_u64(from, &value))
        return false;
    *out_value = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    return true;
}

static inline bool packed_read_slice(Slice *from, Slice *out_bytes) {
    Slice rest = *from;
    uint64_t len;
    if (!packed_read_u64(&rest, &len) || len > rest.len)
        return false;
    *out_bytes = slice_first(rest, len);
    *from = slice_from_at(rest, len);
    return true;
}
