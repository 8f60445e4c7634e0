/* Reading single messages, from the heap, the log's cache, or (later) the disk. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "stream/stream_parts.h"

enum {
    UNREADABLE_NS = 1000 * 1000 * 1000,
    /* What the disk refuses so often, with that time between, is given up. */
    UNREADABLE_TRIES_MAX = 10,
};

/* Of a message kept in memory, before subject, headers, payload. */
typedef struct HeapMsg {
    uint32_t headers_len;
    uint32_t subject_len;
} HeapMsg;

/* One read of the disk, for all who wait for it. Outlives the stream when that goes first. */
typedef struct StreamFetch {
    Link link;
    Stream *stream; /* NULL: the stream is gone */
    uint64_t seq;
    Chunk *chunk; /* what is read: a reference; NULL: the message's record */
    Place place;
    List waits;
} StreamFetch;

Shared *heap_msg_new(Slice subject, Slice headers, Slice payload) {
    Shared *heap = shared_new(sizeof(HeapMsg) + subject.len + headers.len + payload.len);
    char *to = shared_bytes(heap);
    HeapMsg head = {(uint32_t)headers.len, (uint32_t)subject.len};
    const Slice parts[] = {slice_from(&head, sizeof head), subject, headers, payload};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].len)
            memcpy(to, parts[i].ptr, parts[i].len);
        to += parts[i].len;
    }
    return heap;
}

void heap_msg_get(Shared *heap, StoredMsg *out_msg) {
    Slice bytes = slice_from(shared_bytes(heap), shared_len(heap));
    HeapMsg head;
    memcpy(&head, bytes.ptr, sizeof head);
    bytes = slice_from_at(bytes, sizeof head);
    out_msg->subject = slice_first(bytes, head.subject_len);
    bytes = slice_from_at(bytes, head.subject_len);
    out_msg->headers = slice_first(bytes, head.headers_len);
    out_msg->payload = slice_from_at(bytes, head.headers_len);
    out_msg->hold = heap;
}

void stored_msg_done(StoredMsg *msg) {
    shared_unref(msg->hold);
    *msg = (StoredMsg){0};
}

bool stream_mark_damaged(Stream *stream, uint64_t seq) {
    const MsgSlot *slot = msg_index_get(stream->index, seq);
    if (slot->size & MSG_DAMAGED)
        return false;
    stream_add_flags(stream, seq, MSG_DAMAGED);
    stream->state.damaged++;
    LOG_ERR("message damaged on disk", "stream=%.*s seq=%llu place=%llx",
            SLICE_ARG(stream_name(stream)), (unsigned long long)seq,
            (unsigned long long)slot->place);
    return true;
}

/* A disk may fail for a while: such a message is not damaged. */
static Unreadable *find_unreadable(StreamParts *parts, uint64_t seq) {
    for (unsigned i = 0; i < parts->unreadable_count; i++)
        if (parts->unreadable[i].seq == seq)
            return &parts->unreadable[i];
    return NULL;
}

/* Room for one more, if need be that of the oldest. */
static Unreadable *add_unreadable(StreamParts *parts, uint64_t seq) {
    unsigned at = 0;
    for (unsigned i = 1; i < parts->unreadable_count; i++)
        if (parts->unreadable[i].until_ns < parts->unreadable[at].until_ns)
            at = i;
    if (parts->unreadable_count < UNREADABLE_MAX)
        at = parts->unreadable_count++;
    parts->unreadable[at] = (Unreadable){.seq = seq};
    return &parts->unreadable[at];
}

static void note_unreadable(Stream *stream, uint64_t seq, Status status) {
    StreamParts *parts = stream->parts;
    Unreadable *trouble = find_unreadable(parts, seq);
    if (trouble == NULL) {
        trouble = add_unreadable(parts, seq);
        LOG_ERR("message not read", "stream=%.*s seq=%llu why=%s", SLICE_ARG(stream_name(stream)),
                (unsigned long long)seq, status_text(status));
    }
    trouble->until_ns = clock_mono_ns() + UNREADABLE_NS;
    if (status != ERR_IO || ++trouble->tries < UNREADABLE_TRIES_MAX)
        return;
    *trouble = parts->unreadable[--parts->unreadable_count];
    (void)stream_mark_damaged(stream, seq);
}

static void forget_unreadable(Stream *stream, uint64_t seq) {
    Unreadable *trouble = find_unreadable(stream->parts, seq);
    if (trouble)
        *trouble = stream->parts->unreadable[--stream->parts->unreadable_count];
}

static bool is_unreadable(Stream *stream, uint64_t seq) {
    const Unreadable *trouble = find_unreadable(stream->parts, seq);
    return trouble && trouble->until_ns > clock_mono_ns();
}

static bool is_record_of(const Stream *stream, const MsgSlot *slot, const Record *record,
                         Slice subject) {
    RecordType type = slot->size & MSG_IS_COPY ? RECORD_COPY : RECORD_PUBLISH;
    return record->type == type && record->group == stream->group.id &&
           record->headers.len + record->payload.len == (slot->size & MSG_LEN_MASK) &&
           slice_equal(record->subject, subject);
}

static Slice subject_of(const Stream *stream, const MsgSlot *slot) {
    return subject_entry_text(subject_index_entry(&stream->parts->subjects, slot->subject));
}

/* Of a message whose subject would have to be looked up in the run: the record in memory says it
 * too. That it is the one is told by all else, its time in ns before all. ERR_AGAIN: not so. */
static Status read_of_run(Stream *stream, uint64_t seq, const MsgSlot *slot, Record *out_record,
                          Shared **out_hold) {
    if (slot->size & MSG_IS_COPY || !subject_is_of_run(slot->subject))
        return ERR_AGAIN;
    Status status = stream_look_record(stream, seq, slot->place, out_record, out_hold);
    if (status != OK)
        return ERR_AGAIN;
    if (out_record->time_ns == slot->time_ns &&
        is_record_of(stream, slot, out_record, out_record->subject))
        return OK;
    shared_unref(*out_hold);
    return ERR_AGAIN;
}

static Status read_record(Stream *stream, uint64_t seq, const MsgSlot *slot, Record *out_record,
                          Shared **out_hold) {
    if (read_of_run(stream, seq, slot, out_record, out_hold) == OK)
        return OK;
    Slice subject = subject_of(stream, slot);
    Status status =
        stream_peek_record(stream, seq, slot->place, stream_record_bytes(subject.len, slot->size),
                           out_record, out_hold);
    if (status != OK)
        return status;
    if (stream_unwrap_copy(out_record, &(uint64_t){0}) &&
        is_record_of(stream, slot, out_record, subject))
        return OK;
    shared_unref(*out_hold);
    return ERR_CORRUPT;
}

/* Its chunk may have come anew since it was found damaged. */
static void mark_healed(Stream *stream, uint64_t seq) {
    msg_index_edit(stream->index, seq)->size &= ~(uint32_t)MSG_DAMAGED;
    stream->state.damaged--;
    LOG_INFO("message damaged on disk is whole again", "stream=%.*s seq=%llu",
             SLICE_ARG(stream_name(stream)), (unsigned long long)seq);
}

static Status read_ref(Stream *stream, uint64_t seq, const MsgSlot *slot, StoredMsg *out_msg,
                       ChunkPart *out_missing) {
    StoredMsg stored = {.seq = seq, .time_ns = slot->time_ns};
    bool was_damaged = slot->size & MSG_DAMAGED;
    ChunkMsg msg;
    Status status = ERR_CORRUPT;
    if (slot->size & MSG_UNSEEN)
        return ERR_CORRUPT;
    if (chunk_msg_of(stream, seq, slot, subject_of(stream, slot), &msg))
        status = chunk_msg_read(stream, &msg, &stored, out_missing);
    if (status == ERR_CORRUPT)
        (void)stream_mark_damaged(stream, seq);
    if (status)
        return status;
    if (was_damaged)
        mark_healed(stream, seq);
    *out_msg = stored;
    return OK;
}

Status stream_read(Stream *stream, uint64_t seq, StoredMsg *out_msg) {
    const MsgSlot *slot = msg_index_get(stream->index, seq);
    if (!slot)
        return ERR_NOT_FOUND;
    if (slot->place & MSG_IN_HEAP) {
        *out_msg = (StoredMsg){.seq = seq, .time_ns = slot->time_ns};
        heap_msg_get(shared_ref(slot_heap(slot)), out_msg);
        return OK;
    }
    if (stream->parts->unreadable_count && is_unreadable(stream, seq))
        return ERR_IO;
    if (slot->place & MSG_REF)
        return read_ref(stream, seq, slot, out_msg, &(ChunkPart){0});
    if (slot->size & (MSG_DAMAGED | MSG_UNSEEN))
        return ERR_CORRUPT;

    Record record;
    Shared *hold;
    Status status = read_record(stream, seq, slot, &record, &hold);
    if (status == ERR_CORRUPT)
        (void)stream_mark_damaged(stream, seq);
    if (status)
        return status;
    *out_msg = (StoredMsg){.seq = seq,
                           .time_ns = slot->time_ns,
                           .subject = record.subject,
                           .headers = record.headers,
                           .payload = record.payload,
                           .hold = hold};
    return OK;
}

Status stream_subject_of(Stream *stream, uint64_t seq, Slice *out_subject) {
    const MsgSlot *slot = msg_index_get(stream->index, seq);
    if (!slot || !slot->subject)
        return ERR_NOT_FOUND;
    *out_subject = subject_entry_text(subject_index_entry(&stream->parts->subjects, slot->subject));
    return OK;
}

static void wake_all(List *waits) {
    /* A waiter may cancel others, or wait anew: those come into another list. */
    for (Link *link; (link = list_pop_front(waits));) {
        StreamWait *wait = CONTAINER_OF(link, StreamWait, link);
        wait->ready(wait);
    }
}

static void take_all(List *from, List *to) {
    list_init(to);
    for (Link *link; (link = list_pop_front(from));)
        list_push_back(to, link);
}

static void run_waits(Task *task) {
    StreamParts *parts = CONTAINER_OF(task, StreamParts, wait_task);
    List waits;
    take_all(&parts->waits, &waits);
    wake_all(&waits);
}

static void on_fetched(void *cookie, Status status) {
    StreamFetch *fetch = cookie;
    Stream *stream = fetch->stream;
    if (stream) {
        const MsgSlot *slot = msg_index_get(stream->index, fetch->seq);
        bool is_damaged = status == ERR_CORRUPT;
        if (fetch->chunk && is_damaged)
            chunk_mark_damaged(stream->js->chunks, fetch->chunk, fetch->place);
        /* Its record may lie elsewhere by now. */
        if (slot && !fetch->chunk && (slot->place & ~MSG_REF) != fetch->place)
            slot = NULL;
        if (slot && !(slot->place & MSG_IN_HEAP) && is_damaged)
            (void)stream_mark_damaged(stream, fetch->seq);
        if (slot && status && status != ERR_AGAIN && !is_damaged)
            note_unreadable(stream, fetch->seq, status);
        if (status == OK && stream->parts->unreadable_count)
            forget_unreadable(stream, fetch->seq);
        list_remove(&fetch->link);
        if (fetch->chunk)
            chunk_unref(stream->js->chunks, fetch->chunk);
    }
    wake_all(&fetch->waits);
    mem_free(fetch);
}

static StreamFetch *find_fetch(StreamParts *parts, uint64_t seq) {
    LIST_FOR_EACH(link, &parts->fetches) {
        StreamFetch *fetch = CONTAINER_OF(link, StreamFetch, link);
        if (fetch->seq == seq)
            return fetch;
    }
    return NULL;
}

/* Ready in the next turn: there is nothing to be read. */
static void wait_a_turn(Stream *stream, StreamWait *wait) {
    StreamParts *parts = stream->parts;
    list_push_back(&parts->waits, &wait->link);
    worker_ready(stream->group.home, &parts->wait_task);
}

/* What of it is not in memory. False: nothing. */
static bool part_to_fetch(Stream *stream, uint64_t seq, ChunkPart *out_part, Chunk **out_chunk) {
    const MsgSlot *slot = msg_index_get(stream->index, seq);
    StoredMsg msg;
    *out_chunk = NULL;
    if (!slot || slot->place & MSG_IN_HEAP)
        return false;
    if (!(slot->place & MSG_REF)) {
        if (slot->size & (MSG_DAMAGED | MSG_UNSEEN))
            return false;
        *out_part =
            (ChunkPart){.place = slot->place,
                        .bytes = stream_record_bytes(subject_of(stream, slot).len, slot->size)};
        return true;
    }
    Status status = read_ref(stream, seq, slot, &msg, out_part);
    if (status == OK)
        stored_msg_done(&msg);
    if (status == ERR_AGAIN && out_part->is_chunk)
        *out_chunk = stream_chunk_use(stream, seq)->chunk;
    return status == ERR_AGAIN;
}

Status stream_read_now(Stream *stream, uint64_t seq, StoredMsg *out_msg) {
    for (;;) {
        ChunkPart part;
        Chunk *chunk;
        Status status = stream_read(stream, seq, out_msg);
        if (status != ERR_AGAIN || !part_to_fetch(stream, seq, &part, &chunk))
            return status;
        status = stream_fetch_record_now(stream, part.place, part.bytes);
        if (status)
            return status;
    }
}

void stream_fetch(Stream *stream, uint64_t seq, StreamWait *wait) {
    ASSERT_HOME(&stream->group);
    StreamParts *parts = stream->parts;
    StreamFetch *fetch = find_fetch(parts, seq);
    if (fetch) {
        list_push_back(&fetch->waits, &wait->link);
        return;
    }
    ChunkPart part;
    Chunk *chunk;
    if (!part_to_fetch(stream, seq, &part, &chunk)) {
        wait_a_turn(stream, wait);
        return;
    }
    fetch = mem_alloc(sizeof *fetch);
    *fetch = (StreamFetch){.stream = stream,
                           .seq = seq,
                           .chunk = chunk ? chunk_ref(stream->js->chunks, chunk) : NULL,
                           .place = part.place};
    list_init(&fetch->waits);
    list_push_back(&fetch->waits, &wait->link);
    list_push_back(&parts->fetches, &fetch->link);
    stream_fetch_record(stream, part.place, part.bytes, on_fetched, fetch);
}

void stream_cancel_wait(StreamWait *wait) {
    list_remove(&wait->link);
}

void stream_waits_init(Stream *stream) {
    StreamParts *parts = stream->parts;
    list_init(&parts->fetches);
    list_init(&parts->waits);
    task_init(&parts->wait_task, run_waits);
}

void stream_waits_done(Stream *stream) {
    StreamParts *parts = stream->parts;
    List dropped;
    task_cancel(&parts->wait_task);
    take_all(&parts->waits, &dropped);
    while (list_pop_front(&dropped)) {
    }
    LIST_FOR_EACH(link, &parts->fetches) {
        StreamFetch *fetch = CONTAINER_OF(link, StreamFetch, link);
        while (list_pop_front(&fetch->waits)) {
        }
        list_remove(&fetch->link);
        if (fetch->chunk)
            chunk_unref(stream->js->chunks, fetch->chunk);
        fetch->chunk = NULL;
        fetch->stream = NULL;
    }
}
