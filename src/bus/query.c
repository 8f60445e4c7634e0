/* Questions about who would receive a subject. */
#include "base/assert.h"
#include "bus/bus_private.h"

static bool has_receivers(Ref ref) {
    if (ref_kind(ref) == REF_SUB)
        return !(((const Sub *)ref_ptr(ref))->flags & SUB_GONE);
    if (ref_kind(ref) == REF_REMOTE)
        return true;
    const Leaf *leaf = ref_ptr(ref);
    if (sub_set_count(&leaf->plain) || leaf->remote.len)
        return true;
    for (uint32_t i = 0; i < leaf->group_count; i++)
        if (sub_set_count(&leaf->groups[i]->members) || leaf->groups[i]->remote.len)
            return true;
    return false;
}

bool bus_has_interest(Account *account, Slice literal) {
    ASSERT_HOME(account->bus);
    Matched matched;
    bool has_any = false;
    interest_match(&account->interest, literal, &matched);
    for (size_t i = 0; i < matched.len && !has_any; i++)
        has_any = has_receivers(matched.at[i]);
    matched_done(&matched);
    return has_any;
}

static bool has_other_receivers(Ref ref, const Port *port) {
    if (ref_kind(ref) == REF_REMOTE)
        return true;
    if (ref_kind(ref) == REF_SUB) {
        const Sub *sub = ref_ptr(ref);
        return sub->port != port && !(sub->flags & SUB_GONE);
    }
    const Leaf *leaf = ref_ptr(ref);
    for (uint32_t i = 0; i < leaf->plain.len; i++)
        if (leaf->plain.at[i] && leaf->plain.at[i]->port != port)
            return true;
    return leaf->remote.len > 0 || leaf->group_count > 0;
}

bool bus_has_other_interest(Account *account, Slice literal, const Port *port) {
    ASSERT_HOME(account->bus);
    Matched matched;
    bool has_any = false;
    interest_match(&account->interest, literal, &matched);
    for (size_t i = 0; i < matched.len && !has_any; i++)
        has_any = has_other_receivers(matched.at[i], port);
    matched_done(&matched);
    return has_any;
}

static bool is_sub_congested(const Sub *sub) {
    return sub->port->ops->is_congested && sub->port->ops->is_congested(sub->port);
}

static void add_workers(WorkerSet *workers, const RemoteSet *remote) {
    for (uint32_t i = 0; i < remote->len; i++)
        worker_set_add(workers, remote->at[i].worker);
}

/* A group is congested when none of its members can take more; other workers' members are thought
 * to. */
static bool is_group_congested(const Group *group) {
    bool has_any = false;
    if (group->remote.len)
        return false;
    for (uint32_t i = 0; i < group->members.len; i++) {
        const Sub *sub = group->members.at[i];
        if (sub == NULL)
            continue;
        if (!is_sub_congested(sub))
            return false;
        has_any = true;
    }
    return has_any;
}

/* Own receivers; adds the workers of the others. */
static bool is_ref_congested(Ref ref, WorkerSet *workers) {
    if (ref_kind(ref) == REF_SUB) {
        const Sub *sub = ref_ptr(ref);
        return !(sub->flags & SUB_GONE) && is_sub_congested(sub);
    }
    if (ref_kind(ref) == REF_REMOTE) {
        worker_set_add(workers, ((const Remote *)ref_ptr(ref))->worker);
        return false;
    }
    const Leaf *leaf = ref_ptr(ref);
    add_workers(workers, &leaf->remote);
    for (uint32_t i = 0; i < leaf->plain.len; i++)
        if (leaf->plain.at[i] && is_sub_congested(leaf->plain.at[i]))
            return true;
    for (uint32_t i = 0; i < leaf->group_count; i++) {
        add_workers(workers, &leaf->groups[i]->remote);
        if (is_group_congested(leaf->groups[i]))
            return true;
    }
    return false;
}

bool bus_is_congested(Account *account, Slice literal) {
    Bus *bus = account->bus;
    ASSERT_HOME(bus);
    WorkerSet workers = {0};
    Matched matched;
    bool is_congested = false;
    interest_match(&account->interest, literal, &matched);
    for (size_t i = 0; i < matched.len && !is_congested; i++)
        is_congested = is_ref_congested(matched.at[i], &workers);
    matched_done(&matched);
    if (is_congested || worker_set_is_empty(&workers))
        return is_congested;
    for (unsigned i = 0; i <= bus->home->count; i++)
        if (worker_set_has(&workers, i) && exchange_is_congested(bus, i))
            return true;
    return congestion_is_known(account, literal, &workers);
}

static Sub *plain_of_port(Ref ref, const Port *port) {
    if (ref_kind(ref) == REF_SUB) {
        Sub *sub = ref_ptr(ref);
        return sub->port == port && sub->queue_len == 0 && !(sub->flags & SUB_GONE) ? sub : NULL;
    }
    if (ref_kind(ref) == REF_REMOTE)
        return NULL;
    const Leaf *leaf = ref_ptr(ref);
    for (uint32_t i = 0; i < leaf->plain.len; i++)
        if (leaf->plain.at[i] && leaf->plain.at[i]->port == port)
            return leaf->plain.at[i];
    return NULL;
}

Sub *bus_find_sub(Account *account, Port *port, Slice literal) {
    ASSERT_HOME(account->bus);
    Matched matched;
    Sub *found = NULL;
    interest_match(&account->interest, literal, &matched);
    for (size_t i = 0; i < matched.len && !found; i++)
        found = plain_of_port(matched.at[i], port);
    matched_done(&matched);
    return found;
}

typedef struct Counted {
    void (*each)(void *cookie, Sub *sub);
    void *cookie;
    size_t count;
} Counted;

static void count_one(void *cookie, Sub *sub) {
    Counted *counted = cookie;
    counted->count++;
    counted->each(counted->cookie, sub);
}

size_t bus_test_subject(Account *account, Slice literal, void (*each)(void *cookie, Sub *sub),
                        void *cookie) {
    ASSERT_HOME(account->bus);
    Matched matched;
    Counted counted = {each, cookie, 0};
    interest_match(&account->interest, literal, &matched);
    for (size_t i = 0; i < matched.len; i++)
        ref_each_sub(matched.at[i], count_one, &counted);
    matched_done(&matched);
    return counted.count;
}
