/* Thread: start and join, for the few threads that are not workers (log, offload). */
#pragma once

#include <stdint.h>

#include "base/status.h"

typedef struct Thread Thread;

/* name: at most 15 characters, shown by the OS. Signals are blocked in it. */
MUST_CHECK Status thread_start(const char *name, void (*run)(void *cookie), void *cookie,
                               Thread **out_thread);

/* Waits for its end and frees it. NULL-safe. */
void thread_join(Thread *thread);

/* Not for workers, but before they run. */
void thread_sleep(uint64_t ns);

/* CPUs this process may use: affinity mask and cgroup quota, at least 1. */
unsigned thread_cpu_count(void);
