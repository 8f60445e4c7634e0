/* Counter: what one subject of a counter stream (allow_msg_counter) adds up to
 * (reference/jetstream-api.md section 5). Its state is its subject's last message: payload
 * {"val":"<total>"}, and, when part of it came from other streams, the header Nats-Counter-Sources:
 * {"<origin stream>":{"<origin subject>":"<what it had there>"}}. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "stream/pub_headers.h"

/* Borrowed. No message yet: both empty, which counts as 0. */
typedef struct CounterValue {
    Slice total;   /* decimal.h */
    Slice sources; /* JSON object; empty = none */
} CounterValue;

/* What a message of a counter stream says; borrows from it. ERR_SYNTAX: it is no counter. */
MUST_CHECK Status counter_read(Slice headers, Slice payload, CounterValue *out_value);

/* What the headers alone forbid, in the original's order: 10169, 10171, 10168, 10170, 10171; or 0.
 * is_enabled: it is a counter stream. has_payload: of the message as it was published. */
unsigned counter_check(const PubHeaders *ask, bool is_enabled, bool has_payload);

/* A client's increment on top of base: appends payload and, when they differ from the published
 * ones, headers as they are stored (else nothing). increment is valid. */
void counter_add(CounterValue base, Slice headers, Slice increment, Buf *out_headers,
                 Buf *out_payload);

/* The same for a message copied from another counter stream: adds what the origin's total has grown
 * by since it was last copied from there. headers are the copy's own, with Nats-Incr and
 * Nats-Stream-Source, which names stream and subject of the origin; origin_total is from the
 * origin's payload (counter_read). ERR_SYNTAX: headers lack one of the two, or base.sources is
 * damaged; then nothing was appended. arena is for the call. */
MUST_CHECK Status counter_copy(CounterValue base, Slice headers, Slice origin_total, Arena *arena,
                               Buf *out_headers, Buf *out_payload);

/* The origin's total that a copied message was made from; borrows from its Nats-Counter-Sources.
 * ERR_SYNTAX. */
MUST_CHECK Status counter_origin_total(Slice headers, Arena *arena, Slice *out_total);
