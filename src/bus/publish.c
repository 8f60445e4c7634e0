/* From one message to all who want it. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "bus/bus_private.h"
#include "bus/trace.h"
#include "proto/json.h"

enum { PICKS_AT_HAND = 8, PARTS_AT_HAND = 16 };

/* One publish under way. */
typedef struct Fanout {
    Account *account;
    const Message *message;
    const Port *no_echo; /* whose subscriptions are left out, or NULL */
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
} Part;

typedef struct Parts {
    Part *at;
    size_t len, cap;
    Part own[PARTS_AT_HAND];
} Parts;

static size_t fan_out(Account *account, Slice to, const Message *message, Port *from);

size_t bus_publish(Account *account, Slice to, const Message *message, Port *from, unsigned flags) {
    Bus *bus = account->bus;
    ASSERT_HOME(bus);
    if (__builtin_expect(account->mapping_count == 0, 1) || from == NULL ||
        from->ops->kind != PORT_CLIENT || (flags & BUS_NO_MAPPINGS))
        return fan_out(account, to, message, from);

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
        receivers = fan_out(account, changed.subject, &changed, from);
    } else {
        receivers = fan_out(account, to, message, from);
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

/* Delivery. The port may remove its subscriptions in it, this one too. */
static inline void hand_over(Sub *sub, const Message *message) {
    Port *port = sub->port;
    if (__builtin_expect(message->trace != NULL, 0) &&
        !trace_port(message->trace, sub, message, NULL))
        return;
    sub->delivered++;
    port->ops->deliver(port, sub, message);
}

static inline void deliver_here(Fanout *fanout, Sub *sub) {
    if (sub->port == fanout->no_echo) {
        if (fanout->message->trace)
            trace_port(fanout->message->trace, sub, fanout->message,
                       "Not delivered because of no echo");
        return;
    }
    fanout->receivers++;
    hand_over(sub, fanout->message);
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
    if (parts->len == parts->cap) {
        Part *at = mem_alloc(2 * parts->cap * sizeof *at);
        memcpy(at, parts->at, parts->len * sizeof *at);
        if (parts->at != parts->own)
            mem_free(parts->at);
        parts->at = at;
        parts->cap *= 2;
    }
    parts->at[parts->len++] = (Part){ref, hash, name};
}

/* only: of this name, or of all when its ptr is NULL. */
static void gather_parts(Parts *parts, const Matched *matched, Slice only) {
    uint32_t only_hash = only.ptr ? queue_hash(only) : 0;
    parts->at = parts->own;
    parts->len = 0;
    parts->cap = PARTS_AT_HAND;
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
    return slice_compare(x->name, y->name);
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

/* The first from `start` on, around, that may have it; NULL when there is none. */
static Sub *choose_member(const Part *parts, size_t count, uint64_t total, uint64_t start,
                          const Port *no_echo, unsigned flags_not) {
    for (uint64_t step = 0; step < total; step++) {
        uint64_t i = start + step < total ? start + step : start + step - total;
        size_t k = 0;
        for (; k < count && i >= part_len(&parts[k]); k++)
            i -= part_len(&parts[k]);
        if (k == count) /* members went meanwhile */
            return NULL;
        Sub *sub = part_member(&parts[k], i);
        if (sub && !(sub->flags & flags_not) && sub->port != no_echo)
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

/* One member of one group: parts of one name. */
static void deliver_group(Fanout *fanout, const Part *parts, size_t count) {
    Rand *rand = &fanout->account->bus->home->rand;
    uint64_t local = 0, remote = 0;
    for (size_t i = 0; i < count; i++) {
        local += part_len(&parts[i]);
        remote += part_remote_total(&parts[i]);
    }
    uint64_t total = local + remote;
    uint64_t die = total > 1 ? rand_below(rand, total) : 0;
    if (die < local) {
        Sub *sub = choose_member(parts, count, local, die, fanout->no_echo, SUB_GONE);
        if (sub) {
            fanout->receivers++;
            hand_over(sub, fanout->message);
            return;
        }
        if (remote)
            die = local + rand_below(rand, remote);
    }
    if (die < local || remote == 0)
        return;
    die -= local;
    size_t k = 0;
    while (die >= part_remote_total(&parts[k]))
        die -= part_remote_total(&parts[k++]);
    fanout->receivers++;
    add_pick(fanout, part_worker(&parts[k], die), parts[k].name);
}

static void deliver_groups(Fanout *fanout, const Matched *matched, size_t refs_with_groups) {
    Parts parts;
    gather_parts(&parts, matched, (Slice){0});
    if (refs_with_groups > 1) /* else the names differ */
        qsort(parts.at, parts.len, sizeof *parts.at, compare_parts);
    for (size_t i = 0, next; i < parts.len; i = next) {
        next = i + 1;
        while (refs_with_groups > 1 && next < parts.len &&
               compare_parts(&parts.at[i], &parts.at[next]) == 0)
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

static size_t fan_out(Account *account, Slice to, const Message *message, Port *from) {
    Bus *bus = account->bus;
    Matched matched;
    interest_match(&account->interest, to, &matched);
    if (matched.len == 0)
        return 0;

    Fanout fanout;
    fanout.account = account;
    fanout.message = message;
    fanout.no_echo = from && from->no_echo ? from : NULL;
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
} Arrival;

static void deliver_arrived(const Arrival *arrival, Sub *sub) {
    hand_over(sub, arrival->message);
    if (sub->flags & SUB_GONE)
        return;
    Port *port = sub->port;
    if (port->ops->is_congested && port->ops->is_congested(port))
        congestion_report(arrival->account, arrival->from, arrival->to, sub);
}

static void deliver_arrived_plain(const Arrival *arrival, Ref ref) {
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
static void deliver_arrived_pick(const Arrival *arrival, const Matched *matched, Slice queue) {
    Parts parts;
    uint64_t total = 0;
    gather_parts(&parts, matched, queue);
    for (size_t i = 0; i < parts.len; i++)
        total += part_len(&parts.at[i]);
    if (total) {
        uint64_t start = total > 1 ? rand_below(&arrival->account->bus->home->rand, total) : 0;
        Sub *sub = choose_member(parts.at, parts.len, total, start, NULL, SUB_GONE | SUB_LOCAL);
        if (sub)
            deliver_arrived(arrival, sub);
    }
    parts_done(&parts);
}

void bus_deliver_from(Account *account, unsigned from, Slice to, const Message *message,
                      Slice packed_picks) {
    Bus *bus = account->bus;
    Arrival arrival = {account, from, to, message};
    Matched matched;
    Slice queue;

    interest_match(&account->interest, to, &matched);
    busy_enter(bus);
    for (size_t i = 0; i < matched.len; i++)
        deliver_arrived_plain(&arrival, matched.at[i]);
    while (exchange_cut_pick(&packed_picks, &queue))
        deliver_arrived_pick(&arrival, &matched, queue);
    busy_leave(bus);
    matched_done(&matched);
}
