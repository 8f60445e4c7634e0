#include "stream/api_error.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"

static const ApiError rows[] = {
#define ROW(name, http, code, text) {http, code, {text, sizeof(text) - 1}},
#include "stream/api_error.def"
#undef ROW
};

ApiError api_error(unsigned code) {
    size_t low = 0, high = sizeof rows / sizeof rows[0];

    while (low < high) { /* the table is in order of the codes */
        size_t middle = (low + high) / 2;
        if (rows[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    ASSERT(low < sizeof rows / sizeof rows[0] && rows[low].code == code);
    return rows[low];
}

/* Its first placeholder replaced. */
static ApiError complete(Arena *arena, ApiError error, Slice value) {
    size_t open = slice_find(error.text, '{'), close = slice_find(error.text, '}');

    ASSERT(open < close && close < error.text.len);
    size_t tail = error.text.len - close - 1, len = open + value.len + tail;
    char *text = arena_alloc(arena, len + 1);
    memcpy(text, error.text.ptr, open);
    if (value.len)
        memcpy(text + open, value.ptr, value.len);
    memcpy(text + open + value.len, error.text.ptr + close + 1, tail);
    error.text = slice_from(text, len);
    return error;
}

ApiError api_error_with(Arena *arena, unsigned code, Slice value) {
    return complete(arena, api_error(code), value);
}

ApiError api_error_with_both(Arena *arena, unsigned code, Slice first, Slice second) {
    /* The second one first: what is put in may look like a placeholder. */
    ApiError error = api_error(code);
    size_t cut = slice_find(error.text, '}') + 1;
    ApiError tail = error;

    tail.text = slice_from_at(error.text, cut);
    tail = complete(arena, tail, second);
    error.text = slice_first(error.text, cut);
    error = complete(arena, error, first);
    char *text = arena_alloc(arena, error.text.len + tail.text.len);
    memcpy(text, error.text.ptr, error.text.len);
    memcpy(text + error.text.len, tail.text.ptr, tail.text.len);
    error.text = slice_from(text, error.text.len + tail.text.len);
    return error;
}

ApiError api_error_with_u64(Arena *arena, unsigned code, uint64_t value) {
    char digits[20];
    size_t len = u64_to_decimal(value, digits);

    return api_error_with(arena, code, slice_from(digits, len));
}
