/* A server's streams without its doors: workers, bus, API, journal, log and checkpoints as they
 * are, stepped in one thread, on a simulated disk and clock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SimMsg { /* what came for "_INBOX.>" */
    char *subject, *reply, *headers, *payload;
} SimMsg;

/* Opens what is on the simulated disk. False: the store refused to open. */
bool sim_open(void);
/* As it would end when the process dies: nothing that waits is committed. Also in order, when the
 * disk works. */
void sim_close(void);

/* Publishes in the account from worker 0. headers: "Name: value\r\n" lines or "". */
void sim_tell(const char *subject, const char *reply, const char *headers, const char *payload);
/* Turns and commits until nothing happens any more. */
void sim_run(void);
/* Publishes with reply "_INBOX.x" and runs until the answer came; NULL when there is none. Borrowed
 * until the next call. */
const SimMsg *sim_ask(const char *subject, const char *headers, const char *payload);
/* The next message that came since it was last asked for; NULL when there is none. */
const SimMsg *sim_next(void);
/* Drops what came. */
void sim_forget(void);
