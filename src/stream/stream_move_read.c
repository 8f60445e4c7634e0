#include "stream/stream_move.h"

/* How a message's record looks: as it stands in the log. */
typedef struct Expected {
    Place place;
    size_t bytes;
    RecordType type;
    Slice subject;
    bool is_ref;
} Expected;

static bool expect(const Stream *stream, uint64_t seq, const MsgSlot *slot, Expected *out) {
    *out = (Expected){.place = slot->place & ~MSG_REF,
                      .type = slot->size & MSG_IS_COPY ? RECORD_COPY : RECORD_PUBLISH,
                      .is_ref = slot->place & MSG_REF};
    if (slot->subject)
        out->subject =
            subject_entry_text(subject_index_entry(&stream->parts->subjects, slot->subject));
    out->bytes = stream_record_bytes(out->subject.len, slot->size);
    if (!out->is_ref)
        return true;
    const ChunkUse *use = stream_chunk_use(stream, seq);
    if (use)
        out->bytes = chunk_msg_bytes(out->subject.len, use->headers_len, slot->size);
    return use != NULL;
}

static bool is_it(const Stream *stream, const Expected *expected, const Record *record) {
    return record->type == expected->type && record->group == stream->group.id &&
           record_bytes(record) == expected->bytes &&
           slice_equal(record->subject, expected->subject) &&
           record_refers(record) == expected->is_ref;
}

Status stream_read_record(Stream *stream, uint64_t seq, StoredRecord *out_stored) {
    const MsgSlot *slot = msg_index_get(stream->index, seq);
    Expected expected;
    if (!slot || slot->place & MSG_IN_HEAP)
        return ERR_NOT_FOUND;
    if (slot->size & (MSG_DAMAGED | MSG_UNSEEN) || !expect(stream, seq, slot, &expected))
        return ERR_CORRUPT;
    out_stored->bytes = expected.bytes;
    Status status = stream_peek_record(stream, seq, expected.place, expected.bytes,
                                       &out_stored->record, &out_stored->hold);
    if (status == OK && !is_it(stream, &expected, &out_stored->record)) {
        shared_unref(out_stored->hold);
        status = ERR_CORRUPT;
    }
    if (status == ERR_CORRUPT)
        (void)stream_mark_damaged(stream, seq);
    return status;
}

void stream_note_unreadable(Stream *stream, uint64_t seq, Place place) {
    const MsgSlot *slot = msg_index_get(stream->index, seq);
    if (slot && (slot->place & ~MSG_REF) == place)
        (void)stream_mark_damaged(stream, seq);
}
