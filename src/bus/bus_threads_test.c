#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "bus/bus.h"

enum { WORKERS_MAX = 4, MESSAGES = 20000, PER_TURN = 64, CHURN = 16, BIG = 4096 };

/* One worker's publisher and receivers. */
typedef struct Actor {
    Port port;
    Worker *home;
    Account *account;
    Task publish_task;
    DrainWait wait;
    Mail done_mail;
    Shared *big;
    uint64_t sent, plain, queued, bytes, out_of_order;
    uint64_t last_from[WORKERS_MAX];
    Sub *churn[CHURN];
    bool is_slow;
    uint64_t since_drained, waited;
} Actor;

typedef struct Show {
    Worker **all;
    Actor actors[WORKERS_MAX];
    unsigned count, done;
} Show;

static Show *show; /* the callbacks' way to the main worker's count */

static void on_deliver(Port *port, Sub *sub, const Message *message) {
    Actor *actor = (Actor *)port;
    actor->bytes += message->payload.len;
    if (sub->queue_len) {
        actor->queued++;
        return;
    }
    if (!slice_equal(message->subject, LIT("all.news")))
        return;
    uint64_t number[2];
    memcpy(number, message->reply.ptr, sizeof number);
    actor->out_of_order += number[1] != actor->last_from[number[0]] + 1;
    actor->last_from[number[0]] = number[1];
    actor->plain++;
}

static bool is_congested(Port *port) {
    Actor *actor = (Actor *)port;
    return actor->is_slow && ++actor->since_drained > 1000;
}

static const PortOps ops = {
    .kind = PORT_CLIENT, .deliver = on_deliver, .is_congested = is_congested};

static void on_done(Worker *here, Mail *mail) {
    (void)mail;
    if (++show->done == show->count)
        worker_quit(here);
}

static void churn(Actor *actor) {
    size_t i = rand_below(&actor->home->rand, CHURN);
    if (actor->churn[i]) {
        sub_remove(actor->churn[i]);
        actor->churn[i] = NULL;
        return;
    }
    char subject[32];
    static const char *forms[] = {"all.news.%u", "all.%u.*", "other.%u", "*.%u.>"};
    (void)snprintf(subject, sizeof subject, forms[i % 4], (unsigned)i % 3);
    actor->churn[i] = sub_add(actor->account, &actor->port, slice_of_text(subject),
                              i % 2 ? LIT("q") : (Slice){0}, LIT("1"), false);
}

static void publish_some(Task *task) {
    Actor *actor = CONTAINER_OF(task, Actor, publish_task);
    for (int i = 0; i < PER_TURN && actor->sent < MESSAGES; i++) {
        if (bus_is_congested(actor->account, LIT("all.news"))) {
            actor->waited++;
            bus_wait_for_drain(account_bus(actor->account), &actor->wait);
            return;
        }
        uint64_t number[2] = {actor->home->index, ++actor->sent};
        bool is_big = actor->sent % 8 == 0;
        Message message = {
            .subject = LIT("all.news"),
            .reply = slice_from(number, sizeof number),
            .payload = is_big ? slice_from(shared_bytes(actor->big), BIG) : LIT("small"),
            .hold = is_big ? actor->big : NULL,
        };
        (void)bus_publish(actor->account, message.subject, &message, &actor->port, 0);
        if (i % 16 == 0)
            churn(actor);
    }
    if (actor->sent < MESSAGES)
        worker_ready(actor->home, task);
    else
        worker_post(actor->home, actor->home->all[actor->home->count], &actor->done_mail);
}

static void on_drained(DrainWait *wait) {
    Actor *actor = CONTAINER_OF(wait, Actor, wait);
    worker_ready(actor->home, &actor->publish_task);
}

/* The slow one drains whenever its worker has time. */
static void drain(Task *task);
typedef struct Drainer {
    Task task;
    Actor *actor;
} Drainer;
static Drainer drainer;

static void drain(Task *task) {
    Drainer *self = CONTAINER_OF(task, Drainer, task);
    if (self->actor->since_drained > 1000) {
        self->actor->since_drained = 0;
        bus_port_drained(&self->actor->port);
    }
    worker_ready(self->actor->home, task);
}

static void run(unsigned count, bool with_slow_one) {
    static const Slice names[] = {{"$G", 2}, {"$SYS", 4}};
    show = mem_zalloc(sizeof *show);
    show->count = count;
    assert_int_equal(workers_new(count, &show->all), OK);
    for (unsigned i = 0; i < count; i++) {
        Actor *actor = &show->actors[i];
        actor->home = show->all[i];
        actor->port = (Port){.ops = &ops, .home = actor->home};
        actor->account = bus_account(bus_new(actor->home, names, 2), 0);
        actor->done_mail.arrive = on_done;
        actor->wait.drained = on_drained;
        actor->big = shared_new(BIG);
        memset(shared_bytes(actor->big), 'b', BIG);
        task_init(&actor->publish_task, publish_some);
    }
    if (with_slow_one) {
        show->actors[count - 1].is_slow = true;
        drainer.actor = &show->actors[count - 1];
        task_init(&drainer.task, drain);
        worker_ready(drainer.actor->home, &drainer.task);
    }
    for (unsigned i = 0; i < count; i++) {
        Actor *actor = &show->actors[i];
        (void)sub_add(actor->account, &actor->port, LIT("all.news"), (Slice){0}, LIT("1"), false);
        (void)sub_add(actor->account, &actor->port, LIT("all.*"), LIT("q"), LIT("2"), false);
    }
    workers_drain(show->all); /* all interest is known before the first message */
    for (unsigned i = 0; i < count; i++)
        worker_ready(show->all[i], &show->actors[i].publish_task);
    assert_int_equal(workers_start(show->all), OK);
    worker_run(show->all[count]);
    workers_join(show->all);
    workers_drain(show->all);

    uint64_t queued = 0, waited = 0;
    for (unsigned i = 0; i < count; i++) {
        Actor *actor = &show->actors[i];
        assert_int_equal(actor->plain, (uint64_t)count * MESSAGES);
        assert_int_equal(actor->out_of_order, 0);
        assert_true(actor->queued > 0);
        queued += actor->queued;
        waited += actor->waited;
    }
    assert_int_equal(queued, (uint64_t)count * MESSAGES);
    assert_true(!with_slow_one || waited > 0);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < CHURN; k++)
            if (show->actors[i].churn[k])
                sub_remove(show->actors[i].churn[k]);
    }
    workers_drain(show->all);
    for (unsigned i = 0; i < count; i++)
        assert_false(bus_has_interest(show->actors[i].account, LIT("other.1")));
    for (unsigned i = 0; i < count; i++) {
        bus_free(show->all[i]->bus);
        shared_unref(show->actors[i].big);
    }
    workers_free(show->all);
    mem_free(show);
}

static void two_workers_deliver_all_in_order_and_share_queues(void **state) {
    (void)state;
    run(2, false);
}

static void four_workers_deliver_all_in_order_and_share_queues(void **state) {
    (void)state;
    run(4, false);
}

static void publishers_that_wait_for_a_slow_receiver_lose_nothing(void **state) {
    (void)state;
    run(3, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_workers_deliver_all_in_order_and_share_queues),
        cmocka_unit_test(four_workers_deliver_all_in_order_and_share_queues),
        cmocka_unit_test(publishers_that_wait_for_a_slow_receiver_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
