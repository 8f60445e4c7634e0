#include "io/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/clock.h"
#include "io/conn.h"

static Worker **all;
static char story[256]; /* what happened, a letter each */

static void tell(char what) {
    size_t len = strlen(story);
    assert_true(len + 1 < sizeof story);
    story[len] = what;
    story[len + 1] = '\0';
}

static int set_up(void **state) {
    (void)state;
    story[0] = '\0';
    return workers_new(2, &all) == OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    workers_free(all);
    return 0;
}

typedef struct Step {
    Task task;
    Mail mail;
    char name;
    struct Step *ready_next, *soon_next;
} Step;

static void step_run(Task *task) {
    Step *step = CONTAINER_OF(task, Step, task);
    tell(step->name);
    if (step->ready_next)
        worker_ready(all[0], &step->ready_next->task);
    if (step->soon_next)
        worker_soon(all[0], &step->soon_next->task);
}

static void step_arrive(Worker *here, Mail *mail) {
    (void)here;
    tell(CONTAINER_OF(mail, Step, mail)->name);
}

static Step step_named(char name) {
    return (Step){.name = name, .mail.arrive = step_arrive};
}

static void ready_tasks_run_once_in_the_next_turn(void **state) {
    (void)state;
    Step a = step_named('a'), b = step_named('b'), c = step_named('c');
    task_init(&a.task, step_run);
    task_init(&b.task, step_run);
    task_init(&c.task, step_run);
    a.ready_next = &a; /* lists itself again: the turn ends all the same */
    a.soon_next = &c;

    worker_ready(all[0], &a.task);
    worker_ready(all[0], &a.task);
    worker_ready(all[0], &b.task);
    worker_turn(all[0], true);
    assert_string_equal(story, "abc");
    a.ready_next = NULL;
    worker_turn(all[0], true); /* does not sleep */
    assert_string_equal(story, "abcac");
    worker_ready(all[0], &a.task);
    worker_soon(all[0], &b.task);
    worker_soon(all[0], &c.task);
    task_cancel(&a.task);
    task_cancel(&b.task);
    task_cancel(&b.task);
    worker_turn(all[0], true);
    assert_string_equal(story, "abcacc");
}

static void mail_is_kept_until_the_posting_step_and_in_order(void **state) {
    (void)state;
    Step a = step_named('a'), b = step_named('b'), c = step_named('c'), d = step_named('d');
    worker_post(all[0], all[1], &a.mail);
    worker_post(all[0], all[1], &b.mail);
    worker_post(all[0], all[0], &c.mail); /* to itself */
    worker_post_now(all[1], &d.mail);
    worker_turn(all[1], false);
    assert_string_equal(story, "d");
    worker_turn(all[0], true);
    worker_turn(all[1], true);
    assert_string_equal(story, "dab");
    worker_turn(all[0], true);
    assert_string_equal(story, "dabc");
}

/* A connection, a timer, tasks and a hook on one worker; each tells its letter. */
static Conn conn;
static Step soon, posted;
static TurnHook hook;

static size_t order_on_data(Conn *on, char *data, size_t len) {
    (void)data;
    tell('d');
    worker_soon(all[0], &soon.task);
    conn_append(on, LIT("reply"));
    return len;
}

static void order_on_closed(Conn *on, ConnEnd end) {
    (void)on;
    (void)end;
    tell('x');
}

static void order_on_timer(Timer *timer) {
    (void)timer;
    tell('t');
}

static void order_on_hook(TurnHook *on) {
    (void)on;
    tell('h');
    worker_post(all[0], all[1], &posted.mail);
}

static void a_turn_has_its_order(void **state) {
    (void)state;
    static const ConnOps ops = {order_on_data, NULL, order_on_closed};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(conn_open(&conn, all[0], ends[0], &ops), OK);
    worker_turn(all[0], false);

    Step mail = step_named('m'), ready = step_named('r');
    soon = step_named('s');
    posted = step_named('p');
    task_init(&ready.task, step_run);
    task_init(&soon.task, step_run);
    Timer timer;
    timer_init(&timer, order_on_timer);
    hook.run = order_on_hook;

    worker_ready(all[0], &ready.task);
    worker_add_hook(all[0], &hook);
    timer_set(all[0], &timer, 1);
    worker_post_now(all[0], &mail.mail);
    assert_int_equal(write(ends[1], "input", 5), 5);
    worker_turn(all[0], true);

    assert_string_equal(story, "mdtrsh"); /* mail, data, timer, ready, soon, hook */
    char reply[8];
    assert_int_equal(read(ends[1], reply, sizeof reply), 5);
    worker_turn(all[1], true); /* what the hook made was posted */
    assert_string_equal(story, "mdtrshp");

    list_remove(&hook.link);
    conn_close(&conn, CONN_END_OURS);
    worker_turn(all[0], true);
    assert_string_equal(story, "mdtrshpx");
    close(ends[1]);
}

static Conn early, late;
static Step between;

static size_t early_on_data(Conn *on, char *data, size_t len) {
    (void)data;
    tell('e');
    (void)on;
    if (between.name == 'm')
        worker_post_now(all[0], &between.mail);
    between.name = 'n';
    return len;
}

static void mail_is_taken_before_each_input_is_acted_on(void **state) {
    (void)state;
    static const ConnOps ops = {early_on_data, NULL, order_on_closed};
    int ends[2][2];
    Conn *conns[2] = {&early, &late};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
        assert_int_equal(conn_open(conns[i], all[0], ends[i][0], &ops), OK);
    }
    worker_turn(all[0], false);
    between = step_named('m');
    assert_int_equal(write(ends[0][1], "x", 1), 1);
    assert_int_equal(write(ends[1][1], "x", 1), 1);
    worker_turn(all[0], false); /* whichever comes first posts; the other one has to know */
    assert_string_equal(story, "ene");
    for (int i = 0; i < 2; i++) {
        conn_done(conns[i]);
        close(ends[i][1]);
    }
}

static Watch first, second;

static void remove_both(Watch *watch, uint32_t events) {
    (void)watch;
    (void)events;
    tell('w');
    watch_remove(all[0], &first);
    watch_remove(all[0], &second);
}

static void a_watch_that_was_removed_does_not_fire(void **state) {
    (void)state;
    first = (Watch){.fd = eventfd(1, EFD_CLOEXEC), .fire = remove_both};
    second = (Watch){.fd = eventfd(1, EFD_CLOEXEC), .fire = remove_both};
    assert_int_equal(watch_add(all[0], &first, EPOLLIN), OK);
    assert_int_equal(watch_add(all[0], &second, EPOLLIN), OK);
    worker_turn(all[0], true);
    worker_turn(all[0], false);
    assert_string_equal(story, "w");
    close(first.fd);
    close(second.fd);
    assert_int_equal(watch_add(all[0], &first, EPOLLIN), ERR_IO);
}

/* Threads. */

typedef struct Ball {
    Mail mail;
    unsigned rounds;
    unsigned visits[3];
    bool were_homes_right;
} Ball;

static void ball_arrive(Worker *here, Mail *mail) {
    Ball *ball = CONTAINER_OF(mail, Ball, mail);
    ball->visits[here->index]++;
    if (!worker_is_current(here) || worker_is_current(here->all[(here->index + 1) % 3]))
        ball->were_homes_right = false;
    if (++ball->rounds == 3000)
        worker_post_now(here->all[2], &ball->mail);
    else if (ball->rounds > 3000)
        worker_quit(here);
    else
        worker_post(here, here->all[(here->index + 1) % 3], &ball->mail);
}

static void mail_goes_round_between_sleeping_workers(void **state) {
    (void)state;
    Ball ball = {.mail.arrive = ball_arrive, .were_homes_right = true};
    assert_true(worker_is_current(all[0]));
    assert_int_equal(workers_start(all), OK);
    assert_false(worker_is_current(all[0]));
    assert_true(worker_is_current(all[2]));
    worker_post(all[2], all[0], &ball.mail);
    worker_run(all[2]);
    workers_join(all);
    assert_true(worker_is_current(all[0]));
    assert_true(worker_is_current(all[2]));
    assert_true(ball.were_homes_right);
    assert_int_equal(ball.visits[0], 1000);
    assert_int_equal(ball.visits[1], 1000);
    assert_int_equal(ball.visits[2], 1001);
}

static void quit_arrive(Worker *here, Mail *mail) {
    (void)mail;
    worker_quit(here);
}

typedef struct Signal {
    Mail waits, tells;
    int fd;
    bool has_come;
} Signal;

static void wait_arrive(Worker *here, Mail *mail) {
    Signal *signal = CONTAINER_OF(mail, Signal, waits);
    struct pollfd poll_fd = {.fd = signal->fd, .events = POLLIN};
    signal->has_come = poll(&poll_fd, 1, 2000) == 1;
    worker_post(here, here->all[2], mail);
    mail->arrive = quit_arrive;
}

static void tell_arrive(Worker *here, Mail *mail) {
    (void)here;
    assert_int_equal(eventfd_write(CONTAINER_OF(mail, Signal, tells)->fd, 1), 0);
}

static void mail_of_before_the_start_does_not_wait_for_its_sender(void **state) {
    (void)state;
    Signal signal = {.fd = eventfd(0, EFD_CLOEXEC)};
    signal.waits.arrive = wait_arrive;
    signal.tells.arrive = tell_arrive;
    worker_post(all[0], all[1], &signal.tells);
    worker_post_now(all[0], &signal.waits);
    assert_int_equal(workers_start(all), OK);
    worker_run(all[2]);
    workers_join(all);
    assert_true(signal.has_come);
    close(signal.fd);
}

static void forward_arrive(Worker *here, Mail *mail) {
    step_arrive(here, mail);
    mail->arrive = step_arrive;
    worker_post(here, here->all[1], mail);
}

static void mail_left_over_is_handed_out_by_drain(void **state) {
    (void)state;
    Step a = step_named('a');
    a.mail.arrive = forward_arrive;
    worker_post(all[0], all[0], &a.mail);
    workers_drain(all);
    assert_string_equal(story, "aa");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ready_tasks_run_once_in_the_next_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mail_is_kept_until_the_posting_step_and_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_turn_has_its_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mail_is_taken_before_each_input_is_acted_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_watch_that_was_removed_does_not_fire, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mail_goes_round_between_sleeping_workers, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(mail_of_before_the_start_does_not_wait_for_its_sender,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(mail_left_over_is_handed_out_by_drain, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
