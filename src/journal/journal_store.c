/* The process-wide part: opening, recovery, closing. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/disk.h"
#include "journal/journal_private.h"
#include "journal/scrubber.h"

enum { REPLAY_BUFFER_BYTES = 256 * 1024, CATALOGUE_GROUP = 0 };

typedef struct Replay {
    JournalStore *store;
    const JournalRecovery *recovery;
    Status status;
    Place from;         /* where replay begins */
    bool is_whole;      /* the checkpoint; else, with all of the log there, it is not used */
    bool is_newer;      /* a record of a type that is not known */
    bool is_log_needed; /* a group wants records that its checkpoint covers */
    uint64_t damages, damaged_bytes;
    RecordType stray; /* of the last damaged record that found no group; 0 = not known */
    /* Applied records are copied here: what apply keeps must not keep a whole segment. */
    Shared *buffer;
    size_t buffer_used;
    Group *near; /* of the last record; NULL = not known. The catalogue's entries end groups */
} Replay;

/* Two segments, or on small disks a twentieth. */
static uint64_t space_to_leave(const JournalOptions *options) {
    uint64_t free_bytes, total;
    uint64_t want = 128 * 1024 * 1024;
    if (disk_free_bytes(options->dir, &free_bytes, &total) == OK && total / 20 < want)
        want = total / 20;
    return want;
}

static Status make_dirs(const char *dir) {
    Buf run_dir = {0};
    buf_printf(&run_dir, "%s/idx", dir);
    Status status = disk_make_dirs(buf_text(&run_dir));
    buf_done(&run_dir);
    return status;
}

Status journal_store_open(const JournalOptions *options, Worker **all, LogReport *out_report,
                          JournalStore **out_store) {
    Status status = make_dirs(options->dir);
    if (status != OK)
        return status;
    LogOptions log_options = {
        .dir = options->dir,
        .segment_bytes = options->segment_bytes,
        .sync_interval_ns = options->sync_interval_ns,
        .cipher = options->cipher,
        .free_low_bytes = space_to_leave(options),
        .is_read_ahead = options->is_read_ahead,
        .offload = options->offload,
        .recovered = options->progress ? &options->progress->done : NULL,
        .to_recover = options->progress ? &options->progress->total : NULL,
    };
    Log *log;
    status = log_open_dir(&log_options, &log);
    if (status != OK)
        return status;
    JournalStore *store = mem_zalloc(sizeof *store);
    unsigned count = all[0]->count;
    store->all = all;
    store->log = log;
    store->dir = mem_copy(options->dir, strlen(options->dir));
    store->offload = options->offload;
    store->progress = options->progress;
    memset(out_report, 0, sizeof *out_report);
    store->report = out_report;
    store->journals = mem_zalloc(count * sizeof *store->journals);
    for (unsigned i = 0; i < count; i++)
        journal_init(&store->journals[i], store, all[i], options->cache_bytes);
    store->checkpoint_bytes =
        options->checkpoint_bytes ? options->checkpoint_bytes : JOURNAL_CHECKPOINT_LOG_BYTES;
    Buf run_dir = {0};
    buf_printf(&run_dir, "%s/idx", options->dir);
    (void)buf_text(&run_dir);
    store->run_dir = run_dir.ptr;
    store->checkpointer = checkpointer_new(store, options->checkpoint_bytes);
    store->scrubber = scrubber_new(store, options);
    store->cleaner = options->is_not_cleaned ? NULL : cleaner_new(store, options->clean_ns);
    *out_store = store;
    return OK;
}

/* --- recovery --- */

static void on_state(void *cookie, uint32_t id, uint64_t index, Slice state) {
    Replay *replay = cookie;
    if (replay->status != OK || (!replay->is_whole && log_is_complete(replay->store->log)))
        return;
    if (replay->store->progress)
        (void)counter_add(&replay->store->progress->done, 1);
    Group *group = replay->recovery->find(replay->recovery->cookie, id);
    if (group == NULL || group->is_memory)
        return;
    Status status = group->ops->load(group, state);
    if (status != OK) {
        LOG_ERR("state in checkpoint not understood", "group=%u why=%s", id, status_text(status));
        replay->status = status;
        return;
    }
    group->index_loaded = group->index_last = group->index_applied = index;
    replay->is_log_needed |= group->needs_log;
    if (group->run)
        checkpointer_keep_run(replay->store->checkpointer, id, group->run);
}

static const Record *copy_record(Replay *replay, const Record *record, Record *out_copy) {
    size_t bytes = record->subject.len + record->headers.len + record->payload.len;
    if (replay->buffer == NULL || shared_len(replay->buffer) - replay->buffer_used < bytes) {
        shared_unref(replay->buffer);
        replay->buffer = shared_new(bytes > REPLAY_BUFFER_BYTES ? bytes : REPLAY_BUFFER_BYTES);
        replay->buffer_used = 0;
    }
    char *to = shared_bytes(replay->buffer) + replay->buffer_used;
    replay->buffer_used += bytes;
    *out_copy = *record;
    /* They lie one after the other. */
    if (bytes)
        memcpy(to, record->subject.ptr, bytes);
    out_copy->subject.ptr = to;
    out_copy->headers.ptr = to + record->subject.len;
    out_copy->payload.ptr = to + record->subject.len + record->headers.len;
    return out_copy;
}

static void lose(Replay *replay, Group *group, const Record *record, Place at) {
    group->index_last = group->index_applied = record->index;
    group->damages_seen = replay->damages;
    if (group->ops->lost)
        group->ops->lost(group, record, at);
}

/* Its header may be whole: then it is the group's next entry. */
static void on_damage(Replay *replay, const Record *record, Place at, uint64_t bytes) {
    const JournalRecovery *recovery = replay->recovery;
    if (recovery->damaged)
        recovery->damaged(recovery->cookie, at, bytes);
    replay->damages++;
    replay->damaged_bytes += bytes;
    Group *group = record ? recovery->find(recovery->cookie, record->group) : NULL;
    if (group && !group->is_memory && record->index > group->index_loaded &&
        record->index == group->index_last + 1)
        lose(replay, group, record, at);
    else if (group && record->type == RECORD_TRANSACTION && record->index <= group->index_loaded &&
             group->ops->lost)
        group->ops->lost(group, record, at); /* its streams may not have it */
    else
        replay->stray = record ? record->type : 0;
    if (group && group->needs_log && group->ops->place_damaged &&
        record->index <= group->index_loaded)
        group->ops->place_damaged(group, record, at);
}

/* Entries are missing, and something was damaged since the last one that was there. (Without damage
 * they were refused when the disk was full.) */
static void explain_gap(Replay *replay, Group *group, const Record *record) {
    uint64_t count = record->index - group->index_last - 1;
    if (group->index_last == 0 || count == 0 || group->damages_seen == replay->damages)
        return;
    if (count > replay->damaged_bytes / RECORD_HEADER_BYTES)
        count = replay->damaged_bytes / RECORD_HEADER_BYTES;
    Record lost = {.type = count == 1 ? replay->stray : 0,
                   .group = group->id,
                   .index = record->index - count,
                   .time_ns = record->time_ns};
    RecordRef ref;
    bool had_chunk = record_ref_read(record, &ref) && !ref.place; /* before it */
    for (; lost.index < record->index; lost.index++)
        lose(replay, group,
             had_chunk && lost.index + 1 == record->index
                 ? &(Record){.type = RECORD_CHUNK, .group = group->id, .index = lost.index}
                 : &lost,
             0);
    replay->stray = 0;
}

/* Of another version: what it says cannot be guessed, and must not be left out. */
static void note_unknown(Replay *replay, const Record *record, Place at) {
    if (!replay->is_newer)
        LOG_ERR("the log holds entries of another version", "type=%d place=%llx", (int)record->type,
                (unsigned long long)at);
    replay->is_newer = true;
}

static Group *group_of(Replay *replay, const Record *record) {
    if (!replay->near || replay->near->id != record->group)
        replay->near = replay->recovery->find(replay->recovery->cookie, record->group);
    return replay->near;
}

static void on_soon(void *cookie, const Record *record, unsigned step) {
    Group *group = group_of(cookie, record);
    if (group && !group->is_memory && group->ops->soon && record->index > group->index_loaded)
        group->ops->soon(group, record, step);
}

static void on_record(void *cookie, const Record *record, Place at, uint64_t damaged_bytes) {
    Replay *replay = cookie;
    if (damaged_bytes) {
        replay->near = NULL;
        on_damage(replay, record, at, damaged_bytes);
        return;
    }
    Group *group = group_of(replay, record);
    if (record->group == CATALOGUE_GROUP)
        replay->near = NULL;
    if (group == NULL || group->is_memory)
        return;
    if (!record_type_is_known((uint8_t)record->type) ||
        (record->type == RECORD_CHUNK && record->headers.len != RECORD_CHUNK_ID_BYTES)) {
        note_unknown(replay, record, at);
        return;
    }
    if (record->index <= group->index_loaded) {
        if (group->needs_log || record->type == RECORD_TRANSACTION)
            group->ops->place(group, record, at);
        return;
    }
    if (record->index <= group->index_last)
        return; /* an older life of the same bytes: cannot be, and would do harm */
    explain_gap(replay, group, record);
    group->damages_seen = replay->damages;
    group->index_last = group->index_applied = record->index;
    Record copy;
    record = copy_record(replay, record, &copy);
    group->ops->apply(group, record, at, replay->buffer, NULL);
}

void journal_note_run_lost(Journal *journal) {
    journal->store->is_run_lost = true;
}

static Status load_checkpoint(Replay *replay) {
    JournalStore *store = replay->store;
    uint64_t generation = 0;
    Place floor = 0;
    unsigned damaged = 0;
    replay->is_whole = true;
    Status status = checkpoint_load(store->dir, log_cipher(store->log), on_state, replay,
                                    &generation, &floor, &damaged, &replay->is_whole);
    bool is_whole = replay->is_whole, is_complete = log_is_complete(store->log);
    bool is_absent = status == ERR_NOT_FOUND;
    if (status != OK && !is_absent)
        return status;
    bool has_more = is_complete || checkpoint_has_older(store->dir, generation);
    if (replay->status == ERR_CORRUPT && has_more) {
        checkpoint_set_aside(store->dir, generation); /* what is left has all of it too */
        return ERR_AGAIN;
    }
    if (replay->status != OK)
        return replay->status;
    if (store->is_run_lost && is_whole && checkpoint_has_older(store->dir, generation)) {
        checkpoint_set_aside(store->dir, generation);
        return ERR_AGAIN;
    }
    if (damaged)
        buf_printf(&store->report->text, "damaged checkpoints set aside: %u\n", damaged);
    if (!is_complete && ((is_absent && (damaged || log_floor(store->log) > 0)) || !is_whole)) {
        /* Which old records are live is not known any more. Nothing is given up. */
        LOG_ERR("no whole checkpoint: log segments are kept until the store is repaired", "dir=%s",
                store->dir);
        log_keep_all(store->log);
        checkpointer_disable(store->checkpointer);
    }
    if (!is_absent && is_whole && !replay->is_log_needed)
        replay->from = floor;
    checkpointer_resume(store->checkpointer, generation, floor,
                        damaged > 0 || replay->is_log_needed);
    return OK;
}

Status journal_store_recover(JournalStore *store, const JournalRecovery *recovery) {
    Replay replay = {.store = store, .recovery = recovery};
    journal_progress_enter(store->progress, STAGE_CHECKPOINT);
    Status status = load_checkpoint(&replay);
    journal_progress_enter(store->progress, STAGE_LOG);
    if (status == OK) {
        Buf text = store->report->text;
        status = log_recover(store->log, replay.from, on_record, on_soon, &replay, store->report);
        buf_append(&text, buf_slice(&store->report->text));
        buf_done(&store->report->text);
        store->report->text = text;
    }
    if (status == OK && replay.is_newer)
        status = ERR_VERSION;
    shared_unref(replay.buffer);
    journal_progress_enter(store->progress, STAGE_STARTING);
    return status;
}

/* --- running --- */

Status journal_store_start(JournalStore *store) {
    Status status = log_start(store->log);
    store->is_started = status == OK;
    if (store->is_started)
        scrubber_start(store->scrubber);
    return status;
}

static void on_checkpoint_asked(Worker *here, Mail *mail) {
    (void)here;
    CheckpointAsk *ask = (CheckpointAsk *)mail;
    checkpointer_ask(ask->store->checkpointer, ask);
}

void journal_store_checkpoint(CheckpointAsk *ask) {
    ASSERT_HOME(ask);
    ask->mail.arrive = on_checkpoint_asked;
    worker_post(ask->home, ask->store->all[0], &ask->mail);
}

void journal_store_hurry(JournalStore *store) {
    counter_set(&store->is_hurried, 1);
}

const Counter *journal_is_hurried(const Journal *journal) {
    return &journal->store->is_hurried;
}

const Cipher *journal_cipher(const Journal *journal) {
    return log_cipher(journal->store->log);
}

void journal_store_set_key(JournalStore *store, Slice key) {
    log_set_key(store->log, key);
}

void journal_store_close(JournalStore *store) {
    if (store == NULL)
        return;
    if (store->is_started)
        log_stop(store->log);
    unsigned count = store->all[0]->count;
    for (unsigned i = 0; i < count; i++)
        journal_done(&store->journals[i]);
    scrubber_free(store->scrubber);
    cleaner_free(store->cleaner);
    checkpointer_free(store->checkpointer);
    log_close(store->log);
    mem_free(store->journals);
    mem_free(store->run_dir);
    mem_free(store->dir);
    mem_free(store);
}

char *journal_run_path(const Journal *journal, uint32_t group, uint64_t generation) {
    Buf path = {0};
    buf_printf(&path, "%s/%u.%llu.run", journal->store->run_dir, group,
               (unsigned long long)generation);
    (void)buf_text(&path);
    return path.ptr;
}

char *journal_run_dir(const Journal *journal) {
    return mem_copy(journal->store->run_dir, strlen(journal->store->run_dir));
}

uint64_t journal_inline_max(const Journal *journal) {
    uint64_t max = journal->store->checkpoint_bytes / JOURNAL_INLINE_SHARE;
    return max < 16 ? 16 : max > 8192 ? 8192 : max;
}

Offload *journal_offload(const Journal *journal) {
    return journal->store->offload;
}

void journal_request_checkpoints(JournalStore *store) {
    ASSERT_HOME(store->all[0]->journal);
    checkpointer_request(store->checkpointer, 2);
}

uint64_t journal_store_bytes(const JournalStore *store) {
    return log_bytes_used(store->log);
}

void journal_store_space(const JournalStore *store, JournalSpace *out_space) {
    LogSegment segment;
    *out_space = (JournalSpace){.spare_bytes = log_spare_bytes(store->log),
                                .moved_records = counter_get(&store->moved_records),
                                .moved_bytes = counter_get(&store->moved_bytes),
                                .packed_bytes = counter_get(&store->packed_bytes),
                                .frame_bytes = counter_get(&store->frame_bytes),
                                .index_bytes = counter_get(&store->index_bytes)};
    for (uint64_t n = 0; log_segment_at(store->log, n, &segment); n = segment.number + 1) {
        out_space->segments++;
        out_space->log_bytes += segment.bytes;
        out_space->live_bytes += segment.live;
        out_space->dead_bytes += segment.dead;
    }
}
