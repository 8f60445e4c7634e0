#include "io/offload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"

enum { JOBS = 500 };

typedef struct Square {
    OffloadJob job;
    int number, result;
    bool was_here;
} Square;

static Square squares[JOBS];
static int done_count;

static void square_run(OffloadJob *job) {
    Square *square = CONTAINER_OF(job, Square, job);
    square->result = square->number * square->number;
}

static void square_done(Worker *here, OffloadJob *job) {
    Square *square = CONTAINER_OF(job, Square, job);
    square->was_here = here == job->home;
    done_count++;
}

static void submit_all(Offload *offload, Worker *home) {
    done_count = 0;
    for (int i = 0; i < JOBS; i++) {
        squares[i] =
            (Square){.job = {.run = square_run, .done = square_done, .home = home}, .number = i};
        offload_submit(offload, &squares[i].job);
    }
}

static void check_all(void) {
    assert_int_equal(done_count, JOBS);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(squares[i].result, i * i);
        assert_true(squares[i].was_here);
    }
}

static void jobs_come_back_to_their_home(void **state) {
    (void)state;
    Worker **all;
    Offload *offload;
    assert_int_equal(workers_new(1, &all), OK);
    assert_int_equal(offload_start(3, &offload), OK);
    submit_all(offload, all[0]);
    while (done_count < JOBS)
        worker_turn(all[0], true);
    check_all();
    offload_stop(offload);
    workers_free(all);
}

static void stop_runs_what_is_queued(void **state) {
    (void)state;
    Worker **all;
    Offload *offload;
    assert_int_equal(workers_new(1, &all), OK);
    assert_int_equal(offload_start(1, &offload), OK);
    submit_all(offload, all[0]);
    offload_stop(offload);
    workers_drain(all);
    check_all();
    workers_free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_come_back_to_their_home),
        cmocka_unit_test(stop_runs_what_is_queued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
