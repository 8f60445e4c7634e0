/* VEC(T): a growing array of values. Zero-initialised is empty; vec_done frees.
 *     VEC(int) numbers = {0};  vec_push(&numbers, 7);  numbers.at[0] == 7;  vec_done(&numbers); */
#pragma once

#include <stddef.h>
#include <string.h>

#include "base/mem.h"

#define VEC(Type)                                                                                  \
    struct {                                                                                       \
        Type *at;                                                                                  \
        size_t len, cap;                                                                           \
    }

#define vec_reserve(vec, n)                                                                        \
    do {                                                                                           \
        size_t vec_need_ = (vec)->len + (n);                                                       \
        if (vec_need_ > (vec)->cap) {                                                              \
            size_t vec_cap_ = (vec)->cap ? (vec)->cap : 8;                                         \
            while (vec_cap_ < vec_need_)                                                           \
                vec_cap_ += vec_cap_;                                                              \
            (vec)->at = mem_realloc((vec)->at, vec_cap_ * sizeof *(vec)->at);                      \
            (vec)->cap = vec_cap_;                                                                 \
        }                                                                                          \
    } while (0)

#define vec_push(vec, value)                                                                       \
    do {                                                                                           \
        vec_reserve((vec), 1);                                                                     \
        (vec)->at[(vec)->len++] = (value);                                                         \
    } while (0)

#define vec_pop(vec) ((vec)->at[--(vec)->len])

/* Order is not kept: the last one takes the place. */
#define vec_remove_unordered(vec, i) ((vec)->at[(i)] = (vec)->at[--(vec)->len])

#define vec_remove_ordered(vec, i)                                                                 \
    do {                                                                                           \
        size_t vec_i_ = (i);                                                                       \
        memmove((vec)->at + vec_i_, (vec)->at + vec_i_ + 1,                                        \
                ((vec)->len - vec_i_ - 1) * sizeof *(vec)->at);                                    \
        (vec)->len--;                                                                              \
    } while (0)

#define vec_clear(vec) ((void)((vec)->len = 0))

#define vec_done(vec)                                                                              \
    do {                                                                                           \
        mem_free((vec)->at);                                                                       \
        (vec)->at = NULL;                                                                          \
        (vec)->len = (vec)->cap = 0;                                                               \
    } while (0)
