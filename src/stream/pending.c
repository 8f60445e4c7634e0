#include "stream/pending.h"

#include <assert.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    BLOCK_SHIFT = 6,
    BLOCK_ENTRIES = 1 << BLOCK_SHIFT,
    CAP_MIN = 4, /* consumers are many, and most have little pending */
    CAP_KEPT_EMPTY = 64,
};

static_assert(sizeof(PendingEntry) == 32, "an entry is 32 bytes");

static PendingEntry *at_position(const Pending *pending, uint64_t position) {
    return &pending->ring[position & (pending->cap - 1)];
}

static size_t block_count(size_t cap) {
    return (cap + BLOCK_ENTRIES - 1) >> BLOCK_SHIFT;
}

static uint64_t *block_of(const Pending *pending, const PendingEntry *entry) {
    return &pending->block_due[(size_t)(entry - pending->ring) >> BLOCK_SHIFT];
}

static uint64_t position_of(const Pending *pending, const PendingEntry *entry) {
    uint64_t index = (uint64_t)(entry - pending->ring);
    return pending->head + ((index - pending->head) & (pending->cap - 1));
}

static void note_due(Pending *pending, const PendingEntry *entry) {
    uint64_t *due = block_of(pending, entry);
    if (entry->due_ns != 0 && (*due == 0 || entry->due_ns < *due))
        *due = entry->due_ns;
}

void pending_done(Pending *pending) {
    mem_free(pending->ring);
    mem_free(pending->block_due);
    *pending = (Pending){0};
}

void pending_clear(Pending *pending) {
    pending_done(pending);
}

/* Copies what is no hole into a ring of cap entries. */
static void repack(Pending *pending, size_t cap) {
    PendingEntry *ring = mem_alloc(cap * sizeof *ring);
    size_t n = 0;
    for (uint64_t i = pending->head; i != pending->tail; i++) {
        PendingEntry *entry = at_position(pending, i);
        if (!(entry->flags & PENDING_HOLE))
            ring[n++] = *entry;
    }
    ASSERT(n == pending->count);
    mem_free(pending->ring);
    mem_free(pending->block_due);
    pending->ring = ring;
    pending->block_due = mem_zalloc(block_count(cap) * sizeof *pending->block_due);
    pending->cap = cap;
    pending->head = 0;
    pending->tail = n;
    for (size_t i = 0; i < n; i++)
        note_due(pending, &ring[i]);
}

PendingEntry *pending_add(Pending *pending, uint64_t sseq, uint64_t dseq, uint32_t deliveries,
                          uint64_t due_ns) {
    ASSERT(sseq > pending_last_sseq(pending));
    if (pending->tail - pending->head == pending->cap) {
        size_t more = pending->cap < BLOCK_ENTRIES ? pending->cap * 4 : pending->cap * 2;
        if (pending->cap == 0)
            more = CAP_MIN;
        repack(pending, pending->count >= pending->cap / 2 ? more : pending->cap);
    }
    PendingEntry *entry = at_position(pending, pending->tail++);
    *entry = (PendingEntry){.sseq = sseq, .dseq = dseq, .due_ns = due_ns, .deliveries = deliveries};
    pending->count++;
    note_due(pending, entry);
    return entry;
}

/* Position of the first entry, hole or not, with a sequence >= sseq; tail when there is none. */
static uint64_t lower_bound(const Pending *pending, uint64_t sseq) {
    uint64_t low = pending->head, high = pending->tail;
    if (low == high)
        return high;
    uint64_t first = at_position(pending, low)->sseq;
    if (sseq <= first)
        return low;
    uint64_t guess = low + (sseq - first);
    if (sseq - first < high - low && at_position(pending, guess)->sseq == sseq)
        return guess;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (at_position(pending, middle)->sseq < sseq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

PendingEntry *pending_find(const Pending *pending, uint64_t sseq) {
    uint64_t position = lower_bound(pending, sseq);
    if (position == pending->tail)
        return NULL;
    PendingEntry *entry = at_position(pending, position);
    return entry->sseq == sseq && !(entry->flags & PENDING_HOLE) ? entry : NULL;
}

void pending_remove(Pending *pending, PendingEntry *entry) {
    ASSERT(!(entry->flags & PENDING_HOLE));
    entry->flags = PENDING_HOLE;
    entry->due_ns = 0;
    pending->count--;
    while (pending->head != pending->tail &&
           at_position(pending, pending->head)->flags & PENDING_HOLE)
        pending->head++;
    if (pending->count == 0 && pending->cap > CAP_KEPT_EMPTY)
        pending_done(pending);
}

void pending_set_due(Pending *pending, PendingEntry *entry, uint64_t due_ns) {
    entry->flags &= ~(uint32_t)PENDING_DELAYED;
    entry->due_ns = due_ns;
    note_due(pending, entry);
}

PendingEntry *pending_above(const Pending *pending, uint64_t sseq) {
    if (pending->count == 0 || sseq == UINT64_MAX)
        return NULL;
    for (uint64_t i = lower_bound(pending, sseq + 1); i != pending->tail; i++) {
        PendingEntry *entry = at_position(pending, i);
        if (!(entry->flags & PENDING_HOLE))
            return entry;
    }
    return NULL;
}

uint64_t pending_last_sseq(const Pending *pending) {
    return pending->head == pending->tail ? 0 : at_position(pending, pending->tail - 1)->sseq;
}

/* Scans the block that holds position, from there on: the first due entry; corrects the block's
 * bound when it was scanned whole. */
static PendingEntry *scan_block(Pending *pending, uint64_t position, uint64_t end,
                                uint64_t now_ns) {
    uint64_t earliest = 0;
    for (uint64_t i = position; i != end; i++) {
        PendingEntry *entry = at_position(pending, i);
        if (entry->due_ns == 0)
            continue;
        if (entry->due_ns <= now_ns)
            return entry;
        if (earliest == 0 || entry->due_ns < earliest)
            earliest = entry->due_ns;
    }
    bool is_whole =
        end - position == BLOCK_ENTRIES || (position == pending->head && end == pending->tail);
    if (is_whole)
        *block_of(pending, at_position(pending, position)) = earliest;
    return NULL;
}

/* After every due entry was taken, the bounds of blocks that were entered in the middle are still
 * too early: made exact here. */
static void settle_bounds(Pending *pending, uint64_t now_ns) {
    for (size_t block = 0; block < block_count(pending->cap); block++) {
        if (pending->block_due[block] == 0 || pending->block_due[block] > now_ns)
            continue;
        uint64_t earliest = 0;
        for (size_t i = block << BLOCK_SHIFT; i < pending->cap && i < (block + 1) << BLOCK_SHIFT;
             i++) {
            uint64_t position = position_of(pending, &pending->ring[i]);
            uint64_t due = position < pending->tail ? pending->ring[i].due_ns : 0;
            if (due != 0 && (earliest == 0 || due < earliest))
                earliest = due;
        }
        pending->block_due[block] = earliest;
    }
}

PendingEntry *pending_next_due(Pending *pending, uint64_t now_ns, uint64_t *at) {
    uint64_t position = *at > pending->head ? *at : pending->head;
    while (position < pending->tail) {
        uint64_t end = (position | (BLOCK_ENTRIES - 1)) + 1;
        if (end > pending->tail)
            end = pending->tail;
        uint64_t due = *block_of(pending, at_position(pending, position));
        if (due != 0 && due <= now_ns) {
            PendingEntry *entry = scan_block(pending, position, end, now_ns);
            if (entry) {
                *at = position_of(pending, entry);
                return entry;
            }
        }
        position = end;
    }
    settle_bounds(pending, now_ns);
    *at = position;
    return NULL;
}

uint64_t pending_due(const Pending *pending) {
    uint64_t earliest = 0;
    if (pending->count == 0)
        return 0;
    for (size_t block = 0; block < block_count(pending->cap); block++) {
        uint64_t due = pending->block_due[block];
        if (due != 0 && (earliest == 0 || due < earliest))
            earliest = due;
    }
    return earliest;
}

size_t pending_bytes(const Pending *pending) {
    return pending->cap * sizeof *pending->ring +
           block_count(pending->cap) * sizeof *pending->block_due;
}
