/* TimerHeap: the timers of one worker, earliest first. Private to io/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/timer.h"

/* Due times are copied here, so that sifting does not touch the timers compared with. */
typedef struct TimerSlot {
    uint64_t due_ns;
    Timer *timer;
} TimerSlot;

typedef struct TimerHeap {
    TimerSlot *slots; /* [1 .. len] */
    size_t len, cap;
    uint64_t fired_until_ns; /* what is set for a time up to here waits for the next turn */
} TimerHeap;

void timer_heap_done(TimerHeap *heap);

/* UINT64_MAX when there is none. */
static inline uint64_t timer_heap_next_ns(const TimerHeap *heap) {
    return heap->len ? heap->slots[1].due_ns : UINT64_MAX;
}

/* Fires what is due at now_ns, but count_max at most. */
void timer_heap_fire(TimerHeap *heap, uint64_t now_ns, size_t count_max);
