#include "stream/stream_batch.h"

#include <string.h>

#include "base/mem.h"
#include "bus/trace.h"
#include "io/clock.h"
#include "proto/headers.h"
#include "proto/json.h"
#include "stream/api.h"
#include "stream/api_private.h"
#include "stream/puback.h"

enum {
    OPEN_PER_STREAM = 50,
    OPEN_TOTAL = 1000,
    MESSAGES_MAX = 1000,
    TIMEOUT_S = 10,
    API_LEVEL = 5,
};

typedef struct OpenBatch {
    Link link; /* those without a message for longest first */
    uint64_t touched_ns;
    uint64_t seq;   /* of the newest member */
    Buf records;    /* the members, without time and checksum */
    size_t last_at; /* where the newest one begins */
    size_t id_len;
    char id[];
} OpenBatch;

struct OpenBatches {
    Stream *stream;
    Map by_id;
    List by_age;
    Timer timer;
};

static int64_t limit_or(int64_t configured, int64_t otherwise) {
    return configured > 0 ? configured : otherwise;
}

static const BatchLimits *limits_of(const Stream *stream) {
    return &stream->js->options->batch;
}

static uint64_t messages_max(const Stream *stream) {
    return (uint64_t)limit_or(limits_of(stream)->max_msgs, MESSAGES_MAX);
}

static uint64_t timeout_ns(const Stream *stream) {
    return (uint64_t)limit_or(limits_of(stream)->timeout_ns, TIMEOUT_S * (int64_t)NS_PER_S);
}

static Slice id_of(const OpenBatch *batch) {
    return slice_from(batch->id, batch->id_len);
}

static void advise(Stream *stream, Slice id, Slice reason) {
    Buf tail = {0}, fields = {0};
    buf_append_lit(&tail, "ADVISORY.STREAM.BATCH_ABANDONED.");
    buf_append(&tail, stream_name(stream));
    buf_append_lit(&fields, ",\"stream\":");
    json_write_string(&fields, stream_name(stream));
    buf_append_lit(&fields, ",\"batch\":");
    json_write_string(&fields, id);
    buf_append_lit(&fields, ",\"reason\":");
    json_write_string(&fields, reason);
    api_advisory(stream->js, stream->account, buf_slice(&tail), LIT("stream_batch_abandoned"),
                 buf_slice(&fields));
    buf_done(&tail);
    buf_done(&fields);
}

/* --- what is open --- */

static void close_batch(Stream *stream, OpenBatch *batch) {
    BatchCounts *counts = stream->js->batch_counts;
    map_remove(&stream->parts->batches->by_id, id_of(batch));
    list_remove(&batch->link);
    batch_counts_sub(counts, BATCHES_OPEN, 1);
    batch_counts_sub(counts, BATCHES_OPEN_BYTES, batch->records.len);
    buf_done(&batch->records);
    mem_free(batch);
}

/* reason empty: no advisory. */
static void abandon(Stream *stream, OpenBatch *batch, Slice reason) {
    if (reason.len)
        advise(stream, id_of(batch), reason);
    close_batch(stream, batch);
}

static OpenBatch *oldest(const struct OpenBatches *batches) {
    return list_is_empty(&batches->by_age) ? NULL
                                           : CONTAINER_OF(batches->by_age.next, OpenBatch, link);
}

static void on_timer(Timer *timer) {
    struct OpenBatches *batches = CONTAINER_OF(timer, struct OpenBatches, timer);
    Stream *stream = batches->stream;
    uint64_t now = clock_mono_ns(), wait_ns = timeout_ns(stream);
    OpenBatch *batch;
    while ((batch = oldest(batches)) && batch->touched_ns + wait_ns <= now)
        abandon(stream, batch, LIT("timeout"));
    if (batch)
        timer_set(stream->group.home, timer, batch->touched_ns + wait_ns);
}

static void touch(Stream *stream, OpenBatch *batch) {
    struct OpenBatches *batches = stream->parts->batches;
    batch->touched_ns = clock_mono_ns();
    list_remove(&batch->link);
    list_push_back(&batches->by_age, &batch->link);
    if (!timer_is_set(&batches->timer))
        timer_set(stream->group.home, &batches->timer, batch->touched_ns + timeout_ns(stream));
}

static struct OpenBatches *batches_of(Stream *stream) {
    StreamParts *parts = stream->parts;
    if (parts->batches)
        return parts->batches;
    parts->batches = mem_zalloc(sizeof *parts->batches);
    parts->batches->stream = stream;
    list_init(&parts->batches->by_age);
    timer_init(&parts->batches->timer, on_timer);
    return parts->batches;
}

void stream_batches_free(Stream *stream) {
    struct OpenBatches *batches = stream->parts->batches;
    OpenBatch *batch;
    if (!batches)
        return;
    while ((batch = oldest(batches)))
        close_batch(stream, batch);
    timer_cancel(stream->group.home, &batches->timer);
    map_done(&batches->by_id);
    mem_free(batches);
    stream->parts->batches = NULL;
}

/* NULL: too many. */
static OpenBatch *open_batch(Stream *stream, Slice id) {
    struct OpenBatches *batches = batches_of(stream);
    BatchCounts *counts = stream->js->batch_counts;
    uint64_t per_stream =
        (uint64_t)limit_or(limits_of(stream)->max_inflight_per_stream, OPEN_PER_STREAM);
    uint64_t total = (uint64_t)limit_or(limits_of(stream)->max_inflight_total, OPEN_TOTAL);

    if (batches->by_id.len >= per_stream)
        return NULL;
    if (batch_counts_add(counts, BATCHES_OPEN, 1) > total) {
        batch_counts_sub(counts, BATCHES_OPEN, 1);
        return NULL;
    }
    OpenBatch *batch = mem_zalloc(sizeof *batch + id.len);
    link_init(&batch->link);
    batch->id_len = id.len;
    memcpy(batch->id, id.ptr, id.len);
    map_put(&batches->by_id, id_of(batch), batch);
    return batch;
}

/* --- members --- */

static bool is_level_header(Slice name, void *cookie) {
    (void)cookie;
    return slice_equal(name, LIT("Nats-Required-Api-Level"));
}

/* Without Nats-Required-Api-Level. In the turn's arena. */
static Slice without_level(const Stream *stream, Slice headers) {
    Buf text = {0};
    header_copy_open(&text, headers, is_level_header, NULL);
    header_end(&text);
    Slice kept = arena_copy(stream->group.home->turn, buf_slice(&text));
    buf_done(&text);
    return kept;
}

static void write_member(Buf *out, const Record *member) {
    size_t bytes = record_bytes(member);
    record_write(member, buf_reserve(out, bytes));
    out->len += bytes;
}

/* 0, or the error's code. */
static unsigned add_member(Stream *stream, OpenBatch *batch, const Message *message,
                           const PubHeaders *ask) {
    BatchCounts *counts = stream->js->batch_counts;
    Record member = stream_draft(stream, message, ask);
    if (ask->required_level.len)
        member.headers = without_level(stream, member.headers);
    if (member.subject.len > UINT16_MAX || record_bytes(&member) > BATCH_BYTES_MAX ||
        batch->records.len + record_bytes(&member) > BATCH_BYTES_MAX)
        return JSAtomicPublishTooLargeBatchErrF;
    member.group = stream->group.id;
    batch->last_at = batch->records.len;
    write_member(&batch->records, &member);
    if (batch_counts_add(counts, BATCHES_OPEN_BYTES, batch->records.len - batch->last_at) >
        BATCH_OPEN_BYTES_MAX)
        return JSAtomicPublishTooManyInflight;
    return 0;
}

/* The members as they go into the log: with their time, and when it was not sent as such, the last
 * one with the header that says so. */
static void write_members(const OpenBatch *batch, int64_t time_ns, bool is_marked, Buf *out) {
    const Record all = {.payload = buf_slice(&batch->records)};
    Record member;
    Place none;
    buf_reserve(out, batch->records.len + RECORD_HEADER_BYTES);
    for (size_t at = 0, start = 0; batch_next_member(&all, 0, &at, &member, &none); start = at) {
        member.time_ns = time_ns;
        Buf headers = {0};
        if (start == batch->last_at && is_marked) {
            header_copy_open(&headers, member.headers, NULL, NULL);
            header_append(&headers, LIT("Nats-Batch-Commit"), LIT("1"));
            header_end(&headers);
            member.headers = buf_slice(&headers);
        }
        write_member(out, &member);
        buf_done(&headers);
    }
}

/* What it would come to, without storing it. */
static void only_decide(Stream *stream, const Record *entry, Slice reply, Trace *trace) {
    BatchVerdict verdict;
    if (stream->group.in_flight == 0)
        stream_expire_quietly(stream, entry->time_ns);
    stream_decide_batch(stream, entry, &verdict);
    if (!api_failed(verdict.verdict.error))
        verdict.verdict.error = stream_check_server(stream, entry);
    if (api_failed(verdict.verdict.error))
        puback_refuse(stream, reply, verdict.verdict.error);
    trace_hold(trace);
    stream_tell_batch_trace(stream, trace, &verdict);
}

static void propose(Stream *stream, const Record *entry, Slice reply, Trace *trace) {
    BatchVerdict verdict = {0};
    Ticket ticket = {.kind = TICKET_BATCH,
                     .data = stream->config->no_ack ? (Slice){0} : reply,
                     .pointer = trace};
    if (trace)
        trace_hold(trace);
    if (stream->group.in_flight == 0) {
        stream_expire_quietly(stream, entry->time_ns);
        stream_decide_batch(stream, entry, &verdict);
    }
    if (!api_failed(verdict.verdict.error))
        verdict.verdict.error = stream_check_server(stream, entry);
    if (api_failed(verdict.verdict.error)) {
        puback_refuse(stream, reply, verdict.verdict.error);
        stream_tell_batch_trace(stream, trace, &verdict);
    } else if (stream->config->allow_msg_counter) {
        counters_publish_batch(stream, entry->payload, &ticket);
    } else {
        stream_submit(stream, entry, &ticket);
    }
}

/* Takes batch. */
static void commit(Stream *stream, OpenBatch *batch, bool is_marked, Slice reply, Trace *trace) {
    Record entry = {.type = RECORD_BATCH, .time_ns = stream_clock(stream)};
    Buf members = {0};
    write_members(batch, entry.time_ns, is_marked, &members);
    close_batch(stream, batch);
    entry.payload = buf_slice(&members);
    if (trace && trace->is_only)
        only_decide(stream, &entry, reply, trace);
    else
        propose(stream, &entry, reply, trace);
    buf_done(&members);
}

/* --- the door --- */

typedef enum CommitKind { COMMIT_NO, COMMIT_THIS, COMMIT_BEFORE, COMMIT_INVALID } CommitKind;

static CommitKind commit_kind(const PubHeaders *ask) {
    if (!ask->batch_commit.ptr)
        return COMMIT_NO;
    if (slice_equal(ask->batch_commit, LIT("1")))
        return COMMIT_THIS;
    return slice_equal(ask->batch_commit, LIT("eob")) ? COMMIT_BEFORE : COMMIT_INVALID;
}

static bool is_level_too_high(const PubHeaders *ask) {
    Slice text = ask->required_level;
    uint64_t level;
    bool is_negative = text.len > 1 && text.ptr[0] == '-';
    if (is_negative)
        text = slice_from_at(text, 1);
    return text.len && (slice_parse_u64(text, &level) || (!is_negative && level > API_LEVEL));
}

ApiError stream_batch_too_large(const Stream *stream) {
    char text[20];
    return api_error_with(stream->group.home->turn, JSAtomicPublishTooLargeBatchErrF,
                          slice_from(text, u64_to_decimal(messages_max(stream), text)));
}

/* What makes the batch invalid at once. Sets *out_reason for the advisory. */
static ApiError check_member(const Stream *stream, const OpenBatch *batch, uint64_t seq,
                             CommitKind kind, const PubHeaders *ask, Slice *out_reason) {
    *out_reason = (Slice){0};
    if (kind == COMMIT_INVALID)
        return api_error(JSAtomicPublishInvalidBatchCommitErr);
    if (is_level_too_high(ask)) {
        *out_reason = LIT("unsupported");
        return api_error(JSRequiredApiLevelErr);
    }
    if (seq != batch->seq + 1 || (kind == COMMIT_BEFORE && seq == 1)) {
        *out_reason = LIT("incomplete");
        return api_error(JSAtomicPublishIncompleteBatchErr);
    }
    if (kind != COMMIT_BEFORE && seq > messages_max(stream)) {
        *out_reason = LIT("large");
        return stream_batch_too_large(stream);
    }
    return API_OK;
}

static ApiError find_batch(Stream *stream, const PubHeaders *ask, uint64_t *out_seq,
                           OpenBatch **out_batch) {
    if (!stream->config->allow_atomic)
        return api_error(JSAtomicPublishDisabledErr);
    if (ask->batch_id.len > BATCH_ID_BYTES_MAX)
        return api_error(JSAtomicPublishInvalidBatchIDErr);
    if (!ask->batch_seq.len || slice_parse_u64(ask->batch_seq, out_seq))
        return api_error(JSAtomicPublishMissingSeqErr);
    *out_batch =
        stream->parts->batches ? map_get(&stream->parts->batches->by_id, ask->batch_id) : NULL;
    if (*out_batch)
        return API_OK;
    if (*out_seq != 1)
        return api_error(JSAtomicPublishIncompleteBatchErr);
    *out_batch = open_batch(stream, ask->batch_id);
    return *out_batch ? API_OK : api_error(JSAtomicPublishTooManyInflight);
}

static void tell_refused(Stream *stream, Trace *trace, ApiError error) {
    if (trace)
        stream_trace_batch_refused(stream, trace, NULL, &(PubVerdict){.error = error});
}

void stream_batch_on_publish(Stream *stream, const Message *message, const PubHeaders *ask) {
    OpenBatch *batch = NULL;
    uint64_t seq;
    Slice reason = {0};
    CommitKind kind = commit_kind(ask);

    ApiError error = stream_check_alone(stream, message);
    if (!api_failed(error))
        error = find_batch(stream, ask, &seq, &batch);
    if (!api_failed(error))
        error = check_member(stream, batch, seq, kind, ask, &reason);
    if (!api_failed(error) && kind != COMMIT_BEFORE) {
        unsigned code = add_member(stream, batch, message, ask);
        if (code) {
            reason = LIT("large");
            error = code == JSAtomicPublishTooManyInflight ? api_error(code)
                                                           : stream_batch_too_large(stream);
        }
    }
    if (api_failed(error)) {
        if (batch)
            abandon(stream, batch, reason);
        puback_refuse(stream, message->reply, error);
        tell_refused(stream, message->trace, error);
        return;
    }
    if (kind != COMMIT_NO && stream_is_crowded(stream)) {
        close_batch(stream, batch);
        puback_too_many(stream, message->reply);
        tell_refused(stream, message->trace, api_error(JSStreamTooManyRequests));
        return;
    }
    batch->seq = seq;
    if (kind != COMMIT_NO) {
        commit(stream, batch, kind == COMMIT_BEFORE, message->reply, message->trace);
        return;
    }
    touch(stream, batch);
    puback_text(stream, message->reply, (Slice){0});
    if (message->trace)
        message->trace->is_silent = true;
}
