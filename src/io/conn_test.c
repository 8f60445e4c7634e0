#include "io/conn.h"

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

#include "base/mem.h"
#include "base/rand.h"
#include "io/clock.h"

/* Frames: 4 bytes of length, then the payload. "close", "pause" and "echo" are obeyed. */
typedef struct Owner {
    Conn conn;
    int peer;     /* the other end of the socket */
    Buf payloads; /* all of them, back to back */
    int frames, calls, drained, closed;
    size_t wanted;
    bool uses_want;
    ConnEnd end;
} Owner;

static Worker **all;
static Owner owner, other;

static void obey(Owner *to, Slice payload) {
    if (slice_equal(payload, LIT("close")))
        conn_close(&to->conn, CONN_END_OURS);
    if (slice_equal(payload, LIT("pause")))
        conn_pause_reading(&to->conn);
    if (slice_equal(payload, LIT("echo")))
        conn_append(&to->conn, LIT("echoed"));
    if (slice_equal(payload, LIT("last words"))) {
        conn_append(&to->conn, LIT("goodbye"));
        conn_close_after_flush(&to->conn);
        conn_append(&to->conn, LIT("not this"));
        conn_close_after_flush(&to->conn);
    }
}

static size_t on_data(Conn *conn, char *data, size_t len) {
    Owner *to = CONTAINER_OF(conn, Owner, conn);
    to->calls++;
    assert_true(len >= to->wanted);
    to->wanted = 0;
    size_t used = 0;
    while (conn_is_open(conn) && !conn->is_reading_paused && len - used >= 4) {
        uint32_t n;
        memcpy(&n, data + used, 4);
        if (len - used < 4 + (size_t)n) {
            if (to->uses_want) {
                to->wanted = 4 + (size_t)n;
                conn_want(conn, to->wanted);
            }
            break;
        }
        Slice payload = slice_from(data + used + 4, n);
        buf_append(&to->payloads, payload);
        to->frames++;
        used += 4 + n;
        obey(to, payload);
    }
    return used;
}

static void on_drained(Conn *conn) {
    CONTAINER_OF(conn, Owner, conn)->drained++;
}

static void on_closed(Conn *conn, ConnEnd end) {
    Owner *to = CONTAINER_OF(conn, Owner, conn);
    to->closed++;
    to->end = end;
}

static const ConnOps OPS = {on_data, on_drained, on_closed};

static void open_owner(Owner *to, Worker *home) {
    int ends[2];
    *to = (Owner){0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(conn_open(&to->conn, home, ends[0], &OPS), OK);
    to->peer = ends[1];
    assert_true(conn_is_open(&to->conn));
}

static void close_owner(Owner *to) {
    if (to->peer >= 0)
        (void)close(to->peer);
    buf_done(&to->payloads);
    conn_done(&to->conn);
}

static int set_up(void **state) {
    (void)state;
    if (workers_new(2, &all) != OK)
        return -1;
    open_owner(&owner, all[0]);
    open_owner(&other, all[0]);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    close_owner(&owner);
    close_owner(&other);
    workers_free(all);
    conn_set_pending_total_max(SIZE_MAX);
    return 0;
}

static void turn(void) {
    worker_turn(all[0], false);
}

static void add_frame(Buf *to, Slice payload) {
    uint32_t n = (uint32_t)payload.len;
    buf_append_bytes(to, &n, 4);
    buf_append(to, payload);
}

static void add_random_frame(Buf *frames, Buf *payloads, Rand *rand, size_t len) {
    char *bytes = mem_alloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)rand_u64(rand);
    add_frame(frames, slice_from(bytes, len));
    buf_append_bytes(payloads, bytes, len);
    mem_free(bytes);
}

/* Writes all of it in pieces, with a turn whenever the socket is full and after each piece. */
static void feed(Owner *to, Slice bytes, size_t piece) {
    while (bytes.len > 0) {
        Slice some = slice_first(bytes, piece);
        ssize_t n = send(to->peer, some.ptr, some.len, MSG_NOSIGNAL);
        assert_true(n > 0 || errno == EAGAIN);
        if (n > 0)
            bytes = slice_from_at(bytes, (size_t)n);
        turn();
    }
    turn();
    turn();
}

/* Appends what the peer can read now. */
static void drain_peer(Owner *from, Buf *to) {
    for (;;) {
        ssize_t n = recv(from->peer, buf_reserve(to, 65536), 65536, 0);
        if (n <= 0)
            return;
        to->len += (size_t)n;
    }
}

static void send_frame(Owner *to, Slice payload) {
    Buf frame = {0};
    add_frame(&frame, payload);
    assert_int_equal(send(to->peer, frame.ptr, frame.len, 0), frame.len);
    buf_done(&frame);
}

/* Input. */

static void input_arrives_whole_however_it_is_cut(void **state) {
    (void)state;
    static const struct {
        size_t piece, frame_max;
        int frames;
        bool uses_want;
    } cases[] = {
        {1, 20, 50, false},          {1, 20, 50, true},          {3, 100, 100, true},
        {1000, 3000, 300, true},     {70000, 200, 20000, true},  {70000, 200, 20000, false},
        {50000, 60000, 60, false},   {50000, 700000, 20, false}, {50000, 700000, 20, true},
        {1 << 20, 3 << 20, 5, true},
    };
    Rand rand;
    rand_init(&rand, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf frames = {0}, payloads = {0};
        for (int k = 0; k < cases[i].frames; k++)
            add_random_frame(&frames, &payloads, &rand, rand_below(&rand, cases[i].frame_max + 1));
        owner.frames = 0;
        owner.uses_want = cases[i].uses_want;
        buf_clear(&owner.payloads);

        feed(&owner, buf_slice(&frames), cases[i].piece);
        assert_int_equal(owner.frames, cases[i].frames);
        assert_true(slice_equal(buf_slice(&owner.payloads), buf_slice(&payloads)));
        assert_null(owner.conn.kept.ptr); /* nothing is left, so nothing is held */
        buf_done(&frames);
        buf_done(&payloads);
    }
}

static void a_wanted_payload_is_offered_once_it_is_whole(void **state) {
    (void)state;
    Buf frames = {0}, payloads = {0};
    Rand rand;
    rand_init(&rand, 2);
    add_random_frame(&frames, &payloads, &rand, 2 << 20);
    owner.uses_want = true;
    feed(&owner, buf_slice(&frames), 10000);
    assert_int_equal(owner.frames, 1);
    assert_true(owner.calls <= 3); /* its beginning, and all of it */
    assert_true(slice_equal(buf_slice(&owner.payloads), buf_slice(&payloads)));
    buf_done(&frames);
    buf_done(&payloads);
}

static void nothing_is_offered_while_reading_is_paused(void **state) {
    (void)state;
    Buf frames = {0};
    add_frame(&frames, LIT("one"));
    add_frame(&frames, LIT("pause"));
    add_frame(&frames, LIT("two"));
    feed(&owner, buf_slice(&frames), frames.len);
    assert_int_equal(owner.frames, 2);
    feed(&owner, buf_slice(&frames), frames.len); /* waits in the socket */
    assert_int_equal(owner.frames, 2);

    conn_resume_reading(&owner.conn);
    conn_resume_reading(&owner.conn);
    assert_int_equal(owner.frames, 2); /* not from inside the call */
    turn();
    turn();
    assert_int_equal(owner.frames, 5);
    conn_resume_reading(&owner.conn);
    turn();
    assert_int_equal(owner.frames, 6);
    assert_true(slice_equal(buf_slice(&owner.payloads), LIT("onepausetwoonepausetwo")));
    assert_null(owner.conn.kept.ptr);
    buf_done(&frames);
}

static void pause_arrive(Worker *here, Mail *mail) {
    (void)here;
    (void)mail;
    conn_pause_reading(&owner.conn);
}

/* The first socket's input posts it, so it is taken between the second one's read and what follows.
 */
static size_t post_pause(Conn *conn, char *data, size_t len) {
    (void)data;
    static Mail mail;
    mail.arrive = pause_arrive;
    worker_post_now(conn->home, &mail);
    return len;
}

static void mail_may_pause_between_read_and_offer(void **state) {
    (void)state;
    static const ConnOps ops = {post_pause, NULL, on_closed};
    turn();
    other.conn.ops = &ops;
    send_frame(&other, LIT("x"));
    turn();
    assert_true(owner.conn.is_reading_paused == false);
    send_frame(&other, LIT("x"));
    send_frame(&owner, LIT("kept"));
    turn();
    turn();
    assert_true(owner.conn.is_reading_paused);
    conn_resume_reading(&owner.conn);
    turn();
    turn();
    assert_true(slice_equal(buf_slice(&owner.payloads), LIT("kept")));
}

static void a_flood_does_not_starve_the_others(void **state) {
    (void)state;
    Buf flood = {0}, payloads = {0};
    Rand rand;
    rand_init(&rand, 3);
    for (int i = 0; i < 20000; i++)
        add_random_frame(&flood, &payloads, &rand, 100);
    int big = 4 << 20;
    (void)setsockopt(owner.peer, SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
    turn();
    ssize_t n = send(owner.peer, flood.ptr, flood.len, 0);
    assert_true(n > 0);
    send_frame(&other, LIT("small"));
    turn();
    assert_int_equal(other.frames, 1);
    assert_true(owner.frames < 20000);
    buf_done(&flood);
    buf_done(&payloads);
}

static void a_little_left_over_does_not_hold_the_memory_of_much(void **state) {
    (void)state;
    Buf frames = {0}, payloads = {0};
    Rand rand;
    rand_init(&rand, 5);
    add_random_frame(&frames, &payloads, &rand, 1 << 20);
    buf_append(&frames, LIT("\7\0\0\0half"));
    feed(&owner, buf_slice(&frames), 100000);
    assert_int_equal(owner.frames, 1);
    assert_int_equal(owner.conn.kept.len, 8);
    assert_true(owner.conn.kept.cap <= 64);
    assert_true(sizeof(Conn) + owner.conn.kept.cap < 512);
    buf_done(&frames);
    buf_done(&payloads);
}

/* Ends. */

static void the_peer_may_close_in_the_middle_of_a_message(void **state) {
    (void)state;
    assert_int_equal(send(owner.peer, "\5\0\0\0ab", 6, 0), 6);
    turn();
    assert_non_null(owner.conn.kept.ptr);
    (void)close(owner.peer);
    owner.peer = -1;
    turn();
    turn();
    assert_int_equal(owner.closed, 1);
    assert_int_equal(owner.end, CONN_END_PEER);
    assert_int_equal(owner.frames, 0);
    assert_null(owner.conn.kept.ptr);
}

static void input_before_the_end_is_acted_on(void **state) {
    (void)state;
    send_frame(&owner, LIT("one"));
    send_frame(&owner, LIT("echo"));
    assert_int_equal(shutdown(owner.peer, SHUT_WR), 0);
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(owner.frames, 2);
    assert_int_equal(owner.closed, 1);
    assert_int_equal(owner.end, CONN_END_PEER);
    char reply[16];
    assert_int_equal(recv(owner.peer, reply, sizeof reply, 0), 6); /* it could still hear us */
}

static void the_owner_may_close_inside_on_data(void **state) {
    (void)state;
    Buf frames = {0};
    add_frame(&frames, LIT("close"));
    add_frame(&frames, LIT("never seen"));
    feed(&owner, buf_slice(&frames), frames.len);
    assert_int_equal(owner.frames, 1);
    assert_int_equal(owner.closed, 1);
    assert_int_equal(owner.end, CONN_END_OURS);
    conn_append(&owner.conn, LIT("goes nowhere"));
    memset(conn_reserve(&owner.conn, 1000), 'x', 1000);
    conn_commit(&owner.conn, 1000);
    conn_close(&owner.conn, CONN_END_PEER);
    turn();
    assert_int_equal(owner.closed, 1);
    assert_int_equal(owner.conn.pending_bytes, 0);
    buf_done(&frames);
}

static void last_words_are_written_before_the_close(void **state) {
    (void)state;
    Buf frames = {0};
    add_frame(&frames, LIT("last words"));
    for (int i = 0; i < 1000; i++)
        add_frame(&frames, LIT("never read, and must not reset the connection"));
    feed(&owner, buf_slice(&frames), frames.len);
    assert_int_equal(owner.closed, 1);
    assert_int_equal(owner.end, CONN_END_OURS);
    assert_int_equal(owner.frames, 1);
    Buf got = {0};
    drain_peer(&owner, &got);
    assert_true(slice_equal(buf_slice(&got), LIT("goodbye")));
    char byte;
    assert_int_equal(recv(owner.peer, &byte, 1, 0), 0);
    buf_done(&got);
    buf_done(&frames);
}

/* Output. */

static void output_of_all_kinds_comes_out_in_order(void **state) {
    (void)state;
    Buf want = {0}, got = {0};
    Rand rand;
    rand_init(&rand, 4);
    Shared *shared = shared_new(300000);
    for (size_t i = 0; i < 300000; i++)
        shared_bytes(shared)[i] = (char)rand_u64(&rand);

    for (int i = 0; i < 4000; i++) {
        size_t len = rand_below(&rand, i % 100 == 0 ? 150000 : 3000);
        Slice part = slice_from(shared_bytes(shared) + rand_below(&rand, 150000), len);
        buf_append(&want, part);
        switch (rand_below(&rand, 3)) {
        case 0:
            conn_append(&owner.conn, part);
            break;
        case 1:
            conn_append_shared(&owner.conn, shared, part);
            break;
        default:
            (void)conn_reserve(&owner.conn, len / 2); /* changes its mind */
            char *to = conn_reserve(&owner.conn, len + 10);
            memcpy(to, part.ptr, len);
            conn_commit(&owner.conn, len);
        }
        if (i % 50 == 0)
            turn();
        if (i % 170 == 0)
            drain_peer(&owner, &got);
    }
    assert_int_equal(got.len + owner.conn.pending_bytes <= want.len, 1);
    assert_int_equal(conn_pending_total(all[0]), owner.conn.pending_bytes);
    for (int i = 0; got.len < want.len && i < 100000; i++) {
        turn();
        drain_peer(&owner, &got);
    }
    assert_true(slice_equal(buf_slice(&got), buf_slice(&want)));
    assert_int_equal(owner.conn.pending_bytes, 0);
    assert_null(owner.conn.out_first); /* an idle connection holds nothing */
    assert_int_equal(conn_pending_total(all[0]), 0);
    buf_done(&want);
    buf_done(&got);
    shared_unref(shared);
}

/* Appends until the socket takes no more. */
static void block(Owner *to, size_t bytes) {
    Buf filler = {0};
    memset(buf_reserve(&filler, bytes), 'x', bytes);
    filler.len = bytes;
    conn_append(&to->conn, buf_slice(&filler));
    buf_done(&filler);
    turn();
    turn();
    assert_true(to->conn.blocked_since_ns != 0 || to->closed);
}

static void who_reads_too_little_is_closed_at_the_deadline(void **state) {
    (void)state;
    owner.conn.write_deadline_ns = 20 * NS_PER_MS;
    uint64_t start = clock_mono_ns();
    block(&owner, 8 << 20);
    while (!owner.closed)
        worker_turn(all[0], true);
    assert_int_equal(owner.end, CONN_END_WRITE_DEADLINE);
    assert_true(clock_mono_ns() - start >= 20 * NS_PER_MS);
}

static void who_reads_in_time_is_not(void **state) {
    (void)state;
    owner.conn.write_deadline_ns = 20ull * NS_PER_S;
    block(&owner, 4 << 20);
    assert_true(timer_is_set(&owner.conn.write_timer));
    Buf got = {0};
    for (int i = 0; got.len < 4 << 20 && i < 100000; i++) {
        drain_peer(&owner, &got);
        turn();
    }
    assert_int_equal(got.len, 4 << 20);
    assert_int_equal(owner.conn.blocked_since_ns, 0);
    assert_false(timer_is_set(&owner.conn.write_timer));
    assert_false(owner.closed);
    buf_done(&got);
}

static void who_has_too_much_pending_is_closed(void **state) {
    (void)state;
    owner.conn.pending_max = other.conn.pending_max = 6 << 20;
    block(&owner, 5 << 20);
    assert_false(owner.closed);
    block(&owner, 4 << 20); /* more than pending_max since it is blocked */
    turn();
    assert_int_equal(owner.closed, 1);
    assert_int_equal(owner.end, CONN_END_PENDING_BYTES);
    assert_int_equal(conn_pending_total(all[0]), 0);

    block(&other, 20 << 20); /* all at once */
    turn();
    assert_int_equal(other.end, CONN_END_PENDING_BYTES);
}

static void congestion_is_told_and_its_end_too(void **state) {
    (void)state;
    owner.conn.congested_bytes = 1000;
    conn_append(&owner.conn, LIT("little"));
    assert_false(conn_is_congested(&owner.conn));
    block(&owner, 4 << 20);
    assert_true(conn_is_congested(&owner.conn));
    assert_int_equal(owner.drained, 0);
    Buf got = {0};
    for (int i = 0; conn_is_congested(&owner.conn) && i < 100000; i++) {
        drain_peer(&owner, &got);
        turn();
    }
    assert_int_equal(owner.drained, 1);
    assert_true(owner.conn.pending_bytes <= 500);
    buf_done(&got);
}

static void the_fullest_is_closed_when_all_hold_too_much(void **state) {
    (void)state;
    Owner elsewhere;
    open_owner(&elsewhere, all[1]);
    block(&owner, 5 << 20);
    block(&other, 6 << 20);
    conn_set_pending_total_max(8 << 20);
    conn_append(&elsewhere.conn, LIT("small, and none of our business"));
    worker_turn(all[1], false); /* wakes the worker that holds most */
    turn();
    turn();
    assert_int_equal(other.closed, 1);
    assert_int_equal(other.end, CONN_END_PENDING_BYTES);
    assert_int_equal(owner.closed, 0);
    assert_true(conn_is_open(&elsewhere.conn));
    close_owner(&elsewhere);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(input_arrives_whole_however_it_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wanted_payload_is_offered_once_it_is_whole, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_offered_while_reading_is_paused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(mail_may_pause_between_read_and_offer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_little_left_over_does_not_hold_the_memory_of_much, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_flood_does_not_starve_the_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_peer_may_close_in_the_middle_of_a_message, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(input_before_the_end_is_acted_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_owner_may_close_inside_on_data, set_up, tear_down),
        cmocka_unit_test_setup_teardown(last_words_are_written_before_the_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(output_of_all_kinds_comes_out_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_reads_too_little_is_closed_at_the_deadline, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_reads_in_time_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_too_much_pending_is_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(congestion_is_told_and_its_end_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_fullest_is_closed_when_all_hold_too_much, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
