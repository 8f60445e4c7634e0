#include "bus/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/vec.h"
#include "proto/subject.h"

enum { WORKERS_MAX = 4, PORTS = 8 };

typedef struct TestPort TestPort;
struct TestPort {
    Port port;
    VEC(Sub *) subs;
    unsigned received;
    bool is_congested;
    void (*then)(TestPort *port, Sub *sub,
                 const Message *message); /* what it does on delivery, or NULL */
    Shared *last_hold;
    char last_subject[64], last_reply[64], last_payload[64];
};

typedef struct Fixture {
    Worker **all;
    unsigned count;
    Bus *buses[WORKERS_MAX];
    TestPort ports[WORKERS_MAX][PORTS];
} Fixture;

static void copy_text(char *out, size_t size, Slice from) {
    (void)snprintf(out, size, "%.*s", SLICE_ARG(from));
}

static void on_deliver(Port *base, Sub *sub, const Message *message) {
    TestPort *port = (TestPort *)base;
    port->received++;
    port->last_hold = message->hold;
    copy_text(port->last_subject, sizeof port->last_subject, message->subject);
    copy_text(port->last_reply, sizeof port->last_reply, message->reply);
    copy_text(port->last_payload, sizeof port->last_payload, message->payload);
    if (port->then)
        port->then(port, sub, message);
}

static bool is_congested(Port *port) {
    return ((TestPort *)port)->is_congested;
}

static const PortOps ops = {
    .kind = PORT_CLIENT, .deliver = on_deliver, .is_congested = is_congested};

static Fixture *fixture_new(unsigned count) {
    static const Slice names[] = {{"$G", 2}, {"$SYS", 4}, {"other", 5}};
    Fixture *fixture = mem_zalloc(sizeof *fixture);
    fixture->count = count;
    assert_int_equal(workers_new(count, &fixture->all), OK);
    for (unsigned i = 0; i < count; i++) {
        rand_init(&fixture->all[i]->rand, 77 + i);
        fixture->buses[i] = bus_new(fixture->all[i], names, 3);
        for (unsigned k = 0; k < PORTS; k++)
            fixture->ports[i][k].port = (Port){.ops = &ops, .home = fixture->all[i]};
    }
    return fixture;
}

/* Steps until all mail has gone through. */
static void settle(Fixture *fixture) {
    for (int round = 0; round < 4; round++)
        for (unsigned i = 0; i < fixture->count; i++)
            worker_turn(fixture->all[i], false);
}

static void fixture_free(Fixture *fixture) {
    for (unsigned i = 0; i < fixture->count; i++)
        for (unsigned k = 0; k < PORTS; k++) {
            TestPort *port = &fixture->ports[i][k];
            while (port->subs.len)
                sub_remove(vec_pop(&port->subs));
            vec_done(&port->subs);
        }
    workers_drain(fixture->all);
    for (unsigned i = 0; i < fixture->count; i++) {
        BusStats stats;
        bus_stats(fixture->buses[i], &stats);
        assert_int_equal(stats.subscriptions, 0);
        assert_int_equal(stats.inserts, stats.removes);
        for (unsigned k = 0; k < 3; k++)
            assert_false(bus_has_interest(bus_account(fixture->buses[i], k), LIT("a.b")));
        bus_free(fixture->buses[i]);
    }
    workers_free(fixture->all);
    mem_free(fixture);
}

typedef struct CountedMail {
    Mail mail; /* first */
    int count;
} CountedMail;

static void count_arrival(Worker *here, Mail *mail) {
    (void)here;
    CONTAINER_OF(mail, CountedMail, mail)->count++;
}

static Account *account_of(Fixture *fixture, unsigned worker) {
    return bus_account(fixture->buses[worker], 0);
}

static Sub *subscribe(Fixture *fixture, unsigned worker, unsigned port, const char *subject,
                      const char *queue) {
    TestPort *to = &fixture->ports[worker][port];
    Sub *sub = sub_add(account_of(fixture, worker), &to->port, slice_of_text(subject),
                       slice_of_text(queue), LIT("7"), false);
    vec_push(&to->subs, sub);
    return sub;
}

static void unsubscribe(TestPort *port, Sub *sub) {
    for (size_t i = 0; i < port->subs.len; i++)
        if (port->subs.at[i] == sub)
            vec_remove_unordered(&port->subs, i--);
    sub_remove(sub);
}

static size_t publish(Fixture *fixture, unsigned worker, const char *subject, TestPort *from) {
    Slice to = slice_of_text(subject);
    Message message = {.subject = to, .reply = LIT("reply.to"), .payload = LIT("hello")};
    return bus_publish(account_of(fixture, worker), to, &message, from ? &from->port : NULL, 0);
}

static void accounts_are_separate_and_found_by_name(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(1);
    Bus *bus = fixture->buses[0];
    Account *other = bus_account_by_name(bus, LIT("other"));
    assert_non_null(other);
    assert_null(bus_account_by_name(bus, LIT("nobody")));
    assert_int_equal(account_index(other), 2);
    assert_int_equal(bus_account_count(bus), 3);
    assert_true(account_bus(other) == bus);
    assert_true(slice_equal(account_name(other), LIT("other")));
    Sub *sub = subscribe(fixture, 0, 0, "a.b", "");
    assert_true(slice_equal(sub_sid(sub), LIT("7")) && slice_equal(sub_subject(sub), LIT("a.b")));
    Message message = {.subject = LIT("a.b")};
    assert_int_equal(bus_publish(other, message.subject, &message, NULL, 0), 0);
    assert_int_equal(publish(fixture, 0, "a.b", NULL), 1);
    assert_int_equal(sub->delivered, 1);
    assert_true(bus_find_sub(account_of(fixture, 0), sub->port, LIT("a.b")) == sub);
    assert_null(bus_find_sub(account_of(fixture, 0), &fixture->ports[0][1].port, LIT("a.b")));
    fixture_free(fixture);
}

static void the_receiver_sees_the_subject_of_the_message_not_of_the_delivery(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    subscribe(fixture, 0, 0, "deliver", "");
    subscribe(fixture, 1, 0, "deliver", "");
    settle(fixture);
    Message message = {.subject = LIT("orders.1"),
                       .reply = LIT("$JS.ACK"),
                       .payload = LIT("x"),
                       .headers = LIT("h")};
    assert_int_equal(bus_publish(account_of(fixture, 0), LIT("deliver"), &message, NULL, 0), 2);
    settle(fixture);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fixture->ports[i][0].received, 1);
        assert_string_equal(fixture->ports[i][0].last_subject, "orders.1");
        assert_string_equal(fixture->ports[i][0].last_reply, "$JS.ACK");
        assert_string_equal(fixture->ports[i][0].last_payload, "x");
    }
    fixture_free(fixture);
}

static void without_echo_own_messages_stay_away_from_own_subscriptions(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    TestPort *own = &fixture->ports[0][0], *other = &fixture->ports[0][1];
    subscribe(fixture, 0, 0, "a.b", "");
    subscribe(fixture, 0, 0, "a.*", "");
    subscribe(fixture, 0, 0, "a.b", "q");
    own->port.no_echo = true;
    assert_int_equal(publish(fixture, 0, "a.b", own), 0);
    assert_int_equal(own->received, 0);
    assert_int_equal(publish(fixture, 0, "a.b", other), 3);
    assert_int_equal(own->received, 3);

    subscribe(fixture, 0, 1, "a.>", "q"); /* the other member gets all of them */
    for (int i = 0; i < 50; i++)
        assert_int_equal(publish(fixture, 0, "a.b", own), 1);
    assert_int_equal(other->received, 50);
    unsubscribe(other, other->subs.at[0]);
    subscribe(fixture, 1, 0, "a.b", "q");
    settle(fixture);
    for (int i = 0; i < 50; i++)
        assert_int_equal(publish(fixture, 0, "a.b", own), 1);
    settle(fixture);
    assert_int_equal(fixture->ports[1][0].received, 50);
    assert_int_equal(own->received, 3);
    fixture_free(fixture);
}

static void remove_all_own(TestPort *port, Sub *sub, const Message *message) {
    (void)sub;
    (void)message;
    while (port->subs.len)
        sub_remove(vec_pop(&port->subs));
}

static void subscriptions_may_go_while_a_message_is_handed_over(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    TestPort *leaver = &fixture->ports[0][0], *stayer = &fixture->ports[0][1];
    static const char *subjects[] = {"a.b", "a.b", "a.b", "a.*", "a.>", ">"};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 6; i++) {
            subscribe(fixture, 0, 0, subjects[i], i == 2 ? "q" : "");
            subscribe(fixture, 0, 1, subjects[i], i == 2 ? "q" : "");
        }
        settle(fixture);
        leaver->received = stayer->received = 0;
        leaver->then = remove_all_own;
        (void)publish(fixture, 0, "a.b", NULL);
        assert_int_equal(leaver->received, 1);
        assert_in_range(stayer->received, 5, 6);
        unsigned before = stayer->received;
        assert_int_equal(publish(fixture, 0, "a.b", NULL), 6);
        assert_int_equal(leaver->received, 1);
        assert_int_equal(stayer->received, before + 6);
        stayer->then = NULL;
        while (stayer->subs.len)
            sub_remove(vec_pop(&stayer->subs));
        assert_int_equal(publish(fixture, 0, "a.b", NULL), 0);
    }
    fixture_free(fixture);
}

static void remove_at_max(TestPort *port, Sub *sub, const Message *message) {
    (void)message;
    if (sub->delivered == sub->max)
        unsubscribe(port, sub);
}

static void a_subscription_removed_at_its_maximum_gets_no_more(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(1);
    for (unsigned i = 0; i < PORTS; i++) {
        fixture->ports[0][i].then = remove_at_max;
        subscribe(fixture, 0, i, "a", "")->max = i + 1;
    }
    for (unsigned i = 0; i < PORTS; i++)
        assert_int_equal(publish(fixture, 0, "a", NULL), PORTS - i);
    assert_int_equal(publish(fixture, 0, "a", NULL), 0);
    for (unsigned i = 0; i < PORTS; i++)
        assert_int_equal(fixture->ports[0][i].received, i + 1);
    fixture_free(fixture);
}

static void reply_and_leave(TestPort *port, Sub *sub, const Message *message) {
    Message reply = {.subject = message->reply, .payload = LIT("answer")};
    Account *account = sub_account(sub);
    unsubscribe(port, sub);
    assert_int_equal(bus_publish(account, reply.subject, &reply, &port->port, 0), 2);
}

static void a_receiver_may_answer_at_once(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    subscribe(fixture, 0, 0, "service", "");
    subscribe(fixture, 0, 1, "reply.>", "");
    subscribe(fixture, 1, 1, "reply.to", "");
    settle(fixture);
    fixture->ports[0][0].then = reply_and_leave;
    assert_int_equal(publish(fixture, 0, "service", NULL), 1);
    settle(fixture);
    assert_string_equal(fixture->ports[0][1].last_payload, "answer");
    assert_string_equal(fixture->ports[1][1].last_payload, "answer");
    fixture_free(fixture);
}

static void a_queue_group_shares_by_members_over_all_workers(void **state) {
    (void)state;
    for (unsigned count = 2; count <= 4; count += 2) {
        Fixture *fixture = fixture_new(count);
        subscribe(fixture, 0, 0, "a.b", "q");
        subscribe(fixture, 1, 0, "a.b", "q");
        subscribe(fixture, 1, 0, "a.*", "q"); /* same group by another filter, same client twice */
        subscribe(fixture, 1, 1, "a.b", "q");
        subscribe(fixture, 1, 1, "a.b", "r");
        settle(fixture);
        for (unsigned from = 0; from < count; from++)
            for (int i = 0; i < 4000; i++)
                assert_int_equal(publish(fixture, from, "a.b", NULL), 2);
        settle(fixture);
        unsigned total = 4000 * count, r = total;
        unsigned one = fixture->ports[0][0].received, two = fixture->ports[1][0].received;
        unsigned three = fixture->ports[1][1].received - r;
        assert_int_equal(one + two + three, total);
        assert_in_range(one, total * 23 / 100, total * 27 / 100);
        assert_in_range(two, total * 47 / 100, total * 53 / 100);
        assert_in_range(three, total * 23 / 100, total * 27 / 100);
        fixture_free(fixture);
    }
}

static void a_group_whose_member_left_meanwhile_does_without(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    Sub *first = subscribe(fixture, 1, 0, "a", "q");
    settle(fixture);
    unsubscribe(&fixture->ports[1][0], first); /* worker 0 does not know yet */
    assert_int_equal(publish(fixture, 0, "a", NULL), 1);
    settle(fixture);
    assert_int_equal(fixture->ports[1][0].received, 0);
    assert_int_equal(publish(fixture, 0, "a", NULL), 0);

    first = subscribe(fixture, 1, 0, "a", "q");
    settle(fixture);
    unsubscribe(&fixture->ports[1][0], first);
    subscribe(fixture, 1, 1, ">", "q"); /* another member, by another filter */
    assert_int_equal(publish(fixture, 0, "a", NULL), 1);
    settle(fixture);
    assert_int_equal(fixture->ports[1][1].received, 1);
    fixture_free(fixture);
}

static void local_subscriptions_are_not_known_elsewhere(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    Sub *subs[2];
    for (unsigned i = 0; i < 2; i++)
        subs[i] = sub_add(account_of(fixture, i), &fixture->ports[i][0].port, LIT("$JS.API.>"),
                          (Slice){0}, LIT(""), true);
    settle(fixture);
    assert_int_equal(publish(fixture, 0, "$JS.API.INFO", NULL), 1);
    subscribe(fixture, 1, 1, "$JS.API.INFO", "");
    settle(fixture);
    assert_int_equal(publish(fixture, 0, "$JS.API.INFO", NULL), 2);
    settle(fixture);
    assert_int_equal(fixture->ports[0][0].received, 2);
    assert_int_equal(fixture->ports[1][0].received,
                     0); /* one mail, but the API there stays out of it */
    assert_int_equal(fixture->ports[1][1].received, 1);
    sub_remove(subs[0]);
    sub_remove(subs[1]);
    fixture_free(fixture);
}

static void large_payloads_cross_by_reference(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    subscribe(fixture, 1, 0, "a", "");
    settle(fixture);
    for (size_t len = 1000; len <= 5000; len += 4000) {
        Shared *hold = shared_new(len);
        memset(shared_bytes(hold), 'x', len);
        Message message = {.subject = LIT("a"), .payload = {shared_bytes(hold), len}, .hold = hold};
        assert_int_equal(bus_publish(account_of(fixture, 0), LIT("a"), &message, NULL, 0), 1);
        shared_unref(hold);
        settle(fixture);
        assert_true((fixture->ports[1][0].last_hold == hold) == (len >= 1024));
        assert_int_equal(strspn(fixture->ports[1][0].last_payload, "x"), 63);
    }
    fixture_free(fixture);
}

typedef struct Waiter {
    DrainWait wait;
    unsigned calls;
} Waiter;

static void on_drained(DrainWait *wait) {
    ((Waiter *)wait)->calls++;
}

static void a_congested_receiver_elsewhere_is_known_until_it_drains_or_goes(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(3);
    TestPort *slow = &fixture->ports[1][0];
    for (int how = 0; how < 2; how++) {
        Waiter waiter = {.wait.drained = on_drained};
        Sub *sub = subscribe(fixture, 1, 0, "slow.*", "");
        subscribe(fixture, 1, 1, "fast", "");
        settle(fixture);
        assert_false(bus_is_congested(account_of(fixture, 0), LIT("slow.1")));
        slow->is_congested = true;
        assert_true(bus_is_congested(account_of(fixture, 1), LIT("slow.1")));
        for (int i = 0; i < 3; i++)
            (void)publish(fixture, 0, "slow.1", NULL);
        settle(fixture);
        assert_true(bus_is_congested(account_of(fixture, 0), LIT("slow.1")));
        assert_false(bus_is_congested(account_of(fixture, 0), LIT("fast")));
        assert_false(
            bus_is_congested(account_of(fixture, 2), LIT("slow.1"))); /* sent nothing yet */
        bus_wait_for_drain(fixture->buses[0], &waiter.wait);
        settle(fixture);
        assert_int_equal(waiter.calls, 0);

        slow->is_congested = false;
        if (how == 0)
            bus_port_drained(&slow->port);
        else
            unsubscribe(slow, sub);
        settle(fixture);
        assert_int_equal(waiter.calls, 1);
        assert_false(bus_is_congested(account_of(fixture, 0), LIT("slow.1")));
        bus_cancel_wait(&waiter.wait);
        if (how == 0)
            unsubscribe(slow, sub);
    }
    fixture_free(fixture);
}

static void many_congested_subjects_are_reported_as_one_worker(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    TestPort *slow = &fixture->ports[1][0];
    subscribe(fixture, 1, 0, "slow.*", "");
    subscribe(fixture, 1, 1, "fast", "");
    settle(fixture);
    slow->is_congested = true;
    char subject[32];
    for (int i = 0; i < 1025; i++) {
        (void)snprintf(subject, sizeof subject, "slow.%d", i);
        assert_int_equal(publish(fixture, 0, subject, NULL), 1);
    }
    settle(fixture);
    assert_true(bus_is_congested(account_of(fixture, 0), LIT("slow.3")));
    assert_true(bus_is_congested(account_of(fixture, 0), LIT("slow.new")));
    assert_true(bus_is_congested(account_of(fixture, 0), LIT("fast")));
    slow->is_congested = false;
    bus_port_drained(&slow->port);
    settle(fixture);
    assert_false(bus_is_congested(account_of(fixture, 0), LIT("slow.3")));
    assert_false(bus_is_congested(account_of(fixture, 0), LIT("fast")));
    fixture_free(fixture);
}

static void bytes_not_yet_dealt_with_elsewhere_count_as_congestion(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    Waiter waiter = {.wait.drained = on_drained};
    subscribe(fixture, 1, 0, "a", "");
    settle(fixture);
    Shared *hold = shared_new(1 << 20);
    memset(shared_bytes(hold), 'x', 1 << 20);
    Message message = {.subject = LIT("a"), .payload = {shared_bytes(hold), 1 << 20}, .hold = hold};
    for (int round = 0; round < 3; round++) {
        unsigned sent = 0;
        while (!bus_is_congested(account_of(fixture, 0), LIT("a"))) {
            (void)bus_publish(account_of(fixture, 0), LIT("a"), &message, NULL, 0);
            assert_true(++sent < 20);
        }
        assert_in_range(sent, 7, 9);
        waiter.calls = 0;
        bus_wait_for_drain(fixture->buses[0], &waiter.wait);
        worker_turn(fixture->all[0], false);
        assert_int_equal(waiter.calls, 0);
        settle(fixture);
        assert_int_equal(waiter.calls, 1);
        assert_false(bus_is_congested(account_of(fixture, 0), LIT("a")));
    }
    shared_unref(hold);
    fixture_free(fixture);
}

static void waits_end_when_a_port_here_drains_and_can_be_cancelled(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(1);
    Waiter one = {.wait.drained = on_drained}, two = {.wait.drained = on_drained};
    bus_cancel_wait(&one.wait);
    bus_wait_for_drain(fixture->buses[0], &one.wait);
    bus_wait_for_drain(fixture->buses[0], &one.wait);
    bus_wait_for_drain(fixture->buses[0], &two.wait);
    bus_cancel_wait(&two.wait);
    bus_port_drained(&fixture->ports[0][0].port);
    assert_int_equal(one.calls, 0);
    settle(fixture);
    assert_int_equal(one.calls, 1);
    assert_int_equal(two.calls, 0);

    Sub *sub = subscribe(fixture, 0, 0, "a", ""); /* who was waited for may also go */
    bus_wait_for_drain(fixture->buses[0], &one.wait);
    settle(fixture);
    assert_int_equal(one.calls, 1);
    unsubscribe(&fixture->ports[0][0], sub);
    settle(fixture);
    assert_int_equal(one.calls, 2);
    fixture_free(fixture);
}

typedef struct Watcher {
    InterestWatch watch;
    unsigned calls;
} Watcher;

static void on_changed(InterestWatch *watch) {
    ((Watcher *)watch)->calls++;
}

/* Else a third worker, which hears of the message's consequences first, would drop the answer. */
static void interest_is_known_everywhere_before_what_is_sent_after_it(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(3);
    subscribe(fixture, 1, 0, "request", "");
    settle(fixture);
    subscribe(fixture, 0, 0, "answer", "");
    (void)publish(fixture, 0, "request", NULL);
    worker_turn(fixture->all[2], false); /* worker 0 is still in its turn */
    assert_true(bus_has_interest(account_of(fixture, 2), LIT("answer")));
    settle(fixture);
    fixture_free(fixture);
}

/* Any mail has consequences. */
static void interest_is_known_everywhere_before_other_mail_arrives(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(3);
    CountedMail mail = {.mail.arrive = count_arrival};
    subscribe(fixture, 0, 0, "answer", "");
    subscribe(fixture, 0, 0, "other.*", "q");
    worker_post(fixture->all[0], fixture->all[1], &mail.mail);
    worker_turn(fixture->all[2], false);
    assert_true(bus_has_interest(account_of(fixture, 2), LIT("answer")));
    assert_true(bus_has_interest(account_of(fixture, 2), LIT("other.x")));
    settle(fixture);
    assert_int_equal(mail.count, 1);
    fixture_free(fixture);
}

/* Whoever got it may have freed it while the turn here goes on. */
static void mail_that_was_taken_elsewhere_within_the_turn_is_left_alone(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    CountedMail mail = {.mail.arrive = count_arrival};
    subscribe(fixture, 1, 0, "request", "");
    settle(fixture);
    fixture->all[0]->now_ns++; /* a turn begins */
    subscribe(fixture, 0, 0, "answer", "");
    worker_post(fixture->all[0], fixture->all[1], &mail.mail); /* takes the interest along */
    worker_turn(fixture->all[1], false);
    assert_true(publish(fixture, 0, "request", NULL) == 1);
    settle(fixture);
    fixture_free(fixture);
}

static void watches_follow_the_interest_in_one_subject_on_all_workers(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    Account *account = account_of(fixture, 0);
    Watcher plain = {.watch = {.subject = LIT("d"), .changed = on_changed}};
    Watcher queue = {.watch = {.subject = LIT("d"), .queue = LIT("q"), .changed = on_changed}};
    Watcher again = {.watch = {.subject = LIT("d"), .changed = on_changed}};
    subscribe(fixture, 1, 2, "d", "q");
    subscribe(fixture, 1, 2, ">", "");
    settle(fixture);
    interest_watch_add(account, &plain.watch);
    interest_watch_add(account, &queue.watch);
    assert_int_equal(plain.watch.count, 0);
    assert_int_equal(queue.watch.count, 1);

    Sub *here = subscribe(fixture, 0, 0, "d", "");
    assert_int_equal(plain.calls, 0); /* never inside the change */
    Sub *there = subscribe(fixture, 1, 0, "d", "");
    settle(fixture);
    assert_int_equal(plain.calls, 1);
    assert_int_equal(plain.watch.count, 2);
    interest_watch_add(account, &again.watch);
    assert_int_equal(again.watch.count, 2);
    unsubscribe(&fixture->ports[0][0], here);
    settle(fixture);
    assert_int_equal(plain.calls, 1);
    interest_watch_remove(account, &plain.watch);
    unsubscribe(&fixture->ports[1][0], there);
    settle(fixture);
    assert_int_equal(plain.calls, 1);
    assert_int_equal(again.calls, 1);
    assert_int_equal(again.watch.count, 0);
    assert_int_equal(queue.calls, 0);
    here = subscribe(fixture, 0, 0, "d", ""); /* came and went before anybody looked */
    unsubscribe(&fixture->ports[0][0], here);
    settle(fixture);
    assert_int_equal(again.calls, 1);
    interest_watch_remove(account, &queue.watch);
    interest_watch_remove(account, &again.watch);
    fixture_free(fixture);
}

/* Against a list: what is added, removed and published at random. */

typedef struct Known {
    Sub *sub;
    unsigned worker, port;
    bool is_local;
    uint64_t before;
} Known;

static void random_subject(Rand *rand, char *out, size_t size, bool with_wildcards) {
    static const char *tokens[] = {"a", "b", "c"};
    size_t count = 1 + rand_below(rand, 3), len = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t kind = with_wildcards ? rand_below(rand, 6) : 0;
        const char *token = kind == 5                     ? "*"
                            : kind == 4 && i + 1 == count ? ">"
                                                          : tokens[rand_below(rand, 3)];
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? "." : "", token);
    }
}

static void check_publish(Fixture *fixture, Rand *rand, Known *known, size_t known_count) {
    char text[32];
    unsigned worker = (unsigned)rand_below(rand, fixture->count);
    TestPort *from = &fixture->ports[worker][rand_below(rand, PORTS)];
    random_subject(rand, text, sizeof text, false);
    settle(fixture);
    for (size_t i = 0; i < known_count; i++)
        known[i].before = known[i].sub->delivered;
    size_t receivers = publish(fixture, worker, text, from);
    settle(fixture);

    static const char *queues[] = {"q", "r"};
    unsigned group_got[2] = {0}, group_could[2] = {0};
    size_t plain_here = 0;
    bool plain_there[WORKERS_MAX] = {0};
    for (size_t i = 0; i < known_count; i++) {
        Sub *sub = known[i].sub;
        uint64_t got = sub->delivered - known[i].before;
        bool wants = subject_matches(sub_subject(sub), slice_of_text(text)) &&
                     !(from->port.no_echo && sub->port == &from->port) &&
                     (!known[i].is_local || known[i].worker == worker);
        if (sub->queue_len == 0) {
            assert_int_equal(got, wants);
            plain_here += wants && known[i].worker == worker;
            plain_there[known[i].worker] |= wants && known[i].worker != worker;
            continue;
        }
        for (int q = 0; q < 2; q++) {
            if (!slice_equal(sub_queue(sub), slice_of_text(queues[q])))
                continue;
            assert_true(wants || got == 0);
            group_got[q] += (unsigned)got;
            group_could[q] += wants;
        }
    }
    size_t want = plain_here;
    for (unsigned i = 0; i < fixture->count; i++)
        want += plain_there[i];
    for (int q = 0; q < 2; q++) {
        assert_int_equal(group_got[q], group_could[q] > 0);
        want += group_could[q] > 0;
    }
    assert_int_equal(receivers, want);
}

static void any_publish_reaches_those_and_only_those_who_want_it(void **state) {
    (void)state;
    enum { KNOWN_MAX = 120, ROUNDS = 1500 };
    for (unsigned count = 1; count <= 4; count = count == 1 ? 2 : count + 2) {
        Fixture *fixture = fixture_new(count);
        Known known[KNOWN_MAX];
        size_t known_count = 0;
        Rand rand;
        rand_init(&rand, count);
        for (unsigned i = 0; i < count; i++)
            for (unsigned k = 0; k < PORTS; k++)
                fixture->ports[i][k].port.no_echo = k % 2;
        for (int round = 0; round < ROUNDS; round++) {
            if (known_count && (known_count == KNOWN_MAX || rand_below(&rand, 5) < 2)) {
                size_t i = rand_below(&rand, known_count);
                sub_remove(known[i].sub);
                known[i] = known[--known_count];
            } else {
                char text[32];
                random_subject(&rand, text, sizeof text, true);
                Known *new = &known[known_count++];
                *new = (Known){.worker = (unsigned)rand_below(&rand, count),
                               .port = (unsigned)rand_below(&rand, PORTS)};
                static const char *queues[] = {"", "", "q", "r"};
                const char *queue = queues[rand_below(&rand, 4)];
                new->is_local = rand_below(&rand, 8) == 0 && queue[0] == '\0';
                new->sub = sub_add(
                    account_of(fixture, new->worker), &fixture->ports[new->worker][new->port].port,
                    slice_of_text(text), slice_of_text(queue), LIT("1"), new->is_local);
            }
            check_publish(fixture, &rand, known, known_count);
        }
        while (known_count)
            sub_remove(known[--known_count].sub);
        settle(fixture);
        fixture_free(fixture);
    }
}

static void count_sub(void *cookie, Sub *sub) {
    (void)sub;
    ++*(size_t *)cookie;
}

static void figures_and_listings_count_own_subscriptions(void **state) {
    (void)state;
    Fixture *fixture = fixture_new(2);
    subscribe(fixture, 0, 0, "a.b", "");
    subscribe(fixture, 0, 0, "a.b", "q");
    subscribe(fixture, 0, 1, "a.*", "");
    subscribe(fixture, 0, 1, "c", "");
    subscribe(fixture, 1, 1, "a.b", "");
    settle(fixture);
    size_t count = 0;
    account_each_sub(account_of(fixture, 0), count_sub, &count);
    assert_int_equal(count, 4);
    count = 0;
    assert_int_equal(bus_test_subject(account_of(fixture, 0), LIT("a.b"), count_sub, &count), 3);
    assert_int_equal(count, 3);
    for (int i = 0; i < 10; i++)
        assert_int_equal(publish(fixture, 0, "a.b", NULL), 4);
    BusStats stats;
    bus_stats(fixture->buses[0], &stats);
    assert_int_equal(stats.subscriptions, 4);
    assert_int_equal(stats.inserts, 4);
    assert_int_equal(stats.fanout_count, 10);
    assert_int_equal(stats.fanout_sum, 40);
    assert_int_equal(stats.fanout_max, 4);
    assert_int_equal(stats.cache_entries, 1);
    assert_int_equal(stats.matches, 11);
    assert_int_equal(stats.cache_hits, 9);
    fixture_free(fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounts_are_separate_and_found_by_name),
        cmocka_unit_test(the_receiver_sees_the_subject_of_the_message_not_of_the_delivery),
        cmocka_unit_test(without_echo_own_messages_stay_away_from_own_subscriptions),
        cmocka_unit_test(subscriptions_may_go_while_a_message_is_handed_over),
        cmocka_unit_test(a_subscription_removed_at_its_maximum_gets_no_more),
        cmocka_unit_test(a_receiver_may_answer_at_once),
        cmocka_unit_test(a_queue_group_shares_by_members_over_all_workers),
        cmocka_unit_test(a_group_whose_member_left_meanwhile_does_without),
        cmocka_unit_test(local_subscriptions_are_not_known_elsewhere),
        cmocka_unit_test(large_payloads_cross_by_reference),
        cmocka_unit_test(a_congested_receiver_elsewhere_is_known_until_it_drains_or_goes),
        cmocka_unit_test(many_congested_subjects_are_reported_as_one_worker),
        cmocka_unit_test(bytes_not_yet_dealt_with_elsewhere_count_as_congestion),
        cmocka_unit_test(waits_end_when_a_port_here_drains_and_can_be_cancelled),
        cmocka_unit_test(interest_is_known_everywhere_before_what_is_sent_after_it),
        cmocka_unit_test(interest_is_known_everywhere_before_other_mail_arrives),
        cmocka_unit_test(mail_that_was_taken_elsewhere_within_the_turn_is_left_alone),
        cmocka_unit_test(watches_follow_the_interest_in_one_subject_on_all_workers),
        cmocka_unit_test(any_publish_reaches_those_and_only_those_who_want_it),
        cmocka_unit_test(figures_and_listings_count_own_subscriptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
