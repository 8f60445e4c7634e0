#include "proto/base64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void write_with(Buf *out, Slice bytes, const char *digits) {
    const unsigned char *s = (const unsigned char *)bytes.ptr;
    char *start = buf_reserve(out, (bytes.len + 2) / 3 * 4), *to = start;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)s[i] << 16;
        group |= left > 1 ? (uint32_t)s[i + 1] << 8 : 0;
        group |= left > 2 ? s[i + 2] : 0;
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[group & 63] : '=';
    }
    out->len += (size_t)(to - start);
}

void base64_write(Buf *out, Slice bytes) {
    write_with(out, bytes, standard);
}

void base64_write_url(Buf *out, Slice bytes) {
    write_with(out, bytes, url);
}
