#include "stream/get_options.h"

#include "proto/headers.h"
#include "proto/timefmt.h"

static const int64_t ns_per_ms = 1000000;

static Status parse_flag(Slice value, bool *out_flag) {
    bool is_on = slice_equal(value, LIT("1")) || slice_equal_ignoring_case(value, LIT("true"));
    if (!is_on && !slice_equal(value, LIT("0")) && !slice_equal_ignoring_case(value, LIT("false")))
        return ERR_SYNTAX;
    *out_flag = is_on;
    return OK;
}

static Status parse_wait(Slice value, int64_t *out_ns) {
    int64_t ns;
    if (duration_parse(value, &ns) || ns < 0 || ns > GET_WAIT_MS_MAX * ns_per_ms)
        return ERR_SYNTAX;
    *out_ns = ns;
    return OK;
}

static Status parse_one(Slice name, Slice value, GetOptions *options) {
    Status status = OK;
    if (slice_equal(name, LIT("HW-Min-Seq"))) {
        status = slice_parse_u64(value, &options->min_seq);
    } else if (slice_equal(name, LIT("HW-Max-Wait"))) {
        status = parse_wait(value, &options->wait_ns);
    } else if (slice_equal(name, LIT("HW-Linearizable"))) {
        status = parse_flag(value, &options->is_linearizable);
    } else if (slice_equal(name, LIT("HW-If-Not-Seq"))) {
        status = slice_parse_u64(value, &options->if_not_seq);
        options->has_if_not_seq = true;
    } else if (slice_equal(name, LIT("HW-As-Of-Seq"))) {
        status = slice_parse_u64(value, &options->as_of_seq);
        if (options->has_as_of_time || options->as_of_seq == 0)
            return ERR_SYNTAX;
        options->has_as_of_seq = true;
    } else if (slice_equal(name, LIT("HW-As-Of-Time"))) {
        status = time_parse(value, &options->as_of_ns);
        if (options->has_as_of_seq)
            return ERR_SYNTAX;
        options->has_as_of_time = true;
    }
    return status ? ERR_SYNTAX : OK;
}

Status get_options_parse(Slice headers, GetOptions *out_options, Slice *out_name) {
    GetOptions options = {.wait_ns = GET_WAIT_DEFAULT_MS * ns_per_ms};
    Slice name, value;

    for (size_t at = 0; header_next(headers, &at, &name, &value);) {
        if (!slice_starts_with(name, LIT("HW-")))
            continue;
        if (parse_one(name, value, &options)) {
            *out_name = name;
            return ERR_SYNTAX;
        }
    }
    if (options.has_as_of_time)
        options.is_linearizable = true; /* entries under way may be as old */
    *out_options = options;
    return OK;
}
