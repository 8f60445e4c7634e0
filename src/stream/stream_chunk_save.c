/* Section 40 of a stream's checkpoint, packed:
 *   version, 2
 *   index of the entry of a chunk whose message comes next; 0: there is none. Else the chunk
 *   count, then for each message that refers to one, in no order: sequence | length of headers |
 *   the chunk
 * A chunk is: id (24 bytes) | length | place, 0 = lost | 1 = damaged, 2 = suspect */
#include <string.h>

#include "base/mem.h"
#include "stream/packed.h"
#include "stream/stream_parts.h"

enum { VERSION = 2 };

static void save_chunk(Stream *stream, const Chunk *chunk, Buf *out) {
    ChunkState state = chunk_state(stream->js->chunks, chunk);
    buf_append_bytes(out, chunk_id(chunk), RECORD_CHUNK_ID_BYTES);
    packed_write_u64(out, chunk_len(chunk));
    packed_write_u64(out, state.place);
    packed_write_u64(out, (uint64_t)state.is_damaged | (uint64_t)state.is_suspect << 1);
}

void stream_chunks_save(Stream *stream, Buf *out) {
    const StreamChunks *chunks = &stream->parts->chunks;
    const FreshChunk *fresh = &chunks->fresh;
    uint64_t seq;
    void *value;
    if (!chunks->uses.len && !fresh->chunk)
        return;
    packed_write_u64(out, VERSION);
    packed_write_u64(out, fresh->chunk ? fresh->index : 0);
    if (fresh->chunk)
        save_chunk(stream, fresh->chunk, out);
    packed_write_u64(out, chunks->uses.len);
    for (size_t at = 0; map64_next(&chunks->uses, &at, &seq, &value);) {
        const ChunkUse *use = value;
        packed_write_u64(out, seq);
        packed_write_u64(out, use->headers_len);
        save_chunk(stream, use->chunk, out);
    }
}

/* NULL: it does not make sense. */
static Chunk *load_chunk(Stream *stream, Slice *from) {
    ChunkTable *table = stream->js->chunks;
    uint64_t len, place, flags;
    if (from->len < RECORD_CHUNK_ID_BYTES)
        return NULL;
    const uint8_t *id = (const uint8_t *)from->ptr;
    *from = slice_from_at(*from, RECORD_CHUNK_ID_BYTES);
    if (!packed_read_u64(from, &len) || !packed_read_u64(from, &place) ||
        !packed_read_u64(from, &flags) || len == 0 || len > RECORD_BYTES_MAX ||
        place & (MSG_IN_HEAP | MSG_REF))
        return NULL;
    Chunk *chunk = chunk_take(table, (uint32_t)account_index(stream->account), id, (uint32_t)len);
    /* Streams that were saved at different times may name different ones: the newer one counts. */
    Place before = place ? chunk_offer(table, chunk, place, true) : 0;
    if (before)
        log_drop_live(journal_log(stream->js->journal), before, record_chunk_bytes(len));
    if (flags & 1)
        chunk_mark_damaged(table, chunk, place);
    if (flags & 2 && chunk_state(table, chunk).place == place)
        chunk_suspect(table, chunk);
    return chunk;
}

/* A message that is not there any more, when a damaged run is read without: nothing needs it. */
static void add_use(Stream *stream, uint64_t seq, uint64_t headers_len, Chunk *chunk) {
    const MsgSlot *slot = msg_index_get(stream->index, seq);
    if (!slot || !(slot->place & MSG_REF) || slot->place & MSG_IN_HEAP ||
        stream_chunk_use(stream, seq)) {
        chunk_unref(stream->js->chunks, chunk);
        return;
    }
    stream->parts->chunks.applying = chunk;
    stream_chunk_stored(stream, seq, headers_len, chunk_len(chunk));
}

Status stream_chunks_load(Stream *stream, Slice bytes) {
    FreshChunk *fresh = &stream->parts->chunks.fresh;
    uint64_t version, index, count, headers_len, seq;
    if (!stream->js->chunks || !packed_read_u64(&bytes, &version))
        return ERR_CORRUPT;
    if (version != VERSION)
        return ERR_VERSION;
    if (!packed_read_u64(&bytes, &index))
        return ERR_CORRUPT;
    if (index) {
        Chunk *chunk = load_chunk(stream, &bytes);
        if (!chunk)
            return ERR_CORRUPT;
        *fresh = (FreshChunk){.chunk = chunk, .index = index};
    }
    if (!packed_read_u64(&bytes, &count))
        return ERR_CORRUPT;
    for (; count; count--) {
        if (!packed_read_u64(&bytes, &seq) || !packed_read_u64(&bytes, &headers_len) ||
            headers_len > MSG_LEN_MASK)
            return ERR_CORRUPT;
        Chunk *chunk = load_chunk(stream, &bytes);
        if (!chunk)
            return ERR_CORRUPT;
        add_use(stream, seq, headers_len, chunk);
    }
    return OK;
}
