/* SubjectOrder: the subjects of a SubjectIndex in order, made when somebody lists them page by
 * page.
 *
 * Ordered token by token, bytewise within a token: as bytes, with '.' before all others. Blocks of
 * ids, so 6 to 8 bytes a subject; finding and adding is O(log n) comparisons. Subjects of the
 * index's run are in order there: they are not put into blocks, unless that is another order, by
 * characters below '.'. Once made it follows the index, which calls the hooks below. Building is
 * done in steps. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/map.h"
#include "stream/subject_index.h"

typedef struct OrderBlock OrderBlock;

typedef struct SubjectOrder {
    const SubjectIndex *index;
    OrderBlock **blocks;
    size_t len, cap;
    uint32_t *snapshot; /* what is still to be added; NULL = built */
    size_t snapshot_at, snapshot_len, snapshot_cap;
    Map64 touched;            /* while building: ids that came or went since the snapshot */
    const struct Run *run;    /* what is in order there; NULL: all are in blocks */
    struct OrderCheck *check; /* of that; NULL: it is over */
} SubjectOrder;

/* Begins: index->order is set, and freed by subject_index_done. O(subjects), a copy of 4 bytes
 * each. */
void subject_order_begin(SubjectIndex *index);
/* Adds up to max more. True when it is complete. */
bool subject_order_build(SubjectOrder *order, size_t max);
static inline bool subject_order_is_built(const SubjectOrder *order) {
    return order->snapshot == NULL && order->check == NULL;
}
/* NULL-safe. */
void subject_order_free(SubjectOrder *order);

/* Where a walk stands; good until the index changes. */
typedef struct OrderCursor {
    size_t block, at;
    uint32_t ordinal; /* in run */
} OrderCursor;
/* The first one at text or behind it; is_after: behind it. */
OrderCursor subject_order_seek(const SubjectOrder *order, Slice text, bool is_after);
/* 0 at the end. Emptied subjects (count 0) come too. */
SubjectId subject_order_next(const SubjectOrder *order, OrderCursor *cursor);

int subject_order_compare(Slice a, Slice b);

/* For subject_index.c. */
void subject_order_on_added(SubjectOrder *order, SubjectId id);
void subject_order_on_removed(SubjectOrder *order, SubjectId id);
