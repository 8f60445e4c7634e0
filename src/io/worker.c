#include "io/worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/conn_private.h"
#include "io/loop.h"
#include "io/process.h"

/* Whether workers run: then each thread may touch its own worker only. */
static atomic_bool is_running;
static _Thread_local const Worker *current;

static void on_wake(Watch *watch, uint32_t events) {
    (void)watch;
    (void)events;
}

/* Life. */

static void worker_free(Worker *worker) {
    if (worker == NULL)
        return;
    WorkerLoop *loop = worker->loop;
    lingering_done(worker);
    if (loop->epoll_fd >= 0)
        (void)close(loop->epoll_fd);
    mailbox_close(loop->box);
    timer_heap_done(&loop->timers);
    out_pool_done(&loop->out);
    send_ring_free(loop->ring);
    loop_free_lent(loop);
    mem_free(loop->batches);
    mem_free(loop->dirty);
    mem_free(loop);
    arena_free(worker->turn);
    mem_free(worker);
}

static Worker *worker_new(Worker **all, unsigned index, unsigned count) {
    Worker *worker = mem_zalloc(sizeof *worker);
    worker->index = index;
    worker->count = count;
    worker->all = all;
    worker->turn = arena_new();
    worker->now_ns = clock_mono_ns();
    uint64_t seed;
    process_random(&seed, sizeof seed);
    rand_init(&worker->rand, seed);

    WorkerLoop *loop = worker->loop = mem_zalloc(sizeof *loop);
    loop->worker = worker;
    loop->has_pwait2 = true;
    loop->read_bytes = LIMIT_READ_BYTES_PER_TURN;
    loop->batches = mem_zalloc((count + 1) * sizeof *loop->batches);
    loop->dirty = mem_zalloc((count + 1) * sizeof *loop->dirty);
    List *lists[] = {&loop->ready, &loop->soon,    &loop->hooks,   &loop->readable,
                     &loop->flush, &loop->blocked, &loop->closing, &loop->lingering.all};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        list_init(lists[i]);

    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0 || mailbox_open(&loop->box) != OK)
        goto fail;
    loop->wake = (Watch){.fd = mailbox_fd(loop->box), .fire = on_wake};
    /* Edge-triggered: the eventfd never has to be read. */
    if (watch_add(worker, &loop->wake, EPOLLIN | EPOLLET) != OK)
        goto fail;
    return worker;

fail:
    worker_free(worker);
    return NULL;
}

Status workers_new(unsigned count, Worker ***out_all) {
    ASSERT(count >= 1 && count <= LIMIT_WORKERS);
    ASSERT(!atomic_load(&is_running));
    out_set_default_limit((size_t)(process_ram_bytes() / 4));
    Worker **all = mem_zalloc((count + 1) * sizeof(Worker *));
    for (unsigned i = 0; i <= count; i++) {
        all[i] = worker_new(all, i, count);
        if (all[i] != NULL)
            continue;
        int why = errno;
        while (i > 0)
            worker_free(all[--i]);
        mem_free(all);
        errno = why;
        return ERR_IO;
    }
    *out_all = all;
    return OK;
}

static void thread_run(void *cookie) {
    worker_run(cookie);
}

Status workers_start(Worker **all) {
    unsigned count = all[0]->count;
    ASSERT(!atomic_load(&is_running));
    current = all[count];
    for (unsigned i = 0; i < count; i++)
        loop_post_mail(all[i]->loop);
    atomic_store(&is_running, true);
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "worker-%u", i % 1000);
        if (thread_start(name, thread_run, all[i], &all[i]->loop->thread) != OK) {
            workers_join(all);
            return ERR_IO;
        }
    }
    return OK;
}

static void on_quit_mail(Worker *here, Mail *mail) {
    (void)mail;
    worker_quit(here);
}

void workers_join(Worker **all) {
    unsigned count = all[0]->count;
    for (unsigned i = 0; i < count; i++) {
        WorkerLoop *loop = all[i]->loop;
        if (loop->thread == NULL)
            continue;
        loop->quit_mail.arrive = on_quit_mail;
        mailbox_post(loop->box, &loop->quit_mail);
    }
    for (unsigned i = 0; i < count; i++) {
        thread_join(all[i]->loop->thread);
        all[i]->loop->thread = NULL;
    }
    current = NULL;
    atomic_store(&is_running, false);
}

void workers_drain(Worker **all) {
    ASSERT(!atomic_load(&is_running));
    unsigned count = all[0]->count;
    for (bool has_any = true; has_any;) {
        has_any = false;
        for (unsigned i = 0; i <= count; i++)
            loop_post_mail(all[i]->loop);
        for (unsigned i = 0; i <= count; i++)
            if (loop_take_mail(all[i]->loop))
                has_any = true;
    }
}

void workers_free(Worker **all) {
    if (all == NULL)
        return;
    ASSERT(!atomic_load(&is_running));
    for (unsigned i = all[0]->count; i > 0; i--)
        worker_free(all[i]);
    worker_free(all[0]);
    mem_free(all);
}

bool worker_is_current(const Worker *worker) {
    return current == worker || !atomic_load_explicit(&is_running, memory_order_relaxed);
}

/* Mail. */

void worker_post(Worker *from, Worker *to, Mail *mail) {
    ASSERT(worker_is_current(from));
    WorkerLoop *loop = from->loop;
    worker_fence_now(from);
    MailBatch *batch = &loop->batches[to->index];
    if (batch->newest == NULL) {
        batch->oldest = mail;
        loop->dirty[loop->dirty_count++] = to->index;
    }
    mail->next = batch->newest;
    batch->newest = mail;
}

void worker_fence(Worker *from) {
    from->loop->is_fence_due = from->loop->dirty_count != 0;
}

void worker_fence_now(Worker *from) {
    if (__builtin_expect(from->loop->is_fence_due, 0))
        loop_post_mail(from->loop);
}

uint64_t worker_mailings(const Worker *worker) {
    return worker->loop->mailings;
}

void worker_post_now(Worker *to, Mail *mail) {
    mailbox_post(to->loop->box, mail);
}

void loop_post_mail(WorkerLoop *loop) {
    for (unsigned i = 0; i < loop->dirty_count; i++) {
        unsigned to = loop->dirty[i];
        MailBatch batch = loop->batches[to];
        loop->batches[to] = (MailBatch){0};
        mailbox_post_reversed(loop->worker->all[to]->loop->box, batch.newest, batch.oldest);
    }
    loop->mailings += loop->dirty_count != 0;
    loop->dirty_count = 0;
    loop->is_fence_due = false;
}

bool loop_take_mail(WorkerLoop *loop) {
    Mail *mail = mailbox_take(loop->box);
    bool has_any = mail != NULL;
    for (Mail *next; mail; mail = next) {
        next = mail->next;
        __builtin_prefetch(next);
        mail->arrive(loop->worker, mail);
    }
    return has_any;
}

void loop_nudge(WorkerLoop *loop) {
    mailbox_nudge(loop->box);
}

/* Tasks and hooks. */

void task_init(Task *task, void (*run)(Task *task)) {
    link_init(&task->link);
    task->run = run;
}

void worker_ready(Worker *worker, Task *task) {
    ASSERT(worker_is_current(worker));
    if (!link_is_listed(&task->link))
        list_push_back(&worker->loop->ready, &task->link);
}

void worker_soon(Worker *worker, Task *task) {
    ASSERT(worker_is_current(worker));
    list_remove(&task->link); /* from the ready list: soon is earlier */
    list_push_back(&worker->loop->soon, &task->link);
}

void task_cancel(Task *task) {
    list_remove(&task->link);
}

void worker_add_hook(Worker *worker, TurnHook *hook) {
    ASSERT(worker_is_current(worker));
    list_push_back(&worker->loop->hooks, &hook->link);
}

/* Watches. */

static Status control(Worker *worker, int operation, Watch *watch, uint32_t events) {
    ASSERT(worker_is_current(worker));
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(worker->loop->epoll_fd, operation, watch->fd, &event) == 0 ? OK : ERR_IO;
}

Status watch_add(Worker *worker, Watch *watch, uint32_t epoll_events) {
    return control(worker, EPOLL_CTL_ADD, watch, epoll_events);
}

Status watch_change(Worker *worker, Watch *watch, uint32_t epoll_events) {
    return control(worker, EPOLL_CTL_MOD, watch, epoll_events);
}

void watch_remove(Worker *worker, Watch *watch) {
    loop_forget_events(worker->loop, watch);
    (void)control(worker, EPOLL_CTL_DEL, watch, 0);
}

void loop_forget_events(WorkerLoop *loop, const Watch *watch) {
    for (int i = loop->event_at; i < loop->event_count; i++)
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
}

/* The turn. */

void worker_quit(Worker *worker) {
    ASSERT(worker_is_current(worker));
    worker->loop->is_quitting = true;
}

/* Whether the next turn has something to do already. */
static bool has_work(const WorkerLoop *loop) {
    return loop->is_restless || loop->is_quitting || loop->dirty_count != 0 ||
           !list_is_empty(&loop->ready) || !list_is_empty(&loop->soon) ||
           !list_is_empty(&loop->readable) || !list_is_empty(&loop->flush) ||
           !list_is_empty(&loop->closing);
}

/* Until the next timer; UINT64_MAX = for ever. */
static int wait_for_events(WorkerLoop *loop, uint64_t wait_ns) {
    bool is_endless = wait_ns == UINT64_MAX;
    if (loop->has_pwait2 && wait_ns != 0) {
        struct timespec wait = {(time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S)};
        int n = epoll_pwait2(loop->epoll_fd, loop->events, LOOP_EVENTS_PER_TURN,
                             is_endless ? NULL : &wait, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        loop->has_pwait2 = false; /* an old kernel, or a filter of system calls */
    }
    /* Rounded up: woken before the timer is due, it would turn in vain. */
    uint64_t ms = wait_ns / NS_PER_MS + (wait_ns % NS_PER_MS != 0);
    int timeout = is_endless ? -1 : ms < 1000 * 1000 ? (int)ms : 1000 * 1000;
    return epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_PER_TURN, timeout);
}

static void fetch_events(WorkerLoop *loop, bool may_wait) {
    Worker *worker = loop->worker;
    uint64_t wait_ns = 0;
    bool is_asleep = false;
    if (may_wait && !has_work(loop)) {
        uint64_t next = timer_heap_next_ns(&loop->timers);
        uint64_t now = next == UINT64_MAX ? 0 : clock_mono_ns();
        wait_ns = next == UINT64_MAX ? UINT64_MAX : next > now ? next - now : 0;
        is_asleep = wait_ns != 0 && mailbox_sleep(loop->box);
        if (!is_asleep)
            wait_ns = 0;
    }
    int n = wait_for_events(loop, wait_ns);
    if (is_asleep)
        mailbox_awake(loop->box);
    ASSERT(n >= 0 || errno == EINTR);
    loop->event_at = 0;
    loop->event_count = n > 0 ? n : 0;
    worker->now_ns = clock_mono_ns();
}

/* Sockets left over from the turn before come first; the others have an allowance of their own. */
static void read_sockets(WorkerLoop *loop) {
    List due;
    loop_move_list(&due, &loop->readable);
    loop->input_bytes = 0;
    loop->output_mark = loop->out.appended;
    conns_read_again(loop, &due);
    for (Link *link; (link = list_pop_front(&due));)
        list_push_back(&loop->readable, link);

    loop->input_bytes = 0;
    loop->output_mark = loop->out.appended;
    while (loop->event_at < loop->event_count && !loop_is_input_spent(loop)) {
        struct epoll_event event = loop->events[loop->event_at++];
        Watch *watch = event.data.ptr;
        if (watch != NULL)
            watch->fire(watch, event.events);
    }
}

static void run_ready(WorkerLoop *loop) {
    List due;
    loop_move_list(&due, &loop->ready);
    for (Link *link; (link = list_pop_front(&due));) {
        Task *task = CONTAINER_OF(link, Task, link);
        task->run(task);
    }
}

/* Soon-tasks and closed connections may make more of either. */
static void run_soon(WorkerLoop *loop) {
    for (unsigned i = 0; i < LOOP_SOON_TASKS_PER_TURN; i++) {
        (void)conns_finish_closing(loop);
        Link *link = list_pop_front(&loop->soon);
        if (link == NULL)
            return;
        Task *task = CONTAINER_OF(link, Task, link);
        task->run(task);
    }
}

/* What hooks make is still done in this turn, as far as it needs no hook itself: that has the next
 * one. */
static void submit(WorkerLoop *loop) {
    loop_post_mail(loop);
    LIST_FOR_EACH(link, &loop->hooks) {
        TurnHook *hook = CONTAINER_OF(link, TurnHook, link);
        hook->run(hook);
    }
    if (!list_is_empty(&loop->soon) || !list_is_empty(&loop->closing)) {
        loop->is_restless = true;
        run_soon(loop);
    }
    loop_post_mail(loop);
}

void worker_turn(Worker *worker, bool may_wait) {
    ASSERT(worker_is_current(worker));
    WorkerLoop *loop = worker->loop;
    if (loop->event_at == loop->event_count)
        fetch_events(loop, may_wait);
    else
        worker->now_ns = clock_mono_ns();

    loop->is_restless = false;
    (void)loop_take_mail(loop);
    read_sockets(loop);
    timer_heap_fire(&loop->timers, worker->now_ns, LOOP_TIMERS_PER_TURN);
    run_ready(loop);
    run_soon(loop);
    submit(loop);
    conns_flush_all(loop);
    arena_reset(worker->turn);
    out_publish(&loop->out, OUT_PUBLISH_STEP_BYTES);
    if (__builtin_expect(out_is_over_limit(), 0))
        conns_relieve(loop);
}

void worker_run(Worker *worker) {
    current = worker;
    WorkerLoop *loop = worker->loop;
    do
        worker_turn(worker, true);
    while (!loop->is_quitting);
    /* The last words of the last turn: what its flush has closed, and the mail of that. */
    while (conns_finish_closing(loop) || loop->dirty_count != 0)
        loop_post_mail(loop);
    loop->is_quitting = false;
}
