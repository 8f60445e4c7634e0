/* Checkpointer: makes a checkpoint when the log has grown enough for one to pay. Lives on all[0].
 *
 * Asks one worker after the other to save its groups, a few per turn; what they were given to the
 * log before the floor was taken is applied by then, since their chunks were mailed home before the
 * log's head moved on. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "journal/journal_private.h"

typedef enum Phase { PHASE_IDLE, PHASE_SAVING, PHASE_WRITING, PHASE_DISABLED } Phase;

struct Checkpointer {
    JournalStore *store;
    Phase phase;
    uint64_t generation;
    Place floor_last, floor; /* of the newest checkpoint, of the one being made */
    uint64_t log_bytes;      /* of log between two checkpoints */
    Place considered;        /* head of the log when it was last thought about */
    bool is_due;
    CheckpointWriter *writer;
    struct Saving *saving;
};

/* Goes from all[0] to a worker and back, for each worker. */
typedef struct Saving {
    Mail mail; /* first */
    Checkpointer *checkpointer;
    unsigned worker;
    Link marker; /* in that worker's list of groups: those before it are saved */
    Task task;
    Buf states; /* StateHead and state, one after the other */
} Saving;

typedef struct StateHead {
    uint32_t group;
    uint64_t index, len;
} StateHead;

typedef struct WriteJob {
    OffloadJob job; /* first */
    Checkpointer *checkpointer;
    CheckpointWriter *writer;
    Place floor;
    Status status;
} WriteJob;

static void begin(Checkpointer *checkpointer);

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
        mem_free(checkpointer->saving);
    }
    mem_free(checkpointer);
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

void checkpointer_consider(Checkpointer *checkpointer) {
    if (checkpointer->phase != PHASE_IDLE)
        return;
    Log *log = checkpointer->store->log;
    Place head = log_head(log);
    /* Another segment is further away than any step. */
    if (head - checkpointer->considered < checkpointer->log_bytes / 8 && !checkpointer->is_due)
        return;
    checkpointer->considered = head;
    if (checkpointer->is_due ||
        log_bytes_after(log, checkpointer->floor_last) >= checkpointer->log_bytes)
        begin(checkpointer);
}

/* --- saving --- */

static void ask(Saving *saving);

static void begin(Checkpointer *checkpointer) {
    JournalStore *store = checkpointer->store;
    checkpointer->phase = PHASE_SAVING;
    checkpointer->is_due = false;
    checkpointer->floor = log_head(store->log);
    checkpointer->writer =
        checkpoint_begin(store->dir, checkpointer->generation + 1, checkpointer->floor);
    Saving *saving = mem_zalloc(sizeof *saving);
    saving->checkpointer = checkpointer;
    checkpointer->saving = saving;
    ask(saving);
}

static void on_saved(Worker *here, Mail *mail);
static void write_out(Checkpointer *checkpointer);

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
        StateHead head = {.group = group->id, .index = group->index_applied};
        size_t at = saving->states.len;
        buf_append_bytes(&saving->states, &head, sizeof head);
        group->ops->save(group, &saving->states);
        head.len = saving->states.len - at - sizeof head;
        memcpy(saving->states.ptr + at, &head, sizeof head);
    }
    list_remove(&saving->marker);
    saving->mail.arrive = on_saved;
    worker_post(journal->home, store->all[0], &saving->mail);
}

static void on_asked(Worker *here, Mail *mail) {
    Saving *saving = (Saving *)mail;
    Journal *journal = &saving->checkpointer->store->journals[saving->worker];
    list_push_front(&journal->groups, &saving->marker);
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
        at += head.len;
    }
    buf_done(&saving->states);
    if (saving->worker++ < checkpointer->store->all[0]->count) {
        ask(saving);
        return;
    }
    mem_free(saving);
    checkpointer->saving = NULL;
    write_out(checkpointer);
}

/* --- writing --- */

static void write_run(OffloadJob *job) {
    WriteJob *write = (WriteJob *)job;
    write->status = checkpoint_finish(write->writer, &write->floor);
}

static void write_done(Worker *here, OffloadJob *job) {
    (void)here;
    WriteJob *write = (WriteJob *)job;
    Checkpointer *checkpointer = write->checkpointer;
    checkpointer->phase = PHASE_IDLE;
    if (write->status == OK) {
        checkpointer->generation++;
        checkpointer->floor_last = checkpointer->floor;
        if (write->floor != 0)
            log_set_floor(checkpointer->store->log, write->floor);
    } else {
        LOG_WARNING("checkpoint not written", "dir=%s why=%s", checkpointer->store->dir,
                    status_text(write->status));
    }
    mem_free(write);
}

static void write_out(Checkpointer *checkpointer) {
    JournalStore *store = checkpointer->store;
    checkpointer->phase = PHASE_WRITING;
    WriteJob *write = mem_zalloc(sizeof *write);
    write->job.run = write_run;
    write->job.done = write_done;
    write->job.home = store->all[0];
    write->checkpointer = checkpointer;
    write->writer = checkpointer->writer;
    checkpointer->writer = NULL;
    if (store->offload) {
        offload_submit(store->offload, &write->job);
        return;
    }
    write_run(&write->job);
    write_done(store->all[0], &write->job);
}
