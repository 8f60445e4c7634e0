/* PubHeaders: what the headers of a published message ask of its stream (reference/jetstream-api.md
 * section 4). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

typedef enum TtlKind { TTL_NONE, TTL_SOME, TTL_FOREVER, TTL_INVALID } TtlKind;

/* Slices borrow from the block; empty = absent (an empty value counts as absent, of a repeated
 * header the first counts; ptr is NULL only when it is not there). */
typedef struct PubHeaders {
    Slice msg_id, expected_stream, expected_last_msg_id, expected_last_seq, expected_subject_seq,
        expected_subject;
    Slice want_current;                   /* HW-Want-Current */
    Slice lease, lease_bind, lease_ended; /* HW-Lease, -Bind, -Ended */
    Slice rollup, increment, batch_id, batch_seq, batch_commit, required_level, schedule, scheduler,
        schedule_next, stream_source;
    TtlKind ttl_kind;
    int64_t ttl_ns;           /* TTL_SOME; INT64_MAX when it is longer than can be counted */
    Slice ttl;                /* as written */
    bool is_purge_operation;  /* KV-Operation: PURGE */
    bool is_delete_operation; /* KV-Operation: DEL */
    bool is_marker;           /* Nats-Marker-Reason */
    bool has_request_info;    /* Nats-Request-Info: not stored */
} PubHeaders;

/* headers may be NULL. */
static inline bool pub_headers_are_tombstone(const PubHeaders *headers) {
    return headers &&
           (headers->is_delete_operation || headers->is_purge_operation || headers->is_marker);
}

/* One pass over the block; only lines that begin "Nats-", "KV-O" or "HW-" are looked at. */
void pub_headers_parse(Slice block, PubHeaders *out_headers);

/* A time to live as headers say it: integer seconds, a Go duration of a second or more, "never". */
TtlKind ttl_parse(Slice text, int64_t *out_ns);

/* The block as it is stored, appended to out: status line reduced, without Nats-Request-Info,
 * Nats-TTL with the value ttl_seconds when that is not 0. */
void pub_headers_rewrite(Buf *out, Slice block, int64_t ttl_seconds);

/* True when the block's first line is more than "NATS/1.0". */
bool pub_headers_have_status(Slice block);
