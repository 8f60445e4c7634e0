#include "bus/match_cache.h"

#include "base/hash.h"
#include "base/mem.h"

enum {
    WAYS = 4,
    SETS_MIN = 32,
    SETS_MAX = 4096,  /* 16384 entries an account and worker; more subjects than that share them */
    CHEAP_MAX = 1024, /* with more entries, subjects whose match is cheap have none */
    SEEN = 1024,
    REFS_MAX = 1024, /* a subject with more patterns is matched anew each time */
    SUBJECT_MAX = 1024,
};

static Slice entry_subject(const CacheEntry *entry) {
    return slice_from(entry->refs + entry->ref_count, entry->subject_len);
}

static uint8_t shard_of(Slice subject) {
    return (uint8_t)(hash_slice(slice_first(subject, slice_find(subject, '.'))) % CACHE_SHARDS);
}

static CacheSlot *set_of(const MatchCache *cache, uint64_t hash) {
    return cache->slots + (uint32_t)(hash & (cache->set_count - 1)) * WAYS;
}

static CacheSlot *find(const MatchCache *cache, uint64_t hash, Slice subject) {
    if (cache->slots == NULL)
        return NULL;
    CacheSlot *set = set_of(cache, hash);
    uint32_t tag = ref_hash(hash);
    for (int i = 0; i < WAYS; i++)
        if (set[i].hash == tag && set[i].entry && slice_equal(entry_subject(set[i].entry), subject))
            return &set[i];
    return NULL;
}

static bool is_valid(const MatchCache *cache, const CacheEntry *entry) {
    return entry->generation == cache->generations[entry->shard];
}

void match_cache_init(MatchCache *cache) {
    for (int i = 0; i < CACHE_SHARDS; i++)
        cache->generations[i] = 1;
}

void match_cache_done(MatchCache *cache) {
    for (size_t i = 0; cache->slots && i < (size_t)cache->set_count * WAYS; i++)
        mem_free(cache->slots[i].entry);
    mem_free(cache->slots);
    mem_free(cache->seen);
    *cache = (MatchCache){0};
}

const CacheEntry *match_cache_find(const MatchCache *cache, uint64_t hash, Slice subject) {
    CacheSlot *slot = find(cache, hash, subject);
    if (slot == NULL || !is_valid(cache, slot->entry))
        return NULL;
    slot->entry->was_used = true;
    return slot->entry;
}

static CacheSlot *slot_to_use(MatchCache *cache, CacheSlot *set) {
    for (int i = 0; i < WAYS; i++)
        if (set[i].entry == NULL)
            return &set[i];
    for (int i = 0; i < WAYS; i++)
        if (!is_valid(cache, set[i].entry))
            return &set[i];
    for (;;) { /* second chance */
        CacheSlot *slot = &set[cache->hand++ % WAYS];
        if (!slot->entry->was_used) {
            cache->evicted++;
            return slot;
        }
        slot->entry->was_used = false;
    }
}

static void put(MatchCache *cache, CacheSlot *slot, uint32_t tag, CacheEntry *entry) {
    if (slot->entry == NULL)
        cache->entry_count++;
    mem_free(slot->entry);
    *slot = (CacheSlot){tag, entry};
}

/* Too few entries fit: three quarters are taken, or crowded sets push valid ones out. */
static bool is_crowded(const MatchCache *cache) {
    return (cache->entry_count + 1) * 4 > cache->set_count * WAYS * 3 ||
           cache->evicted > cache->set_count;
}

static void grow(MatchCache *cache) {
    MatchCache old = *cache;
    cache->set_count = old.set_count ? old.set_count * 2 : SETS_MIN;
    cache->slots = mem_zalloc((size_t)cache->set_count * WAYS * sizeof *cache->slots);
    cache->entry_count = 0;
    cache->evicted = 0;
    for (size_t i = 0; i < (size_t)old.set_count * WAYS; i++) {
        CacheEntry *entry = old.slots[i].entry;
        if (entry == NULL)
            continue;
        if (!is_valid(cache, entry)) {
            mem_free(entry);
            continue;
        }
        uint64_t hash = hash_slice(entry_subject(entry));
        put(cache, slot_to_use(cache, set_of(cache, hash)), ref_hash(hash), entry);
    }
    mem_free(old.slots);
}

static CacheEntry *entry_new(const MatchCache *cache, uint32_t tag, Slice subject, const Ref *refs,
                             size_t ref_count) {
    CacheEntry *entry = mem_alloc(sizeof *entry + ref_count * sizeof *refs + subject.len);
    entry->shard = shard_of(subject);
    entry->generation = cache->generations[entry->shard];
    entry->hash = tag;
    entry->subject_len = (uint32_t)subject.len;
    entry->ref_count = (uint32_t)ref_count;
    entry->was_used = false;
    if (ref_count)
        memcpy(entry->refs, refs, ref_count * sizeof *refs);
    memcpy(entry->refs + ref_count, subject.ptr, subject.len);
    return entry;
}

/* Whether it was asked for not long ago; from now on it was. Several share a place, or two hot ones
 * would for ever make each other forgotten. */
static bool was_seen(MatchCache *cache, uint64_t hash, uint32_t tag) {
    if (cache->seen == NULL)
        cache->seen = mem_zalloc(SEEN * sizeof *cache->seen);
    uint32_t *seen = &cache->seen[hash % (SEEN / WAYS) * WAYS];
    for (int i = 0; i < WAYS; i++)
        if (seen[i] == tag)
            return true;
    seen[cache->hand++ % WAYS] = tag;
    return false;
}

void match_cache_offer(MatchCache *cache, uint64_t hash, Slice subject, const Ref *refs,
                       size_t ref_count) {
    uint32_t tag = ref_hash(hash);
    if (ref_count > REFS_MAX || subject.len > SUBJECT_MAX)
        return;
    CacheSlot *slot = find(cache, hash, subject);
    if (slot == NULL) {
        if (!was_seen(cache, hash, tag))
            return;
        if (cache->set_count < SETS_MAX && is_crowded(cache))
            grow(cache);
        slot = slot_to_use(cache, set_of(cache, hash));
    } else if (slot->entry->ref_count == ref_count) {
        memcpy(slot->entry->refs, refs, ref_count * sizeof *refs);
        slot->entry->generation = cache->generations[slot->entry->shard];
        return;
    }
    put(cache, slot, tag, entry_new(cache, tag, subject, refs, ref_count));
}

bool match_cache_takes_cheap(const MatchCache *cache) {
    return cache->entry_count < CHEAP_MAX;
}

void match_cache_drop(MatchCache *cache, uint64_t hash, Slice subject) {
    CacheSlot *slot = find(cache, hash, subject);
    if (slot)
        slot->entry->generation = 0;
}

void match_cache_outdate(MatchCache *cache, Slice pattern) {
    Slice first = slice_first(pattern, slice_find(pattern, '.'));
    if (!slice_equal(first, LIT("*")) && !slice_equal(first, LIT(">"))) {
        cache->generations[shard_of(pattern)]++;
        return;
    }
    for (int i = 0; i < CACHE_SHARDS; i++)
        cache->generations[i]++;
}
