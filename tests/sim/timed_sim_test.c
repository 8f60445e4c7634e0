/* What time does to the messages of a stream, under random operations and crashes.
 *
 *     timed_sim_test [first_seed [seeds]]
 *
 * A single seed tells what it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "timed_sim.h"

enum { SEEDS = 300, PROBLEMS_MAX = 10 };

static uint64_t seed_first = 1, seed_count = SEEDS;

static void things_happen_when_they_are_due(void **state) {
    (void)state;
    char problem[512];
    unsigned failed = 0;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count && failed < PROBLEMS_MAX;
         seed++) {
        if (timed_seed(seed, seed_count == 1, problem, sizeof problem))
            continue;
        print_error("seed %llu: %s (again: timed_sim_test %llu)\n", (unsigned long long)seed,
                    problem, (unsigned long long)seed);
        failed++;
    }
    assert_int_equal(failed, 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(things_happen_when_they_are_due),
    };
    if (argc > 1) {
        seed_first = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
