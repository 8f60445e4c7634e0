#include "stream/stream_fast.h"

#include <string.h>

#include "base/mem.h"
#include "bus/trace.h"
#include "io/clock.h"
#include "stream/puback.h"

enum {
    FAST_PER_STREAM = 1000,
    FAST_TOTAL = 50000,
    FAST_ID_BYTES_MAX = 64,
    FAST_TIMEOUT_S = 10,
    FLOW_DEFAULT = 10,
    /* Answers that wait for messages before them: over it, pings are not answered. */
    EVENTS_MAX = 200000,
    FLOW_MAX = 500,
};

typedef enum FastOp { OP_START, OP_APPEND, OP_COMMIT, OP_COMMIT_BEFORE, OP_PING, OP_COUNT } FastOp;

/* What a reply subject says. */
typedef struct FastControl {
    Slice id;
    uint64_t flow, seq;
    bool goes_on; /* after gaps and refused messages */
    FastOp op;
} FastControl;

typedef struct FastBatch {
    Link link; /* those without a message for longest first */
    uint64_t touched_ns;
    uint64_t users;    /* events that name it, and 1 while it is open */
    uint64_t seq;      /* of the newest message taken at the door */
    uint64_t flow;     /* acks are wished each so many */
    uint64_t ack_each; /* and are sent each so many */
    uint64_t acked, stored_seq;
    bool goes_on;
    bool is_open;   /* at the door */
    bool is_closed; /* its last answer was sent */
    size_t id_len;
    char id[];
} FastBatch;

typedef enum FastKind { EVENT_MESSAGE, EVENT_GAP, EVENT_PING, EVENT_END } FastKind;

struct FastEvent {
    Link link; /* in the order of arrival */
    FastBatch *batch;
    FastKind kind;
    bool is_ready, is_start, is_commit;
    bool ends;              /* the batch: a gap */
    uint64_t seq, expected; /* expected: of a gap */
    bool is_stored;
    uint64_t stored_seq;
    ApiError error; /* its text lies in error_text */
    Buf error_text;
    Trace *trace; /* held; NULL: none, or told */
    size_t reply_len;
    char reply[];
};

struct FastBatches {
    Stream *stream;
    Map by_id;
    List by_age, events;
    size_t event_count;
    Timer timer;
};

static Slice id_of(const FastBatch *batch) {
    return slice_from(batch->id, batch->id_len);
}
static Slice reply_of(const FastEvent *event) {
    return slice_from(event->reply, event->reply_len);
}

/* --- what is open --- */

static void batch_unuse(FastBatch *batch) {
    if (--batch->users == 0)
        mem_free(batch);
}

static void leave_door(Stream *stream, FastBatch *batch) {
    if (!batch->is_open)
        return;
    batch->is_open = false;
    map_remove(&stream->parts->fast->by_id, id_of(batch));
    list_remove(&batch->link);
    batch_counts_sub(stream->js->batch_counts, BATCHES_FAST, 1);
    batch_unuse(batch);
}

static FastBatch *oldest(const struct FastBatches *fast) {
    return list_is_empty(&fast->by_age) ? NULL : CONTAINER_OF(fast->by_age.next, FastBatch, link);
}

static uint64_t timeout_ns(const Stream *stream) {
    int64_t configured = stream->js->options->batch.timeout_ns;
    return configured > 0 ? (uint64_t)configured : FAST_TIMEOUT_S * (uint64_t)NS_PER_S;
}

static void on_timer(Timer *timer) {
    struct FastBatches *fast = CONTAINER_OF(timer, struct FastBatches, timer);
    Stream *stream = fast->stream;
    uint64_t now = clock_mono_ns(), wait_ns = timeout_ns(stream);
    FastBatch *batch;
    while ((batch = oldest(fast)) && batch->touched_ns + wait_ns <= now)
        leave_door(stream, batch);
    if (batch)
        timer_set(stream->group.home, timer, batch->touched_ns + wait_ns);
}

static void touch(Stream *stream, FastBatch *batch) {
    struct FastBatches *fast = stream->parts->fast;
    batch->touched_ns = clock_mono_ns();
    list_remove(&batch->link);
    list_push_back(&fast->by_age, &batch->link);
    if (!timer_is_set(&fast->timer))
        timer_set(stream->group.home, &fast->timer, batch->touched_ns + timeout_ns(stream));
}

static struct FastBatches *fast_of(Stream *stream) {
    StreamParts *parts = stream->parts;
    if (parts->fast)
        return parts->fast;
    parts->fast = mem_zalloc(sizeof *parts->fast);
    parts->fast->stream = stream;
    list_init(&parts->fast->by_age);
    list_init(&parts->fast->events);
    timer_init(&parts->fast->timer, on_timer);
    return parts->fast;
}

void stream_fast_close_all(Stream *stream) {
    FastBatch *batch;
    while (stream->parts->fast && (batch = oldest(stream->parts->fast)))
        leave_door(stream, batch);
}

static void event_free(struct FastBatches *fast, FastEvent *event) {
    fast->event_count--;
    list_remove(&event->link);
    batch_unuse(event->batch);
    buf_done(&event->error_text);
    if (event->trace)
        trace_release(event->trace);
    mem_free(event);
}

void stream_fast_free(Stream *stream) {
    struct FastBatches *fast = stream->parts->fast;
    if (!fast)
        return;
    stream_fast_close_all(stream);
    LIST_FOR_EACH(link, &fast->events)
    event_free(fast, CONTAINER_OF(link, FastEvent, link));
    timer_cancel(stream->group.home, &fast->timer);
    map_done(&fast->by_id);
    mem_free(fast);
    stream->parts->fast = NULL;
}

/* At most this many messages from one ack to the next. */
static uint64_t flow_limit(const Stream *stream, const FastBatch *batch) {
    size_t open = stream->parts->fast->by_id.len;
    uint64_t share = FLOW_MAX / (open ? open : 1);
    uint64_t limit = batch->flow < share ? batch->flow : share;
    return limit ? limit : 1;
}

static ApiError open_batch(Stream *stream, const FastControl *control, FastBatch **out_batch) {
    struct FastBatches *fast = fast_of(stream);
    BatchCounts *counts = stream->js->batch_counts;
    if (fast->by_id.len >= FAST_PER_STREAM)
        return api_error(JSBatchPublishTooManyInflight);
    if (batch_counts_add(counts, BATCHES_FAST, 1) > FAST_TOTAL) {
        batch_counts_sub(counts, BATCHES_FAST, 1);
        return api_error(JSBatchPublishTooManyInflight);
    }
    FastBatch *batch = mem_zalloc(sizeof *batch + control->id.len);
    link_init(&batch->link);
    batch->users = 1;
    batch->is_open = true;
    batch->flow = control->flow;
    batch->goes_on = control->goes_on;
    batch->id_len = control->id.len;
    memcpy(batch->id, control->id.ptr, control->id.len);
    map_put(&fast->by_id, id_of(batch), batch);
    batch->ack_each = fast->by_id.len == 1 ? flow_limit(stream, batch) : 1;
    *out_batch = batch;
    return API_OK;
}

/* --- answers --- */

static void send_ack(Stream *stream, const FastBatch *batch, Slice reply) {
    Buf text = {0};
    buf_append_lit(&text, "{\"type\":\"ack\",\"seq\":");
    buf_append_u64(&text, batch->acked);
    buf_append_lit(&text, ",\"msgs\":");
    buf_append_u64(&text, batch->ack_each);
    buf_append_char(&text, '}');
    puback_text(stream, reply, buf_slice(&text));
    buf_done(&text);
}

static void send_gap(Stream *stream, const FastEvent *event) {
    Buf text = {0};
    buf_append_lit(&text, "{\"type\":\"gap\",\"last_seq\":");
    buf_append_u64(&text, event->expected);
    buf_append_lit(&text, ",\"seq\":");
    buf_append_u64(&text, event->seq);
    buf_append_char(&text, '}');
    puback_text(stream, reply_of(event), buf_slice(&text));
    buf_done(&text);
}

static void send_error(Stream *stream, const FastEvent *event) {
    Buf text = {0};
    buf_append_lit(&text, "{\"type\":\"err\",\"seq\":");
    buf_append_u64(&text, event->seq);
    buf_append_lit(&text, ",\"error\":");
    puback_write_api_error(&text, event->error);
    buf_append_char(&text, '}');
    puback_text(stream, reply_of(event), buf_slice(&text));
    buf_done(&text);
}

static void finish(Stream *stream, FastBatch *batch, Slice reply, uint64_t count) {
    batch->is_closed = true;
    leave_door(stream, batch);
    puback_batch(stream, reply, batch->stored_seq, id_of(batch), count);
}

static void pace(Stream *stream, FastBatch *batch) {
    uint64_t limit = flow_limit(stream, batch);
    if (batch->ack_each < limit)
        batch->ack_each = batch->ack_each * 2 < limit ? batch->ack_each * 2 : limit;
    else if (batch->ack_each > limit)
        batch->ack_each = batch->ack_each / 2 > limit ? batch->ack_each / 2 : limit;
}

static void answer_message(Stream *stream, FastEvent *event) {
    FastBatch *batch = event->batch;
    if (event->is_stored)
        batch->stored_seq = event->stored_seq;
    if (event->is_start)
        send_ack(stream, batch, reply_of(event));
    if (api_failed(event->error) && event->is_start && !batch->goes_on) {
        batch->is_closed = true;
        leave_door(stream, batch);
        puback_refuse(stream, reply_of(event), event->error);
        return;
    }
    if (api_failed(event->error)) {
        send_error(stream, event);
        if (!batch->goes_on || event->is_commit)
            finish(stream, batch, reply_of(event), event->seq ? event->seq - 1 : 0);
        return; /* an ack comes with the next one that is not refused */
    }
    if (event->is_commit) {
        finish(stream, batch, reply_of(event), event->seq);
        return;
    }
    if (event->seq >= batch->acked + batch->ack_each) {
        batch->acked += (event->seq - batch->acked) / batch->ack_each * batch->ack_each;
        pace(stream, batch);
        send_ack(stream, batch, reply_of(event));
    }
}

static void answer(Stream *stream, FastEvent *event) {
    FastBatch *batch = event->batch;
    if (batch->is_closed)
        return;
    switch (event->kind) {
    case EVENT_MESSAGE:
        answer_message(stream, event);
        break;
    case EVENT_GAP:
        send_gap(stream, event);
        if (event->ends)
            finish(stream, batch, reply_of(event), event->expected - 1);
        break;
    case EVENT_PING:
        send_ack(stream, batch, reply_of(event));
        break;
    case EVENT_END:
        finish(stream, batch, reply_of(event), event->seq - 1);
        break;
    }
}

void stream_fast_drain(Stream *stream) {
    struct FastBatches *fast = stream->parts->fast;
    while (fast && !list_is_empty(&fast->events)) {
        FastEvent *event = CONTAINER_OF(fast->events.next, FastEvent, link);
        if (!event->is_ready)
            return;
        list_remove(&event->link); /* an answer may come back to this stream */
        answer(stream, event);
        event_free(fast, event);
    }
}

Trace *stream_fast_take_trace(FastEvent *event) {
    Trace *trace = event->trace;
    event->trace = NULL;
    return trace;
}

void stream_fast_applied(Stream *stream, FastEvent *event, const PubVerdict *verdict) {
    event->is_ready = true;
    event->error = verdict->error;
    if (api_failed(verdict->error)) {
        buf_append(&event->error_text, verdict->error.text);
        event->error.text = buf_slice(&event->error_text);
        return;
    }
    event->is_stored = !verdict->is_duplicate;
    event->stored_seq = event->is_stored ? stream->state.last_seq + 1 : 0;
}

/* --- the door --- */

/* Cuts the last token off *rest; false when there is no token before it. */
static bool cut_last(Slice *rest, Slice *out_token) {
    for (size_t i = rest->len; i-- > 0;)
        if (rest->ptr[i] == '.') {
            *out_token = slice_from_at(*rest, i + 1);
            *rest = slice_first(*rest, i);
            return true;
        }
    return false;
}

static unsigned parse_control(Slice reply, FastControl *out) {
    Slice token, flow, gap, seq, op;
    uint64_t number;
    if (!cut_last(&reply, &token) || !cut_last(&reply, &op) || !cut_last(&reply, &seq) ||
        !cut_last(&reply, &gap) || !cut_last(&reply, &flow) || !cut_last(&reply, &out->id))
        return JSBatchPublishInvalidPatternErr;
    if (slice_parse_u64(op, &number) || number >= OP_COUNT || slice_parse_u64(seq, &out->seq))
        return JSBatchPublishInvalidPatternErr;
    out->op = (FastOp)number;
    out->goes_on = slice_equal(gap, LIT("ok"));
    if (!out->goes_on && !slice_equal(gap, LIT("fail")))
        return JSBatchPublishInvalidPatternErr;
    if (slice_parse_u64(flow, &out->flow) || !out->flow)
        out->flow = FLOW_DEFAULT;
    if (!out->id.len || out->id.len > FAST_ID_BYTES_MAX)
        return JSBatchPublishInvalidBatchIDErr;
    bool is_bad = out->seq == 0 || (out->op == OP_START && out->seq != 1) ||
                  (out->op == OP_APPEND && out->seq == 1);
    return is_bad ? JSBatchPublishInvalidPatternErr : 0;
}

static FastEvent *add_event(Stream *stream, FastBatch *batch, FastKind kind, uint64_t seq,
                            Slice reply) {
    FastEvent *event = mem_zalloc(sizeof *event + reply.len);
    event->batch = batch;
    batch->users++;
    event->kind = kind;
    event->seq = seq;
    event->is_ready = kind != EVENT_MESSAGE;
    event->reply_len = reply.len;
    memcpy(event->reply, reply.ptr, reply.len);
    list_push_back(&stream->parts->fast->events, &event->link);
    stream->parts->fast->event_count++;
    return event;
}

static void submit(Stream *stream, FastBatch *batch, const FastControl *control,
                   const Message *message, const PubHeaders *ask, bool is_start) {
    FastEvent *event = add_event(stream, batch, EVENT_MESSAGE, control->seq, message->reply);
    PubVerdict verdict = {.error = api_error(JSStreamTooManyRequests)};
    event->is_start = is_start;
    event->is_commit = control->op == OP_COMMIT;
    if (event->is_commit)
        leave_door(stream, batch);
    if (!stream_is_crowded(stream)) {
        Record draft = stream_draft(stream, message, ask);
        Ticket ticket = {.kind = TICKET_FAST, .pointer = event};
        draft.flags |= RECORD_FAST;
        if (message->trace) {
            trace_hold(message->trace);
            event->trace = message->trace;
        }
        bool is_admitted = stream_admit(stream, &draft, ask, &verdict);
        if (is_admitted && !(message->trace && message->trace->is_only)) {
            stream_propose(stream, &draft, ask, &ticket);
            return;
        }
        stream_tell_trace(stream, &ticket, &draft, ask, &verdict);
        verdict.is_duplicate |= is_admitted; /* not stored */
    }
    stream_fast_applied(stream, event, &verdict);
}

/* The next sequence is expected, unless a ping repeats the last. False: the batch is at its end. */
static bool check_gap(Stream *stream, FastBatch *batch, const FastControl *control, Slice reply) {
    bool is_ping = control->op == OP_PING;
    uint64_t expected = batch->seq + 1, got = is_ping ? control->seq + 1 : control->seq;
    if (got == expected || (is_ping && got < expected))
        return true;
    FastEvent *event = add_event(stream, batch, EVENT_GAP, got, reply);
    event->expected = expected;
    event->ends = !batch->goes_on || got < expected;
    if (event->ends)
        leave_door(stream, batch);
    else
        batch->seq = got - 1;
    return !event->ends;
}

static void take(Stream *stream, FastBatch *batch, const FastControl *control,
                 const Message *message, const PubHeaders *ask, bool is_start) {
    if (message->trace)
        message->trace->is_silent = true;
    if (!check_gap(stream, batch, control, message->reply))
        return;
    touch(stream, batch);
    if (control->op == OP_PING) {
        if (stream->parts->fast->event_count < EVENTS_MAX)
            add_event(stream, batch, EVENT_PING, control->seq, message->reply);
        return;
    }
    batch->seq = control->seq;
    if (control->op == OP_COMMIT_BEFORE) {
        add_event(stream, batch, EVENT_END, control->seq, message->reply);
        leave_door(stream, batch);
    } else {
        if (message->trace)
            message->trace->is_silent = false;
        submit(stream, batch, control, message, ask, is_start);
    }
}

void stream_fast_on_publish(Stream *stream, const Message *message, const PubHeaders *ask) {
    FastControl control;
    FastBatch *batch = NULL;
    bool is_start = false;

    ApiError error = stream_check_alone(stream, message);
    if (!api_failed(error) && !stream->config->allow_batched)
        error = api_error(JSBatchPublishDisabledErr);
    unsigned code = api_failed(error) ? 0 : parse_control(message->reply, &control);
    if (code)
        error = api_error(code);
    if (!api_failed(error)) {
        batch = map_get(&fast_of(stream)->by_id, control.id);
        bool may_open = control.op == OP_START || (control.op == OP_COMMIT && control.seq == 1);
        if (!batch && !may_open)
            error = api_error(control.op == OP_COMMIT_BEFORE && control.seq == 1
                                  ? JSBatchPublishInvalidPatternErr
                                  : JSBatchPublishUnknownBatchIDErr);
        else if (!batch) {
            error = open_batch(stream, &control, &batch);
            is_start = control.op == OP_START;
        }
    }
    if (api_failed(error)) {
        puback_refuse(stream, message->reply, error);
        if (message->trace)
            stream_trace_refused(stream, message->trace, (Slice){0}, NULL,
                                 &(PubVerdict){.error = error});
        return;
    }
    batch->users++;
    take(stream, batch, &control, message, ask, is_start);
    stream_fast_drain(stream);
    batch_unuse(batch);
}
