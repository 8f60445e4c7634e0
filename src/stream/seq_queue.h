/* SeqQueue: first in, first out, of stream sequences: what waits for redelivery. Zero-initialised
 * is empty. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

typedef struct SeqQueue {
    uint64_t *ring;
    size_t cap, head, len; /* cap is 0 or a power of two */
} SeqQueue;

static inline void seq_queue_done(SeqQueue *queue) {
    mem_free(queue->ring);
    *queue = (SeqQueue){0};
}

static inline void seq_queue_push(SeqQueue *queue, uint64_t seq) {
    if (queue->len == queue->cap) {
        size_t cap = queue->cap ? queue->cap * 2 : 16;
        uint64_t *ring = mem_alloc(cap * sizeof *ring);
        for (size_t i = 0; i < queue->len; i++)
            ring[i] = queue->ring[(queue->head + i) & (queue->cap - 1)];
        mem_free(queue->ring);
        *queue = (SeqQueue){.ring = ring, .cap = cap, .len = queue->len};
    }
    queue->ring[(queue->head + queue->len++) & (queue->cap - 1)] = seq;
}

/* Of a queue that is not empty. */
static inline uint64_t seq_queue_first(const SeqQueue *queue) {
    return queue->ring[queue->head];
}

static inline void seq_queue_pop(SeqQueue *queue) {
    queue->head = (queue->head + 1) & (queue->cap - 1);
    if (--queue->len == 0 && queue->cap > 1024)
        seq_queue_done(queue);
}

static inline void seq_queue_push_front(SeqQueue *queue, uint64_t seq) {
    seq_queue_push(queue, seq); /* makes room */
    queue->head = (queue->head - 1) & (queue->cap - 1);
    queue->ring[queue->head] = seq;
}
