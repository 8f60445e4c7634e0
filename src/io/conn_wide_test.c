#include "io/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/loop.h"

/* So many that their output is written with few system calls, with a rest left over. */
enum { OWNERS = 300, MUCH = 6 << 20 };

typedef struct Owner {
    Conn conn;
    int peer;
    int drained, closed;
    struct Owner *to_close; /* when drained */
    ConnEnd end;
} Owner;

static Worker **all;
static Owner owners[OWNERS];

static size_t on_data(Conn *conn, char *data, size_t len) {
    (void)conn;
    (void)data;
    return len;
}

static void on_drained(Conn *conn) {
    Owner *owner = CONTAINER_OF(conn, Owner, conn);
    owner->drained++;
    if (owner->to_close)
        conn_close(&owner->to_close->conn, CONN_END_OURS);
}

static void on_closed(Conn *conn, ConnEnd end) {
    Owner *owner = CONTAINER_OF(conn, Owner, conn);
    owner->closed++;
    owner->end = end;
}

static const ConnOps OPS = {on_data, on_drained, on_closed};

static int set_up_with(bool is_ringless) {
    if (workers_new(1, &all) != OK)
        return -1;
    all[0]->loop->is_ringless = is_ringless;
    for (int i = 0; i < OWNERS; i++) {
        int ends[2];
        owners[i] = (Owner){0};
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0 ||
            fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0 ||
            conn_open(&owners[i].conn, all[0], ends[0], &OPS) != OK)
            return -1;
        owners[i].peer = ends[1];
    }
    return 0;
}

static int set_up(void **state) {
    (void)state;
    return set_up_with(false);
}

static int set_up_without(void **state) {
    (void)state;
    return set_up_with(true);
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < OWNERS; i++) {
        (void)close(owners[i].peer);
        conn_done(&owners[i].conn);
    }
    workers_free(all);
    return 0;
}

static Slice word_of(int i, char room[16]) {
    return slice_from(room, (size_t)snprintf(room, 16, "word %d.", i));
}

static void tell_all(void) {
    char room[16];
    for (int i = 0; i < OWNERS; i++)
        conn_append(&owners[i].conn, word_of(i, room));
    worker_turn(all[0], false);
}

static void assert_was_told(int i) {
    char want[16], got[64];
    Slice word = word_of(i, want);
    ssize_t n = recv(owners[i].peer, got, sizeof got, 0);
    assert_int_equal(n, word.len);
    assert_memory_equal(got, word.ptr, word.len);
}

static void each_is_sent_its_own(void **state) {
    (void)state;
    for (int round = 0; round < 5; round++) {
        tell_all();
        for (int i = 0; i < OWNERS; i++)
            assert_was_told(i);
    }
    assert_int_equal(conn_pending_total(all[0]), 0);
    assert_null(owners[0].conn.out_first);
}

static void what_is_in_parts_goes_too_and_in_order(void **state) {
    (void)state;
    Shared *shared = shared_new(OUT_COPY_BYTES_MAX + 1);
    memset(shared_bytes(shared), 's', shared_len(shared));
    for (int i = 0; i < OWNERS; i += 2) {
        conn_append(&owners[i].conn, LIT("before"));
        conn_append_shared(&owners[i].conn, shared,
                           slice_from(shared_bytes(shared), shared_len(shared)));
    }
    tell_all();
    for (int i = 0; i < OWNERS; i += 2) {
        char got[6 + OUT_COPY_BYTES_MAX + 1];
        assert_int_equal(recv(owners[i].peer, got, sizeof got, 0), sizeof got);
        assert_memory_equal(got, "before", 6);
        assert_int_equal(got[sizeof got - 1], 's');
    }
    for (int i = 0; i < OWNERS; i++)
        assert_was_told(i);
    shared_unref(shared);
}

static void who_takes_no_more_gets_the_rest_later(void **state) {
    (void)state;
    Owner *slow = &owners[7];
    Shared *shared = shared_new(MUCH);
    for (size_t i = 0; i < MUCH; i++)
        shared_bytes(shared)[i] = (char)(i * 7 / 5);
    slow->conn.write_deadline_ns = 1000ull * 1000 * 1000 * 1000;
    conn_append_shared(&slow->conn, shared, slice_from(shared_bytes(shared), MUCH));
    for (int i = 0; i < OWNERS; i++)
        if (i != 7)
            conn_append(&owners[i].conn, LIT("x"));
    worker_turn(all[0], false);
    assert_true(slow->conn.blocked_since_ns != 0);
    assert_true(timer_is_set(&slow->conn.write_timer));

    static char got[MUCH];
    size_t len = 0;
    for (int i = 0; len < MUCH && i < 100000; i++) {
        ssize_t n = recv(slow->peer, got + len, MUCH - len, 0);
        if (n > 0)
            len += (size_t)n;
        worker_turn(all[0], false);
    }
    assert_int_equal(len, MUCH);
    assert_memory_equal(got, shared_bytes(shared), MUCH);
    assert_int_equal(slow->conn.blocked_since_ns, 0);
    shared_unref(shared);
}

static void whose_socket_is_full_is_told_later(void **state) {
    (void)state;
    static char much[MUCH];
    size_t before = 0, got = 0;
    for (ssize_t n; (n = send(owners[9].conn.watch.fd, much, MUCH, MSG_NOSIGNAL)) > 0;)
        before += (size_t)n;
    tell_all();
    assert_true(owners[9].conn.blocked_since_ns != 0);
    assert_was_told(8);
    while (got < before) {
        ssize_t n = recv(owners[9].peer, much, before - got, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    for (int i = 0; owners[9].conn.blocked_since_ns != 0 && i < OWNERS; i++)
        worker_turn(all[0], false); /* each takes so many events */
    assert_was_told(9);
}

static void whose_peer_is_gone_is_closed_alone(void **state) {
    (void)state;
    char room[16];
    (void)close(owners[100].peer);
    owners[100].peer = -1;
    for (int i = 0; i < OWNERS; i++)
        conn_append(&owners[i].conn, word_of(i, room));
    worker_turn(all[0], false);
    worker_turn(all[0], false);
    assert_int_equal(owners[100].closed, 1);
    for (int i = 0; i < OWNERS; i++)
        if (i != 100) {
            assert_int_equal(owners[i].closed, 0);
            assert_was_told(i);
        }
}

/* What was written together has gone before the first owner is told. */
static void an_owner_may_close_another_when_drained(void **state) {
    (void)state;
    owners[0].conn.congested_bytes = 2;
    owners[0].to_close = &owners[1];
    tell_all();
    worker_turn(all[0], false);
    assert_int_equal(owners[0].drained, 1);
    assert_int_equal(owners[1].closed, 1);
    assert_int_equal(owners[1].end, CONN_END_OURS);
    assert_was_told(1);
    assert_was_told(2);
}

static void last_words_are_said_among_many(void **state) {
    (void)state;
    char room[16];
    for (int i = 0; i < OWNERS; i++)
        conn_append(&owners[i].conn, word_of(i, room));
    conn_close_after_flush(&owners[50].conn);
    worker_turn(all[0], false);
    worker_turn(all[0], false);
    assert_int_equal(owners[50].closed, 1);
    assert_was_told(50);
    assert_was_told(51);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define WITHOUT(test)                                                                              \
    { #test "_without_a_ring", test, set_up_without, tear_down, NULL }

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(each_is_sent_its_own),
        WITHOUT(each_is_sent_its_own),
        WITH(what_is_in_parts_goes_too_and_in_order),
        WITHOUT(what_is_in_parts_goes_too_and_in_order),
        WITH(who_takes_no_more_gets_the_rest_later),
        WITHOUT(who_takes_no_more_gets_the_rest_later),
        WITH(whose_socket_is_full_is_told_later),
        WITHOUT(whose_socket_is_full_is_told_later),
        WITH(whose_peer_is_gone_is_closed_alone),
        WITHOUT(whose_peer_is_gone_is_closed_alone),
        WITH(an_owner_may_close_another_when_drained),
        WITH(last_words_are_said_among_many),
        WITHOUT(last_words_are_said_among_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
