/* ApiError: what a client of the JetStream API sees. Every published error is a row of
 * api_error.def; texts with a placeholder are completed with api_error_with. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

typedef struct ApiError {
    uint16_t http;
    uint16_t code; /* err_code, 10002 ..; 0 = no error */
    Slice text;    /* static, or in the arena that api_error_with was given */
} ApiError;

#define API_OK ((ApiError){0})

enum {
#define ROW(name, http, code, text) name = code,
#include "stream/api_error.def"
#undef ROW
};

/* The row's http code and text as published ("{seq}" and the like still in it). */
ApiError api_error(unsigned code);

/* The row with its placeholder replaced: "wrong last sequence: {seq}" and "7". A text that is one
 * placeholder is replaced whole. */
ApiError api_error_with(Arena *arena, unsigned code, Slice value);
/* The same for a row with two placeholders. */
ApiError api_error_with_both(Arena *arena, unsigned code, Slice first, Slice second);
ApiError api_error_with_u64(Arena *arena, unsigned code, uint64_t value);

static inline bool api_failed(ApiError error) {
    return error.code != 0;
}
