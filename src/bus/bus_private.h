/* What the files of bus/ share. */
#pragma once

#include "base/limits.h"
#include "base/vec.h"
#include "bus/bus.h"
#include "bus/congestion.h"
#include "bus/exchange.h"
#include "bus/interest.h"

struct Account {
    Bus *bus;
    char *name;
    size_t index;
    Interest interest;
    Map watches; /* subject -> first InterestWatch */
    InterestTap *tap;
    Mapping **mappings;
    size_t mapping_count;
    Map literal_mappings; /* from -> the first Mapping */
    bool has_wildcard_mappings;
    char *trace_dest;
    size_t trace_dest_len;
    unsigned trace_percent;
};

struct Bus {
    Worker *home;
    Account *accounts;
    size_t account_count;
    Map names;
    Busy busy;
    BusStats stats;
    Exchange exchange;
    Congestion congestion;
    List due_watches;
    Task watch_task;
    Buf mapped; /* the subject of the outermost publish */
};

/* 1 when a mapping begins at that very subject, which is then wanted. */
uint64_t account_mapping_at(const Account *account, Slice subject);
/* Mappings whose subject nobody has subscribed to. */
void account_each_bare_mapping(Account *account,
                               void (*each)(void *cookie, Slice subject, Slice queue,
                                            uint64_t count),
                               void *cookie);

/* On each change of interest in exactly this subject and queue: when it is in place, or about to go
 * (delta < 0 of an own one). port: whose, NULL = on another worker. */
void watches_tell(Account *account, Slice subject, Slice queue, int64_t delta, const Port *port);
static inline bool queue_is_far(Slice queue) {
    return queue.len > 0 && queue.ptr[0] == SUB_FAR_MARK;
}
static inline Slice queue_name(Slice queue) {
    return queue_is_far(queue) ? slice_from_at(queue, 1) : queue;
}
/* Members that a subscription stands for. */
static inline uint32_t sub_members(const Sub *sub) {
    return queue_is_far(sub_queue(sub)) ? (uint32_t)sub->max : 1;
}
void watches_init(Bus *bus);

/* Appends the new subject to out; false = it keeps the old one. */
bool account_map(Account *account, Slice subject, Buf *out);

/* What another worker sent: to own subscriptions, and to one member of each picked queue. */
void bus_deliver_from(Account *account, unsigned from, Slice to, const Message *message,
                      Slice packed_picks);

static inline void busy_enter(Bus *bus) {
    bus->busy.depth++;
}
static inline void busy_leave(Bus *bus) {
    if (--bus->busy.depth == 0 && __builtin_expect(busy_has_work(&bus->busy), 0))
        busy_settle(&bus->busy);
}

/* Workers as a set; the main worker included. */
typedef struct WorkerSet WorkerSet;
struct WorkerSet {
    uint64_t bits[LIMIT_WORKERS / 64 + 1];
};
static inline void worker_set_add(WorkerSet *set, unsigned worker) {
    set->bits[worker / 64] |= (uint64_t)1 << worker % 64;
}
static inline bool worker_set_has(const WorkerSet *set, unsigned worker) {
    return set->bits[worker / 64] >> worker % 64 & 1;
}
static inline void worker_set_remove(WorkerSet *set, unsigned worker) {
    set->bits[worker / 64] &= ~((uint64_t)1 << worker % 64);
}
static inline bool worker_set_is_empty(const WorkerSet *set) {
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++)
        if (set->bits[i])
            return false;
    return true;
}
static inline bool worker_set_meets(const WorkerSet *a, const WorkerSet *b) {
    for (size_t i = 0; i < sizeof a->bits / sizeof a->bits[0]; i++)
        if (a->bits[i] & b->bits[i])
            return true;
    return false;
}
