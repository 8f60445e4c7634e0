#include "io/linger.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/conn_private.h"
#include "io/loop.h"

enum {
    LINGER_NS_MAX = NS_PER_S,
    SILENCE_NS = 50 * NS_PER_MS,         /* before a reset */
    LINGER_BYTES_MAX = 64 * 1024 * 1024, /* thrown away at most: then the peer gets its reset */
    LINGER_COUNT_MAX = 256,              /* per worker: further ones are closed at once */
};

typedef struct Linger {
    Worker *home;
    Watch watch;
    Timer timer;
    Link link;
    size_t bytes;
    uint64_t until_ns;
    bool with_reset, was_heard; /* since the timer was set */
} Linger;

static void reset_at_close(int fd) {
    struct linger none = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

static bool has_all_arrived(int fd) {
    int unsent = 0;
    return ioctl(fd, SIOCOUTQ, &unsent) != 0 || unsent == 0;
}

static void linger_set_timer(Linger *linger) {
    uint64_t soon = clock_mono_ns() + SILENCE_NS;
    linger->was_heard = false;
    timer_set(linger->home, &linger->timer,
              linger->with_reset && soon < linger->until_ns ? soon : linger->until_ns);
}

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
    if (n > 0) {
        linger->bytes += (size_t)n;
        linger->was_heard = true;
    }
    if (n <= 0 || linger->bytes > LINGER_BYTES_MAX)
        linger_end(linger);
}

static void linger_on_time(Timer *timer) {
    Linger *linger = CONTAINER_OF(timer, Linger, timer);
    bool must_wait = linger->was_heard || !has_all_arrived(linger->watch.fd);
    if (linger->with_reset && must_wait && clock_mono_ns() < linger->until_ns)
        linger_set_timer(linger);
    else
        linger_end(linger);
}

void linger_start(Worker *worker, int fd, bool with_reset) {
    Lingering *lingering = &worker->loop->lingering;
    if (lingering->count >= LINGER_COUNT_MAX || (!with_reset && shutdown(fd, SHUT_WR) != 0)) {
        (void)close(fd);
        return;
    }
    if (with_reset)
        reset_at_close(fd);
    Linger *linger = mem_zalloc(sizeof *linger);
    linger->home = worker;
    linger->with_reset = with_reset;
    linger->until_ns = clock_mono_ns() + LINGER_NS_MAX;
    linger->watch = (Watch){.fd = fd, .fire = linger_on_input};
    if (watch_add(worker, &linger->watch, EPOLLIN) != OK) {
        (void)close(fd);
        mem_free(linger);
        return;
    }
    timer_init(&linger->timer, linger_on_time);
    linger_set_timer(linger);
    list_push_back(&lingering->all, &linger->link);
    lingering->count++;
}

void lingering_done(Worker *worker) {
    LIST_FOR_EACH(link, &worker->loop->lingering.all)
    linger_end(CONTAINER_OF(link, Linger, link));
}
