/* Increments of clients on their way to the journal, one by one or in a batch. */
#include <string.h>

#include "base/mem.h"
#include "bus/trace.h"
#include "proto/headers.h"
#include "stream/counters_private.h"
#include "stream/puback.h"
#include "stream/stream_batch.h"
#include "stream/stream_fast.h"

/* A publish or a batch that waits until a total was read. */
typedef struct Waiting {
    StreamWait wait;
    Link link;
    Stream *stream;
    Ticket ticket; /* data: in text; TICKET_BATCH: body are the members, else the headers */
    uint8_t flags; /* of the draft */
    size_t subject_len, body_len;
    char text[]; /* subject whose total it is, body, reply */
} Waiting;

enum { WAITING_MAX = 1000 }; /* over it: 10167 with status 429 */

static Slice subject_of(const Waiting *waiting) {
    return slice_from(waiting->text, waiting->subject_len);
}

static Slice body_of(const Waiting *waiting) {
    return slice_from(waiting->text + waiting->subject_len, waiting->body_len);
}

static void refuse(Stream *stream, const Ticket *ticket, ApiError error) {
    const Record unknown = {0};
    PubVerdict verdict = {.error = error};
    if (ticket->kind == TICKET_FAST)
        stream_fast_applied(stream, ticket->pointer, &verdict);
    else if (error.code == JSStreamTooManyRequests)
        puback_too_many(stream, ticket->data);
    else
        puback_refuse(stream, ticket->data, error);
    if (ticket->kind == TICKET_BATCH)
        stream_tell_batch_trace(stream, ticket->pointer, &(BatchVerdict){.verdict = verdict});
    else
        stream_tell_trace(stream, ticket, &unknown, NULL, &verdict);
    if (ticket->kind == TICKET_FAST)
        stream_fast_drain(stream);
}

/* --- what waits --- */

/* Batches count as open ones do. */
static void count_bytes(Stream *stream, const Waiting *waiting, int sign) {
    BatchCounts *counts = stream->js->batch_counts;
    if (waiting->ticket.kind != TICKET_BATCH)
        return;
    if (sign > 0)
        (void)batch_counts_add(counts, BATCHES_OPEN_BYTES, waiting->body_len);
    else
        batch_counts_sub(counts, BATCHES_OPEN_BYTES, waiting->body_len);
}

static void unlist(Counters *counters, Waiting *waiting) {
    list_remove(&waiting->link);
    counters->waiting_count--;
    count_bytes(waiting->stream, waiting, -1);
}

static void publish_now(Stream *stream, const Record *draft, const Ticket *ticket);
static void publish_batch_now(Stream *stream, Slice members, const Ticket *ticket);

static void on_ready(StreamWait *wait) {
    Waiting *waiting = CONTAINER_OF(wait, Waiting, wait);
    Stream *stream = waiting->stream;
    unlist(stream->parts->counters, waiting);
    if (waiting->ticket.kind == TICKET_BATCH) {
        publish_batch_now(stream, body_of(waiting), &waiting->ticket);
    } else {
        Record draft = {.type = RECORD_PUBLISH,
                        .flags = waiting->flags,
                        .time_ns = stream_clock(stream),
                        .subject = subject_of(waiting),
                        .headers = body_of(waiting)};
        publish_now(stream, &draft, &waiting->ticket);
    }
    mem_free(waiting);
}

static void wait_for_total(Stream *stream, Slice subject, Slice body, uint8_t flags,
                           const Ticket *ticket) {
    Counters *counters = counters_of(stream);
    if (counters->waiting_count >= WAITING_MAX) {
        refuse(stream, ticket, api_error(JSStreamTooManyRequests));
        return;
    }
    if (ticket->kind == TICKET_BATCH &&
        batch_counts_add(stream->js->batch_counts, BATCHES_OPEN_BYTES, 0) + body.len >
            BATCH_OPEN_BYTES_MAX) {
        refuse(stream, ticket, api_error(JSAtomicPublishTooManyInflight));
        return;
    }
    const Slice parts[] = {subject, body, ticket->data};
    Waiting *waiting = mem_alloc(sizeof *waiting + subject.len + body.len + ticket->data.len);
    *waiting = (Waiting){.wait.ready = on_ready,
                         .stream = stream,
                         .ticket = *ticket,
                         .flags = flags,
                         .subject_len = subject.len,
                         .body_len = body.len};
    char *to = waiting->text;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; to += parts[i++].len)
        if (parts[i].len)
            memcpy(to, parts[i].ptr, parts[i].len);
    waiting->ticket.data = slice_from(to - ticket->data.len, ticket->data.len);
    list_push_back(&counters->waitings, &waiting->link);
    counters->waiting_count++;
    count_bytes(stream, waiting, 1);
    counters_fetch(stream, subject_of(waiting), &waiting->wait);
}

void counters_drop_waitings(Stream *stream, Counters *counters) {
    while (!list_is_empty(&counters->waitings)) {
        Waiting *waiting = CONTAINER_OF(counters->waitings.next, Waiting, link);
        unlist(counters, waiting);
        stream_cancel_wait(&waiting->wait);
        if (waiting->ticket.kind != TICKET_FAST && waiting->ticket.pointer)
            trace_release(waiting->ticket.pointer);
        mem_free(waiting);
    }
    (void)stream;
}

/* Those of a subject stay in order. */
static bool is_waited_for(const Counters *counters, Slice subject) {
    LIST_FOR_EACH(link, &counters->waitings) {
        const Waiting *waiting = CONTAINER_OF(link, Waiting, link);
        if (slice_equal(subject_of(waiting), subject))
            return true;
    }
    return false;
}

/* --- what goes --- */

static void publish_now(Stream *stream, const Record *draft, const Ticket *ticket) {
    Record counted = *draft;
    counted.payload = (Slice){0};
    Status status = counters_propose(stream, &counted, (Slice){0});
    if (status == OK)
        stream_submit(stream, &counted, ticket);
    else if (status == ERR_AGAIN)
        wait_for_total(stream, draft->subject, draft->headers, draft->flags, ticket);
    else
        refuse(stream, ticket, api_error(JSMessageCounterBrokenErr));
}

void counters_publish(Stream *stream, const Record *draft, const Ticket *ticket) {
    Counters *counters = counters_of(stream);
    if (counters->waiting_count && is_waited_for(counters, draft->subject))
        wait_for_total(stream, draft->subject, draft->headers, draft->flags, ticket);
    else
        publish_now(stream, draft, ticket);
}

static void publish_batch_now(Stream *stream, Slice members, const Ticket *ticket) {
    Record entry = {.type = RECORD_BATCH, .time_ns = stream_clock(stream)};
    Buf counted = {0};
    Slice subject;
    Status status = counters_propose_batch(stream, members, entry.time_ns, &counted, &subject);
    entry.payload = buf_slice(&counted);
    if (status == OK)
        stream_submit(stream, &entry, ticket);
    else if (status == ERR_AGAIN)
        wait_for_total(stream, subject, members, 0, ticket);
    else if (status == ERR_FULL)
        refuse(stream, ticket, stream_batch_too_large(stream));
    else
        refuse(stream, ticket, api_error(JSMessageCounterBrokenErr));
    buf_done(&counted);
}

void counters_publish_batch(Stream *stream, Slice members, const Ticket *ticket) {
    publish_batch_now(stream, members, ticket);
}

/* --- what did not fit --- */

static bool is_sources(Slice name, void *cookie) {
    (void)cookie;
    return slice_equal(name, LIT("Nats-Counter-Sources"));
}

void counters_plain_headers(Slice headers, Buf *out) {
    header_copy_open(out, headers, is_sources, NULL);
    header_end(out);
}

void counters_again(Stream *stream, const Record *record, const Ticket *ticket) {
    Buf headers = {0};
    counters_break(counters_of(stream), record->subject, record->index);
    counters_plain_headers(record->headers, &headers);
    Record draft = {.type = RECORD_PUBLISH,
                    .flags = record->flags & (uint8_t)~RECORD_COUNTED,
                    .time_ns = stream_clock(stream),
                    .subject = record->subject,
                    .headers = buf_slice(&headers)};
    counters_publish(stream, &draft, ticket);
    buf_done(&headers);
}

void counters_again_batch(Stream *stream, const Record *batch, const Ticket *ticket) {
    Record member;
    Place place;
    for (size_t at = 0; batch_next_member(batch, 0, &at, &member, &place);)
        if (member.flags & RECORD_COUNTED)
            counters_break(counters_of(stream), member.subject, batch->index);
    publish_batch_now(stream, batch->payload, ticket);
}
