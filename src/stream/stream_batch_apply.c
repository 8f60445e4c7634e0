/* A whole batch, when its entry is applied: every member is decided as if those before it were
 * stored, then all are stored, or none. */
#include "bus/trace.h"
#include "stream/puback.h"
#include "stream/stream_batch.h"

bool batch_next_member(const Record *batch, Place place, size_t *at, Record *out_member,
                       Place *out_place) {
    size_t used;
    if (*at >= batch->payload.len ||
        record_parse_trusted(slice_from_at(batch->payload, *at), out_member, &used))
        return false;
    *out_place =
        place ? place + RECORD_HEADER_BYTES + batch->subject.len + batch->headers.len + *at : 0;
    *at += used;
    return true;
}

static size_t count_members(const Record *batch) {
    Record member;
    Place place;
    size_t count = 0;
    for (size_t at = 0; batch_next_member(batch, 0, &at, &member, &place);)
        count++;
    return count;
}

/* What an earlier message of the batch would have changed. */
void batch_view_note(const Stream *stream, BatchView *view, const Record *member,
                     const PubHeaders *ask, bool is_unwanted) {
    uint64_t bytes = member->headers.len + member->payload.len;
    uint32_t size = (uint32_t)bytes | (member->headers.len ? MSG_HAS_HEADERS : 0);
    batch_view_add(view, member->subject, ask ? ask->msg_id : (Slice){0}, bytes,
                   is_unwanted ? 0 : stream_accounted_bytes(stream, member->subject.len, size));
}

static const PubHeaders *parse(const Record *member, PubHeaders *headers) {
    if (!member->headers.len)
        return NULL;
    pub_headers_parse(member->headers, headers);
    return headers;
}

void stream_decide_batch(Stream *stream, const Record *batch, BatchVerdict *out_verdict) {
    BatchView view;
    Record member;
    Place place;
    PubVerdict *verdict = &out_verdict->verdict;

    *out_verdict = (BatchVerdict){0};
    batch_view_init(&view, count_members(batch));
    for (size_t at = 0;
         !api_failed(verdict->error) && batch_next_member(batch, 0, &at, &member, &place);) {
        const PubHeaders *ask = parse(&member, &out_verdict->ask);
        out_verdict->subject = member.subject;
        stream_decide(stream, &member, ask, &view, verdict);
        batch_view_note(stream, &view, &member, ask, verdict->is_unwanted);
    }
    out_verdict->count = view.count;
    batch_view_done(&view);
}

void stream_tell_batch_trace(Stream *stream, Trace *trace, const BatchVerdict *verdict) {
    if (__builtin_expect(!trace, 1))
        return;
    if (api_failed(verdict->verdict.error))
        stream_trace_batch_refused(stream, trace, &verdict->ask, &verdict->verdict);
    else
        stream_trace_stored(stream, trace, verdict->subject, verdict->verdict.is_unwanted);
    trace_release(trace);
}

/* Whether a member only takes a sequence was settled before the first was stored; it does not
 * depend on them. */
void stream_store_member(Stream *stream, const Record *member, Place place, Shared *hold,
                         bool is_live) {
    static const Ticket quiet = {.kind = TICKET_BATCH};
    PubHeaders headers;
    const PubHeaders *ask = parse(member, &headers);
    PubVerdict verdict = {.is_unwanted = stream->config->retention == RETENTION_INTEREST &&
                                         !consumer_set_wants(stream->consumers, member->subject)};
    stream_store_decided(stream, member, ask, place, hold, &verdict, is_live ? &quiet : NULL);
}

static bool fits(Stream *stream, const Record *record) {
    return !stream->config->allow_msg_counter || counters_fit_batch(stream, record);
}

void stream_apply_batch(Stream *stream, const Record *record, Place place, Shared *hold,
                        const Ticket *ticket) {
    BatchVerdict verdict;
    Record member = {0};
    Place member_place;

    if (ticket)
        stream_note_landed(stream, record);
    stream_decide_batch(stream, record, &verdict);
    bool is_stored = !api_failed(verdict.verdict.error) && verdict.count;
    if (is_stored && !fits(stream, record)) {
        if (ticket)
            counters_again_batch(stream, record, ticket);
    } else {
        if (ticket)
            stream_tell_batch_trace(stream, ticket->pointer, &verdict);
        for (size_t at = 0;
             is_stored && batch_next_member(record, place, &at, &member, &member_place);)
            stream_store_member(stream, &member, member_place, hold, ticket != NULL);
        if (ticket && is_stored)
            puback_batch(stream, ticket->data, stream->state.last_seq, verdict.ask.batch_id,
                         verdict.count);
        else if (ticket)
            puback_refuse(stream, ticket->data, verdict.verdict.error);
    }
    if (ticket)
        counters_landed_batch(stream, record);
}
