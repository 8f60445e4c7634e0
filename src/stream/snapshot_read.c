/* What goes into a snapshot: state, consumers, and the messages in order, those that were removed
 * meanwhile included. */
#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "proto/archive.h"
#include "proto/timefmt.h"
#include "stream/snapshot_private.h"

/* ---- removed ones ---- */

static void sift_up(Snapshot *snapshot, size_t i) {
    RemovedMsg *heap = snapshot->removed.at;
    while (i > 0 && heap[(i - 1) / 2].seq > heap[i].seq) {
        RemovedMsg moved = heap[i];
        heap[i] = heap[(i - 1) / 2];
        heap[(i - 1) / 2] = moved;
        i = (i - 1) / 2;
    }
}

static void sift_down(Snapshot *snapshot) {
    RemovedMsg *heap = snapshot->removed.at;
    size_t i = 0, n = snapshot->removed.len;
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (heap[child].seq < heap[least].seq)
                least = child;
        if (least == i)
            return;
        RemovedMsg moved = heap[i];
        heap[i] = heap[least];
        heap[least] = moved;
        i = least;
    }
}

static void let_go(Snapshot *snapshot, const RemovedMsg *removed) {
    JetStream *js = snapshot->stream->js;
    if (removed->place & MSG_IN_HEAP)
        shared_unref((Shared *)(uintptr_t)(removed->place & ~MSG_IN_HEAP));
    else
        log_drop_live(journal_log(js->journal), removed->place, removed->bytes);
    if (removed->use.chunk)
        chunk_unref(js->chunks, removed->use.chunk);
}

static void pop_removed(Snapshot *snapshot) {
    let_go(snapshot, &snapshot->removed.at[0]);
    snapshot->removed.at[0] = snapshot->removed.at[--snapshot->removed.len];
    sift_down(snapshot);
}

/* Its record and its chunk stay. False: the chunk is not known. */
static bool keep_ref(Stream *stream, uint64_t seq, size_t subject_len, uint32_t slot_size,
                     RemovedMsg *removed) {
    const ChunkUse *use = stream_chunk_use(stream, seq);
    if (!use)
        return false;
    removed->place &= ~MSG_REF;
    removed->bytes = (uint32_t)chunk_msg_bytes(subject_len, use->headers_len, slot_size);
    removed->use = *use;
    (void)chunk_ref(stream->js->chunks, use->chunk);
    return true;
}

void snapshot_on_removed(Stream *stream, uint64_t seq, const MsgSlot *slot, size_t subject_len) {
    LIST_FOR_EACH(link, &stream->parts->snapshots) {
        Snapshot *snapshot = CONTAINER_OF(link, Snapshot, link);
        if (snapshot->is_over || seq < snapshot->cursor || seq > snapshot->upto ||
            slot->size & MSG_UNSEEN)
            continue;
        RemovedMsg removed = {.seq = seq, .place = slot->place, .time_ns = slot->time_ns};
        if (slot->place & MSG_IN_HEAP) {
            (void)shared_ref(slot_heap(slot));
        } else {
            removed.bytes = (uint32_t)stream_record_bytes(subject_len, slot->size);
            if (slot->place & MSG_REF && !keep_ref(stream, seq, subject_len, slot->size, &removed))
                continue;
            log_add_live(journal_log(stream->js->journal), removed.place, removed.bytes);
        }
        vec_push(&snapshot->removed, removed);
        sift_up(snapshot, snapshot->removed.len - 1);
    }
}

void snapshot_read_done(Snapshot *snapshot) {
    for (size_t i = 0; i < snapshot->removed.len; i++)
        let_go(snapshot, &snapshot->removed.at[i]);
    vec_done(&snapshot->removed);
    if (snapshot->is_waiting)
        stream_cancel_wait(&snapshot->wait);
    snapshot->is_waiting = false;
    if (snapshot->fetch)
        snapshot->fetch->snapshot = NULL;
    snapshot->fetch = NULL;
}

static void on_fetched(void *cookie, Status status) {
    RemovedFetch *fetch = cookie;
    (void)status; /* the next look says */
    if (fetch->snapshot) {
        fetch->snapshot->fetch = NULL;
        worker_ready(fetch->snapshot->port.home, &fetch->snapshot->task);
    }
    mem_free(fetch);
}

static void fetch_removed(Snapshot *snapshot, Place place, size_t bytes) {
    snapshot->fetch = mem_alloc(sizeof *snapshot->fetch);
    snapshot->fetch->snapshot = snapshot;
    stream_fetch_record(snapshot->stream, place, bytes, on_fetched, snapshot->fetch);
}

static Status read_removed_ref(Snapshot *snapshot, const RemovedMsg *removed, StoredMsg *out_msg) {
    ChunkPart part;
    ChunkMsg msg = {.place = removed->place,
                    .bytes = removed->bytes,
                    .headers_len = removed->use.headers_len,
                    .chunk = removed->use.chunk};
    Status status = chunk_msg_read(snapshot->stream, &msg, out_msg, &part);
    if (status == ERR_AGAIN)
        fetch_removed(snapshot, part.place, part.bytes);
    return status;
}

static Status read_removed(Snapshot *snapshot, const RemovedMsg *removed, StoredMsg *out_msg) {
    *out_msg = (StoredMsg){.seq = removed->seq, .time_ns = removed->time_ns};
    if (removed->place & MSG_IN_HEAP) {
        heap_msg_get(shared_ref((Shared *)(uintptr_t)(removed->place & ~MSG_IN_HEAP)), out_msg);
        return OK;
    }
    if (removed->use.chunk)
        return read_removed_ref(snapshot, removed, out_msg);
    Record record;
    Shared *hold;
    Status status = stream_peek_record(snapshot->stream, removed->seq, removed->place,
                                       removed->bytes, &record, &hold);
    if (status == ERR_AGAIN)
        fetch_removed(snapshot, removed->place, removed->bytes);
    if (status != OK)
        return status;
    out_msg->hold = hold;
    if (record.group != snapshot->stream->group.id ||
        !stream_unwrap_copy(&record, &(uint64_t){0})) {
        stored_msg_done(out_msg);
        return ERR_CORRUPT;
    }
    out_msg->subject = record.subject;
    out_msg->headers = record.headers;
    out_msg->payload = record.payload;
    return OK;
}

/* ---- messages ---- */

static void on_ready(StreamWait *wait) {
    Snapshot *snapshot = CONTAINER_OF(wait, Snapshot, wait);
    snapshot->is_waiting = false;
    worker_ready(snapshot->port.home, &snapshot->task);
}

static Status read_live(Snapshot *snapshot, uint64_t seq, StoredMsg *out_msg) {
    Status status = stream_read(snapshot->stream, seq, out_msg);
    if (status == ERR_AGAIN) {
        link_init(&snapshot->wait.link);
        snapshot->wait.ready = on_ready;
        snapshot->is_waiting = true;
        stream_fetch(snapshot->stream, seq, &snapshot->wait);
    }
    return status;
}

static void write_message(Snapshot *snapshot, const StoredMsg *msg) {
    ArchiveEntry entry = {.name = msg->subject,
                          .time_ns = msg->time_ns,
                          .seq = msg->seq,
                          .headers_len = msg->headers.len,
                          .payload_len = msg->payload.len};
    archive_write_head(&snapshot->plain, &entry);
    buf_append(&snapshot->plain, msg->headers);
    buf_append(&snapshot->plain, msg->payload);
}

Status snapshot_read_next(Snapshot *snapshot) {
    if (snapshot->is_waiting || snapshot->fetch)
        return ERR_AGAIN;
    uint64_t live = msg_index_next(snapshot->stream->index, snapshot->cursor);
    uint64_t removed = snapshot->removed.len ? snapshot->removed.at[0].seq : 0;
    StoredMsg msg;
    if (live > snapshot->upto)
        live = 0;
    if (!live && !removed)
        return ERR_NOT_FOUND;
    bool is_removed = removed && (!live || removed < live);
    uint64_t seq = is_removed ? removed : live;
    Status status = is_removed ? read_removed(snapshot, &snapshot->removed.at[0], &msg)
                               : read_live(snapshot, seq, &msg);
    if (status == ERR_AGAIN)
        return status;
    if (status == OK) {
        write_message(snapshot, &msg);
        stored_msg_done(&msg);
    } else { /* the disk does not give it: the archive shows it as deleted, and we say so */
        snapshot->damaged++;
        LOG_ERR("damaged message left out of a snapshot", "stream=%.*s seq=%llu",
                SLICE_ARG(stream_name(snapshot->stream)), (unsigned long long)seq);
    }
    snapshot->cursor = seq + 1;
    if (is_removed)
        pop_removed(snapshot);
    return OK;
}

/* ---- what stands before them ---- */

static void write_time(Buf *out, const char *name, int64_t time_ns) {
    buf_printf(out, ",\"%s\":\"", name);
    time_write(out, time_ns);
    buf_append_char(out, '"');
}

static void write_state(Buf *out, const Stream *stream, size_t consumers) {
    const StreamState *state = &stream->state;
    buf_printf(out, "{\"messages\":%llu,\"bytes\":%llu,\"first_seq\":%llu",
               (unsigned long long)state->messages, (unsigned long long)state->bytes,
               (unsigned long long)state->first_seq);
    write_time(out, "first_ts", state->first_time_ns);
    buf_printf(out, ",\"last_seq\":%llu", (unsigned long long)state->last_seq);
    write_time(out, "last_ts", state->last_time_ns);
    if (state->num_subjects)
        buf_printf(out, ",\"num_subjects\":%llu", (unsigned long long)state->num_subjects);
    if (state->messages && state->last_seq - state->first_seq + 1 > state->messages)
        buf_printf(out, ",\"num_deleted\":%llu",
                   (unsigned long long)(state->last_seq - state->first_seq + 1 - state->messages));
    buf_printf(out, ",\"consumer_count\":%zu}", consumers);
}

static void write_json(Snapshot *snapshot, Slice name, Slice json) {
    ArchiveEntry entry = {.name = name, .time_ns = snapshot->start_ns, .payload_len = json.len};
    archive_write_head(&snapshot->plain, &entry);
    buf_append(&snapshot->plain, json);
}

void snapshot_write_start(Snapshot *snapshot, bool has_consumers) {
    Stream *stream = snapshot->stream;
    Consumer **consumers = NULL;
    Buf json = {0}, name = {0};
    size_t n = 0;
    if (has_consumers)
        n = consumer_set_page(stream->consumers, 0, SIZE_MAX, &consumers);
    archive_write_magic(&snapshot->plain);
    write_state(&json, stream, n);
    write_json(snapshot, LIT("state.json"), buf_slice(&json));
    for (size_t i = 0; i < n; i++) {
        buf_clear(&json);
        buf_clear(&name);
        buf_append_lit(&name, "consumers/");
        buf_append(&name, consumer_name(consumers[i]));
        consumer_archive_write(&json, consumers[i]);
        write_json(snapshot, buf_slice(&name), buf_slice(&json));
    }
    buf_done(&json);
    buf_done(&name);
}
