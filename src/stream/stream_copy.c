/* Messages that bring their sequence and time: of restored streams; what RECORD_COPY and
 * RECORD_SKIP do. Those of mirrors and sources: copy_apply.c. */
#include <string.h>

#include "base/bytes.h"
#include "stream/copy.h"
#include "stream/stream_parts.h"

static void put_prefix(char *to, uint64_t seq, int64_t time_ns) {
    bytes_put_u64(to, seq);
    bytes_put_u64(to + 8, (uint64_t)time_ns);
    memset(to + 16, 0, COPY_PREFIX_BYTES - 16);
}

bool stream_unwrap_copy(Record *record, uint64_t *out_seq) {
    if (record->type != RECORD_COPY)
        return true;
    if (record->payload.len < COPY_PREFIX_BYTES)
        return false;
    *out_seq = bytes_get_u64(record->payload.ptr);
    if (!(record->flags & COPY_OF_SOURCE))
        record->time_ns = (int64_t)bytes_get_u64(record->payload.ptr + 8);
    RecordRef ref;
    if (!(record->flags & RECORD_REF))
        record->payload = slice_from_at(record->payload, COPY_PREFIX_BYTES);
    else if (record->payload.len == COPY_PREFIX_BYTES + RECORD_REF_BYTES &&
             record_ref_read(record, &ref))
        record->payload = slice_from(NULL, ref.len);
    else
        return false;
    return true;
}

static void propose(Stream *stream, const Record *draft) {
    Ticket ticket = {.kind = TICKET_COPY};
    stream_submit(stream, draft, &ticket);
}

void stream_propose_copy(Stream *stream, const StoredMsg *msg) {
    ASSERT_HOME(&stream->group);
    char *payload = arena_alloc(stream->group.home->turn, COPY_PREFIX_BYTES + msg->payload.len);
    put_prefix(payload, msg->seq, msg->time_ns);
    if (msg->payload.len)
        memcpy(payload + COPY_PREFIX_BYTES, msg->payload.ptr, msg->payload.len);
    propose(stream,
            &(Record){.type = RECORD_COPY,
                      .time_ns = stream_clock(stream),
                      .subject = msg->subject,
                      .headers = msg->headers,
                      .payload = slice_from(payload, COPY_PREFIX_BYTES + msg->payload.len)});
}

void stream_propose_skip(Stream *stream, uint64_t seq, int64_t time_ns) {
    ASSERT_HOME(&stream->group);
    char payload[COPY_PREFIX_BYTES];
    put_prefix(payload, seq, time_ns);
    propose(stream, &(Record){.type = RECORD_SKIP,
                              .time_ns = stream_clock(stream),
                              .payload = slice_from(payload, sizeof payload)});
}

void stream_propose_removed(Stream *stream, uint64_t seq) {
    char payload[9] = {0};
    bytes_put_u64(payload, seq);
    propose(stream, &(Record){.type = RECORD_DELETE,
                              .time_ns = stream_clock(stream),
                              .payload = slice_from(payload, sizeof payload)});
}

void stream_propose_restored(Stream *stream, Slice consumer) {
    propose(stream, &(Record){.type = RECORD_CONSUMER_RESTORE,
                              .time_ns = stream_clock(stream),
                              .payload = consumer});
}

void stream_copy_landed(Stream *stream, const Record *record) {
    Record whole = *record;
    RecordRef ref;
    if (record_ref_read(record, &ref))
        whole.payload = slice_from(NULL, COPY_PREFIX_BYTES + ref.len);
    stream_note_landed(stream, &whole);
}

void stream_copy_refused(Stream *stream, const Record *record, Status why) {
    stream_chunk_refused(stream, record);
    if (record->flags & (COPY_OF_MIRROR | COPY_OF_SOURCE)) {
        stream_copy_landed(stream, record);
        copy_refused(stream, record);
        return;
    }
    stream->parts->copy_refused = why;
    if (why != ERR_CLOSED)
        stream_copied(stream, record);
}

/* A copy or the last restored message whose chunk is not there. What landed is told by who applies.
 */
void stream_copy_unbacked(Stream *stream, const Record *record) {
    if (record->flags & (COPY_OF_MIRROR | COPY_OF_SOURCE)) {
        stream_copy_landed(stream, record);
        copy_refused(stream, record);
    } else {
        stream->parts->copy_refused = ERR_FULL;
    }
}

void stream_copied(Stream *stream, const Record *record) {
    StreamParts *parts = stream->parts;
    stream_copy_landed(stream, record);
    if (parts->copied && parts->in_flight_bytes < STREAM_COPIES_FEW_BYTES)
        worker_ready(stream->group.home, parts->copied);
}

static void skip_to(Stream *stream, uint64_t last_seq) {
    StreamState *state = &stream->state;
    state->last_seq = last_seq;
    if (state->messages == 0)
        state->first_seq = last_seq + 1;
}

void stream_apply_skip(Stream *stream, const Record *record) {
    if (record->payload.len != COPY_PREFIX_BYTES)
        return;
    uint64_t seq = bytes_get_u64(record->payload.ptr);
    int64_t time_ns = (int64_t)bytes_get_u64(record->payload.ptr + 8);
    const StreamState *state = &stream->state;
    if (seq < state->last_seq || (seq == state->last_seq && state->messages) || seq == UINT64_MAX)
        return; /* an empty stream may only learn where it begins */
    skip_to(stream, seq);
    if (time_ns != TIME_ZERO)
        stream->state.last_time_ns = time_ns;
}

void stream_apply_copy(Stream *stream, const Record *record, Place place, Shared *hold,
                       const Ticket *ticket) {
    Record message = *record;
    PubHeaders headers, *ask = NULL;
    StoredMsg stored;
    uint64_t seq;

    if (record->flags & (COPY_OF_MIRROR | COPY_OF_SOURCE)) {
        copy_apply(stream, record, place, hold, ticket);
        return;
    }
    /* The rest was made sure of by who proposed it; these bytes may come from a disk. */
    if (!stream_unwrap_copy(&message, &seq) || seq <= stream->state.last_seq || seq == UINT64_MAX ||
        message.subject.len == 0 || message.headers.len + message.payload.len > MSG_LEN_MASK)
        return;
    if (place & MSG_REF)
        message.payload = stream->parts->chunks.applying_payload;
    if (message.headers.len) {
        pub_headers_parse(message.headers, &headers);
        ask = &headers;
    }
    if (seq > stream->state.last_seq + 1)
        skip_to(stream, seq - 1);
    StoreMsg store = {.subject = message.subject,
                      .headers = message.headers,
                      .payload = message.payload,
                      .ask = ask,
                      .time_ns = message.time_ns,
                      .place = place,
                      .hold = hold,
                      .is_copy = true};
    bool is_live = stream_store(stream, &store, &stored);
    stream_remember_msg_id(stream, ask, seq, message.time_ns);
    if (ticket && is_live)
        consumer_set_on_stored(stream->consumers, &stored);
}
