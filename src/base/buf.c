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

/* "00" .. "99": two digits are written at once. */
static const char digit_pairs[] = "0001020304050607080910111213141516171819"
                                  "2021222324252627282930313233343536373839"
                                  "4041424344454647484950515253545556575859"
                                  "6061626364656667686970717273747576777879"
                                  "8081828384858687888990919293949596979899";

static size_t decimal_length(uint64_t value) {
    size_t n = 1;
    for (; value >= 10000; value /= 10000)
        n += 4;
    return n + (value >= 10) + (value >= 100) + (value >= 1000);
}

/* Divisions that do not wait for each other. */
static void put_eight(char *to, uint32_t value) {
    uint32_t high = value / 10000, low = value % 10000;
    memcpy(to, digit_pairs + 2 * (high / 100), 2);
    memcpy(to + 2, digit_pairs + 2 * (high % 100), 2);
    memcpy(to + 4, digit_pairs + 2 * (low / 100), 2);
    memcpy(to + 6, digit_pairs + 2 * (low % 100), 2);
}

size_t u64_to_decimal(uint64_t value, char *out) {
    size_t n = decimal_length(value);
    char *to = out + n;
    for (; value >= 100 * 1000 * 1000; value /= 100 * 1000 * 1000)
        put_eight(to -= 8, (uint32_t)(value % (100 * 1000 * 1000)));
    uint32_t rest = (uint32_t)value;
    for (; rest >= 100; rest /= 100) {
        to -= 2;
        memcpy(to, digit_pairs + 2 * (rest % 100), 2);
    }
    if (rest >= 10)
        memcpy(out, digit_pairs + 2 * rest, 2);
    else
        *out = (char)('0' + rest);
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
