/* The simulation is worth nothing if it does not see these: each mutation must be caught within so
 * many seeds, by what is found or by a server that ends itself.
 *
 *     mutation_sim_test [mutation [first_seed]]    tells which seed catches it */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "delivery_sim.h"
#include "mutants.h"
#include "timed_sim.h"
#include "whole_sim.h"

enum { SEEDS_MAX = 2000, SEED_SECONDS_MAX = 20, CAUGHT = 1, MISSED = 0 };

static const char *const names[MUTATIONS] = {
    [MUTATION_NONE] = "none",
    [ACK_BEFORE_SYNC] = "acknowledge before the sync",
    [SYNC_NO_NAMES] = "do not sync directories",
    [SKIP_CRC_READING] = "read records without their checksum",
    [SKIP_CRC_RECOVERY] = "recover blocks without their checksum",
    [CUT_IN_THE_MIDDLE] = "cut the log at a bad block",
    [FORGET_DROP] = "forget to drop live bytes",
    [FORGET_ADD] = "forget to add live bytes",
    [RECYCLE_EARLY] = "recycle a segment before the floor",
    [HALF_BATCH] = "apply half a batch",
    [REPLAY_TWICE] = "replay an entry twice",
    [FORGET_DELETED] = "forget a deleted sequence of a checkpoint",
    [SKIP_FLOOR] = "load the older checkpoint without replaying from its floor",
    [FORGET_DUPLICATES] = "forget the duplicates of a checkpoint",
    [FORGET_TIME_TO_LIVE] = "forget the times to live of a checkpoint",
    [FORGET_CHUNKS] = "forget a reference of a chunk",
    [FORGET_PAUSE] = "forget a pause over a restart",
    [FORGET_DELIVERIES] = "forget the delivery count of a checkpoint",
    [FORGET_DELAY] = "forget the delay of a NAK of a checkpoint",
    [FORGET_GIVEN_UP] = "forget that a message was given up",
    [FORGET_RESET] = "forget that a consumer was reset",
    [SHARE_PIN] = "serve others beside the pinned client",
    [FORGET_SCHEDULES] = "forget the schedules of a checkpoint",
    [FORGET_LEASES] = "forget the leases of a checkpoint",
};

static bool run_seed(Mutation which, uint64_t seed, char *problem, size_t size) {
    if (which >= FORGET_SCHEDULES)
        return timed_seed(seed, false, problem, size);
    if (which >= FORGET_PAUSE)
        return delivery_seed(seed, false, problem, size);
    whole_forgets_chunks = which == FORGET_CHUNKS;
    return whole_seed(seed, false, false, problem, size);
}

/* In a process of its own: mutants end in asserts too. */
static int run_seeds(Mutation which, uint64_t first) {
    char problem[512];
    mutation = which;
    for (uint64_t seed = first; seed < first + SEEDS_MAX; seed++) {
        (void)alarm(SEED_SECONDS_MAX); /* one that never ends is caught as well */
        if (!run_seed(which, seed, problem, sizeof problem)) {
            (void)printf("%-60s seed %llu: %s\n", names[which], (unsigned long long)seed, problem);
            (void)fflush(stdout);
            return CAUGHT;
        }
    }
    return MISSED;
}

static bool is_caught(Mutation which, uint64_t first) {
    (void)fflush(stdout);
    (void)setvbuf(stdout, NULL, _IOLBF, 256);
    pid_t child = fork();
    if (child == 0)
        exit(run_seeds(which, first));
    int how = 0;
    if (child < 0 || waitpid(child, &how, 0) != child)
        return false;
    if (WIFSIGNALED(how))
        (void)printf("%-60s the server ended itself\n", names[which]);
    return WIFSIGNALED(how) || WEXITSTATUS(how) == CAUGHT;
}

int main(int argc, char **argv) {
    unsigned caught = 0, missed = 0,
             only = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : MUTATION_NONE;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (unsigned m = MUTATION_NONE + 1; m < MUTATIONS; m++) {
        if (only && m != only)
            continue;
        if (is_caught((Mutation)m, first)) {
            caught++;
        } else {
            missed++;
            (void)printf("missed: %s\n", names[m]);
        }
    }
    (void)printf("mutations: %u caught, %u missed\n", caught, missed);
    return missed ? EXIT_FAILURE : EXIT_SUCCESS;
}
