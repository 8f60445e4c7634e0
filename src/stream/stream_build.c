#include "stream/stream_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "stream/msg_base.h"
#include "stream/stream_parts.h"

enum {
    SLICE_NS = 500 * 1000, /* of a turn */
    SLICE_LOOK = 16,       /* messages between two looks at the clock */
};

typedef enum Phase { PHASE_COPYING, PHASE_WRITING, PHASE_CATCHING_UP, PHASE_OVER } Phase;

typedef struct TextAt {
    size_t at, len;
} TextAt;

struct StreamBuild {
    OffloadJob job; /* first */
    Stream *stream; /* NULL: it went */
    GroupFreeze *freeze;
    Phase phase;
    Status status;
    Task task;
    char *dir, *path;
    const struct Counter *is_hurried;
    bool is_void; /* all messages went: the run is of use for the checkpoint only */

    /* As of the moment. */
    uint64_t cut; /* messages below it */
    const Run *base;
    Run *base_owned; /* the stream has let go of it */
    uint64_t (*base_has)[MSG_PAGE_WORDS];
    VEC(RunDue) dues;

    /* Copies. */
    uint64_t copy_seq; /* the next one */
    VEC(RunNew) added;
    VEC(RunSize) resized;
    VEC(uint64_t) heap_seqs;
    Buf text;
    VEC(TextAt) texts;
    Map64 text_of; /* id -> number + 1 */
    Map64 early;   /* copied before their turn */

    /* Since the moment, for the new index. */
    VEC(uint64_t) removed, flagged;
    size_t removed_at;
    Run *run;
    MsgIndex *index;
    SubjectIndex *subjects;
    uint64_t caught_seq; /* the next one to be added */
    uint64_t slice_ended_ns;
};

static void run_slice(Task *task);
static void write_run(OffloadJob *job);
static void on_written(Worker *here, OffloadJob *job);

static void build_free(StreamBuild *build) {
    run_free(build->base_owned);
    run_free(build->run);
    if (build->index) {
        msg_index_done(build->index);
        mem_free(build->index);
    }
    if (build->subjects) {
        subject_index_done(build->subjects);
        mem_free(build->subjects);
    }
    mem_free(build->base_has);
    vec_done(&build->dues);
    vec_done(&build->added);
    vec_done(&build->resized);
    vec_done(&build->heap_seqs);
    vec_done(&build->texts);
    vec_done(&build->removed);
    vec_done(&build->flagged);
    buf_done(&build->text);
    map64_done(&build->text_of);
    map64_done(&build->early);
    mem_free(build->dir);
    mem_free(build->path);
    mem_free(build);
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

/* ---- the moment ---- */

static void copy_base(StreamBuild *build, const MsgBase *base) {
    uint64_t seq;
    void *value;
    build->base = base->run;
    build->base_has = mem_alloc((base->len + 1) * sizeof *build->base_has);
    for (size_t p = 0; p < base->len; p++)
        memcpy(build->base_has[p], base->pages[p].live, sizeof build->base_has[p]);
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
    uint64_t changed = base ? base->removed + base->edits.len : 0;
    if (cut > end)
        changed += msg_index_count_from(index, end) - msg_index_count_from(index, cut);
    return changed > journal_inline_max(stream->js->journal);
}

bool stream_freeze(Group *group, GroupFreeze *freeze) {
    Stream *stream = (Stream *)group;
    StreamParts *parts = stream->parts;
    uint64_t cut = (stream->state.last_seq + 1) / MSG_PAGE_SLOTS * MSG_PAGE_SLOTS;
    /* What counters and schedules keep goes by the ids of subjects on the heap. */
    bool keeps_ids = stream->config->allow_msg_counter || stream->config->allow_msg_schedules ||
                     parts->schedules || parts->counters;
    if (parts->build || parts->unseen || keeps_ids || !is_worth_it(stream, cut))
        return false;
    if (cut < msg_index_base_end(stream->index))
        cut = msg_index_base_end(stream->index);
    group->wants_run = false;
    StreamBuild *build = mem_zalloc(sizeof *build);
    build->stream = stream;
    build->freeze = freeze;
    build->cut = cut;
    build->copy_seq = msg_index_base_end(stream->index);
    build->path = journal_run_path(stream->js->journal, group->id, freeze->generation);
    build->dir = journal_run_dir(stream->js->journal);
    build->is_hurried = journal_is_hurried(stream->js->journal);
    if (stream->index->base)
        copy_base(build, stream->index->base);
    copy_dues(build, &parts->ttls);
    freeze->index = group->index_applied;
    stream_save_frozen(stream, freeze->generation, cut, &freeze->state);
    parts->build = build;
    task_init(&build->task, run_slice);
    worker_ready(group->home, &build->task);
    return true;
}

/* ---- copying ---- */

static uint32_t text_number(StreamBuild *build, SubjectId id, Slice text) {
    if (!id)
        return RUN_NO_SUBJECT;
    uintptr_t number = (uintptr_t)map64_get(&build->text_of, id);
    if (number)
        return (uint32_t)(number - 1);
    TextAt at = {build->text.len, text.len};
    buf_append(&build->text, text);
    vec_push(&build->texts, at);
    map64_put(&build->text_of, id, (void *)build->texts.len);
    return (uint32_t)(build->texts.len - 1);
}

static void copy_one(StreamBuild *build, uint64_t seq, const MsgSlot *slot, Slice subject) {
    bool is_in_heap = slot->place & MSG_IN_HEAP;
    RunNew copy = {seq,
                   {.place = is_in_heap ? 0 : slot->place,
                    .time_ns = slot->time_ns,
                    .size = slot->size,
                    .is_marked = slot->is_tombstone,
                    .subject = text_number(build, slot->subject, subject)}};
    vec_push(&build->added, copy);
    if (is_in_heap)
        vec_push(&build->heap_seqs, seq);
}

static Slice subject_text(const SubjectIndex *subjects, SubjectId id) {
    return id ? subject_entry_text(subject_index_entry(subjects, id)) : (Slice){0};
}

/* True when there is time for more. */
static bool has_time(uint64_t began_ns, uint64_t slice_ns, unsigned *left) {
    if (--*left)
        return true;
    *left = SLICE_LOOK;
    return clock_mono_ns() - began_ns < slice_ns;
}

/* True when all are copied. */
static bool copy_some(StreamBuild *build) {
    Stream *stream = build->stream;
    uint64_t began_ns = clock_mono_ns(), seq;
    unsigned left = SLICE_LOOK;
    MsgScan scan;
    const MsgSlot *slot;
    msg_scan_up(&scan, stream->index, build->copy_seq);
    while (has_time(began_ns, SLICE_NS, &left)) {
        slot = msg_scan_next_up(&scan, &seq);
        if (!slot || seq >= build->cut)
            return true;
        if (!build->early.len || !map64_get(&build->early, seq))
            copy_one(build, seq, slot, subject_text(&stream->parts->subjects, slot->subject));
        build->copy_seq = seq + 1;
    }
    return false;
}

static void begin_writing(StreamBuild *build) {
    Worker *home = build->stream->group.home;
    Offload *offload = journal_offload(build->stream->js->journal);
    build->phase = PHASE_WRITING;
    build->job = (OffloadJob){.run = write_run, .done = on_written, .home = home};
    map64_done(&build->text_of);
    if (offload) {
        offload_submit(offload, &build->job);
        return;
    }
    write_run(&build->job);
    on_written(home, &build->job);
}

/* ---- writing ---- */

static int by_new_seq(const void *a, const void *b) {
    uint64_t x = ((const RunNew *)a)->seq, y = ((const RunNew *)b)->seq;
    return (x > y) - (x < y);
}

static int by_resized_seq(const void *a, const void *b) {
    uint64_t x = ((const RunSize *)a)->seq, y = ((const RunSize *)b)->seq;
    return (x > y) - (x < y);
}

/* Each once: an id that is given back while copies are made never names another subject below the
 * cut. */
static Slice *make_texts(const StreamBuild *build) {
    Slice *texts = mem_alloc((build->texts.len + 1) * sizeof *texts);
    for (size_t i = 0; i < build->texts.len; i++)
        texts[i] = slice_from(build->text.ptr + build->texts.at[i].at, build->texts.at[i].len);
    return texts;
}

static void make_index(StreamBuild *build) {
    build->subjects = mem_zalloc(sizeof *build->subjects);
    build->index = mem_zalloc(sizeof *build->index);
    subject_index_set_base(build->subjects, build->run);
    build->index->live = run_message_count(build->run);
    build->index->base = msg_base_new(build->run, build->subjects);
    build->run = NULL; /* the index owns it */
}

static void write_run(OffloadJob *job) {
    StreamBuild *build = (StreamBuild *)job;
    Slice *texts = make_texts(build);
    if (build->added.len > 1)
        qsort(build->added.at, build->added.len, sizeof *build->added.at, by_new_seq);
    if (build->resized.len > 1)
        qsort(build->resized.at, build->resized.len, sizeof *build->resized.at, by_resized_seq);
    RunInput input = {.base = build->base,
                      .base_has = (const void *)build->base_has,
                      .resized = build->resized.at,
                      .resized_count = build->resized.len,
                      .added = build->added.at,
                      .added_count = build->added.len,
                      .texts = texts,
                      .text_count = build->texts.len,
                      .dues = build->dues.at,
                      .due_count = build->dues.len,
                      .live_bytes = stream_live_bytes,
                      .is_hurried = build->is_hurried};
    build->status = run_write(build->dir, build->path, &input);
    if (build->status == OK)
        build->status = run_open(build->path, &build->run);
    if (build->status == OK)
        make_index(build);
    mem_free(texts);
    vec_done(&build->added);
    vec_done(&build->texts);
    buf_done(&build->text);
}

static void on_written(Worker *here, OffloadJob *job) {
    StreamBuild *build = (StreamBuild *)job;
    Stream *stream = build->stream;
    if (!stream) {
        build_free(build);
        return;
    }
    if (build->status || build->is_void) {
        if (build->status)
            LOG_WARNING("index run not written", "stream=%.*s path=%s why=%s",
                        SLICE_ARG(stream_name(stream)), build->path, status_text(build->status));
        else
            stream->group.run = build->freeze->generation;
        finish(build, build->status ? ERR_IO : OK);
        build_free(build);
        return;
    }
    build->phase = PHASE_CATCHING_UP;
    build->caught_seq = build->cut;
    build->slice_ended_ns = clock_mono_ns();
    worker_ready(here, &build->task);
}

/* ---- catching up ---- */

static void catch_up_add(StreamBuild *build, uint64_t seq, const MsgSlot *from, Slice subject) {
    SubjectId id = from->subject ? subject_index_add(build->subjects, subject) : 0;
    MsgSlot *slot = msg_index_add(build->index, seq);
    slot->place = from->place;
    slot->time_ns = from->time_ns;
    slot->size = from->size;
    slot->is_tombstone = from->is_tombstone;
    if (id)
        subject_chain_add(build->index, build->subjects, id, seq, slot);
}

/* True when the new index knows what the old one does. Where turns are long since much comes in,
 * the slices are too: else it would never end. */
static bool catch_up_some(StreamBuild *build) {
    Stream *stream = build->stream;
    uint64_t began_ns = clock_mono_ns(), seq;
    uint64_t slice_ns = (began_ns - build->slice_ended_ns) / 4 * 3;
    slice_ns = slice_ns < SLICE_NS ? SLICE_NS : slice_ns;
    unsigned left = SLICE_LOOK;
    for (;;) {
        if (build->removed_at < build->removed.len) {
            seq = build->removed.at[build->removed_at++];
            if (msg_index_get(build->index, seq))
                stream_index_forget(build->index, build->subjects, seq);
        } else if ((seq = msg_index_next(stream->index, build->caught_seq))) {
            const MsgSlot slot = *msg_index_get(stream->index, seq);
            catch_up_add(build, seq, &slot, subject_text(&stream->parts->subjects, slot.subject));
            build->caught_seq = seq + 1;
        } else {
            return true;
        }
        if (!has_time(began_ns, slice_ns, &left))
            return false;
    }
}

typedef struct FreeJob {
    OffloadJob job;
    MsgIndex index;
    SubjectIndex subjects;
} FreeJob;

static void free_run(OffloadJob *job) {
    FreeJob *old = (FreeJob *)job;
    msg_index_done(&old->index);
    subject_index_done(&old->subjects);
}

static void free_done(Worker *here, OffloadJob *job) {
    (void)here;
    mem_free(job);
}

static void free_old(Stream *stream, const MsgIndex *index, const SubjectIndex *subjects) {
    FreeJob *old = mem_zalloc(sizeof *old);
    old->index = *index;
    old->subjects = *subjects;
    old->job = (OffloadJob){.run = free_run, .done = free_done, .home = stream->group.home};
    Offload *offload = journal_offload(stream->js->journal);
    if (offload) {
        offload_submit(offload, &old->job);
        return;
    }
    free_run(&old->job);
    free_done(NULL, &old->job);
}

/* What the run cannot say: which messages lie on the heap, and what became of flags meanwhile. */
static void carry_over(StreamBuild *build) {
    const MsgIndex *old = build->stream->index;
    for (size_t i = 0; i < build->heap_seqs.len; i++) {
        uint64_t seq = build->heap_seqs.at[i];
        const MsgSlot *slot = msg_index_get(old, seq);
        if (slot && msg_index_get(build->index, seq))
            msg_index_edit(build->index, seq)->place = slot->place;
    }
    for (size_t i = 0; i < build->flagged.len; i++) {
        uint64_t seq = build->flagged.at[i];
        const MsgSlot *slot = msg_index_get(old, seq);
        if (slot && msg_index_get(build->index, seq))
            msg_index_edit(build->index, seq)->size = slot->size;
    }
}

static void stand_on_it(StreamBuild *build) {
    Stream *stream = build->stream;
    StreamParts *parts = stream->parts;
    carry_over(build);
    ASSERT(build->index->live == stream->index->live);
    free_old(stream, stream->index, &parts->subjects);
    *stream->index = *build->index;
    parts->subjects = *build->subjects;
    stream->index->base->subjects = &parts->subjects;
    memset(parts->objects, 0, sizeof parts->objects);
    mem_free(build->index);
    mem_free(build->subjects);
    build->index = NULL;
    build->subjects = NULL;
    parts->run_generation = build->freeze->generation;
    stream->group.run = parts->run_generation;
}

static void run_slice(Task *task) {
    StreamBuild *build = CONTAINER_OF(task, StreamBuild, task);
    Stream *stream = build->stream;
    if (build->is_void) { /* before or after it was written */
        bool is_written = build->phase == PHASE_CATCHING_UP;
        if (is_written)
            stream->group.run = build->freeze->generation;
        finish(build, is_written ? OK : ERR_AGAIN);
        build_free(build);
        return;
    }
    if (build->phase == PHASE_COPYING) {
        if (copy_some(build))
            begin_writing(build);
        else
            worker_ready(stream->group.home, &build->task);
        return;
    }
    if (!catch_up_some(build)) {
        build->slice_ended_ns = clock_mono_ns();
        worker_ready(stream->group.home, &build->task);
        return;
    }
    stand_on_it(build);
    finish(build, OK);
    build_free(build);
}

/* ---- what happens meanwhile ---- */

/* As it was at the moment: before it changes. */
static void copy_early(StreamBuild *build, uint64_t seq, const MsgSlot *slot, Slice subject) {
    if (build->phase != PHASE_COPYING || seq < build->copy_seq ||
        map64_put(&build->early, seq, build))
        return;
    copy_one(build, seq, slot, subject);
}

void stream_build_on_drop(Stream *stream, uint64_t seq, const MsgSlot *slot, Slice subject) {
    StreamBuild *build = stream->parts->build;
    if (seq >= build->cut) {
        if (build->phase == PHASE_CATCHING_UP && seq < build->caught_seq)
            vec_push(&build->removed, seq);
        return;
    }
    vec_push(&build->removed, seq);
    copy_early(build, seq, slot, subject);
}

void stream_build_on_flags(Stream *stream, uint64_t seq) {
    StreamBuild *build = stream->parts->build;
    vec_push(&build->flagged, seq);
    if (seq >= build->cut || build->phase != PHASE_COPYING)
        return;
    const MsgSlot slot = *msg_index_get(stream->index, seq);
    copy_early(build, seq, &slot, subject_text(&stream->parts->subjects, slot.subject));
}

void stream_build_on_drop_all(Stream *stream) {
    StreamBuild *build = stream->parts->build;
    MsgBase *base = stream->index->base;
    build->is_void = true;
    if (base) { /* it may be being read */
        build->base_owned = base->run;
        base->run = NULL;
    }
}

void stream_build_leave(Stream *stream) {
    StreamBuild *build = stream->parts->build;
    MsgBase *base = stream->index->base;
    bool is_writing = build->phase == PHASE_WRITING;
    if (base && is_writing && !build->base_owned) {
        build->base_owned = base->run;
        base->run = NULL;
    }
    finish(build, ERR_CLOSED);
    build->stream = NULL;
    if (!is_writing)
        build_free(build);
}

/* ---- helpers of others ---- */

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
    if (stream->parts->build)
        stream_build_on_flags(stream, seq);
    msg_index_edit(stream->index, seq)->size |= flags;
}
