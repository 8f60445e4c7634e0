/* WorkerLoop: what io/ keeps per worker. Private to io/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/list.h"
#include "io/linger.h"
#include "io/mailbox.h"
#include "io/outbox.h"
#include "io/send_ring.h"
#include "io/thread.h"
#include "io/timer_heap.h"
#include "io/worker.h"

enum {
    LOOP_EVENTS_PER_TURN = 128,

    /* Input acted on in one turn, over all sockets, and output it may make; the rest waits for the
     * next turn, so that sockets are flushed every few milliseconds whatever comes in. */
    LOOP_INPUT_BYTES_PER_TURN = 1024 * 1024,
    LOOP_OUTPUT_BYTES_PER_TURN = 16 * 1024 * 1024,

    LOOP_TIMERS_PER_TURN = 4096,

    /* Soon-tasks that soon-tasks make are run in the same turn up to this count. */
    LOOP_SOON_TASKS_PER_TURN = 64 * 1024,
};

typedef struct MailBatch {
    Mail *newest, *oldest; /* next leads from the newest to the oldest */
} MailBatch;

struct WorkerLoop {
    Worker *worker;
    Thread *thread; /* NULL for the main worker */
    int epoll_fd;
    int event_at, event_count; /* events not yet handled are left for the next turn */
    bool is_quitting;
    bool is_restless; /* something ran after the hooks: the next turn must not wait */
    bool has_pwait2;

    Mailbox *box;
    Watch wake;
    Mail quit_mail;
    bool is_fence_due;
    uint64_t mailings;
    MailBatch *batches; /* [count + 1], by destination */
    unsigned *dirty;    /* destinations with something in their batch */
    unsigned dirty_count;

    TimerHeap timers;
    List ready, soon, hooks;

    List readable; /* connections that may have more input */
    List flush;    /* connections with output to write this turn */
    List blocked;  /* connections whose socket takes no more */
    List closing;  /* connections whose on_closed is due */

    char *lent;           /* read buffer: head room, then LIMIT_READ_BYTES_PER_TURN */
    size_t read_bytes;    /* how much of it is read at once: less when fan-out is high */
    size_t input_bytes;   /* read in this phase of the turn */
    uint64_t output_mark; /* out.appended at the start of the turn */
    OutPool out;
    SendRing *ring;   /* NULL until many sockets are written to at once */
    bool is_ringless; /* there is none to be had */
    Lingering lingering;

    struct epoll_event events[LOOP_EVENTS_PER_TURN];
};

/* Runs what is in the mailbox; true when there was any. */
bool loop_take_mail(WorkerLoop *loop);
/* Posts what worker_post has gathered. */
void loop_post_mail(WorkerLoop *loop);
/* Forgets events already fetched for a watch that is about to go. */
void loop_forget_events(WorkerLoop *loop, const Watch *watch);
void loop_free_lent(WorkerLoop *loop);
/* Any thread: makes it run a turn. */
void loop_nudge(WorkerLoop *loop);

static inline void loop_move_list(List *to, List *from) {
    list_init(to);
    if (list_is_empty(from))
        return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    list_init(from);
}

/* True when the rest of the input waits for the next turn. */
static inline bool loop_is_input_spent(const WorkerLoop *loop) {
    return loop->input_bytes >= LOOP_INPUT_BYTES_PER_TURN ||
           loop->out.appended - loop->output_mark >= LOOP_OUTPUT_BYTES_PER_TURN;
}
