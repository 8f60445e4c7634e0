/* Congestion: who cannot take more, told to the workers that send to it, and who waits for its end.
 * The worker that delivers reports once per sender and subject, and again when all receivers it
 * reported have drained or gone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bus/bus.h"

struct WorkerSet;

enum {
    /* Subjects reported at one time, by each worker. Above it, it is reported to the sender as a
       whole. */
    CONGESTION_REPORTS_MAX = 1024,
};

typedef struct Congestion {
    List waits; /* of DrainWait */
    Task wake_task;
    Map reports; /* made here, each a Report under its key */
    Map known;   /* told by others, each a Known under its key */
} Congestion;

void congestion_init(Bus *bus);
void congestion_done(Bus *bus);

/* After delivery of a message that worker `from` sent, to a receiver that is congested. */
void congestion_report(Account *account, unsigned from, Slice to, Sub *sub);
/* When it goes: whoever waited for it goes on. */
void congestion_forget_sub(Sub *sub);

/* Another worker's report, or its end. */
void congestion_on_report(Account *account, unsigned from, Slice to, bool is_congested);
/* Whether the subject, or one of the workers as a whole, was reported. */
bool congestion_is_known(Account *account, Slice to, const struct WorkerSet *workers);

/* Whoever waits runs in the next turn. */
void congestion_wake(Bus *bus);
