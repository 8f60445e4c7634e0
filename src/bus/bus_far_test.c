/* Other servers at the bus: what they get, once, and what of them others are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/vec.h"
#include "bus/bus.h"

enum { WORKERS = 2, ROUNDS = 400 };

typedef struct Peer {
    Port port;
    unsigned received, last_queues;
    char last_to[32], last_subject[32], queues[64];
    bool is_unwilling;
} Peer;

typedef struct Fixture {
    Worker **all;
    Bus *buses[WORKERS];
    Peer clients[WORKERS][2], leafs[2]; /* leafs on worker 1 */
} Fixture;

static void copy_text(char *out, size_t size, Slice from) {
    (void)snprintf(out, size, "%.*s", SLICE_ARG(from));
}

static void on_deliver(Port *base, Sub *sub, const Message *message) {
    Peer *peer = (Peer *)base;
    (void)sub;
    (void)message;
    peer->received++;
}

static void on_forward(Port *base, const Forwarding *forwarding) {
    Peer *peer = (Peer *)base;
    Buf queues = {0};
    peer->received++;
    peer->last_queues = (unsigned)forwarding->queue_count;
    for (size_t i = 0; i < forwarding->queue_count; i++)
        buf_printf(&queues, "%.*s ", SLICE_ARG(forwarding->queues[i]));
    copy_text(peer->queues, sizeof peer->queues, buf_slice(&queues));
    copy_text(peer->last_to, sizeof peer->last_to, forwarding->to);
    copy_text(peer->last_subject, sizeof peer->last_subject, forwarding->message->subject);
    buf_done(&queues);
}

static bool on_wants(Port *base, Slice to, const Port *from) {
    (void)to;
    return !((Peer *)base)->is_unwilling && from != base;
}

static const PortOps client_ops = {.kind = PORT_CLIENT, .deliver = on_deliver};
static const PortOps leaf_ops = {.kind = PORT_LEAF, .forward = on_forward, .wants = on_wants};

static int set_up(void **state) {
    static const Slice names[] = {{"$G", 2}, {"$SYS", 4}};
    Fixture *fixture = mem_zalloc(sizeof *fixture);
    assert_int_equal(workers_new(WORKERS, &fixture->all), OK);
    for (unsigned i = 0; i < WORKERS; i++) {
        rand_init(&fixture->all[i]->rand, 5 + i);
        fixture->buses[i] = bus_new(fixture->all[i], names, 2);
        for (unsigned k = 0; k < 2; k++)
            fixture->clients[i][k].port = (Port){.ops = &client_ops, .home = fixture->all[i]};
    }
    for (unsigned k = 0; k < 2; k++)
        fixture->leafs[k].port = (Port){.ops = &leaf_ops, .home = fixture->all[1], .no_echo = true};
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    Fixture *fixture = *state;
    workers_drain(fixture->all);
    for (unsigned i = 0; i < WORKERS; i++)
        bus_free(fixture->buses[i]);
    workers_free(fixture->all);
    mem_free(fixture);
    return 0;
}

static void settle(Fixture *fixture) {
    for (int round = 0; round < 4; round++)
        for (unsigned i = 0; i < WORKERS; i++)
            worker_turn(fixture->all[i], false);
}

static Account *account_of(Fixture *fixture, unsigned worker) {
    return bus_account(fixture->buses[worker], 0);
}

static Sub *subscribe(Fixture *fixture, Peer *peer, const char *subject, const char *queue) {
    Account *account = bus_account(peer->port.home->bus, 0);
    (void)fixture;
    return sub_add(account, &peer->port, slice_of_text(subject), slice_of_text(queue), LIT("1"),
                   false);
}

static size_t publish(Fixture *fixture, unsigned worker, const char *subject) {
    Message message = {.subject = slice_of_text(subject), .payload = LIT("x")};
    size_t receivers = bus_publish(account_of(fixture, worker), message.subject, &message,
                                   &fixture->clients[worker][0].port, 0);
    settle(fixture);
    return receivers;
}

static void a_message_goes_to_another_server_once(void **state) {
    Fixture *fixture = *state;
    Peer *leaf = &fixture->leafs[0];
    (void)subscribe(fixture, leaf, "a.*", "");
    (void)subscribe(fixture, leaf, "a.>", "");
    (void)subscribe(fixture, leaf, "a.b", "");
    (void)sub_add_far(account_of(fixture, 1), &leaf->port, LIT("a.b"), LIT("q"), 2);
    (void)sub_add_far(account_of(fixture, 1), &leaf->port, LIT("*.b"), LIT("r"), 1);
    settle(fixture);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        leaf->received = 0;
        assert_true(publish(fixture, worker, "a.b") > 0);
        assert_int_equal(leaf->received, 1);
        assert_int_equal(leaf->last_queues, 2);
        assert_non_null(strstr(leaf->queues, "q "));
        assert_non_null(strstr(leaf->queues, "r "));
        assert_string_equal(leaf->last_to, "a.b");
    }
}

static void a_group_has_its_members_here_before_those_elsewhere(void **state) {
    Fixture *fixture = *state;
    Peer *leaf = &fixture->leafs[0], *near = &fixture->clients[0][1];
    (void)sub_add_far(account_of(fixture, 1), &leaf->port, LIT("a"), LIT("q"), 100);
    Sub *sub = subscribe(fixture, near, "a", "q");
    settle(fixture);
    for (unsigned i = 0; i < ROUNDS; i++)
        assert_int_equal(publish(fixture, i % WORKERS, "a"), 1);
    assert_int_equal(near->received, ROUNDS);
    assert_int_equal(leaf->received, 0);
    sub_remove(sub);
    settle(fixture);
    for (unsigned i = 0; i < ROUNDS; i++)
        assert_int_equal(publish(fixture, i % WORKERS, "a"), 1);
    assert_int_equal(leaf->received, ROUNDS);
}

static void servers_share_a_group_by_their_members(void **state) {
    Fixture *fixture = *state;
    Sub *many = sub_add_far(account_of(fixture, 1), &fixture->leafs[0].port, LIT("a"), LIT("q"), 1);
    (void)sub_add_far(account_of(fixture, 1), &fixture->leafs[1].port, LIT("a"), LIT("q"), 1);
    sub_set_members(many, 3);
    settle(fixture);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        fixture->leafs[0].received = fixture->leafs[1].received = 0;
        for (unsigned i = 0; i < ROUNDS; i++)
            (void)publish(fixture, worker, "a");
        assert_int_equal(fixture->leafs[0].received + fixture->leafs[1].received, ROUNDS);
        assert_in_range(fixture->leafs[0].received, ROUNDS * 65 / 100, ROUNDS * 85 / 100);
    }
    fixture->leafs[0].received = fixture->leafs[1].received = 0;
    fixture->leafs[0].is_unwilling = true; /* then the other has all */
    for (unsigned i = 0; i < ROUNDS; i++)
        (void)publish(fixture, 1, "a");
    assert_int_equal(fixture->leafs[0].received, 0);
    assert_int_equal(fixture->leafs[1].received, ROUNDS);
}

static void what_another_server_sends_goes_to_the_groups_it_names(void **state) {
    Fixture *fixture = *state;
    Peer *leaf = &fixture->leafs[0], *member = &fixture->clients[0][0],
         *plain = &fixture->clients[1][0];
    const Slice q = LIT("q"), other = LIT("other");
    Message message = {.subject = LIT("a"), .payload = LIT("x")};
    (void)subscribe(fixture, member, "a", "q");
    (void)subscribe(fixture, plain, "a", "");
    (void)subscribe(fixture, leaf, "a", "");
    settle(fixture);
    static const struct { unsigned queues, want; } cases[] = {{0, 0}, {1, 1}};
    for (size_t i = 0; i < 2; i++) {
        member->received = plain->received = 0;
        (void)bus_publish_directed(account_of(fixture, 1), message.subject, &message, &leaf->port,
                                   &q, cases[i].queues);
        settle(fixture);
        assert_int_equal(member->received, cases[i].want);
        assert_int_equal(plain->received, 1);
    }
    (void)bus_publish_directed(account_of(fixture, 1), message.subject, &message, &leaf->port,
                               &other, 1);
    settle(fixture);
    assert_int_equal(member->received, 1);
    assert_int_equal(leaf->received, 0); /* its own */
}

static void who_may_have_nothing_is_no_receiver(void **state) {
    Fixture *fixture = *state;
    fixture->leafs[0].is_unwilling = true;
    (void)subscribe(fixture, &fixture->leafs[0], "a", "");
    settle(fixture);
    assert_int_equal(publish(fixture, 1, "a"), 0);
    assert_int_equal(fixture->leafs[0].received, 0);
}

typedef struct Told {
    InterestTap tap;
    unsigned count;
    char subject[32], queue[32];
    uint64_t before, after;
} Told;

static void on_changed(InterestTap *tap, Slice subject, Slice queue, uint64_t before,
                       uint64_t after) {
    Told *told = CONTAINER_OF(tap, Told, tap);
    told->count++;
    copy_text(told->subject, sizeof told->subject, subject);
    copy_text(told->queue, sizeof told->queue, queue);
    told->before = before;
    told->after = after;
}

static void assert_told(const Told *told, unsigned count, const char *subject, const char *queue,
                        uint64_t before, uint64_t after) {
    assert_int_equal(told->count, count);
    assert_string_equal(told->subject, subject);
    assert_string_equal(told->queue, queue);
    assert_int_equal(told->before, before);
    assert_int_equal(told->after, after);
}

static void the_tap_hears_of_all_workers_and_mappings_but_not_of_servers(void **state) {
    Fixture *fixture = *state;
    Account *account = account_of(fixture, 1);
    Told told = {.tap = {on_changed}};
    account_set_tap(account, &told.tap);
    Sub *own = subscribe(fixture, &fixture->clients[1][0], "a.b", "");
    assert_told(&told, 1, "a.b", "", 0, 1);
    Sub *far = subscribe(fixture, &fixture->clients[0][0], "a.b", "");
    settle(fixture);
    assert_told(&told, 2, "a.b", "", 1, 2);
    Sub *leaf = subscribe(fixture, &fixture->leafs[0], "a.b", "");
    assert_int_equal(told.count, 2);
    sub_remove(leaf);
    sub_remove(own);
    assert_told(&told, 3, "a.b", "", 2, 1);
    sub_remove(far);
    settle(fixture);
    assert_told(&told, 4, "a.b", "", 1, 0);
    Sub *queued = subscribe(fixture, &fixture->clients[0][0], "c", "q");
    settle(fixture);
    assert_told(&told, 5, "c", "q", 0, 1);
    sub_remove(queued);

    Mapping *mapping;
    MappingDest dest = {LIT("z"), 100};
    assert_int_equal(mapping_new(LIT("m"), &dest, 1, NULL, &mapping), OK);
    settle(fixture);
    account_set_mappings(account, &mapping, 1);
    assert_told(&told, 7, "m", "", 0, 1);
    assert_int_equal(account_interest(account, LIT("m"), (Slice){0}), 1);
    account_set_mappings(account, NULL, 0);
    assert_told(&told, 8, "m", "", 1, 0);
    account_set_tap(account, NULL);
}

static void add_count(void *cookie, Slice subject, Slice queue, uint64_t count) {
    buf_printf(cookie, "%.*s/%.*s=%llu ", SLICE_ARG(subject), SLICE_ARG(queue),
               (unsigned long long)count);
}

static void all_interest_is_listed_once(void **state) {
    Fixture *fixture = *state;
    Buf list = {0};
    (void)subscribe(fixture, &fixture->clients[0][0], "a", "");
    (void)subscribe(fixture, &fixture->clients[1][0], "a", "");
    (void)subscribe(fixture, &fixture->clients[1][0], "b.>", "q");
    (void)subscribe(fixture, &fixture->clients[0][1], "c.*", "");
    settle(fixture);
    account_each_interest(account_of(fixture, 1), add_count, &list);
    const char *text = buf_text(&list);
    assert_non_null(strstr(text, "a/=2 "));
    assert_non_null(strstr(text, "b.>/q=1 "));
    assert_non_null(strstr(text, "c.*/=1 "));
    assert_int_equal(list.len, strlen("a/=2 b.>/q=1 c.*/=1 "));
    buf_done(&list);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_message_goes_to_another_server_once),
        TEST(a_group_has_its_members_here_before_those_elsewhere),
        TEST(servers_share_a_group_by_their_members),
        TEST(what_another_server_sends_goes_to_the_groups_it_names),
        TEST(who_may_have_nothing_is_no_receiver),
        TEST(the_tap_hears_of_all_workers_and_mappings_but_not_of_servers),
        TEST(all_interest_is_listed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
