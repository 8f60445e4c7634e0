#include "bus/leaf.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

static void set_add(SubSet *set, Sub *sub);
static void set_remove(SubSet *set, Sub *sub, bool leave_hole);
static void set_settle(SubSet *set);
static void remote_set_change(RemoteSet *set, unsigned worker, int64_t delta);
static Group *group_new(Leaf *leaf, Slice name);
static void group_free(Group *group);

Leaf *leaf_new(Slice subject) {
    ASSERT(subject.len <= UINT16_MAX);
    Leaf *leaf = mem_zalloc(offsetof(Leaf, subject) + subject.len);
    leaf->subject_len = (uint16_t)subject.len;
    memcpy(leaf->subject, subject.ptr, subject.len);
    return leaf;
}

void leaf_free(Leaf *leaf) {
    while (leaf->group_count)
        group_free(leaf->groups[leaf->group_count - 1]);
    mem_free(leaf->groups);
    mem_free(leaf->plain.at);
    mem_free(leaf->remote.at);
    mem_free(leaf);
}

void leaf_add_sub(Leaf *leaf, Sub *sub) {
    if (sub->queue_len == 0) {
        sub->set = leaf;
        set_add(&leaf->plain, sub);
        return;
    }
    Group *group = leaf_find_group(leaf, sub_queue(sub));
    if (group == NULL)
        group = group_new(leaf, sub_queue(sub));
    sub->set = group;
    set_add(&group->members, sub);
}

void leaf_remove_sub(Leaf *leaf, Sub *sub, bool leave_hole) {
    if (sub->queue_len == 0) {
        set_remove(&leaf->plain, sub, leave_hole);
        return;
    }
    Group *group = sub->set;
    set_remove(&group->members, sub, leave_hole);
    if (group->members.len == 0 && group->remote.len == 0)
        group_free(group);
}

void leaf_change_remote(Leaf *leaf, Slice queue, unsigned worker, int64_t delta) {
    if (queue.len == 0) {
        remote_set_change(&leaf->remote, worker, delta);
        return;
    }
    Group *group = leaf_find_group(leaf, queue);
    if (group == NULL && delta <= 0)
        return;
    if (group == NULL)
        group = group_new(leaf, queue);
    remote_set_change(&group->remote, worker, delta);
    if (group->members.len == 0 && group->remote.len == 0)
        group_free(group);
}

void leaf_settle(Leaf *leaf) {
    set_settle(&leaf->plain);
    for (uint32_t i = leaf->group_count; i-- > 0;) {
        Group *group = leaf->groups[i];
        set_settle(&group->members);
        if (group->members.len == 0 && group->remote.len == 0)
            group_free(group);
    }
}

bool leaf_is_empty(const Leaf *leaf) {
    return leaf->plain.len == 0 && leaf->remote.len == 0 && leaf->group_count == 0;
}

Group *leaf_find_group(const Leaf *leaf, Slice name) {
    uint32_t hash = queue_hash(name);
    for (uint32_t i = 0; i < leaf->group_count; i++) {
        Group *group = leaf->groups[i];
        if (group->name_hash == hash && slice_equal(group_name(group), name))
            return group;
    }
    return NULL;
}

Remote *remote_new(Slice subject, Slice queue, unsigned worker, uint32_t count) {
    ASSERT(subject.len <= UINT16_MAX && queue.len <= UINT16_MAX);
    Remote *remote = mem_alloc(offsetof(Remote, text) + subject.len + queue.len);
    remote->count = count;
    remote->worker = (uint16_t)worker;
    remote->subject_len = (uint16_t)subject.len;
    remote->queue_len = (uint16_t)queue.len;
    memcpy(remote->text, subject.ptr, subject.len);
    if (queue.len)
        memcpy(remote->text + subject.len, queue.ptr, queue.len);
    return remote;
}

uint32_t queue_hash(Slice name) {
    return ref_hash(hash_slice(name));
}

static void set_add(SubSet *set, Sub *sub) {
    if (set->len == set->cap) {
        set->cap = set->cap ? set->cap * 2 : 2;
        set->at = mem_realloc(set->at, set->cap * sizeof *set->at);
    }
    sub->place = set->len;
    set->at[set->len++] = sub;
}

/* A set that has become much too large gives memory back. */
static void set_trim(SubSet *set) {
    if (set->cap <= 16 || set->len > set->cap / 4)
        return;
    set->cap /= 2;
    set->at = mem_realloc(set->at, set->cap * sizeof *set->at);
}

static void set_remove(SubSet *set, Sub *sub, bool leave_hole) {
    ASSERT(set->at[sub->place] == sub);
    if (leave_hole) {
        set->at[sub->place] = NULL;
        set->holes++;
        return;
    }
    Sub *last = set->at[--set->len];
    set->at[sub->place] = last;
    last->place = sub->place;
    set_trim(set);
}

static void set_settle(SubSet *set) {
    if (set->holes == 0)
        return;
    uint32_t len = 0;
    for (uint32_t i = 0; i < set->len; i++) {
        if (set->at[i] == NULL)
            continue;
        set->at[i]->place = len;
        set->at[len++] = set->at[i];
    }
    set->len = len;
    set->holes = 0;
    set_trim(set);
}

static void remote_set_change(RemoteSet *set, unsigned worker, int64_t delta) {
    uint32_t i = 0;
    while (i < set->len && set->at[i].worker != worker)
        i++;
    if (i == set->len) {
        if (delta <= 0)
            return;
        set->at = mem_realloc(set->at, (set->len + 1) * sizeof *set->at);
        set->at[set->len++] = (WorkerCount){.worker = worker};
    }
    WorkerCount *entry = &set->at[i];
    if (delta < 0 && entry->count < (uint64_t)-delta)
        delta = -(int64_t)entry->count;
    entry->count = (uint32_t)(entry->count + delta);
    set->total = (uint32_t)(set->total + delta);
    if (entry->count == 0)
        *entry = set->at[--set->len];
}

static Group *group_new(Leaf *leaf, Slice name) {
    ASSERT(name.len <= UINT16_MAX);
    Group *group = mem_zalloc(offsetof(Group, name) + name.len);
    group->leaf = leaf;
    group->name_hash = queue_hash(name);
    group->name_len = (uint16_t)name.len;
    memcpy(group->name, name.ptr, name.len);
    if (leaf->group_count == leaf->group_cap) {
        leaf->group_cap = leaf->group_cap ? leaf->group_cap * 2 : 2;
        leaf->groups = mem_realloc(leaf->groups, leaf->group_cap * sizeof *leaf->groups);
    }
    group->place = leaf->group_count;
    leaf->groups[leaf->group_count++] = group;
    return group;
}

static void group_free(Group *group) {
    Leaf *leaf = group->leaf;
    Group *last = leaf->groups[--leaf->group_count];
    leaf->groups[group->place] = last;
    last->place = group->place;
    mem_free(group->members.at);
    mem_free(group->remote.at);
    mem_free(group);
}
