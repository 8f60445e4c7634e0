#include "stream/pub_headers.h"

#include <string.h>

#include "proto/timefmt.h"

enum { NS_PER_SECOND = 1000000000 };

/* Where the value of each header goes. */
static const struct {
    const char *name;
    size_t name_len, offset;
} fields[] = {
#define FIELD(text, member)                                                                        \
    { text, sizeof(text) - 1, offsetof(PubHeaders, member) }
    FIELD("Nats-Msg-Id", msg_id),
    FIELD("Nats-Expected-Last-Subject-Sequence", expected_subject_seq),
    FIELD("Nats-TTL", ttl),
    FIELD("Nats-Rollup", rollup),
    FIELD("Nats-Expected-Last-Sequence", expected_last_seq),
    FIELD("Nats-Expected-Stream", expected_stream),
    FIELD("Nats-Expected-Last-Msg-Id", expected_last_msg_id),
    FIELD("Nats-Expected-Last-Subject-Sequence-Subject", expected_subject),
    FIELD("Nats-Incr", increment),
    FIELD("Nats-Batch-Id", batch_id),
    FIELD("Nats-Batch-Sequence", batch_seq),
    FIELD("Nats-Batch-Commit", batch_commit),
    FIELD("Nats-Required-Api-Level", required_level),
    FIELD("Nats-Schedule", schedule),
    FIELD("Nats-Scheduler", scheduler),
    FIELD("Nats-Schedule-Next", schedule_next),
    FIELD("Nats-Stream-Source", stream_source),
    FIELD("HW-Want-Current", want_current),
    FIELD("HW-Lease", lease),
    FIELD("HW-Lease-Bind", lease_bind),
    FIELD("HW-Lease-Ended", lease_ended),
#undef FIELD
};
enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

TtlKind ttl_parse(Slice text, int64_t *out_ns) {
    if (slice_equal_ignoring_case(text, LIT("never")))
        return TTL_FOREVER;

    bool is_digits = true;
    for (size_t i = 0; i < text.len; i++)
        is_digits &= text.ptr[i] >= '0' && text.ptr[i] <= '9';
    if (is_digits) {
        uint64_t seconds;
        if (slice_parse_u64(text, &seconds) || seconds < 1 || seconds > INT64_MAX)
            return TTL_INVALID;
        *out_ns =
            seconds > INT64_MAX / NS_PER_SECOND ? INT64_MAX : (int64_t)seconds * NS_PER_SECOND;
        return TTL_SOME;
    }
    if (text.ptr[0] == '+' || duration_parse(text, out_ns) || *out_ns < NS_PER_SECOND)
        return TTL_INVALID;
    return TTL_SOME;
}

static void take_field(PubHeaders *headers, uint32_t *seen, Slice name, Slice value) {
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (name.len != fields[i].name_len || memcmp(name.ptr, fields[i].name, name.len) != 0)
            continue;
        if (!value.ptr)
            value.ptr = "";
        if (!(*seen & 1u << i))
            memcpy((char *)headers + fields[i].offset, &value, sizeof value);
        *seen |= 1u << i;
        return;
    }
    if (slice_equal(name, LIT("Nats-Marker-Reason")))
        headers->is_marker = true;
    else if (slice_equal(name, LIT("Nats-Request-Info")))
        headers->has_request_info = true;
}

/* Cuts a line "name: value" off the block at *at. */
static bool next_line(Slice block, size_t *at, Slice *out_line) {
    if (*at >= block.len)
        return false;
    const char *begin = block.ptr + *at;
    const char *end = memchr(begin, '\n', block.len - *at);
    size_t len = end ? (size_t)(end - begin) : block.len - *at;
    *at += len + 1;
    *out_line = slice_from(begin, len && begin[len - 1] == '\r' ? len - 1 : len);
    return true;
}

void pub_headers_parse(Slice block, PubHeaders *out_headers) {
    size_t at = 0;
    uint32_t seen = 0;
    bool has_operation = false;
    Slice line;

    *out_headers = (PubHeaders){0};
    if (!next_line(block, &at, &line)) /* the status line */
        return;
    while (next_line(block, &at, &line)) {
        if (line.len < 6 || (memcmp(line.ptr, "Nats-", 5) != 0 &&
                             memcmp(line.ptr, "KV-O", 4) != 0 && memcmp(line.ptr, "HW-", 3) != 0))
            continue;
        size_t colon = slice_find(line, ':');
        if (colon == line.len)
            continue;
        Slice name = slice_first(line, colon), value = slice_trim(slice_from_at(line, colon + 1));
        if (name.ptr[0] != 'K') {
            take_field(out_headers, &seen, name, value);
        } else if (!has_operation && slice_equal(name, LIT("KV-Operation"))) {
            out_headers->is_purge_operation = slice_equal(value, LIT("PURGE"));
            out_headers->is_delete_operation = slice_equal(value, LIT("DEL"));
            has_operation = true;
        }
    }
    if (out_headers->ttl.len)
        out_headers->ttl_kind = ttl_parse(out_headers->ttl, &out_headers->ttl_ns);
}

bool pub_headers_have_status(Slice block) {
    return block.len > 10 && memcmp(block.ptr + 8, "\r\n", 2) != 0;
}

void pub_headers_rewrite(Buf *out, Slice block, int64_t ttl_seconds) {
    size_t at = 0;
    Slice line;

    if (!next_line(block, &at, &line))
        return;
    buf_append_lit(out, "NATS/1.0\r\n");
    while (next_line(block, &at, &line)) {
        Slice name = slice_first(line, slice_find(line, ':'));
        if (slice_equal(name, LIT("Nats-Request-Info")))
            continue;
        if (ttl_seconds && slice_equal(name, LIT("Nats-TTL"))) {
            buf_append_lit(out, "Nats-TTL: ");
            buf_append_i64(out, ttl_seconds);
            ttl_seconds = 0;
        } else {
            buf_append(out, line);
        }
        buf_append_lit(out, "\r\n");
    }
}
