/* Rig: a stream, a bus, a clock and a journal just real enough for the consumer's tests. Time
 * stands still until a test moves it. What consumers send is written to a trace, one line per
 * message. Not part of the library. */
#pragma once

#include "stream/consumer.h"

typedef struct RigMsg {
    bool is_live, is_cold, is_damaged, is_refused;
    int64_t time_ns;
    char *subject, *payload, *headers;
} RigMsg;

/* A proposal, or its copy in the log of what was applied. */
typedef struct RigEntry {
    RecordType type;
    char *name, *payload, *replies;
    size_t payload_len, replies_len;
    ApiCall *call;
} RigEntry;

typedef struct RigEvent { /* for replays: what happened to the stream */
    enum { EVENT_STORED, EVENT_REMOVED, EVENT_PURGED, EVENT_ENTRY } kind;
    uint64_t seq;
    size_t entry;
} RigEvent;

typedef struct Rig {
    Worker worker;
    Worker *all[2];
    JetStream js;
    JetStreamOptions options;
    StreamConfig config;
    Stream stream;
    ConsumerSet *set;
    int64_t wall_ns;
    VEC(RigMsg) msgs;        /* [seq - 1] */
    VEC(RigEntry) proposals; /* not committed */
    VEC(RigEntry) log;       /* applied */
    VEC(RigEvent) events;    /* in order */
    VEC(char *) subs;        /* "subject" or "subject queue" */
    VEC(char *) congested;
    VEC(Timer *) timers;
    VEC(InterestWatch *) watches;
    List ready, soon, drains, fetches;
    Buf trace;          /* what was sent */
    Buf reply;          /* of the last call */
    bool holds_commits; /* rig_run leaves proposals alone */
    bool hides_advisories;
    bool is_silent; /* no trace: benchmarks */
    uint64_t sends;
} Rig;

/* The one in use. */
extern Rig *rig;

/* Stream "S" with subjects "s.>"; its consumers are started. */
Rig *rig_new(Storage storage, Retention retention);
void rig_free(Rig *rig);
/* A second set over the same stream, for replays; the caller frees it. */
ConsumerSet *rig_other_set(Rig *rig);

void rig_sub(Rig *rig, const char *subject);
void rig_unsub(Rig *rig, const char *subject);
void rig_congest(Rig *rig, const char *subject, bool is_congested);

/* Stores a message and runs. Returns its sequence. */
uint64_t rig_store(Rig *rig, const char *subject, const char *payload);
uint64_t rig_store_with(Rig *rig, const char *subject, const char *headers, const char *payload);
void rig_delete(Rig *rig, uint64_t seq, bool has_advisory);
void rig_purge_below(Rig *rig, uint64_t seq);
void rig_purge_all(Rig *rig);

/* Tasks, coalesced work and commits until nothing is left. */
void rig_run(Rig *rig);
void rig_run_without_commit(Rig *rig);
void rig_commit(Rig *rig);
void rig_commit_one(Rig *rig);
/* Recovery: what happened from that event on happens to a set that was not started. */
void rig_replay(Rig *rig, ConsumerSet *set, size_t from);
/* The oldest proposals do not become durable. */
void rig_refuse(Rig *rig, Status why);
/* Time passes; timers fire in order. */
void rig_advance_ms(Rig *rig, int64_t ms);

/* Calls: config is the JSON of the config; the reply's text, or "<err_code> <text>". */
const char *rig_create(Rig *rig, const char *name, const char *config);
const char *rig_create_with(Rig *rig, const char *name, const char *config, ConsumerAction action);
const char *rig_delete_consumer(Rig *rig, const char *name);
const char *rig_reset(Rig *rig, const char *name, uint64_t seq);
const char *rig_pause(Rig *rig, const char *name, int64_t until_ns);
const char *rig_unpin(Rig *rig, const char *name, const char *group);
ApiCall *rig_call(Rig *rig);

Consumer *rig_consumer(Rig *rig, const char *name);
void rig_pull(Rig *rig, const char *name, const char *inbox, const char *body);
/* reply may be "". False: 503. */
bool rig_ack(Rig *rig, const char *name, const char *tokens, const char *body, const char *reply);
/* The same, but its turn has not ended yet. */
bool rig_collect_ack(Rig *rig, const char *name, const char *tokens, const char *body,
                     const char *reply);
void rig_flow_reply(Rig *rig, const char *name, const char *headers);
/* "delivered 1/2 floor 0/0 ack 1 redelivered 0 waiting 0 pending 3" */
const char *rig_info(Rig *rig, const char *name);
const char *rig_info_json(Rig *rig, const char *name);
/* What was sent since the last call; borrowed until the next. */
const char *rig_trace(Rig *rig);

/* Between the rig and its world. */
struct Account {
    int unused;
};
extern Account rig_account;
RigMsg *rig_msg(uint64_t seq); /* NULL when it never was */
void rig_remove(uint64_t seq, bool has_advisory);
void rig_set_first(Rig *rig);
