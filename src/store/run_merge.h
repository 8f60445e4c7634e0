/* RunMerge: what is under way while a run is written: an older run and what is new become one.
 * Private to store/run_*.c.
 *
 * What nothing happened to is taken over as it stands: subjects without new or removed messages
 * keep their states and chains, their pages the columns, the hash its buckets. */
#pragma once

#include "base/vec.h"
#include "store/run_file.h"

/* The messages of a subject that has new or removed ones, as far as they were met: from the last to
 * the first. */
typedef struct RunChain {
    uint64_t nearest, last, count; /* nearest: the one met last */
} RunChain;

typedef struct RunFresh {
    uint64_t hash;
    uint32_t ordinal;
} RunFresh;

enum { RUN_COMING = 32 };

typedef struct RunMerge {
    const RunInput *in;
    RunFile *out;

    uint32_t base_subjects, subject_count; /* in base, in the new one so far */
    uint32_t dead_count;                   /* subjects of base whose messages all went */
    uint64_t *dead, *touched; /* bits by ordinal of base; NULL: none. touched: some of its messages
                                 went */
    uint32_t *of_base;        /* ordinal of base -> new one, of those that are alive */
    uint64_t *chained;        /* bits by new ordinal: what has a chain */
    uint32_t *chained_before; /* by 64 of them: how many come before */
    RunChain *chains;

    bool is_hash_kept; /* the buckets of base, with what is new in them */
    RunBucket *buckets;
    RunFresh coming[RUN_COMING]; /* will be in them next */
    size_t coming_count;
    VEC(RunFresh) fresh; /* come when the others are there */
    Buf text;            /* the last one written */
    VEC(uint64_t) text_index;

    VEC(RunPage) pages; /* from the last to the first */
    VEC(RunSegment) segments;
    size_t segment_at; /* counted last */
    uint64_t slots_at, message_count;
} RunMerge;

/* run_texts.c: texts, their index and the hash; numbers all subjects. */
void run_merge_texts(RunMerge *merge);
/* What it left; nothing when there is nothing. */
void run_merge_free_hash(RunMerge *merge);
void run_merge_free_of_base(RunMerge *merge);

static inline bool run_bit(const uint64_t *bits, uint32_t i) {
    return bits && bits[i / 64] >> (i % 64) & 1;
}

/* NULL when nothing happened to the subject. */
static inline RunChain *run_chain_of(const RunMerge *merge, uint32_t ordinal) {
    uint64_t word = merge->chained[ordinal / 64];
    if (!(word >> (ordinal % 64) & 1))
        return NULL;
    return &merge->chains[merge->chained_before[ordinal / 64] +
                          run_bits_in(word & ((1ull << (ordinal % 64)) - 1))];
}
