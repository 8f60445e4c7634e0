/* Buf: bytes that grow. Zero-initialised is a valid empty Buf; buf_done frees. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

typedef struct Buf {
    char *ptr;
    size_t len, cap;
} Buf;

void buf_done(Buf *buf);

/* Makes room for n more bytes and returns where they go; len is unchanged. Aborts when memory is
 * out. */
char *buf_reserve_slow(Buf *buf, size_t n);

static inline char *buf_reserve(Buf *buf, size_t n) {
    if (__builtin_expect(buf->cap - buf->len >= n && buf->cap != 0, 1))
        return buf->ptr + buf->len;
    return buf_reserve_slow(buf, n);
}

static inline void buf_append_bytes(Buf *buf, const void *bytes, size_t n) {
    char *to = buf_reserve(buf, n);
    if (n)
        memcpy(to, bytes, n);
    buf->len += n;
}

static inline void buf_append(Buf *buf, Slice slice) {
    buf_append_bytes(buf, slice.ptr, slice.len);
}

static inline void buf_append_char(Buf *buf, char c) {
    *buf_reserve(buf, 1) = c;
    buf->len++;
}

#define buf_append_lit(buf, text) buf_append_bytes((buf), "" text, sizeof(text) - 1)

/* Decimal. */
void buf_append_u64(Buf *buf, uint64_t value);
void buf_append_i64(Buf *buf, int64_t value);

void buf_printf(Buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(Buf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* Borrowed until the Buf changes. */
static inline Slice buf_slice(const Buf *buf) {
    return (Slice){buf->ptr, buf->len};
}

static inline void buf_clear(Buf *buf) {
    buf->len = 0;
}

/* Removes n bytes from the front; O(rest). */
void buf_consume(Buf *buf, size_t n);

/* Zero-terminates without counting the zero; borrowed. */
const char *buf_text(Buf *buf);

/* Writes value in decimal to out, which has room for 20 bytes; returns how many were written. */
size_t u64_to_decimal(uint64_t value, char *out);
