#include "stream/stream_move.h"

#include "base/mem.h"
#include "io/clock.h"
#include "stream/stream_move_private.h"

enum {
    SLICE_LOOK = 16, /* messages between two looks at the clock */
    /* What so many frames in a row were not worth is hardly worth the next: one piece of so many is
     * tried from then on. */
    PACK_FAILURES_MAX = 8,
    PACK_SAMPLE = 16,
};

static void run_slice(Task *task);
static void on_timer(Timer *timer);

/* Whether looking for more of it pays. */
static void note_success(StreamMove *self) {
    if (self->frames)
        self->stream->parts->is_unpackable = false;
    else if (self->move->kind == MOVE_PACK && self->failures >= PACK_FAILURES_MAX)
        self->stream->parts->is_unpackable = true;
}

/* Ends; the caller touches nothing of it any more. */
static void finish(StreamMove *self) {
    GroupMove *move = self->move;
    Stream *stream = self->stream;
    stream->parts->move = NULL;
    task_cancel(&self->task);
    timer_cancel(stream->group.home, &self->timer);
    if (self->fetch)
        self->fetch->move = NULL;
    vec_done(&self->found);
    moved_writer_done(&self->entry);
    frame_writer_done(&self->frame);
    buf_done(&self->ready);
    vec_done(&self->ready_frames);
    note_success(self);
    mem_free(self);
    move->done(move);
}

static void append(StreamMove *self, const Record *draft) {
    GroupMove *move = self->move;
    Ticket ticket = {.kind = TICKET_MOVED};
    size_t bytes = record_bytes(draft);
    move->bytes += bytes;
    move->bytes_left -= bytes < move->bytes_left ? bytes : move->bytes_left;
    self->in_flight++;
    journal_append(self->stream->js->journal, &self->stream->group, draft, &ticket, true);
}

/* ---- writing ---- */

static void append_moved(StreamMove *self) {
    MovedWriter *entry = &self->entry;
    if (!entry->count)
        return;
    Record draft = {.type = RECORD_MOVED,
                    .time_ns = stream_clock(self->stream),
                    .headers = buf_slice(&entry->heads),
                    .payload = buf_slice(&entry->records)};
    self->move->records += entry->count;
    append(self, &draft);
    moved_writer_clear(entry);
}

static void take_as_it_is(StreamMove *self, uint64_t seq, Place from, Slice raw) {
    moved_writer_add(&self->entry, seq, from, raw);
    if (self->entry.records.len >= self->move->entry_bytes)
        append_moved(self);
}

static void append_ready(StreamMove *self) {
    Slice rest = buf_slice(&self->ready);
    for (size_t i = 0; i < self->ready_frames.len; i++) {
        ReadyFrame frame = self->ready_frames.at[i];
        Record draft = {.type = RECORD_FRAME,
                        .time_ns = stream_clock(self->stream),
                        .headers = slice_first(rest, frame.heads_len)};
        rest = slice_from_at(rest, frame.heads_len);
        draft.payload = slice_first(rest, frame.block_len);
        rest = slice_from_at(rest, frame.block_len);
        append(self, &draft);
    }
    buf_clear(&self->ready);
    vec_clear(&self->ready_frames);
}

static void make_frame(StreamMove *self) {
    FrameWriter *frame = &self->frame;
    GroupMove *move = self->move;
    Record draft;
    if (!frame->members.len)
        return;
    if (frame_writer_make(frame, &draft)) {
        move->records += frame->members.len;
        move->packed_bytes += frame->records.len;
        move->frame_bytes += record_bytes(&draft);
        buf_append(&self->ready, draft.headers);
        buf_append(&self->ready, draft.payload);
        vec_push(&self->ready_frames, ((ReadyFrame){draft.headers.len, draft.payload.len}));
        self->frames++;
        self->failures = 0;
        if (self->ready.len >= move->entry_bytes)
            append_ready(self);
    } else {
        self->failures++;
        Slice rest = buf_slice(&frame->records);
        for (size_t i = 0; i < frame->members.len && move->kind == MOVE_OUT; i++) {
            const FrameMember *member = &frame->members.at[i];
            take_as_it_is(self, member->seq, member->from, slice_first(rest, member->bytes));
            rest = slice_from_at(rest, member->bytes);
        }
    }
    frame_writer_clear(frame);
}

/* An entry must fit into any segment. */
static bool has_room(const StreamMove *self, size_t bytes) {
    const FrameWriter *frame = &self->frame;
    return !frame->members.len || (frame_writer_has_room(frame, bytes) &&
                                   frame->records.len + bytes <= self->move->entry_bytes);
}

/* raw: the record. */
static void take(StreamMove *self, const Candidate *one, Slice raw, bool is_ref) {
    if (is_ref || !self->stream->config->compression_s2 || !frame_takes(raw.len)) {
        take_as_it_is(self, one->seq, one->place, raw);
        return;
    }
    if (!has_room(self, raw.len))
        make_frame(self);
    frame_writer_add(&self->frame, one->seq, one->place, raw);
}

/* What was found was read. Frames that are few, and one that is not full, wait for what is found
 * next. */
static void end_piece(StreamMove *self) {
    if (self->is_walked || !self->move->bytes_left) {
        make_frame(self);
        append_ready(self);
    }
    append_moved(self);
    vec_clear(&self->found);
    self->read_at = self->found_bytes = 0;
}

/* ---- reading ---- */

static void on_fetched(void *cookie, Status status) {
    MoveFetch *fetch = cookie;
    StreamMove *self = fetch->move;
    if (self) {
        self->fetch = NULL;
        if (status == ERR_CORRUPT && !fetch->is_chunk)
            stream_note_unreadable(self->stream, fetch->seq, fetch->place);
        if (status != OK)
            self->read_at++; /* it stays where it is */
        worker_ready(self->stream->group.home, &self->task);
    }
    mem_free(fetch);
}

static void fetch_one(StreamMove *self, const Candidate *one, size_t bytes) {
    MoveFetch *fetch = mem_alloc(sizeof *fetch);
    *fetch = (MoveFetch){self, one->seq, one->place, one->is_chunk};
    self->fetch = fetch;
    stream_fetch_record(self->stream, one->place, bytes, on_fetched, fetch);
}

/* A chunk is an entry of its own, behind which all that refer to it find it. */
static void append_chunk(StreamMove *self, const Record *chunk) {
    Record draft = *chunk;
    draft.flags = RECORD_CHUNK_INSTEAD;
    draft.time_ns = stream_clock(self->stream);
    self->move->records++;
    append(self, &draft);
}

/* False: it must be fetched first. */
static bool read_chunk(StreamMove *self, const Candidate *one) {
    Stream *stream = self->stream;
    const ChunkUse *use = stream_chunk_use(stream, one->seq);
    Record record;
    Shared *hold;
    if (!use || chunk_state(stream->js->chunks, use->chunk).place != one->place)
        return true; /* removed, or moved for another message */
    size_t bytes = record_chunk_bytes(chunk_len(use->chunk));
    Status status =
        log_reader_peek(journal_reader(stream->js->journal), one->place, bytes, &record, &hold);
    if (status == ERR_AGAIN) {
        fetch_one(self, one, bytes);
        return false;
    }
    if (status != OK)
        return true;
    if (record.type == RECORD_CHUNK && record.payload.len == chunk_len(use->chunk) &&
        slice_equal(record.headers, slice_from(chunk_id(use->chunk), RECORD_CHUNK_ID_BYTES)))
        append_chunk(self, &record);
    shared_unref(hold);
    return true;
}

/* The same. */
static bool read_one(StreamMove *self, const Candidate *one) {
    Stream *stream = self->stream;
    const MsgSlot *slot = msg_index_get(stream->index, one->seq);
    StoredRecord stored;
    if (one->is_chunk)
        return read_chunk(self, one);
    if (!slot || (slot->place & ~MSG_REF) != one->place)
        return true; /* removed meanwhile */
    bool slot_is_ref = slot->place & MSG_REF;
    Status status = stream_read_record(stream, one->seq, &stored);
    if (status == ERR_AGAIN) {
        fetch_one(self, one, stored.bytes);
        return false;
    }
    if (status == OK) {
        take(self, one, record_raw(&stored.record), slot_is_ref);
        shared_unref(stored.hold);
    }
    return true;
}

/* False: there was no time for more, or it waits for the disk. */
static bool read_some(StreamMove *self, uint64_t began_ns) {
    unsigned left = SLICE_LOOK;
    while (self->read_at < self->found.len) {
        if (self->fetch)
            return false;
        if (!stream_move_has_time(began_ns, SLICE_LOOK, &left)) {
            worker_ready(self->stream->group.home, &self->task);
            return false;
        }
        Candidate one = self->found.at[self->read_at];
        unsigned tries = self->frames + self->failures;
        if (!read_one(self, &one))
            return false; /* the fetch may be back already */
        self->read_at++;
        if (tries != self->frames + self->failures)
            left = 1; /* that took its time */
    }
    return true;
}

/* ---- the whole ---- */

/* Everything that was found was appended, and came back. True: it is over. */
static bool end_or_go_on(StreamMove *self) {
    GroupMove *move = self->move;
    move->is_cut_short |= self->has_failed || move->bytes_left == 0;
    if (move->is_cut_short || self->is_walked) {
        finish(self);
        return true;
    }
    self->phase = PHASE_WALKING;
    return false;
}

/* What will hardly become smaller is not read. */
static void pass_over(StreamMove *self) {
    if (self->move->kind != MOVE_PACK || self->failures < PACK_FAILURES_MAX)
        return;
    if (++self->passed % PACK_SAMPLE == 0)
        return;
    vec_clear(&self->found);
    self->found_bytes = 0;
}

static void run_slice(Task *task) {
    StreamMove *self = CONTAINER_OF(task, StreamMove, task);
    uint64_t began_ns = clock_mono_ns();
    unsigned left = 1;
    for (;;) {
        if (self->phase == PHASE_WALKING) {
            if (!stream_move_find(self, began_ns)) {
                worker_ready(self->stream->group.home, &self->task);
                return;
            }
            pass_over(self);
            self->phase = PHASE_READING;
        }
        if (self->phase == PHASE_READING) {
            if (!read_some(self, began_ns))
                return;
            end_piece(self);
            self->phase = PHASE_LANDING;
        }
        if (self->in_flight || end_or_go_on(self))
            return;
        if (!stream_move_has_time(began_ns, 1, &left)) {
            worker_ready(self->stream->group.home, &self->task);
            return;
        }
    }
}

static void on_timer(Timer *timer) {
    StreamMove *self = CONTAINER_OF(timer, StreamMove, timer);
    worker_ready(self->stream->group.home, &self->task);
}

void stream_move_landed(Stream *stream, Status status) {
    StreamMove *self = stream->parts->move;
    if (!self || !self->in_flight)
        return;
    self->has_failed |= status != OK;
    if (--self->in_flight || self->phase != PHASE_LANDING || end_or_go_on(self))
        return;
    uint64_t pause_ns = journal_move_pause_ns(stream->js->journal, self->move);
    if (pause_ns)
        timer_set(stream->group.home, &self->timer, clock_mono_ns() + pause_ns);
    else
        worker_ready(stream->group.home, &self->task);
}

bool stream_move(Group *group, GroupMove *move) {
    Stream *stream = (Stream *)group;
    if (stream->parts->move || !stream->state.messages)
        return false;
    if (move->kind != MOVE_OUT && !stream->config->compression_s2)
        return false;
    if (move->kind == MOVE_LOOK && stream->parts->is_unpackable)
        return false;
    StreamMove *self = mem_zalloc(sizeof *self);
    self->stream = stream;
    self->move = move;
    task_init(&self->task, run_slice);
    timer_init(&self->timer, on_timer);
    if (stream_move_find(self, clock_mono_ns()) && self->is_walked && !self->found.len) {
        vec_done(&self->found);
        mem_free(self);
        return false;
    }
    stream->parts->move = self;
    worker_ready(group->home, &self->task);
    return true;
}

void stream_move_leave(Stream *stream) {
    finish(stream->parts->move);
}
