/* Places: how checkpoints before version 3 list the live messages (docs/STORAGE.md), and how they
 * are found again when an index run is lost. Subjects, times and sizes then come with the records:
 * the whole log is read.
 *   count, then runs: gap to the previous sequence, length, and per message the distance of its
 *   place to the previous one; distance 0: the message itself follows: time, subject, headers,
 *   payload (markers, which are no records) */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "stream/moved_entry.h"
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
    stream_await_ttl(stream, seq, due_ns);
    if (parts->unseen) {
        stream_put_off(stream, id, slot);
        return;
    }
    stream_link(stream, id, seq, slot);
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

/* Those that wait for their record, by place: the log has its own order. */
typedef struct PlaceSeq {
    Place place;
    uint64_t seq;
} PlaceSeq;

typedef struct Placing {
    VEC(PlaceSeq) waiting;
    size_t at;
} Placing;

static int by_place(const void *a, const void *b) {
    Place x = ((const PlaceSeq *)a)->place, y = ((const PlaceSeq *)b)->place;
    return (x > y) - (x < y);
}

static Placing *placing_of(Stream *stream) {
    StreamParts *parts = stream->parts;
    MsgScan scan;
    uint64_t seq;
    const MsgSlot *slot;
    if (parts->placing)
        return parts->placing;
    Placing *placing = parts->placing = mem_zalloc(sizeof *placing);
    msg_scan_up(&scan, stream->index, 0);
    while ((slot = msg_scan_next_up(&scan, &seq)))
        if (slot->size & MSG_UNSEEN && slot->place && !(slot->place & (MSG_IN_HEAP | MSG_FRAME)))
            vec_push(&placing->waiting, ((PlaceSeq){slot->place & ~MSG_REF, seq}));
    if (placing->waiting.len > 1)
        qsort(placing->waiting.at, placing->waiting.len, sizeof *placing->waiting.at, by_place);
    return placing;
}

void stream_placing_free(Stream *stream) {
    if (!stream->parts->placing)
        return;
    vec_done(&stream->parts->placing->waiting);
    mem_free(stream->parts->placing);
    stream->parts->placing = NULL;
}

/* A message that is known goes under its subject when all are: in the order of sequences. */
void stream_put_off(Stream *stream, SubjectId id, MsgSlot *slot) {
    slot->subject = id;
    slot->size |= MSG_UNSEEN;
    stream->parts->unseen++;
    stream_count_live(stream, (Slice){0}, slot->size, 1);
}

static void fill_slot(Stream *stream, uint64_t seq, MsgSlot *slot, const Record *record) {
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

    slot->size = size | MSG_UNSEEN;
    slot->is_tombstone = record->headers.len && pub_headers_are_tombstone(&ask);
    slot->time_ns = record->time_ns;
    slot->subject = subject_index_add(&stream->parts->subjects, record->subject);
    stream_await_ttl(stream, seq, due_ns);
}

/* Bytes from the disk: what does not fit leaves the message unseen, which is damage. */
static bool is_plausible(const Record *record) {
    return record->subject.len != 0 && record->subject.len <= UINT16_MAX &&
           record->headers.len + record->payload.len <= MSG_LEN_MASK;
}

/* The first that waits at or behind place. */
static void go_to(Placing *placing, Place place) {
    while (placing->at < placing->waiting.len && placing->waiting.at[placing->at].place < place)
        placing->at++;
}

static void place_message(Stream *stream, const Record *record, Place place) {
    Placing *placing = placing_of(stream);
    uint64_t seq_told = 0;
    Record message = *record;
    bool is_ref = record_refers(record);
    if (record->type != RECORD_PUBLISH && record->type != RECORD_COPY)
        return;
    if (is_ref && record->type == RECORD_PUBLISH ? !stream_unwrap_ref(record, &message)
                                                 : !stream_unwrap_copy(&message, &seq_told))
        return;
    go_to(placing, place);
    for (; placing->at < placing->waiting.len && placing->waiting.at[placing->at].place == place;
         placing->at++) {
        uint64_t seq = placing->waiting.at[placing->at].seq;
        MsgSlot *slot = msg_index_get(stream->index, seq);
        bool is_it = slot && slot->place == (is_ref ? place | MSG_REF : place);
        if (is_it && !slot->subject && is_plausible(&message))
            fill_slot(stream, seq, slot, &message);
    }
}

/* Those in a frame are found by their sequences. */
static void place_frame(Stream *stream, const Record *entry, Place place) {
    FrameScan scan;
    FrameMember member;
    Frame frame;
    Record message;
    if (!frame_scan(&scan, entry, place) || frame_open(entry, &frame) != OK)
        return;
    for (const FrameRecord *at = frame.records; frame_next(&scan, &member); at++) {
        MsgSlot *slot = msg_index_get(stream->index, member.seq);
        if (!slot || slot->place != member.place || !(slot->size & MSG_UNSEEN) || slot->subject ||
            !frame_record(&frame, at, &message))
            continue;
        if ((message.type == RECORD_PUBLISH || message.type == RECORD_COPY) &&
            stream_unwrap_copy(&message, &(uint64_t){0}) && is_plausible(&message))
            fill_slot(stream, member.seq, slot, &message);
    }
    frame_done(&frame);
}

void stream_place(Group *group, const Record *record, Place place) {
    Stream *stream = (Stream *)group;
    Record member;
    Place member_place;
    MovedScan moved;
    MovedMember moved_member;
    if (!stream->parts->unseen)
        return;
    switch ((int)record->type) {
    case RECORD_BATCH:
        for (size_t at = 0; batch_next_member(record, place, &at, &member, &member_place);)
            place_message(stream, &member, member_place);
        break;
    case RECORD_MOVED:
        moved_scan(&moved, record, place);
        while (moved_next(&moved, true, &moved_member))
            place_message(stream, &moved_member.record, moved_member.place);
        break;
    case RECORD_FRAME:
        place_frame(stream, record, place);
        break;
    default:
        place_message(stream, record, place);
    }
}

/* Each of them has a checksum of its own, and it is known where they lie. */
void stream_place_damaged(Group *group, const Record *record, Place place) {
    Stream *stream = (Stream *)group;
    const char *start = record->subject.ptr - RECORD_HEADER_BYTES;
    size_t len = record_bytes(record), used;
    if (!stream->parts->unseen || (record->type != RECORD_BATCH && record->type != RECORD_MOVED))
        return;
    Placing *placing = placing_of(stream);
    Record member;
    go_to(placing, place + 1);
    for (size_t i = placing->at; i < placing->waiting.len; i++) {
        uint64_t at = placing->waiting.at[i].place - place;
        if (at >= len)
            break;
        if (record_parse(slice_from(start + at, len - at), &member, &used) == OK)
            place_message(stream, &member, place + at);
    }
}

/* Its record came. */
static void link_seen(Stream *stream, uint64_t seq, MsgSlot *slot) {
    SubjectId id = slot->subject;
    Slice subject = subject_entry_text(subject_index_entry(&stream->parts->subjects, id));
    stream_count_live(stream, (Slice){0}, slot->size, -1);
    slot->size &= ~(uint32_t)MSG_UNSEEN;
    stream_count_live(stream, subject, slot->size, 1);
    stream_link(stream, id, seq, slot);
    if (!(slot->place & MSG_IN_HEAP))
        log_add_live(journal_log(stream->js->journal), slot->place & ~MSG_REF,
                     stream_live_bytes(subject.len, slot->place, slot->size));
}

static void settle_unseen(Stream *stream) {
    MsgScan scan;
    MsgSlot *slot;
    uint64_t seq, first_damaged = 0, count = 0;
    int64_t time_ns = stream->created_ns;

    msg_scan_up(&scan, stream->index, 0);
    while ((slot = msg_scan_next_up(&scan, &seq))) {
        if (slot->size & MSG_UNSEEN && slot->subject) {
            link_seen(stream, seq, slot);
        } else if (slot->size & MSG_UNSEEN && !(slot->size & MSG_DAMAGED)) {
            slot->size |= MSG_DAMAGED;
            slot->time_ns = time_ns;
            stream->state.damaged++;
            count++;
            first_damaged = first_damaged ? first_damaged : seq;
        }
        time_ns = slot->time_ns;
    }
    if (count)
        LOG_ERR("messages lost by the disk", "stream=%.*s messages=%llu first_seq=%llu",
                SLICE_ARG(stream_name(stream)), (unsigned long long)count,
                (unsigned long long)first_damaged);
    stream->parts->unseen = 0;
    counters_settle(stream);
    schedules_settle(stream);
}

void stream_settle_places(Stream *stream) {
    StreamState *state = &stream->state;
    if (stream->parts->unseen)
        settle_unseen(stream);
    stream_placing_free(stream);
    const MsgSlot *slot = state->messages ? msg_index_get(stream->index, state->first_seq) : NULL;
    state->first_time_ns = slot ? slot->time_ns : TIME_ZERO;
}
