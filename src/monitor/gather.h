/* Gather: visits every worker in turn, on its own thread, then ends on the main worker. For figures
 * that only the owners may read. Embedded in what collects them. */
#pragma once

#include "io/worker.h"

typedef struct Gather Gather;
struct Gather {
    Mail mail;
    Worker *main;
    unsigned next;
    void (*visit)(Gather *gather, Worker *here); /* on each working worker, in order of index */
    void (*finish)(Gather *gather);              /* on the main worker; takes gather */
};

/* On the main worker. */
void gather_start(Gather *gather, Worker *main);
