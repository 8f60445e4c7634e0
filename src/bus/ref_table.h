/* RefTable: hash -> Ref, open addressing, 12 bytes a slot. A Ref is a pointer whose low bits say
 * what it points to. The table knows hashes only: callers compare what a Ref points to. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

/* All interest in one subject. */
typedef uintptr_t Ref; /* 0 = none */
enum {
    REF_SUB = 0,    /* one subscription */
    REF_LEAF = 1,   /* several, or from several workers */
    REF_REMOTE = 2, /* one subject and queue on one other worker */
    REF_KIND_MASK = 3,
};

static inline unsigned ref_kind(Ref ref) {
    return (unsigned)(ref & REF_KIND_MASK);
}
static inline Ref ref_make(const void *ptr, unsigned kind) {
    return (uintptr_t)ptr | kind;
}
static inline void *ref_ptr(Ref ref) {
    return (void *)(ref & ~(uintptr_t)REF_KIND_MASK); /* NOLINT(performance-no-int-to-ptr) */
}

typedef struct RefSlot {
    uint32_t hash;   /* 0 = free */
    uint32_t ref[2]; /* a Ref, aligned to 4 only */
} RefSlot;

/* Zero-initialised is empty. Slots are ordered by home, home by hash, so that growing is one
 * sequential pass. */
typedef struct RefTable {
    RefSlot *slots;
    uint32_t len, cap;
} RefTable;

void ref_table_done(RefTable *table);
/* hash is not 0. Does not look whether it is there. */
void ref_table_add(RefTable *table, uint32_t hash, Ref ref);
void ref_table_remove_at(RefTable *table, uint32_t at);

static inline Ref ref_table_get_at(const RefTable *table, uint32_t at) {
    Ref ref;
    memcpy(&ref, table->slots[at].ref, sizeof ref);
    return ref;
}

static inline void ref_table_set_at(RefTable *table, uint32_t at, Ref ref) {
    memcpy(table->slots[at].ref, &ref, sizeof ref);
}

static inline uint32_t ref_table_home(const RefTable *table, uint32_t hash) {
    return (uint32_t)((uint64_t)hash * table->cap >> 32);
}

/* The next slot at or behind *at that has this hash; 0 when there is none. Start with *at =
 * ref_table_home, go on with ref_table_after(*at). */
static inline Ref ref_table_probe(const RefTable *table, uint32_t hash, uint32_t *at) {
    if (table->len == 0)
        return 0;
    for (uint32_t i = *at;; i = i + 1 == table->cap ? 0 : i + 1) {
        if (table->slots[i].hash == hash) {
            *at = i;
            return ref_table_get_at(table, i);
        }
        if (table->slots[i].hash == 0)
            return 0;
    }
}

static inline uint32_t ref_table_after(const RefTable *table, uint32_t at) {
    return at + 1 == table->cap ? 0 : at + 1;
}

static inline uint32_t ref_hash(uint64_t hash) {
    uint32_t high = (uint32_t)(hash >> 32);
    return high ? high : 1;
}
