#include "stream/filter_index.h"

#include "base/assert.h"
#include "base/mem.h"
#include "proto/subject.h"

/* One level of the trie: what may follow the tokens that lead here. */
struct FilterLevel {
    FilterLevel *parent;
    Map children;     /* literal token -> FilterLevel */
    FilterLevel *any; /* "*" */
    FilterNode *here; /* a filter that ends here */
    FilterNode *rest; /* a filter that goes on with ">" */
    uint32_t token_len;
    char token[]; /* that leads here from the parent */
};

static FilterNode *node_new(Slice filter) {
    FilterNode *node = mem_zalloc(sizeof *node + filter.len);
    node->text_len = (uint32_t)filter.len;
    if (filter.len)
        memcpy(node->text, filter.ptr, filter.len);
    return node;
}

static void node_free(FilterNode *node) {
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->slots.len; i++)
        if (node->slots.at[i].owner)
            node->slots.at[i].link->node = NULL;
    vec_done(&node->slots);
    mem_free(node);
}

static FilterLevel *level_new(FilterLevel *parent, Slice token) {
    FilterLevel *level = mem_zalloc(sizeof *level + token.len);
    level->parent = parent;
    level->token_len = (uint32_t)token.len;
    if (token.len)
        memcpy(level->token, token.ptr, token.len);
    return level;
}

static void level_free(FilterLevel *level) {
    if (level == NULL)
        return;
    Slice key;
    void *child;
    for (size_t at = 0; map_next(&level->children, &at, &key, &child);)
        level_free(child);
    map_done(&level->children);
    level_free(level->any);
    node_free(level->here);
    node_free(level->rest);
    mem_free(level);
}

void filter_index_done(FilterIndex *index) {
    Slice key;
    void *node;
    for (size_t at = 0; map_next(&index->literals, &at, &key, &node);)
        node_free(node);
    map_done(&index->literals);
    level_free(index->wildcards);
    node_free(index->everything);
    vec_done(&index->dirty);
    *index = (FilterIndex){0};
}

static FilterLevel *level_below(FilterLevel *level, Slice token) {
    if (slice_equal(token, LIT("*"))) {
        if (level->any == NULL)
            level->any = level_new(level, token);
        return level->any;
    }
    FilterLevel *child = map_get(&level->children, token);
    if (child == NULL) {
        child = level_new(level, token);
        map_put(&level->children, slice_from(child->token, child->token_len), child);
    }
    return child;
}

static FilterNode *wildcard_node(FilterIndex *index, Slice filter) {
    if (index->wildcards == NULL)
        index->wildcards = level_new(NULL, (Slice){0});
    FilterLevel *level = index->wildcards;
    Slice rest = filter, token;
    bool is_rest = false;
    while (!is_rest && slice_cut(&rest, '.', &token)) {
        if (slice_equal(token, LIT(">")) && rest.ptr == NULL)
            is_rest = true;
        else
            level = level_below(level, token);
    }
    FilterNode **where = is_rest ? &level->rest : &level->here;
    if (*where == NULL) {
        *where = node_new(filter);
        (*where)->level = level;
        (*where)->is_rest = is_rest;
    }
    return *where;
}

static FilterNode *node_of(FilterIndex *index, Slice filter) {
    if (filter.len == 0 || slice_equal(filter, LIT(">"))) {
        if (index->everything == NULL)
            index->everything = node_new((Slice){0});
        return index->everything;
    }
    if (subject_has_wildcard(filter))
        return wildcard_node(index, filter);
    FilterNode *node = map_get(&index->literals, filter);
    if (node == NULL) {
        node = node_new(filter);
        map_put(&index->literals, slice_from(node->text, node->text_len), node);
    }
    return node;
}

void filter_index_add(FilterIndex *index, Slice filter, void *owner, FilterLink *link) {
    ASSERT(link->node == NULL);
    FilterNode *node = node_of(index, filter);
    FilterSlot slot = {owner, link};
    if (node->slots.cap == 0) { /* most filters have one consumer */
        node->slots.at = mem_alloc(sizeof *node->slots.at);
        node->slots.cap = 1;
    }
    link->node = node;
    link->at = (uint32_t)node->slots.len;
    vec_push(&node->slots, slot);
    index->links++;
}

/* Frees levels that hold nothing any more, upwards. */
static void level_trim(FilterIndex *index, FilterLevel *level) {
    while (level && level->children.len == 0 && !level->any && !level->here && !level->rest) {
        FilterLevel *parent = level->parent;
        if (parent == NULL)
            index->wildcards = NULL;
        else if (parent->any == level)
            parent->any = NULL;
        else
            map_remove(&parent->children, slice_from(level->token, level->token_len));
        map_done(&level->children);
        mem_free(level);
        level = parent;
    }
}

static void node_drop(FilterIndex *index, FilterNode *node) {
    if (node == index->everything) {
        index->everything = NULL;
    } else if (node->level == NULL) {
        map_remove(&index->literals, slice_from(node->text, node->text_len));
    } else {
        FilterLevel *level = node->level;
        *(node->is_rest ? &level->rest : &level->here) = NULL;
        level_trim(index, level);
    }
    node_free(node);
}

static void remove_slot(FilterNode *node, size_t at) {
    vec_remove_unordered(&node->slots, at);
    if (at < node->slots.len && node->slots.at[at].owner)
        node->slots.at[at].link->at = (uint32_t)at;
}

void filter_index_remove(FilterIndex *index, FilterLink *link) {
    FilterNode *node = link->node;
    if (node == NULL)
        return;
    ASSERT(node->slots.at[link->at].link == link);
    link->node = NULL;
    index->links--;
    if (index->visits > 0) {
        node->slots.at[link->at].owner = NULL;
        if (!node->is_dirty)
            vec_push(&index->dirty, node);
        node->is_dirty = true;
        return;
    }
    remove_slot(node, link->at);
    if (node->slots.len == 0)
        node_drop(index, node);
}

static void clean(FilterIndex *index) {
    while (index->dirty.len > 0) {
        FilterNode *node = vec_pop(&index->dirty);
        node->is_dirty = false;
        for (size_t i = node->slots.len; i-- > 0;)
            if (node->slots.at[i].owner == NULL)
                remove_slot(node, i);
        if (node->slots.len == 0)
            node_drop(index, node);
    }
}

static bool visit_level(const FilterLevel *level, Slice rest, FilterVisit *visit, void *cookie) {
    Slice token;
    if (!slice_cut(&rest, '.', &token))
        return level->here && visit(cookie, level->here);
    if (level->rest && visit(cookie, level->rest))
        return true;
    FilterLevel *child = level->children.len ? map_get(&level->children, token) : NULL;
    if (child && visit_level(child, rest, visit, cookie))
        return true;
    return level->any && visit_level(level->any, rest, visit, cookie);
}

static bool visit_all(const FilterIndex *index, Slice subject, FilterVisit *visit, void *cookie) {
    if (index->everything && visit(cookie, index->everything))
        return true;
    if (index->literals.len) {
        FilterNode *node = map_get(&index->literals, subject);
        if (node && visit(cookie, node))
            return true;
    }
    return index->wildcards && visit_level(index->wildcards, subject, visit, cookie);
}

static bool end_visit(FilterIndex *index, bool is_found) {
    if (--index->visits == 0 && index->dirty.len > 0)
        clean(index);
    return is_found;
}

bool filter_index_visit(FilterIndex *index, Slice subject, FilterVisit *visit, void *cookie) {
    index->visits++;
    return end_visit(index, visit_all(index, subject, visit, cookie));
}

/* What ends at this level or below. */
static bool visit_below(const FilterLevel *level, FilterVisit *visit, void *cookie) {
    Slice token;
    void *child;
    if ((level->here && visit(cookie, level->here)) || (level->rest && visit(cookie, level->rest)))
        return true;
    for (size_t at = 0; map_next(&level->children, &at, &token, &child);)
        if (visit_below(child, visit, cookie))
            return true;
    return level->any && visit_below(level->any, visit, cookie);
}

/* rest: of a filter, behind the tokens that lead here. */
static bool overlaps_below(const FilterLevel *level, Slice rest, FilterVisit *visit, void *cookie) {
    Slice token, key;
    void *child;
    if (!slice_cut(&rest, '.', &token))
        return level->here && visit(cookie, level->here);
    if (level->rest && visit(cookie, level->rest))
        return true;
    bool is_rest = slice_equal(token, LIT(">"));
    if (!is_rest && !slice_equal(token, LIT("*"))) {
        child = level->children.len ? map_get(&level->children, token) : NULL;
        return (child && overlaps_below(child, rest, visit, cookie)) ||
               (level->any && overlaps_below(level->any, rest, visit, cookie));
    }
    for (size_t at = 0; map_next(&level->children, &at, &key, &child);)
        if (is_rest ? visit_below(child, visit, cookie)
                    : overlaps_below(child, rest, visit, cookie))
            return true;
    if (level->any == NULL)
        return false;
    return is_rest ? visit_below(level->any, visit, cookie)
                   : overlaps_below(level->any, rest, visit, cookie);
}

static bool overlaps_all(const FilterIndex *index, Slice filter, FilterVisit *visit, void *cookie) {
    Slice literal;
    void *node;
    if (filter.len == 0)
        filter = LIT(">");
    if (!subject_has_wildcard(filter))
        return visit_all(index, filter, visit, cookie);
    if (index->everything && visit(cookie, index->everything))
        return true;
    for (size_t at = 0; map_next(&index->literals, &at, &literal, &node);)
        if (subject_matches(filter, literal) && visit(cookie, node))
            return true;
    return index->wildcards && overlaps_below(index->wildcards, filter, visit, cookie);
}

bool filter_index_visit_overlaps(FilterIndex *index, Slice filter, FilterVisit *visit,
                                 void *cookie) {
    index->visits++;
    return end_visit(index, overlaps_all(index, filter, visit, cookie));
}
