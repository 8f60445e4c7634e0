/* The part of a stream's messages that is in a run, as it stands in the checkpoint. All packed:
 *   generation of the run; 0: there is none, nothing more
 *   removed since: count, distances
 *   changed since: count, and for each its distance and size with flags
 *   moved since (from version 5 on): count, and for each its distance and that of its place to the
 * previous one, signed
 *   in heap: count, and for each its distance, time, subject, headers, payload (len, bytes each)
 *   of all messages, those outside the run too: count, bytes, subjects, damaged, with a time to
 * live
 *
 * A run that is damaged still says where its messages lie: then the whole log is read. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "stream/msg_base.h"
#include "stream/packed.h"
#include "stream/stream_parts.h"

/* ---- save ---- */

/* Sequences that rise, and what stands beside each. */
typedef struct Series {
    Buf bytes;
    uint64_t count, last;
} Series;

static Buf *series_add(Series *series, uint64_t seq) {
    packed_write_u64(&series->bytes, seq - series->last);
    series->last = seq;
    series->count++;
    return &series->bytes;
}

static void series_write(Series *series, Buf *out) {
    packed_write_u64(out, series->count);
    buf_append(out, buf_slice(&series->bytes));
    buf_done(&series->bytes);
}

static void save_removed(const MsgBase *base, Series *out) {
    for (size_t p = 0; p < base->len; p++) {
        const MsgBasePage *page = &base->pages[p];
        const uint64_t *has = base->written[p].has;
        if (page->count == base->written[p].count)
            continue;
        for (unsigned i = 0; i < MSG_PAGE_SLOTS; i++)
            if ((has[i / 64] & ~page->live[i / 64]) >> (i % 64) & 1)
                (void)series_add(out, page->number * MSG_PAGE_SLOTS + i);
    }
}

static int by_seq(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void save_heap(Series *out, uint64_t seq, const MsgSlot *slot) {
    StoredMsg msg;
    heap_msg_get(slot_heap(slot), &msg);
    Buf *to = series_add(out, seq);
    packed_write_i64(to, slot->time_ns);
    packed_write_slice(to, msg.subject);
    packed_write_slice(to, msg.headers);
    packed_write_slice(to, msg.payload);
}

static void save_edits(const MsgBase *base, Series *out_changed, Series *out_heap) {
    uint64_t seq;
    void *value;
    size_t len = 0;
    uint64_t *seqs = mem_alloc((base->edits.len + 1) * sizeof *seqs);
    for (size_t at = 0; map64_next(&base->edits, &at, &seq, &value);)
        seqs[len++] = seq;
    if (len > 1)
        qsort(seqs, len, sizeof *seqs, by_seq);
    for (size_t i = 0; i < len; i++) {
        const MsgSlot *slot = map64_get(&base->edits, seqs[i]);
        packed_write_u64(series_add(out_changed, seqs[i]), slot->size);
        if (slot->place & MSG_IN_HEAP)
            save_heap(out_heap, seqs[i], slot);
    }
    mem_free(seqs);
}

static int by_moved_seq(const void *a, const void *b) {
    uint64_t x = ((const RunPlace *)a)->seq, y = ((const RunPlace *)b)->seq;
    return (x > y) - (x < y);
}

static void collect_moved(const MsgBase *base, const Map64 *map, RunPlace *to, size_t *len) {
    uint64_t seq;
    void *value;
    for (size_t at = 0; map64_next(map, &at, &seq, &value);) {
        size_t page = msg_base_lower(base, seq / MSG_PAGE_SLOTS);
        unsigned i = seq % MSG_PAGE_SLOTS;
        uint64_t place = (uintptr_t)value;
        if (page < base->len && base->pages[page].number == seq / MSG_PAGE_SLOTS &&
            base->pages[page].live[i / 64] >> (i % 64) & 1 &&
            msg_base_moved(base, page, i) == place)
            to[(*len)++] = (RunPlace){seq, place};
    }
}

static void save_moved(const MsgBase *base, Series *out) {
    size_t len = 0;
    Place last = 0;
    RunPlace *all = mem_alloc((base->moved.len + base->frozen.len + 1) * sizeof *all);
    collect_moved(base, &base->frozen, all, &len);
    collect_moved(base, &base->moved, all, &len);
    if (len > 1)
        qsort(all, len, sizeof *all, by_moved_seq);
    for (size_t i = 0; i < len; i++) {
        packed_write_i64(series_add(out, all[i].seq), (int64_t)(all[i].place - last));
        last = all[i].place;
    }
    mem_free(all);
}

/* For a run that is being made, of the messages below cut. */
static void save_heap_below(Stream *stream, uint64_t cut, Series *out_heap) {
    const MsgIndex *index = stream->index;
    Series unused = {0};
    MsgScan scan;
    uint64_t seq;
    const MsgSlot *slot;
    if (!stream->parts->heap_count)
        return;
    if (index->base)
        save_edits(index->base, &unused, out_heap);
    buf_done(&unused.bytes);
    msg_scan_up(&scan, index, msg_index_base_end(index));
    while ((slot = msg_scan_next_up(&scan, &seq)) && seq < cut)
        if (slot->place & MSG_IN_HEAP)
            save_heap(out_heap, seq, slot);
}

void stream_save_run(Stream *stream, const MessagesForm *form, Buf *out) {
    const StreamState *state = &stream->state;
    Series removed = {0}, changed = {0}, moved = {0}, heap = {0};
    packed_write_u64(out, form->generation);
    if (!form->generation)
        return;
    if (form->is_frozen) {
        save_heap_below(stream, form->from, &heap);
    } else {
        save_removed(stream->index->base, &removed);
        save_edits(stream->index->base, &changed, &heap);
        save_moved(stream->index->base, &moved);
    }
    series_write(&removed, out);
    series_write(&changed, out);
    series_write(&moved, out);
    series_write(&heap, out);
    packed_write_u64(out, state->messages);
    packed_write_u64(out, state->bytes);
    packed_write_u64(out, state->num_subjects);
    packed_write_u64(out, state->damaged);
    packed_write_u64(out, stream->parts->ttl_live);
}

/* ---- load ---- */

typedef struct RunPart {
    Slice removed, changed, moved, heap; /* each begins with its count */
    uint64_t messages, bytes, subjects, damaged, ttls;
} RunPart;

/* Moves *from over a series of which each item has `numbers` more numbers, then `slices` slices. */
static bool take_series(Slice *from, unsigned numbers, unsigned slices, Slice *out_series) {
    Slice begin = *from, bytes;
    uint64_t count, number;
    if (!packed_read_u64(from, &count))
        return false;
    for (; count; count--) {
        for (unsigned i = 0; i <= numbers; i++)
            if (!packed_read_u64(from, &number))
                return false;
        for (unsigned i = 0; i < slices; i++)
            if (!packed_read_slice(from, &bytes))
                return false;
    }
    *out_series = slice_first(begin, begin.len - from->len);
    return true;
}

static bool read_part(Slice *from, bool has_moved, RunPart *out_part) {
    out_part->moved = slice_from("", 1); /* none */
    return take_series(from, 0, 0, &out_part->removed) &&
           take_series(from, 1, 0, &out_part->changed) &&
           (!has_moved || take_series(from, 1, 0, &out_part->moved)) &&
           take_series(from, 1, 3, &out_part->heap) && packed_read_u64(from, &out_part->messages) &&
           packed_read_u64(from, &out_part->bytes) && packed_read_u64(from, &out_part->subjects) &&
           packed_read_u64(from, &out_part->damaged) && packed_read_u64(from, &out_part->ttls);
}

/* take_series was there: what follows can be read. */
static uint64_t next_number(Slice *from) {
    uint64_t number = 0;
    bool is_there = packed_read_u64(from, &number);
    ASSERT(is_there);
    return number;
}

static void next_seq(Slice *from, uint64_t *seq) {
    *seq += next_number(from);
}

/* A message that is no record, as it stands in the checkpoint. */
typedef struct HeapPart {
    uint64_t seq;
    int64_t time_ns;
    Slice subject, headers, payload;
} HeapPart;

static bool next_heap(Slice *from, HeapPart *part) {
    next_seq(from, &part->seq);
    return packed_read_i64(from, &part->time_ns) && packed_read_slice(from, &part->subject) &&
           packed_read_slice(from, &part->headers) && packed_read_slice(from, &part->payload);
}

/* A message that is kept in memory gets its bytes back. */
static bool place_in_heap(Stream *stream, const HeapPart *part) {
    const MsgSlot *slot = msg_index_get(stream->index, part->seq);
    if (!slot || slot->place ||
        (slot->size & MSG_LEN_MASK) != part->headers.len + part->payload.len ||
        !part->subject.len || !slice_equal(stream_slot_subject(stream, slot), part->subject))
        return false;
    Shared *heap = heap_msg_new(part->subject, part->headers, part->payload);
    msg_index_edit(stream->index, part->seq)->place = heap_place(heap);
    stream->parts->heap_count++;
    return true;
}

static bool apply_changed(Stream *stream, Slice from) {
    uint64_t seq = 0;
    for (uint64_t count = next_number(&from); count; count--) {
        next_seq(&from, &seq);
        uint64_t size = next_number(&from);
        if (size > UINT32_MAX || !msg_index_get(stream->index, seq))
            return false;
        msg_index_edit(stream->index, seq)->size = (uint32_t)size;
    }
    return true;
}

static void next_place(Slice *from, Place *place) {
    int64_t distance = 0;
    bool is_there = packed_read_i64(from, &distance);
    ASSERT(is_there);
    *place += (uint64_t)distance;
}

static bool apply_moved(Stream *stream, Slice from) {
    Log *log = journal_log(stream->js->journal);
    uint64_t seq = 0;
    Place place = 0;
    for (uint64_t count = next_number(&from); count; count--) {
        next_seq(&from, &seq);
        next_place(&from, &place);
        const MsgSlot *slot = msg_index_get(stream->index, seq);
        if (!slot || !slot->place || slot->place & MSG_IN_HEAP || !place || place & MSG_IN_HEAP)
            return false;
        size_t subject_len = stream_slot_subject(stream, slot).len;
        size_t bytes_from = stream_live_bytes(subject_len, slot->place, slot->size);
        size_t bytes_to = stream_live_bytes(subject_len, place, slot->size);
        if (!(slot->size & MSG_UNSEEN)) {
            log_drop_live(log, slot->place & ~MSG_REF, bytes_from);
            log_add_live(log, place & ~MSG_REF, bytes_to);
        }
        msg_index_move(stream->index, seq, place, bytes_from, bytes_to);
    }
    return true;
}

static bool apply_removed(Stream *stream, Slice from) {
    Log *log = journal_log(stream->js->journal);
    uint64_t seq = 0;
    for (uint64_t count = next_number(&from); count; count--) {
        next_seq(&from, &seq);
        const MsgSlot *found = msg_index_get(stream->index, seq);
        if (!found || found->place & MSG_IN_HEAP)
            return false;
        const MsgSlot slot = *found;
        if (slot.place && !(slot.size & MSG_UNSEEN))
            log_drop_live(
                log, slot.place & ~MSG_REF,
                stream_live_bytes(stream_slot_subject(stream, &slot).len, slot.place, slot.size));
        stream_index_forget(stream->index, &stream->parts->subjects, seq);
    }
    return true;
}

static bool apply_part(Stream *stream, const RunPart *part) {
    Slice heap = part->heap;
    HeapPart in_heap = {0};
    if (!apply_moved(stream, part->moved) || !apply_changed(stream, part->changed))
        return false;
    for (uint64_t count = next_number(&heap); count; count--)
        if (!next_heap(&heap, &in_heap) || !place_in_heap(stream, &in_heap))
            return false;
    return apply_removed(stream, part->removed);
}

static void push_dues(Stream *stream, const Run *run) {
    size_t count;
    const RunDue *dues = run_dues(run, &count);
    for (size_t i = 0; i < count; i++) {
        const MsgSlot *slot = msg_index_get(stream->index, dues[i].seq);
        if (slot && slot->size & MSG_HAS_TTL)
            ttl_queue_push(&stream->parts->ttls, dues[i].due_ns, dues[i].seq);
    }
}

/* Takes run. */
static Status stand_on(Stream *stream, Run *run, uint64_t generation, const RunPart *part,
                       Slice *from) {
    StreamParts *parts = stream->parts;
    size_t count;
    const RunSegment *segments = run_segments(run, &count);
    subject_index_set_base(&parts->subjects, run);
    stream->index->live = run_message_count(run);
    stream->index->base = msg_base_new(run, &parts->subjects);
    for (size_t i = 0; i < count; i++)
        log_add_live(journal_log(stream->js->journal), place_of(segments[i].segment, 0),
                     segments[i].bytes);
    parts->run_generation = stream->group.run = generation;
    if (!apply_part(stream, part))
        return ERR_CORRUPT;
    push_dues(stream, run);
    Status status = stream_load_messages(stream, from);
    if (status)
        return status;
    if (stream->index->live != part->messages)
        return ERR_CORRUPT;
    stream_set_totals(stream, part->messages, part->bytes);
    stream->state.num_subjects = part->subjects;
    stream->state.damaged = part->damaged;
    parts->ttl_live = part->ttls;
    return OK;
}

/* ---- without its run ---- */

typedef struct Rebuild {
    Stream *stream;
    Slice removed, moved, heap;
    uint64_t removed_left, removed_seq, moved_left, moved_seq, heap_left;
    Place moved_place;
    HeapPart in_heap;
} Rebuild;

static bool is_removed(Rebuild *rebuild, uint64_t seq) {
    while (rebuild->removed_left && rebuild->removed_seq < seq)
        if (--rebuild->removed_left)
            next_seq(&rebuild->removed, &rebuild->removed_seq);
    return rebuild->removed_left && rebuild->removed_seq == seq;
}

static Place place_of_moved(Rebuild *rebuild, uint64_t seq, Place place) {
    while (rebuild->moved_left && rebuild->moved_seq < seq) {
        rebuild->moved_left--;
        next_seq(&rebuild->moved, &rebuild->moved_seq);
        next_place(&rebuild->moved, &rebuild->moved_place);
    }
    return rebuild->moved_seq == seq ? rebuild->moved_place : place;
}

static void rebuild_in_heap(Rebuild *rebuild, uint64_t seq) {
    HeapPart *part = &rebuild->in_heap;
    while (rebuild->heap_left && part->seq < seq) {
        rebuild->heap_left--;
        if (!next_heap(&rebuild->heap, part))
            return;
    }
    if (part->seq == seq && part->subject.len && part->subject.len <= UINT16_MAX &&
        part->headers.len + part->payload.len <= MSG_LEN_MASK)
        stream_load_in_heap(rebuild->stream, seq, part->time_ns, part->subject, part->headers,
                            part->payload);
}

/* Its record fills the slot when it comes. */
static void rebuild_one(void *cookie, uint64_t seq, Place place) {
    Rebuild *rebuild = cookie;
    Stream *stream = rebuild->stream;
    if (is_removed(rebuild, seq) || seq == 0 || seq > stream->state.last_seq ||
        seq <= msg_index_prev(stream->index, UINT64_MAX))
        return;
    if (!place) {
        rebuild_in_heap(rebuild, seq);
        return;
    }
    MsgSlot *slot = msg_index_add(stream->index, seq);
    slot->place = place_of_moved(rebuild, seq, place);
    slot->size = MSG_UNSEEN;
    stream->parts->unseen++;
    stream_count_live(stream, (Slice){0}, slot->size, 1);
}

static Status rebuild_without(Stream *stream, const char *path, const RunPart *part, Slice *from) {
    Rebuild rebuild = {
        .stream = stream, .removed = part->removed, .moved = part->moved, .heap = part->heap};
    rebuild.moved_left = next_number(&rebuild.moved);
    rebuild.heap_left = next_number(&rebuild.heap);
    rebuild.removed_left = next_number(&rebuild.removed);
    if (rebuild.removed_left)
        next_seq(&rebuild.removed, &rebuild.removed_seq);
    uint64_t lost = run_read_places(path, rebuild_one, &rebuild);
    if (lost)
        journal_note_run_lost(stream->js->journal);
    LOG_ERR("index run damaged: the log is read instead", "stream=%.*s path=%s places_lost=%lld",
            SLICE_ARG(stream_name(stream)), path, (long long)lost);
    return stream_load_messages(stream, from);
}

Status stream_load_run(Stream *stream, bool has_moved, Slice *from) {
    uint64_t generation;
    RunPart part;
    Run *run;
    if (!packed_read_u64(from, &generation))
        return ERR_CORRUPT;
    if (!generation)
        return stream_load_messages(stream, from);
    if (!read_part(from, has_moved, &part))
        return ERR_CORRUPT;
    char *path = journal_run_path(stream->js->journal, stream->group.id, generation);
    Status status = run_open(path, journal_cipher(stream->js->journal), &run);
    if (status == OK)
        status = stand_on(stream, run, generation, &part, from);
    else if (status != ERR_VERSION && status != ERR_MEMORY && status != ERR_DENIED)
        status = rebuild_without(stream, path, &part, from);
    mem_free(path);
    return status;
}
