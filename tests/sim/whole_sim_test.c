/* Everything that the streams of one server have, under random operations and faults.
 *
 *     whole_sim_test [first_seed [seeds [careful]]]
 *
 * A single seed tells what it does; careful: everything is looked at after each operation, which
 * finds where it began when the other run finds it late (but takes another course). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "whole_sim.h"

enum { SEEDS = 500, PROBLEMS_MAX = 10 };

static uint64_t seed_first = 1, seed_count = SEEDS;
static bool is_careful;

static void streams_are_what_was_acknowledged(void **state) {
    (void)state;
    char problem[512];
    unsigned failed = 0;
    uint64_t framed = 0;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count && failed < PROBLEMS_MAX;
         seed++) {
        bool is_good = whole_seed(seed, seed_count == 1, is_careful, problem, sizeof problem);
        framed += whole.framed;
        if (is_good)
            continue;
        print_error("seed %llu: %s (again: whole_sim_test %llu)\n", (unsigned long long)seed,
                    problem, (unsigned long long)seed);
        failed++;
    }
    assert_int_equal(failed, 0);
    print_message("framed %llu\n", (unsigned long long)framed);
    assert_true(framed > 0 || seed_count < 100);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_what_was_acknowledged),
    };
    if (argc > 1) {
        seed_first = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
        is_careful = argc > 3;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
