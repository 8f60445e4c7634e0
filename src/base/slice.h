/* Slice: borrowed bytes by value. Not zero-terminated. A NULL ptr has len 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

typedef struct Slice {
    const char *ptr;
    size_t len;
} Slice;

/* A string literal as a slice; also in static tables. */
#define LIT(text) ((Slice){("" text), sizeof(text) - 1})

/* For printf's "%.*s". */
#define SLICE_ARG(slice) ((int)(slice).len), ((slice).ptr ? (slice).ptr : "")

static inline Slice slice_from(const void *ptr, size_t len) {
    return (Slice){ptr, len};
}

static inline Slice slice_of_text(const char *text) {
    return (Slice){text, text ? strlen(text) : 0};
}

static inline bool slice_equal(Slice a, Slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_starts_with(Slice slice, Slice prefix) {
    return slice.len >= prefix.len &&
           (prefix.len == 0 || memcmp(slice.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool slice_ends_with(Slice slice, Slice suffix) {
    return slice.len >= suffix.len &&
           memcmp(slice.ptr + slice.len - suffix.len, suffix.ptr, suffix.len) == 0;
}

/* Bytes from at on; at is cut to the length. */
static inline Slice slice_from_at(Slice slice, size_t at) {
    size_t skip = at < slice.len ? at : slice.len;
    return (Slice){skip ? slice.ptr + skip : slice.ptr, slice.len - skip};
}

static inline Slice slice_first(Slice slice, size_t n) {
    return (Slice){slice.ptr, n < slice.len ? n : slice.len};
}

/* Byte order like memcmp, a shorter prefix first. */
int slice_compare(Slice a, Slice b);

/* ASCII only. */
bool slice_equal_ignoring_case(Slice a, Slice b);

/* Cuts the piece before the next separator off the front of *rest. After the last piece rest->ptr
 * is NULL; false when *rest had been used up before. "" holds one empty piece. */
bool slice_cut(Slice *rest, char separator, Slice *out_piece);

/* Without blanks and tabs (and CR, LF) at both ends. */
Slice slice_trim(Slice slice);

/* Index of the byte, or len when it is not there. */
size_t slice_find(Slice slice, char byte);

/* Index where needle begins, or len. */
size_t slice_find_slice(Slice slice, Slice needle);

/* Decimal digits only, at least one. ERR_SYNTAX or ERR_RANGE. */
MUST_CHECK Status slice_parse_u64(Slice slice, uint64_t *out_value);

/* As above with an optional sign. */
MUST_CHECK Status slice_parse_i64(Slice slice, int64_t *out_value);

/* Owned, zero-terminated copy; free with mem_free. */
char *slice_to_text(Slice slice);
