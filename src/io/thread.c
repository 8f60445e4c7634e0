#include "io/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/cpu_quota.h"

enum { CPUS_MAX = 16 * 1024 };

struct Thread {
    pthread_t id;
    void (*run)(void *cookie);
    void *cookie;
};

static void *thread_main(void *arg) {
    Thread *thread = arg;
    thread->run(thread->cookie);
    return NULL;
}

/* Signals are blocked around the creation, so that the new thread never runs with them open. */
Status thread_start(const char *name, void (*run)(void *cookie), void *cookie,
                    Thread **out_thread) {
    Thread *thread = mem_alloc(sizeof *thread);
    thread->run = run;
    thread->cookie = cookie;

    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread->id, NULL, thread_main, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);

    if (failed) {
        mem_free(thread);
        return ERR_IO;
    }
    (void)pthread_setname_np(thread->id, name);
    *out_thread = thread;
    return OK;
}

void thread_join(Thread *thread) {
    if (thread == NULL)
        return;
    int failed = pthread_join(thread->id, NULL);
    ASSERT(failed == 0);
    mem_free(thread);
}

void thread_sleep(uint64_t ns) {
    struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

static unsigned cpus_by_affinity(void) {
    cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
    ASSERT(set != NULL);
    size_t bytes = CPU_ALLOC_SIZE(CPUS_MAX);
    CPU_ZERO_S(bytes, set);
    int cpus = 0;
    if (sched_getaffinity(0, bytes, set) == 0)
        cpus = CPU_COUNT_S(bytes, set);
    CPU_FREE(set);
    if (cpus <= 0)
        cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return cpus > 0 ? (unsigned)cpus : 1;
}

unsigned thread_cpu_count(void) {
    unsigned cpus = cpus_by_affinity();
    unsigned quota = cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota != 0 && quota < cpus ? quota : cpus;
}
