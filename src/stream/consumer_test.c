/* The rules of consumers, one trace per rule. */
#include "stream/consumer_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "io/clock.h"
#include "proto/timefmt.h"

#define EXPLICIT "\"ack_policy\":\"explicit\",\"ack_wait\":1000000000"

static Rig *rig;

static void start(Storage storage, Retention retention) {
    rig = rig_new(storage, retention);
    rig->hides_advisories = true;
}

static void store(const char *letters) {
    char subject[] = "s.?";
    for (; *letters; letters++) {
        subject[2] = *letters;
        rig_store(rig, subject, "x");
    }
}

static void create(const char *name, const char *config) {
    const char *reply = rig_create(rig, name, config);
    if (strstr(reply, "\"stream_name\":\"S\"") == NULL)
        fail_msg("create: %s", reply);
}

static void sent(const char *want) {
    assert_string_equal(rig_trace(rig), want);
}

static void info(const char *name, const char *want) {
    assert_string_equal(rig_info(rig, name), want);
}

/* Most rules hold for both ways of keeping state. */
static const Storage storages[] = {STORAGE_FILE, STORAGE_MEMORY};
#define FOR_EACH_STORAGE(retention)                                                                                    \
    for (size_t storage_i = 0; storage_i < 2; storage_i++)                                                             \
        for (bool once = (start(storages[storage_i], retention), true); once; once = (rig_free(rig), false))

static void start_positions(void **state) {
    (void)state;
    static const struct {
        const char *config, *info;
    } cases[] = {
        {"{}", "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 7"},
        {"{\"deliver_policy\":\"new\"}", "delivered 0/7 floor 0/7 ack 0 redelivered 0 waiting 0 pending 0"},
        {"{\"deliver_policy\":\"last\"}", "delivered 0/6 floor 0/6 ack 0 redelivered 0 waiting 0 pending 1"},
        {"{\"deliver_policy\":\"last\",\"filter_subject\":\"s.a\"}",
         "delivered 0/3 floor 0/3 ack 0 redelivered 0 waiting 0 pending 1"},
        {"{\"deliver_policy\":\"last\",\"filter_subject\":\"s.zz\"}",
         "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 0"},
        {"{\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":3}",
         "delivered 0/2 floor 0/2 ack 0 redelivered 0 waiting 0 pending 5"},
        {"{\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":100}",
         "delivered 0/99 floor 0/99 ack 0 redelivered 0 waiting 0 pending 0"},
        {"{\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2036-01-01T00:00:00Z\"}",
         "delivered 0/7 floor 0/7 ack 0 redelivered 0 waiting 0 pending 0"},
        {"{\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"s.>\"}",
         "delivered 0/3 floor 0/3 ack 0 redelivered 0 waiting 0 pending 3"},
        {"{\"filter_subjects\":[\"s.a\",\"s.c\"]}", "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 4"},
    };
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        store("aababcb");
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            create("C", cases[i].config);
            info("C", cases[i].info);
            assert_string_equal(rig_delete_consumer(rig, "C"), "success");
        }
    }
}

static void a_pull_request_gets_what_it_asks_for_and_its_status(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("ab");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "");
        sent("in s.a 1.1.1.1 x\n");
        rig_pull(rig, "C", "in", "{\"batch\":5,\"no_wait\":true}");
        sent("in s.b 1.2.2.0 x\nin 404 No Messages\n");
        rig_pull(rig, "C", "in", "{\"batch\":2,\"no_wait\":true}");
        sent("in 404 No Messages\n");
        rig_pull(rig, "C", "in", "{\"batch\":3,\"expires\":500000000}");
        store("c");
        rig_advance_ms(rig, 499);
        sent("in s.c 1.3.3.0 x\n");
        rig_advance_ms(rig, 1);
        sent("in 408 Request Timeout|Nats-Pending-Messages: 2|Nats-Pending-Bytes: 0\n");
        info("C", "delivered 3/3 floor 0/0 ack 3 redelivered 0 waiting 0 pending 0");
    }
}

static void a_request_that_does_not_wait_but_expires(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "{\"batch\":5,\"no_wait\":true,\"expires\":1000000000}");
        sent("");
        store("a");
        sent("in s.a 1.1.1.0 x\nin 404 No Messages\n");
        rig_pull(rig, "C", "in", "{\"batch\":1,\"no_wait\":true,\"expires\":300000000}");
        rig_advance_ms(rig, 300);
        sent("in 408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0\n");
        store("b");
        rig_pull(rig, "C", "in", "{\"batch\":1,\"no_wait\":true}"); /* exactly the batch: no status */
        sent("in s.b 1.2.2.0 x\n");
    }
}

static void requests_are_served_round_robin(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "A");
        rig_sub(rig, "B");
        rig_sub(rig, "C");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "A", "2");
        rig_pull(rig, "C", "B", "1");
        rig_pull(rig, "C", "C", "3");
        info("C", "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 3 pending 0");
        store("aaaaaa");
        sent("A s.a 1.1.1.0 x\nB s.a 1.2.2.0 x\nC s.a 1.3.3.0 x\nA s.a 1.4.4.0 x\nC s.a 1.5.5.0 x\nC s.a 1.6.6.0 x\n");
    }
}

static void a_request_without_interest_is_dropped_when_its_turn_comes(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "A");
        rig_sub(rig, "B");
        create("C", "{" EXPLICIT ",\"max_waiting\":2}");
        rig_pull(rig, "C", "A", "5");
        rig_pull(rig, "C", "B", "5");
        rig_unsub(rig, "A");
        rig_pull(rig, "C", "B", "1"); /* the dead one still counts */
        sent("B 409 Exceeded MaxWaiting\n");
        rig_pull(rig, "C", "B", "{\"expires\":3000000000,\"idle_heartbeat\":1000000000}"); /* silence */
        rig_pull(rig, "C", "B", "{\"no_wait\":true}");
        sent("B 404 No Messages\n");
        store("a");
        sent("B s.a 1.1.1.0 x\n");
        info("C", "delivered 1/1 floor 0/0 ack 1 redelivered 0 waiting 1 pending 0");
        rig_pull(rig, "C", "", "1"); /* nobody to give it to: counts as delivered */
        rig_pull(rig, "C", "", "1");
        store("bbb");
        info("C", "delivered 4/4 floor 0/0 ack 4 redelivered 0 waiting 1 pending 0");
    }
}

static void pull_bodies_and_refusals(void **state) {
    (void)state;
    static const struct {
        const char *config, *body, *status;
    } cases[] = {
        {"", "{\"batch\":\"x\"}",
         "in 400 Bad Request - json: cannot unmarshal string into Go struct field .batch of type int\n"},
        {"", "{", "in 400 Bad Request - unexpected end of JSON input\n"},
        {"", "{\"expires\":1000,\"idle_heartbeat\":600}", "in 400 Bad Request - heartbeat value too large\n"},
        {"", "{\"idle_heartbeat\":600}", "in 400 Bad Request - heartbeat value too large\n"},
        {"", "{\"priority\":10}", "in 400 Bad Request - Priority must be between 0 and 9\n"},
        {"", "{\"min_pending\":1}", "in 400 Bad Request - Not a Overflow Priority consumer\n"},
        {"", "{\"id\":\"q\"}", "in 400 Bad Request - Not a Pinned Client Priority consumer\n"},
        {"", "{\"expires\":-1}", "in 408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0\n"},
        {",\"max_batch\":3", "4", "in 409 Exceeded MaxRequestBatch of 3\n"},
        {",\"max_expires\":500000000", "{\"expires\":500000001}", "in 409 Exceeded MaxRequestExpires of 500ms\n"},
        {",\"max_bytes\":200", "{\"max_bytes\":201}", "in 409 Exceeded MaxRequestMaxBytes of 200\n"},
        {",\"priority_groups\":[\"A\"],\"priority_policy\":\"overflow\"", "{\"batch\":1}",
         "in 400 Bad Request - Priority Group missing\n"},
        {",\"priority_groups\":[\"A\"],\"priority_policy\":\"overflow\"", "{\"group\":\"B\"}",
         "in 400 Bad Request - Invalid Priority Group\n"},
        {",\"deliver_subject\":\"d\"", "1", "in 409 Consumer is push based\n"},
        {"", "{\"group\":\"A\",\"no_wait\":true,\"unknown\":[1]}", "in 404 No Messages\n"},
    };
    start(STORAGE_MEMORY, RETENTION_LIMITS);
    rig_sub(rig, "in");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char config[256];
        (void)snprintf(config, sizeof config, "{" EXPLICIT "%s}", cases[i].config);
        create("C", config);
        rig_pull(rig, "C", "in", cases[i].body);
        sent(cases[i].status);
        rig_delete_consumer(rig, "C");
        rig_trace(rig);
    }
    static const char *const ones[] = {"abc", " ", "-1", "0", "[]", "0x5", "1 ", "99999999999999999999", "{}"};
    for (size_t i = 0; i < sizeof ones / sizeof ones[0]; i++) {
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", ones[i]);
        rig_store(rig, "s.a", "x");
        rig_store(rig, "s.a", "x");
        assert_int_equal(rig_consumer(rig, "C")->delivered.dseq, 1);
        rig_delete_consumer(rig, "C");
    }
    rig_free(rig);
}

static void max_bytes_counts_the_whole_message(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        create("C", "{" EXPLICIT "}");
        store("aa");
        /* s.a (3) + $JS.ACK.S.C.1.1.1.1700000000000000000.1 (39) + x (1) */
        rig_pull(rig, "C", "in", "{\"batch\":2,\"max_bytes\":42}");
        sent("in 409 Message Size Exceeds MaxBytes|Nats-Pending-Messages: 2|Nats-Pending-Bytes: 42\n");
        rig_pull(rig, "C", "in", "{\"batch\":2,\"max_bytes\":43}"); /* exactly: ends silently */
        sent("in s.a 1.1.1.1 x\n");
        rig_pull(rig, "C", "in", "{\"batch\":1,\"max_bytes\":50}");
        sent("in s.a 1.2.2.0 x\nin 409 Batch Completed|Nats-Pending-Messages: 0|Nats-Pending-Bytes: 7\n");
        info("C", "delivered 2/2 floor 0/0 ack 2 redelivered 0 waiting 0 pending 0");
    }
}

static void idle_heartbeats_of_pull_requests(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "{\"batch\":2,\"expires\":350000000,\"idle_heartbeat\":100000000}");
        rig_advance_ms(rig, 50);
        store("a");
        rig_advance_ms(rig, 99);
        sent("in s.a 1.1.1.0 x\n");
        rig_advance_ms(rig, 1);
        sent("in 100 Idle Heartbeat|Nats-Last-Consumer: 1|Nats-Last-Stream: 1\n");
        rig_advance_ms(rig, 200);
        sent("in 100 Idle Heartbeat|Nats-Last-Consumer: 1|Nats-Last-Stream: 1\n"
             "in 408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0\n");
    }
}

static void floor_of_explicit_acks(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("babbabba"); /* a: 2, 5, 8 */
        create("C", "{" EXPLICIT ",\"filter_subject\":\"s.a\"}");
        rig_pull(rig, "C", "in", "3");
        sent("in s.a 1.2.1.2 x\nin s.a 1.5.2.1 x\nin s.a 1.8.3.0 x\n");
        assert_true(rig_ack(rig, "C", "1.2.1", "", "r"));
        sent("r -\n");
        info("C", "delivered 3/8 floor 1/4 ack 2 redelivered 0 waiting 0 pending 0");
        rig_ack(rig, "C", "1.8.3", "+ACK", "");
        info("C", "delivered 3/8 floor 1/4 ack 1 redelivered 0 waiting 0 pending 0");
        rig_ack(rig, "C", "9.5.77", "+OK", ""); /* only the stream sequence decides */
        info("C", "delivered 3/8 floor 3/8 ack 0 redelivered 0 waiting 0 pending 0");
    }
}

static void floor_ignores_redelivered_copies(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("aaaa");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "8");
        rig_advance_ms(rig, 1000);
        sent("in s.a 1.1.1.3 x\nin s.a 1.2.2.2 x\nin s.a 1.3.3.1 x\nin s.a 1.4.4.0 x\n"
             "in s.a 2.1.5.0 x\nin s.a 2.2.6.0 x\nin s.a 2.3.7.0 x\nin s.a 2.4.8.0 x\n");
        info("C", "delivered 8/4 floor 0/0 ack 4 redelivered 4 waiting 0 pending 0");
        rig_ack(rig, "C", "2.1.5", "", "");
        rig_ack(rig, "C", "1.3.3", "", "");
        info("C", "delivered 8/4 floor 1/1 ack 2 redelivered 2 waiting 0 pending 0");
        rig_ack(rig, "C", "1.2.2", "", "");
        info("C", "delivered 8/4 floor 3/3 ack 1 redelivered 1 waiting 0 pending 0");
        rig_ack(rig, "C", "1.4.4", "", "");
        info("C", "delivered 8/4 floor 8/4 ack 0 redelivered 0 waiting 0 pending 0");
    }
}

static void ack_all_goes_by_the_consumer_sequence(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("aaaa");
        create("C", "{\"ack_policy\":\"all\",\"ack_wait\":1000000000}");
        rig_pull(rig, "C", "in", "10");
        rig_ack(rig, "C", "1.2.2", "", "r");
        info("C", "delivered 4/4 floor 2/2 ack 2 redelivered 0 waiting 1 pending 0");
        rig_advance_ms(rig, 1000);
        sent("in s.a 1.1.1.3 x\nin s.a 1.2.2.2 x\nin s.a 1.3.3.1 x\nin s.a 1.4.4.0 x\nr -\n"
             "in s.a 2.3.5.0 x\nin s.a 2.4.6.0 x\n");
        rig_ack(rig, "C", "2.3.5", "", "");
        info("C", "delivered 6/4 floor 5/3 ack 1 redelivered 1 waiting 1 pending 0");
        rig_ack(rig, "C", "1.4.4", "", "r"); /* below the floor's consumer sequence: answered, ignored */
        sent("r -\n");
        info("C", "delivered 6/4 floor 5/3 ack 1 redelivered 1 waiting 1 pending 0");
        rig_ack(rig, "C", "2.4.6", "+TERM", "");
        info("C", "delivered 6/4 floor 6/4 ack 0 redelivered 0 waiting 1 pending 0");
    }
}

static void what_is_answered(void **state) {
    (void)state;
    static const struct {
        const char *tokens, *body;
        bool is_answered;
    } cases[] = {
        {"1.1.1", "+ACK ", true},  {"1.1.1", "+ack", true}, {"1.1.1", "zzz", true}, {"1.1.1", "-nak", true},
        {"1.0.0", "", true},       {"1.3.3", "", false},    {"x.1.1", "", false},   {"1.1.1", "+WPI", true},
        {"1.1.1", "+WPIx", true},
    };
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("aab");
        create("C", "{" EXPLICIT "}");
        create("N", "{\"ack_policy\":\"none\"}");
        rig_pull(rig, "C", "in", "2");
        rig_trace(rig);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            assert_true(rig_ack(rig, "C", cases[i].tokens, cases[i].body, "r"));
            sent(cases[i].is_answered ? "r -\n" : "");
        }
        info("C", "delivered 2/2 floor 0/0 ack 2 redelivered 0 waiting 0 pending 1");
        rig_ack(rig, "C", "1.1.1", "", "r");
        rig_ack(rig, "C", "1.1.1", "", "r"); /* twice */
        sent("r -\nr -\n");
        info("C", "delivered 2/2 floor 1/1 ack 1 redelivered 0 waiting 0 pending 1");
        assert_false(rig_ack(rig, "C", "1.1", "", "r"));
        assert_false(rig_ack(rig, "C", "1.1.1.1", "", "r"));
        assert_false(rig_ack(rig, "N", "1.1.1", "", "r"));
        sent("");
    }
}

static void acks_count_when_they_are_durable(void **state) {
    (void)state;
    start(STORAGE_FILE, RETENTION_WORKQUEUE);
    rig_sub(rig, "in");
    store("aa");
    create("C", "{" EXPLICIT "}");
    rig_pull(rig, "C", "in", "5");
    rig_trace(rig);
    rig->holds_commits = true;
    rig_ack(rig, "C", "1.1.1", "", "r");
    rig_ack(rig, "C", "1.1.1", "", "r2");
    sent("");
    info("C", "delivered 2/2 floor 0/0 ack 2 redelivered 0 waiting 1 pending 0");
    rig_ack(rig, "C", "1.1.1", "-NAK", ""); /* not redelivered meanwhile */
    rig_advance_ms(rig, 1000);
    sent("in s.a 2.2.3.0 x\n");
    rig->holds_commits = false;
    rig_run(rig);
    sent("r -\nr2 -\n");
    info("C", "delivered 3/2 floor 1/1 ack 1 redelivered 1 waiting 1 pending 0");
    assert_false(rig->msgs.at[0].is_live);
    assert_true(rig->msgs.at[1].is_live);

    rig->holds_commits = true;
    rig_ack(rig, "C", "1.2.2", "", "r");
    rig_refuse(rig, ERR_FULL);
    sent("");
    rig->holds_commits = false;
    rig_advance_ms(rig, 1000); /* it is pending again */
    sent("in s.a 3.2.4.0 x\n");
    rig_free(rig);
}

static void naks_are_redelivered_in_their_order_before_anything_new(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abcd");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "3");
        rig_trace(rig);
        rig_ack(rig, "C", "1.3.3", "-NAK", "");
        rig_ack(rig, "C", "1.1.1", "-NAK {bad", "");
        rig_ack(rig, "C", "1.2.2", "-NAK 300ms", "");
        info("C", "delivered 3/3 floor 0/0 ack 3 redelivered 0 waiting 0 pending 1");
        rig_pull(rig, "C", "in", "3");
        sent("in s.c 2.3.4.1 x\nin s.a 2.1.5.1 x\nin s.d 1.4.6.0 x\n");
        rig_pull(rig, "C", "in", "3");
        rig_advance_ms(rig, 299);
        sent("");
        rig_advance_ms(rig, 1);
        sent("in s.b 2.2.7.0 x\n");
        info("C", "delivered 7/4 floor 0/0 ack 4 redelivered 3 waiting 1 pending 0");
        rig_ack(rig, "C", "1.2.2", "-NAK {\"delay\":100000000}", "");
        rig_ack(rig, "C", "1.2.2", "-NAK{\"delay\":3000000000}", ""); /* overrides */
        rig_ack(rig, "C", "1.1.1", "", "");
        rig_ack(rig, "C", "1.3.3", "", "");
        rig_ack(rig, "C", "1.4.4", "", "");
        rig_advance_ms(rig, 2999);
        sent("");
        rig_advance_ms(rig, 1);
        sent("in s.b 3.2.8.0 x\n");
    }
}

static void progress_restarts_the_deadline_and_backoff_counts(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("a");
        create("C", "{\"ack_policy\":\"explicit\",\"backoff\":[200000000,500000000],\"max_deliver\":5}");
        rig_pull(rig, "C", "in", "9");
        sent("in s.a 1.1.1.0 x\n");
        rig_advance_ms(rig, 199);
        sent("");
        rig_advance_ms(rig, 1);
        sent("in s.a 2.1.2.0 x\n");
        rig_advance_ms(rig, 350);
        rig_ack(rig, "C", "1.1.1", "+WPI", "");
        rig_advance_ms(rig, 499);
        sent("");
        rig_advance_ms(rig, 1);
        sent("in s.a 3.1.3.0 x\n");
        rig_advance_ms(rig, 1000);
        sent("in s.a 4.1.4.0 x\nin s.a 5.1.5.0 x\n");
    }
}

static void a_message_is_given_up_after_max_deliver(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_WORKQUEUE) {
        rig->hides_advisories = false;
        rig_sub(rig, "in");
        store("ab");
        create("C", "{" EXPLICIT ",\"max_deliver\":2}");
        rig_pull(rig, "C", "in", "2");
        rig_trace(rig);
        rig_ack(rig, "C", "1.2.2", "", "");
        rig_advance_ms(rig, 1000);
        rig_pull(rig, "C", "in", "1");
        sent("in s.a 2.1.3.0 x\n");
        rig_advance_ms(rig, 1000); /* no request is needed */
        sent("! max_deliver \"stream\":\"S\",\"consumer\":\"C\",\"stream_seq\":1,\"deliveries\":2\n");
        info("C", "delivered 3/2 floor 0/0 ack 0 redelivered 1 waiting 0 pending 0");
        assert_true(rig->msgs.at[0].is_live);
        rig_ack(rig, "C", "2.1.3", "", "r"); /* late, but it counts */
        sent("r -\n");
        info("C", "delivered 3/2 floor 3/2 ack 0 redelivered 0 waiting 0 pending 0");
        assert_false(rig->msgs.at[0].is_live);

        store("c");
        rig_pull(rig, "C", "in", "1");
        rig_advance_ms(rig, 1000);
        rig_pull(rig, "C", "in", "1");
        rig_trace(rig);
        rig_ack(rig, "C", "2.3.5", "-NAK", "");
        rig_trace(rig);
        info("C", "delivered 5/3 floor 3/2 ack 1 redelivered 1 waiting 0 pending 0");
        rig_pull(rig, "C", "in", "{\"no_wait\":true}"); /* only now somebody asks */
        sent("! max_deliver \"stream\":\"S\",\"consumer\":\"C\",\"stream_seq\":3,\"deliveries\":2\nin 404 No Messages\n");
        info("C", "delivered 5/3 floor 3/2 ack 0 redelivered 1 waiting 0 pending 0");
    }
}

static void max_ack_pending_holds_back_new_messages_only(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abcde");
        create("C", "{" EXPLICIT ",\"max_ack_pending\":2}");
        rig_pull(rig, "C", "in", "{\"batch\":9,\"expires\":60000000000}");
        sent("in s.a 1.1.1.4 x\nin s.b 1.2.2.3 x\n");
        rig_pull(rig, "C", "in", "{\"batch\":1,\"no_wait\":true}"); /* others wait for more than there is */
        sent("in 408 Requests Pending\n");
        rig_ack(rig, "C", "1.1.1", "-NAK", "");
        sent("in s.a 2.1.3.3 x\n");
        rig_ack(rig, "C", "1.1.1", "", "");
        sent("in s.c 1.3.4.2 x\n");
        create("C", "{" EXPLICIT ",\"max_ack_pending\":9}"); /* raised: goes on at once */
        sent("in s.d 1.4.5.1 x\nin s.e 1.5.6.0 x\n");
    }
}

static void next_acks_and_asks(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abcd");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "");
        rig_ack(rig, "C", "1.1.1", "+NXT 2", "in");
        sent("in s.a 1.1.1.3 x\nin s.b 1.2.2.2 x\nin s.c 1.3.3.1 x\n");
        info("C", "delivered 3/3 floor 1/1 ack 2 redelivered 0 waiting 0 pending 1");
        rig_ack(rig, "C", "1.2.2", "+NXT {\"batch\":2,\"no_wait\":true}", "in");
        sent("in s.d 1.4.4.0 x\nin 404 No Messages\n");
        rig_ack(rig, "C", "1.3.3", "+NXT nonsense", "in");
        info("C", "delivered 4/4 floor 3/3 ack 1 redelivered 0 waiting 1 pending 0");
    }
}

static void purges_and_deletes_move_the_numbers(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("aaaaaaaa");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "4");
        rig_ack(rig, "C", "1.2.2", "", "");
        rig_delete(rig, 1, true);
        info("C", "delivered 4/4 floor 2/2 ack 2 redelivered 0 waiting 0 pending 4");
        rig_delete(rig, 6, true);
        info("C", "delivered 4/4 floor 2/2 ack 2 redelivered 0 waiting 0 pending 3");
        rig_purge_below(rig, 4);
        info("C", "delivered 4/4 floor 3/3 ack 1 redelivered 0 waiting 0 pending 3");
        rig_purge_below(rig, 6);
        info("C", "delivered 4/5 floor 4/5 ack 0 redelivered 0 waiting 0 pending 2");
        rig_purge_all(rig);
        info("C", "delivered 4/8 floor 4/8 ack 0 redelivered 0 waiting 0 pending 0");
        rig_trace(rig);
        store("b");
        rig_pull(rig, "C", "in", "1");
        sent("in s.b 1.9.5.0 x\n");
    }
}

static void a_removed_message_is_not_redelivered_and_its_end_is_told(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig->hides_advisories = false;
        rig_sub(rig, "in");
        store("aa");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "2");
        rig_ack(rig, "C", "1.1.1", "-NAK", "");
        rig_trace(rig);
        rig_delete(rig, 1, true);
        sent("! terminated \"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":1,\"stream_seq\":1,\"deliveries\":1,"
             "\"reason\":\"Unacknowledged message was deleted\"\n");
        rig_pull(rig, "C", "in", "{\"no_wait\":true}");
        sent("in 404 No Messages\n");
        rig_ack(rig, "C", "1.2.2", "+TERM some reason", "r");
        sent("! terminated \"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":2,\"stream_seq\":2,\"deliveries\":1,"
             "\"reason\":\"some reason\"\nr -\n");
        info("C", "delivered 2/2 floor 2/2 ack 0 redelivered 0 waiting 0 pending 0");
    }
}

static void last_per_subject_then_live(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abcabda"); /* a:7 b:5 c:3 d:6 */
        create("C", "{\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"s.>\"}");
        info("C", "delivered 0/2 floor 0/2 ack 0 redelivered 0 waiting 0 pending 4");
        rig_pull(rig, "C", "in", "1");
        sent("in s.c 1.3.1.3 x\n");
        rig_delete(rig, 5, false); /* one of them goes, one comes */
        store("e");
        info("C", "delivered 1/3 floor 1/3 ack 0 redelivered 0 waiting 0 pending 3");
        rig_pull(rig, "C", "in", "9");
        sent("in s.d 1.6.2.2 x\nin s.a 1.7.3.1 x\nin s.e 1.8.4.0 x\n");
        store("f");
        sent("in s.f 1.9.5.0 x\n");
    }
}

static void push_starts_with_a_subscription_of_exactly_its_subject(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        store("ab");
        create("C", "{" EXPLICIT ",\"deliver_subject\":\"d.x\"}");
        rig_sub(rig, "d.*");
        rig_sub(rig, "d.x q");
        sent("");
        assert_null(strstr(rig_info_json(rig, "C"), "push_bound"));
        rig_sub(rig, "d.x");
        sent("d.x s.a 1.1.1.1 x\nd.x s.b 1.2.2.0 x\n");
        assert_non_null(strstr(rig_info_json(rig, "C"), "\"push_bound\":true"));
        rig_unsub(rig, "d.x");
        rig_unsub(rig, "d.x q");
        store("c");
        rig_advance_ms(rig, 1500);
        sent("");
        rig_sub(rig, "d.x"); /* due redeliveries first, then new */
        sent("d.x s.a 2.1.3.1 x\nd.x s.b 2.2.4.1 x\nd.x s.c 1.3.5.0 x\n");
        rig_unsub(rig, "d.x");
        create("G", "{\"deliver_subject\":\"g\",\"deliver_group\":\"q\"}");
        rig_sub(rig, "g");
        sent("");
        rig_sub(rig, "g q");
        sent("g s.a 1.1.1.2 x\ng s.b 1.2.2.1 x\ng s.c 1.3.3.0 x\n");
    }
}

static void push_heartbeats(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "d");
        create("C", "{\"deliver_subject\":\"d\",\"idle_heartbeat\":100000000,\"filter_subject\":\"s.a\"}");
        rig_advance_ms(rig, 100);
        sent("d 100 Idle Heartbeat|Nats-Last-Consumer: 0|Nats-Last-Stream: 0\n");
        store("bb");
        rig_advance_ms(rig, 50);
        store("ab");
        rig_advance_ms(rig, 99);
        sent("d s.a 1.3.1.0 x\n");
        rig_advance_ms(rig, 1);
        sent("d 100 Idle Heartbeat|Nats-Last-Consumer: 1|Nats-Last-Stream: 4\n");
        rig_pause(rig, "C", rig->wall_ns + 10 * (int64_t)NS_PER_S);
        rig_advance_ms(rig, 100);
        sent("d 100 Idle Heartbeat|Nats-Last-Consumer: 1|Nats-Last-Stream: 4\n");
        rig_delete_consumer(rig, "C");
        rig_advance_ms(rig, 1000);
        sent("");
    }
}

static const char *without_token(const char *text) {
    static char copy[4096];
    size_t n = 0;
    for (; *text && n + 1 < sizeof copy; n++) {
        if (strncmp(text, "$JS.FC.S.C.", 11) == 0) {
            memcpy(copy + n, "FC", 2);
            n += 1;
            text += 15;
        } else {
            copy[n] = *text++;
        }
    }
    copy[n] = 0;
    return copy;
}

static void flow_control_stops_above_the_window_and_doubles_it(void **state) {
    (void)state;
    start(STORAGE_MEMORY, RETENTION_LIMITS);
    char *big = mem_zalloc(500001);
    memset(big, 'y', 500000);
    rig_sub(rig, "d");
    create("C", "{\"deliver_subject\":\"d\",\"idle_heartbeat\":1000000000,\"flow_control\":true}");
    for (int i = 0; i < 7; i++)
        rig_store(rig, "s.a", big);
    assert_string_equal(without_token(rig_trace(rig)),
                        "d s.a 1.1.1.0 yyyyyyyyyyyyyyyyyyyy\nd s.a 1.2.2.0 yyyyyyyyyyyyyyyyyyyy\n"
                        "d s.a 1.3.3.0 yyyyyyyyyyyyyyyyyyyy\nd 100 FlowControl Request -> FC\n"
                        "d s.a 1.4.4.0 yyyyyyyyyyyyyyyyyyyy\nd s.a 1.5.5.0 yyyyyyyyyyyyyyyyyyyy\n");
    rig_advance_ms(rig, 1000);
    assert_string_equal(without_token(rig_trace(rig)), "d 100 Idle Heartbeat|Nats-Last-Consumer: 5|Nats-Last-Stream: 5|"
                                                       "Nats-Consumer-Stalled: FC\n");
    rig_flow_reply(rig, "C", "");
    assert_string_equal(without_token(rig_trace(rig)),
                        "d s.a 1.6.6.1 yyyyyyyyyyyyyyyyyyyy\nd s.a 1.7.7.0 yyyyyyyyyyyyyyyyyyyy\n");
    rig_store(rig, "s.a", big); /* more than half of 4 MiB is out */
    assert_string_equal(without_token(rig_trace(rig)),
                        "d s.a 1.8.8.0 yyyyyyyyyyyyyyyyyyyy\nd 100 FlowControl Request -> FC\n");
    mem_free(big);
    rig_free(rig);
}

static void flow_control_answers_acknowledge(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        char *big = mem_zalloc(600001);
        memset(big, 'y', 600000);
        rig_sub(rig, "d");
        create("C", "{\"ack_policy\":\"flow_control\",\"deliver_subject\":\"d\",\"max_ack_pending\":3}");
        assert_false(consumer_takes_acks(rig_consumer(rig, "C")));
        for (int i = 0; i < 5; i++)
            rig_store(rig, "s.a", big);
        info("C", "delivered 3/3 floor 0/0 ack 3 redelivered 0 waiting 0 pending 2");
        rig_flow_reply(rig, "C", "NATS/1.0\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n");
        info("C", "delivered 5/5 floor 2/2 ack 3 redelivered 0 waiting 0 pending 0");
        rig_advance_ms(rig, 100000); /* never redelivered */
        info("C", "delivered 5/5 floor 2/2 ack 3 redelivered 0 waiting 0 pending 0");
        mem_free(big);
    }
}

static void a_rate_limit_paces_after_the_burst(void **state) {
    (void)state;
    start(STORAGE_MEMORY, RETENTION_LIMITS);
    char *payload = mem_zalloc(100000);
    memset(payload, 'y', 100000 - 43);
    rig->config.max_msg_size = 100000;
    rig_sub(rig, "d");
    create("C", "{\"deliver_subject\":\"d\",\"rate_limit_bps\":8000000}");
    for (int i = 0; i < 3; i++)
        rig_store(rig, "s.a", payload);
    Consumer *consumer = rig_consumer(rig, "C");
    assert_int_equal(consumer->delivered.dseq, 1);
    rig_advance_ms(rig, 99);
    assert_int_equal(consumer->delivered.dseq, 1);
    rig_advance_ms(rig, 2);
    assert_int_equal(consumer->delivered.dseq, 2);
    rig_advance_ms(rig, 100);
    assert_int_equal(consumer->delivered.dseq, 3);
    mem_free(payload);
    rig_free(rig);
}

static void replay_keeps_the_gaps(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("a");
        rig_advance_ms(rig, 300);
        store("b");
        rig_advance_ms(rig, 200);
        store("c");
        create("C", "{\"replay_policy\":\"original\"}");
        rig_pull(rig, "C", "in", "9");
        sent("in s.a 1.1.1.2 x\n");
        rig_advance_ms(rig, 299);
        sent("");
        rig_advance_ms(rig, 1);
        sent("in s.b 1.2.2.1 x\n");
        rig_advance_ms(rig, 200);
        sent("in s.c 1.3.3.0 x\n");
        rig_advance_ms(rig, 1000);
        store("d");
        store("e"); /* live: at once */
        sent("in s.d 1.4.4.0 x\nin s.e 1.5.5.0 x\n");
    }
}

static void headers_only_tells_the_size_last(void **state) {
    (void)state;
    start(STORAGE_MEMORY, RETENTION_LIMITS);
    rig_sub(rig, "d");
    create("C", "{\"deliver_subject\":\"d\",\"headers_only\":true}");
    rig_store(rig, "s.a", "12345");
    rig_store_with(rig, "s.a", "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n", "");
    sent("d s.a 1.1.1.0 {Nats-Msg-Size: 5}\nd s.a 1.2.2.0 {KV-Operation: DEL|Nats-Msg-Size: 0}\n");
    rig_free(rig);
}

static void a_congested_receiver_is_waited_for(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "d");
        rig_sub(rig, "in");
        create("C", "{\"deliver_subject\":\"d\"}");
        create("P", "{}");
        rig_pull(rig, "P", "in", "5");
        rig_congest(rig, "d", true);
        rig_congest(rig, "in", true);
        store("ab");
        sent("");
        rig_congest(rig, "", false);
        sent("d s.a 1.1.1.1 x\nd s.b 1.2.2.0 x\nin s.a 1.1.1.1 x\nin s.b 1.2.2.0 x\n");
    }
}

static void cold_messages_are_fetched_and_damaged_ones_skipped(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abcdefghi");
        for (size_t i = 0; i < rig->msgs.len; i++)
            rig->msgs.at[i].is_cold = true;
        rig->msgs.at[2].is_damaged = true;
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "9");
        sent("in s.a 1.1.1.8 x\nin s.b 1.2.2.7 x\nin s.d 1.4.3.5 x\nin s.e 1.5.4.4 x\nin s.f 1.6.5.3 x\n"
             "in s.g 1.7.6.2 x\nin s.h 1.8.7.1 x\nin s.i 1.9.8.0 x\n");
        info("C", "delivered 8/9 floor 0/0 ack 8 redelivered 0 waiting 1 pending 0");
    }
}

static void pause_holds_and_resumes(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("a");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "9");
        rig_trace(rig);
        rig->hides_advisories = false;
        assert_string_equal(rig_pause(rig, "C", rig->wall_ns + 5 * (int64_t)NS_PER_S),
                            "{\"type\":\"t\",\"paused\":true,\"pause_until\":\"2023-11-14T22:13:25Z\",\"pause_remaining\":5000000000}");
        sent("! consumer_pause \"stream\":\"S\",\"consumer\":\"C\",\"paused\":true,\"pause_until\":\"2023-11-14T22:13:25Z\"\n");
        store("b");
        rig_pull(rig, "C", "in", "{\"no_wait\":true}");
        sent("in 408 Requests Pending\n");
        assert_non_null(strstr(rig_info_json(rig, "C"), "\"paused\":true,\"pause_remaining\":5000000000,\"ts\""));
        rig_advance_ms(rig, 5000); /* the due redelivery waited too */
        sent("! consumer_pause \"stream\":\"S\",\"consumer\":\"C\",\"paused\":false,\"pause_until\":\"2023-11-14T22:13:25Z\"\n"
             "in s.a 2.1.2.1 x\nin s.b 1.2.3.0 x\n");
        assert_string_equal(rig_pause(rig, "C", TIME_ZERO),
                            "{\"type\":\"t\",\"paused\":false,\"pause_until\":\"0001-01-01T00:00:00Z\"}");
        assert_string_equal(rig_pause(rig, "ZZ", TIME_ZERO), "10014 consumer not found");
    }
}

static void reset_goes_back(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abcd");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in", "4");
        rig_ack(rig, "C", "1.1.1", "", "");
        rig_trace(rig);
        assert_non_null(strstr(rig_reset(rig, "C", 0), ",\"reset_seq\":2}"));
        info("C", "delivered 0/1 floor 0/1 ack 0 redelivered 0 waiting 0 pending 3");
        rig_pull(rig, "C", "in", "1");
        sent("in s.b 1.2.1.2 x\n");
        assert_non_null(strstr(rig_reset(rig, "C", 100), ",\"reset_seq\":100}"));
        info("C", "delivered 0/99 floor 0/99 ack 0 redelivered 0 waiting 0 pending 0");
        create("B", "{\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":3}");
        assert_string_equal(rig_reset(rig, "B", 2), "10204 invalid reset: below start seq");
        create("T", "{\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2036-01-01T00:00:00Z\"}");
        assert_string_equal(rig_reset(rig, "T", 2), "10204 invalid reset: below start time");
        create("L", "{\"deliver_policy\":\"last\"}");
        assert_string_equal(rig_reset(rig, "L", 2), "10204 invalid reset: not allowed");
        assert_string_equal(rig_reset(rig, "ZZ", 2), "silence");
    }
}

static void overflow_serves_above_its_thresholds(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "A");
        rig_sub(rig, "B");
        rig_sub(rig, "D");
        create("C", "{" EXPLICIT ",\"priority_groups\":[\"j\"],\"priority_policy\":\"overflow\"}");
        rig_pull(rig, "C", "A", "{\"group\":\"j\",\"batch\":9,\"min_pending\":3}");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"no_wait\":true,\"min_pending\":3}");
        sent("B 404 No Messages\n");
        store("ab");
        sent("");
        store("c");
        sent("A s.a 1.1.1.2 x\n");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"min_ack_pending\":1}");
        sent("B s.b 1.2.2.1 x\n");
        rig_pull(rig, "C", "D", "{\"group\":\"j\"}");
        sent("D s.c 1.3.3.0 x\n");
        assert_non_null(strstr(rig_info_json(rig, "C"), "\"priority_groups\":[{\"group\":\"j\",\"pinned_ts\":\"0001-01-01T00:00:00Z\"}]}"));
    }
}

static void prioritized_serves_the_lowest_first(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "A");
        rig_sub(rig, "B");
        rig_sub(rig, "D");
        create("C", "{" EXPLICIT ",\"priority_groups\":[\"j\"],\"priority_policy\":\"prioritized\"}");
        rig_pull(rig, "C", "A", "{\"group\":\"j\",\"batch\":9,\"priority\":5}");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"batch\":2}");
        rig_pull(rig, "C", "D", "{\"group\":\"j\",\"batch\":1}");
        store("abcde");
        sent("B s.a 1.1.1.0 x\nD s.b 1.2.2.0 x\nB s.c 1.3.3.0 x\nA s.d 1.4.4.0 x\nA s.e 1.5.5.0 x\n");
    }
}

static char pin_text[23];

/* Replaces each pin by PIN and keeps the last one. */
static const char *without_pin(const char *text) {
    static char copy[4096];
    size_t n = 0;
    while (*text && n + 64 < sizeof copy) {
        static const char *const marks[] = {"Nats-Pin-Id: ", "\"pinned_id\":\""};
        size_t len = 0;
        for (size_t i = 0; i < 2; i++)
            if (strncmp(text, marks[i], strlen(marks[i])) == 0)
                len = strlen(marks[i]);
        if (len && text[len] != '}') {
            memcpy(copy + n, text, len);
            memcpy(pin_text, text + len, 22);
            n += len;
            memcpy(copy + n, "PIN", 3);
            n += 3;
            text += len + 22;
        } else {
            copy[n++] = *text++;
        }
    }
    copy[n] = 0;
    return copy;
}

static void a_pinned_client_is_served_alone(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "A");
        rig_sub(rig, "B");
        rig->hides_advisories = false;
        create("C", "{\"ack_policy\":\"none\",\"priority_groups\":[\"j\"],\"priority_policy\":\"pinned_client\",\"priority_timeout\":1000000000}");
        rig_trace(rig);
        rig_pull(rig, "C", "A", "2"); /* names no group: an empty pin, nobody is pinned */
        store("a");
        sent("A s.a 1.1.1.0 x {Nats-Pin-Id: }\n");
        rig_pull(rig, "C", "A", "{\"group\":\"j\",\"batch\":2}");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"batch\":9}");
        store("bc");
        assert_string_equal(without_pin(rig_trace(rig)),
                            "A s.b 1.2.2.0 x {Nats-Pin-Id: }\n"
                            "! consumer_group_pinned \"account\":\"$G\",\"stream\":\"S\",\"consumer\":\"C\",\"group\":\"j\",\"pinned_id\":\"PIN\"\n"
                            "A s.c 1.3.3.0 x {Nats-Pin-Id: PIN}\n");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"id\":\"wrong\"}");
        sent("B 423 Nats-Pin-Id mismatch\n");
        rig_advance_ms(rig, 900);
        char body[128];
        (void)snprintf(body, sizeof body, "{\"group\":\"j\",\"batch\":1,\"id\":\"%s\"}", pin_text);
        rig_pull(rig, "C", "A", body); /* renews */
        rig_advance_ms(rig, 900);
        store("d");
        assert_int_equal(rig_consumer(rig, "C")->delivered.sseq, 4);
        rig_trace(rig);
        rig_unpin(rig, "C", "j");
        sent("! consumer_group_unpinned \"account\":\"$G\",\"stream\":\"S\",\"consumer\":\"C\",\"group\":\"j\",\"reason\":\"admin\"\n");
        assert_string_equal(rig_unpin(rig, "C", "zz"), "10160 Provided priority group does not exist for this consumer");
    }
}

static void a_lost_pin_ends_a_request_and_a_timeout_pins_the_next(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "A");
        rig_sub(rig, "B");
        create("C", "{\"ack_policy\":\"none\",\"priority_groups\":[\"j\"],\"priority_policy\":\"pinned_client\",\"priority_timeout\":1000000000}");
        rig_pull(rig, "C", "A", "{\"group\":\"j\",\"batch\":5}");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"batch\":5}");
        store("a");
        rig_unpin(rig, "C", "j");
        store("b");
        assert_string_equal(without_pin(rig_trace(rig)),
                            "A s.a 1.1.1.0 x {Nats-Pin-Id: PIN}\n"
                            "B s.b 1.2.2.0 x {Nats-Pin-Id: PIN}\n");
        store("c");
        rig_unpin(rig, "C", "j");
        store("d"); /* both carry old pins */
        assert_string_equal(without_pin(rig_trace(rig)),
                            "A 423 Nats-Wrong-Pin-Id|Nats-Pending-Messages: 4|Nats-Pending-Bytes: 0\n"
                            "B s.c 1.3.3.0 x {Nats-Pin-Id: PIN}\n"
                            "B 423 Nats-Wrong-Pin-Id|Nats-Pending-Messages: 3|Nats-Pending-Bytes: 0\n");
        rig_pull(rig, "C", "A", "{\"group\":\"j\",\"batch\":5}");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"batch\":5}");
        rig_unsub(rig, "A");
        store("e"); /* nobody until the pin lapses */
        assert_string_equal(without_pin(rig_trace(rig)), "A s.d 1.4.4.0 x {Nats-Pin-Id: PIN}\n");
        rig_advance_ms(rig, 1000);
        assert_string_equal(without_pin(rig_trace(rig)), "B s.e 1.5.5.0 x {Nats-Pin-Id: PIN}\n");
    }
}

static void interest_streams_drop_what_everybody_has(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_INTEREST) {
        rig_sub(rig, "in");
        store("a"); /* nobody: not stored */
        assert_false(rig->msgs.at[0].is_live);
        create("A", "{" EXPLICIT ",\"filter_subject\":\"s.a\"}");
        create("B", "{" EXPLICIT "}");
        create("N", "{\"ack_policy\":\"none\"}");
        store("ab");
        rig_pull(rig, "B", "in", "5");
        rig_pull(rig, "N", "in", "5");
        rig_ack(rig, "B", "1.3.2", "", "");
        assert_false(rig->msgs.at[2].is_live); /* A does not want s.b, N had it */
        rig_ack(rig, "B", "1.2.1", "", "");
        assert_true(rig->msgs.at[1].is_live);
        rig_pull(rig, "A", "in", "5");
        rig_ack(rig, "A", "1.2.1", "+TERM", "");
        assert_false(rig->msgs.at[1].is_live);
        store("a");
        rig_delete_consumer(rig, "A");
        assert_true(rig->msgs.at[3].is_live);
        rig_delete_consumer(rig, "B");
        assert_false(rig->msgs.at[3].is_live); /* only N is left, and had it */
    }
}

static void create_update_and_their_errors(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        assert_string_equal(rig_create_with(rig, "C", "{}", CONSUMER_UPDATE), "10149 consumer does not exist");
        create("C", "{\"durable_name\":\"C\"," EXPLICIT ",\"deliver_subject\":\"d\"}");
        assert_non_null(strstr(rig_create_with(rig, "C", "{\"durable_name\":\"C\"," EXPLICIT ",\"deliver_subject\":\"d\"}", CONSUMER_CREATE), "stream_name"));
        assert_string_equal(rig_create_with(rig, "C", "{\"durable_name\":\"C\"," EXPLICIT ",\"deliver_subject\":\"e\"}", CONSUMER_CREATE),
                            "10148 consumer already exists");
        rig_sub(rig, "d");
        assert_string_equal(rig_create(rig, "C", "{\"durable_name\":\"C\"," EXPLICIT ",\"deliver_subject\":\"e\"}"),
                            "10013 consumer name already in use");
        rig_unsub(rig, "d");
        assert_non_null(strstr(rig_create(rig, "C", "{\"durable_name\":\"C\"," EXPLICIT ",\"deliver_subject\":\"e\"}"), "\"deliver_subject\":\"e\""));
        assert_string_equal(rig_create(rig, "C", "{\"ack_policy\":\"none\",\"deliver_subject\":\"e\"}"),
                            "10012 ack policy can not be updated");
        create("E", "{}");
        assert_string_equal(rig_create_with(rig, "E", "{}", CONSUMER_CREATE), "10148 consumer already exists");
        create("I", "{\"inactive_threshold\":7000000000}");
        assert_non_null(strstr(rig_create_with(rig, "I", "{\"inactive_threshold\":7000000000}", CONSUMER_CREATE), "stream_name"));
        const char *reply = rig_create(rig, "", "{}");
        assert_non_null(strstr(reply, "\"config\":{\"deliver_policy\":\"all\""));
        assert_string_equal(rig_delete_consumer(rig, "ZZ"), "10014 consumer not found");
        rig->config.max_consumers = 4;
        assert_string_equal(rig_create(rig, "F", "{}"), "10026 maximum consumers limit reached");
        create("I", "{\"inactive_threshold\":7000000000}");
    }
}

static void work_queues_want_disjoint_consumers(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_WORKQUEUE) {
        create("A", "{" EXPLICIT ",\"filter_subject\":\"s.a\"}");
        create("B", "{" EXPLICIT ",\"filter_subject\":\"s.b\"}");
        assert_string_equal(rig_create(rig, "C", "{" EXPLICIT ",\"filter_subject\":\"s.*\"}"),
                            "10100 filtered consumer not unique on workqueue stream");
        assert_string_equal(rig_create(rig, "C", "{" EXPLICIT "}"),
                            "10099 multiple non-filtered consumers not allowed on workqueue stream");
        assert_string_equal(rig_create(rig, "B", "{" EXPLICIT ",\"filter_subject\":\"s.a\"}"),
                            "10100 filtered consumer not unique on workqueue stream");
        rig_delete_consumer(rig, "A");
        rig_delete_consumer(rig, "B");
        create("U", "{" EXPLICIT "}");
        assert_string_equal(rig_create(rig, "C", "{" EXPLICIT ",\"filter_subject\":\"s.a\"}"),
                            "10100 filtered consumer not unique on workqueue stream");
    }
}

static void creations_in_flight_do_not_pass_each_other(void **state) {
    (void)state;
    start(STORAGE_FILE, RETENTION_LIMITS);
    rig->config.max_consumers = 1;
    rig->holds_commits = true;
    rig_create(rig, "A", "{\"durable_name\":\"A\"}");
    rig_create(rig, "B", "{\"durable_name\":\"B\"}"); /* waits: the limit */
    assert_int_equal(rig->proposals.len, 1);
    rig->holds_commits = false;
    rig_run(rig);
    assert_string_equal(buf_text(&rig->reply), "10026 maximum consumers limit reached");
    rig->config.max_consumers = -1;
    rig->holds_commits = true;
    rig_create_with(rig, "D", "{\"durable_name\":\"D\"}", CONSUMER_CREATE);
    rig_create_with(rig, "D", "{\"durable_name\":\"D\",\"description\":\"x\"}", CONSUMER_CREATE);
    rig->holds_commits = false;
    rig_run(rig);
    assert_string_equal(buf_text(&rig->reply), "10148 consumer already exists");
    rig->holds_commits = true;
    rig_delete_consumer(rig, "D");
    rig_create(rig, "D", "{\"durable_name\":\"D\",\"description\":\"y\"}"); /* after the deletion */
    rig->holds_commits = false;
    rig_run(rig);
    assert_non_null(strstr(rig_info_json(rig, "D"), "\"description\":\"y\""));
    rig->holds_commits = true;
    rig_create(rig, "F", "{\"durable_name\":\"F\"}");
    rig_refuse(rig, ERR_FULL);
    assert_string_equal(buf_text(&rig->reply), "10047 insufficient storage resources available");
    rig->holds_commits = false;
    create("F", "{\"durable_name\":\"F\"}");
    rig_free(rig);
}

static void filter_updates_count_anew(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abab");
        create("C", "{" EXPLICIT ",\"filter_subject\":\"s.a\"}");
        rig_pull(rig, "C", "in", "1");
        create("C", "{" EXPLICIT ",\"filter_subject\":\"s.b\"}");
        info("C", "delivered 1/1 floor 0/0 ack 1 redelivered 0 waiting 0 pending 2");
        rig_pull(rig, "C", "in", "9");
        store("ab");
        sent("in s.a 1.1.1.1 x\nin s.b 1.2.2.1 x\nin s.b 1.4.3.0 x\nin s.b 1.6.4.0 x\n");
    }
}

static void the_inactive_go(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        create("E", "{}");                                    /* pull: 5 s and up to 1 s more */
        create("P", "{\"deliver_subject\":\"d\",\"inactive_threshold\":300000000}");
        create("D", "{\"durable_name\":\"D\"}");
        rig_advance_ms(rig, 299);
        assert_non_null(consumer_set_find(rig->set, LIT("P")));
        rig_sub(rig, "d");
        rig_advance_ms(rig, 1000);
        rig_unsub(rig, "d");
        rig_advance_ms(rig, 299);
        assert_non_null(consumer_set_find(rig->set, LIT("P")));
        rig_advance_ms(rig, 1);
        assert_null(consumer_set_find(rig->set, LIT("P")));
        rig_advance_ms(rig, 3000);
        rig_pull(rig, "E", "in", "{\"expires\":4000000000}");
        rig_advance_ms(rig, 4990);
        assert_non_null(consumer_set_find(rig->set, LIT("E")));
        rig_advance_ms(rig, 1100);
        assert_null(consumer_set_find(rig->set, LIT("E")));
        rig_advance_ms(rig, 1000000);
        assert_non_null(consumer_set_find(rig->set, LIT("D")));
    }
}

static void deletion_is_told_to_who_waits(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        rig->hides_advisories = false;
        create("C", "{\"durable_name\":\"C\"}");
        rig_pull(rig, "C", "in", "5");
        rig_pull(rig, "C", "in", "5");
        rig_delete_consumer(rig, "C");
        sent("! consumer_action \"stream\":\"S\",\"consumer\":\"C\",\"action\":\"create\"\n"
             "in 409 Consumer Deleted\nin 409 Consumer Deleted\n"
             "! consumer_action \"stream\":\"S\",\"consumer\":\"C\",\"action\":\"delete\"\n");
    }
}

static void samples_and_naks_are_told(void **state) {
    (void)state;
    start(STORAGE_MEMORY, RETENTION_LIMITS);
    rig_sub(rig, "in");
    store("ab");
    create("C", "{" EXPLICIT ",\"sample_freq\":\"100%\"}");
    rig_pull(rig, "C", "in", "2");
    rig_trace(rig);
    rig->hides_advisories = false;
    rig_advance_ms(rig, 300);
    rig_ack(rig, "C", "1.1.1", "", "");
    rig_ack(rig, "C", "1.2.2", "-NAK", "");
    sent("! consumer_ack \"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":1,\"stream_seq\":1,\"ack_time\":300000000,\"deliveries\":1\n"
         "! nak \"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":2,\"stream_seq\":2,\"deliveries\":1\n");
    rig_free(rig);
}

static void the_info_has_the_published_order(void **state) {
    (void)state;
    start(STORAGE_FILE, RETENTION_LIMITS);
    create("ft", "{\"durable_name\":\"ft\",\"ack_policy\":\"explicit\"}");
    assert_string_equal(
        rig_info_json(rig, "ft"),
        "{\"stream_name\":\"S\",\"name\":\"ft\",\"created\":\"2023-11-14T22:13:20Z\",\"config\":{\"durable_name\":\"ft\",\"name\":\"ft\","
        "\"deliver_policy\":\"all\",\"ack_policy\":\"explicit\",\"ack_wait\":30000000000,\"max_deliver\":-1,\"replay_policy\":\"instant\","
        "\"max_waiting\":512,\"max_ack_pending\":1000,\"num_replicas\":0,\"metadata\":{\"_nats.level\":\"5\",\"_nats.req.level\":\"0\","
        "\"_nats.ver\":\"2.15.1\"}},\"delivered\":{\"consumer_seq\":0,\"stream_seq\":0},\"ack_floor\":{\"consumer_seq\":0,\"stream_seq\":0},"
        "\"num_ack_pending\":0,\"num_redelivered\":0,\"num_waiting\":0,\"num_pending\":0,\"ts\":\"2023-11-14T22:13:20Z\"}");
    rig_free(rig);
}

static void many_watchers_share_a_filter_and_take_little_memory(void **state) {
    (void)state;
    start(STORAGE_FILE, RETENTION_LIMITS);
    for (int i = 0; i < 100; i++) {
        char name[16], config[256];
        (void)snprintf(name, sizeof name, "w%03d", i);
        (void)snprintf(config, sizeof config,
                       "{\"deliver_subject\":\"_INBOX.%d\",\"ack_policy\":\"none\",\"max_deliver\":1,\"filter_subject\":\"s.>\","
                       "\"deliver_policy\":\"last_per_subject\",\"mem_storage\":true,\"flow_control\":true,\"idle_heartbeat\":5000000000}",
                       i);
        create(name, config);
    }
    assert_int_equal(rig->log.len, 0);
    assert_int_equal(rig->set->options.len, 1);
    assert_int_equal(rig->set->index.wildcards != NULL, 1);
    assert_true(sizeof(Consumer) + 64 + 200 < 700);
    rig_sub(rig, "_INBOX.*");
    rig_sub(rig, "_INBOX.5");
    store("a");
    sent("_INBOX.5 s.a 1.1.1.0 x\n");
    rig_free(rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_positions),
        cmocka_unit_test(a_pull_request_gets_what_it_asks_for_and_its_status),
        cmocka_unit_test(a_request_that_does_not_wait_but_expires),
        cmocka_unit_test(requests_are_served_round_robin),
        cmocka_unit_test(a_request_without_interest_is_dropped_when_its_turn_comes),
        cmocka_unit_test(pull_bodies_and_refusals),
        cmocka_unit_test(max_bytes_counts_the_whole_message),
        cmocka_unit_test(idle_heartbeats_of_pull_requests),
        cmocka_unit_test(floor_of_explicit_acks),
        cmocka_unit_test(floor_ignores_redelivered_copies),
        cmocka_unit_test(ack_all_goes_by_the_consumer_sequence),
        cmocka_unit_test(what_is_answered),
        cmocka_unit_test(acks_count_when_they_are_durable),
        cmocka_unit_test(naks_are_redelivered_in_their_order_before_anything_new),
        cmocka_unit_test(progress_restarts_the_deadline_and_backoff_counts),
        cmocka_unit_test(a_message_is_given_up_after_max_deliver),
        cmocka_unit_test(max_ack_pending_holds_back_new_messages_only),
        cmocka_unit_test(next_acks_and_asks),
        cmocka_unit_test(purges_and_deletes_move_the_numbers),
        cmocka_unit_test(a_removed_message_is_not_redelivered_and_its_end_is_told),
        cmocka_unit_test(last_per_subject_then_live),
        cmocka_unit_test(push_starts_with_a_subscription_of_exactly_its_subject),
        cmocka_unit_test(push_heartbeats),
        cmocka_unit_test(flow_control_stops_above_the_window_and_doubles_it),
        cmocka_unit_test(flow_control_answers_acknowledge),
        cmocka_unit_test(a_rate_limit_paces_after_the_burst),
        cmocka_unit_test(replay_keeps_the_gaps),
        cmocka_unit_test(headers_only_tells_the_size_last),
        cmocka_unit_test(a_congested_receiver_is_waited_for),
        cmocka_unit_test(cold_messages_are_fetched_and_damaged_ones_skipped),
        cmocka_unit_test(pause_holds_and_resumes),
        cmocka_unit_test(reset_goes_back),
        cmocka_unit_test(overflow_serves_above_its_thresholds),
        cmocka_unit_test(prioritized_serves_the_lowest_first),
        cmocka_unit_test(a_pinned_client_is_served_alone),
        cmocka_unit_test(a_lost_pin_ends_a_request_and_a_timeout_pins_the_next),
        cmocka_unit_test(interest_streams_drop_what_everybody_has),
        cmocka_unit_test(create_update_and_their_errors),
        cmocka_unit_test(work_queues_want_disjoint_consumers),
        cmocka_unit_test(creations_in_flight_do_not_pass_each_other),
        cmocka_unit_test(filter_updates_count_anew),
        cmocka_unit_test(the_inactive_go),
        cmocka_unit_test(deletion_is_told_to_who_waits),
        cmocka_unit_test(samples_and_naks_are_told),
        cmocka_unit_test(the_info_has_the_published_order),
        cmocka_unit_test(many_watchers_share_a_filter_and_take_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
