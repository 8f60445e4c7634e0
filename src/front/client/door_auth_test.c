/* Who may come in, and what they may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "front/client/door_rig.h"
#include "io/clock.h"

/* "secret" at cost 4 */
#define HASH "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

#define LOGIN(user, pass)                                                                          \
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"user\":\"" user              \
    "\",\"pass\":\"" pass "\"}\r\n"

static const Slice P_ALLOW[] = {{"x.>", 3}, {"_INBOX.>", 8}}, P_DENY[] = {{"x.no", 4}};
static const Slice S_ALLOW[] = {{"q.x wrk", 7}, {"t.>", 3}, {"_INBOX.>", 8}};
static const Slice S_DENY[] = {{"t.s.*", 5}};
static const Slice ALL[] = {{">", 1}};

static UserOptions users[] = {
    {.name = {"ann", 3}, .password = {"pw", 2}, .account = 2},
    {.name = {"bob", 3}, .password = {HASH, sizeof HASH - 1}, .account = 3},
    {.name = {"sys", 3}, .password = {"sys", 3}, .account = 1},
    {.name = {"limited", 7},
     .password = {"pw", 2},
     .account = 2,
     .permissions = {.is_set = true,
                     .publish = {P_ALLOW, P_DENY, 2, 1, true},
                     .subscribe = {S_ALLOW, S_DENY, 3, 1, true}}},
    {.name = {"answerer", 8},
     .password = {"pw", 2},
     .account = 2,
     .permissions = {.is_set = true,
                     .subscribe = {ALL, NULL, 1, 0, true},
                     .has_responses = true,
                     .responses_max = 2}},
};

static void with_users(DoorRig *rig) {
    rig_prepare(rig);
    rig->auth.users = users;
    rig->auth.user_count = sizeof users / sizeof users[0];
}

static Peer *login(DoorRig *rig, const char *connect) {
    Peer *peer = peer_open(rig, NULL);
    peer_send(peer, connect);
    peer_expect_before_pong(peer, "");
    return peer;
}

static void only_the_right_secret_opens(void **state) {
    (void)state;
    static const struct {
        const char *send;
        bool is_let_in;
    } cases[] = {
        {LOGIN("ann", "pw"), true},
        {LOGIN("bob", "secret"), true},
        {LOGIN("ann", "no"), false},
        {LOGIN("bob", "no"), false},
        {LOGIN("bob", HASH), false},
        {LOGIN("eve", "pw"), false},
        {"CONNECT {}\r\n", false},
        {"PING\r\n", false},
        {"PUB a 0\r\n\r\n", false},
        {"CONNECT {\"auth_token\":\"pw\"}\r\n", false},
        {LOGIN("ann", "pw") LOGIN("eve", "pw"), false},
    };
    DoorRig rig;
    with_users(&rig);
    rig_open(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Peer *peer = peer_open(&rig, NULL);
        peer_send(peer, cases[i].send);
        if (cases[i].is_let_in)
            peer_expect_before_pong(peer, "");
        else
            peer_expect_end(peer, "-ERR 'Authorization Violation'\r\n");
        peer_close(peer);
    }
    rig_close(&rig);
}

static void info_tells_that_authentication_is_required(void **state) {
    (void)state;
    DoorRig rig;
    Buf info = {0};
    with_users(&rig);
    rig_open(&rig);
    Peer *peer = peer_open(&rig, &info);
    assert_non_null(strstr(buf_text(&info), "\"auth_required\":true,\"max_payload\""));
    peer_send(peer, "CONNECT {\"verbose\":false,\"user\":\"sys\",\"pass\":\"sys\",\"protocol\":1}"
                    "\r\n");
    peer_send(peer, "PING\r\n");
    RIG_UNTIL(&rig, (peer_pump(peer), slice_ends_with(buf_slice(&peer->got), LIT("} \r\n"))));
    assert_true(slice_starts_with(buf_slice(&peer->got), LIT("PONG\r\nINFO {")));
    assert_non_null(
        strstr(buf_text(&peer->got), "\"remote_account\":\"$SYS\",\"acc_is_sys\":true"));
    peer_close(peer);
    rig_close(&rig);

    rig.auth.no_auth_user = LIT("ann");
    rig.is_ended = false;
    rig_open(&rig);
    buf_clear(&info);
    peer = peer_open(&rig, &info);
    assert_null(strstr(buf_text(&info), "auth_required"));
    peer_close(peer);
    buf_done(&info);
    rig_close(&rig);
}

static void silence_before_authentication_ends(void **state) {
    (void)state;
    DoorRig rig;
    with_users(&rig);
    rig.options.auth_timeout_ns = 20 * NS_PER_MS;
    rig_open(&rig);
    Peer *peer = peer_open(&rig, NULL);
    peer_expect_end(peer, "-ERR 'Authentication Timeout'\r\n");
    peer_close(peer);
    rig_close(&rig);
}

static void a_token_opens(void **state) {
    (void)state;
    DoorRig rig;
    rig_prepare(&rig);
    rig.auth.token = LIT("t0ken");
    rig_open(&rig);
    Peer *peer = login(&rig, "CONNECT {\"verbose\":false,\"auth_token\":\"t0ken\"}\r\n");
    peer_close(peer);
    peer = peer_open(&rig, NULL);
    peer_send(peer, "CONNECT {\"auth_token\":\"x\"}\r\n");
    peer_expect_end(peer, "-ERR 'Authorization Violation'\r\n");
    peer_close(peer);
    rig_close(&rig);
}

static void no_auth_user_serves_who_gives_nothing(void **state) {
    (void)state;
    DoorRig rig;
    with_users(&rig);
    rig.auth.no_auth_user = LIT("ann");
    rig_open(&rig);
    Peer *ann = login(&rig, LOGIN("ann", "pw")), *nobody = peer_open(&rig, NULL);
    Peer *bob = login(&rig, LOGIN("bob", "secret"));
    peer_send(ann, "SUB a 1\r\n");
    peer_expect_before_pong(ann, "");
    peer_send(bob, "SUB a 1\r\n"); /* another account */
    peer_expect_before_pong(bob, "");
    peer_send(nobody, "PUB a 1\r\nx\r\n");
    peer_expect(nobody, "+OK\r\n");
    peer_expect(ann, "MSG a 1 1\r\nx\r\n");
    peer_expect_before_pong(bob, "");
    peer_close(ann);
    peer_close(bob);
    peer_close(nobody);
    rig_close(&rig);
}

static void permissions_are_kept(void **state) {
    (void)state;
    static const struct {
        const char *send, *want;
    } cases[] = {
        {"PUB x.a 0\r\n\r\n", ""},
        {"PUB x.no 0\r\n\r\n", "-ERR 'Permissions Violation for Publish to \"x.no\"'\r\n"},
        {"PUB y 0\r\n\r\n", "-ERR 'Permissions Violation for Publish to \"y\"'\r\n"},
        {"SUB t.a 1\r\n", ""},
        {"SUB t.s.a 2\r\n", "-ERR 'Permissions Violation for Subscription to \"t.s.a\"'\r\n"},
        {"SUB q.x wrk 3\r\n", ""},
        {"SUB q.x w 4\r\n",
         "-ERR 'Permissions Violation for Subscription to \"q.x\" using queue \"w\"'\r\n"},
        {"SUB q.x 5\r\n", "-ERR 'Permissions Violation for Subscription to \"q.x\"'\r\n"},
        {"SUB a..b 6\r\n", "-ERR 'Permissions Violation for Subscription to \"a..b\"'\r\n"},
    };
    DoorRig rig;
    with_users(&rig);
    rig_open(&rig);
    Peer *peer = login(&rig, LOGIN("limited", "pw"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peer_send(peer, cases[i].send);
        peer_expect_before_pong(peer, cases[i].want);
    }
    peer_close(peer);
    rig_close(&rig);
}

static void a_wide_subscription_does_not_see_what_is_denied(void **state) {
    (void)state;
    DoorRig rig;
    with_users(&rig);
    rig_open(&rig);
    Peer *limited = login(&rig, LOGIN("limited", "pw")), *ann = login(&rig, LOGIN("ann", "pw"));
    peer_send(limited, "SUB t.> 1\r\n");
    peer_expect_before_pong(limited, "");
    peer_send(ann, "PUB t.s.a 1\r\n1\r\nPUB t.s 1\r\n2\r\nPUB t.s.a 1\r\n3\r\nPUB t.s.a.b "
                   "1\r\n4\r\n");
    peer_expect_before_pong(ann, "");
    peer_expect(limited, "MSG t.s 1 1\r\n2\r\nMSG t.s.a.b 1 1\r\n4\r\n");
    peer_close(limited);
    peer_close(ann);
    rig_close(&rig);
}

static void who_may_only_answer_answers_so_often(void **state) {
    (void)state;
    DoorRig rig;
    with_users(&rig);
    rig_open(&rig);
    Peer *answerer = login(&rig, LOGIN("answerer", "pw")), *ann = login(&rig, LOGIN("ann", "pw"));
    peer_send(answerer, "SUB help 1\r\nPUB _I.1 0\r\n\r\n");
    peer_expect_before_pong(answerer, "-ERR 'Permissions Violation for Publish to \"_I.1\"'\r\n");
    peer_send(ann, "SUB _I.* 1\r\nPUB help _I.1 0\r\n\r\n");
    peer_expect(answerer, "MSG help 1 _I.1 0\r\n\r\n");
    peer_send(answerer, "PUB _I.1 1\r\n1\r\nPUB _I.1 1\r\n2\r\nPUB _I.1 1\r\n3\r\n");
    peer_expect_before_pong(answerer, "-ERR 'Permissions Violation for Publish to \"_I.1\"'\r\n");
    peer_expect(ann, "MSG _I.1 1 1\r\n1\r\nMSG _I.1 1 1\r\n2\r\n");
    peer_close(answerer);
    peer_close(ann);
    rig_close(&rig);
}

static void users_may_ask_who_they_are(void **state) {
    (void)state;
    DoorRig rig;
    with_users(&rig);
    rig_open(&rig);
    Peer *peer = login(&rig, LOGIN("ann", "pw"));
    peer_send(peer, "SUB _I 1\r\nPUB $SYS.REQ.USER.INFO _I 0\r\n\r\n");
    Slice got = peer_take_until_pong(peer);
    assert_true(slice_starts_with(got, LIT("MSG _I 1 ")));
    assert_true(slice_find_slice(
                    got, LIT("{\"server\":{\"name\":\"name\",\"host\":\"127.0.0.1\"")) < got.len);
    assert_true(slice_find_slice(got, LIT("\"data\":{\"user\":\"ann\",\"account\":\"A\","
                                          "\"account_name\":\"A\"}}\r\n")) < got.len);
    peer_close(peer);
    rig_close(&rig);
}

static void an_account_has_only_so_many_connections(void **state) {
    (void)state;
    static const AccountLimits limits[] = {{0}, {0}, {.max_connections = 2, .max_payload = 10}};
    DoorRig rig;
    with_users(&rig);
    rig.options.account_limits = limits;
    rig.options.account_limit_count = 3;
    rig_open(&rig);
    Peer *a = login(&rig, LOGIN("ann", "pw")), *b = login(&rig, LOGIN("limited", "pw"));
    Peer *c = peer_open(&rig, NULL), *other = login(&rig, LOGIN("bob", "secret"));
    peer_send(c, LOGIN("ann", "pw"));
    peer_expect_end(c, "-ERR 'maximum account active connections exceeded'\r\n");
    peer_close(c);
    peer_close(a);
    RIG_UNTIL(&rig, rig_stats(&rig).open == 2);
    rig_step(&rig);
    a = login(&rig, LOGIN("ann", "pw"));
    peer_send(a, "PUB a 11\r\n");
    peer_expect_end(a, "-ERR 'Maximum Payload Violation'\r\n");
    peer_close(a);
    peer_close(b);
    peer_close(other);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_right_secret_opens),
        cmocka_unit_test(info_tells_that_authentication_is_required),
        cmocka_unit_test(silence_before_authentication_ends),
        cmocka_unit_test(a_token_opens),
        cmocka_unit_test(no_auth_user_serves_who_gives_nothing),
        cmocka_unit_test(permissions_are_kept),
        cmocka_unit_test(a_wide_subscription_does_not_see_what_is_denied),
        cmocka_unit_test(who_may_only_answer_answers_so_often),
        cmocka_unit_test(users_may_ask_who_they_are),
        cmocka_unit_test(an_account_has_only_so_many_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
