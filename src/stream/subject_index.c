#include "stream/subject_index.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proto/subject.h"
#include "stream/subject_base.h"
#include "stream/subject_order.h"

enum {
    UNIT = 8,
    CHUNK_BITS = 17, /* units in a chunk: 1 MiB */
    CHUNK_UNITS = 1 << CHUNK_BITS,
    FIRST_CHUNK_UNITS = 64,
    CHUNKS_MAX = 1 << (31 - CHUNK_BITS), /* in use at a time */
    EXACT_UNITS =
        64, /* sizes with a free list of their own; larger ones are rounded to powers of two */
    BUCKET_IDS = 12,
    BUCKET_FULL = 10, /* on average, when the table grows */
    MOVE_STEP = 2,    /* buckets of the old table moved with each insertion */
    INLINE_IDS = 2,
    DEPTH_MAX = 16,
};
#define IN_RING (1u << 31)
/* A count of what was set aside: it was taken over, `at` is what it is called now. */
#define IS_TAKEN UINT32_MAX

/* A token path with something below it: "a.b" when there is a subject "a.b.c". The root has no
 * text. */
typedef struct SubjectNode {
    union {
        uint32_t *list; /* ids of subjects one token longer; cap > 0 */
        uint32_t few[INLINE_IDS];
    };
    uint32_t count, cap;
    uint32_t parent, child, previous, next; /* nodes one token longer, and siblings */
    uint16_t len;
    char token[];
} SubjectNode;

/* What is looked up: a subject, or a node's token under its parent. */
typedef struct IdKey {
    Slice text;
    uint32_t parent; /* 0: a subject */
} IdKey;

/* ---- slab ---- */

static void *slab_at(const SubjectIndex *index, uint32_t id) {
    return index->chunks[id >> CHUNK_BITS] + (size_t)(id & (CHUNK_UNITS - 1)) * UNIT;
}

static uint32_t slab_units(size_t bytes, unsigned *out_list) {
    uint32_t units = (uint32_t)((bytes + UNIT - 1) / UNIT);
    if (units <= EXACT_UNITS) {
        *out_list = units - 1;
        return units;
    }
    uint32_t rounded = 2 * EXACT_UNITS;
    unsigned list = EXACT_UNITS;
    while (rounded < units) {
        rounded *= 2;
        list++;
    }
    *out_list = list;
    return rounded;
}

static bool is_below_chunk(const SubjectIndex *index, uint32_t chunk) {
    const SubjectIndex *below = index->below;
    return below && chunk < below->chunk_count && below->chunks[chunk];
}

/* A number for a new chunk; those of what was set aside are taken too, as ids must differ. */
static uint32_t free_chunk(SubjectIndex *index) {
    uint32_t chunk = 0;
    while ((chunk < index->chunk_count && index->chunks[chunk]) || is_below_chunk(index, chunk))
        chunk++;
    ASSERT(chunk < CHUNKS_MAX); /* 16 GiB of subjects */
    if (chunk >= index->chunk_cap) {
        index->chunk_cap = chunk + chunk / 2 + 1;
        index->chunks = mem_realloc(index->chunks, index->chunk_cap * sizeof *index->chunks);
    }
    for (; index->chunk_count <= chunk; index->chunk_count++)
        index->chunks[index->chunk_count] = NULL;
    return chunk;
}

/* Room for `units` at the end of the last chunk, or a new chunk. The first one begins small and may
 * move. */
static void slab_grow(SubjectIndex *index, uint32_t units) {
    bool is_first = index->chunk_count <= 1 && !index->below;
    uint32_t want = index->units_cap ? index->units_cap : FIRST_CHUNK_UNITS;

    if (is_first && index->units_used + units <= CHUNK_UNITS) {
        if (!index->chunks) {
            index->chunks = mem_alloc(sizeof *index->chunks);
            index->chunks[0] = NULL;
            index->chunk_cap = index->chunk_count = 1;
            index->units_used = 1; /* id 0 is none */
        }
        while (want < index->units_used + units)
            want *= 2;
        index->chunks[0] = mem_realloc(index->chunks[0], (size_t)want * UNIT);
        index->units_cap = want;
        return;
    }
    index->chunk_at = free_chunk(index);
    index->chunks[index->chunk_at] = mem_alloc((size_t)CHUNK_UNITS * UNIT);
    index->units_used = index->chunk_at == 0; /* id 0 is none */
    index->units_cap = CHUNK_UNITS;
}

static uint32_t slab_alloc(SubjectIndex *index, size_t bytes) {
    unsigned list;
    uint32_t units = slab_units(bytes, &list);
    uint32_t id = index->free_lists[list];
    if (id) {
        memcpy(&index->free_lists[list], slab_at(index, id), sizeof id);
        return id;
    }
    if (index->chunk_count == 0 || index->units_used + units > index->units_cap)
        slab_grow(index, units);
    id = index->chunk_at << CHUNK_BITS | index->units_used;
    index->units_used += units;
    return id;
}

static void slab_free(SubjectIndex *index, uint32_t id, size_t bytes) {
    unsigned list;
    slab_units(bytes, &list);
    memcpy(slab_at(index, id), &index->free_lists[list], sizeof id);
    index->free_lists[list] = id;
}

/* ---- hash of ids ---- */

static SubjectNode *node_at(const SubjectIndex *index, uint32_t id) {
    return slab_at(index, id);
}

static IdKey key_of_subject(const SubjectIndex *index, uint32_t id) {
    return (IdKey){subject_entry_text(subject_index_entry(index, id)), 0};
}

static IdKey key_of_node(const SubjectIndex *index, uint32_t id) {
    const SubjectNode *node = node_at(index, id);
    return (IdKey){{node->token, node->len}, node->parent};
}

typedef IdKey KeyOf(const SubjectIndex *index, uint32_t id);

static uint64_t hash_key(IdKey key) {
    uint64_t hash = hash_slice(key.text);
    return key.parent ? hash ^ hash_u64(key.parent) : hash;
}

static bool key_equal(IdKey a, IdKey b) {
    return a.parent == b.parent && slice_equal(a.text, b.text);
}

/* One cache line. An id that found its bucket full lies in a later one, and each it went past
 * counts it. */
typedef struct IdBucket {
    uint8_t tags[BUCKET_IDS]; /* 0 = free */
    uint32_t passed;
    uint32_t ids[BUCKET_IDS];
} IdBucket;
_Static_assert(sizeof(IdBucket) == 64, "a bucket is a cache line");

static uint8_t tag_of(uint64_t hash) {
    uint8_t tag = (uint8_t)(hash >> 56);
    return tag ? tag : 1;
}

static void table_new(IdTable *table, size_t count) {
    *table = (IdTable){.memory = mem_zalloc((count + 1) * sizeof(IdBucket)), .count = count};
    uintptr_t at = (uintptr_t)table->memory;
    table->buckets = (void *)((at + sizeof(IdBucket) - 1) / sizeof(IdBucket) * sizeof(IdBucket));
}

static void table_done(IdTable *table) {
    mem_free(table->memory);
    *table = (IdTable){0};
}

static void table_put(IdTable *table, uint64_t hash, uint32_t id) {
    for (size_t b = hash & (table->count - 1);; b = (b + 1) & (table->count - 1)) {
        IdBucket *bucket = &table->buckets[b];
        for (unsigned i = 0; i < BUCKET_IDS; i++)
            if (!bucket->tags[i]) {
                bucket->tags[i] = tag_of(hash);
                bucket->ids[i] = id;
                return;
            }
        bucket->passed++;
    }
}

/* 0 when there is none; *out_at is the bucket. */
static uint32_t table_find(const IdTable *table, const SubjectIndex *index, KeyOf *key_of,
                           IdKey key, uint64_t hash, size_t *out_at) {
    if (!table->count)
        return 0;
    uint8_t tag = tag_of(hash);
    size_t b = hash & (table->count - 1);
    /* Every bucket may have been passed by ids that are still there: once around is enough. */
    for (size_t n = 0; n < table->count; n++, b = (b + 1) & (table->count - 1)) {
        const IdBucket *bucket = &table->buckets[b];
        for (unsigned i = 0; i < BUCKET_IDS; i++)
            if (bucket->tags[i] == tag && key_equal(key_of(index, bucket->ids[i]), key)) {
                *out_at = b;
                return bucket->ids[i];
            }
        if (!bucket->passed)
            return 0;
    }
    return 0;
}

static void table_remove(IdTable *table, uint64_t hash, size_t at, uint32_t id) {
    for (size_t b = hash & (table->count - 1); b != at; b = (b + 1) & (table->count - 1))
        table->buckets[b].passed--;
    IdBucket *bucket = &table->buckets[at];
    for (unsigned i = 0; i < BUCKET_IDS; i++)
        if (bucket->tags[i] && bucket->ids[i] == id)
            bucket->tags[i] = 0;
}

static void hash_move_some(IdHash *hash, const SubjectIndex *index, KeyOf *key_of, size_t n) {
    IdTable *old = &hash->old;
    for (; n && hash->moved < old->count; n--, hash->moved++) {
        IdBucket *bucket = &old->buckets[hash->moved];
        for (unsigned i = 0; i < BUCKET_IDS; i++) {
            if (!bucket->tags[i])
                continue;
            uint64_t value = hash_key(key_of(index, bucket->ids[i]));
            table_put(&hash->table, value, bucket->ids[i]);
            table_remove(old, value, hash->moved, bucket->ids[i]);
        }
    }
    if (hash->moved == old->count)
        table_done(old);
}

static void hash_grow(IdHash *hash, const SubjectIndex *index, KeyOf *key_of) {
    if (hash->old.count)
        hash_move_some(hash, index, key_of, hash->old.count);
    hash->old = hash->table;
    hash->moved = 0;
    table_new(&hash->table, hash->old.count ? hash->old.count * 2 : 1);
    if (hash->old.count <= 64)
        hash_move_some(hash, index, key_of, hash->old.count);
}

static uint32_t hash_find(const IdHash *hash, const SubjectIndex *index, KeyOf *key_of, IdKey key,
                          uint64_t value) {
    size_t at;
    uint32_t id = table_find(&hash->table, index, key_of, key, value, &at);
    return id || !hash->old.count ? id : table_find(&hash->old, index, key_of, key, value, &at);
}

static void hash_add(IdHash *hash, const SubjectIndex *index, KeyOf *key_of, uint64_t value,
                     uint32_t id) {
    if (hash->len + 1 > hash->table.count * BUCKET_FULL)
        hash_grow(hash, index, key_of);
    if (hash->old.count)
        hash_move_some(hash, index, key_of, MOVE_STEP);
    table_put(&hash->table, value, id);
    hash->len++;
}

static void hash_remove(IdHash *hash, const SubjectIndex *index, KeyOf *key_of, IdKey key) {
    uint64_t value = hash_key(key);
    size_t at;
    IdTable *table = &hash->table;
    uint32_t id = table_find(table, index, key_of, key, value, &at);
    if (!id) {
        table = &hash->old;
        id = table_find(table, index, key_of, key, value, &at);
    }
    ASSERT(id);
    table_remove(table, value, at, id);
    hash->len--;
}

/* ---- trie ---- */

static bool is_below(const SubjectIndex *index, SubjectId id) {
    return index->below && !(id & SUBJECT_OF_RUN) && is_below_chunk(index, id >> CHUNK_BITS);
}

SubjectEntry *subject_index_entry(const SubjectIndex *index, SubjectId id) {
    if (index->below || id & SUBJECT_OF_RUN) {
        id = subject_index_settle(index, id);
        if (id & SUBJECT_OF_RUN)
            return subject_base_copy(index->base, id & ~SUBJECT_OF_RUN);
        if (is_below(index, id))
            return slab_at(index->below, id);
    }
    return slab_at(index, id);
}

static uint32_t *node_list(SubjectNode *node) {
    return node->cap ? node->list : node->few;
}

static size_t list_bytes(uint32_t cap) {
    return cap * sizeof(uint32_t);
}

static void node_list_push(SubjectIndex *index, SubjectNode *node, uint32_t id) {
    if (node->cap == 0 && node->count == INLINE_IDS) {
        uint32_t *list = mem_alloc(list_bytes(2 * INLINE_IDS));
        memcpy(list, node->few, sizeof node->few);
        node->list = list;
        node->cap = 2 * INLINE_IDS;
        index->list_bytes += list_bytes(node->cap);
    } else if (node->cap && node->count == node->cap) {
        uint32_t cap = node->cap + node->cap / 4 + 4;
        node->list = mem_realloc(node->list, list_bytes(cap));
        index->list_bytes += list_bytes(cap - node->cap);
        node->cap = cap;
    }
    subject_index_entry(index, id)->at = node->count;
    node_list(node)[node->count++] = id;
}

static void node_list_remove(SubjectIndex *index, SubjectNode *node, uint32_t at) {
    uint32_t *list = node_list(node);
    uint32_t last = list[--node->count];
    list[at] = last;
    subject_index_entry(index, last)->at = at;
    if (node->cap && node->count <= INLINE_IDS) {
        index->list_bytes -= list_bytes(node->cap);
        memcpy(node->few, list, node->count * sizeof *list);
        mem_free(list);
        node->cap = 0;
    } else if (node->cap > 64 && node->count < node->cap / 4) {
        index->list_bytes -= list_bytes(node->cap - node->cap / 2);
        node->cap /= 2;
        node->list = mem_realloc(node->list, list_bytes(node->cap));
    }
}

static uint32_t node_find(const SubjectIndex *index, uint32_t parent, Slice token) {
    IdKey key = {token, parent};
    return hash_find(&index->nodes, index, key_of_node, key, hash_key(key));
}

static uint32_t node_make(SubjectIndex *index, uint32_t parent, Slice token) {
    uint32_t id = slab_alloc(index, sizeof(SubjectNode) + token.len);
    SubjectNode *node = node_at(index, id);
    *node = (SubjectNode){.parent = parent, .len = (uint16_t)token.len};
    if (token.len)
        memcpy(node->token, token.ptr, token.len);
    if (!parent)
        return id;
    SubjectNode *above = node_at(index, parent);
    node->next = above->child;
    if (above->child)
        node_at(index, above->child)->previous = id;
    above->child = id;
    hash_add(&index->nodes, index, key_of_node, hash_key((IdKey){token, parent}), id);
    return id;
}

/* The node at which the subject hangs, made with what is above it. */
static uint32_t node_get(SubjectIndex *index, Slice subject) {
    Slice token;
    if (!index->root)
        index->root = node_make(index, 0, (Slice){0});
    uint32_t id = index->root;
    for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
        slice_cut(&subject, '.', &token);
        if (subject.ptr == NULL)
            break;
        uint32_t child = node_find(index, id, token);
        id = child ? child : node_make(index, id, token);
    }
    return id;
}

static void node_release(SubjectIndex *index, uint32_t id) {
    for (;;) {
        SubjectNode *node = node_at(index, id);
        if (node->count || node->child || id == index->root)
            return;
        uint32_t parent = node->parent;
        if (node->previous)
            node_at(index, node->previous)->next = node->next;
        else
            node_at(index, parent)->child = node->next;
        if (node->next)
            node_at(index, node->next)->previous = node->previous;
        hash_remove(&index->nodes, index, key_of_node, key_of_node(index, id));
        slab_free(index, id, sizeof *node + node->len);
        id = parent;
    }
}

/* ---- the index ---- */

static void free_lists_of_nodes(SubjectIndex *index, uint32_t id) {
    while (id) {
        SubjectNode *node = node_at(index, id);
        if (node->cap)
            mem_free(node->list);
        if (node->child) {
            id = node->child;
            continue;
        }
        while (id && !node_at(index, id)->next)
            id = node_at(index, id)->parent;
        id = id ? node_at(index, id)->next : 0;
    }
}

void subject_index_done(SubjectIndex *index) {
    subject_order_free(index->order);
    free_lists_of_nodes(index, index->root);
    table_done(&index->subjects.table);
    table_done(&index->subjects.old);
    table_done(&index->nodes.table);
    table_done(&index->nodes.old);
    for (size_t i = 0; i < index->chunk_count; i++)
        mem_free(index->chunks[i]);
    mem_free(index->chunks);
    subject_base_free(index->base);
    if (index->owns_below)
        subject_index_free(index->below);
    vec_done(&index->taken);
    *index = (SubjectIndex){0};
}

void subject_index_free(SubjectIndex *aside) {
    if (!aside)
        return;
    subject_index_done(aside);
    mem_free(aside);
}

/* Only in the base; 0 when there is none, or it was taken over. */
static SubjectId find_in_base(const SubjectIndex *index, Slice subject) {
    uint32_t ordinal;
    if (!index->base || !run_find(index->base->run, subject, &ordinal) ||
        subject_base_is_changed(index->base, ordinal))
        return 0;
    subject_base_found(index->base, ordinal, subject);
    return ordinal | SUBJECT_OF_RUN;
}

/* Whether it counts: it was neither taken over nor emptied. */
static bool is_there_below(const SubjectEntry *entry) {
    return entry->count != 0 && entry->count != IS_TAKEN;
}

/* What is not on the heap. */
static SubjectId find_lower(const SubjectIndex *index, Slice subject, uint64_t hash) {
    const SubjectIndex *below = index->below;
    SubjectId id =
        below ? hash_find(&below->subjects, below, key_of_subject, (IdKey){subject, 0}, hash) : 0;
    if (!id)
        return find_in_base(index, subject);
    return is_there_below(slab_at(below, id)) ? id : 0;
}

SubjectId subject_index_find(SubjectIndex *index, Slice subject) {
    uint64_t hash = hash_slice(subject);
    SubjectId id = hash_find(&index->subjects, index, key_of_subject, (IdKey){subject, 0}, hash);
    return id ? id : find_lower(index, subject, hash);
}

static SubjectId make_entry(SubjectIndex *index, Slice subject) {
    uint32_t parent = node_get(index, subject);
    SubjectId id = slab_alloc(index, offsetof(SubjectEntry, text) + subject.len);
    SubjectEntry *entry = slab_at(index, id);
    entry->first = entry->last = 0;
    entry->count = 0;
    entry->parent = parent;
    entry->len = (uint16_t)subject.len;
    memcpy(entry->text, subject.ptr, subject.len);
    node_list_push(index, node_at(index, parent), id);
    hash_add(&index->subjects, index, key_of_subject, hash_slice(subject), id);
    index->entry_count++;
    if (index->order)
        subject_order_on_added(index->order, id);
    return id;
}

SubjectId subject_index_add(SubjectIndex *index, Slice subject) {
    uint64_t hash = hash_slice(subject);
    SubjectId id = hash_find(&index->subjects, index, key_of_subject, (IdKey){subject, 0}, hash);
    if (id)
        return id;
    id = find_lower(index, subject, hash);
    return id ? subject_index_own(index, id) : make_entry(index, subject);
}

SubjectId subject_index_own(SubjectIndex *index, SubjectId id) {
    id = subject_index_settle(index, id);
    bool is_aside = is_below(index, id);
    if (!is_aside && !(id & SUBJECT_OF_RUN))
        return id;
    if (index->order)
        subject_order_on_removed(index->order, id);
    SubjectEntry *lower =
        is_aside ? slab_at(index->below, id) : subject_base_copy(index->base, id & ~SUBJECT_OF_RUN);
    SubjectId own = make_entry(index, subject_entry_text(lower));
    SubjectEntry *entry = slab_at(index, own);
    entry->first = lower->first;
    entry->last = lower->last;
    entry->count = lower->count;
    if (index->below)
        vec_push(&index->taken, id);
    if (is_aside) {
        lower->count = IS_TAKEN;
        lower->at = own;
    } else {
        subject_base_take(index->base, id & ~SUBJECT_OF_RUN, own);
    }
    return own;
}

SubjectId subject_index_settle(const SubjectIndex *index, SubjectId id) {
    if (id & SUBJECT_OF_RUN) {
        uint32_t ordinal = id & ~SUBJECT_OF_RUN;
        if (!subject_base_is_changed(index->base, ordinal))
            return id;
        id = subject_base_taken(index->base, ordinal);
    }
    if (!is_below(index, id))
        return id;
    const SubjectEntry *entry = slab_at(index->below, id);
    return entry->count == IS_TAKEN ? entry->at : id;
}

/* ---- setting aside ---- */

SubjectIndex *subject_index_set_aside(SubjectIndex *index) {
    ASSERT(!index->below);
    SubjectIndex *aside = mem_alloc(sizeof *aside);
    *aside = *index;
    *index = (SubjectIndex){.base = aside->base, .order = aside->order, .below = aside};
    aside->base = NULL;
    aside->order = NULL;
    return aside;
}

static void forget_below(SubjectIndex *index) {
    index->below = NULL;
    vec_done(&index->taken);
}

void subject_index_let_go(SubjectIndex *index) {
    if (index->base)
        for (size_t i = 0; i < index->base->taken.cap; i++) {
            Map64Slot *slot = &index->base->taken.slots[i];
            if (slot->value)
                slot->value = (void *)(uintptr_t)subject_index_settle(
                    index, (SubjectId)(uintptr_t)slot->value);
        }
    forget_below(index);
}

SubjectBase *subject_index_rebase(SubjectIndex *index, SubjectBase *next) {
    SubjectBase *old = index->base;
    subject_order_free(index->order);
    index->order = NULL;
    index->base = next;
    forget_below(index);
    return old;
}

bool subject_index_take_some_back(SubjectIndex *index, size_t *at, size_t max) {
    const IdHash *hash = &index->below->subjects;
    size_t count = hash->table.count;
    for (; max && *at < count + hash->old.count; max--, ++*at) {
        const IdBucket *bucket =
            *at < count ? &hash->table.buckets[*at] : &hash->old.buckets[*at - count];
        for (unsigned i = 0; i < BUCKET_IDS; i++)
            if (bucket->tags[i] && is_there_below(slab_at(index->below, bucket->ids[i])))
                (void)subject_index_own(index, bucket->ids[i]);
    }
    return *at == count + hash->old.count;
}

bool subject_is_of_run(SubjectId id) {
    return id & SUBJECT_OF_RUN;
}

SubjectId subject_id_of_run(const SubjectIndex *index, uint32_t ordinal) {
    return subject_index_settle(index, ordinal | SUBJECT_OF_RUN);
}

void subject_index_set_base(SubjectIndex *index, const Run *run) {
    ASSERT(!index->base && index->entry_count == 0);
    index->base = subject_base_new(run);
}

static void remove_entry(SubjectIndex *index, SubjectId id) {
    SubjectEntry *entry = subject_index_entry(index, id);
    uint32_t parent = entry->parent & ~IN_RING;
    if (index->order)
        subject_order_on_removed(index->order, id);
    hash_remove(&index->subjects, index, key_of_subject, key_of_subject(index, id));
    node_list_remove(index, node_at(index, parent), entry->at);
    slab_free(index, id, offsetof(SubjectEntry, text) + entry->len);
    index->entry_count--;
    node_release(index, parent);
}

void subject_index_emptied(SubjectIndex *index, SubjectId id) {
    SubjectEntry *entry = subject_index_entry(index, id);
    if (entry->parent & IN_RING)
        return;
    entry->parent |= IN_RING;
    uint32_t *place = &index->ring[index->ring_at++ % SUBJECT_RING];
    SubjectId oldest = *place;
    *place = id;
    if (!oldest)
        return;
    SubjectEntry *old = subject_index_entry(index, oldest);
    old->parent &= ~IN_RING;
    if (old->count == 0)
        remove_entry(index, oldest);
}

size_t subject_index_bytes(const SubjectIndex *index) {
    size_t buckets = index->subjects.table.count + index->subjects.old.count +
                     index->nodes.table.count + index->nodes.old.count;
    size_t units = index->units_cap, below = index->below ? subject_index_bytes(index->below) : 0;
    for (size_t i = 0; i < index->chunk_count; i++)
        units += index->chunks[i] && i != index->chunk_at ? CHUNK_UNITS : 0;
    return buckets * sizeof(IdBucket) + units * UNIT + index->list_bytes + below;
}

static bool are_all_below(const SubjectIndex *index, Slice prefix) {
    uint32_t id = index->root;
    Slice rest = prefix, token;
    for (unsigned depth = 0; id && rest.len; depth++) {
        const SubjectNode *node = node_at(index, id);
        slice_cut(&rest, '.', &token);
        if (depth == DEPTH_MAX || node->count)
            return false;
        id = node->child;
        if (id && (node_at(index, id)->next || !slice_equal(key_of_node(index, id).text, token)))
            return false;
    }
    return true;
}

bool subject_index_is_all_below(const SubjectIndex *index, Slice prefix) {
    if (index->base && !slice_starts_with(buf_slice(&index->base->common), prefix) &&
        run_subject_count(index->base->run))
        return false;
    return are_all_below(index, prefix) && (!index->below || are_all_below(index->below, prefix));
}

const Run *subject_index_run(const SubjectIndex *index) {
    return index->base ? index->base->run : NULL;
}

void subject_index_each_of_run(const SubjectIndex *index,
                               void (*each)(void *cookie, const SubjectId *ids, size_t count),
                               void *cookie) {
    enum { AT_ONCE = 1024 };
    SubjectId ids[AT_ONCE];
    size_t len = 0;
    uint32_t count = index->base ? run_subject_count(index->base->run) : 0;
    for (uint32_t ordinal = 0; ordinal < count; ordinal++) {
        if (subject_base_is_changed(index->base, ordinal))
            continue;
        ids[len++] = ordinal | SUBJECT_OF_RUN;
        if (len == AT_ONCE) {
            each(cookie, ids, len);
            len = 0;
        }
    }
    if (len)
        each(cookie, ids, len);
}

/* Those of a list of what was set aside that count. */
typedef struct EachThere {
    const SubjectIndex *below;
    void (*each)(void *cookie, const SubjectId *ids, size_t count);
    void *cookie;
} EachThere;

static void each_there(void *cookie, const SubjectId *ids, size_t count) {
    const EachThere *there = cookie;
    for (size_t i = 0; i < count; i++)
        if (is_there_below(slab_at(there->below, ids[i])))
            there->each(there->cookie, &ids[i], 1);
}

void subject_index_each_list(const SubjectIndex *index,
                             void (*each)(void *cookie, const SubjectId *ids, size_t count),
                             void *cookie) {
    subject_index_each_of_run(index, each, cookie);
    subject_index_each_of_heap(index, each, cookie);
}

void subject_index_each_of_heap(const SubjectIndex *index,
                                void (*each)(void *cookie, const SubjectId *ids, size_t count),
                                void *cookie) {
    uint32_t id = index->root;
    if (index->below) {
        EachThere there = {index->below, each, cookie};
        subject_index_each_list(index->below, each_there, &there);
    }
    while (id) {
        SubjectNode *node = node_at(index, id);
        if (node->count)
            each(cookie, node_list(node), node->count);
        if (node->child) {
            id = node->child;
            continue;
        }
        while (id && !node_at(index, id)->next)
            id = node_at(index, id)->parent;
        id = id ? node_at(index, id)->next : 0;
    }
}

/* ---- scan ---- */

typedef struct Scan {
    SubjectIndex *index;
    Slice pattern;
    SubjectEach *each;
    void *cookie;
} Scan;

/* Subjects that hang at the node; with is_checked only those that the whole pattern covers. */
static bool scan_list(const Scan *scan, uint32_t id, bool is_checked) {
    SubjectNode *node = node_at(scan->index, id);
    uint32_t *list = node_list(node);
    for (uint32_t i = 0; i < node->count; i++) {
        SubjectEntry *entry = subject_index_entry(scan->index, list[i]);
        if (!is_there_below(entry) ||
            (is_checked && !subject_matches(scan->pattern, subject_entry_text(entry))))
            continue;
        if (!scan->each(scan->cookie, list[i], entry))
            return false;
    }
    return true;
}

static bool scan_below(const Scan *scan, uint32_t top) {
    uint32_t id = top;
    for (;;) {
        if (!scan_list(scan, id, false))
            return false;
        const SubjectNode *node = node_at(scan->index, id);
        if (node->child) {
            id = node->child;
            continue;
        }
        while (id != top && !node_at(scan->index, id)->next)
            id = node_at(scan->index, id)->parent;
        if (id == top)
            return true;
        id = node_at(scan->index, id)->next;
    }
}

static bool scan_literal(const Scan *scan, Slice subject) {
    SubjectId id = subject_index_find(scan->index, subject);
    SubjectEntry *entry = id ? subject_index_entry(scan->index, id) : NULL;
    return !entry || !entry->count || scan->each(scan->cookie, id, entry);
}

/* The subject one token below the node. */
static bool scan_child(const Scan *scan, uint32_t id, Slice token) {
    Slice path[DEPTH_MAX];
    unsigned depth = 0;
    for (; id != scan->index->root; id = node_at(scan->index, id)->parent)
        path[depth++] = key_of_node(scan->index, id).text;
    Buf text = {0};
    while (depth) {
        buf_append(&text, path[--depth]);
        buf_append_char(&text, '.');
    }
    buf_append(&text, token);
    IdKey key = {buf_slice(&text), 0};
    SubjectId found =
        hash_find(&scan->index->subjects, scan->index, key_of_subject, key, hash_slice(key.text));
    buf_done(&text);
    SubjectEntry *entry = found ? slab_at(scan->index, found) : NULL;
    return !entry || !is_there_below(entry) || scan->each(scan->cookie, found, entry);
}

/* Recursion goes as deep as the trie. */
static bool scan_node(const Scan *scan, uint32_t id, unsigned depth, Slice rest) {
    Slice token;
    if (depth == DEPTH_MAX)
        return scan_list(scan, id, true);
    slice_cut(&rest, '.', &token);
    bool is_last = rest.ptr == NULL;
    if (is_last && slice_equal(token, LIT(">")))
        return scan_below(scan, id);
    if (!slice_equal(token, LIT("*"))) {
        if (is_last)
            return scan_child(scan, id, token);
        uint32_t child = node_find(scan->index, id, token);
        return !child || scan_node(scan, child, depth + 1, rest);
    }
    if (is_last)
        return scan_list(scan, id, false);
    for (uint32_t child = node_at(scan->index, id)->child; child;
         child = node_at(scan->index, child)->next)
        if (!scan_node(scan, child, depth + 1, rest))
            return false;
    return true;
}

/* What every subject that pattern covers begins with. */
static Slice leading_literal(Slice pattern) {
    size_t len = 0;
    for (size_t i = 0; i < pattern.len && pattern.ptr[i] != '*' && pattern.ptr[i] != '>'; i++)
        if (pattern.ptr[i] == '.')
            len = i + 1;
    return slice_first(pattern, len);
}

static bool scan_base(const Scan *scan) {
    SubjectBase *base = scan->index->base;
    RunScan run;
    uint32_t ordinal;
    Slice text;
    bool is_all = slice_equal(scan->pattern, LIT(">")), goes_on = true;
    run_scan_begin(&run, base->run, leading_literal(scan->pattern));
    while (goes_on && run_scan_next(&run, &ordinal, &text)) {
        if (subject_base_is_changed(base, ordinal) ||
            (!is_all && !subject_matches(scan->pattern, text)))
            continue;
        goes_on = scan->each(scan->cookie, ordinal | SUBJECT_OF_RUN,
                             subject_base_copy_as(base, ordinal, text));
    }
    run_scan_done(&run);
    return goes_on;
}

bool subject_index_scan(SubjectIndex *index, Slice pattern, SubjectEach *each, void *cookie) {
    Scan scan = {index, pattern, each, cookie};
    if (pattern.len == 0)
        return true;
    if (!subject_has_wildcard(pattern))
        return scan_literal(&scan, pattern);
    if (index->root && !scan_node(&scan, index->root, 0, pattern))
        return false;
    Scan below = {index->below, pattern, each, cookie};
    if (below.index && below.index->root && !scan_node(&below, below.index->root, 0, pattern))
        return false;
    return !index->base || scan_base(&scan);
}
