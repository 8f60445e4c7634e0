/* Leaf: all interest in one subject when it is more than one subscription: own ones, queue groups,
 * and what other workers have, as counts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "bus/ref_table.h"

/* Private flags of a Sub. */
enum {
    SUB_LOCAL = 1,    /* other workers do not know it */
    SUB_GONE = 2,     /* removed, freed when the fan-out that may still see it is over */
    SUB_REPORTED = 4, /* its congestion was reported to another worker */
};

/* Own subscriptions; while a fan-out runs, removed ones leave NULL behind. */
typedef struct SubSet {
    Sub **at;
    uint32_t len, cap, holes;
} SubSet;

typedef struct WorkerCount {
    uint32_t worker, count; /* count > 0 */
} WorkerCount;

typedef struct RemoteSet {
    WorkerCount *at;
    uint32_t len;
    uint32_t total;
} RemoteSet;

typedef struct Leaf Leaf;

typedef struct Group {
    Leaf *leaf;
    SubSet members;
    RemoteSet remote;
    uint32_t place; /* in leaf->groups */
    uint32_t name_hash;
    uint16_t name_len;
    char name[];
} Group;

struct Leaf {
    SubSet plain;
    RemoteSet remote;
    Group **groups;
    uint32_t group_count, group_cap;
    bool is_dirty; /* has holes, waits to be settled */
    uint16_t subject_len;
    char subject[];
};

/* One subject and queue that one other worker wants, and nobody else. */
typedef struct Remote {
    uint32_t count;
    uint16_t worker;
    uint16_t subject_len, queue_len;
    char text[]; /* subject, queue */
} Remote;

Leaf *leaf_new(Slice subject);
/* Frees the groups too, not the subscriptions. */
void leaf_free(Leaf *leaf);

void leaf_add_sub(Leaf *leaf, Sub *sub);
/* leave_hole: a fan-out is running. */
void leaf_remove_sub(Leaf *leaf, Sub *sub, bool leave_hole);
/* queue empty = plain. */
void leaf_change_remote(Leaf *leaf, Slice queue, unsigned worker, int64_t delta);
/* Closes holes, drops empty groups. */
void leaf_settle(Leaf *leaf);
bool leaf_is_empty(const Leaf *leaf);
/* NULL when there is none. */
Group *leaf_find_group(const Leaf *leaf, Slice name);

Remote *remote_new(Slice subject, Slice queue, unsigned worker, uint32_t count);

/* The leaf of a sub whose set is not NULL. */
static inline Leaf *sub_leaf(const Sub *sub) {
    return sub->queue_len ? ((Group *)sub->set)->leaf : sub->set;
}
static inline Slice leaf_subject(const Leaf *leaf) {
    return slice_from(leaf->subject, leaf->subject_len);
}
static inline Slice group_name(const Group *group) {
    return slice_from(group->name, group->name_len);
}
static inline Slice remote_subject(const Remote *remote) {
    return slice_from(remote->text, remote->subject_len);
}
static inline Slice remote_queue(const Remote *remote) {
    return slice_from(remote->text + remote->subject_len, remote->queue_len);
}
static inline uint32_t sub_set_count(const SubSet *set) {
    return set->len - set->holes;
}
static inline Slice ref_subject(Ref ref) {
    switch (ref_kind(ref)) {
    case REF_SUB:
        return sub_subject(ref_ptr(ref));
    case REF_LEAF:
        return leaf_subject(ref_ptr(ref));
    default:
        return remote_subject(ref_ptr(ref));
    }
}
uint32_t queue_hash(Slice name);
