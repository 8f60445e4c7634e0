/* What the server does to its clients: reload, kick, lame duck, shutdown; what monitoring sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "front/client/door_rig.h"
#include "io/clock.h"

#define LOGIN(user, pass)                                                                          \
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"name\":\"n\",\"lang\":"      \
    "\"c\",\"version\":\"1\",\"user\":\"" user "\",\"pass\":\"" pass "\"}\r\n"

static Peer *login(DoorRig *rig, const char *connect) {
    Peer *peer = peer_open(rig, NULL);
    peer_send(peer, connect);
    peer_expect_before_pong(peer, "");
    return peer;
}

static void a_reload_closes_and_restricts(void **state) {
    (void)state;
    static const Slice deny[] = {{"b.*", 3}};
    UserOptions users[] = {
        {.name = LIT("ann"), .password = LIT("pw"), .account = 2},
        {.name = LIT("bob"), .password = LIT("pw"), .account = 2},
        {.name = LIT("eve"), .password = LIT("pw"), .account = 2},
    };
    DoorRig rig;
    rig_prepare(&rig);
    rig.auth.users = users;
    rig.auth.user_count = 3;
    rig_open(&rig);
    Peer *ann = login(&rig, LOGIN("ann", "pw")), *bob = login(&rig, LOGIN("bob", "pw"));
    Peer *eve = login(&rig, LOGIN("eve", "pw"));
    peer_send(ann, "SUB a 1\r\nSUB b.x 2\r\nSUB b.x q 3\r\nSUB > 4\r\n");
    peer_expect_before_pong(ann, "");

    users[0].permissions =
        (PermissionsOptions){.is_set = true, .subscribe = {NULL, deny, 0, 1, false}};
    users[1].password = LIT("other");
    rig.auth.user_count = 2; /* eve is gone, bob has another password */
    rig.options.max_payload = 5;
    assert_int_equal(clients_reload(rig.main, &rig.options, &rig.auth, NULL), OK);
    peer_expect_end(bob, "-ERR 'Authorization Violation'\r\n");
    peer_expect_end(eve, "-ERR 'Authorization Violation'\r\n");
    Slice got = peer_take_until_pong(ann);
    assert_true(slice_find_slice(got, LIT("-ERR 'Permissions Violation for Subscription to \"b.x\" "
                                          "(sid \"2\")'\r\n")) < got.len);
    assert_true(slice_find_slice(got, LIT("-ERR 'Permissions Violation for Subscription to \"b.x\" "
                                          "using queue \"q\" (sid \"3\")'\r\n")) < got.len);
    buf_clear(&ann->got);
    peer_send(ann, "PUB b.x 1\r\n1\r\nPUB a 1\r\n2\r\n");
    got = peer_take_until_pong(ann);
    assert_true(slice_find_slice(got, LIT("b.x")) == got.len); /* > is filtered now */
    assert_true(slice_find_slice(got, LIT("MSG a 4 1\r\n2\r\n")) < got.len);
    buf_clear(&ann->got);
    peer_send(ann, "PUB a 6\r\n");
    peer_expect_end(ann, "-ERR 'Maximum Payload Violation'\r\n");
    peer_close(ann);
    peer_close(bob);
    peer_close(eve);
    rig_close(&rig);
}

static bool has_ended(Peer *peer) {
    peer_pump(peer);
    return peer->is_ended;
}

static void a_reload_closes_who_is_too_many(void **state) {
    (void)state;
    enum { COUNT = 6 };
    static const AccountLimits limits[] = {{0}, {0}, {.max_connections = 2}};
    UserOptions users[] = {
        {.name = LIT("ann"), .password = LIT("pw"), .account = 2},
        {.name = LIT("bob"), .password = LIT("pw"), .account = 3},
    };
    static const struct {
        uint64_t max_connections;
        size_t limit_count, want;
        const char *error;
    } cases[] = {
        {5, 0, 1, "-ERR 'maximum connections exceeded'\r\n"},
        {1, 0, 5, "-ERR 'maximum connections exceeded'\r\n"},
        {0, 3, 2, "-ERR 'maximum account active connections exceeded'\r\n"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        DoorRig rig;
        Peer *peers[COUNT];
        size_t ended = 0;
        rig_prepare(&rig);
        rig.auth.users = users;
        rig.auth.user_count = 2;
        rig_open(&rig);
        for (size_t i = 0; i < COUNT; i++)
            peers[i] = login(&rig, i < 4 ? LOGIN("ann", "pw") : LOGIN("bob", "pw"));
        rig_step(&rig); /* the main worker hears of them */
        rig.options.max_connections = cases[c].max_connections;
        rig.options.account_limits = limits;
        rig.options.account_limit_count = cases[c].limit_count;
        assert_int_equal(clients_reload(rig.main, &rig.options, &rig.auth, NULL), OK);
        RIG_UNTIL(&rig, rig_stats(&rig).open == COUNT - cases[c].want);
        for (size_t i = 0; i < COUNT; i++) {
            rig_step(&rig);
            if (!has_ended(peers[i]))
                continue;
            assert_string_equal(buf_text(&peers[i]->got), cases[c].error);
            ended++;
        }
        assert_int_equal(ended, cases[c].want);
        for (size_t i = 0; i < COUNT; i++)
            peer_close(peers[i]);
        rig_close(&rig);
    }
}

static void a_bad_reload_changes_nothing(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig_open(&rig);
    Peer *peer = login(&rig, LOGIN("", ""));
    AuthOptions bad = {.no_auth_user = LIT("nobody")};
    assert_int_equal(clients_reload(rig.main, &rig.options, &bad, NULL), ERR_NOT_FOUND);
    peer_expect_before_pong(peer, "");
    peer_close(peer);
    rig_close(&rig);
}

static void a_kicked_client_is_closed_without_words(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig_open(&rig);
    Peer *a = login(&rig, LOGIN("", "")), *b = login(&rig, LOGIN("", ""));
    clients_kick(rig.main, 1);
    clients_kick(rig.main, 77);
    peer_expect_end(a, "");
    peer_expect_before_pong(b, "");
    peer_close(a);
    peer_close(b);
    rig_close(&rig);
}

static void a_lame_duck_says_so_and_closes_everyone(void **state) {
    (void)state;
    DoorRig rig;
    Peer *peers[5];
    rig_prepare(&rig);
    rig_open(&rig);
    for (int i = 0; i < 5; i++)
        peers[i] = login(&rig, LOGIN("", ""));
    Peer *informed = peer_open(&rig, NULL);
    peer_send(informed, "CONNECT {\"verbose\":false,\"protocol\":1}\r\n");
    clients_lame_duck(rig.main, 20 * NS_PER_MS, 50 * NS_PER_MS, rig_on_done, &rig);
    RIG_UNTIL(&rig, rig.is_ended);
    for (int i = 0; i < 5; i++) {
        peer_expect_end(peers[i], "");
        peer_close(peers[i]);
    }
    RIG_UNTIL(&rig, (peer_pump(informed), informed->is_ended));
    assert_non_null(strstr(buf_text(&informed->got), "\"ldm\":true"));
    peer_close(informed);
    rig_close(&rig);
}

static void a_shutdown_flushes_first(void **state) {
    (void)state;
    enum { SIZE = 900000, COUNT = 8 };
    DoorRig rig;
    rig_prepare(&rig);
    rig_open(&rig);
    Peer *peer = login(&rig, LOGIN("", "")), *from = login(&rig, LOGIN("", ""));
    peer_send(peer, "SUB a 1\r\n");
    peer_expect_before_pong(peer, "");
    Buf message = {0};
    buf_printf(&message, "PUB a %d\r\n", SIZE);
    memset(buf_reserve(&message, SIZE), 'x', SIZE);
    message.len += SIZE;
    buf_append_lit(&message, "\r\n");
    for (int i = 0; i < COUNT; i++)
        peer_send_bytes(from, buf_slice(&message), 300000);
    peer_expect_before_pong(from, "");
    clients_shutdown(rig.main, 2ull * NS_PER_S, rig_on_done, &rig);
    RIG_UNTIL(&rig, (peer_pump(peer), peer->is_ended));
    assert_int_equal(peer->got.len, COUNT * (strlen("MSG a 1 900000\r\n") + SIZE + 2));
    peer_expect_end(from, "");
    RIG_UNTIL(&rig, rig.is_ended);
    peer_close(peer);
    peer_close(from);
    buf_done(&message);
    rig_close(&rig);
}

static void a_shutdown_of_nobody_is_done_at_once(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig_open(&rig);
    clients_shutdown(rig.main, NS_PER_S, rig_on_done, &rig);
    assert_true(rig.is_ended);
    rig_close(&rig);
}

typedef struct Seen {
    int count;
    ClientInfo info;
    char name[32], sub[64];
} Seen;

static void see_sub(void *cookie, const ClientSubInfo *sub) {
    Seen *seen = cookie;
    snprintf(seen->sub, sizeof seen->sub, "%.*s/%.*s/%.*s/%d", SLICE_ARG(sub->subject),
             SLICE_ARG(sub->queue), SLICE_ARG(sub->sid), (int)sub->msgs);
}

static void see(void *cookie, const ClientInfo *info, const Client *client) {
    Seen *seen = cookie;
    seen->count++;
    seen->info = *info;
    snprintf(seen->name, sizeof seen->name, "%.*s/%.*s", SLICE_ARG(info->name),
             SLICE_ARG(info->account));
    client_each_sub(client, see_sub, cookie);
}

static void see_closed(void *cookie, const ClientInfo *info, const ClosedClient *closed) {
    Seen *seen = cookie;
    seen->count++;
    seen->info = *info;
    snprintf(seen->name, sizeof seen->name, "%.*s/%.*s", SLICE_ARG(info->name),
             SLICE_ARG(info->account));
    closed_client_each_sub(closed, see_sub, cookie);
}

static void monitoring_sees_open_and_closed_clients(void **state) {
    (void)state;
    DoorRig rig;
    ClientsStats stats;
    rig_prepare(&rig);
    rig.options.max_closed_clients = 2;
    rig_open(&rig);
    Peer *peer = login(&rig, LOGIN("", ""));
    peer_send(peer, "SUB a q 7\r\nPUB a 5\r\nhello\r\n");
    peer_expect_before_pong(peer, "MSG a 7 5\r\nhello\r\n");

    Seen seen = {0};
    for (int i = 0; i < RIG_WORKERS; i++)
        clients_each(rig.all[i]->clients, see, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.info.cid, 1);
    assert_string_equal(seen.name, "n/$G");
    assert_string_equal(seen.sub, "a/q/7/1");
    assert_int_equal(seen.info.in_msgs, 1);
    assert_int_equal(seen.info.out_bytes, 5);
    assert_int_equal(seen.info.subscriptions, 1);
    assert_int_equal(seen.info.stop_ns, 0);
    assert_true(seen.info.rtt_ns > 0);
    clients_account_stats(rig.all[0]->clients, 0, &stats);
    assert_int_equal(stats.open, 1);
    assert_int_equal(stats.in_bytes, 5);

    peer_close(peer);
    RIG_UNTIL(&rig, rig_stats(&rig).open == 0);
    rig_step(&rig);
    seen = (Seen){0};
    clients_each_closed(rig.main, see_closed, &seen);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.name, "n/$G");
    assert_string_equal(seen.sub, "a/q/7/1");
    assert_string_equal(seen.info.reason, "Client Closed");
    assert_true(seen.info.stop_ns >= seen.info.start_ns);
    clients_account_stats(rig.all[0]->clients, 0, &stats);
    assert_int_equal(stats.open, 0);
    assert_int_equal(stats.in_bytes, 5);

    for (int i = 0; i < 3; i++) { /* only two are remembered */
        Peer *bad = peer_open(&rig, NULL);
        peer_send(bad, "FOO\r\n");
        peer_expect_end(bad, "-ERR 'Unknown Protocol Operation'\r\n");
        peer_close(bad);
    }
    RIG_UNTIL(&rig, rig_stats(&rig).open == 0);
    rig_step(&rig);
    RIG_UNTIL(&rig, (seen = (Seen){0}, clients_each_closed(rig.main, see_closed, &seen),
                     seen.count == 2 && seen.info.cid == 4));
    assert_string_equal(seen.info.reason, "Protocol Violation");
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reload_closes_and_restricts),
        cmocka_unit_test(a_reload_closes_who_is_too_many),
        cmocka_unit_test(a_bad_reload_changes_nothing),
        cmocka_unit_test(a_kicked_client_is_closed_without_words),
        cmocka_unit_test(a_lame_duck_says_so_and_closes_everyone),
        cmocka_unit_test(a_shutdown_flushes_first),
        cmocka_unit_test(a_shutdown_of_nobody_is_done_at_once),
        cmocka_unit_test(monitoring_sees_open_and_closed_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
