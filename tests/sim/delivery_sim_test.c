/* What consumers deliver, to whom, when and how often, under random operations and crashes.
 *
 *     delivery_sim_test [first_seed [seeds]]
 *
 * A single seed tells what it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "delivery_sim.h"

enum { SEEDS = 500, PROBLEMS_MAX = 10 };

static uint64_t seed_first = 1, seed_count = SEEDS;

static void consumers_deliver_what_they_should_when_they_should(void **state) {
    (void)state;
    char problem[512];
    unsigned failed = 0;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count && failed < PROBLEMS_MAX;
         seed++) {
        if (delivery_seed(seed, seed_count == 1, problem, sizeof problem))
            continue;
        print_error("seed %llu: %s (again: delivery_sim_test %llu)\n", (unsigned long long)seed,
                    problem, (unsigned long long)seed);
        failed++;
    }
    assert_int_equal(failed, 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consumers_deliver_what_they_should_when_they_should),
    };
    if (argc > 1) {
        seed_first = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
