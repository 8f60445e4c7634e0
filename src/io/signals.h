/* Signals: delivered as numbers on a worker's loop (the main one). SIGPIPE is ignored as well. */
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "io/worker.h"

typedef struct Signals Signals;

/* Before threads start: blocks the numbers in this thread, and so in all it starts. on_signal runs
 * on the worker, in a turn. ERR_IO when the OS refuses. */
MUST_CHECK Status signals_open(Worker *worker, const int *numbers, size_t count,
                               void (*on_signal)(void *cookie, int number), void *cookie,
                               Signals **out_signals);

/* Restores the mask of the calling thread. NULL-safe. */
void signals_close(Signals *signals);
