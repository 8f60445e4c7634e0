#include "stream/stream_move.h"

#include "base/mem.h"
#include "io/clock.h"
#include "stream/msg_base.h"

enum {
    SLICE_NS = 500 * 1000, /* of a turn */
    SLICE_LOOK = 16,       /* messages between two looks at the clock */
    SLICE_PAGES = 4,       /* pages, likewise */
};

/* The message's record, or the chunk that it refers to. */
typedef struct Candidate {
    uint64_t seq;
    Place place;
    bool is_chunk;
} Candidate;

typedef enum Phase { PHASE_WALKING, PHASE_READING, PHASE_LANDING } Phase;

struct StreamMove {
    Stream *stream;
    Phase phase;
    GroupMove *move;
    Task task;
    Timer timer;
    uint64_t seq;            /* all below it were looked at */
    VEC(Candidate) found;    /* to be read, in order */
    size_t read_at;          /* in found */
    uint64_t found_bytes;    /* of their records */
    MovedWriter entry;       /* being made */
    struct MoveFetch *fetch; /* NULL: none under way */
    unsigned in_flight;      /* entries that were appended */
    bool has_failed;         /* one was refused */
    bool is_walked;          /* nothing more will be found */
};

/* Outlives the move when that ends first. */
typedef struct MoveFetch {
    StreamMove *move;
    uint64_t seq;
    Place place;
    bool is_chunk;
} MoveFetch;

static void run_slice(Task *task);
static void on_timer(Timer *timer);

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
    mem_free(self);
    move->done(move);
}

static bool has_time(uint64_t began_ns, unsigned look, unsigned *left) {
    if (--*left)
        return true;
    *left = look;
    return clock_mono_ns() - began_ns < SLICE_NS;
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

/* ---- finding ---- */

static bool is_leaving(const GroupMove *move, Place place) {
    uint64_t segment = place_segment(place);
    size_t low = 0, high = move->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (move->segments[middle] < segment)
            low = middle + 1;
        else
            high = middle;
    }
    return low < move->segment_count && move->segments[low] == segment;
}

/* Whether one between the two places may be leaving. */
static bool may_leave(const GroupMove *move, Place least, Place greatest) {
    for (size_t i = 0; i < move->segment_count; i++)
        if (move->segments[i] >= place_segment(least) &&
            move->segments[i] <= place_segment(greatest))
            return true;
    return false;
}

/* What is only in memory, or known to be damaged, stays. */
static void look_at(StreamMove *self, uint64_t seq, const MsgSlot *slot) {
    if (slot->place & MSG_IN_HEAP || slot->size & (MSG_DAMAGED | MSG_UNSEEN) ||
        !is_leaving(self->move, slot->place))
        return;
    vec_push(&self->found, ((Candidate){seq, slot->place}));
    Slice subject = {0};
    if (slot->subject)
        subject =
            subject_entry_text(subject_index_entry(&self->stream->parts->subjects, slot->subject));
    self->found_bytes += stream_record_bytes(subject.len, slot->size);
}

static bool has_enough(const StreamMove *self) {
    return self->found_bytes >= self->move->entry_bytes;
}

/* A page of the base that holds nothing that leaves is passed as a whole. The first sequence to
 * look at, not below from. */
static uint64_t skip_pages(const StreamMove *self, uint64_t from) {
    const MsgBase *base = self->stream->index->base;
    size_t page = msg_base_lower(base, from / MSG_PAGE_SLOTS);
    Place least, greatest;
    if (page == base->len)
        return msg_index_base_end(self->stream->index);
    const MsgBasePage *at = &base->pages[page];
    uint64_t begin = at->number * MSG_PAGE_SLOTS;
    bool may = at->has_moves || at->has_edits ||
               (run_page_places(base->run, &base->written[page], &least, &greatest) &&
                (greatest >= MSG_REF || may_leave(self->move, least, greatest)));
    if (at->count && may)
        return from > begin ? from : begin;
    return begin + MSG_PAGE_SLOTS;
}

/* From self->seq on to the end of its page. */
static void walk_page(StreamMove *self) {
    const MsgIndex *index = self->stream->index;
    uint64_t end = (self->seq / MSG_PAGE_SLOTS + 1) * MSG_PAGE_SLOTS, seq;
    MsgScan scan;
    const MsgSlot *slot;
    msg_scan_up(&scan, index, self->seq);
    self->seq = end;
    while ((slot = msg_scan_next_up(&scan, &seq))) {
        if (seq >= end) { /* the next page that is there, of the base or not */
            self->seq = seq < msg_index_base_end(index) ? end : seq;
            return;
        }
        look_at(self, seq, slot);
        if (has_enough(self)) {
            self->seq = seq + 1;
            return;
        }
    }
    self->is_walked = true;
}

/* False: there was no time for more. */
static bool walk_some(StreamMove *self, uint64_t began_ns) {
    unsigned left = SLICE_PAGES;
    while (!self->is_walked && !has_enough(self)) {
        if (!has_time(began_ns, SLICE_PAGES, &left))
            return false;
        uint64_t base_end = msg_index_base_end(self->stream->index);
        if (self->seq < base_end) {
            uint64_t seq = skip_pages(self, self->seq);
            if (seq != self->seq && seq % MSG_PAGE_SLOTS == 0) {
                self->seq = seq;
                continue;
            }
        }
        walk_page(self);
    }
    return true;
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
    log_reader_fetch(journal_reader(self->stream->js->journal), one->place, bytes, on_fetched,
                     fetch);
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
        slice_equal(record.headers, slice_from(chunk_hash(use->chunk), RECORD_HASH_BYTES)))
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
    Status status = stream_read_record(stream, one->seq, &stored);
    if (status == ERR_AGAIN) {
        fetch_one(self, one, stored.bytes);
        return false;
    }
    if (status == OK) {
        moved_writer_add(&self->entry, one->seq, one->place, record_raw(&stored.record));
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
        if (!has_time(began_ns, SLICE_LOOK, &left)) {
            worker_ready(self->stream->group.home, &self->task);
            return false;
        }
        Candidate one = self->found.at[self->read_at];
        if (!read_one(self, &one))
            return false; /* the fetch may be back already */
        self->read_at++;
    }
    return true;
}

/* ---- writing ---- */

static void append_entry(StreamMove *self) {
    MovedWriter *entry = &self->entry;
    self->move->records += entry->count;
    vec_clear(&self->found);
    self->read_at = self->found_bytes = 0;
    if (!entry->count)
        return;
    Record draft = {.type = RECORD_MOVED,
                    .time_ns = stream_clock(self->stream),
                    .headers = buf_slice(&entry->heads),
                    .payload = buf_slice(&entry->records)};
    append(self, &draft);
    moved_writer_clear(entry);
}

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

static void run_slice(Task *task) {
    StreamMove *self = CONTAINER_OF(task, StreamMove, task);
    uint64_t began_ns = clock_mono_ns();
    for (;;) {
        if (self->phase == PHASE_WALKING) {
            if (!walk_some(self, began_ns)) {
                worker_ready(self->stream->group.home, &self->task);
                return;
            }
            self->phase = PHASE_READING;
        }
        if (self->phase == PHASE_READING) {
            if (!read_some(self, began_ns))
                return;
            append_entry(self);
            self->phase = PHASE_LANDING;
        }
        if (self->in_flight || end_or_go_on(self))
            return;
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
    StreamMove *self = mem_zalloc(sizeof *self);
    self->stream = stream;
    self->move = move;
    task_init(&self->task, run_slice);
    timer_init(&self->timer, on_timer);
    if (walk_some(self, clock_mono_ns()) && self->is_walked && !self->found.len) {
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
