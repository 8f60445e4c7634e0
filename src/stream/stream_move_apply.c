#include "stream/msg_base.h"
#include "stream/stream_move.h"

static Slice subject_of(const Stream *stream, const MsgSlot *slot) {
    if (!slot->subject)
        return (Slice){0};
    return subject_entry_text(subject_index_entry(&stream->parts->subjects, slot->subject));
}

/* Whether the record is that of the message. */
static bool is_record_of(const Stream *stream, const MsgSlot *slot, Slice subject,
                         const MovedMember *member) {
    if (!(slot->place & MSG_REF))
        return member->bytes == stream_record_bytes(subject.len, slot->size);
    const ChunkUse *use = stream_chunk_use(stream, member->seq);
    return use && record_refers(&member->record) &&
           member->bytes == chunk_msg_bytes(subject.len, use->headers_len, slot->size);
}

static void land(Stream *stream, uint64_t seq, const MsgSlot *slot, size_t subject_len,
                 uint64_t to) {
    const uint64_t bytes_from = stream_live_bytes(subject_len, slot->place, slot->size);
    const uint64_t bytes_to = stream_live_bytes(subject_len, to, slot->size);
    msg_index_move(stream->index, seq, to, bytes_from, bytes_to);
    stream_note_drop(stream, DROP_OF_MESSAGES, slot->place & ~MSG_REF, bytes_from);
    log_add_live(journal_log(stream->js->journal), to & ~MSG_REF, bytes_to);
}

static void move(Stream *stream, const MsgSlot *slot, Slice subject, const MovedMember *member) {
    const uint64_t ref = slot->place & MSG_REF;
    land(stream, member->seq, slot, subject.len, member->place | ref);
}

void stream_apply_moved(Stream *stream, const Record *record, Place place) {
    MovedScan scan;
    MovedMember member;
    moved_scan(&scan, record, place);
    while (moved_next(&scan, false, &member)) {
        const MsgSlot *found = msg_index_get(stream->index, member.seq);
        if (!found || (found->place & ~MSG_REF) != member.from || found->size & MSG_UNSEEN)
            continue;
        const MsgSlot slot = *found; /* which may be a copy that goes */
        Slice subject = subject_of(stream, &slot);
        if (is_record_of(stream, &slot, subject, &member))
            move(stream, &slot, subject, &member);
    }
}

void stream_apply_frame(Stream *stream, const Record *record, Place place) {
    FrameScan scan;
    FrameMember member;
    if (!frame_scan(&scan, record, place))
        return;
    while (frame_next(&scan, &member)) {
        const MsgSlot *found = msg_index_get(stream->index, member.seq);
        if (!found || found->place != member.from || found->size & MSG_UNSEEN)
            continue; /* as above; one that refers to a chunk is in no frame */
        const MsgSlot slot = *found;
        size_t subject_len = subject_of(stream, &slot).len;
        if (member.bytes == stream_record_bytes(subject_len, slot.size))
            land(stream, member.seq, &slot, subject_len, member.place);
    }
}
