/* A server's streams without its doors: workers, bus, API, journal, log and checkpoints as they
 * are, stepped in one thread, on a simulated disk and clock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_WATCHERS = 2, SIM_INBOXES_MAX = 32, SIM_BINDS_MAX = 4 };

typedef struct SimMsg { /* what came for "_INBOX.x", "_INBOX.p", "_INBOX.f.>" */
    char *subject, *reply, *headers, *payload;
    unsigned watcher;
    unsigned inbox; /* it came for "_INBOX.r.<inbox - 1>"; 0 = for another one */
} SimMsg;

typedef struct SimOptions { /* 0 = as small as makes sense */
    unsigned workers;
    uint64_t segment_bytes, checkpoint_bytes;
    uint64_t chunk_bytes_min;  /* 0 = as the server: none */
    bool is_forgetting_chunks; /* the mutation that must be caught */
    bool is_sieve_blind;       /* large payloads of the same length have the same hash */
    uint64_t clean_ns;
    bool has_advisories; /* those of consumers come too, beside what is asked for */
    unsigned inboxes;    /* "_INBOX.r.0" and so on, SIM_INBOXES_MAX at most */
} SimOptions;

/* For what the simulation itself does at random: in which turn a job of offload runs; whether the
 * store is encrypted. */
void sim_seed(uint64_t seed);
/* Opens what is on the simulated disk. False: the store refused to open. */
bool sim_open(const SimOptions *options);
/* Records that were moved since it was opened. */
uint64_t sim_moved(void);
/* Bytes of frames that were written, since the start. */
uint64_t sim_framed(void);
/* As it would end when the process dies: nothing that waits is committed. Also in order, when the
 * disk works. Jobs that wait are run before. */
void sim_close(void);
/* A write or sync failed: nothing is accepted until the store is opened again. */
bool sim_is_failed(void);

/* Publishes in the account from worker 0. headers: "Name: value\r\n" lines or "". */
void sim_tell(const char *subject, const char *reply, const char *headers, const char *payload);
/* Turns and commits until nothing happens any more, jobs of offload among them. */
void sim_run(void);
/* The same, but jobs may be left for later. */
void sim_run_some(void);
/* Publishes with reply "_INBOX.x" and runs until the answer came; NULL when there is none. Jobs may
 * be left for later. Borrowed until the next call. */
const SimMsg *sim_ask(const char *subject, const char *headers, const char *payload);
/* The next message that came since it was last asked for; NULL when there is none. */
const SimMsg *sim_next(void);
/* The same of what came for "_INBOX.w0" and "_INBOX.w1": watcher says which. */
const SimMsg *sim_next_watched(void);
/* Somebody listens on "bind.<n>", or not any more; nobody does after a start. */
void sim_listen(unsigned n, bool is_heard);
/* Drops what came, but not what watchers got. */
void sim_forget(void);
