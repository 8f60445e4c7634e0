/* Offload: a small pool of threads for what blocks (cold reads, bcrypt, DNS). */
#pragma once

#include "base/status.h"
#include "io/worker.h"

typedef struct Offload Offload;
typedef struct OffloadJob OffloadJob;
struct OffloadJob {
    Mail mail;                                   /* private: how it comes and goes */
    void (*run)(OffloadJob *job);                /* on a pool thread */
    void (*done)(Worker *here, OffloadJob *job); /* on the home worker; takes job */
    Worker *home;
};

/* threads >= 1. ERR_IO when the OS refuses a thread. */
MUST_CHECK Status offload_start(unsigned threads, Offload **out_offload);
/* Waits for running jobs; queued ones are run too. NULL-safe. After workers_join their results are
 * left in the mailboxes: workers_drain hands them out. */
void offload_stop(Offload *offload);
/* Any thread. Takes job, whose run, done and home are set. Not once offload_stop was called. */
void offload_submit(Offload *offload, OffloadJob *job);
