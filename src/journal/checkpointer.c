/* Checkpointer: makes a checkpoint when the log has grown enough for one to pay. Lives on all[0].
 *
 * Asks one worker after the other to save its groups, a few per turn; what they were given to the
 * log before the floor was taken is applied by then, since their chunks were mailed home before the
 * log's head moved on. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "io/clock.h"
#include "io/disk.h"
#include "journal/journal_private.h"

typedef enum Phase { PHASE_IDLE, PHASE_SAVING, PHASE_WRITING, PHASE_DISABLED } Phase;

typedef struct RunName {
    uint64_t group, generation;
} RunName;
typedef VEC(RunName) RunNames;

struct Checkpointer {
    JournalStore *store;
    Phase phase;
    uint64_t generation;
    Place floor_last, floor;        /* of the newest checkpoint, of the one being made */
    uint64_t log_bytes;             /* of log between two checkpoints */
    uint64_t records_last, records; /* in the log before these floors; 0 before this life */
    Place considered;               /* head of the log when it was last thought about */
    bool is_due;
    unsigned requested; /* that many more, at once */
    CheckpointWriter *writer;
    struct Saving *saving;
    struct WriteJob *write;   /* PHASE_WRITING */
    RunNames runs_last, runs; /* files that the newest one needs, that the one being made needs */
    CheckpointAsk *ask;       /* NULL: nobody waits */
    bool is_asked;            /* the one that is being made is for it */
};

/* Goes from all[0] to a worker and back, for each worker. */
typedef struct Saving {
    Mail mail; /* first */
    Checkpointer *checkpointer;
    unsigned worker;
    Link marker; /* in that worker's list of groups: those before it are saved */
    Task task;
    Buf states; /* StateHead and state, one after the other */
    GroupFreeze freeze;
    uint32_t frozen; /* the group that is saved meanwhile; 0 = none */
    bool is_freezing, has_failed;
} Saving;

typedef struct StateHead {
    uint32_t group;
    uint64_t index, run, len;
} StateHead;

typedef struct WriteJob {
    OffloadJob job; /* first */
    Checkpointer *checkpointer;
    CheckpointWriter *writer;
    Place from, floor;
    Status status;
    RunNames needed; /* by the two newest checkpoints */
    const char *run_dir;
    uint64_t index_bytes;
} WriteJob;

static void write_free(WriteJob *write);
static void begin(Checkpointer *checkpointer);
static void rest(Checkpointer *checkpointer, Phase phase);

Checkpointer *checkpointer_new(JournalStore *store, uint64_t log_bytes) {
    Checkpointer *checkpointer = mem_zalloc(sizeof *checkpointer);
    checkpointer->store = store;
    checkpointer->log_bytes = log_bytes ? log_bytes : JOURNAL_CHECKPOINT_LOG_BYTES;
    return checkpointer;
}

void checkpointer_free(Checkpointer *checkpointer) {
    if (checkpointer == NULL)
        return;
    checkpoint_abandon(checkpointer->writer);
    if (checkpointer->saving) {
        buf_done(&checkpointer->saving->states);
        buf_done(&checkpointer->saving->freeze.state);
        mem_free(checkpointer->saving);
    }
    if (checkpointer->write) /* it was written; nobody was there to hear of it */
        write_free(checkpointer->write);
    vec_done(&checkpointer->runs_last);
    vec_done(&checkpointer->runs);
    mem_free(checkpointer);
}

void checkpointer_keep_run(Checkpointer *checkpointer, uint32_t group, uint64_t generation) {
    vec_push(&checkpointer->runs_last, ((RunName){group, generation}));
}

void checkpointer_resume(Checkpointer *checkpointer, uint64_t generation, Place floor,
                         bool is_due) {
    checkpointer->generation = generation;
    checkpointer->floor_last = floor;
    checkpointer->is_due = is_due;
}

void checkpointer_disable(Checkpointer *checkpointer) {
    checkpointer->phase = PHASE_DISABLED;
}

void checkpointer_request(Checkpointer *checkpointer, unsigned count) {
    if (count > checkpointer->requested)
        checkpointer->requested = count;
    checkpointer->is_due = true;
}

uint64_t checkpointer_step(const Checkpointer *checkpointer) {
    return checkpointer->log_bytes / 8;
}

bool checkpointer_is_idle(const Checkpointer *checkpointer) {
    return checkpointer->phase == PHASE_IDLE && !checkpointer->is_due;
}

bool checkpointer_is_disabled(const Checkpointer *checkpointer) {
    return checkpointer->phase == PHASE_DISABLED;
}

uint64_t checkpointer_generation(const Checkpointer *checkpointer) {
    return checkpointer->generation;
}

/* What a start would have to replay is much. */
static bool has_grown(const Checkpointer *checkpointer) {
    const Log *log = checkpointer->store->log;
    return log_bytes_after(log, checkpointer->floor_last) >= checkpointer->log_bytes ||
           log_records(log) - checkpointer->records_last >=
               checkpointer->log_bytes / JOURNAL_CHECKPOINT_RECORD_SHARE;
}

void checkpointer_consider(Checkpointer *checkpointer) {
    if (checkpointer->phase != PHASE_IDLE)
        return;
    Log *log = checkpointer->store->log;
    Place head = log_head(log);
    /* Another segment is further away than any step. */
    if (head - checkpointer->considered < checkpointer_step(checkpointer) && !checkpointer->is_due)
        return;
    checkpointer->considered = head;
    if (checkpointer->is_due || has_grown(checkpointer))
        begin(checkpointer);
}

/* --- when somebody waits --- */

static void on_answered(Worker *here, Mail *mail) {
    (void)here;
    CheckpointAsk *ask = (CheckpointAsk *)mail;
    ask->done(ask);
}

static void answer(Checkpointer *checkpointer) {
    CheckpointAsk *ask = checkpointer->ask;
    checkpointer->ask = NULL;
    checkpointer->is_asked = false;
    ask->mail.arrive = on_answered;
    worker_post(checkpointer->store->all[0], ask->home, &ask->mail);
}

static void begin_asked(Checkpointer *checkpointer) {
    bool is_new = log_head(checkpointer->store->log) != checkpointer->floor_last;
    if (checkpointer->phase == PHASE_DISABLED || !is_new ||
        log_is_failed(checkpointer->store->log)) {
        answer(checkpointer);
        return;
    }
    checkpointer->is_asked = true;
    begin(checkpointer);
}

void checkpointer_ask(Checkpointer *checkpointer, CheckpointAsk *ask) {
    ASSERT(checkpointer->ask == NULL);
    checkpointer->ask = ask;
    if (checkpointer->phase == PHASE_IDLE || checkpointer->phase == PHASE_DISABLED)
        begin_asked(checkpointer);
}

/* One is over. What was asked for while it was made is more than it holds. */
static void rest(Checkpointer *checkpointer, Phase phase) {
    checkpointer->phase = phase;
    if (checkpointer->ask == NULL)
        return;
    if (checkpointer->is_asked)
        answer(checkpointer);
    else
        begin_asked(checkpointer);
}

/* --- saving --- */

static void ask(Saving *saving);

static void begin(Checkpointer *checkpointer) {
    JournalStore *store = checkpointer->store;
    checkpointer->phase = PHASE_SAVING;
    checkpointer->requested -= checkpointer->requested > 0;
    checkpointer->is_due = checkpointer->requested > 0;
    checkpointer->records = log_records(store->log);
    checkpointer->floor = log_head(store->log);
    vec_clear(&checkpointer->runs);
    checkpointer->writer =
        checkpoint_begin(store->dir, checkpointer->generation + 1, checkpointer->floor);
    checkpoint_encrypt(checkpointer->writer, log_cipher(store->log));
    Saving *saving = mem_zalloc(sizeof *saving);
    saving->checkpointer = checkpointer;
    checkpointer->saving = saving;
    ask(saving);
}

static void on_saved(Worker *here, Mail *mail);
static void write_out(Checkpointer *checkpointer);

static void add_state(Saving *saving, const Group *group, uint64_t index, Slice state) {
    StateHead head = {.group = group->id, .index = index, .run = group->run, .len = state.len};
    buf_append_bytes(&saving->states, &head, sizeof head);
    buf_append(&saving->states, state);
}

static void save_now(Saving *saving, Group *group) {
    StateHead head = {.group = group->id, .index = group->index_applied};
    size_t at = saving->states.len;
    buf_append_bytes(&saving->states, &head, sizeof head);
    group->ops->save(group, &saving->states);
    head.len = saving->states.len - at - sizeof head;
    head.run = group->run;
    memcpy(saving->states.ptr + at, &head, sizeof head);
}

/* The marker stands behind the group: it is the one before, if it is still there. */
static void on_frozen(GroupFreeze *freeze) {
    Saving *saving = CONTAINER_OF(freeze, Saving, freeze);
    Journal *journal = &saving->checkpointer->store->journals[saving->worker];
    Link *before = saving->marker.prev;
    Group *group = before == &journal->groups ? NULL : CONTAINER_OF(before, Group, link);
    bool is_there = freeze->status != ERR_CLOSED && group && group->id == saving->frozen;
    if (is_there && freeze->status == OK)
        add_state(saving, group, freeze->index, buf_slice(&freeze->state));
    else if (is_there && freeze->status == ERR_AGAIN)
        save_now(saving, group);
    else if (is_there)
        saving->has_failed = true;
    buf_done(&freeze->state);
    saving->is_freezing = false;
    worker_ready(journal->home, &saving->task);
}

static bool begin_freeze(Saving *saving, Group *group) {
    if (!group->ops->freeze)
        return false;
    saving->freeze =
        (GroupFreeze){.generation = saving->checkpointer->generation + 1, .done = on_frozen};
    saving->frozen = group->id;
    saving->is_freezing = group->ops->freeze(group, &saving->freeze);
    return saving->is_freezing;
}

/* Groups that come while it runs are pushed to the back and saved too: their entries are in the log
 * as well. */
static void save_some(Task *task) {
    Saving *saving = CONTAINER_OF(task, Saving, task);
    JournalStore *store = saving->checkpointer->store;
    Journal *journal = &store->journals[saving->worker];
    size_t start = saving->states.len;
    Link *next;
    for (int saved = 0; (next = saving->marker.next) != &journal->groups; saved++) {
        if (saved == JOURNAL_SAVES_PER_TURN ||
            saving->states.len - start > JOURNAL_SAVE_BYTES_PER_TURN) {
            worker_ready(journal->home, &saving->task);
            return;
        }
        list_remove(&saving->marker);
        list_push_front(next, &saving->marker);
        Group *group = CONTAINER_OF(next, Group, link);
        if (group->is_memory)
            continue;
        if (begin_freeze(saving, group))
            return; /* goes on in on_frozen */
        save_now(saving, group);
    }
    list_remove(&saving->marker);
    journal->marker = NULL;
    saving->mail.arrive = on_saved;
    worker_post(journal->home, store->all[0], &saving->mail);
}

static void on_asked(Worker *here, Mail *mail) {
    Saving *saving = (Saving *)mail;
    Journal *journal = &saving->checkpointer->store->journals[saving->worker];
    list_push_front(&journal->groups, &saving->marker);
    journal->marker = &saving->marker;
    task_init(&saving->task, save_some);
    worker_ready(here, &saving->task);
}

static void ask(Saving *saving) {
    JournalStore *store = saving->checkpointer->store;
    saving->mail.arrive = on_asked;
    worker_post(store->all[0], store->all[saving->worker], &saving->mail);
}

static void on_saved(Worker *here, Mail *mail) {
    (void)here;
    Saving *saving = (Saving *)mail;
    Checkpointer *checkpointer = saving->checkpointer;
    for (size_t at = 0; at < saving->states.len;) {
        StateHead head;
        memcpy(&head, saving->states.ptr + at, sizeof head);
        at += sizeof head;
        checkpoint_add(checkpointer->writer, head.group, head.index,
                       slice_from(saving->states.ptr + at, head.len));
        if (head.run)
            vec_push(&checkpointer->runs, ((RunName){head.group, head.run}));
        at += head.len;
    }
    buf_done(&saving->states);
    if (++saving->worker < checkpointer->store->all[0]->count) {
        ask(saving);
        return;
    }
    bool has_failed = saving->has_failed;
    mem_free(saving);
    checkpointer->saving = NULL;
    if (!has_failed) {
        write_out(checkpointer);
        return;
    }
    LOG_WARNING("checkpoint not made: a stream's index could not be written", "dir=%s",
                checkpointer->store->dir);
    checkpoint_abandon(checkpointer->writer);
    checkpointer->writer = NULL;
    rest(checkpointer, PHASE_IDLE);
}

/* --- writing --- */

static void count_file(WriteJob *write, const char *name) {
    Buf path = {0};
    DiskFile *file;
    uint64_t bytes;
    buf_printf(&path, "%s/%s", write->run_dir, name);
    if (disk_open(buf_text(&path), DISK_READ, &file) == OK) {
        if (disk_size(file, &bytes) == OK)
            write->index_bytes += bytes;
        disk_close(file);
    }
    buf_done(&path);
}

static void remove_unneeded(void *cookie, const char *name, bool is_dir) {
    WriteJob *write = cookie;
    for (size_t i = 0; i < write->needed.len; i++) {
        char needed[64];
        (void)snprintf(needed, sizeof needed, "%llu.%llu.run",
                       (unsigned long long)write->needed.at[i].group,
                       (unsigned long long)write->needed.at[i].generation);
        if (strcmp(name, needed) == 0) {
            count_file(write, name);
            return;
        }
    }
    Buf path = {0};
    buf_printf(&path, "%s/%s", write->run_dir, name);
    if (!is_dir && disk_remove(buf_text(&path)) != OK)
        LOG_DEBUG("unneeded run not removed", "path=%s", path.ptr);
    buf_done(&path);
}

static void write_run(OffloadJob *job) {
    WriteJob *write = (WriteJob *)job;
    /* What the states say must be in the log: with sync_interval it may still be on its way, and
     * what was moved would be lost with it. */
    write->status = log_sync_from(write->checkpointer->store->log, write->from);
    if (write->status == OK)
        write->status = checkpoint_finish(write->writer, &write->floor);
    else
        checkpoint_abandon(write->writer);
    if (write->status == OK && disk_list(write->run_dir, remove_unneeded, write) != OK)
        LOG_DEBUG("runs not listed", "dir=%s", write->run_dir);
}

static void write_free(WriteJob *write) {
    vec_done(&write->needed);
    mem_free(write);
}

static void write_done(Worker *here, OffloadJob *job) {
    (void)here;
    WriteJob *write = (WriteJob *)job;
    Checkpointer *checkpointer = write->checkpointer;
    if (write->status == OK) {
        checkpointer->generation++;
        checkpointer->floor_last = checkpointer->floor;
        checkpointer->records_last = checkpointer->records;
        vec_clear(&checkpointer->runs_last);
        for (size_t i = 0; i < checkpointer->runs.len; i++)
            vec_push(&checkpointer->runs_last, checkpointer->runs.at[i]);
        counter_set(&checkpointer->store->index_bytes, write->index_bytes);
        if (write->floor != 0)
            log_set_floor(checkpointer->store->log, write->floor);
    } else {
        LOG_WARNING("checkpoint not written", "dir=%s why=%s", checkpointer->store->dir,
                    status_text(write->status));
    }
    checkpointer->write = NULL;
    write_free(write);
    rest(checkpointer, PHASE_IDLE);
}

static void write_out(Checkpointer *checkpointer) {
    JournalStore *store = checkpointer->store;
    checkpointer->phase = PHASE_WRITING;
    WriteJob *write = mem_zalloc(sizeof *write);
    write->job.run = write_run;
    write->job.done = write_done;
    write->job.home = store->all[0];
    write->checkpointer = checkpointer;
    write->run_dir = store->run_dir;
    write->from = checkpointer->floor_last;
    for (size_t i = 0; i < checkpointer->runs_last.len; i++)
        vec_push(&write->needed, checkpointer->runs_last.at[i]);
    for (size_t i = 0; i < checkpointer->runs.len; i++)
        vec_push(&write->needed, checkpointer->runs.at[i]);
    checkpointer->write = write;
    write->writer = checkpointer->writer;
    checkpointer->writer = NULL;
    if (store->offload) {
        offload_submit(store->offload, &write->job);
        return;
    }
    write_run(&write->job);
    write_done(store->all[0], &write->job);
}
