/* A large payload on its way to the journal: is it known? The sieve says what may be like it, and
 * then the bytes are compared. Those of a chunk that has to be read first, or is on its way itself,
 * hold the group's gate until they are here, so that everything stays in its order. */
#include <string.h>

#include "base/mem.h"
#include "stream/copy_entry.h"
#include "stream/stream_parts.h"

enum {
    /* Compared in one turn, of what waited at the gate. */
    GATE_BYTES_PER_TURN = 2 * 1024 * 1024,
    /* What was read may be gone again when it is looked at; then the payload is written anew. */
    FETCH_TRIES_MAX = 2,
};

/* A read under way. */
struct SieveFetch {
    Stream *stream; /* NULL: it is gone */
    Chunk *chunk;   /* a reference */
    Place place;
};

static ChunkTable *table_of(const Stream *stream) {
    return stream->js->chunks;
}

static uint32_t account_of(const Stream *stream) {
    return (uint32_t)account_index(stream->account);
}

static uint64_t key_of(const uint8_t *hash) {
    uint64_t key;
    memcpy(&key, hash, sizeof key);
    return key;
}

/* ---- the gate ---- */

static void pump(Stream *stream) {
    StreamChunks *chunks = &stream->parts->chunks;
    chunks->gate_bytes_left = GATE_BYTES_PER_TURN;
    if (!chunks->fetch)
        journal_ungate(stream->js->journal, &stream->group);
}

static void on_gate(Task *task) {
    pump(CONTAINER_OF(task, StreamParts, chunks.gate_task)->stream);
}

void stream_chunk_gate_init(Stream *stream) {
    task_init(&stream->parts->chunks.gate_task, on_gate);
}

void stream_chunk_gate_done(Stream *stream) {
    StreamChunks *chunks = &stream->parts->chunks;
    task_cancel(&chunks->gate_task);
    map64_done(&chunks->flying);
    if (!chunks->fetch)
        return;
    chunk_unref(table_of(stream), chunks->fetch->chunk);
    chunks->fetch->stream = NULL;
}

void stream_chunk_landed(Stream *stream, const Record *chunk) {
    StreamChunks *chunks = &stream->parts->chunks;
    if (chunk->headers.len != RECORD_CHUNK_ID_BYTES)
        return; /* too large to be appended */
    uint64_t key = key_of((const uint8_t *)chunk->headers.ptr);
    (void)map64_remove(&chunks->flying, key);
    if (chunks->is_awaiting && chunks->awaited == key) {
        chunks->is_awaiting = false;
        pump(stream);
    }
}

static void on_fetched(void *cookie, Status status) {
    struct SieveFetch *fetch = cookie;
    Stream *stream = fetch->stream;
    if (stream) {
        StreamChunks *chunks = &stream->parts->chunks;
        ChunkTable *table = table_of(stream);
        chunks->fetch = NULL;
        if (status == ERR_CORRUPT)
            chunk_mark_damaged(table, fetch->chunk, fetch->place);
        chunks->fetch_tries = status == OK ? chunks->fetch_tries + 1 : FETCH_TRIES_MAX;
        chunk_unref(table, fetch->chunk);
        pump(stream);
    }
    mem_free(fetch);
}

static void fetch(Stream *stream, Chunk *chunk, const ChunkPart *part) {
    struct SieveFetch *fetch = mem_alloc(sizeof *fetch);
    *fetch = (struct SieveFetch){stream, chunk_ref(table_of(stream), chunk), part->place};
    stream->parts->chunks.fetch = fetch;
    log_reader_fetch(journal_reader(stream->js->journal), part->place, part->bytes, on_fetched,
                     fetch);
}

/* ---- the comparison ---- */

/* ERR_NOT_FOUND: its bytes are others, or are not to be had; ERR_AGAIN: they are being read. */
static Status compare(Stream *stream, Chunk *chunk, Slice payload) {
    StreamChunks *chunks = &stream->parts->chunks;
    Slice bytes;
    Shared *hold;
    ChunkPart part;
    Status status;
    while ((status = chunk_read(stream, chunk, &bytes, &hold, &part)) == ERR_AGAIN &&
           chunks->fetch_tries < FETCH_TRIES_MAX) {
        if (!chunks->fetch)
            fetch(stream, chunk, &part);
        if (chunks->fetch) /* it may be back already */
            return ERR_AGAIN;
    }
    if (status != OK)
        return ERR_NOT_FOUND;
    bool is_equal = memcmp(bytes.ptr, payload.ptr, payload.len) == 0;
    shared_unref(hold);
    return is_equal ? OK : ERR_NOT_FOUND;
}

/* OK: *out_chunk, a reference, has that content. ERR_NOT_FOUND: none has. ERR_AGAIN: it cannot be
 * told yet. */
static Status sift(Stream *stream, const uint8_t *hash, Slice payload, Chunk **out_chunk) {
    ChunkTable *table = table_of(stream);
    Chunk *candidates[CHUNK_CANDIDATES_MAX];
    unsigned count =
        chunk_candidates(table, account_of(stream), hash, (uint32_t)payload.len, candidates);
    Status status = ERR_NOT_FOUND;
    unsigned i = 0;
    for (; i < count && status == ERR_NOT_FOUND; i++) {
        status = compare(stream, candidates[i], payload);
        if (status == OK)
            *out_chunk = candidates[i];
        else
            chunk_unref(table, candidates[i]);
    }
    for (; i < count; i++)
        chunk_unref(table, candidates[i]);
    return status;
}

/* ---- the entries ---- */

/* Behind a copy's prefix. */
static Slice content_of(const Record *draft) {
    return draft->type == RECORD_COPY ? slice_from_at(draft->payload, COPY_PREFIX_BYTES)
                                      : draft->payload;
}

static void append_chunk(Stream *stream, const Record *draft, const Chunk *chunk) {
    uint8_t id[RECORD_CHUNK_ID_BYTES];
    memcpy(id, chunk_id(chunk), sizeof id);
    Record record = {.type = RECORD_CHUNK,
                     .time_ns = draft->time_ns,
                     .headers = slice_from(id, sizeof id),
                     .payload = content_of(draft)};
    journal_append(stream->js->journal, &stream->group, &record, &(Ticket){.kind = TICKET_CHUNK},
                   false);
}

/* Who waits for it shall not have to read what is here now. */
static void keep(Stream *stream, uint64_t index, const Record *draft) {
    const Slice parts[] = {draft->subject, draft->headers, content_of(draft)};
    Shared *kept = shared_new(draft->subject.len + draft->headers.len + parts[2].len);
    char *to = shared_bytes(kept);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].len)
            memcpy(to, parts[i].ptr, parts[i].len);
        to += parts[i].len;
    }
    map64_put(&stream->parts->chunks.kept, index, kept);
}

/* The reference to chunk is the message's, until it is applied or refused. */
static void append_message(Stream *stream, const Record *draft, const Ticket *ticket,
                           const Chunk *chunk, Place place) {
    RecordRef ref = {.len = chunk_len(chunk), .place = place};
    char payload[COPY_PREFIX_BYTES + RECORD_REF_BYTES];
    size_t prefix_len = draft->payload.len - ref.len;
    if (prefix_len)
        memcpy(payload, draft->payload.ptr, prefix_len);
    memcpy(ref.id, chunk_id(chunk), sizeof ref.id);
    record_ref_write(&ref, payload + prefix_len);
    Record message = *draft;
    message.flags |= RECORD_REF;
    message.payload = slice_from(payload, prefix_len + RECORD_REF_BYTES);
    uint64_t before = stream->group.index_last;
    journal_append(stream->js->journal, &stream->group, &message, ticket, false);
    bool is_appended = stream->group.index_last == before + 1; /* not refused */
    if (is_appended && place && consumer_set_wants(stream->consumers, draft->subject))
        keep(stream, before + 1, draft);
}

/* False: it cannot be told yet whether the content is known. */
static bool put(Stream *stream, const Record *draft, const Ticket *ticket) {
    StreamChunks *chunks = &stream->parts->chunks;
    ChunkTable *table = table_of(stream);
    uint8_t hash[RECORD_SIEVE_BYTES];
    Chunk *chunk = NULL;
    const Slice content = content_of(draft);
    chunk_sieve(table, content, hash);
    if (chunks->flying.len && map64_get(&chunks->flying, key_of(hash))) {
        chunks->is_awaiting = true;
        chunks->awaited = key_of(hash);
        return false;
    }
    Status status = sift(stream, hash, content, &chunk);
    if (status == ERR_AGAIN)
        return false;
    chunks->fetch_tries = 0;
    if (status == OK) {
        append_message(stream, draft, ticket, chunk, chunk_state(table, chunk).place);
        return true;
    }
    chunk = chunk_add(table, account_of(stream), hash, (uint32_t)content.len,
                      rand_u64(&stream->group.home->rand));
    map64_put(&chunks->flying, key_of(hash), chunk);
    append_chunk(stream, draft, chunk);
    append_message(stream, draft, ticket, chunk, 0);
    return true;
}

/* GroupDecide. */
static bool decide(Group *group, const Record *draft, const Ticket *ticket) {
    Stream *stream = (Stream *)group;
    StreamChunks *chunks = &stream->parts->chunks;
    if (chunks->fetch)
        return false;
    if (chunks->gate_bytes_left == 0) {
        worker_ready(group->home, &chunks->gate_task);
        return false;
    }
    size_t len = draft->payload.len;
    chunks->gate_bytes_left -= len < chunks->gate_bytes_left ? len : chunks->gate_bytes_left;
    return put(stream, draft, ticket);
}

bool stream_chunk_submit(Stream *stream, const Record *draft, const Ticket *ticket) {
    bool is_publish = draft->type == RECORD_PUBLISH && ticket->kind == TICKET_PUBLISH;
    bool is_copy = draft->type == RECORD_COPY && ticket->kind == TICKET_COPY;
    if ((!is_publish && !is_copy) || content_of(draft).len < stream->parts->chunks.bytes_min)
        return false;
    if (stream->group.hold || !put(stream, draft, ticket))
        journal_gate(stream->js->journal, &stream->group, draft, ticket, decide);
    return true;
}
