/* Places: how checkpoints before version 3 list the live messages (docs/STORAGE.md), and how they
 * are found again when an index run is lost. Subjects, times and sizes then come with the records:
 * the whole log is read.
 *   count, then runs: gap to the previous sequence, length, and per message the distance of its
 *   place to the previous one; distance 0: the message itself follows: time, subject, headers,
 *   payload (markers, which are no records) */
#include "base/log.h"
#include "stream/packed.h"
#include "stream/stream_batch.h"
#include "stream/stream_parts.h"
#include "stream/stream_touch.h"

void stream_load_in_heap(Stream *stream, uint64_t seq, int64_t time_ns, Slice subject,
                         Slice headers, Slice payload) {
    StreamParts *parts = stream->parts;
    PubHeaders ask;
    uint32_t size = (uint32_t)(headers.len + payload.len) | (headers.len ? MSG_HAS_HEADERS : 0);
    if (headers.len)
        pub_headers_parse(headers, &ask);
    int64_t due_ns = stream_ttl_flags(headers.len ? &ask : NULL, time_ns, &size);

    SubjectId id = subject_index_add(&parts->subjects, subject);
    MsgSlot *slot = msg_index_add(stream->index, seq);
    slot->place = heap_place(heap_msg_new(subject, headers, payload));
    parts->heap_count++;
    slot->time_ns = time_ns;
    slot->size = size;
    slot->is_tombstone = headers.len && pub_headers_are_tombstone(&ask);
    stream_link(stream, id, seq, slot);
    stream_await_ttl(stream, seq, due_ns);
    stream_count_live(stream, subject, size, 1);
}

static Status load_one(Stream *stream, uint64_t seq, Slice *from, Place *last_place) {
    uint64_t distance;
    if (!packed_read_u64(from, &distance))
        return ERR_CORRUPT;
    if (distance) {
        if (distance > MSG_IN_HEAP - 1 - *last_place)
            return ERR_CORRUPT;
        *last_place += distance;
        MsgSlot *slot = msg_index_add(stream->index, seq);
        slot->place = *last_place;
        slot->size = MSG_UNSEEN;
        stream->parts->unseen++;
        stream_count_live(stream, (Slice){0}, slot->size, 1);
        return OK;
    }
    int64_t time_ns;
    Slice subject, headers, payload;
    if (!packed_read_i64(from, &time_ns) || !packed_read_slice(from, &subject) ||
        !packed_read_slice(from, &headers) || !packed_read_slice(from, &payload) ||
        subject.len > UINT16_MAX || headers.len + payload.len > MSG_LEN_MASK)
        return ERR_CORRUPT;
    stream_load_in_heap(stream, seq, time_ns, subject, headers, payload);
    return OK;
}

Status stream_load_places(Stream *stream, Slice *from) {
    uint64_t count, gap, len, seq = 0;
    Place last_place = 0;

    if (!packed_read_u64(from, &count))
        return ERR_CORRUPT;
    while (count) {
        if (!packed_read_u64(from, &gap) || !packed_read_u64(from, &len) || len == 0 ||
            len > count || gap > stream->state.last_seq - seq || (seq += gap) == 0 ||
            len > stream->state.last_seq + 1 - seq)
            return ERR_CORRUPT;
        count -= len;
        for (; len; len--, seq++) {
            Status status = load_one(stream, seq, from, &last_place);
            if (status)
                return status;
        }
        if (count && seq > stream->state.last_seq)
            return ERR_CORRUPT;
    }
    return OK;
}

static void fill_slot(Stream *stream, uint64_t seq, MsgSlot *slot, const Record *record) {
    StreamParts *parts = stream->parts;
    PubHeaders ask;
    uint32_t size = (uint32_t)(record->headers.len + record->payload.len);
    if (record->headers.len) {
        pub_headers_parse(record->headers, &ask);
        size |= MSG_HAS_HEADERS;
        if (record->type == RECORD_COPY && record->flags & COPY_NO_TTL)
            ask.ttl_kind = TTL_NONE;
    }
    if (record->type == RECORD_COPY)
        size |= MSG_IS_COPY;
    int64_t due_ns = stream_ttl_flags(record->headers.len ? &ask : NULL, record->time_ns, &size);
    due_ns = stream_touched_due(stream, seq, due_ns, &size);

    stream_count_live(stream, (Slice){0}, slot->size, -1);
    slot->size = size;
    slot->is_tombstone = record->headers.len && pub_headers_are_tombstone(&ask);
    slot->time_ns = record->time_ns;
    stream_count_live(stream, record->subject, size, 1);
    SubjectId id = subject_index_add(&parts->subjects, record->subject);
    stream_link(stream, id, seq, slot);
    stream_await_ttl(stream, seq, due_ns);
    log_add_live(journal_log(stream->js->journal), slot->place & ~MSG_REF,
                 stream_live_bytes(record->subject.len, slot->place, size));
    parts->unseen--;
}

/* Bytes from the disk: what does not fit leaves the message unseen, which is damage. */
static bool is_plausible(const Stream *stream, uint64_t seq, const Record *record) {
    SubjectIndex *subjects = &stream->parts->subjects;
    if (record->subject.len == 0 || record->subject.len > UINT16_MAX ||
        record->headers.len + record->payload.len > MSG_LEN_MASK)
        return false;
    SubjectId id = subject_index_find(subjects, record->subject);
    const SubjectEntry *entry = id ? subject_index_entry(subjects, id) : NULL;
    return !entry || !entry->count || entry->last < seq;
}

/* Records come in the order of the log, which is that of sequences. */
static void place_publish(Stream *stream, const Record *record, Place place) {
    StreamParts *parts = stream->parts;
    uint64_t seq, seq_told = 0;
    Record message = *record;
    bool is_ref = record->type == RECORD_PUBLISH && record->flags & RECORD_REF;
    if (is_ref ? !stream_unwrap_ref(record, &message) : !stream_unwrap_copy(&message, &seq_told))
        return;
    record = &message;
    while ((seq = msg_index_next(stream->index, parts->place_seq))) {
        parts->place_seq = seq;
        MsgSlot *slot = msg_index_get(stream->index, seq);
        if (slot->size & MSG_UNSEEN && (slot->place & ~MSG_REF) >= place) {
            if (slot->place == (is_ref ? place | MSG_REF : place) &&
                is_plausible(stream, seq, record))
                fill_slot(stream, seq, slot, record);
            return;
        }
        parts->place_seq = seq + 1;
    }
}

void stream_place(Group *group, const Record *record, Place place) {
    Stream *stream = (Stream *)group;
    Record member;
    Place member_place;
    if ((record->type == RECORD_PUBLISH || record->type == RECORD_COPY) && stream->parts->unseen)
        place_publish(stream, record, place);
    if (record->type == RECORD_BATCH)
        for (size_t at = 0; stream->parts->unseen &&
                            batch_next_member(record, place, &at, &member, &member_place);)
            place_publish(stream, &member, member_place);
}

void stream_settle_places(Stream *stream) {
    StreamParts *parts = stream->parts;
    StreamState *state = &stream->state;
    MsgScan scan;
    uint64_t seq, first_damaged = 0;
    MsgSlot *slot;
    int64_t time_ns = stream->created_ns;

    if (parts->unseen) {
        msg_scan_up(&scan, stream->index, 0);
        while ((slot = msg_scan_next_up(&scan, &seq))) {
            if (slot->size & MSG_UNSEEN && !(slot->size & MSG_DAMAGED)) {
                slot->size |= MSG_DAMAGED;
                slot->time_ns = time_ns;
                state->damaged++;
                first_damaged = first_damaged ? first_damaged : seq;
            }
            time_ns = slot->time_ns;
        }
        LOG_ERR("messages lost by the disk", "stream=%.*s messages=%llu first_seq=%llu",
                SLICE_ARG(stream_name(stream)), (unsigned long long)parts->unseen,
                (unsigned long long)first_damaged);
        parts->unseen = 0;
    }
    slot = state->messages ? msg_index_get(stream->index, state->first_seq) : NULL;
    state->first_time_ns = slot ? slot->time_ns : TIME_ZERO;
}
