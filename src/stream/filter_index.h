/* FilterIndex: which consumers of a stream want a subject, or which streams of an account have it:
 * owners of filters. Owners with the same filter share one node; literal filters lie in a hash,
 * wildcards in a trie of tokens, those without a filter in one node. Finding visits only what
 * matches. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/slice.h"
#include "base/vec.h"

typedef struct FilterNode FilterNode;
typedef struct FilterLevel FilterLevel;

/* Where an owner stands in a node. Belongs to the owner. */
typedef struct FilterLink {
    FilterNode *node; /* NULL = in none */
    uint32_t at;
} FilterLink;

typedef struct FilterSlot {
    void *owner; /* NULL: left during a visit */
    FilterLink *link;
} FilterSlot;

struct FilterNode {
    VEC(FilterSlot) slots;
    FilterLevel *level; /* that holds it; NULL for the literal ones and for everything */
    bool is_rest;       /* ends with ">" */
    bool is_dirty;
    uint32_t text_len;
    uint32_t last_at; /* the callers': where a search through slots ended */
    char text[];      /* the filter */
};

typedef struct FilterIndex {
    Map literals;           /* filter -> FilterNode */
    FilterLevel *wildcards; /* NULL when there are none */
    FilterNode *everything; /* NULL when nobody is without a filter */
    size_t links;
    unsigned visits;         /* under way: nodes and slots stay where they are */
    VEC(FilterNode *) dirty; /* nodes with slots that were emptied meanwhile */
} FilterIndex;

/* Zero-initialised is empty. Links still in it are forgotten. */
void filter_index_done(FilterIndex *index);

/* filter is valid; empty and ">" mean everything. */
void filter_index_add(FilterIndex *index, Slice filter, void *owner, FilterLink *link);
/* Harmless for a link in no node. */
void filter_index_remove(FilterIndex *index, FilterLink *link);

typedef bool FilterVisit(void *cookie, FilterNode *node);
/* Calls visit for each node that covers subject until it returns true; then returns true. Owners
 * may come and go meanwhile: new slots may be seen or not, node->slots.at may move. */
bool filter_index_visit(FilterIndex *index, Slice subject, FilterVisit *visit, void *cookie);
/* The same for each node whose filter has a subject in common with filter. O(literal filters) when
 * filter has wildcards and there are any. */
bool filter_index_visit_overlaps(FilterIndex *index, Slice filter, FilterVisit *visit,
                                 void *cookie);
