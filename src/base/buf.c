#include "base/buf.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"

enum { BUF_BYTES_MIN = 64 };

void buf_done(Buf *buf) {
    mem_free(buf->ptr);
    *buf = (Buf){0};
}

char *buf_reserve_slow(Buf *buf, size_t n) {
    size_t need = buf->len + n;
    ASSERT(need >= n);
    size_t cap = buf->cap ? buf->cap : BUF_BYTES_MIN;
    while (cap < need)
        cap += cap;
    buf->ptr = mem_realloc(buf->ptr, cap);
    buf->cap = cap;
    return buf->ptr + buf->len;
}

size_t u64_to_decimal(uint64_t value, char *out) {
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

void buf_append_u64(Buf *buf, uint64_t value) {
    buf->len += u64_to_decimal(value, buf_reserve(buf, 20));
}

void buf_append_i64(Buf *buf, int64_t value) {
    if (value < 0)
        buf_append_char(buf, '-');
    buf_append_u64(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buf_vprintf(Buf *buf, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    ASSERT(n >= 0);
    char *to = buf_reserve(buf, (size_t)n + 1);
    (void)vsnprintf(to, (size_t)n + 1, format, again);
    va_end(again);
    buf->len += (size_t)n;
}

void buf_printf(Buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void buf_consume(Buf *buf, size_t n) {
    ASSERT(n <= buf->len);
    if (n && n < buf->len)
        memmove(buf->ptr, buf->ptr + n, buf->len - n);
    buf->len -= n;
}

const char *buf_text(Buf *buf) {
    *buf_reserve(buf, 1) = '\0';
    return buf->ptr;
}
