#include "io/timer.h"

#include "base/assert.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/timer_heap.h"

void timer_init(Timer *timer, void (*fire)(Timer *timer)) {
    *timer = (Timer){.fire = fire};
}

static void place(TimerHeap *heap, size_t at, TimerSlot slot) {
    heap->slots[at] = slot;
    slot.timer->heap_at = at;
}

static void sift_up(TimerHeap *heap, size_t at, TimerSlot slot) {
    while (at > 1 && slot.due_ns < heap->slots[at / 2].due_ns) {
        place(heap, at, heap->slots[at / 2]);
        at /= 2;
    }
    place(heap, at, slot);
}

static void sift_down(TimerHeap *heap, size_t at, TimerSlot slot) {
    for (;;) {
        size_t child = 2 * at;
        if (child > heap->len)
            break;
        if (child < heap->len && heap->slots[child + 1].due_ns < heap->slots[child].due_ns)
            child++;
        if (slot.due_ns <= heap->slots[child].due_ns)
            break;
        place(heap, at, heap->slots[child]);
        at = child;
    }
    place(heap, at, slot);
}

static void sift(TimerHeap *heap, size_t at, TimerSlot slot) {
    if (at > 1 && slot.due_ns < heap->slots[at / 2].due_ns)
        sift_up(heap, at, slot);
    else
        sift_down(heap, at, slot);
}

static void remove_at(TimerHeap *heap, size_t at) {
    heap->slots[at].timer->heap_at = 0;
    TimerSlot last = heap->slots[heap->len--];
    if (at <= heap->len)
        sift(heap, at, last);
}

void timer_set(Worker *worker, Timer *timer, uint64_t due_mono_ns) {
    ASSERT(worker_is_current(worker));
    TimerHeap *heap = &worker->loop->timers;
    /* A timer that sets itself for a time gone by must not keep the turn from ending. */
    if (due_mono_ns <= heap->fired_until_ns)
        due_mono_ns = heap->fired_until_ns + 1;
    timer->due_ns = due_mono_ns;
    TimerSlot slot = {due_mono_ns, timer};

    if (timer_is_set(timer)) {
        ASSERT(timer->heap_at <= heap->len && heap->slots[timer->heap_at].timer == timer);
        sift(heap, timer->heap_at, slot);
        return;
    }
    if (heap->len + 2 > heap->cap) {
        heap->cap = heap->cap ? heap->cap * 2 : 16;
        heap->slots = mem_realloc(heap->slots, heap->cap * sizeof *heap->slots);
    }
    sift_up(heap, ++heap->len, slot);
}

void timer_cancel(Worker *worker, Timer *timer) {
    ASSERT(worker_is_current(worker));
    TimerHeap *heap = &worker->loop->timers;
    if (!timer_is_set(timer))
        return;
    ASSERT(timer->heap_at <= heap->len && heap->slots[timer->heap_at].timer == timer);
    remove_at(heap, timer->heap_at);
}

void timer_heap_fire(TimerHeap *heap, uint64_t now_ns, size_t count_max) {
    heap->fired_until_ns = now_ns;
    for (size_t i = 0; i < count_max && timer_heap_next_ns(heap) <= now_ns; i++) {
        Timer *timer = heap->slots[1].timer;
        remove_at(heap, 1);
        timer->fire(timer);
    }
}

void timer_heap_done(TimerHeap *heap) {
    mem_free(heap->slots);
    *heap = (TimerHeap){0};
}
