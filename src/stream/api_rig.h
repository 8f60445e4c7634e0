/* For tests of the JetStream API: workers, bus, log and store as they are, stepped by the test; one
 * port that asks and listens. */
#pragma once

#include "stream/jetstream.h"

enum { RIG_WORKERS = 2, RIG_ACCOUNTS = 3 }; /* $G, $SYS, and "other", which has JetStream too */

typedef struct RigReply {
    char *subject, *reply, *headers, *payload;
} RigReply;

typedef struct Rig {
    Worker **all;
    JournalStore *store;
    Offload *offload;
    JetStreamOptions options;
    JetStreamAccountLimits limits[RIG_ACCOUNTS];
    bool enabled[RIG_ACCOUNTS];
    char dir[64];
    Port port; /* on worker 0 */
    Sub *sub;
    RigReply *got; /* what came to "_INBOX.>" and whatever else was subscribed */
    size_t got_count, got_seen;
    Arena *arena;       /* of texts given out */
    const char *denied; /* patterns, blanks between: where the port may not publish; or NULL */
    char refused[128];  /* what it was told last that it may not */
} Rig;
extern Rig rig;

/* A new empty store; options may be changed before rig_open. */
void rig_new(void);
void rig_open(void);
/* Stops and frees all but the store's directory. */
void rig_close(void);
/* rig_close and away with the directory. */
void rig_done(void);
/* A test's setup and teardown: a new empty store with the usual options. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Publishes in account $G from worker 0 and steps until a message came or nothing happens any more:
 * its payload with times replaced by T, or, with headers, "<headers>|<payload>" with line ends as
 * '|'; "silence". Borrowed until rig_done. */
const char *rig_ask(const char *subject, const char *body);
const char *rig_ask_with(const char *subject, const char *headers, const char *body);
/* The same from another account, by index. */
const char *rig_ask_as(size_t account, const char *subject, const char *body);
/* The next message that came for a subscription, as "<subject> <text>". */
const char *rig_next(void);
Sub *rig_subscribe(const char *subject);
/* Publishes without waiting. */
void rig_tell(const char *subject, const char *reply, const char *body);
void rig_step(unsigned turns);
