/* The live messages in a stream's checkpoint, with all that the index says of them, so that a start
 * need not read their records. All numbers packed:
 *   count | runs: gap to the previous sequence, length, and per message:
 *     subject << 1 | is_in_heap. subject 0: unknown (damaged); 1: a new one, its text follows (len,
 *     bytes); n + 2: the n-th new one.
 *     in the log: distance of its place to the previous one, signed
 *     in heap (markers, which are no records): headers, payload (len, bytes each)
 *     distance of its time to the previous one, signed | (length << 7 | flags) << 1 | is a
 *     tombstone
 *   then those with a time to live: count, and for each: sequence, due time */
#include "base/map.h"
#include "base/mem.h"
#include "stream/packed.h"
#include "stream/stream_parts.h"
#include "stream/stream_touch.h"

enum { FLAG_BITS = 7, FLAG_SHIFT = 25, SUBJECT_UNKNOWN = 0, SUBJECT_NEW = 1, SUBJECT_KNOWN = 2 };
_Static_assert(MSG_LEN_MASK == (1 << FLAG_SHIFT) - 1 && FLAG_BITS + FLAG_SHIFT == 32,
               "flags and length fill 32 bits");

/* ---- save ---- */

typedef struct Saver {
    Stream *stream;
    Buf *out;
    Map64 subjects; /* id -> number + 1 */
    uint64_t last_place;
    int64_t last_time_ns;
} Saver;

static uint64_t subject_number(Saver *saver, SubjectId id) {
    if (!id)
        return SUBJECT_UNKNOWN;
    uintptr_t number = (uintptr_t)map64_get(&saver->subjects, id);
    if (number)
        return number - 1 + SUBJECT_KNOWN;
    map64_put(&saver->subjects, id, (void *)(saver->subjects.len + 1));
    return SUBJECT_NEW;
}

static void save_one(Saver *saver, const MsgSlot *slot) {
    Buf *out = saver->out;
    bool is_in_heap = slot->place & MSG_IN_HEAP;
    uint64_t subject = subject_number(saver, slot->subject);
    packed_write_u64(out, subject << 1 | is_in_heap);
    if (subject == SUBJECT_NEW) {
        const SubjectEntry *entry =
            subject_index_entry(&saver->stream->parts->subjects, slot->subject);
        packed_write_slice(out, subject_entry_text(entry));
    }
    if (is_in_heap) {
        StoredMsg msg;
        heap_msg_get(slot_heap(slot), &msg);
        packed_write_slice(out, msg.headers);
        packed_write_slice(out, msg.payload);
    } else {
        packed_write_i64(out, (int64_t)(slot->place - saver->last_place));
        saver->last_place = slot->place;
    }
    packed_write_i64(out, slot->time_ns - saver->last_time_ns);
    saver->last_time_ns = slot->time_ns;
    packed_write_u64(
        out, ((uint64_t)(slot->size & MSG_LEN_MASK) << FLAG_BITS | slot->size >> FLAG_SHIFT) << 1 |
                 slot->is_tombstone);
}

/* First sequence after the run of live ones that begins at seq. */
static uint64_t run_end(const Stream *stream, uint64_t seq) {
    MsgScan scan;
    uint64_t at;
    msg_scan_up(&scan, stream->index, seq);
    while (msg_scan_next_up(&scan, &at) && at == seq)
        seq++;
    return seq;
}

static void save_ttls(Stream *stream, uint64_t from, Buf *out) {
    const TtlQueue *ttls = &stream->parts->ttls;
    const Map64 *touched = &stream->parts->touched;
    Map64 written = {0}; /* of those that were touched: they may be in the queue more than once */
    Buf all = {0};
    uint64_t count = 0;
    for (size_t i = 0; i < ttls->len; i++) {
        uint64_t seq = ttls->heap[i].seq;
        bool is_touched = touched->len && map64_get(touched, seq);
        if (seq < from && !is_touched)
            continue; /* the run has it */
        const MsgSlot *slot = msg_index_get(stream->index, seq);
        if (!slot || !(slot->size & MSG_HAS_TTL))
            continue;
        if (is_touched && (!stream_due_is_current(stream, seq, ttls->heap[i].due_ns) ||
                           map64_put(&written, seq, stream)))
            continue;
        count++;
        packed_write_u64(&all, seq);
        packed_write_i64(&all, ttls->heap[i].due_ns);
    }
    packed_write_u64(out, count);
    buf_append(out, buf_slice(&all));
    buf_done(&all);
    map64_done(&written);
}

void stream_save_messages(Stream *stream, const MessagesForm *form, Buf *out) {
    Saver saver = {.stream = stream, .out = out};
    MsgScan scan;
    uint64_t seq, end = 0;
    const MsgSlot *slot;

    packed_write_u64(out, msg_index_count_from(stream->index, form->from));
    msg_scan_up(&scan, stream->index, form->from);
    while ((slot = msg_scan_next_up(&scan, &seq))) {
        if (seq >= end) {
            packed_write_u64(out, seq - end);
            end = run_end(stream, seq);
            packed_write_u64(out, end - seq);
        }
        save_one(&saver, slot);
    }
    map64_done(&saver.subjects);
    save_ttls(stream, form->from, out);
}

/* ---- load ---- */

typedef struct Loader {
    Stream *stream;
    VEC(SubjectId) subjects;
    uint64_t last_place;
    int64_t last_time_ns;
} Loader;

/* One message as it stands in the checkpoint. */
typedef struct Saved {
    bool is_in_heap, is_tombstone;
    SubjectId subject;
    Slice headers, payload;
    Place place;
    int64_t time_ns;
    uint32_t size;
} Saved;

static bool read_subject(Loader *loader, uint64_t number, Slice *from, SubjectId *out_id) {
    Slice text;
    if (number == SUBJECT_UNKNOWN) {
        *out_id = 0;
        return true;
    }
    if (number != SUBJECT_NEW) {
        if (number - SUBJECT_KNOWN >= loader->subjects.len)
            return false;
        *out_id = loader->subjects.at[number - SUBJECT_KNOWN];
        return true;
    }
    if (!packed_read_slice(from, &text) || text.len == 0 || text.len > UINT16_MAX)
        return false;
    *out_id = subject_index_add(&loader->stream->parts->subjects, text);
    vec_push(&loader->subjects, *out_id);
    return true;
}

static bool read_one(Loader *loader, Slice *from, Saved *out_saved) {
    uint64_t head, size;
    int64_t distance;

    if (!packed_read_u64(from, &head) ||
        !read_subject(loader, head >> 1, from, &out_saved->subject))
        return false;
    out_saved->is_in_heap = head & 1;
    if (out_saved->is_in_heap) {
        if (!packed_read_slice(from, &out_saved->headers) ||
            !packed_read_slice(from, &out_saved->payload) || !out_saved->subject)
            return false;
    } else {
        if (!packed_read_i64(from, &distance))
            return false;
        loader->last_place += (uint64_t)distance;
        out_saved->place = loader->last_place;
        if (out_saved->place & MSG_IN_HEAP)
            return false;
    }
    if (!packed_read_i64(from, &distance) || !packed_read_u64(from, &size) ||
        size >> 1 >> FLAG_BITS > MSG_LEN_MASK)
        return false;
    loader->last_time_ns = (int64_t)((uint64_t)loader->last_time_ns + (uint64_t)distance);
    out_saved->time_ns = loader->last_time_ns;
    out_saved->is_tombstone = size & 1;
    size >>= 1;
    out_saved->size = (uint32_t)(size >> FLAG_BITS) | (uint32_t)(size & ((1 << FLAG_BITS) - 1))
                                                          << FLAG_SHIFT;
    /* A length that is not the message's would be believed later. */
    if (out_saved->is_in_heap &&
        (out_saved->size & MSG_LEN_MASK) != out_saved->headers.len + out_saved->payload.len)
        return false;
    return out_saved->subject || out_saved->size & (MSG_UNSEEN | MSG_DAMAGED);
}

/* Filled when its record comes, in its turn: others below it wait for theirs. */
static void add_unseen(Stream *stream, uint64_t seq, Place place) {
    MsgSlot *slot = msg_index_add(stream->index, seq);
    slot->place = place;
    slot->size = MSG_UNSEEN;
    stream->parts->unseen++;
    stream_count_live(stream, (Slice){0}, slot->size, 1);
}

static void add_one(Stream *stream, uint64_t seq, const Saved *saved) {
    StreamParts *parts = stream->parts;
    Slice subject = {0};
    if (parts->unseen && !saved->is_in_heap && !(saved->size & MSG_UNSEEN)) {
        add_unseen(stream, seq, saved->place);
        return;
    }
    MsgSlot *slot = msg_index_add(stream->index, seq);

    slot->time_ns = saved->time_ns;
    slot->size = saved->size;
    slot->is_tombstone = saved->is_tombstone;
    slot->place = saved->place;
    if (saved->subject) {
        const SubjectEntry *entry = subject_index_entry(&parts->subjects, saved->subject);
        subject = subject_entry_text(entry);
        if (saved->is_in_heap)
            slot->place = heap_place(heap_msg_new(subject, saved->headers, saved->payload));
        parts->heap_count += saved->is_in_heap;
        if (parts->unseen && saved->is_in_heap) {
            parts->ttl_live += (saved->size & MSG_HAS_TTL) != 0;
            stream_put_off(stream, saved->subject, slot);
            return;
        }
        stream_link(stream, saved->subject, seq, slot);
    }
    stream_count_live(stream, subject, saved->size, 1);
    if (saved->size & MSG_DAMAGED)
        stream->state.damaged++;
    if (saved->size & MSG_HAS_TTL)
        parts->ttl_live++;
    if (!saved->is_in_heap && !(saved->size & MSG_UNSEEN))
        log_add_live(journal_log(stream->js->journal), saved->place & ~MSG_REF,
                     stream_live_bytes(subject.len, saved->place, saved->size));
}

static Status load_run(Loader *loader, uint64_t seq, uint64_t len, Slice *from) {
    for (; len; len--, seq++) {
        Saved saved = {0};
        if (!read_one(loader, from, &saved))
            return ERR_CORRUPT;
        add_one(loader->stream, seq, &saved);
    }
    return OK;
}

static Status load_runs(Loader *loader, Slice *from) {
    const StreamState *state = &loader->stream->state;
    uint64_t count, gap, len, seq = 0;
    uint64_t below = msg_index_prev(loader->stream->index, UINT64_MAX);

    if (!packed_read_u64(from, &count))
        return ERR_CORRUPT;
    while (count) {
        if (!packed_read_u64(from, &gap) || !packed_read_u64(from, &len) || len == 0 ||
            len > count || gap > state->last_seq - seq || (seq += gap) == 0 ||
            len > state->last_seq + 1 - seq || seq <= below ||
            seq < msg_index_base_end(loader->stream->index))
            return ERR_CORRUPT;
        count -= len;
        Status status = load_run(loader, seq, len, from);
        if (status)
            return status;
        seq += len;
        if (count && seq > state->last_seq)
            return ERR_CORRUPT;
    }
    return OK;
}

static Status load_ttls(Stream *stream, Slice *from) {
    uint64_t count, seq;
    int64_t due_ns;
    if (!packed_read_u64(from, &count))
        return ERR_CORRUPT;
    for (; count; count--) {
        if (!packed_read_u64(from, &seq) || !packed_read_i64(from, &due_ns))
            return ERR_CORRUPT;
        const MsgSlot *slot = msg_index_get(stream->index, seq);
        if (slot && slot->size & MSG_UNSEEN && !(slot->place & MSG_IN_HEAP))
            continue; /* its record says it again */
        if (!slot || !(slot->size & MSG_HAS_TTL))
            return ERR_CORRUPT;
        ttl_queue_push(&stream->parts->ttls, due_ns, seq);
    }
    return OK;
}

Status stream_load_messages(Stream *stream, Slice *from) {
    Loader loader = {.stream = stream};
    Status status = load_runs(&loader, from);
    vec_done(&loader.subjects);
    return status ? status : load_ttls(stream, from);
}
