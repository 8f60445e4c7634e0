/* MatchCache: literal subject -> what covers it. Bounded. A subject is admitted when it was seen
 * before, not long ago, so that one-time inboxes do not push out what is used. Entries are
 * refreshed when they are asked for, never eagerly: each first token has a generation, which a new
 * or lost wildcard pattern below it raises. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/ref_table.h"

enum { CACHE_SHARDS = 64 };

typedef struct CacheEntry {
    uint64_t generation; /* 0 = never valid */
    uint32_t hash, subject_len, ref_count;
    uint8_t shard;
    bool was_used;
    Ref refs[]; /* then the subject */
} CacheEntry;

typedef struct CacheSlot {
    uint32_t hash;
    CacheEntry *entry; /* NULL = free */
} CacheSlot;

typedef struct MatchCache {
    CacheSlot *slots; /* sets of CACHE_WAYS */
    uint32_t *seen;   /* hashes of subjects asked for once */
    uint32_t set_count, entry_count, hand;
    uint32_t evicted; /* valid ones, since it last grew */
    uint64_t generations[CACHE_SHARDS];
} MatchCache;

/* Set-up of a zeroed one. */
void match_cache_init(MatchCache *cache);
void match_cache_done(MatchCache *cache);

/* NULL when it is not there or outdated. Refs are borrowed until the cache is called again. */
const CacheEntry *match_cache_find(const MatchCache *cache, uint64_t hash, Slice subject);

/* After a miss. Keeps a copy if the subject deserves it. */
void match_cache_offer(MatchCache *cache, uint64_t hash, Slice subject, const Ref *refs,
                       size_t ref_count);

/* Whether subjects that are matched quickly without the cache deserve it: while it is small. */
bool match_cache_takes_cheap(const MatchCache *cache);

/* This very subject's interest changed. */
void match_cache_drop(MatchCache *cache, uint64_t hash, Slice subject);

/* A wildcard pattern came or went. O(1), or O(shards) when it begins with a wildcard. */
void match_cache_outdate(MatchCache *cache, Slice pattern);
