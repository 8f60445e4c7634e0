#include "stream/subject_index.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "io/io_memory.h"
#include "proto/subject.h"
#include "stream/subject_base.h"
#include "stream/subject_index_private.h"
#include "stream/subject_order.h"

enum {
    BUCKET_IDS = 12,
    BUCKET_FULL = 10, /* on average, when the table grows */
    TABLE_LARGE_BYTES = 2 * 1024 * 1024,
    MOVE_STEP = 2,  /* buckets of the old table moved with each insertion */
    MOVE_AHEAD = 4, /* buckets whose texts are brought near before their turn */
};
#define IN_RING (1u << 31)

/* What is looked up: a subject, or a node's token under its parent. */
typedef struct IdKey {
    Slice text;
    uint32_t parent; /* 0: a subject */
} IdKey;

/* ---- hash of ids ---- */

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

static bool is_table_large(size_t count) {
    return count * sizeof(IdBucket) >= TABLE_LARGE_BYTES;
}

/* A look-up goes anywhere in it: a large one lies in huge pages where there are any. */
static void table_new(IdTable *table, size_t count) {
    if (is_table_large(count)) {
        table->memory = io_memory_new(count * sizeof(IdBucket));
        table->buckets = table->memory;
        table->count = count;
        return;
    }
    *table = (IdTable){.memory = mem_zalloc((count + 1) * sizeof(IdBucket)), .count = count};
    uintptr_t at = (uintptr_t)table->memory;
    table->buckets = (void *)((at + sizeof(IdBucket) - 1) / sizeof(IdBucket) * sizeof(IdBucket));
}

static void table_done(IdTable *table) {
    if (is_table_large(table->count))
        io_memory_free(table->memory, table->count * sizeof(IdBucket));
    else
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

/* Each that is moved is hashed anew: its text will be read. (Inlined in any case: gcc 12 leaves out
 * a call of what does nothing but this.) */
__attribute__((always_inline)) static inline void soon_moved(const IdTable *old, size_t at,
                                                             const SubjectIndex *index) {
    if (at + 2 * MOVE_AHEAD < old->count)
        __builtin_prefetch(&old->buckets[at + 2 * MOVE_AHEAD]);
    if (at + MOVE_AHEAD >= old->count)
        return;
    const IdBucket *bucket = &old->buckets[at + MOVE_AHEAD];
    for (unsigned i = 0; i < BUCKET_IDS; i++)
        if (bucket->tags[i])
            __builtin_prefetch((const char *)slab_at(index, bucket->ids[i]) +
                               offsetof(SubjectEntry, text));
}

static void hash_move_some(IdHash *hash, const SubjectIndex *index, KeyOf *key_of, size_t n) {
    IdTable *old = &hash->old;
    for (; n && hash->moved < old->count; n--, hash->moved++) {
        IdBucket *bucket = &old->buckets[hash->moved];
        soon_moved(old, hash->moved, index);
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
    return index->below && !(id & SUBJECT_OF_RUN) && slab_is_below(index, id >> SLAB_CHUNK_BITS);
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

static size_t list_bytes(uint32_t cap) {
    return cap * sizeof(uint32_t);
}

static void node_list_push(SubjectIndex *index, SubjectNode *node, uint32_t id) {
    if (node->cap == 0 && node->count == NODE_INLINE_IDS) {
        uint32_t *list = mem_alloc(list_bytes(2 * NODE_INLINE_IDS));
        memcpy(list, node->few, sizeof node->few);
        node->list = list;
        node->cap = 2 * NODE_INLINE_IDS;
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
    if (node->cap && node->count <= NODE_INLINE_IDS) {
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

uint32_t subject_index_find_node(const SubjectIndex *index, uint32_t parent, Slice token) {
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
    const char *dot = memrchr(subject.ptr, '.', subject.len);
    size_t prefix = dot ? (size_t)(dot - subject.ptr) + 1 : 0;
    if (index->made && index->made_prefix == prefix) {
        const SubjectEntry *made = slab_at(index, index->made);
        if (memcmp(made->text, subject.ptr, prefix) == 0)
            return made->parent & ~IN_RING;
    }
    index->made_prefix = (uint32_t)prefix;
    if (!index->root)
        index->root = node_make(index, 0, (Slice){0});
    uint32_t id = index->root;
    for (unsigned depth = 0; depth < NODE_DEPTH_MAX; depth++) {
        slice_cut(&subject, '.', &token);
        if (subject.ptr == NULL)
            break;
        uint32_t child = subject_index_find_node(index, id, token);
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

/* What is not on the heap. */
static SubjectId find_lower(const SubjectIndex *index, Slice subject, uint64_t hash) {
    const SubjectIndex *below = index->below;
    SubjectId id =
        below ? hash_find(&below->subjects, below, key_of_subject, (IdKey){subject, 0}, hash) : 0;
    if (!id)
        return find_in_base(index, subject);
    return is_there_below(slab_at(below, id)) ? id : 0;
}

SubjectId subject_index_find_heap(const SubjectIndex *index, Slice subject) {
    IdKey key = {subject, 0};
    return hash_find(&index->subjects, index, key_of_subject, key, hash_slice(subject));
}

SubjectId subject_index_find_hashed(const SubjectIndex *index, Slice subject, uint64_t hash) {
    return hash_find(&index->subjects, index, key_of_subject, (IdKey){subject, 0}, hash);
}

static const IdBucket *bucket_of(const SubjectIndex *index, uint64_t hash) {
    const IdTable *table = &index->subjects.table;
    return table->count ? &table->buckets[hash & (table->count - 1)] : NULL;
}

void subject_index_prefetch(const SubjectIndex *index, uint64_t hash) {
    __builtin_prefetch(bucket_of(index, hash));
}

void subject_index_prefetch_entry(const SubjectIndex *index, uint64_t hash) {
    const IdBucket *bucket = bucket_of(index, hash);
    uint8_t tag = tag_of(hash);
    for (unsigned i = 0; bucket && i < BUCKET_IDS; i++)
        if (bucket->tags[i] == tag && !index->below) {
            const char *entry = slab_at(index, bucket->ids[i]);
            __builtin_prefetch(entry);
            __builtin_prefetch(entry + 32); /* its text, should that begin a line */
            return;
        }
}

SubjectId subject_index_find(SubjectIndex *index, Slice subject) {
    uint64_t hash = hash_slice(subject);
    SubjectId id = hash_find(&index->subjects, index, key_of_subject, (IdKey){subject, 0}, hash);
    return id ? id : find_lower(index, subject, hash);
}

/* Where an id of that hash most probably lies. */
static const IdBucket *table_bucket(const IdTable *table, uint64_t hash) {
    return &table->buckets[hash & (table->count - 1)];
}

__attribute__((always_inline)) static inline void table_soon(const IdTable *table, uint64_t hash) {
    if (table->count)
        __builtin_prefetch(table_bucket(table, hash), 1);
}

/* True when something is found there. */
static bool table_soon_entry(const IdTable *table, const SubjectIndex *index, uint64_t hash) {
    if (!table->count)
        return false;
    const IdBucket *bucket = table_bucket(table, hash);
    uint8_t tag = tag_of(hash);
    for (unsigned i = 0; i < BUCKET_IDS; i++)
        if (bucket->tags[i] == tag) {
            const char *entry = slab_at(index, bucket->ids[i]);
            __builtin_prefetch(entry, 1);
            __builtin_prefetch(entry + offsetof(SubjectEntry, text));
            return true;
        }
    return false;
}

void subject_index_soon(const SubjectIndex *index, Slice subject, unsigned step) {
    uint64_t hash = hash_slice(subject);
    if (step == 0) {
        table_soon(&index->subjects.table, hash);
        table_soon(&index->subjects.old, hash);
        if (index->base)
            run_soon(index->base->run, subject, step);
        return;
    }
    bool is_found = table_soon_entry(&index->subjects.table, index, hash) ||
                    table_soon_entry(&index->subjects.old, index, hash);
    if (!is_found && index->base)
        run_soon(index->base->run, subject, step);
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
    index->made = id;
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
        lower->count = SUBJECT_IS_TAKEN;
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
    return entry->count == SUBJECT_IS_TAKEN ? entry->at : id;
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
    if (index->made == id)
        index->made = 0;
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
    size_t units = slab_units_held(index);
    size_t below = index->below ? subject_index_bytes(index->below) : 0;
    return buckets * sizeof(IdBucket) + units * SLAB_UNIT + index->list_bytes + below;
}
