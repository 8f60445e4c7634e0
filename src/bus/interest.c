#include "bus/interest.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proto/subject.h"

/* A walk over so few nodes, which many subjects share (below a bucket's prefix, the API's), costs
 * less than an entry of the cache that is not in the processor's. */
enum { WALK_CHEAP_NODES = 4 };

/* Where the Ref of a subject is, or would be. */
typedef struct Place {
    TrieNode *node; /* NULL = in literals */
    bool is_tail;
    bool is_there;
    uint32_t at;   /* in literals */
    uint64_t hash; /* of a literal */
} Place;

static Place find_place(Interest *interest, Slice subject, bool make);
static Ref get(const Interest *interest, const Place *place);
static void put(Interest *interest, const Place *place, Slice subject, Ref ref);
static unsigned walk(const Interest *interest, Slice subject, Matched *out);
static void drop_leaf_if_empty(Interest *interest, Leaf *leaf);

void interest_init(Interest *interest, Busy *busy) {
    *interest = (Interest){.busy = busy, .root = mem_zalloc(sizeof *interest->root)};
    match_cache_init(&interest->cache);
}

static void free_sub(void *cookie, Sub *sub) {
    (void)cookie;
    mem_free(sub);
}

static void free_ref(Ref ref) {
    ref_each_sub(ref, free_sub, NULL);
    if (ref_kind(ref) == REF_LEAF)
        leaf_free(ref_ptr(ref));
    else if (ref_kind(ref) == REF_REMOTE)
        mem_free(ref_ptr(ref));
}

static void free_nodes(TrieNode *node) {
    while (node) {
        TrieNode *star = node->star;
        free_ref(node->here);
        free_ref(node->tail);
        mem_free(node);
        node = star;
    }
}

void interest_done(Interest *interest) {
    for (uint32_t i = 0; i < interest->literals.cap; i++)
        if (interest->literals.slots[i].hash)
            free_ref(ref_table_get_at(&interest->literals, i));
    for (uint32_t i = 0; i < interest->edges.cap; i++)
        if (interest->edges.slots[i].hash)
            free_nodes(ref_ptr(ref_table_get_at(&interest->edges, i)));
    free_nodes(interest->root);
    ref_table_done(&interest->literals);
    ref_table_done(&interest->edges);
    match_cache_done(&interest->cache);
}

/* Makes a Leaf of what was the only interest in its subject. */
static Leaf *make_leaf(Slice subject, Ref old) {
    Leaf *leaf = leaf_new(subject);
    if (ref_kind(old) == REF_SUB) {
        leaf_add_sub(leaf, ref_ptr(old));
    } else {
        Remote *remote = ref_ptr(old);
        leaf_change_remote(leaf, remote_queue(remote), remote->worker, remote->count);
        mem_free(remote);
    }
    return leaf;
}

void interest_add(Interest *interest, Sub *sub) {
    Slice subject = sub_subject(sub);
    Place place = find_place(interest, subject, true);
    Ref ref = get(interest, &place);

    sub->set = NULL;
    if (ref == 0) {
        put(interest, &place, subject, ref_make(sub, REF_SUB));
        return;
    }
    if (ref_kind(ref) == REF_LEAF) {
        leaf_add_sub(ref_ptr(ref), sub);
        return;
    }
    Remote *remote = ref_kind(ref) == REF_REMOTE ? ref_ptr(ref) : NULL;
    if (remote && interest->busy->depth) { /* a fan-out may still look at it */
        Leaf *leaf = leaf_new(subject);
        leaf_change_remote(leaf, remote_queue(remote), remote->worker, remote->count);
        vec_push(&interest->busy->dead, remote);
        leaf_add_sub(leaf, sub);
        put(interest, &place, subject, ref_make(leaf, REF_LEAF));
        return;
    }
    Leaf *leaf = make_leaf(subject, ref);
    leaf_add_sub(leaf, sub);
    put(interest, &place, subject, ref_make(leaf, REF_LEAF));
}

static void free_later(Busy *busy, void *ptr) {
    if (busy->depth)
        vec_push(&busy->dead, ptr);
    else
        mem_free(ptr);
}

void interest_remove(Interest *interest, Sub *sub) {
    Busy *busy = interest->busy;

    sub->flags |= SUB_GONE;
    if (sub->set == NULL) {
        Place place = find_place(interest, sub_subject(sub), false);
        ASSERT(get(interest, &place) == ref_make(sub, REF_SUB));
        put(interest, &place, sub_subject(sub), 0);
    } else {
        Leaf *leaf = sub_leaf(sub);
        leaf_remove_sub(leaf, sub, busy->depth > 0);
        if (busy->depth == 0) {
            drop_leaf_if_empty(interest, leaf);
        } else if (!leaf->is_dirty) {
            leaf->is_dirty = true;
            vec_push(&busy->dirty, leaf);
            vec_push(&busy->dirty_in, interest);
        }
    }
    free_later(busy, sub);
}

static void drop_leaf_if_empty(Interest *interest, Leaf *leaf) {
    if (!leaf_is_empty(leaf))
        return;
    Place place = find_place(interest, leaf_subject(leaf), false);
    ASSERT(get(interest, &place) == ref_make(leaf, REF_LEAF));
    put(interest, &place, leaf_subject(leaf), 0);
    leaf_free(leaf);
}

void interest_change_remote(Interest *interest, Slice subject, Slice queue, unsigned worker,
                            int64_t delta) {
    ASSERT(interest->busy->depth == 0);
    Place place = find_place(interest, subject, delta > 0);
    Ref ref = get(interest, &place);

    if (ref == 0) {
        if (delta > 0)
            put(interest, &place, subject,
                ref_make(remote_new(subject, queue, worker, (uint32_t)delta), REF_REMOTE));
        return;
    }
    if (ref_kind(ref) == REF_REMOTE) {
        Remote *remote = ref_ptr(ref);
        if (remote->worker == worker && slice_equal(remote_queue(remote), queue)) {
            int64_t count = remote->count + delta;
            if (count > 0) {
                remote->count = (uint32_t)count;
                return;
            }
            put(interest, &place, subject, 0);
            mem_free(remote);
            return;
        }
    }
    Leaf *leaf = ref_kind(ref) == REF_LEAF ? ref_ptr(ref) : NULL;
    if (leaf == NULL) {
        if (delta <= 0)
            return;
        leaf = make_leaf(subject, ref);
        put(interest, &place, subject, ref_make(leaf, REF_LEAF));
    }
    leaf_change_remote(leaf, queue, worker, delta);
    drop_leaf_if_empty(interest, leaf);
}

static void matched_push_slow(Matched *matched, Ref ref) {
    size_t cap = matched->cap * 4;
    Ref *at = mem_alloc(cap * sizeof *at);
    memcpy(at, matched->at, matched->len * sizeof *at);
    matched_done(matched);
    matched->at = at;
    matched->cap = cap;
    matched->at[matched->len++] = ref;
}

static inline void matched_push(Matched *matched, Ref ref) {
    if (__builtin_expect(matched->len == matched->cap, 0))
        matched_push_slow(matched, ref);
    else
        matched->at[matched->len++] = ref;
}

static Ref find_literal(const Interest *interest, uint64_t hash, Slice subject, uint32_t *out_at) {
    uint32_t tag = ref_hash(hash), at = ref_table_home(&interest->literals, tag);
    for (Ref ref; (ref = ref_table_probe(&interest->literals, tag, &at)) != 0;
         at = ref_table_after(&interest->literals, at)) {
        if (slice_equal(ref_subject(ref), subject)) {
            *out_at = at;
            return ref;
        }
    }
    return 0;
}

static void match_hashed(Interest *interest, uint64_t hash, Slice literal, Matched *out) {
    uint32_t at;
    if (interest->pattern_count == 0) {
        interest->cache_hits++;
        Ref ref = find_literal(interest, hash, literal, &at);
        if (ref)
            matched_push(out, ref);
        return;
    }
    const CacheEntry *entry = match_cache_find(&interest->cache, hash, literal);
    if (entry) {
        interest->cache_hits++;
        for (uint32_t i = 0; i < entry->ref_count; i++)
            matched_push(out, entry->refs[i]);
        return;
    }
    Ref ref = find_literal(interest, hash, literal, &at);
    if (ref)
        matched_push(out, ref);
    bool is_cheap = walk(interest, literal, out) <= WALK_CHEAP_NODES;
    if (!is_cheap || match_cache_takes_cheap(&interest->cache))
        match_cache_offer(&interest->cache, hash, literal, out->at, out->len);
}

static bool match_last(const LastMatch *last, Slice literal, Matched *out) {
    if (last->subject_len != literal.len || literal.len == 0 ||
        memcmp(last->subject, literal.ptr, literal.len) != 0)
        return false;
    for (unsigned i = 0; i < last->ref_count; i++)
        out->own[i] = last->refs[i];
    out->len = last->ref_count;
    return true;
}

static void remember(LastMatch *last, uint32_t hash, Slice literal, const Matched *matched) {
    if (last->seen != hash) {
        last->seen = hash;
        return;
    }
    if (literal.len > LAST_SUBJECT_MAX || matched->len > LAST_REFS_MAX)
        return;
    last->subject_len = (uint16_t)literal.len;
    last->ref_count = (uint16_t)matched->len;
    if (literal.len)
        memcpy(last->subject, literal.ptr, literal.len);
    for (size_t i = 0; i < matched->len; i++)
        last->refs[i] = matched->at[i];
}

void interest_match(Interest *interest, Slice literal, Matched *out) {
    out->at = out->own;
    out->len = 0;
    out->cap = MATCHED_AT_HAND;
    interest->matches++;
    if (match_last(&interest->last, literal, out)) {
        interest->cache_hits++;
        return;
    }
    uint64_t hash = hash_slice(literal);
    match_hashed(interest, hash, literal, out);
    remember(&interest->last, ref_hash(hash), literal, out);
}

Ref interest_exact(Interest *interest, Slice subject) {
    Place place = find_place(interest, subject, false);
    return get(interest, &place);
}

uint64_t interest_count(Interest *interest, Slice subject, Slice queue) {
    Ref ref = interest_exact(interest, subject);
    if (ref == 0)
        return 0;
    if (ref_kind(ref) == REF_SUB)
        return slice_equal(sub_queue(ref_ptr(ref)), queue);
    if (ref_kind(ref) == REF_REMOTE) {
        const Remote *remote = ref_ptr(ref);
        return slice_equal(remote_queue(remote), queue) ? remote->count : 0;
    }
    const Leaf *leaf = ref_ptr(ref);
    if (queue.len == 0)
        return (uint64_t)sub_set_count(&leaf->plain) + leaf->remote.total;
    const Group *group = leaf_find_group(leaf, queue);
    return group ? (uint64_t)sub_set_count(&group->members) + group->remote.total : 0;
}

uint64_t interest_count_far(Interest *interest, Slice subject, Slice name) {
    Buf queue = {0};
    buf_append_char(&queue, SUB_FAR_MARK);
    buf_append(&queue, name);
    uint64_t count = interest_count(interest, subject, buf_slice(&queue));
    buf_done(&queue);
    return count;
}

static void each_in_set(const SubSet *set, void (*each)(void *cookie, Sub *sub), void *cookie) {
    for (uint32_t i = 0; i < set->len; i++)
        if (set->at[i])
            each(cookie, set->at[i]);
}

void ref_each_sub(Ref ref, void (*each)(void *cookie, Sub *sub), void *cookie) {
    if (ref == 0 || ref_kind(ref) == REF_REMOTE)
        return;
    if (ref_kind(ref) == REF_SUB) {
        Sub *sub = ref_ptr(ref);
        if (!(sub->flags & SUB_GONE))
            each(cookie, sub);
        return;
    }
    const Leaf *leaf = ref_ptr(ref);
    each_in_set(&leaf->plain, each, cookie);
    for (uint32_t i = 0; i < leaf->group_count; i++)
        each_in_set(&leaf->groups[i]->members, each, cookie);
}

/* Runs over everything there is; each may be NULL, then each_count is not. */
typedef struct Tour {
    void (*each)(void *cookie, Sub *sub);
    void (*each_count)(void *cookie, Slice subject, Slice queue, uint64_t count);
    void *cookie;
} Tour;

static void count_leaf(const Tour *tour, const Leaf *leaf) {
    uint64_t plain = (uint64_t)sub_set_count(&leaf->plain) + leaf->remote.total;
    if (plain)
        tour->each_count(tour->cookie, leaf_subject(leaf), (Slice){0}, plain);
    for (uint32_t i = 0; i < leaf->group_count; i++) {
        const Group *group = leaf->groups[i];
        uint64_t members = (uint64_t)sub_set_count(&group->members) + group->remote.total;
        if (members)
            tour->each_count(tour->cookie, leaf_subject(leaf), group_name(group), members);
    }
}

static void visit(const Tour *tour, Ref ref) {
    if (ref == 0)
        return;
    if (tour->each) {
        ref_each_sub(ref, tour->each, tour->cookie);
        return;
    }
    if (ref_kind(ref) == REF_LEAF) {
        count_leaf(tour, ref_ptr(ref));
    } else if (ref_kind(ref) == REF_REMOTE) {
        const Remote *remote = ref_ptr(ref);
        tour->each_count(tour->cookie, remote_subject(remote), remote_queue(remote), remote->count);
    } else {
        const Sub *sub = ref_ptr(ref);
        if (!(sub->flags & SUB_GONE))
            tour->each_count(tour->cookie, sub_subject(sub), sub_queue(sub), 1);
    }
}

/* A node and its chain of stars; their other children are edges of their own. */
static void visit_nodes(const Tour *tour, const TrieNode *node) {
    for (; node; node = node->star) {
        visit(tour, node->here);
        visit(tour, node->tail);
    }
}

static void visit_all(Interest *interest, const Tour *tour) {
    for (uint32_t i = 0; i < interest->literals.cap; i++)
        if (interest->literals.slots[i].hash)
            visit(tour, ref_table_get_at(&interest->literals, i));
    for (uint32_t i = 0; i < interest->edges.cap; i++)
        if (interest->edges.slots[i].hash)
            visit_nodes(tour, ref_ptr(ref_table_get_at(&interest->edges, i)));
    visit_nodes(tour, interest->root);
}

void interest_each(Interest *interest, void (*each)(void *cookie, Sub *sub), void *cookie) {
    visit_all(interest, &(Tour){each, NULL, cookie});
}

void interest_each_count(Interest *interest,
                         void (*each)(void *cookie, Slice subject, Slice queue, uint64_t count),
                         void *cookie) {
    visit_all(interest, &(Tour){NULL, each, cookie});
}

void busy_settle(Busy *busy) {
    ASSERT(busy->depth == 0);
    for (size_t i = 0; i < busy->dirty.len; i++) {
        Leaf *leaf = busy->dirty.at[i];
        leaf->is_dirty = false;
        leaf_settle(leaf);
        drop_leaf_if_empty(busy->dirty_in.at[i], leaf);
    }
    for (size_t i = 0; i < busy->dead.len; i++)
        mem_free(busy->dead.at[i]);
    vec_clear(&busy->dirty);
    vec_clear(&busy->dirty_in);
    vec_clear(&busy->dead);
}

void busy_done(Busy *busy) {
    vec_done(&busy->dirty);
    vec_done(&busy->dirty_in);
    vec_done(&busy->dead);
}

/* The trie. */

static uint32_t edge_hash(const TrieNode *parent, Slice token) {
    return ref_hash((hash_slice(token) ^ parent->hash) * 0x9e3779b97f4a7c15u);
}

static TrieNode *find_child(const Interest *interest, const TrieNode *parent, Slice token) {
    if (parent->children == 0)
        return NULL;
    uint32_t hash = edge_hash(parent, token), at = ref_table_home(&interest->edges, hash);
    for (Ref ref; (ref = ref_table_probe(&interest->edges, hash, &at)) != 0;
         at = ref_table_after(&interest->edges, at)) {
        TrieNode *node = ref_ptr(ref);
        if (node->parent == parent && slice_equal(slice_from(node->token, node->token_len), token))
            return node;
    }
    return NULL;
}

static TrieNode *make_child(Interest *interest, TrieNode *parent, Slice token) {
    bool is_star = slice_equal(token, LIT("*"));
    TrieNode *node = mem_zalloc(offsetof(TrieNode, token) + (is_star ? 0 : token.len));
    node->parent = parent;
    node->is_star = is_star;
    node->hash = edge_hash(parent, token);
    if (is_star) {
        parent->star = node;
        return node;
    }
    node->token_len = (uint16_t)token.len;
    memcpy(node->token, token.ptr, token.len);
    parent->children++;
    ref_table_add(&interest->edges, node->hash, ref_make(node, 0));
    return node;
}

static void remove_edge(Interest *interest, const TrieNode *node) {
    uint32_t at = ref_table_home(&interest->edges, node->hash);
    Ref ref;
    while ((ref = ref_table_probe(&interest->edges, node->hash, &at)) != ref_make(node, 0)) {
        ASSERT(ref != 0);
        at = ref_table_after(&interest->edges, at);
    }
    ref_table_remove_at(&interest->edges, at);
    node->parent->children--;
}

static void prune(Interest *interest, TrieNode *node) {
    while (node->parent && !node->here && !node->tail && !node->star && !node->children) {
        TrieNode *parent = node->parent;
        if (node->is_star)
            parent->star = NULL;
        else
            remove_edge(interest, node);
        mem_free(node);
        node = parent;
    }
}

static Place find_place(Interest *interest, Slice subject, bool make) {
    Place place = {0};
    if (!subject_has_wildcard(subject)) {
        place.hash = hash_slice(subject);
        place.is_there = find_literal(interest, place.hash, subject, &place.at) != 0;
        return place;
    }
    Slice token;
    place.node = interest->root;
    place.is_there = true;
    while (slice_cut(&subject, '.', &token)) {
        if (slice_equal(token, LIT(">")) && subject.ptr == NULL) {
            place.is_tail = true;
            break;
        }
        TrieNode *child = slice_equal(token, LIT("*")) ? place.node->star
                                                       : find_child(interest, place.node, token);
        if (child == NULL && !make) {
            place.is_there = false;
            break;
        }
        place.node = child ? child : make_child(interest, place.node, token);
    }
    return place;
}

static Ref get(const Interest *interest, const Place *place) {
    if (!place->is_there)
        return 0;
    if (place->node == NULL)
        return ref_table_get_at(&interest->literals, place->at);
    return place->is_tail ? place->node->tail : place->node->here;
}

/* Also tells the caches. */
static void put(Interest *interest, const Place *place, Slice subject, Ref ref) {
    interest->last.subject_len = 0;
    if (place->node == NULL) {
        match_cache_drop(&interest->cache, place->hash, subject);
        if (!place->is_there)
            ref_table_add(&interest->literals, ref_hash(place->hash), ref);
        else if (ref)
            ref_table_set_at(&interest->literals, place->at, ref);
        else
            ref_table_remove_at(&interest->literals, place->at);
        return;
    }
    Ref *where = place->is_tail ? &place->node->tail : &place->node->here;
    interest->pattern_count += (ref != 0);
    interest->pattern_count -= (*where != 0);
    *where = ref;
    match_cache_outdate(&interest->cache, subject);
    if (ref == 0)
        prune(interest, place->node);
}

/* A subject with an empty token is covered by nothing. */
static bool has_empty_token(Slice subject) {
    bool at_begin = true;
    size_t i = 0;
#ifdef __SSE2__
    const __m128i dots = _mm_set1_epi8('.');
    for (; i + 16 <= subject.len; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(subject.ptr + i));
        unsigned dot = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, dots));
        if (dot & (dot << 1 | at_begin))
            return true;
        at_begin = dot >> 15;
    }
#endif
    for (; i < subject.len; i++) {
        bool is_dot = subject.ptr[i] == '.';
        if (is_dot && at_begin)
            return true;
        at_begin = is_dot;
    }
    return at_begin;
}

typedef struct Branch {
    const TrieNode *node;
    size_t at; /* where its next token begins */
} Branch;

/* Each node is visited at most once: the work is bounded by the trie, whatever the subject. Returns
 * how many were. */
static unsigned walk(const Interest *interest, Slice subject, Matched *out) {
    VEC(Branch) branches = {0};
    const TrieNode *node = interest->root;
    size_t at = 0;
    unsigned visited = 0;

    if (has_empty_token(subject))
        return 0;
    for (;; visited++) {
        if (node->tail)
            matched_push(out, node->tail);
        Slice rest = slice_from_at(subject, at), token = slice_first(rest, slice_find(rest, '.'));
        const TrieNode *child = find_child(interest, node, token), *star = node->star;
        if (token.len == rest.len) {
            if (child && child->here)
                matched_push(out, child->here);
            if (star && star->here)
                matched_push(out, star->here);
            child = star = NULL;
        }
        at += token.len + 1;
        if (child && star)
            vec_push(&branches, ((Branch){star, at}));
        if (child || star) {
            node = child ? child : star;
            continue;
        }
        if (branches.len == 0)
            break;
        Branch branch = vec_pop(&branches);
        node = branch.node;
        at = branch.at;
    }
    vec_done(&branches);
    return visited;
}
