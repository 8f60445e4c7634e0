/* For tests of stream*.c: a world around one stream. A journal that keeps its entries and applies
 * them when told, a bus that remembers what was sent, consumers that want what the test says, a
 * clock that stands still. */
#pragma once

#include "stream/api.h"
#include "stream/stream_parts.h"
#include "stream/usage.h"

typedef struct FakeEntry {
    Record record; /* borrows from bytes */
    Shared *bytes;
    Place place;
    Ticket ticket; /* data is owned */
    int64_t live;  /* bytes that the stream says are live */
    bool is_gone;  /* with its segment */
    int64_t dead;  /* of these, bytes that it gives up later */
} FakeEntry;

typedef struct FakeSent {
    char *to, *headers, *payload;
} FakeSent;

typedef struct World {
    Worker worker;
    JetStreamOptions options;
    JetStream js;
    JetStreamUsage usage[1];
    int64_t wall_ns;
    FakeEntry *entries; /* all that were appended */
    size_t entry_count, applied_count;
    FakeSent *sent;
    size_t sent_count;
    Buf api; /* answers to calls, one a line */
    uint64_t stored_count, unread_count, removed_count, advisory_count, purged_all;
    bool (*wants)(Slice subject); /* NULL: everything */
    bool (*needs)(uint64_t seq);
    void (*before_apply)(const FakeEntry *entry);
    Status health, read_status;
    bool is_cold; /* reads say ERR_AGAIN until they were fetched */
    Place fetched;
    void (*fetch_done)(void *cookie, Status status);
    void *fetch_cookie;
    struct FakeGated *gated; /* what waits at the stream's gate, in order */
    Sub *subs;               /* linked by set */
    Timer *timer;
    Task *ready;                    /* the newest one */
    Task *ready_before[4];          /* others that wait */
    uint64_t mono_ns, mono_step_ns; /* the clock goes on by the step each time it is asked */
    char run_dir[32];               /* made when a run is written */
    uint64_t inline_max;            /* messages that are saved without a run */
    size_t consumer_count;          /* so many are said to be there */
    unsigned saves_consumers;       /* steps that are left of it */
    bool has_no_run_dir;            /* those that are begun now cannot be written */
    bool is_quiet;                  /* nothing is remembered of what is sent */
} World;
extern World world;

void world_begin(void);
void world_end(void);
/* The same as a test's setup and teardown. */
int world_setup(void **state);
int world_teardown(void **state);

/* From JSON, as created through the API. */
Stream *world_stream(const char *json);
StreamConfig *world_config(const char *json);

/* Delivers to the stream; headers without the first and last line, lines end in \n; NULL = none. */
void world_publish(Stream *stream, const char *subject, const char *headers, Slice payload,
                   const char *reply);
/* Runs one task; false: there was none. */
bool world_run_ready(void);
/* Applies what waits. */
void world_flush(Stream *stream);
/* Refuses what waits at the gate: the stream goes. */
void world_drop_gate(Stream *stream);
/* Forgets all entries but the first ones. */
void world_forget(size_t kept);
/* Refuses it. */
void world_refuse(Stream *stream, Status why);
/* Publishes and applies; the answer, "" when there was none. */
const char *world_request(Stream *stream, const char *subject, const char *headers,
                          const char *payload);
/* Runs the expiry timer when it is due, and what it appended. */
void world_fire(Stream *stream);
/* A call to hand to stream_propose_*; its answer goes to world.api. */
ApiCall *world_call(void);
/* The answers since the last time; borrowed until the next one. */
const char *world_api_text(void);
