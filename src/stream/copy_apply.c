/* What an entry of a mirror or source does: decided from the entry and the state alone. */
#include "stream/copy_source.h"

typedef enum CopyVerdict {
    COPY_STORE,
    COPY_PASS,    /* takes its place in the origin, is not stored */
    COPY_SKIP,    /* the same, and takes a sequence (interest streams that nobody listens to) */
    COPY_REFUSE,  /* the stream is full: asked for again later */
    COPY_DETACHED /* does not follow what was copied, or is of a source that is gone */
} CopyVerdict;

static CopySource *find_source(const Copies *copies, const CopyEntry *entry) {
    for (size_t i = 0; copies && i < copies->len; i++)
        if (copies->at[i]->key == entry->key && copies->at[i]->is_mirror == entry->is_mirror)
            return copies->at[i];
    return NULL;
}

static bool follows(const CopySource *source, const CopyEntry *entry) {
    if (source->is_mirror)
        return entry->before == copy_stream(source)->state.last_seq && entry->seq > entry->before;
    const CopyPosition *position = copy_positions_find(&source->copies->positions, entry->key);
    bool is_same = position && (!entry->identity[0] || memcmp(position->identity, entry->identity,
                                                              COPY_IDENTITY_LEN) == 0);
    return entry->before == (is_same ? position->seq : 0) && entry->seq > entry->before;
}

static CopyVerdict decide(Stream *stream, const CopyEntry *entry, const Record *message,
                          PubHeaders *ask) {
    const StreamConfig *config = stream->config;
    uint64_t earlier;
    if (config->sealed)
        return COPY_REFUSE;
    if (message->flags & COPY_NOTHING || !stream_fits(stream, message))
        return COPY_PASS;
    if (!entry->is_mirror && ask && ask->msg_id.len && config->duplicate_window_ns > 0 &&
        dup_window_find(&stream->parts->duplicates, ask->msg_id,
                        message->time_ns - config->duplicate_window_ns, &earlier))
        return COPY_PASS;
    if (config->retention == RETENTION_INTEREST &&
        !consumer_set_wants(stream->consumers, message->subject))
        return COPY_SKIP;
    if (config->discard == DISCARD_NEW && stream_check_discard_new(stream, message, NULL))
        return COPY_REFUSE;
    if (config->allow_msg_counter && !counters_fit(stream, message))
        return COPY_DETACHED;
    return COPY_STORE;
}

/* A mirror's next message gets the sequence of the origin's. */
static void skip_to(Stream *stream, uint64_t next_seq) {
    StreamState *state = &stream->state;
    if (next_seq == state->last_seq + 1)
        return;
    state->last_seq = next_seq - 1;
    if (state->messages == 0)
        state->first_seq = next_seq;
}

static void act(Stream *stream, CopyVerdict verdict, const CopyEntry *entry, const StoreMsg *store,
                const Ticket *ticket) {
    if (entry->is_mirror && verdict != COPY_REFUSE)
        skip_to(stream, verdict == COPY_PASS ? entry->seq + 1 : entry->seq);
    if (verdict == COPY_SKIP)
        stream_take_sequence(stream, store->time_ns);
    else if (verdict == COPY_STORE)
        stream_store_and_tell(stream, store, ticket);
    if (!entry->is_mirror && verdict != COPY_REFUSE)
        copy_positions_set(&stream->parts->copies->positions, entry);
}

static void come_back(CopySource *source, CopyVerdict verdict) {
    if (source->in_flight)
        source->in_flight--;
    source->applied++;
    if (source->has_forgotten && verdict != COPY_REFUSE && verdict != COPY_DETACHED)
        source->has_forgotten = false;
    if ((verdict == COPY_REFUSE || verdict == COPY_DETACHED) && source->state == COPY_RUNNING)
        copy_source_restart(source);
    copy_source_settled(source);
}

void copy_apply(Stream *stream, const Record *record, Place place, Shared *hold,
                const Ticket *ticket) {
    CopyEntry entry;
    Record message = *record;
    PubHeaders headers, *ask = NULL;
    if (ticket)
        stream_copy_landed(stream, record);
    if (copy_entry_read(record, &entry) || !stream_unwrap_copy(&message, &entry.seq) ||
        message.subject.len == 0 || entry.seq == UINT64_MAX)
        return;
    if (place & MSG_REF)
        message.payload = stream->parts->chunks.applying_payload;
    CopySource *source = find_source(stream->parts->copies, &entry);
    if (!source) {
        if (ticket && record->flags & RECORD_COUNTED)
            counters_landed(stream, &message);
        return;
    }
    if (message.headers.len) {
        pub_headers_parse(message.headers, &headers);
        ask = &headers;
        if (record->flags & COPY_NO_TTL)
            headers.ttl_kind = TTL_NONE;
        if (!stream->config->allow_rollup_hdrs)
            headers.rollup = (Slice){0};
    }
    CopyVerdict verdict =
        follows(source, &entry) ? decide(stream, &entry, &message, ask) : COPY_DETACHED;
    StoreMsg store = {.subject = message.subject,
                      .headers = message.headers,
                      .payload = message.payload,
                      .ask = ask,
                      .time_ns = message.time_ns,
                      .place = place,
                      .hold = hold,
                      .is_copy = true};
    if (verdict != COPY_DETACHED)
        act(stream, verdict, &entry, &store, ticket);
    if (ticket && record->flags & RECORD_COUNTED)
        counters_landed(stream, &message);
    if (ticket)
        come_back(source, verdict);
}

void copy_refused(Stream *stream, const Record *record) {
    CopyEntry entry;
    Record message = *record;
    if (copy_entry_read(record, &entry) || !stream_unwrap_copy(&message, &entry.seq))
        return;
    if (record->flags & RECORD_COUNTED)
        counters_landed(stream, &message);
    CopySource *source = find_source(stream->parts->copies, &entry);
    if (source)
        come_back(source, COPY_REFUSE);
}
