/* PullRequest: a parsed and waiting request for messages. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "io/timer.h"

typedef struct Consumer Consumer;

/* What the body asks for (reference: CONSUMER.MSG.NEXT). */
typedef struct PullBody {
    int64_t batch, expires_ns, max_bytes, heartbeat_ns, min_pending, min_ack_pending, priority;
    bool no_wait;
    bool is_formal;    /* was JSON: it must name its group */
    bool has_no_batch; /* JSON without one: statuses then say that none was left */
    Slice group, id;
} PullBody;

/* ERR_SYNTAX: out_error gets what follows "400 Bad Request - ". Strings borrow from body or arena.
 */
MUST_CHECK Status pull_body_parse(Slice body, Arena *arena, PullBody *out_body, Buf *out_error);

enum { PIN_BYTES = 22, GROUP_NONE = -1 };

typedef struct PullRequest {
    Link link;
    Consumer *consumer;
    Timer timer;           /* expiry or heartbeat, whichever is next */
    uint64_t expires_ns;   /* mono; 0 = never */
    uint64_t heartbeat_ns; /* interval; 0 = none */
    uint64_t beat_due_ns;
    int64_t batch_left;
    int64_t bytes_left; /* 0 = no limit */
    int64_t min_pending, min_ack_pending;
    uint32_t served;
    int16_t group; /* index, or GROUP_NONE */
    uint8_t priority;
    bool no_wait;
    bool has_pin, has_no_batch;
    char pin[PIN_BYTES]; /* zeros behind a shorter one */
    uint16_t inbox_len;
    char inbox[];
} PullRequest;

static inline Slice pull_request_inbox(const PullRequest *request) {
    return slice_from(request->inbox, request->inbox_len);
}
