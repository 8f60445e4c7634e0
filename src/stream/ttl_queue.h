/* TtlQueue: (due time, sequence) of messages with a time to live, soonest first; equal times by
 * sequence. Removed messages stay until they are due or ttl_queue_keep clears them out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TtlDue {
    int64_t due_ns;
    uint64_t seq;
} TtlDue;

/* Zero-initialised is empty. */
typedef struct TtlQueue {
    TtlDue *heap;
    size_t len, cap;
} TtlQueue;

void ttl_queue_done(TtlQueue *queue);
void ttl_queue_push(TtlQueue *queue, int64_t due_ns, uint64_t seq);
void ttl_queue_pop(TtlQueue *queue);
/* Drops those for which is_live says false. O(n). */
void ttl_queue_keep(TtlQueue *queue, bool (*is_live)(void *cookie, TtlDue due), void *cookie);
