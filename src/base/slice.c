#include "base/slice.h"

#include "base/mem.h"

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

int slice_compare(Slice a, Slice b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

bool slice_equal_ignoring_case(Slice a, Slice b) {
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

bool slice_cut(Slice *rest, char separator, Slice *out_piece) {
    if (rest->ptr == NULL)
        return false;
    size_t at = slice_find(*rest, separator);
    *out_piece = (Slice){rest->ptr, at};
    if (at == rest->len)
        *rest = (Slice){NULL, 0};
    else
        *rest = (Slice){rest->ptr + at + 1, rest->len - at - 1};
    return true;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

Slice slice_trim(Slice slice) {
    while (slice.len && is_blank(slice.ptr[0])) {
        slice.ptr++;
        slice.len--;
    }
    while (slice.len && is_blank(slice.ptr[slice.len - 1]))
        slice.len--;
    return slice;
}

size_t slice_find(Slice slice, char byte) {
    const char *at = slice.len ? memchr(slice.ptr, byte, slice.len) : NULL;
    return at ? (size_t)(at - slice.ptr) : slice.len;
}

size_t slice_find_slice(Slice slice, Slice needle) {
    if (needle.len == 0)
        return 0;
    const char *at = slice.len ? memmem(slice.ptr, slice.len, needle.ptr, needle.len) : NULL;
    return at ? (size_t)(at - slice.ptr) : slice.len;
}

Status slice_parse_u64(Slice slice, uint64_t *out_value) {
    uint64_t value = 0;
    if (slice.len == 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < slice.len; i++) {
        unsigned digit = (unsigned)(unsigned char)slice.ptr[i] - '0';
        if (digit > 9)
            return ERR_SYNTAX;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return ERR_RANGE;
    }
    *out_value = value;
    return OK;
}

Status slice_parse_i64(Slice slice, int64_t *out_value) {
    bool is_negative = slice.len && slice.ptr[0] == '-';
    if (slice.len && (slice.ptr[0] == '-' || slice.ptr[0] == '+'))
        slice = slice_from_at(slice, 1);
    uint64_t magnitude = 0;
    Status status = slice_parse_u64(slice, &magnitude);
    if (status != OK)
        return status;
    if (magnitude > (uint64_t)INT64_MAX + (is_negative ? 1 : 0))
        return ERR_RANGE;
    *out_value = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return OK;
}

char *slice_to_text(Slice slice) {
    return mem_copy(slice.ptr, slice.len);
}
