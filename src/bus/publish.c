/* From one message to all who want it. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "bus/bus_private.h"
#include "bus/trace.h"
#include "proto/json.h"

enum { PICKS_AT_HAND = 8, PARTS_AT_HAND = 16, FORWARDS_AT_HAND = 8 };

/* What other servers shall have of one message: told when all is known. */
typedef struct Forwards {
    Sub **at; /* their ports in any order, a port more than once */
    size_t len, cap;
    Sub *own[FORWARDS_AT_HAND];
} Forwards;

/* One publish under way. */
typedef struct Fanout {
    Account *account;
    const Message *message;
    const Port *no_echo; /* whose subscriptions are left out, or NULL */
    const Port *from;
    Slice to;
    const Slice *only; /* queues: no other may choose */
    size_t only_count;
    bool is_directed; /* only counts */
    Forwards forwards;
    size_t receivers;
    WorkerSet workers; /* to be mailed */
    bool has_workers;
    Pick *picks;
    size_t pick_count, pick_cap;
    Pick own[PICKS_AT_HAND];
} Fanout;

/* A queue group, as far as one subject is concerned; members of the same name elsewhere belong to
 * it too. */
typedef struct Part {
    Ref ref; /* REF_SUB, REF_REMOTE, or REF_LEAF = a Group */
    uint32_t hash;
    Slice name;
    bool is_far; /* on other servers: name is without the mark */
} Part;

typedef struct Parts {
    Part *at;
    size_t len, cap;
    bool has_far;
    Part own[PARTS_AT_HAND];
} Parts;

/* The queues that a message from another server names. */
typedef struct Directions {
    const Slice *queues;
    size_t count;
} Directions;

static size_t fan_out(Account *account, Slice to, const Message *message, Port *from,
                      const Directions *directions);
static size_t publish_mapped(Account *account, Slice to, const Message *message, Port *from,
                             const Directions *directions);

size_t bus_publish(Account *account, Slice to, const Message *message, Port *from, unsigned flags) {
    ASSERT_HOME(account->bus);
    if (__builtin_expect(account->mapping_count == 0, 1) || from == NULL ||
        from->ops->kind != PORT_CLIENT || (flags & BUS_NO_MAPPINGS))
        return fan_out(account, to, message, from, NULL);
    return publish_mapped(account, to, message, from, NULL);
}

size_t bus_publish_directed(Account *account, Slice to, const Message *message, Port *from,
                            const Slice *queues, size_t queue_count) {
    Directions directions = {queues, queue_count};
    ASSERT_HOME(account->bus);
    if (account->mapping_count == 0)
        return fan_out(account, to, message, from, &directions);
    return publish_mapped(account, to, message, from, &directions);
}

static size_t publish_mapped(Account *account, Slice to, const Message *message, Port *from,
                             const Directions *directions) {
    Bus *bus = account->bus;
    Buf inner = {0};
    Buf *mapped = bus->busy.depth == 0 ? &bus->mapped : &inner;
    buf_clear(mapped);
    size_t receivers;
    if (account_map(account, to, mapped)) {
        Message changed = *message;
        changed.subject = buf_slice(mapped);
        if (message->trace) {
            Buf *out = trace_event(message->trace, "sm");
            buf_append_lit(out, ",\"to\":");
            json_write_string(out, changed.subject);
            buf_append_char(out, '}');
        }
        bool names_none = directions && directions->count == 0;
        receivers =
            fan_out(account, changed.subject, &changed, from, names_none ? NULL : directions);
    } else {
        receivers = fan_out(account, to, message, from, directions);
    }
    buf_done(&inner);
    return receivers;
}

const Message *message_with_hold(const Message *message, Message *room) {
    MessageCopy *copy = message->copy;
    if (message->hold || copy == NULL)
        return message->hold ? message : NULL;
    Slice headers = message->headers, payload = message->payload;
    if (copy->hold == NULL) {
        copy->hold = shared_try_new(headers.len + payload.len);
        if (copy->hold == NULL)
            return NULL;
        copy->headers = headers.ptr;
        copy->payload = payload.ptr;
        if (headers.len)
            memcpy(shared_bytes(copy->hold), headers.ptr, headers.len);
        memcpy(shared_bytes(copy->hold) + headers.len, payload.ptr, payload.len);
    } else if (copy->headers != headers.ptr || copy->payload != payload.ptr ||
               shared_len(copy->hold) != headers.len + payload.len) {
        return NULL; /* somebody changed it on the way */
    }
    const char *bytes = shared_bytes(copy->hold);
    *room = *message;
    room->headers = slice_from(bytes, headers.len);
    room->payload = slice_from(bytes + headers.len, payload.len);
    room->hold = copy->hold;
    return room;
}

static inline void forwards_init(Forwards *forwards) {
    forwards->at = forwards->own;
    forwards->len = 0;
    forwards->cap = FORWARDS_AT_HAND;
}

static void forward_later(Forwards *forwards, Sub *sub) {
    if (forwards->len == forwards->cap) {
        Sub **at = mem_alloc(2 * forwards->cap * sizeof(Sub *));
        memcpy(at, forwards->at, forwards->len * sizeof(Sub *));
        if (forwards->at != forwards->own)
            mem_free(forwards->at);
        forwards->at = at;
        forwards->cap *= 2;
    }
    forwards->at[forwards->len++] = sub;
}

static int compare_forwards(const void *a, const void *b) {
    const Sub *x = *(Sub *const *)a, *y = *(Sub *const *)b;
    if (x->port != y->port)
        return (uintptr_t)x->port < (uintptr_t)y->port ? -1 : 1;
    return 0;
}

/* One message a port, with all the groups that are left to it. */
static void forward_now(Forwards *forwards, Slice to, const Message *message, const Port *from) {
    Slice at_hand[FORWARDS_AT_HAND];
    Slice *queues =
        forwards->len > FORWARDS_AT_HAND ? mem_alloc(forwards->len * sizeof *queues) : at_hand;
    if (forwards->len > 1)
        qsort(forwards->at, forwards->len, sizeof(Sub *), compare_forwards);
    for (size_t i = 0, next; i < forwards->len; i = next) {
        Port *port = forwards->at[i]->port;
        size_t count = 0;
        for (next = i; next < forwards->len && forwards->at[next]->port == port; next++)
            if (forwards->at[next]->queue_len)
                queues[count++] = queue_name(sub_queue(forwards->at[next]));
        port->ops->forward(port, &(Forwarding){to, message, from, queues, count});
    }
    if (queues != at_hand)
        mem_free(queues);
    if (forwards->at != forwards->own)
        mem_free(forwards->at);
}

/* Delivery. The port may remove its subscriptions in it, this one too. */
static inline void hand_over(Forwards *forwards, Sub *sub, const Message *message) {
    Port *port = sub->port;
    if (__builtin_expect(message->trace != NULL, 0) &&
        !trace_port(message->trace, sub, message, NULL))
        return;
    sub->delivered++;
    if (__builtin_expect(port->ops->forward != NULL, 0))
        forward_later(forwards, sub);
    else
        port->ops->deliver(port, sub, message);
}

static inline bool is_wanted_by(const Port *port, Slice to, const Port *from) {
    return __builtin_expect(port->ops->wants == NULL, 1) ||
           port->ops->wants((Port *)(uintptr_t)port, to, from);
}

static inline void deliver_here(Fanout *fanout, Sub *sub) {
    if (sub->port == fanout->no_echo) {
        if (fanout->message->trace)
            trace_port(fanout->message->trace, sub, fanout->message,
                       "Not delivered because of no echo");
        return;
    }
    if (!is_wanted_by(sub->port, fanout->to, fanout->from))
        return;
    fanout->receivers++;
    hand_over(&fanout->forwards, sub, fanout->message);
}

static inline void add_worker(Fanout *fanout, unsigned worker) {
    worker_set_add(&fanout->workers, worker);
    fanout->has_workers = true;
}

static void want_plain_of(Fanout *fanout, unsigned worker) {
    if (!worker_set_has(&fanout->workers, worker))
        fanout->receivers++;
    add_worker(fanout, worker);
}

/* To the plain ones; true when there are queue groups. */
static bool deliver_plain(Fanout *fanout, Ref ref) {
    if (ref_kind(ref) == REF_SUB) {
        Sub *sub = ref_ptr(ref);
        if (sub->queue_len)
            return true;
        if (!(sub->flags & SUB_GONE))
            deliver_here(fanout, sub);
        return false;
    }
    if (ref_kind(ref) == REF_REMOTE) {
        const Remote *remote = ref_ptr(ref);
        if (remote->queue_len == 0)
            want_plain_of(fanout, remote->worker);
        return remote->queue_len != 0;
    }
    Leaf *leaf = ref_ptr(ref);
    for (uint32_t i = 0; i < leaf->remote.len; i++)
        want_plain_of(fanout, leaf->remote.at[i].worker);
    uint32_t count = leaf->plain.len; /* later ones are too late */
    for (uint32_t i = 0; i < count; i++)
        if (leaf->plain.at[i])
            deliver_here(fanout, leaf->plain.at[i]);
    return leaf->group_count != 0;
}

/* Parts. */

static void parts_add(Parts *parts, Ref ref, uint32_t hash, Slice name) {
    bool is_far = queue_is_far(name);
    if (is_far) {
        name = queue_name(name);
        hash = queue_hash(name);
        parts->has_far = true;
    }
    if (parts->len == parts->cap) {
        Part *at = mem_alloc(2 * parts->cap * sizeof *at);
        memcpy(at, parts->at, parts->len * sizeof *at);
        if (parts->at != parts->own)
            mem_free(parts->at);
        parts->at = at;
        parts->cap *= 2;
    }
    parts->at[parts->len++] = (Part){ref, hash, name, is_far};
}

/* only: of this name, or of all when its ptr is NULL. */
static void gather_parts(Parts *parts, const Matched *matched, Slice only) {
    uint32_t only_hash = only.ptr ? queue_hash(only) : 0;
    parts->at = parts->own;
    parts->len = 0;
    parts->cap = PARTS_AT_HAND;
    parts->has_far = false;
    for (size_t i = 0; i < matched->len; i++) {
        Ref ref = matched->at[i];
        if (ref_kind(ref) == REF_LEAF) {
            const Leaf *leaf = ref_ptr(ref);
            for (uint32_t k = 0; k < leaf->group_count; k++) {
                const Group *group = leaf->groups[k];
                if (only.ptr &&
                    (group->name_hash != only_hash || !slice_equal(group_name(group), only)))
                    continue;
                parts_add(parts, ref_make(group, REF_LEAF), group->name_hash, group_name(group));
            }
            continue;
        }
        Slice name =
            ref_kind(ref) == REF_SUB ? sub_queue(ref_ptr(ref)) : remote_queue(ref_ptr(ref));
        if (name.len == 0 || (only.ptr && !slice_equal(name, only)))
            continue;
        parts_add(parts, ref, only.ptr ? only_hash : queue_hash(name), name);
    }
}

static void parts_done(Parts *parts) {
    if (parts->at != parts->own)
        mem_free(parts->at);
}

static int compare_parts(const void *a, const void *b) {
    const Part *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    int order = slice_compare(x->name, y->name);
    return order ? order : (int)x->is_far - (int)y->is_far;
}

static bool is_same_group(const Part *a, const Part *b) {
    return a->hash == b->hash && slice_equal(a->name, b->name);
}

/* Own members; holes are counted, and found to be NULL. */
static uint32_t part_len(const Part *part) {
    if (ref_kind(part->ref) == REF_LEAF)
        return ((const Group *)ref_ptr(part->ref))->members.len;
    return ref_kind(part->ref) == REF_SUB;
}

static Sub *part_member(const Part *part, uint64_t i) {
    if (ref_kind(part->ref) == REF_LEAF)
        return ((const Group *)ref_ptr(part->ref))->members.at[i];
    return ref_ptr(part->ref);
}

static uint32_t part_remote_total(const Part *part) {
    if (ref_kind(part->ref) == REF_LEAF)
        return ((const Group *)ref_ptr(part->ref))->remote.total;
    return ref_kind(part->ref) == REF_REMOTE ? ((const Remote *)ref_ptr(part->ref))->count : 0;
}

static unsigned part_worker(const Part *part, uint64_t i) {
    if (ref_kind(part->ref) == REF_REMOTE)
        return ((const Remote *)ref_ptr(part->ref))->worker;
    const RemoteSet *remote = &((const Group *)ref_ptr(part->ref))->remote;
    uint32_t k = 0;
    while (i >= remote->at[k].count)
        i -= remote->at[k++].count;
    return remote->at[k].worker;
}

/* What is said of a message to members of groups. */
typedef struct Choice {
    Slice to;
    const Port *from, *no_echo;
    unsigned flags_not;
} Choice;

/* The first from `start` on, around, that may have it; NULL when there is none. */
static Sub *choose_member(const Part *parts, size_t count, uint64_t total, uint64_t start,
                          const Choice *choice) {
    for (uint64_t step = 0; step < total; step++) {
        uint64_t i = start + step < total ? start + step : start + step - total;
        size_t k = 0;
        for (; k < count && i >= part_len(&parts[k]); k++)
            i -= part_len(&parts[k]);
        if (k == count) /* members went meanwhile */
            return NULL;
        Sub *sub = part_member(&parts[k], i);
        if (sub && !(sub->flags & choice->flags_not) && sub->port != choice->no_echo &&
            is_wanted_by(sub->port, choice->to, choice->from))
            return sub;
    }
    return NULL;
}

static void add_pick(Fanout *fanout, unsigned worker, Slice queue) {
    if (fanout->pick_count == fanout->pick_cap) {
        Pick *picks = mem_alloc(2 * fanout->pick_cap * sizeof *picks);
        memcpy(picks, fanout->picks, fanout->pick_count * sizeof *picks);
        if (fanout->picks != fanout->own)
            mem_free(fanout->picks);
        fanout->picks = picks;
        fanout->pick_cap *= 2;
    }
    fanout->picks[fanout->pick_count++] = (Pick){worker, queue};
    add_worker(fanout, worker);
}

/* Own members of a far group count as what they stand for. Which one, by weight; if that one may
 * not have it, the next that may. */
static Sub *choose_far(const Part *parts, size_t count, uint64_t die, const Choice *choice) {
    uint64_t at = 0, total = 0;
    bool is_found = false;
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < part_len(&parts[i]); k++, total++) {
            const Sub *sub = part_member(&parts[i], k);
            uint64_t members = sub ? sub->max : 0;
            if (!is_found && die < members) {
                is_found = true;
                at = total;
            }
            die -= die < members ? die : members;
        }
    return choose_member(parts, count, total, at, choice);
}

static uint64_t part_weight(const Part *part) {
    uint64_t weight = 0;
    if (!part->is_far)
        return part_len(part);
    for (uint32_t k = 0; k < part_len(part); k++) {
        const Sub *sub = part_member(part, k);
        weight += sub ? sub->max : 0;
    }
    return weight;
}

/* One member of one group: parts of one name, all of them far or none. False: none may have it. */
static bool deliver_side(Fanout *fanout, const Part *parts, size_t count) {
    Rand *rand = &fanout->account->bus->home->rand;
    const Choice choice = {fanout->to, fanout->from, fanout->no_echo, SUB_GONE};
    uint64_t local = 0, remote = 0;
    for (size_t i = 0; i < count; i++) {
        local += part_weight(&parts[i]);
        remote += part_remote_total(&parts[i]);
    }
    uint64_t total = local + remote;
    uint64_t die = total > 1 ? rand_below(rand, total) : 0;
    if (die < local) {
        Sub *sub = parts->is_far ? choose_far(parts, count, die, &choice)
                                 : choose_member(parts, count, local, die, &choice);
        if (sub) {
            fanout->receivers++;
            hand_over(&fanout->forwards, sub, fanout->message);
            return true;
        }
        if (remote)
            die = local + rand_below(rand, remote);
    }
    if (die < local || remote == 0)
        return false;
    die -= local;
    size_t k = 0;
    while (die >= part_remote_total(&parts[k]))
        die -= part_remote_total(&parts[k++]);
    fanout->receivers++;
    Slice name = parts[k].name;
    if (parts[k].is_far) /* with its mark, which lies in front of it */
        name = slice_from(name.ptr - 1, name.len + 1);
    add_pick(fanout, part_worker(&parts[k], die), name);
    return true;
}

/* One member of one group: parts of one name, far ones behind. */
static void deliver_group(Fanout *fanout, const Part *parts, size_t count) {
    if (fanout->is_directed) {
        size_t i = 0;
        while (i < fanout->only_count && !slice_equal(fanout->only[i], parts->name))
            i++;
        if (i == fanout->only_count)
            return;
    }
    size_t near = 0;
    while (near < count && !parts[near].is_far)
        near++;
    if (near > 0 && deliver_side(fanout, parts, near))
        return;
    if (near < count)
        (void)deliver_side(fanout, parts + near, count - near);
}

static void deliver_groups(Fanout *fanout, const Matched *matched, size_t refs_with_groups) {
    Parts parts;
    gather_parts(&parts, matched, (Slice){0});
    bool may_repeat = refs_with_groups > 1 || parts.has_far; /* else the names differ */
    if (may_repeat)
        qsort(parts.at, parts.len, sizeof *parts.at, compare_parts);
    for (size_t i = 0, next; i < parts.len; i = next) {
        next = i + 1;
        while (may_repeat && next < parts.len && is_same_group(&parts.at[i], &parts.at[next]))
            next++;
        deliver_group(fanout, &parts.at[i], next - i);
    }
    parts_done(&parts);
}

static void mail_workers(Fanout *fanout, Slice to) {
    Worker *home = fanout->account->bus->home;
    for (unsigned i = 0; i <= home->count; i++)
        if (worker_set_has(&fanout->workers, i))
            exchange_send_message(fanout->account, i, to, fanout->message, fanout->picks,
                                  fanout->pick_count);
}

static size_t fan_out(Account *account, Slice to, const Message *message, Port *from,
                      const Directions *directions) {
    Bus *bus = account->bus;
    Matched matched;
    interest_match(&account->interest, to, &matched);
    if (matched.len == 0)
        return 0;

    Fanout fanout;
    fanout.account = account;
    fanout.message = message;
    fanout.no_echo = from && from->no_echo ? from : NULL;
    fanout.from = from;
    fanout.to = to;
    fanout.is_directed = directions != NULL;
    fanout.only = directions ? directions->queues : NULL;
    fanout.only_count = directions ? directions->count : 0;
    forwards_init(&fanout.forwards);
    fanout.receivers = 0;
    fanout.workers = (WorkerSet){0};
    fanout.has_workers = false;
    fanout.picks = fanout.own;
    fanout.pick_count = 0;
    fanout.pick_cap = PICKS_AT_HAND;

    busy_enter(bus);
    size_t refs_with_groups = 0;
    for (size_t i = 0; i < matched.len; i++)
        refs_with_groups += deliver_plain(&fanout, matched.at[i]);
    if (refs_with_groups)
        deliver_groups(&fanout, &matched, refs_with_groups);
    if (fanout.has_workers)
        mail_workers(&fanout, to);
    if (__builtin_expect(fanout.forwards.len > 0, 0))
        forward_now(&fanout.forwards, to, message, from);
    if (fanout.picks != fanout.own)
        mem_free(fanout.picks);
    busy_leave(bus);
    matched_done(&matched);

    bus->stats.fanout_count++;
    bus->stats.fanout_sum += fanout.receivers;
    if (fanout.receivers > bus->stats.fanout_max)
        bus->stats.fanout_max = fanout.receivers;
    return fanout.receivers;
}

/* What other workers sent: delivered, never sent on. */

typedef struct Arrival {
    Account *account;
    unsigned from;
    Slice to;
    const Message *message;
    Forwards forwards;
} Arrival;

static void deliver_arrived(Arrival *arrival, Sub *sub) {
    if (!is_wanted_by(sub->port, arrival->to, NULL))
        return;
    hand_over(&arrival->forwards, sub, arrival->message);
    if (sub->flags & SUB_GONE)
        return;
    Port *port = sub->port;
    if (port->ops->is_congested && port->ops->is_congested(port))
        congestion_report(arrival->account, arrival->from, arrival->to, sub);
}

static void deliver_arrived_plain(Arrival *arrival, Ref ref) {
    if (ref_kind(ref) == REF_SUB) {
        Sub *sub = ref_ptr(ref);
        if (sub->queue_len == 0 && !(sub->flags & (SUB_GONE | SUB_LOCAL)))
            deliver_arrived(arrival, sub);
        return;
    }
    if (ref_kind(ref) == REF_REMOTE)
        return;
    Leaf *leaf = ref_ptr(ref);
    uint32_t count = leaf->plain.len;
    for (uint32_t i = 0; i < count; i++) {
        Sub *sub = leaf->plain.at[i];
        if (sub && !(sub->flags & SUB_LOCAL))
            deliver_arrived(arrival, sub);
    }
}

/* A group that has lost its members here meanwhile does without, as it would between servers. */
static void deliver_arrived_pick(Arrival *arrival, const Matched *matched, Slice queue) {
    Parts parts;
    uint64_t total = 0;
    gather_parts(&parts, matched, queue);
    for (size_t i = 0; i < parts.len; i++)
        total += part_weight(&parts.at[i]);
    if (total) {
        const Choice choice = {arrival->to, NULL, NULL, SUB_GONE | SUB_LOCAL};
        uint64_t start = total > 1 ? rand_below(&arrival->account->bus->home->rand, total) : 0;
        Sub *sub = parts.has_far ? choose_far(parts.at, parts.len, start, &choice)
                                 : choose_member(parts.at, parts.len, total, start, &choice);
        if (sub)
            deliver_arrived(arrival, sub);
    }
    parts_done(&parts);
}

void bus_deliver_from(Account *account, unsigned from, Slice to, const Message *message,
                      Slice packed_picks) {
    Bus *bus = account->bus;
    Arrival arrival;
    Matched matched;
    Slice queue;

    arrival.account = account;
    arrival.from = from;
    arrival.to = to;
    arrival.message = message;
    forwards_init(&arrival.forwards);
    interest_match(&account->interest, to, &matched);
    busy_enter(bus);
    for (size_t i = 0; i < matched.len; i++)
        deliver_arrived_plain(&arrival, matched.at[i]);
    while (exchange_cut_pick(&packed_picks, &queue))
        deliver_arrived_pick(&arrival, &matched, queue);
    if (__builtin_expect(arrival.forwards.len > 0, 0))
        forward_now(&arrival.forwards, to, message, NULL);
    busy_leave(bus);
    matched_done(&matched);
}
