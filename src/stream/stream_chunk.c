#include "stream/stream_chunk.h"

#include <string.h>

#include "base/mem.h"
#include "stream/puback.h"
#include "stream/stream_parts.h"

static ChunkTable *table_of(const Stream *stream) {
    return stream->js->chunks;
}

static uint32_t account_of(const Stream *stream) {
    return (uint32_t)account_index(stream->account);
}

/* ---- which payloads ---- */

static bool is_off_in_metadata(const StreamConfig *config) {
    for (size_t i = 0; i < config->metadata_count; i++)
        if (slice_equal(config->metadata[i].key, LIT("_holdwater.dedup")))
            return slice_equal_ignoring_case(config->metadata[i].value, LIT("off"));
    return false;
}

/* What looks at payloads when they are applied gets them as they were published. */
static bool looks_at_payloads(const StreamConfig *config) {
    return config->allow_msg_counter || config->allow_msg_schedules ||
           (config->has_republish && !config->republish_headers_only);
}

void stream_chunks_configure(Stream *stream) {
    const StreamConfig *config = stream->config;
    const JetStreamOptions *options = stream->js->options;
    size_t min = options->chunk_bytes_min ? options->chunk_bytes_min : CHUNK_PAYLOAD_MIN;
    bool is_on = table_of(stream) && stream_is_file(stream) && !options->is_dedup_off &&
                 !jetstream_limits(options, account_index(stream->account))->is_dedup_off &&
                 !looks_at_payloads(config) && !is_off_in_metadata(config);
    stream->parts->chunks.bytes_min = is_on ? min : SIZE_MAX;
}

/* ---- applying ---- */

static Shared *take_kept(Stream *stream, uint64_t index) {
    Map64 *kept = &stream->parts->chunks.kept;
    return kept->len ? map64_remove(kept, index) : NULL;
}

void stream_chunk_forget_fresh(Stream *stream) {
    FreshChunk *fresh = &stream->parts->chunks.fresh;
    if (fresh->chunk)
        chunk_unref(table_of(stream), fresh->chunk);
    shared_unref(fresh->hold);
    *fresh = (FreshChunk){0};
}

static void offer(Stream *stream, Chunk *chunk, Place place, bool instead) {
    Place before = chunk_offer(table_of(stream), chunk, place, instead);
    if (before)
        stream_note_drop(stream, DROP_OF_PLACES, before, record_chunk_bytes(chunk_len(chunk)));
}

void stream_apply_chunk(Stream *stream, const Record *record, Place place, Shared *hold,
                        const Ticket *ticket) {
    ChunkTable *table = table_of(stream);
    FreshChunk *fresh = &stream->parts->chunks.fresh;
    stream_chunk_forget_fresh(stream);
    if (!table || !place || record->headers.len != RECORD_CHUNK_ID_BYTES ||
        record->payload.len == 0)
        return;
    Chunk *chunk = chunk_take(table, account_of(stream), (const uint8_t *)record->headers.ptr,
                              (uint32_t)record->payload.len);
    offer(stream, chunk, place, record->flags & RECORD_CHUNK_INSTEAD);
    *fresh = (FreshChunk){.chunk = chunk, .index = record->index};
    if (ticket && ticket->kind == TICKET_CHUNK) {
        fresh->payload = record->payload;
        fresh->hold = shared_ref(hold);
        stream_chunk_landed(stream, record);
    }
}

void stream_lost_chunk(Stream *stream, const Record *record, Place place) {
    ChunkTable *table = table_of(stream);
    stream_chunk_forget_fresh(stream);
    if (!table || !place || record->headers.len != RECORD_CHUNK_ID_BYTES ||
        record->payload.len == 0)
        return;
    Chunk *chunk = chunk_take(table, account_of(stream), (const uint8_t *)record->headers.ptr,
                              (uint32_t)record->payload.len);
    chunk_suggest(table, chunk, place);
    chunk_mark_damaged(table, chunk, place);
    stream->parts->chunks.fresh = (FreshChunk){.chunk = chunk, .index = record->index};
}

bool stream_unwrap_ref(const Record *record, Record *out_message) {
    RecordRef ref;
    if (record->type != RECORD_PUBLISH || !record_ref_read(record, &ref))
        return false;
    *out_message = *record;
    out_message->payload = slice_from(NULL, ref.len);
    return true;
}

/* The reference that came with the entry; in recovery a new one. */
static Chunk *take_chunk(Stream *stream, const RecordRef *ref, bool is_live) {
    ChunkTable *table = table_of(stream);
    Chunk *chunk = is_live ? chunk_find(table, account_of(stream), ref->id, ref->len) : NULL;
    return chunk ? chunk : chunk_take(table, account_of(stream), ref->id, ref->len);
}

/* The chunk did not become durable, though its message did. */
static void refuse(Stream *stream, const Record *record, const Record *message,
                   const Ticket *ticket) {
    PubHeaders headers, *ask = NULL;
    if (!ticket)
        return;
    if (record->type == RECORD_COPY) {
        stream_copy_unbacked(stream, record);
        return;
    }
    if (message->headers.len) {
        pub_headers_parse(message->headers, &headers);
        ask = &headers;
    }
    stream_note_landed(stream, message);
    PubVerdict verdict = {.error = api_error(JSStorageResourcesExceededErr)};
    stream_refuse(stream, ticket->data, ask, &verdict);
    stream_tell_trace(stream, ticket, message, ask, &verdict);
}

/* Recovery, after it was stored: the bytes that it refers to are not there. */
static void mark_if_lost(Stream *stream, const Chunk *chunk) {
    uint64_t seq = stream->state.last_seq;
    const ChunkUse *use = stream_chunk_use(stream, seq);
    if (!use || use->chunk != chunk)
        return;
    ChunkState state = chunk_state(table_of(stream), chunk);
    if (!chunk_state_is_good(&state))
        (void)stream_mark_damaged(stream, seq);
}

/* The message with its bytes, if they are here; the result holds them. */
static Shared *whole_message(Stream *stream, const Record *record, Shared *hold, bool is_fresh,
                             Record *message) {
    const FreshChunk *fresh = &stream->parts->chunks.fresh;
    Shared *kept = take_kept(stream, record->index);
    Slice payload = {0};
    if (kept) {
        size_t at = record->subject.len + record->headers.len;
        payload = slice_from(shared_bytes(kept) + at, shared_len(kept) - at);
    } else if (is_fresh && fresh->hold) {
        payload = fresh->payload;
        kept = fresh->hold == hold ? shared_ref(hold)
                                   : shared_new_over(record->subject.len + record->headers.len,
                                                     shared_ref(fresh->hold));
    }
    if (!kept)
        return shared_ref(hold);
    message->payload = payload;
    if (kept == hold)
        return kept;
    char *to = shared_bytes(kept);
    memcpy(to, record->subject.ptr, record->subject.len);
    if (record->headers.len)
        memcpy(to + record->subject.len, record->headers.ptr, record->headers.len);
    message->subject = slice_from(to, record->subject.len);
    message->headers = slice_from(to + record->subject.len, record->headers.len);
    return kept;
}

static bool unwrap(const Record *record, RecordRef *out_ref, Record *out_message) {
    *out_message = *record;
    if (!record_ref_read(record, out_ref))
        return false;
    return record->type == RECORD_COPY ? stream_unwrap_copy(out_message, &(uint64_t){0})
                                       : stream_unwrap_ref(record, out_message);
}

/* Whoever applies copies unwraps them. */
static void apply_whole(Stream *stream, const Record *record, Record *message, Place place,
                        Shared *whole, const Ticket *ticket) {
    if (record->type != RECORD_COPY) {
        stream_apply_publish(stream, message, place, whole, ticket);
        return;
    }
    stream->parts->chunks.applying_payload = message->payload;
    message->payload = record->payload;
    message->time_ns = record->time_ns;
    stream_apply_copy(stream, message, place, whole, ticket);
}

void stream_apply_ref(Stream *stream, const Record *record, Place place, Shared *hold,
                      const Ticket *ticket) {
    StreamChunks *chunks = &stream->parts->chunks;
    ChunkTable *table = table_of(stream);
    RecordRef ref;
    Record message;
    if (!table || !place || !unwrap(record, &ref, &message))
        return;
    Chunk *chunk = take_chunk(stream, &ref, ticket != NULL);
    bool is_fresh = chunks->fresh.chunk == chunk && chunks->fresh.index + 1 == record->index;
    bool is_lost = chunks->lost_index && chunks->lost_index + 1 == record->index;
    if (ref.place && !ticket)
        chunk_suggest(table, chunk, ref.place);
    if (is_lost && !is_fresh && !ref.place)
        chunk_suspect(table, chunk);
    if (ref.place || is_fresh || is_lost) {
        Shared *whole =
            ticket ? whole_message(stream, record, hold, is_fresh, &message) : shared_ref(hold);
        chunks->applying = chunk;
        apply_whole(stream, record, &message, place | MSG_REF, whole, ticket);
        shared_unref(whole);
        if (!ticket)
            mark_if_lost(stream, chunk);
        if (chunks->applying)
            chunk_unref(table, chunks->applying);
        chunks->applying = NULL;
    } else {
        refuse(stream, record, &message, ticket);
        chunk_unref(table, chunk);
    }
    stream_chunk_forget_fresh(stream);
}

void stream_chunk_refused(Stream *stream, const Record *record) {
    RecordRef ref;
    if (!record_ref_read(record, &ref))
        return;
    shared_unref(take_kept(stream, record->index));
    Chunk *chunk = chunk_find(table_of(stream), account_of(stream), ref.id, ref.len);
    if (chunk)
        chunk_unref(table_of(stream), chunk);
}

/* ---- messages that refer ---- */

ChunkUse *stream_chunk_use(const Stream *stream, uint64_t seq) {
    return map64_get(&stream->parts->chunks.uses, seq);
}

static void count(Stream *stream, int sign, uint64_t payload_len) {
    StreamParts *parts = stream->parts;
    uint64_t messages = (uint64_t)(int64_t)sign, bytes = sign > 0 ? payload_len : 0 - payload_len;
    parts->chunks.bytes += bytes;
    parts->usage->chunk_messages += messages;
    parts->usage->chunk_bytes += bytes;
}

void stream_chunk_stored(Stream *stream, uint64_t seq, size_t headers_len, size_t payload_len) {
    StreamChunks *chunks = &stream->parts->chunks;
    ChunkUse *use = mem_alloc(sizeof *use);
    ASSERT(chunks->applying);
    *use = (ChunkUse){.chunk = chunks->applying, .headers_len = (uint32_t)headers_len};
    chunks->applying = NULL;
    map64_put(&chunks->uses, seq, use);
    count(stream, 1, payload_len);
}

static void let_go(Stream *stream, ChunkUse *use) {
    StreamChunks *chunks = &stream->parts->chunks;
    count(stream, -1, chunk_len(use->chunk));
    vec_push(&chunks->dropped[DROP_OF_MESSAGES], use->chunk);
    mem_free(use);
}

void stream_chunk_dropped(Stream *stream, uint64_t seq) {
    StreamChunks *chunks = &stream->parts->chunks;
    ChunkUse *use = map64_remove(&chunks->uses, seq);
    if (use)
        let_go(stream, use);
}

void stream_chunk_dropped_all(Stream *stream) {
    StreamChunks *chunks = &stream->parts->chunks;
    uint64_t seq;
    void *use;
    for (size_t at = 0; map64_next(&chunks->uses, &at, &seq, &use);)
        let_go(stream, use);
    map64_done(&chunks->uses);
    chunks->uses = (Map64){0};
}

static void unref_dropped(Stream *stream, unsigned age) {
    StreamChunks *chunks = &stream->parts->chunks;
    for (size_t i = 0; i < chunks->dropped[age].len; i++)
        chunk_unref(table_of(stream), chunks->dropped[age].at[i]);
    vec_clear(&chunks->dropped[age]);
}

void stream_chunks_age(Stream *stream) {
    StreamChunks *chunks = &stream->parts->chunks;
    unref_dropped(stream, DROP_AGES - 1);
    for (unsigned age = DROP_AGES - 1; age > DROP_OF_MESSAGES; age--) {
        vec_done(&chunks->dropped[age]);
        memcpy(&chunks->dropped[age], &chunks->dropped[age - 1], sizeof chunks->dropped[age]);
        memset(&chunks->dropped[age - 1], 0, sizeof chunks->dropped[age - 1]);
    }
}

void stream_chunks_give_back(Stream *stream) {
    stream_chunk_forget_fresh(stream);
    stream_chunk_dropped_all(stream);
    for (unsigned age = 0; age < DROP_AGES; age++)
        unref_dropped(stream, age);
}

void stream_chunks_done(Stream *stream) {
    StreamChunks *chunks = &stream->parts->chunks;
    uint64_t seq;
    void *use;
    stream_chunk_gate_done(stream);
    stream->parts->usage->chunk_messages -= chunks->uses.len;
    stream->parts->usage->chunk_bytes -= chunks->bytes;
    for (size_t at = 0; map64_next(&chunks->uses, &at, &seq, &use);)
        mem_free(use);
    map64_done(&chunks->uses);
    for (size_t at = 0; map64_next(&chunks->kept, &at, &seq, &use);)
        shared_unref(use);
    map64_done(&chunks->kept);
    for (unsigned age = 0; age < DROP_AGES; age++)
        vec_done(&chunks->dropped[age]);
    shared_unref(chunks->fresh.hold);
}
