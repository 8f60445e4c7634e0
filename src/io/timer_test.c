#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/clock.h"
#include "io/loop.h"
#include "io/worker.h"

enum { TIMERS = 1000 };

typedef struct Alarm {
    Timer timer;
    int fired;
} Alarm;

static Worker **all;
static Alarm alarms[TIMERS];
static uint64_t last_due;
static int fired_total;

static void on_fire(Timer *timer) {
    Alarm *alarm = CONTAINER_OF(timer, Alarm, timer);
    assert_true(timer->due_ns >= last_due);
    last_due = timer->due_ns;
    alarm->fired++;
    fired_total++;
}

static int set_up(void **state) {
    (void)state;
    last_due = 0;
    fired_total = 0;
    for (int i = 0; i < TIMERS; i++) {
        alarms[i].fired = 0;
        timer_init(&alarms[i].timer, on_fire);
    }
    return workers_new(1, &all) == OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    workers_free(all);
    return 0;
}

static TimerHeap *heap(void) {
    return &all[0]->loop->timers;
}

static void timers_fire_in_order_of_time(void **state) {
    (void)state;
    uint64_t base = clock_mono_ns() + NS_PER_S;
    for (int i = 0; i < TIMERS; i++)
        timer_set(all[0], &alarms[i].timer, base + rand_below(&all[0]->rand, 5000));
    for (int i = 0; i < TIMERS; i += 2) /* moved to and fro */
        timer_set(all[0], &alarms[i].timer, base + rand_below(&all[0]->rand, 9000));
    for (int i = 0; i < TIMERS; i += 5) {
        timer_cancel(all[0], &alarms[i].timer);
        timer_cancel(all[0], &alarms[i].timer); /* harmless */
        assert_false(timer_is_set(&alarms[i].timer));
    }

    timer_heap_fire(heap(), base + 4000, SIZE_MAX);
    for (int i = 0; i < TIMERS; i++)
        if (i % 5 != 0)
            assert_int_equal(alarms[i].fired, alarms[i].timer.due_ns <= base + 4000);
    timer_heap_fire(heap(), base + 10000, SIZE_MAX);
    assert_int_equal(fired_total, TIMERS - TIMERS / 5);
    assert_int_equal(timer_heap_next_ns(heap()), UINT64_MAX);
}

static void fire_again(Timer *timer) {
    on_fire(timer);
    timer_set(all[0], timer, 1);
}

static void a_timer_that_sets_itself_in_the_past_fires_in_the_next_turn(void **state) {
    (void)state;
    timer_init(&alarms[0].timer, fire_again);
    timer_set(all[0], &alarms[0].timer, 1);
    for (int turns = 1; turns <= 3; turns++) {
        worker_turn(all[0], true);
        assert_int_equal(alarms[0].fired, turns);
    }
}

static void cancel_next(Timer *timer) {
    on_fire(timer);
    timer_cancel(all[0], &alarms[1].timer);
}

static void a_timer_may_cancel_another_that_is_due(void **state) {
    (void)state;
    timer_init(&alarms[0].timer, cancel_next);
    timer_set(all[0], &alarms[0].timer, 1);
    timer_set(all[0], &alarms[1].timer, 2);
    timer_heap_fire(heap(), 10, SIZE_MAX);
    assert_int_equal(alarms[0].fired, 1);
    assert_int_equal(alarms[1].fired, 0);
}

static void only_so_many_fire_at_once(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++)
        timer_set(all[0], &alarms[i].timer, (uint64_t)i + 1);
    timer_heap_fire(heap(), 100, 7);
    assert_int_equal(fired_total, 7);
    timer_heap_fire(heap(), 100, 7);
    assert_int_equal(fired_total, 10);
}

static void the_loop_sleeps_until_a_timer_is_due(void **state) {
    (void)state;
    uint64_t due = clock_mono_ns() + 3 * NS_PER_MS;
    timer_set(all[0], &alarms[0].timer, due);
    int turns = 0;
    for (; alarms[0].fired == 0; turns++)
        worker_turn(all[0], true);
    assert_true(clock_mono_ns() >= due);
    assert_true(turns <= 3); /* the first one sees the loop's own event; it does not spin */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_in_order_of_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_timer_that_sets_itself_in_the_past_fires_in_the_next_turn,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_timer_may_cancel_another_that_is_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_so_many_fire_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_loop_sleeps_until_a_timer_is_due, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
