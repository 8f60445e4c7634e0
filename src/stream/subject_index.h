/* SubjectIndex: the subjects of a stream's live messages: subject -> {count, first, last}.
 *
 * Look-up is a hash table of ids in buckets of a cache line, with one byte of hash each (6 to 11
 * bytes a subject; it grows step by step, never all at once). An id is the place of the entry in a
 * slab of 8-byte units, so there is no table of pointers. Beside it stands a trie of the subjects'
 * tokens whose nodes hold only tokens that have something below them: a node lists the ids of the
 * subjects one token longer. So a scan of "a.b.>" touches what is below "a.b" and nothing else, and
 * a stream of ten million subjects below one prefix pays 4 to 5 bytes each for it (an ordered tree
 * over whole texts would cost 10 to 20 and be slower to look up).
 *
 * Below it there may be a base: the subjects of a run (store/run.h). Their ids have the highest bit
 * set, their entries are given as copies; a subject that is to change is taken over to the heap
 * first (subject_index_own), where its entry counts from then on.
 *
 * What is on the heap can be set aside, to be written to a new run by another thread while the
 * index goes on: its ids stay good, but like a subject of the run one that is to change is taken
 * over first. In the end the new run takes the place of both.
 *
 * An entry whose count fell to 0 stays for a moment (a ring of few), as a subject that is emptied
 * is often filled again. Pointers to entries are good until the next subject_index_add. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/vec.h"

typedef uint32_t SubjectId; /* 0 = none */

typedef struct SubjectEntry {
    uint64_t first, last; /* live sequences; kept by the caller, meaningless when count is 0 */
    uint32_t count;       /* kept by the caller: tell subject_index_emptied when it falls to 0 */
    uint32_t parent;      /* private: node, and whether it waits in the ring */
    uint32_t at;          /* private: place in the node's list */
    uint16_t len;
    char text[];
} SubjectEntry;

typedef struct IdTable { /* private */
    void *memory;
    struct IdBucket *buckets;
    size_t count; /* a power of two, or 0 */
} IdTable;

typedef struct IdHash { /* private */
    IdTable table, old; /* old is being moved over */
    size_t moved, len;  /* buckets of old; ids in both */
} IdHash;

typedef struct SubjectBase SubjectBase;
struct Run;

enum { SUBJECT_FREE_LISTS = 64 + 9, SUBJECT_RING = 16 };

typedef VEC(SubjectId) SubjectIdList;

/* Zero-initialised is empty. */
typedef struct SubjectIndex {
    IdHash subjects, nodes;
    char **chunks;
    size_t chunk_count, chunk_cap;
    uint32_t chunk_at;              /* the one that is filled */
    uint32_t units_used, units_cap; /* of it */
    uint32_t free_lists[SUBJECT_FREE_LISTS];
    uint32_t root;
    uint32_t made, made_prefix; /* the newest entry, 0 = none, and what its text has before its last
                                   token: the next one is often its neighbour */
    uint32_t ring[SUBJECT_RING];
    unsigned ring_at;
    uint64_t entry_count; /* with those in the ring */
    size_t list_bytes;
    struct SubjectOrder *order; /* subject_order.h; NULL = nobody asked for it */
    SubjectBase *base;          /* owned; NULL = none */
    struct SubjectIndex *below; /* NULL, or what was set aside (subject_index_set_aside) */
    bool owns_below;
    SubjectIdList taken; /* what was in base or below and changed since: ids it had there */
} SubjectIndex;

void subject_index_done(SubjectIndex *index);

/* 0 when there is none (an emptied one may still be found, with count 0). */
SubjectId subject_index_find(SubjectIndex *index, Slice subject);
/* The same on the heap alone, hash being hash_slice(subject). Never touches a mapped run. */
SubjectId subject_index_find_hashed(const SubjectIndex *index, Slice subject, uint64_t hash);

/* That will be asked for: begin to bring the way to it into the processor's caches; first one, some
 * time later the other. */
void subject_index_prefetch(const SubjectIndex *index, uint64_t hash);
void subject_index_prefetch_entry(const SubjectIndex *index, uint64_t hash);

/* subject will be looked for soon: brings its buckets near (step 0), or, some time later, what they
 * lead to (step 1). Changes nothing. */
void subject_index_soon(const SubjectIndex *index, Slice subject, unsigned step);

/* Finds or makes it, with count 0: the caller adds to it at once. subject is at most 65535 bytes.
 */
SubjectId subject_index_add(SubjectIndex *index, Slice subject);

/* Its count fell to 0. */
void subject_index_emptied(SubjectIndex *index, SubjectId id);

/* Of a subject that is only in the base: a copy, good until 96 more were asked for. */
SubjectEntry *subject_index_entry(const SubjectIndex *index, SubjectId id);

/* An empty index over the subjects of run, which outlives it. */
void subject_index_set_base(SubjectIndex *index, const struct Run *run);
/* All subjects of the heap are set aside; there is nothing else that was. The result is the
 * caller's: it lasts until subject_index_rebase or subject_index_let_go, or the index is done; then
 * it is freed by subject_index_free. Meanwhile another thread may read its texts, and use the
 * numbers beside them. */
SubjectIndex *subject_index_set_aside(SubjectIndex *index);
/* What was set aside, and the base, go; next takes their place and is the index's. Every subject
 * that was taken over stands in next as taken. Returns the old base, NULL if there was none. */
SubjectBase *subject_index_rebase(SubjectIndex *index, SubjectBase *next);
/* Takes over some of what was set aside, from *at on. True when that is all: then ids that slots
 * have are to be settled, and subject_index_let_go makes the index forget it. */
bool subject_index_take_some_back(SubjectIndex *index, size_t *at, size_t max);
void subject_index_let_go(SubjectIndex *index);
/* NULL-safe. Of what was set aside; any thread. */
void subject_index_free(SubjectIndex *aside);
/* A number that belongs to the caller who set the subjects aside. */
static inline uint32_t *subject_entry_number(SubjectEntry *entry) {
    return &entry->parent;
}

/* The id under which the subject can be changed. id as given by find or a slot. */
SubjectId subject_index_own(SubjectIndex *index, SubjectId id);
/* What an id that was given earlier is now: a subject may have been taken over since. */
SubjectId subject_index_settle(const SubjectIndex *index, SubjectId id);
/* It is known from the run alone: asking for its text costs more than for others. */
bool subject_is_of_run(SubjectId id);
/* The n-th subject of the run. */
SubjectId subject_id_of_run(const SubjectIndex *index, uint32_t ordinal);
static inline Slice subject_entry_text(const SubjectEntry *entry) {
    return (Slice){entry->text, entry->len};
}

/* Calls each for every subject with count > 0 that pattern covers, in no order, until it says
 * false; then false. Nothing may be added or emptied meanwhile. O(what is below the pattern's
 * leading literal tokens). */
typedef bool SubjectEach(void *cookie, SubjectId id, SubjectEntry *entry);
bool subject_index_scan(SubjectIndex *index, Slice pattern, SubjectEach *each, void *cookie);

/* True when every subject begins with prefix, which ends with a dot. False may be wrong. O(tokens).
 */
bool subject_index_is_all_below(const SubjectIndex *index, Slice prefix);

/* The ids of all subjects (count 0 too), list by list. O(nodes). */
void subject_index_each_list(const SubjectIndex *index,
                             void (*each)(void *cookie, const SubjectId *ids, size_t count),
                             void *cookie);

/* The two halves of that: those that are known from the run alone, the others. */
void subject_index_each_of_run(const SubjectIndex *index,
                               void (*each)(void *cookie, const SubjectId *ids, size_t count),
                               void *cookie);
void subject_index_each_of_heap(const SubjectIndex *index,
                                void (*each)(void *cookie, const SubjectId *ids, size_t count),
                                void *cookie);

/* The run it stands on; NULL = none. */
const struct Run *subject_index_run(const SubjectIndex *index);

/* Memory it holds. */
size_t subject_index_bytes(const SubjectIndex *index);
