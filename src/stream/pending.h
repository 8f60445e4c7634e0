/* Pending: the unacknowledged messages of one consumer, in order of their stream sequences.
 *
 * A ring of 32-byte entries. Removed ones stay as holes until they reach the front or the ring is
 * packed, so that look-ups are a guess or a binary search. Deadlines are found by blocks of 64
 * entries, each with a lower bound of its deadlines: no heap, no list. A pointer to an entry is
 * good until the next pending_add. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PENDING_HOLE = 1,    /* removed */
    PENDING_QUEUED = 2,  /* waits in the redelivery queue */
    PENDING_ACKING = 4,  /* its ack is on the way to the disk: not redelivered meanwhile */
    PENDING_DELAYED = 8, /* a client chose the deadline; until the consumer starts, in wall time */
};

typedef struct PendingEntry {
    uint64_t sseq;
    uint64_t dseq;   /* of its first delivery */
    uint64_t due_ns; /* monotonic; 0 = none */
    uint32_t deliveries;
    uint32_t flags;
} PendingEntry;

/* Zero-initialised is empty. */
typedef struct Pending {
    PendingEntry *ring;
    uint64_t *block_due; /* per 64 entries: no deadline in it is earlier; 0 = none */
    size_t cap;          /* 0 or a power of two */
    uint64_t head, tail; /* positions, masked by cap - 1 */
    size_t count;        /* without holes */
} Pending;

void pending_done(Pending *pending);
/* Forgets all entries and their memory. */
void pending_clear(Pending *pending);

/* sseq must be above all others. Amortised O(1). */
PendingEntry *pending_add(Pending *pending, uint64_t sseq, uint64_t dseq, uint32_t deliveries,
                          uint64_t due_ns);
/* NULL when there is none. O(1) in dense runs, else O(log n). */
PendingEntry *pending_find(const Pending *pending, uint64_t sseq);
void pending_remove(Pending *pending, PendingEntry *entry);
/* Not delayed any more. */
void pending_set_due(Pending *pending, PendingEntry *entry, uint64_t due_ns);

/* The lowest entry with a sequence above sseq, or NULL: pending_above(p, 0) is the first. */
PendingEntry *pending_above(const Pending *pending, uint64_t sseq);
/* Highest sequence ever added since it was last empty; 0 when empty. */
uint64_t pending_last_sseq(const Pending *pending);

/* An entry that is due at now or before, lowest sequence first, or NULL. *at starts with 0 and must
 * be kept between calls; whoever takes an entry changes its deadline or removes it. */
PendingEntry *pending_next_due(Pending *pending, uint64_t now_ns, uint64_t *at);
/* No deadline is earlier; 0 when there is none. O(n / 64). */
uint64_t pending_due(const Pending *pending);
/* Bytes of memory. */
size_t pending_bytes(const Pending *pending);
