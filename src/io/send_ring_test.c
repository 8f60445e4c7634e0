#include "io/send_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS = SEND_RING_JOBS_MAX };

static SendRing *ring;
static int ours[PAIRS], theirs[PAIRS];

static int set_up(void **state) {
    (void)state;
    ring = send_ring_new();
    for (int i = 0; i < PAIRS; i++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
            return -1;
        ours[i] = ends[0];
        theirs[i] = ends[1];
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    send_ring_free(ring);
    for (int i = 0; i < PAIRS; i++) {
        (void)close(ours[i]);
        (void)close(theirs[i]);
    }
    return 0;
}

static void each_socket_gets_its_own_round_after_round(void **state) {
    (void)state;
    if (ring == NULL)
        skip(); /* a kernel without */
    for (unsigned round = 0; round < 10; round++) {
        static unsigned words[PAIRS];
        static SendJob jobs[PAIRS];
        unsigned count = round % 3 == 2 ? 1 : PAIRS - round;
        for (unsigned i = 0; i < count; i++) {
            words[i] = round << 16 | i;
            jobs[i] = (SendJob){ours[i], (const char *)&words[i], sizeof words[i], 0};
        }
        assert_true(send_ring_run(ring, jobs, count));
        for (unsigned i = 0; i < count; i++) {
            unsigned got = 0;
            assert_int_equal(jobs[i].sent, sizeof words[i]);
            assert_int_equal(recv(theirs[i], &got, sizeof got, 0), sizeof got);
            assert_int_equal(got, words[i]);
        }
    }
}

static void what_cannot_be_sent_is_told_and_holds_up_nobody(void **state) {
    (void)state;
    if (ring == NULL)
        skip();
    static char much[8 << 20];
    (void)close(theirs[1]);
    theirs[1] = -1;
    while (send(ours[2], much, sizeof much, 0) > 0) {
    }
    SendJob jobs[] = {
        {ours[0], "a", 1, 0}, {ours[1], "b", 1, 0},
        {ours[2], "c", 1, 0}, {ours[3], much, sizeof much, 0},
        {-1, "d", 1, 0},      {ours[4], "e", 1, 0},
    };
    assert_true(send_ring_run(ring, jobs, 6));
    assert_int_equal(jobs[0].sent, 1);
    assert_int_equal(jobs[1].sent, -EPIPE);
    assert_int_equal(jobs[2].sent, -EAGAIN);
    assert_true(jobs[3].sent > 0 && jobs[3].sent < (ssize_t)sizeof much);
    assert_int_equal(jobs[4].sent, -EBADF);
    assert_int_equal(jobs[5].sent, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_socket_gets_its_own_round_after_round, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_sent_is_told_and_holds_up_nobody, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
