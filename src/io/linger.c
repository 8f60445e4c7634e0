#include "io/linger.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/conn_private.h"
#include "io/loop.h"

enum {
    LINGER_NS_MAX = NS_PER_S,
    LINGER_BYTES_MAX = 64 * 1024 * 1024, /* thrown away at most: then the peer gets its reset */
    LINGER_COUNT_MAX = 256,              /* per worker: further ones are closed at once */
};

typedef struct Linger {
    Worker *home;
    Watch watch;
    Timer timer;
    Link link;
    size_t bytes;
} Linger;

static void linger_end(Linger *linger) {
    timer_cancel(linger->home, &linger->timer);
    watch_remove(linger->home, &linger->watch);
    list_remove(&linger->link);
    linger->home->loop->lingering.count--;
    (void)close(linger->watch.fd);
    mem_free(linger);
}

static void linger_on_input(Watch *watch, uint32_t events) {
    Linger *linger = CONTAINER_OF(watch, Linger, watch);
    char *buffer = loop_lent(linger->home->loop);
    ssize_t n = recv(watch->fd, buffer, LIMIT_READ_BYTES_PER_TURN, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        linger->bytes += (size_t)n;
    if (n <= 0 || linger->bytes > LINGER_BYTES_MAX)
        linger_end(linger);
}

static void linger_on_time(Timer *timer) {
    linger_end(CONTAINER_OF(timer, Linger, timer));
}

void linger_start(Worker *worker, int fd) {
    Lingering *lingering = &worker->loop->lingering;
    if (lingering->count >= LINGER_COUNT_MAX || shutdown(fd, SHUT_WR) != 0) {
        (void)close(fd);
        return;
    }
    Linger *linger = mem_zalloc(sizeof *linger);
    linger->home = worker;
    linger->watch = (Watch){.fd = fd, .fire = linger_on_input};
    if (watch_add(worker, &linger->watch, EPOLLIN) != OK) {
        (void)close(fd);
        mem_free(linger);
        return;
    }
    timer_init(&linger->timer, linger_on_time);
    timer_set(worker, &linger->timer, clock_mono_ns() + LINGER_NS_MAX);
    list_push_back(&lingering->all, &linger->link);
    lingering->count++;
}

void lingering_done(Worker *worker) {
    LIST_FOR_EACH(link, &worker->loop->lingering.all)
    linger_end(CONTAINER_OF(link, Linger, link));
}
