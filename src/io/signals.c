#include "io/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"

struct Signals {
    Worker *home;
    Watch watch;
    void (*on_signal)(void *cookie, int number);
    void *cookie;
    sigset_t mask_before;
};

static void on_ready(Watch *watch, uint32_t events) {
    (void)events;
    Signals *signals = CONTAINER_OF(watch, Signals, watch);
    struct signalfd_siginfo info;
    if (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info)
        signals->on_signal(signals->cookie, (int)info.ssi_signo);
}

Status signals_open(Worker *worker, const int *numbers, size_t count,
                    void (*on_signal)(void *cookie, int number), void *cookie,
                    Signals **out_signals) {
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < count; i++)
        (void)sigaddset(&set, numbers[i]);

    Signals *signals = mem_zalloc(sizeof *signals);
    *signals = (Signals){.home = worker, .on_signal = on_signal, .cookie = cookie};
    signals->watch =
        (Watch){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), .fire = on_ready};
    if (signals->watch.fd < 0 || watch_add(worker, &signals->watch, EPOLLIN) != OK) {
        int why = errno;
        if (signals->watch.fd >= 0)
            (void)close(signals->watch.fd);
        mem_free(signals);
        errno = why;
        return ERR_IO;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_sigmask(SIG_BLOCK, &set, &signals->mask_before);
    *out_signals = signals;
    return OK;
}

void signals_close(Signals *signals) {
    if (signals == NULL)
        return;
    ASSERT_HOME(signals);
    watch_remove(signals->home, &signals->watch);
    (void)close(signals->watch.fd);
    (void)pthread_sigmask(SIG_SETMASK, &signals->mask_before, NULL);
    mem_free(signals);
}
