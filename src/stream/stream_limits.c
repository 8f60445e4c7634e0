/* Taking messages away, and counting what is there. Nothing here reads the disk. */
#include <string.h>

#include "base/mem.h"
#include "stream/msg_base.h"
#include "stream/snapshot.h"
#include "stream/stream_parts.h"
#include "stream/stream_touch.h"
#include "stream/usage.h"

enum { FILE_OVERHEAD = 22 + 8, FILE_HEADERS_OVERHEAD = 4, MEMORY_OVERHEAD = 16 };

uint64_t stream_accounted_bytes(const Stream *stream, size_t subject_len, uint32_t slot_size) {
    uint64_t bytes = subject_len + (slot_size & MSG_LEN_MASK);
    if (!stream_is_file(stream))
        return bytes + MEMORY_OVERHEAD;
    return bytes + FILE_OVERHEAD + (slot_size & MSG_HAS_HEADERS ? FILE_HEADERS_OVERHEAD : 0);
}

size_t stream_record_bytes(size_t subject_len, uint32_t slot_size) {
    size_t prefix = slot_size & MSG_IS_COPY ? COPY_PREFIX_BYTES : 0;
    return (RECORD_HEADER_BYTES + subject_len + prefix + (slot_size & MSG_LEN_MASK) + 7) &
           ~(size_t)7;
}

size_t stream_live_bytes(size_t subject_len, uint64_t place, uint32_t slot_size) {
    if (place & MSG_REF)
        return chunk_msg_bytes(subject_len, 0, slot_size);
    size_t bytes = stream_record_bytes(subject_len, slot_size);
    return place & MSG_FRAME ? frame_share_bytes(bytes, place) : bytes;
}

/* A message whose record never came counts as a message of no bytes. */
void stream_count_live(Stream *stream, Slice subject, uint32_t slot_size, int sign) {
    uint64_t bytes =
        slot_size & MSG_UNSEEN ? 0 : stream_accounted_bytes(stream, subject.len, slot_size);
    if (sign > 0) {
        stream->state.messages++;
        stream->parts->usage->messages++;
        stream->state.bytes += bytes;
        usage_count(stream, (int64_t)bytes);
    } else {
        stream->state.messages--;
        stream->parts->usage->messages--;
        stream->state.bytes -= bytes;
        usage_count(stream, -(int64_t)bytes);
    }
}

void stream_link(Stream *stream, SubjectId subject, uint64_t seq, MsgSlot *slot) {
    SubjectIndex *subjects = &stream->parts->subjects;
    subject_chain_add(stream->index, subjects, subject, seq, slot);
    if (subject_index_entry(subjects, subject)->count == 1)
        stream->state.num_subjects++;
}

void stream_await_ttl(Stream *stream, uint64_t seq, int64_t due_ns) {
    if (due_ns == INT64_MAX)
        return;
    ttl_queue_push(&stream->parts->ttls, due_ns, seq);
    stream->parts->ttl_live++;
}

void stream_note_drop(Stream *stream, unsigned age, Place place, uint64_t bytes) {
    DropList *list = &stream->parts->drops[age];
    size_t low = 0, high = list->len;
    uint64_t segment = place_segment(place);
    log_add_dead(journal_log(stream->js->journal), place, bytes);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (place_segment(list->at[middle].place) < segment)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < list->len && place_segment(list->at[low].place) == segment) {
        list->at[low].bytes += bytes;
        return;
    }
    if (list->len == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 8;
        list->at = mem_realloc(list->at, list->cap * sizeof *list->at);
    }
    memmove(list->at + low + 1, list->at + low, (list->len - low) * sizeof *list->at);
    list->at[low] = (SegmentDrop){place, bytes};
    list->len++;
}

static void give_back(Stream *stream, DropList *list) {
    Log *log = journal_log(stream->js->journal);
    for (size_t i = 0; i < list->len; i++)
        log_drop_dead(log, list->at[i].place, list->at[i].bytes);
    list->len = 0;
}

void stream_age_drops(Stream *stream) {
    DropList *drops = stream->parts->drops;
    DropList oldest = drops[DROP_AGES - 1];
    give_back(stream, &oldest);
    memmove(drops + 1, drops, (DROP_AGES - 1) * sizeof *drops);
    drops[0] = oldest;
    stream_chunks_age(stream);
}

/* The message's bytes, in the log or on the heap. */
static void drop_bytes(Stream *stream, const MsgSlot *slot, size_t subject_len) {
    if (slot->place & MSG_IN_HEAP) {
        shared_unref(slot_heap(slot));
        stream->parts->heap_count--;
    } else if (!(slot->size & MSG_UNSEEN))
        stream_note_drop(stream, DROP_OF_MESSAGES, slot->place & ~MSG_REF,
                         stream_live_bytes(subject_len, slot->place, slot->size));
}

/* All that the base holds: by segment, as there may be millions. */
static void drop_bytes_of_base(Stream *stream) {
    const MsgBase *base = stream->index->base;
    uint64_t seq;
    void *value;
    if (!base)
        return;
    for (size_t i = 0; i < base->segment_count; i++)
        if (base->segments[i].bytes)
            stream_note_drop(stream, DROP_OF_MESSAGES, place_of(base->segments[i].segment, 0),
                             base->segments[i].bytes);
    for (size_t at = 0; map64_next(&base->edits, &at, &seq, &value);) {
        const MsgSlot *slot = value;
        if (slot->place & MSG_IN_HEAP)
            shared_unref(slot_heap(slot));
    }
}

void stream_set_totals(Stream *stream, uint64_t messages, uint64_t bytes) {
    stream->parts->usage->messages += messages - stream->state.messages;
    usage_count(stream, (int64_t)(bytes - stream->state.bytes));
    stream->state.messages = messages;
    stream->state.bytes = bytes;
}

void stream_drop_log_bytes(Stream *stream) {
    MsgScan scan;
    uint64_t seq;
    const MsgSlot *slot;
    const MsgBase *base = stream->index->base;
    for (size_t i = 0; base && i < base->segment_count; i++)
        stream_note_drop(stream, DROP_OF_MESSAGES, place_of(base->segments[i].segment, 0),
                         base->segments[i].bytes);
    msg_scan_up(&scan, stream->index, msg_index_base_end(stream->index));
    while ((slot = msg_scan_next_up(&scan, &seq)))
        if (!(slot->place & MSG_IN_HEAP))
            drop_bytes(stream, slot, stream_slot_subject(stream, slot).len);
    for (unsigned i = 0; i < DROP_AGES; i++)
        give_back(stream, &stream->parts->drops[i]);
    stream_chunks_give_back(stream);
}

static void update_first(Stream *stream) {
    StreamState *state = &stream->state;
    uint64_t first = msg_index_next(stream->index, state->first_seq);
    state->first_seq = first ? first : state->last_seq + 1;
    state->first_time_ns = first ? msg_index_get(stream->index, first)->time_ns : TIME_ZERO;
}

static void forget_object(StreamParts *parts, SubjectId subject) {
    for (unsigned i = 0; parts->objects && i < OBJECT_SIZES; i++)
        if (parts->objects[i].subject == subject)
            parts->objects[i] = (ObjectSize){0};
}

void stream_drop(Stream *stream, uint64_t seq, bool has_advisory) {
    StreamParts *parts = stream->parts;
    ASSERT(msg_index_get(stream->index, seq));
    /* The slot may be a copy, and the subject is to change. */
    MsgSlot slot = *msg_index_get(stream->index, seq);
    SubjectId id = slot.subject = subject_index_own(&parts->subjects, slot.subject);
    Slice subject = stream_slot_subject(stream, &slot);

    retained_on_removed(stream, seq, id ? subject_index_entry(&parts->subjects, id)->first : 0,
                        parts->is_trimming_subject);
    if (parts->leases.by_seq.len)
        lease_forget(stream, seq);
    if (parts->touched.len)
        stream_touch_forget(stream, seq);
    if (!list_is_empty(&parts->snapshots))
        snapshot_on_removed(stream, seq, &slot, subject.len);
    consumer_set_on_removed(stream->consumers, seq, subject, has_advisory);
    stream_count_live(stream, subject, slot.size, -1);
    drop_bytes(stream, &slot, subject.len);
    if (slot.place & MSG_REF)
        stream_chunk_dropped(stream, seq);
    if (!(slot.place & MSG_IN_HEAP) && !(slot.size & MSG_UNSEEN))
        msg_index_drop_bytes(stream->index, seq, slot.place & ~MSG_REF,
                             stream_live_bytes(subject.len, slot.place, slot.size));
    if (slot.size & MSG_HAS_TTL)
        parts->ttl_live--;
    if (slot.size & MSG_DAMAGED)
        stream->state.damaged--;
    if (id) {
        if (stream->config->allow_msg_counter)
            counters_on_removed(stream, id, subject, seq);
        if (parts->schedules)
            schedules_on_removed(stream, subject, seq);
        subject_chain_remove(stream->index, &parts->subjects, seq, &slot);
        if (stream->config->object_value_size_max > 0)
            forget_object(parts, id);
    }
    msg_index_remove(stream->index, seq);
    if (id && subject_index_entry(&parts->subjects, id)->count == 0) {
        stream->state.num_subjects--;
        subject_index_emptied(&parts->subjects, id);
    }
    if (seq == stream->state.first_seq)
        update_first(stream);
}

void stream_drop_all(Stream *stream, uint64_t next_seq) {
    StreamParts *parts = stream->parts;
    StreamState *state = &stream->state;
    MsgScan scan;
    uint64_t seq;
    const MsgSlot *slot;

    consumer_set_on_purged_all(stream->consumers, next_seq - 1);
    if (!list_is_empty(&parts->snapshots)) {
        msg_scan_up(&scan, stream->index, 0);
        while ((slot = msg_scan_next_up(&scan, &seq)))
            snapshot_on_removed(stream, seq, slot, stream_slot_subject(stream, slot).len);
    }
    msg_scan_up(&scan, stream->index, msg_index_base_end(stream->index));
    while ((slot = msg_scan_next_up(&scan, &seq)))
        drop_bytes(stream, slot, stream_slot_subject(stream, slot).len);
    drop_bytes_of_base(stream);
    stream_chunk_dropped_all(stream);
    stream_set_totals(stream, 0, 0);
    parts->heap_count = 0;
    if (parts->build)
        stream_build_on_drop_all(stream);
    parts->run_generation = 0;
    msg_index_done(stream->index);
    subject_index_done(&parts->subjects);
    ttl_queue_done(&parts->ttls);
    counters_on_removed_all(stream);
    lease_forget_all(stream);
    schedules_on_removed_all(stream);
    map64_done(&parts->touched);
    parts->touched = (Map64){0};
    parts->retained.has_others = true;
    mem_free(parts->objects);
    parts->objects = NULL;
    parts->ttl_live = 0;
    state->num_subjects = state->damaged = 0;
    state->last_seq = next_seq - 1;
    state->first_seq = next_seq;
    state->first_time_ns = TIME_ZERO;
}

static void enforce_subject(Stream *stream, SubjectId id) {
    int64_t max = stream->config->max_msgs_per_subject;
    if (max <= 0 || subject_index_entry(&stream->parts->subjects, id)->count <= (uint64_t)max)
        return;
    id = subject_index_own(&stream->parts->subjects, id);
    const SubjectEntry *entry = subject_index_entry(&stream->parts->subjects, id);
    stream->parts->is_trimming_subject = true;
    while (entry->count > (uint64_t)max)
        stream_drop(stream, entry->first, true);
    stream->parts->is_trimming_subject = false;
}

void stream_enforce_limits(Stream *stream, SubjectId just_stored) {
    const StreamConfig *config = stream->config;
    const StreamState *state = &stream->state;
    if (just_stored)
        enforce_subject(stream, just_stored);
    if (config->discard != DISCARD_OLD)
        return;
    while (config->max_msgs > 0 && state->messages > (uint64_t)config->max_msgs)
        stream_drop(stream, state->first_seq, true);
    while (config->max_bytes > 0 && state->bytes > (uint64_t)config->max_bytes && state->messages)
        stream_drop(stream, state->first_seq, true);
}

static bool trim_subject(void *cookie, SubjectId id, SubjectEntry *entry) {
    (void)entry;
    enforce_subject(cookie, id);
    return true;
}

void stream_trim(Stream *stream) {
    if (stream->config->discard != DISCARD_OLD)
        return;
    if (stream->config->max_msgs_per_subject > 0)
        subject_index_scan(&stream->parts->subjects, LIT(">"), trim_subject, stream);
    stream_enforce_limits(stream, 0);
}
