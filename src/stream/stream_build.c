#include "stream/stream_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/process.h"
#include "stream/msg_base.h"
#include "stream/stream_parts.h"
#include "stream/subject_base.h"

enum {
    SLICE_NS = 500 * 1000, /* of a turn */
    SLICE_LOOK = 16,       /* steps between two looks at the clock */
    TAKE_BACK_STEP = 8,    /* buckets of subjects */
    CONSUMERS_MANY = 128,  /* more are not saved in one turn */
};
/* A number beside a subject that was set aside: none of its messages is in the run. */
#define NOT_NAMED UINT32_MAX

/* PHASE_SAVING: the consumers. */
typedef enum Phase { PHASE_SAVING, PHASE_WRITING, PHASE_CATCHING_UP, PHASE_TAKING_BACK } Phase;

struct StreamBuild {
    OffloadJob job; /* first */
    Stream *stream; /* NULL: it went */
    GroupFreeze *freeze;
    Phase phase;
    Status status;
    Task task;
    char *dir, *path;
    const struct Counter *is_hurried;
    const Cipher *cipher;
    bool is_void; /* all messages went: the run is of use for the checkpoint only */
    bool has_run; /* false: only the consumers need more than a turn */
    Buf tail;     /* of the state */

    /* As of the moment. */
    uint64_t cut; /* messages below it */
    MsgAside *aside;
    SubjectIndex *subjects;
    const Run *base;
    Run *base_owned; /* the stream has let go of it */
    uint64_t (*base_has)[MSG_PAGE_WORDS];
    RunSegment *base_segments;
    size_t base_segment_count;
    VEC(RunSize) resized;
    Map64 moved; /* those of base that lie elsewhere: the base's frozen ones */
    bool owns_moved;
    VEC(RunDue) dues;

    /* While it is written. */
    VEC(uint64_t) heap_seqs; /* messages that are no records */
    VEC(uint32_t) names;     /* ids of subjects */

    /* What the stream shall stand on, and how far it knows what happened meanwhile. */
    MsgBase *next;
    SubjectBase *next_subjects;
    size_t heap_at, moved_at, removed_at, edited_at, dead_at, taken_at;
    Buf text;

    /* Until all is back. */
    size_t back_at;
    uint64_t back_page;
    bool are_subjects_back;

    uint64_t slice_ended_ns;

    /* What the stream stood on. */
    MsgBase *old;
    SubjectBase *old_subjects;
};

static void run_slice(Task *task);
static void write_run(OffloadJob *job);
static void on_written(Worker *here, OffloadJob *job);

static void build_free(StreamBuild *build) {
    msg_aside_free(build->aside);
    subject_index_free(build->subjects);
    subject_base_free(build->next_subjects);
    msg_base_free(build->next);
    subject_base_free(build->old_subjects);
    msg_base_free(build->old);
    run_free(build->base_owned);
    mem_free(build->base_has);
    mem_free(build->base_segments);
    vec_done(&build->resized);
    if (build->owns_moved)
        map64_done(&build->moved);
    vec_done(&build->dues);
    vec_done(&build->heap_seqs);
    vec_done(&build->names);
    buf_done(&build->text);
    buf_done(&build->tail);
    mem_free(build->dir);
    mem_free(build->path);
}

static void free_run(OffloadJob *job) {
    build_free((StreamBuild *)job);
    process_trim_memory();
}

static void free_done(Worker *here, OffloadJob *job) {
    (void)here;
    mem_free(job);
}

/* Much may have to be freed. */
static void free_elsewhere(StreamBuild *build, Worker *home, Offload *offload) {
    build->job = (OffloadJob){.run = free_run, .done = free_done, .home = home};
    if (offload) {
        offload_submit(offload, &build->job);
        return;
    }
    free_run(&build->job);
    free_done(home, &build->job);
}

/* The build is over for the stream. */
static void finish(StreamBuild *build, Status status) {
    GroupFreeze *freeze = build->freeze;
    build->stream->parts->build = NULL;
    build->freeze = NULL;
    task_cancel(&build->task);
    freeze->status = status;
    freeze->done(freeze);
}

static void finish_and_free(StreamBuild *build, Status status) {
    Worker *home = build->stream->group.home;
    Offload *offload = journal_offload(build->stream->js->journal);
    finish(build, status);
    free_elsewhere(build, home, offload);
}

/* ---- the moment ---- */

static int by_resized_seq(const void *a, const void *b) {
    uint64_t x = ((const RunSize *)a)->seq, y = ((const RunSize *)b)->seq;
    return (x > y) - (x < y);
}

static void copy_base(StreamBuild *build, MsgBase *base) {
    uint64_t seq;
    void *value;
    build->base = base->run;
    msg_base_freeze_moved(base);
    build->moved = base->frozen;
    build->base_has = mem_alloc((base->len + 1) * sizeof *build->base_has);
    for (size_t p = 0; p < base->len; p++)
        memcpy(build->base_has[p], base->pages[p].live, sizeof build->base_has[p]);
    build->base_segment_count = base->segment_count;
    build->base_segments = mem_alloc((base->segment_count + 1) * sizeof *base->segments);
    if (base->segment_count)
        memcpy(build->base_segments, base->segments, base->segment_count * sizeof *base->segments);
    for (size_t at = 0; map64_next(&base->edits, &at, &seq, &value);) {
        const MsgSlot *slot = value;
        vec_push(&build->resized, ((RunSize){seq, slot->size}));
        if (slot->place & MSG_IN_HEAP)
            vec_push(&build->heap_seqs, seq);
    }
}

static void copy_dues(StreamBuild *build, const TtlQueue *ttls) {
    vec_reserve(&build->dues, ttls->len + 1);
    for (size_t i = 0; i < ttls->len; i++)
        if (ttls->heap[i].seq < build->cut)
            vec_push(&build->dues, ((RunDue){ttls->heap[i].seq, ttls->heap[i].due_ns}));
}

static bool is_worth_it(const Stream *stream, uint64_t cut) {
    const MsgIndex *index = stream->index;
    const MsgBase *base = index->base;
    uint64_t end = msg_index_base_end(index);
    if (cut <= end && !base)
        return false;
    if (stream->group.wants_run)
        return true;
    uint64_t changed =
        base ? base->removed + base->edits.len + base->moved.len + base->frozen.len : 0;
    if (cut > end)
        changed += msg_index_count_from(index, end) - msg_index_count_from(index, cut);
    return changed > journal_inline_max(stream->js->journal);
}

/* The few above the cut stay: their subjects too. */
static void keep_subjects_above(Stream *stream, uint64_t cut) {
    MsgScan scan;
    uint64_t seq;
    MsgSlot *slot;
    msg_scan_up(&scan, stream->index, cut);
    while ((slot = msg_scan_next_up(&scan, &seq)))
        if (slot->subject)
            slot->subject = subject_index_own(&stream->parts->subjects, slot->subject);
}

static StreamBuild *build_new(Stream *stream, GroupFreeze *freeze) {
    StreamBuild *build = mem_zalloc(sizeof *build);
    build->stream = stream;
    build->freeze = freeze;
    freeze->index = stream->group.index_applied;
    stream->parts->build = build;
    task_init(&build->task, run_slice);
    worker_ready(stream->group.home, &build->task);
    build->slice_ended_ns = clock_mono_ns();
    return build;
}

static void begin_run(StreamBuild *build, uint64_t cut) {
    Stream *stream = build->stream;
    StreamParts *parts = stream->parts;
    uint64_t generation = build->freeze->generation;
    build->has_run = true;
    build->cut = cut;
    build->path = journal_run_path(stream->js->journal, stream->group.id, generation);
    build->dir = journal_run_dir(stream->js->journal);
    build->is_hurried = journal_is_hurried(stream->js->journal);
    build->cipher = journal_cipher(stream->js->journal);
    if (stream->index->base)
        copy_base(build, stream->index->base);
    copy_dues(build, &parts->ttls);
    stream_save_begin(stream, generation, cut, &build->freeze->state, &build->tail);
    build->subjects = subject_index_set_aside(&parts->subjects);
    build->aside = msg_index_set_aside(stream->index, cut, &parts->subjects);
    keep_subjects_above(stream, cut);
}

bool stream_freeze(Group *group, GroupFreeze *freeze) {
    Stream *stream = (Stream *)group;
    StreamParts *parts = stream->parts;
    uint64_t cut = (stream->state.last_seq + 1) / MSG_PAGE_SLOTS * MSG_PAGE_SLOTS;
    bool wants_run = !parts->unseen && is_worth_it(stream, cut);
    if (parts->build || (!wants_run && consumer_set_count(stream->consumers) <= CONSUMERS_MANY))
        return false;
    StreamBuild *build = build_new(stream, freeze);
    if (!wants_run) {
        stream_save_begin(stream, 0, 0, &freeze->state, &build->tail);
        return true;
    }
    if (cut < msg_index_base_end(stream->index))
        cut = msg_index_base_end(stream->index);
    group->wants_run = false;
    begin_run(build, cut);
    return true;
}

/* ---- writing ---- */

static void begin_writing(StreamBuild *build) {
    Worker *home = build->stream->group.home;
    Offload *offload = journal_offload(build->stream->js->journal);
    build->phase = PHASE_WRITING;
    build->job = (OffloadJob){.run = write_run, .done = on_written, .home = home};
    if (offload) {
        offload_submit(offload, &build->job);
        return;
    }
    write_run(&build->job);
    on_written(home, &build->job);
}

static SubjectEntry *entry_of(const StreamBuild *build, SubjectId id) {
    return subject_index_entry(build->subjects, id);
}

static void clear_numbers(void *cookie, const SubjectId *ids, size_t count) {
    const StreamBuild *build = cookie;
    for (size_t i = 0; i < count; i++)
        *subject_entry_number(entry_of(build, ids[i])) = NOT_NAMED;
}

/* Names the subjects that have messages below the cut. */
static void name_subjects(StreamBuild *build) {
    RunFill *page = mem_alloc(sizeof *page);
    const MsgSlot *slots[MSG_PAGE_SLOTS];
    subject_index_each_list(build->subjects, clear_numbers, build);
    for (size_t p = 0; p < build->aside->page_count; p++) {
        msg_aside_page(build->aside, p, page, slots);
        for (size_t i = 0, bit = 0; i < page->count; i++, bit++) {
            while (!(page->has[bit / 64] >> (bit % 64) & 1))
                bit++;
            if (slots[i]->place & MSG_IN_HEAP)
                vec_push(&build->heap_seqs, page->number * MSG_PAGE_SLOTS + bit);
            if (!slots[i]->subject)
                continue;
            uint32_t *number = subject_entry_number(entry_of(build, slots[i]->subject));
            if (*number != NOT_NAMED)
                continue;
            *number = 0;
            vec_push(&build->names, slots[i]->subject);
        }
    }
    mem_free(page);
}

static Slice text_of_name(void *cookie, uint32_t name) {
    return subject_entry_text(entry_of(cookie, name));
}

static void number_name(void *cookie, uint32_t name, uint32_t ordinal) {
    *subject_entry_number(entry_of(cookie, name)) = ordinal;
}

static void fill_page(void *cookie, size_t p, RunFill *page) {
    const StreamBuild *build = cookie;
    const MsgSlot *slots[MSG_PAGE_SLOTS];
    msg_aside_page(build->aside, p, page, slots);
    for (size_t i = 0; i < page->count; i++) {
        RunMessage *message = &page->messages[i];
        page->bytes[i] = 0;
        if (!message->subject) {
            message->subject = RUN_NO_SUBJECT;
            continue;
        }
        SubjectEntry *entry = entry_of(build, message->subject);
        message->subject = *subject_entry_number(entry);
        page->bytes[i] = stream_live_bytes(entry->len, message->place, message->size);
    }
}

static int by_moved_seq(const void *a, const void *b) {
    uint64_t x = ((const RunPlace *)a)->seq, y = ((const RunPlace *)b)->seq;
    return (x > y) - (x < y);
}

static RunPlace *sort_moved(const StreamBuild *build) {
    uint64_t seq;
    void *place;
    size_t len = 0;
    RunPlace *moved = mem_alloc((build->moved.len + 1) * sizeof *moved);
    for (size_t at = 0; map64_next(&build->moved, &at, &seq, &place);)
        moved[len++] = (RunPlace){seq, (uintptr_t)place};
    if (len > 1)
        qsort(moved, len, sizeof *moved, by_moved_seq);
    return moved;
}

static void write_run(OffloadJob *job) {
    StreamBuild *build = (StreamBuild *)job;
    Run *run;
    RunPlace *moved = sort_moved(build);
    name_subjects(build);
    if (build->resized.len > 1)
        qsort(build->resized.at, build->resized.len, sizeof *build->resized.at, by_resized_seq);
    RunInput input = {.base = build->base,
                      .base_has = (const void *)build->base_has,
                      .base_segments = build->base_segments,
                      .base_segment_count = build->base_segment_count,
                      .resized = build->resized.at,
                      .resized_count = build->resized.len,
                      .moved = moved,
                      .moved_count = build->moved.len,
                      .cookie = build,
                      .texts = build->names.at,
                      .text_count = build->names.len,
                      .text = text_of_name,
                      .numbered = number_name,
                      .page_count = build->aside->page_count,
                      .page = fill_page,
                      .dues = build->dues.at,
                      .due_count = build->dues.len,
                      .cipher = build->cipher,
                      .is_hurried = build->is_hurried};
    build->status = run_write(build->dir, build->path, &input);
    if (build->status == OK)
        build->status = run_open(build->path, build->cipher, &run);
    if (build->status == OK) {
        build->next = msg_base_new(run, NULL);
        build->next_subjects = subject_base_new(run);
    }
    vec_done(&build->names);
    mem_free(moved);
}

static void on_written(Worker *here, OffloadJob *job) {
    StreamBuild *build = (StreamBuild *)job;
    Stream *stream = build->stream;
    if (!stream) {
        build_free(build);
        mem_free(build);
        return;
    }
    if (build->status)
        LOG_WARNING("index run not written", "stream=%.*s path=%s why=%s",
                    SLICE_ARG(stream_name(stream)), build->path, status_text(build->status));
    if (build->is_void) {
        if (!build->status)
            stream->group.run = build->freeze->generation;
        finish_and_free(build, build->status ? ERR_IO : OK);
        return;
    }
    build->phase = build->status ? PHASE_TAKING_BACK : PHASE_CATCHING_UP;
    build->slice_ended_ns = clock_mono_ns();
    worker_ready(here, &build->task);
}

/* ---- slices ---- */

/* Where turns are long since much comes in, the slices are too: else it would never end. */
typedef struct TimeSlice {
    uint64_t began_ns, most_ns;
    unsigned left;
} TimeSlice;

static TimeSlice begin_slice(const StreamBuild *build) {
    TimeSlice slice = {.began_ns = clock_mono_ns(), .left = SLICE_LOOK};
    slice.most_ns = (slice.began_ns - build->slice_ended_ns) / 4 * 3;
    if (slice.most_ns < SLICE_NS)
        slice.most_ns = SLICE_NS;
    return slice;
}

/* True when there is time for more. */
static bool has_time(TimeSlice *slice) {
    if (--slice->left)
        return true;
    slice->left = SLICE_LOOK;
    return clock_mono_ns() - slice->began_ns < slice->most_ns;
}

static void go_on_later(StreamBuild *build) {
    build->slice_ended_ns = clock_mono_ns();
    worker_ready(build->stream->group.home, &build->task);
}

/* ---- catching up ---- */

static bool find_next(const MsgBase *next, uint64_t seq, size_t *out_page) {
    size_t at = msg_base_lower(next, seq / MSG_PAGE_SLOTS);
    unsigned i = seq % MSG_PAGE_SLOTS;
    *out_page = at;
    return at < next->len && next->pages[at].number == seq / MSG_PAGE_SLOTS &&
           next->pages[at].live[i / 64] >> (i % 64) & 1;
}

static void carry_move(StreamBuild *build, const MsgMove *move) {
    size_t page;
    msg_base_move_bytes(build->next, move->from, move->to, move->bytes_from, move->bytes_to);
    if (find_next(build->next, move->seq, &page))
        msg_base_move(build->next, page, move->seq % MSG_PAGE_SLOTS, move->to);
}

static void carry_removal(StreamBuild *build, uint64_t seq) {
    size_t page;
    if (find_next(build->next, seq, &page))
        msg_base_remove(build->next, page, seq % MSG_PAGE_SLOTS);
}

/* What the run cannot say of a message: its flags and the one behind it as they are now, that it
 * lies on the heap. */
static void carry_edit(StreamBuild *build, uint64_t seq) {
    size_t page;
    const MsgSlot *slot = msg_index_get(build->stream->index, seq);
    if (!slot || !find_next(build->next, seq, &page))
        return;
    MsgSlot *edit = msg_base_edit(build->next, page, seq % MSG_PAGE_SLOTS);
    edit->size = slot->size;
    edit->next = slot->next;
    if (slot->place & MSG_IN_HEAP)
        edit->place = slot->place;
}

/* A subject was taken over: what the run says of it counts no longer, nor that its last message
 * there is followed by none. */
static void carry_subject(StreamBuild *build, SubjectId id) {
    uint32_t ordinal;
    RunSubject state;
    const Run *run = build->next->run;
    Slice text;
    if (id & SUBJECT_OF_RUN) {
        run_subject_text(build->base, id & ~SUBJECT_OF_RUN, &build->text);
        text = buf_slice(&build->text);
    } else {
        text = subject_entry_text(entry_of(build, id));
    }
    if (!run_find(run, text, &ordinal))
        return;
    subject_base_take(build->next_subjects, ordinal,
                      subject_index_settle(&build->stream->parts->subjects, id));
    run_subject(run, ordinal, &state);
    carry_edit(build, state.last);
}

/* False: there is nothing more to be carried over. */
static bool carry_one(StreamBuild *build) {
    const MsgAside *aside = build->aside;
    const SubjectIdList *taken = &build->stream->parts->subjects.taken;
    if (build->moved_at < aside->moved.len) { /* before they die */
        carry_move(build, &aside->moved.at[build->moved_at++]);
    } else if (build->removed_at < aside->removed.len) {
        carry_removal(build, aside->removed.at[build->removed_at++]);
    } else if (build->dead_at < aside->dead.len) {
        const MsgDead *dead = &aside->dead.at[build->dead_at++];
        msg_base_drop_bytes(build->next, dead->place, dead->bytes);
    } else if (build->taken_at < taken->len) {
        carry_subject(build, taken->at[build->taken_at++]);
    } else if (build->edited_at < aside->edited.len) {
        carry_edit(build, aside->edited.at[build->edited_at++]);
    } else if (build->heap_at < build->heap_seqs.len) {
        carry_edit(build, build->heap_seqs.at[build->heap_at++]);
    } else {
        return false;
    }
    return true;
}

static void stand_on_it(StreamBuild *build) {
    Stream *stream = build->stream;
    StreamParts *parts = stream->parts;
    MsgIndex *index = stream->index;
    uint64_t below = run_message_count(build->next->run) - build->next->removed;
    build->next->subjects = &parts->subjects;
    build->old = msg_index_rebase(index, build->next);
    build->old_subjects = subject_index_rebase(&parts->subjects, build->next_subjects);
    build->next = NULL;
    build->next_subjects = NULL;
    ASSERT(below + msg_index_count_from(index, build->cut) == index->live);
    mem_free(parts->objects);
    parts->objects = NULL;
    parts->run_generation = build->freeze->generation;
    stream->group.run = parts->run_generation;
}

static void catch_up(StreamBuild *build) {
    TimeSlice slice = begin_slice(build);
    while (carry_one(build))
        if (!has_time(&slice)) {
            go_on_later(build);
            return;
        }
    stand_on_it(build);
    finish_and_free(build, OK);
}

/* ---- taking back ---- */

static bool take_back_one(StreamBuild *build) {
    Stream *stream = build->stream;
    if (!build->are_subjects_back) {
        build->are_subjects_back =
            subject_index_take_some_back(&stream->parts->subjects, &build->back_at, TAKE_BACK_STEP);
        return true;
    }
    return msg_index_settle_page(stream->index, &build->back_page);
}

static void take_back(StreamBuild *build) {
    Stream *stream = build->stream;
    TimeSlice slice = begin_slice(build);
    while (take_back_one(build))
        if (!has_time(&slice)) {
            go_on_later(build);
            return;
        }
    if (stream->index->base)
        msg_base_settle(stream->index->base);
    msg_index_take_back(stream->index);
    subject_index_let_go(&stream->parts->subjects);
    mem_free(stream->parts->objects);
    stream->parts->objects = NULL;
    finish_and_free(build, ERR_IO);
}

/* ---- the consumers ---- */

static void save_consumers(StreamBuild *build) {
    Stream *stream = build->stream;
    TimeSlice slice = begin_slice(build);
    while (consumer_set_save_one(stream->consumers))
        if (!has_time(&slice)) {
            go_on_later(build);
            return;
        }
    stream_save_end(stream, &build->freeze->state, &build->tail);
    if (build->has_run)
        begin_writing(build);
    else
        finish_and_free(build, OK);
}

static void run_slice(Task *task) {
    StreamBuild *build = CONTAINER_OF(task, StreamBuild, task);
    if (build->phase == PHASE_SAVING && (!build->has_run || !build->is_void)) {
        save_consumers(build);
    } else if (build->is_void) { /* before or after it was written */
        bool is_written = build->phase == PHASE_CATCHING_UP;
        if (build->phase == PHASE_SAVING)
            consumer_set_save_end(build->stream->consumers, NULL);
        if (is_written)
            build->stream->group.run = build->freeze->generation;
        finish_and_free(build, is_written                          ? OK
                               : build->phase == PHASE_TAKING_BACK ? ERR_IO
                                                                   : ERR_AGAIN);
    } else if (build->phase == PHASE_CATCHING_UP) {
        catch_up(build);
    } else {
        take_back(build);
    }
}

/* ---- what happens meanwhile ---- */

/* What may be being read stays with the build. */
static void take_base(StreamBuild *build, MsgBase *base) {
    build->base_owned = base->run;
    base->run = NULL;
    base->frozen = (Map64){0};
    build->owns_moved = true;
}

void stream_build_on_drop_all(Stream *stream) {
    StreamBuild *build = stream->parts->build;
    MsgBase *base = stream->index->base;
    build->is_void = true;
    if (base && build->has_run)
        take_base(build, base);
}

/* What was set aside stays good as long as the stream needs it. */
void stream_build_leave(Stream *stream) {
    StreamBuild *build = stream->parts->build;
    MsgBase *base = stream->index->base;
    bool is_writing = build->phase == PHASE_WRITING;
    if (build->phase == PHASE_SAVING)
        consumer_set_save_end(stream->consumers, NULL);
    if (!build->has_run) {
        /* Nothing was set aside. */
    } else if (is_writing) {
        if (base && !build->base_owned)
            take_base(build, base);
    } else if (!build->is_void) {
        msg_index_take_back(stream->index);
        stream->parts->subjects.owns_below = true;
        build->subjects = NULL;
    }
    finish(build, ERR_CLOSED);
    build->stream = NULL;
    if (!is_writing) {
        build_free(build);
        mem_free(build);
    }
}

/* ---- helpers of others ---- */

static Slice subject_text(const SubjectIndex *subjects, SubjectId id) {
    return id ? subject_entry_text(subject_index_entry(subjects, id)) : (Slice){0};
}

void stream_index_forget(MsgIndex *index, SubjectIndex *subjects, uint64_t seq) {
    MsgSlot slot = *msg_index_get(index, seq);
    SubjectId id = slot.subject = subject_index_own(subjects, slot.subject);
    if (!(slot.place & MSG_IN_HEAP) && slot.place)
        msg_index_drop_bytes(
            index, seq, slot.place & ~MSG_REF,
            stream_live_bytes(subject_text(subjects, id).len, slot.place, slot.size));
    if (id)
        subject_chain_remove(index, subjects, seq, &slot);
    msg_index_remove(index, seq);
    if (id && subject_index_entry(subjects, id)->count == 0)
        subject_index_emptied(subjects, id);
}

void stream_add_flags(Stream *stream, uint64_t seq, uint32_t flags) {
    msg_index_edit(stream->index, seq)->size |= flags;
}
