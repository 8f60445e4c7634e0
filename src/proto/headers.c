#include "proto/headers.h"

/* Cuts the next line off the block, without its line end (LF or CRLF); false at the end or at an
 * incomplete line. */
static bool next_line(Slice block, size_t *at, Slice *out_line) {
    if (*at >= block.len)
        return false;
    const char *from = block.ptr + *at;
    const char *lf = memchr(from, '\n', block.len - *at);
    if (!lf)
        return false;
    size_t len = (size_t)(lf - from);
    *at += len + 1;
    if (len && from[len - 1] == '\r')
        len--;
    *out_line = slice_from(from, len);
    return true;
}

static bool split_line(Slice line, Slice *out_name, Slice *out_value) {
    size_t colon = slice_find(line, ':');
    if (colon == 0 || colon == line.len)
        return false;
    *out_name = slice_first(line, colon);
    *out_value = slice_trim(slice_from_at(line, colon + 1));
    return true;
}

bool header_next(Slice block, size_t *at, Slice *out_name, Slice *out_value) {
    Slice line;
    if (*at == 0 && !next_line(block, at, &line)) /* the status line */
        return false;
    while (next_line(block, at, &line)) {
        if (split_line(line, out_name, out_value))
            return true;
    }
    return false;
}

bool header_get(Slice block, Slice name, Slice *out_value) {
    /* Look for the name itself; most blocks do not hold it and are done after one search. */
    size_t at = 0;
    while (name.len && block.len - at > name.len) {
        const char *hit = memmem(block.ptr + at, block.len - at, name.ptr, name.len);
        if (!hit)
            return false;
        size_t start = (size_t)(hit - block.ptr), end = start + name.len;
        at = end;
        if (start == 0 || block.ptr[start - 1] != '\n' || end >= block.len || block.ptr[end] != ':')
            continue;
        const char *lf = memchr(block.ptr + end, '\n', block.len - end);
        if (!lf)
            return false;
        Slice value =
            slice_trim(slice_from(block.ptr + end + 1, (size_t)(lf - block.ptr) - end - 1));
        if (value.len == 0)
            return false;
        *out_value = value;
        return true;
    }
    return false;
}

void header_begin(Buf *out, Slice status) {
    buf_append_lit(out, "NATS/1.0");
    if (status.len) {
        buf_append_char(out, ' ');
        buf_append(out, status);
    }
    buf_append_lit(out, "\r\n");
}

void header_append(Buf *out, Slice name, Slice value) {
    char *to = buf_reserve(out, name.len + value.len + 4), *start = to;
    memcpy(to, name.ptr, name.len);
    to += name.len;
    *to++ = ':';
    *to++ = ' ';
    if (value.len)
        memcpy(to, value.ptr, value.len);
    to += value.len;
    *to++ = '\r';
    *to++ = '\n';
    out->len += (size_t)(to - start);
}

void header_append_u64(Buf *out, Slice name, uint64_t value) {
    char digits[20];
    header_append(out, name, slice_from(digits, u64_to_decimal(value, digits)));
}

void header_end(Buf *out) {
    buf_append_lit(out, "\r\n");
}

void header_copy_open(Buf *out, Slice block, bool (*drop)(Slice name, void *cookie), void *cookie) {
    size_t at = 0;
    Slice line, name, value;

    header_begin(out, (Slice){NULL, 0});
    if (!next_line(block, &at, &line))
        return;
    while (next_line(block, &at, &line)) {
        if (!split_line(line, &name, &value) || (drop && drop(name, cookie)))
            continue;
        buf_append(out, line);
        buf_append_lit(out, "\r\n");
    }
}
