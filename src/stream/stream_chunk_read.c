/* Reading messages whose payload is a chunk: nothing of the payload is copied. */
#include <string.h>

#include "stream/copy_entry.h"
#include "stream/stream_parts.h"

size_t chunk_msg_bytes(size_t subject_len, size_t headers_len, uint32_t slot_size) {
    size_t payload_len = RECORD_REF_BYTES + (slot_size & MSG_IS_COPY ? COPY_PREFIX_BYTES : 0);
    return (RECORD_HEADER_BYTES + subject_len + headers_len + payload_len + 7) & ~(size_t)7;
}

bool chunk_msg_of(const Stream *stream, uint64_t seq, const MsgSlot *slot, Slice subject,
                  ChunkMsg *out_msg) {
    const ChunkUse *use = stream_chunk_use(stream, seq);
    if (!use)
        return false;
    *out_msg = (ChunkMsg){.place = slot->place & ~MSG_REF,
                          .bytes = chunk_msg_bytes(subject.len, use->headers_len, slot->size),
                          .subject = subject,
                          .headers_len = use->headers_len,
                          .chunk = use->chunk};
    return true;
}

static Status read_part(Stream *stream, const ChunkPart *part, Record *out_record,
                        Shared **out_hold) {
    return log_reader_peek(journal_reader(stream->js->journal), part->place, part->bytes,
                           out_record, out_hold);
}

/* The bytes of subject and headers, if they must be looked up. */
static Status read_small(Stream *stream, const ChunkMsg *msg, Record *out_record, Shared **out_hold,
                         ChunkPart *out_part) {
    *out_hold = NULL;
    *out_record = (Record){.subject = msg->subject};
    if (!msg->headers_len && msg->subject.len)
        return OK;
    *out_part = (ChunkPart){.place = msg->place, .bytes = msg->bytes};
    Status status = read_part(stream, out_part, out_record, out_hold);
    if (status)
        return status;
    bool is_it = record_refers(out_record) && out_record->group == stream->group.id &&
                 out_record->headers.len == msg->headers_len &&
                 (!msg->subject.len || slice_equal(out_record->subject, msg->subject));
    if (is_it)
        return OK;
    shared_unref(*out_hold);
    *out_hold = NULL;
    return ERR_CORRUPT;
}

Status chunk_read(Stream *stream, Chunk *chunk, Slice *out_payload, Shared **out_hold,
                  ChunkPart *out_part) {
    ChunkTable *table = stream->js->chunks;
    ChunkState state = chunk_state(table, chunk);
    Record record;
    *out_part = (ChunkPart){
        .place = state.place, .bytes = record_chunk_bytes(chunk_len(chunk)), .is_chunk = true};
    if (!state.place || state.is_damaged)
        return ERR_CORRUPT;
    Status status = read_part(stream, out_part, &record, out_hold);
    if (status == OK &&
        (record.type != RECORD_CHUNK || record.payload.len != chunk_len(chunk) ||
         !slice_equal(record.headers, slice_from(chunk_id(chunk), RECORD_CHUNK_ID_BYTES)))) {
        shared_unref(*out_hold);
        status = ERR_CORRUPT;
    }
    if (status == ERR_CORRUPT)
        chunk_mark_damaged(table, chunk, state.place);
    if (status == OK && state.is_suspect)
        chunk_mark_whole(table, chunk, state.place);
    if (status == OK)
        *out_payload = record.payload;
    return status;
}

/* One hold for all: small parts are copied, the payload's bytes lie under them. Takes payload_hold.
 */
static void assemble(StoredMsg *out_stored, const Record *small, Slice payload,
                     Shared *payload_hold) {
    Slice subject = small->subject, headers = small->headers;
    Shared *hold = shared_new_over(subject.len + headers.len, payload_hold);
    char *to = shared_bytes(hold);
    memcpy(to, subject.ptr, subject.len);
    if (headers.len)
        memcpy(to + subject.len, headers.ptr, headers.len);
    out_stored->subject = slice_from(to, subject.len);
    out_stored->headers = slice_from(to + subject.len, headers.len);
    out_stored->payload = payload;
    out_stored->hold = hold;
}

Status chunk_msg_read(Stream *stream, const ChunkMsg *msg, StoredMsg *out_stored,
                      ChunkPart *out_missing) {
    Record small;
    Shared *small_hold, *payload_hold;
    Slice payload;
    Status status = read_small(stream, msg, &small, &small_hold, out_missing);
    if (status)
        return status;
    status = chunk_read(stream, msg->chunk, &payload, &payload_hold, out_missing);
    if (status == OK)
        assemble(out_stored, &small, payload, payload_hold);
    shared_unref(small_hold);
    return status;
}
