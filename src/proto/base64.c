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

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

Status base64_read(Buf *out, Slice text) {
    for (unsigned i = 0; i < 2 && text.len && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    if (text.len % 4 == 1)
        return ERR_SYNTAX;
    unsigned bits = 0, held = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = value_of(text.ptr[i]);
        if (value < 0)
            return ERR_SYNTAX;
        held = held << 6 | (unsigned)value;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        buf_append_char(out, (char)(held >> bits & 0xff));
        held &= (1u << bits) - 1;
    }
    return held ? ERR_SYNTAX : OK;
}
