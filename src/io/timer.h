/* Timer: fires once on its worker, at or after its time (monotonic). Embedded in its owner; O(log
 * n). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Worker Worker;
typedef struct Timer Timer;
struct Timer {
    uint64_t due_ns;
    size_t heap_at; /* 0 = not set */
    void (*fire)(Timer *timer);
};

void timer_init(Timer *timer, void (*fire)(Timer *timer));

/* Sets or moves it. due_mono_ns in the past fires in the next turn. */
void timer_set(Worker *worker, Timer *timer, uint64_t due_mono_ns);

/* Harmless when not set. An owner cancels before it is freed. */
void timer_cancel(Worker *worker, Timer *timer);

static inline bool timer_is_set(const Timer *timer) {
    return timer->heap_at != 0;
}
