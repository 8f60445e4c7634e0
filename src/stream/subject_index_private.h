/* What subject_index*.c and subject_walk.c share: the slab that entries and nodes lie in, and the
 * trie's nodes. */
#pragma once

#include "stream/subject_index.h"

enum {
    SLAB_UNIT = 8,
    SLAB_CHUNK_BITS = 17, /* units in a chunk: 1 MiB */
    SLAB_CHUNK_UNITS = 1 << SLAB_CHUNK_BITS,
    NODE_INLINE_IDS = 2,
    NODE_DEPTH_MAX = 16,
};
/* A count of what was set aside: it was taken over, `at` is what it is called now. */
#define SUBJECT_IS_TAKEN UINT32_MAX

/* A token path with something below it: "a.b" when there is a subject "a.b.c". The root has no
 * text. */
typedef struct SubjectNode {
    union {
        uint32_t *list; /* ids of subjects one token longer; cap > 0 */
        uint32_t few[NODE_INLINE_IDS];
    };
    uint32_t count, cap;
    uint32_t parent, child, previous, next; /* nodes one token longer, and siblings */
    uint16_t len;
    char token[];
} SubjectNode;

static inline void *slab_at(const SubjectIndex *index, uint32_t id) {
    return index->chunks[id >> SLAB_CHUNK_BITS] + (size_t)(id & (SLAB_CHUNK_UNITS - 1)) * SLAB_UNIT;
}

static inline SubjectNode *node_at(const SubjectIndex *index, uint32_t id) {
    return slab_at(index, id);
}

static inline uint32_t *node_list(SubjectNode *node) {
    return node->cap ? node->list : node->few;
}

static inline Slice node_token(const SubjectNode *node) {
    return (Slice){node->token, node->len};
}

/* Its count counts: it was neither emptied nor taken over. */
static inline bool is_there_below(const SubjectEntry *entry) {
    return entry->count != 0 && entry->count != SUBJECT_IS_TAKEN;
}

/* subject_slab.c */
uint32_t slab_alloc(SubjectIndex *index, size_t bytes);
void slab_free(SubjectIndex *index, uint32_t id, size_t bytes);
/* Whether what was set aside has a chunk of that number. */
bool slab_is_below(const SubjectIndex *index, uint32_t chunk);
size_t slab_units_held(const SubjectIndex *index);

/* subject_index.c: on the heap alone; 0 when there is none. */
uint32_t subject_index_find_node(const SubjectIndex *index, uint32_t parent, Slice token);
SubjectId subject_index_find_heap(const SubjectIndex *index, Slice subject);
