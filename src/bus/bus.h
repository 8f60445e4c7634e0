/* Bus: who wants a subject, and handing it over. One Bus per worker; each account is a subject
 * space of its own, present on every worker.
 *
 * Each worker knows its own subscriptions in detail and those of other workers as counts per
 * subject and queue. A message that other workers want is mailed once per worker, which then
 * matches again and delivers to its own. Queue groups: one member per message over all workers, by
 * weight; the receiving worker picks its member. Matching results of literal subjects are cached
 * until interest changes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/shared.h"
#include "base/slice.h"
#include "io/worker.h"

typedef struct Bus Bus;
typedef struct Account Account;
typedef struct Port Port;
typedef struct Sub Sub;
typedef struct Trace Trace;

/* Of a message without hold: the copy that the first who wanted to keep its body has made, for the
 * others too. */
typedef struct MessageCopy {
    Shared *hold; /* NULL = nobody did; whoever made the message unrefs it after the call */
    const char *headers, *payload; /* what it is a copy of */
} MessageCopy;

/* What is handed over. All bytes are borrowed for the call. */
typedef struct Message {
    Slice subject; /* as the receiver shall see it */
    Slice reply;   /* empty = none */
    Slice headers; /* whole block with its closing CRLF CRLF; empty = none */
    Slice payload;
    Shared *hold; /* owns headers and payload when not NULL: receivers may keep a reference instead
                     of copying */
    MessageCopy *copy; /* NULL = bodies without hold are not worth keeping */
    Trace *trace;      /* NULL = nobody asked where it goes (trace.h) */
    Port *from;        /* the client of this worker that sent it, or NULL */
} Message;

/* The message, or *room made from it, so that it has a hold. NULL: there is none to be had. */
const Message *message_with_hold(const Message *message, Message *room);

typedef enum PortKind {
    PORT_CLIENT,
    PORT_STREAM,
    PORT_API,
    PORT_CONSUMER,
    PORT_SYSTEM,
    PORT_WORKER,
    PORT_LEAF, /* another server */
} PortKind;

/* A message for another server. */
typedef struct Forwarding {
    Slice to; /* what it was published to: the subject whose interest brought it here */
    const Message *message;
    const Port *from;
    const Slice *queues;
    size_t queue_count;
} Forwarding;

/* The one vtable of the data path. */
typedef struct PortOps {
    PortKind kind;
    /* On the port's home worker. Must not add or remove subscriptions of other ports, nor publish
     * re-entrantly more than a reply. */
    void (*deliver)(Port *port, Sub *sub, const Message *message);
    /* May be NULL: never. Too much is pending: whoever can wait (a consumer) should; publishers are
     * slowed down. */
    bool (*is_congested)(Port *port);
    /* May be NULL. Members of a JSON object, a comma in front of each: who that is, in traces. */
    void (*describe)(Port *port, Buf *out);
    /* May be NULL. A JSON object: who that is, in advisories. */
    void (*identify)(Port *port, Buf *out);
    /* May be NULL. Appends a subject that has a subscriber, from the end of this turn on, exactly
     * as long as the one behind the port is connected. */
    void (*presence)(Port *port, Buf *out);
    /* May be NULL: no. The one behind the port may not publish everywhere. */
    bool (*is_restricted)(Port *port);
    /* Together with is_restricted. Asked where a request makes others write in its name: whether
     * the one behind the port may publish there itself; if not, is_told tells it that. */
    bool (*may_publish)(Port *port, Slice subject, bool is_told);
    /* Not NULL for another server: takes the place of deliver. Called once for each message,
     * however many of its subscriptions cover it; queues: the groups that were left to it. from:
     * who published it on this worker, or NULL. */
    void (*forward)(Port *port, const Forwarding *forwarding);
    /* With forward: false when it must not have that message. */
    bool (*wants)(Port *port, Slice to, const Port *from);
} PortOps;

struct Port {
    const PortOps *ops;
    Worker *home;
    bool no_echo; /* its own messages are not delivered to its own subscriptions */
};

/* A subscription. Made by sub_new, owned by its port, freed by sub_remove.
 *
 * Queue groups of other servers (PORT_LEAF) stand apart: their queue is the group's name behind
 * SUB_FAR_MARK, which no other queue begins with, their max the number of members there, and they
 * get a message only when no member of the group here can have it. */
#define SUB_FAR_MARK ' '
struct Sub {
    Port *port;
    void *set;              /* private: where it is listed; NULL = the only one of its subject */
    uint64_t delivered;     /* counted by the bus, before deliver */
    uint64_t max;           /* 0 = none; the port acts when delivered reaches it. Far: members */
    uint32_t place;         /* private: where in set */
    uint32_t account_index; /* private: see sub_account */
    uint16_t cookie;        /* the port's own use */
    uint16_t subject_len, queue_len, sid_len;
    uint8_t flags; /* private */
    char text[];   /* subject, queue, sid */
};

static inline Slice sub_subject(const Sub *sub) {
    return slice_from(sub->text, sub->subject_len);
}
static inline Slice sub_queue(const Sub *sub) {
    return slice_from(sub->text + sub->subject_len, sub->queue_len);
}
static inline Slice sub_sid(const Sub *sub) {
    return slice_from(sub->text + sub->subject_len + sub->queue_len, sub->sid_len);
}

/* Set-up. accounts: names, the same on every worker, known before start; index 0 is "$G", 1 is
 * "$SYS". Sets home->bus. On each worker before any other turn hook is added; on the main worker
 * only if it publishes or subscribes. bus_free: after the workers were joined; frees subscriptions
 * that ports have left behind. */
Bus *bus_new(Worker *home, const Slice *account_names, size_t account_count);
void bus_free(Bus *bus);
size_t bus_account_count(const Bus *bus);
Account *bus_account(Bus *bus, size_t index);
Account *bus_account_by_name(Bus *bus, Slice name); /* NULL when unknown */
Slice account_name(const Account *account);
size_t account_index(const Account *account);
Bus *account_bus(const Account *account);

/* Subject must be valid; subject, queue and sid are shorter than 64 KiB each, which the caller sees
 * to. is_local: not told to other workers (an API port that every worker has itself). */
Sub *sub_add(Account *account, Port *port, Slice subject, Slice queue, Slice sid, bool is_local);
Account *sub_account(const Sub *sub);
/* The queue group of another server: name without the mark, members >= 1. */
Sub *sub_add_far(Account *account, Port *port, Slice subject, Slice name, uint32_t members);
/* Other members of it. */
void sub_set_members(Sub *sub, uint32_t members);
/* Frees sub; inside deliver too: nothing is delivered to it any more. */
void sub_remove(Sub *sub);

enum {
    BUS_NO_MAPPINGS = 1, /* internal: account mappings are not applied */
};

/* Delivers to everyone whose interest covers `to` (mostly message->subject; for consumers the
 * deliver subject or inbox, while receivers see message->subject). from may be NULL (the server).
 * Returns how many receive it, other workers' queue groups and plain subjects counted as one each;
 * 0 = no responders. */
size_t bus_publish(Account *account, Slice to, const Message *message, Port *from, unsigned flags);

/* What another server sent: of the queue groups only those that it names have it. Mappings apply;
 * of one that is mapped and names none, the groups choose as always, none of them when it is not.
 */
size_t bus_publish_directed(Account *account, Slice to, const Message *message, Port *from,
                            const Slice *queues, size_t queue_count);

/* Whether anyone, on any worker, would receive it. Cached. */
bool bus_has_interest(Account *account, Slice literal);

/* The same without the plain subscriptions of that port. Not cached. */
bool bus_has_other_interest(Account *account, Slice literal, const Port *port);

/* Whether one of the local receivers of `literal`, or one that another worker has reported, is
 * congested. */
bool bus_is_congested(Account *account, Slice literal);

/* The local plain subscription of that port that covers literal, or NULL (503 to a requester). */
Sub *bus_find_sub(Account *account, Port *port, Slice literal);

/* Watches subscriptions whose subject EQUALS a subject (push consumers): all workers counted. With
 * queue empty only plain ones count, else only those of that queue. changed runs when the count has
 * become zero or left zero: later in the same turn, never inside a call that changed it. */
typedef struct InterestWatch InterestWatch;
struct InterestWatch {
    Slice subject, queue; /* borrowed from the owner while it is added */
    uint64_t count;       /* now; read-only for the owner */
    void (*changed)(InterestWatch *watch);
    InterestWatch *previous, *next; /* private: of the same subject */
    Account *account;               /* private */
    Link due;                       /* private */
    bool was_wanted;                /* private: what the owner was told last */
};
void interest_watch_add(Account *account, InterestWatch *watch);
void interest_watch_remove(Account *account, InterestWatch *watch);

/* Told of changes of interest in an account, for whoever passes it on to other servers: not of
 * those that PORT_LEAF ports of this worker make. Before and after: how many subscriptions there
 * are to exactly this subject and queue, on all workers; a mapping from it counts as one. At most
 * one in an account. changed must not change interest. */
typedef struct InterestTap InterestTap;
struct InterestTap {
    void (*changed)(InterestTap *tap, Slice subject, Slice queue, uint64_t before, uint64_t after);
};
/* NULL: none any more. */
void account_set_tap(Account *account, InterestTap *tap);
/* All there is, each subject and queue once. count as in InterestTap. */
void account_each_interest(Account *account,
                           void (*each)(void *cookie, Slice subject, Slice queue, uint64_t count),
                           void *cookie);
/* The count of one of them. */
uint64_t account_interest(Account *account, Slice subject, Slice queue);

/* Congestion of a literal deliver subject went away (a consumer waits for it): retried by the
 * consumer's own task; see consumer. Zero-initialised is ready for use. */
typedef struct DrainWait DrainWait;
struct DrainWait {
    Link link;
    void (*drained)(DrainWait *wait);
};
/* drained runs once, in a later turn, when some port of this worker or another one drained. */
void bus_wait_for_drain(Bus *bus, DrainWait *wait);
/* Harmless when it waits for nothing. */
void bus_cancel_wait(DrainWait *wait);
/* Called by ports (client) when their outbox drained. O(1) when nobody waits. A port that goes away
 * need not: removing its subscriptions has the same effect. */
void bus_port_drained(Port *port);

/* Account mappings (subject mapping with weights), set at start and by reload. They apply to what
 * PORT_CLIENT ports publish. A mapping of the very subject goes before wildcard ones, and those in
 * the order given. Where weights do not add up to 100, the rest keeps its subject. */
typedef struct Mapping Mapping;
typedef struct MappingDest {
    Slice dest;
    unsigned weight_percent;
} MappingDest;
/* ERR_SYNTAX with the server's text. Copies. */
MUST_CHECK Status mapping_new(Slice from, const MappingDest *dests, size_t count, Buf *out_error,
                              Mapping **out_mapping);
void mapping_free(Mapping *mapping);
/* Takes the mappings; replaces earlier ones. */
void account_set_mappings(Account *account, Mapping **mappings, size_t count);

/* Where it is told what becomes of messages with a sampled traceparent, of percent in a hundred of
 * them; dest empty: of none. Set at start and by reload. */
void account_set_trace(Account *account, Slice dest, unsigned percent);
Slice account_trace_dest(const Account *account);
unsigned account_trace_percent(const Account *account);

/* Figures of this worker for monitoring. */
typedef struct BusStats {
    uint64_t subscriptions; /* own, not other workers' */
    uint64_t cache_entries, inserts, removes, matches, cache_hits;
    uint64_t fanout_max, fanout_sum, fanout_count; /* receivers per publish, publishes */
} BusStats;
void bus_stats(const Bus *bus, BusStats *out);
/* Own subscriptions; each must not add or remove any. */
void account_each_sub(Account *account, void (*each)(void *cookie, Sub *sub), void *cookie);
/* Those that cover literal; returns how many. */
size_t bus_test_subject(Account *account, Slice literal, void (*each)(void *cookie, Sub *sub),
                        void *cookie);
