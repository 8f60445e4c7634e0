#include "stream/stream_ahead.h"

#include "base/hash.h"
#include "stream/stream_parts.h"

/* As much of a record as is worth it. */
enum { RECORD_AHEAD_BYTES = 512 };

static void find_slot(StreamAhead *ahead) {
    const SubjectIndex *subjects = &ahead->stream->parts->subjects;
    SubjectId id = subject_index_find_hashed(subjects, ahead->subject, ahead->hash);
    if (!id)
        return;
    const SubjectEntry *entry = subject_index_entry(subjects, id);
    ahead->seq = entry->count ? entry->last : 0;
    msg_index_prefetch(ahead->stream->index, ahead->seq);
}

static void find_record(const StreamAhead *ahead) {
    const MsgSlot *slot = ahead->seq ? msg_index_get(ahead->stream->index, ahead->seq) : NULL;
    if (!slot)
        return;
    if (slot->place & MSG_IN_HEAP) {
        __builtin_prefetch((const void *)(uintptr_t)(slot->place & ~MSG_IN_HEAP));
        return;
    }
    size_t bytes = stream_record_bytes(ahead->subject.len, slot->size);
    log_reader_prefetch(journal_reader(ahead->stream->js->journal), slot->place,
                        bytes < RECORD_AHEAD_BYTES ? bytes : RECORD_AHEAD_BYTES);
}

void stream_ahead(StreamAhead *ahead, unsigned step) {
    if (!ahead->stream)
        return;
    switch (step) {
    case 0:
        ahead->hash = hash_slice(ahead->subject);
        ahead->seq = 0;
        subject_index_prefetch(&ahead->stream->parts->subjects, ahead->hash);
        break;
    case 1:
        subject_index_prefetch_entry(&ahead->stream->parts->subjects, ahead->hash);
        break;
    case 2:
        find_slot(ahead);
        break;
    default:
        find_record(ahead);
        break;
    }
}
