/* Interest: which subscriptions, of this worker and of others, cover a subject of one account.
 *
 * Literal subjects are in a hash, patterns in a trie of tokens whose edges are in one hash, so a
 * level costs one probe. A subject that has one subscription costs the subscription and a slot; a
 * second one makes a Leaf. A Leaf that changes inside does not outdate the cache. While a fan-out
 * runs (Busy), what it may still look at stays in memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "bus/leaf.h"
#include "bus/match_cache.h"

typedef struct Interest Interest;

/* Shared by all accounts of a worker. */
typedef struct Busy {
    unsigned depth; /* fan-outs running inside each other */
    VEC(void *) dead;
    VEC(Leaf *) dirty;
    VEC(Interest *) dirty_in; /* parallel to dirty */
} Busy;

typedef struct TrieNode TrieNode;
struct TrieNode {
    TrieNode *parent;
    TrieNode *star;
    Ref here;          /* the pattern that ends here */
    Ref tail;          /* this and ">" */
    uint32_t children; /* edges out of here, star not counted */
    uint32_t hash;     /* of the edge that leads here; of a star, made from its parent's */
    bool is_star;
    uint16_t token_len;
    char token[];
};

/* Of a subject that was asked for twice in a row, what covers it: as long as one inbox, one deliver
 * subject gets many messages, it is not hashed and looked up for each. Any change ends it. */
enum { LAST_SUBJECT_MAX = 64, LAST_REFS_MAX = 4 };
typedef struct LastMatch {
    uint32_t seen;        /* hash of the subject that was asked for last */
    uint16_t subject_len; /* 0 = nothing is known */
    uint16_t ref_count;
    Ref refs[LAST_REFS_MAX];
    char subject[LAST_SUBJECT_MAX];
} LastMatch;

struct Interest {
    Busy *busy;
    RefTable literals;
    RefTable edges; /* Ref is a TrieNode */
    TrieNode *root;
    size_t pattern_count;
    MatchCache cache;
    LastMatch last;
    uint64_t matches, cache_hits;
};

/* What covers a subject. */
enum { MATCHED_AT_HAND = 14 };
typedef struct Matched {
    Ref *at;
    size_t len, cap;
    Ref own[MATCHED_AT_HAND];
} Matched;

void interest_init(Interest *interest, Busy *busy);
/* Frees subscriptions that are left, too. */
void interest_done(Interest *interest);

void interest_add(Interest *interest, Sub *sub);
/* Frees sub, at once or when the fan-out is over. */
void interest_remove(Interest *interest, Sub *sub);
/* Not while busy. */
void interest_change_remote(Interest *interest, Slice subject, Slice queue, unsigned worker,
                            int64_t delta);

/* Refs stay good while busy->depth > 0, or until interest changes. matched_done afterwards. */
void interest_match(Interest *interest, Slice literal, Matched *out);
static inline void matched_done(Matched *matched) {
    if (matched->at != matched->own)
        mem_free(matched->at);
}

/* The interest in exactly this subject or pattern; 0 when there is none. */
Ref interest_exact(Interest *interest, Slice subject);
/* The same as a count: own ones and other workers'. queue empty = plain ones only. */
uint64_t interest_count(Interest *interest, Slice subject, Slice queue);
/* Of the group of that name on other servers. */
uint64_t interest_count_far(Interest *interest, Slice subject, Slice name);

void interest_each(Interest *interest, void (*each)(void *cookie, Sub *sub), void *cookie);
/* Each subject and queue once, with interest_count. */
void interest_each_count(Interest *interest,
                         void (*each)(void *cookie, Slice subject, Slice queue, uint64_t count),
                         void *cookie);
void ref_each_sub(Ref ref, void (*each)(void *cookie, Sub *sub), void *cookie);

/* When depth is back at 0. */
void busy_settle(Busy *busy);
static inline bool busy_has_work(const Busy *busy) {
    return busy->dead.len > 0 || busy->dirty.len > 0;
}
void busy_done(Busy *busy);
