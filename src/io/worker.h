/* Worker: a thread with one epoll loop. Owns connections, streams, timers; nobody else touches
 * them.
 *
 * Turn: wait; for each ready socket: read, take mail, act on what was read; due timers; ready
 * tasks; post mail (one batch per destination); turn hooks (the journal hands its entries to the
 * log thread); post mail again if hooks made some; flush sockets (one writev each); reset the turn
 * arena. Because mail goes out before sockets are flushed and is taken before input is acted on,
 * whatever a client can have learnt is known to every worker that acts later.
 *
 * The main thread runs a worker too (index == count, not in all[]): listeners, signals, monitoring.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/rand.h"
#include "base/status.h"
#include "io/mailbox.h"
#include "io/timer.h"

typedef struct WorkerLoop WorkerLoop; /* private to io/ */

struct Worker {
    unsigned index; /* 0 .. count-1; count for the main worker */
    unsigned count; /* of the working ones */
    Worker **all;   /* [count + 1]; the last one is the main worker */
    Arena *turn;    /* reset at the end of each turn */
    Rand rand;
    uint64_t now_ns; /* monotonic, as of the start of this turn or the last read */
    WorkerLoop *loop;

    /* Roots of what lives here, each set by its folder at start. */
    struct Bus *bus;
    struct Journal *journal;
    struct JetStream *jetstream;
    struct Leafnodes *leafnodes;
    struct Clients *clients;
    struct Server *server; /* the same immutable-after-start one for all */
};

/* Creates count workers and the main one. ERR_IO when the OS refuses. */
MUST_CHECK Status workers_new(unsigned count, Worker ***out_all);

/* Starts the count threads. From now on only the workers touch what they own. What they have mailed
 * to each other before arrives before anything that is mailed from now on, by whomever. */
MUST_CHECK Status workers_start(Worker **all);

/* Runs the main worker's loop on the calling thread until worker_quit(main). */
void worker_run(Worker *main);

/* On its own thread: leave the loop after this turn. */
void worker_quit(Worker *worker);

/* One turn on the calling thread, for tests and tools that step workers which are not started.
 * Waits for something to do when may_wait. */
void worker_turn(Worker *worker, bool may_wait);

/* From the main thread, after worker_run returned: ends the other loops, joins, leaves their memory
 * readable. */
void workers_join(Worker **all);
/* After workers_join: runs mail that nobody has taken, until there is none, on the calling thread.
 */
void workers_drain(Worker **all);
/* NULL-safe. */
void workers_free(Worker **all);

/* True on worker's own thread, and on any thread while workers are not started (set-up, recovery)
 * or are joined. */
bool worker_is_current(const Worker *worker);

#define ASSERT_HOME(thing) ASSERT(worker_is_current((thing)->home))

/* From worker `from`, on its thread: to->arrive runs later in order. Kept until the posting step of
 * this turn. to == from is allowed. Takes mail. */
void worker_post(Worker *from, Worker *to, Mail *mail);

/* What was posted so far, also to other workers, lies in their mailboxes before anything that is
 * posted from now on: so whoever acts on that, at whatever remove, has taken this before. */
void worker_fence(Worker *from);
/* The fence, if one is due, comes now. */
void worker_fence_now(Worker *from);
/* Rises when mail goes out: what is the same as before was not. */
uint64_t worker_mailings(const Worker *worker);

/* Any thread: posts at once. */
void worker_post_now(Worker *to, Mail *mail);

/* Task: work left over for the next turn. Embedded; in the ready list at most once. */
typedef struct Task Task;
struct Task {
    Link link;
    void (*run)(Task *task);
};

void task_init(Task *task, void (*run)(Task *task));

/* Runs in the next turn, which then does not sleep. Harmless when already listed. */
void worker_ready(Worker *worker, Task *task);

/* Runs still in this turn, after all input was acted on and before mail is posted: for coalescing.
 */
void worker_soon(Worker *worker, Task *task);

/* Harmless when not listed. An owner cancels before it is freed. */
void task_cancel(Task *task);

static inline bool task_is_listed(const Task *task) {
    return link_is_listed(&task->link);
}

/* TurnHook: called in each turn at the submit step. Registered at start, never removed. */
typedef struct TurnHook TurnHook;
struct TurnHook {
    Link link;
    void (*run)(TurnHook *hook);
};
void worker_add_hook(Worker *worker, TurnHook *hook);

/* Readiness of other descriptors (listeners, signalfd). Level-triggered unless EPOLLET is asked
 * for; fire runs on the worker. ERR_IO when epoll refuses. After watch_remove, which comes before
 * the close of fd, it does not fire. */
typedef struct Watch Watch;
struct Watch {
    int fd;
    void (*fire)(Watch *watch, uint32_t epoll_events);
};
MUST_CHECK Status watch_add(Worker *worker, Watch *watch, uint32_t epoll_events);
MUST_CHECK Status watch_change(Worker *worker, Watch *watch, uint32_t epoll_events);
void watch_remove(Worker *worker, Watch *watch);
