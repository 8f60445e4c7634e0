/* GetOptions: what headers of a get (DIRECT.GET, STREAM.MSG.GET) ask beyond the original's API
 * (docs/EXTENSIONS.md). Without such headers nothing of it is looked at. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

enum { GET_WAIT_DEFAULT_MS = 2000, GET_WAIT_MS_MAX = 60000 };

typedef struct GetOptions {
    uint64_t min_seq;     /* HW-Min-Seq: answered when the stream has it; 0 = not asked */
    int64_t wait_ns;      /* HW-Max-Wait: for how long at most */
    uint64_t if_not_seq;  /* HW-If-Not-Seq */
    uint64_t as_of_seq;   /* HW-As-Of-Seq */
    int64_t as_of_ns;     /* HW-As-Of-Time */
    bool is_linearizable; /* HW-Linearizable: 1 */
    bool has_if_not_seq, has_as_of_seq, has_as_of_time;
} GetOptions;

/* *out_options is zero where nothing is asked. ERR_SYNTAX: *out_name is the header that cannot be
 * understood, borrowed from the block. */
MUST_CHECK Status get_options_parse(Slice headers, GetOptions *out_options, Slice *out_name);

static inline bool get_options_must_wait(const GetOptions *options) {
    return options->min_seq || options->is_linearizable;
}
static inline bool get_options_are_of_one_message(const GetOptions *options) {
    return options->has_if_not_seq || options->has_as_of_seq || options->has_as_of_time;
}
