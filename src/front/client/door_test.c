/* The door as its clients see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "front/client/door_rig.h"
#include "io/clock.h"

#define CONNECT_QUIET "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,"
#define CONNECT_PLAIN "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n"

static Peer *plain_peer(DoorRig *rig) {
    Peer *peer = peer_open(rig, NULL);
    peer_send(peer, CONNECT_QUIET "\"no_responders\":true}\r\n");
    peer_expect_before_pong(peer, "");
    return peer;
}

static void info_comes_first_and_again_after_the_first_ping(void **state) {
    (void)state;
    DoorRig rig;
    Buf info = {0};
    rig_prepare(&rig);
    rig.options.jetstream = true;
    rig_open(&rig);
    Peer *peer = peer_open(&rig, &info);
    assert_string_equal(buf_text(&info),
                        "INFO {\"server_id\":\"ID\",\"server_name\":\"name\",\"version\":"
                        "\"2.15.1\",\"proto\":1,\"go\":\"go1.24\",\"host\":\"127.0.0.1\",\"port\":"
                        "4222,\"headers\":true,\"max_payload\":1048576,\"jetstream\":true,"
                        "\"client_id\":1,\"client_ip\":\"127.0.0.1\",\"api_lvl\":5} \r\n");
    peer_send(peer, CONNECT_QUIET "\"protocol\":1}\r\nPING\r\n");
    peer_expect(peer, "PONG\r\nINFO {\"server_id\":\"ID\",\"server_name\":\"name\",\"version\":"
                      "\"2.15.1\",\"proto\":1,\"go\":\"go1.24\",\"host\":\"127.0.0.1\",\"port\":"
                      "4222,\"headers\":true,\"max_payload\":1048576,\"jetstream\":true,"
                      "\"client_id\":1,\"client_ip\":\"127.0.0.1\",\"connect_info\":true,"
                      "\"remote_account\":\"$G\",\"api_lvl\":5} \r\n");
    peer_expect_before_pong(peer, "");
    peer_close(peer);
    buf_done(&info);
    rig_close(&rig);
}

static void every_refusal_has_its_words(void **state) {
    (void)state;
    static const struct {
        const char *send, *want;
    } cases[] = {
        {"FOO\r\n", "-ERR 'Unknown Protocol Operation'\r\n"},
        {" PING\r\n", "-ERR 'Unknown Protocol Operation'\r\n"},
        {"PUB a 1\r\nxx", "-ERR 'Unknown Protocol Operation'\r\n"},
        {"PING\r\nFOO\r\n", "PONG\r\n-ERR 'Unknown Protocol Operation'\r\n"},
        {"PUB a\r\n", ""},
        {"PUB a x\r\n", ""},
        {"SUB a\r\n", ""},
        {"UNSUB a b c\r\n", ""},
        {"HPUB a 5 2\r\n", ""},
        {"HPUB a 0 0\r\n\r\n", ""},
        {"-ERR 'why'\r\n", ""},
        {"CONNECT {\r\n", ""},
        {"CONNECT {\"verbose\":\"x\"}\r\n", ""},
        {"CONNECT \r\n", ""},
        {"CONNECT {\"protocol\":3}\r\n", "-ERR 'invalid client protocol'\r\n"},
        {"CONNECT {\"no_responders\":true}\r\n",
         "-ERR 'no responders requires headers support'\r\n"},
        {"CONNECT {\"account\":\"A\"}\r\n", "-ERR 'Authorization Violation'\r\n"},
        {"PUB a 1001\r\n", "-ERR 'Maximum Payload Violation'\r\n"},
        {"PUB aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "-ERR 'maximum control line exceeded'\r\n"},
    };
    DoorRig rig;
    rig_prepare(&rig);
    rig.options.max_payload = 1000;
    rig.options.max_control_line = 100;
    rig_open(&rig);
    Peer *bystander = plain_peer(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Peer *peer = peer_open(&rig, NULL);
        peer_send(peer, cases[i].send);
        peer_expect_end(peer, cases[i].want);
        peer_close(peer);
        peer_expect_before_pong(bystander, "");
    }
    peer_close(bystander);
    rig_close(&rig);
}

static void refusals_that_keep_the_connection(void **state) {
    (void)state;
    static const struct {
        const char *send, *want;
    } cases[] = {
        {"SUB a..b 1\r\n", "-ERR 'Invalid Subject'\r\n"},
        {"SUB a 1\r\n", "+OK\r\n"},
        {"SUB a 1\r\n", "+OK\r\n"}, /* a live sid: ignored */
        {"SUB a.b.c.d 9\r\n",
         "-ERR 'Permissions Violation for Subscription to \"a.b.c.d\", too many tokens'\r\n"},
        {"SUB b 2\r\n", "+OK\r\n"},
        {"SUB c 3\r\n", "-ERR 'maximum subscriptions exceeded'\r\n"},
        {"UNSUB 99\r\n", "+OK\r\n"},
        {"UNSUB 2\r\n", "+OK\r\n"},
        {"PUB x..y 1\r\nx\r\n", "-ERR 'Invalid Publish Subject'\r\n+OK\r\n"},
        {"PUB a.* 1\r\nx\r\n", "-ERR 'Invalid Publish Subject'\r\n+OK\r\n"},
        {"PUB a _R_.x 1\r\nx\r\n",
         "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\n"},
        {"PUB a 1\r\nx\r\n", "+OK\r\nMSG a 1 1\r\nx\r\n"},
        {"+OK\r\nINFO {}\r\n", ""},
        {"pInG \r\nPiNg\n", "PONG\r\nPONG\r\n"},
    };
    DoorRig rig;
    rig_prepare(&rig);
    rig.options.max_subs = 2;
    rig.options.max_sub_tokens = 3;
    rig_open(&rig);
    Peer *peer = peer_open(&rig, NULL); /* verbose and pedantic without CONNECT */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peer_send(peer, cases[i].send);
        peer_expect_before_pong(peer, cases[i].want);
    }
    peer_close(peer);
    rig_close(&rig);
}

static void messages_go_where_they_are_wanted(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig_open(&rig);
    Peer *a = plain_peer(&rig), *b = plain_peer(&rig), *old = peer_open(&rig, NULL);
    peer_send(old, CONNECT_PLAIN "SUB x.> 7\r\n");
    peer_send(a, "SUB x.* 1\r\n");
    peer_expect_before_pong(a, "");
    peer_expect_before_pong(old, "");
    peer_send(b, "PUB x.y re.ply 5\r\nhello\r\n");
    peer_expect(a, "MSG x.y 1 re.ply 5\r\nhello\r\n");
    peer_expect(old, "MSG x.y 7 re.ply 5\r\nhello\r\n");
    peer_send(b, "HPUB x.y 17 19\r\nNATS/1.0\r\nA:b\r\n\r\nhi\r\n");
    peer_expect(a, "HMSG x.y 1 17 19\r\nNATS/1.0\r\nA:b\r\n\r\nhi\r\n");
    peer_expect(old, "MSG x.y 7 2\r\nhi\r\n"); /* knows no headers */
    peer_send(b, "HPUB x.y 0 2\r\nhi\r\n");
    peer_expect(old, "MSG x.y 7 2\r\nhi\r\n");
    peer_expect(a, "MSG x.y 1 2\r\nhi\r\n");
    peer_close(a);
    peer_close(b);
    peer_close(old);
    rig_close(&rig);
}

static void queue_groups_get_each_message_once(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig_open(&rig);
    Peer *a = plain_peer(&rig), *b = plain_peer(&rig), *c = plain_peer(&rig);
    peer_send(a, "SUB q.* workers 1\r\n");
    peer_send(b, "SUB q.x workers 1\r\n");
    peer_expect_before_pong(a, "");
    peer_expect_before_pong(b, "");
    for (int i = 0; i < 200; i++)
        peer_send(c, "PUB q.x 1\r\nx\r\n");
    peer_expect_before_pong(c, "");
    const size_t each = strlen("MSG q.x 1 1\r\nx\r\n");
    RIG_UNTIL(&rig, (peer_pump(a), peer_pump(b), a->got.len + b->got.len >= 200 * each));
    assert_int_equal(a->got.len + b->got.len, 200 * each);
    assert_true(a->got.len > 0);
    assert_true(b->got.len > 0);
    peer_close(a);
    peer_close(b);
    peer_close(c);
    rig_close(&rig);
}

static void append_session(Buf *out) {
    buf_append_lit(out, CONNECT_QUIET "\"no_responders\":true}\r\nSUB in.> 1\r\nSUB r.* 2\r\n"
                                      "SUB big 3\r\n");
    for (int i = 0; i < 300; i++) {
        buf_printf(out, "PUB in.%d 3\r\nabc\r\npub\tin.x  r.1 \t 0\r\n\r\n", i);
        buf_append_lit(out, "HPUB in.h 12 14\r\nNATS/1.0\r\n\r\nok\r\n");
        if (i % 50 == 0)
            buf_append_lit(out, "PUB none r.x 0\r\n\r\nPING\r\nUNSUB 99\r\n");
    }
    buf_append_lit(out, "PUB big 20000\r\n");
    for (int i = 0; i < 20000; i++)
        buf_append_char(out, (char)('a' + i % 26));
    buf_append_lit(out, "\r\nPUB in.last 0\r\n\r\nPING\r\n");
}

static void pieces_of_any_size_give_the_same(void **state) {
    (void)state;
    static const size_t steps[] = {65536, 1, 7, 1000};
    DoorRig rig;
    Buf session = {0}, first = {0};
    rig_prepare(&rig);
    rig_open(&rig);
    append_session(&session);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        Peer *peer = peer_open(&rig, NULL);
        peer_send_bytes(peer, buf_slice(&session), steps[i]);
        RIG_UNTIL(&rig, (peer_pump(peer), slice_ends_with(buf_slice(&peer->got),
                                                          LIT("MSG in.last 1 0\r\n\r\nPONG\r\n"))));
        if (i == 0)
            buf_append(&first, buf_slice(&peer->got));
        assert_true(slice_equal(buf_slice(&first), buf_slice(&peer->got)));
        peer_close(peer);
    }
    assert_true(first.len > 20000 + 900 * 10);
    buf_done(&first);
    buf_done(&session);
    rig_close(&rig);
}

static void large_payloads_reach_all_workers_unharmed(void **state) {
    (void)state;
    enum { SIZE = 700000 };
    DoorRig rig;
    Buf message = {0}, want = {0};
    rig_prepare(&rig);
    rig_open(&rig);
    Peer *peers[4], *from = plain_peer(&rig);
    for (int i = 0; i < 4; i++) {
        peers[i] = plain_peer(&rig);
        peer_send(peers[i], "SUB big 1\r\n");
        peer_expect_before_pong(peers[i], "");
    }
    buf_printf(&message, "HPUB big 12 %d\r\nNATS/1.0\r\n\r\n", SIZE + 12);
    buf_printf(&want, "HMSG big 1 12 %d\r\nNATS/1.0\r\n\r\n", SIZE + 12);
    for (int i = 0; i < SIZE; i++) {
        buf_append_char(&message, (char)(i * 7 >> 3));
        buf_append_char(&want, (char)(i * 7 >> 3));
    }
    buf_append_lit(&message, "\r\n");
    buf_append_lit(&want, "\r\n");
    peer_send_bytes(from, buf_slice(&message), 100000);
    for (int i = 0; i < 4; i++) {
        RIG_UNTIL(&rig, (peer_pump(peers[i]), peers[i]->got.len >= want.len));
        assert_true(slice_equal(buf_slice(&peers[i]->got), buf_slice(&want)));
        peer_close(peers[i]);
    }
    peer_close(from);
    buf_done(&message);
    buf_done(&want);
    rig_close(&rig);
}

static void unsub_counts_since_the_subscription(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig_open(&rig);
    Peer *peer = plain_peer(&rig);
    peer_send(peer, "SUB a 1\r\nUNSUB 1 2\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n");
    peer_expect_before_pong(peer, "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n");
    peer_send(peer, "SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 2\r\nPUB a 1\r\n3\r\n");
    peer_expect_before_pong(peer, "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n");
    peer_send(peer, "SUB a 1\r\nUNSUB 1 x\r\nPUB a 1\r\n1\r\n");
    peer_expect_before_pong(peer, "");
    assert_int_equal(rig_stats(&rig).subscriptions, 0);
    peer_close(peer);
    rig_close(&rig);
}

static void requesters_learn_that_nobody_answers(void **state) {
    (void)state;
    static const char *const unanswered = "HMSG _I.a 1 36 36\r\nNATS/1.0 503\r\nNats-Subject: "
                                          "help\r\n\r\n\r\n";
    DoorRig rig;
    rig_prepare(&rig);
    rig_open(&rig);
    Peer *peer = plain_peer(&rig);
    peer_send(peer, "PUB help _I.a 0\r\n\r\n"); /* nowhere to tell it */
    peer_expect_before_pong(peer, "");
    peer_send(peer, "SUB _I.* q 5\r\nPUB help _I.a 0\r\n\r\nUNSUB 5\r\n");
    peer_expect_before_pong(peer, "");
    peer_send(peer, "SUB _I.* 1\r\nPUB help _I.a 0\r\n\r\n");
    peer_expect_before_pong(peer, unanswered);
    peer_send(peer, "SUB help 2\r\nPUB help _I.a 0\r\n\r\n");
    peer_expect_before_pong(peer, "MSG help 2 _I.a 0\r\n\r\n");

    /* Without echo, their own subscription is nobody. */
    peer_send(peer, CONNECT_QUIET "\"no_responders\":true,\"echo\":false}\r\n"
                                  "SUB _I.* 1\r\nSUB help 2\r\nPUB help _I.a 0\r\n\r\n");
    peer_expect_before_pong(peer, unanswered);
    peer_close(peer);
    rig_close(&rig);
}

static void a_second_connect_drops_subscriptions(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig_open(&rig);
    Peer *early = peer_open(&rig, NULL); /* the first one does not */
    peer_send(early, "SUB a 1\r\n" CONNECT_PLAIN "PUB a 1\r\nx\r\n");
    peer_expect_before_pong(early, "+OK\r\nMSG a 1 1\r\nx\r\n");
    peer_close(early);
    Peer *peer = plain_peer(&rig);
    peer_send(peer, "SUB a 1\r\nPUB a 1\r\nx\r\nCONNECT {\"user\":\"x\"}\r\nPUB a 1\r\ny\r\n");
    peer_expect_before_pong(peer, "MSG a 1 1\r\nx\r\n");
    peer_send(peer, "CONNECT {\"verbose\":true}\r\n");
    peer_expect_before_pong(peer, "+OK\r\n");
    peer_close(peer);
    rig_close(&rig);
}

static void the_connection_limit_counts_all_workers(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig.options.max_connections = 3;
    rig_open(&rig);
    Peer *a = plain_peer(&rig), *b = plain_peer(&rig), *c = plain_peer(&rig);
    Peer *d = peer_open(&rig, NULL);
    peer_expect_end(d, "-ERR 'maximum connections exceeded'\r\n");
    peer_close(d);
    peer_close(c);
    RIG_UNTIL(&rig, rig_stats(&rig).open == 2);
    rig_step(&rig); /* the main worker hears of it */
    Peer *e = plain_peer(&rig);
    assert_int_equal(rig_stats(&rig).total, 5);
    peer_close(a);
    peer_close(b);
    peer_close(e);
    rig_close(&rig);
}

static void clients_are_spread_over_workers(void **state) {
    (void)state;
    DoorRig rig;
    Peer *peers[6];
    ClientsStats stats;
    rig_prepare(&rig);
    rig_open(&rig);
    for (int i = 0; i < 6; i++)
        peers[i] = plain_peer(&rig);
    for (int i = 0; i < RIG_WORKERS; i++) {
        clients_stats(rig.all[i]->clients, &stats);
        assert_int_equal(stats.open, 3);
    }
    for (int i = 0; i < 6; i++)
        peer_close(peers[i]);
    rig_close(&rig);
}

static void silent_clients_are_pinged_and_then_closed(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig.options.ping_interval_ns = 20 * NS_PER_MS;
    rig.options.ping_max = 2;
    rig_open(&rig);
    Peer *peer = peer_open(&rig, NULL);
    peer_expect_end(peer, "PING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
    assert_int_equal(rig_stats(&rig).stale_connections, 1);
    peer_close(peer);
    rig_close(&rig);
}

static void a_slow_consumer_is_closed_and_others_live_on(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig.options.max_pending = 100 * 1024;
    rig.options.no_fast_producer_stall = true;
    rig_open(&rig);
    Peer *slow = plain_peer(&rig), *from = plain_peer(&rig);
    peer_send(slow, "SUB flood 1\r\n");
    peer_expect_before_pong(slow, "");
    char *block = mem_zalloc(60000);
    uint64_t end = rig_deadline();
    while (rig_stats(&rig).slow_consumers == 0) {
        peer_send(from, "PUB flood 60000\r\n");
        peer_send_bytes(from, slice_from(block, 60000), 65536);
        peer_send(from, "\r\n");
        rig_check_deadline(end, "slow consumer", __FILE__, __LINE__);
    }
    peer_expect_before_pong(from, "");
    RIG_UNTIL(&rig, (peer_pump(slow), slow->is_ended));
    RIG_UNTIL(&rig, rig_stats(&rig).open == 1);
    mem_free(block);
    peer_close(slow);
    peer_close(from);
    rig_close(&rig);
}

static void a_fast_producer_waits_for_a_slow_consumer_but_not_for_ever(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig.options.max_pending = 64 * 1024 * 1024;
    rig_open(&rig);
    /* Both on the same worker. */
    Peer *slow = plain_peer(&rig), *other = plain_peer(&rig), *from = plain_peer(&rig);
    peer_send(slow, "SUB flood 1\r\n");
    peer_expect_before_pong(slow, "");
    char *block = mem_zalloc(500000);
    for (int i = 0; i < 60; i++) {
        peer_send(from, "PUB flood 500000\r\n");
        peer_send_bytes(from, slice_from(block, 500000), 500000);
        peer_send(from, "\r\n");
    }
    peer_expect_before_pong(from, "");
    assert_true(rig_stats(&rig).stalled_clients > 0);
    RIG_UNTIL(&rig, (peer_pump(slow), slow->got.len > 60u * 500000));
    mem_free(block);
    peer_close(slow);
    peer_close(other);
    peer_close(from);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_comes_first_and_again_after_the_first_ping),
        cmocka_unit_test(every_refusal_has_its_words),
        cmocka_unit_test(refusals_that_keep_the_connection),
        cmocka_unit_test(messages_go_where_they_are_wanted),
        cmocka_unit_test(queue_groups_get_each_message_once),
        cmocka_unit_test(pieces_of_any_size_give_the_same),
        cmocka_unit_test(large_payloads_reach_all_workers_unharmed),
        cmocka_unit_test(unsub_counts_since_the_subscription),
        cmocka_unit_test(requesters_learn_that_nobody_answers),
        cmocka_unit_test(a_second_connect_drops_subscriptions),
        cmocka_unit_test(the_connection_limit_counts_all_workers),
        cmocka_unit_test(clients_are_spread_over_workers),
        cmocka_unit_test(silent_clients_are_pinged_and_then_closed),
        cmocka_unit_test(a_slow_consumer_is_closed_and_others_live_on),
        cmocka_unit_test(a_fast_producer_waits_for_a_slow_consumer_but_not_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
