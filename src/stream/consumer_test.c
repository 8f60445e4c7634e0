/* The rules of consumers, one trace per rule: life, acks, numbers. */
#include "stream/consumer_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "io/clock.h"
#include "proto/timefmt.h"

#include "stream/consumer_script.h"

static void start_positions(void **state) {
    (void)state;
    static const struct {
        const char *config, *info;
    } cases[] = {
        {"{}", "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 7"},
        {"{\"deliver_policy\":\"new\"}",
         "delivered 0/7 floor 0/7 ack 0 redelivered 0 waiting 0 pending 0"},
        {"{\"deliver_policy\":\"last\"}",
         "delivered 0/6 floor 0/6 ack 0 redelivered 0 waiting 0 pending 1"},
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
        {"{\"filter_subjects\":[\"s.a\",\"s.c\"]}",
         "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 4"},
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
        rig_ack(rig, "C", "1.4.4", "",
                "r"); /* below the floor's consumer sequence: answered, ignored */
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
        {"1.1.1", "+ACK ", true}, {"1.1.1", "+ack", true}, {"1.1.1", "zzz", true},
        {"1.1.1", "-nak", true},  {"1.0.0", "", true},     {"1.3.3", "", false},
        {"x.1.1", "", false},     {"1.1.1", "+WPI", true}, {"1.1.1", "+WPIx", true},
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

static void deliveries_whose_entry_was_refused_are_told_again(void **state) {
    (void)state;
    (void)rig_new(STORAGE_FILE, RETENTION_WORKQUEUE);
    rig_sub(rig, "in");
    store("abcd");
    create("C", "{" EXPLICIT "}");
    rig->holds_commits = true;
    rig_pull(rig, "C", "in", "3");
    rig_refuse(rig, ERR_IO);
    rig->holds_commits = false;
    rig_pull(rig, "C", "in", "1");
    rig_ack(rig, "C", "1.2.2", "", "r");
    info("C", "delivered 4/4 floor 0/0 ack 3 redelivered 0 waiting 0 pending 0");

    ConsumerSet *other = rig_other_set(rig);
    rig_replay(rig, other, 0);
    consumer_set_start(other);
    Consumer *consumer = consumer_set_find(other, LIT("C"));
    assert_non_null(consumer);
    assert_int_equal(consumer->delivered.sseq, 4);
    assert_int_equal(consumer_pending_count(consumer), 3);
    assert_null(pending_find(&consumer->acks->pending, 2));
    consumer_set_free(other);
    rig_free(rig);
}

/* An ack that came in the turn in which the refusal becomes known. */
static void
what_was_collected_before_a_refusal_was_known_stands_behind_what_is_told_again(void **state) {
    (void)state;
    (void)rig_new(STORAGE_FILE, RETENTION_WORKQUEUE);
    rig_sub(rig, "in");
    store("abcd");
    create("C", "{" EXPLICIT "}");
    rig->holds_commits = true;
    rig_pull(rig, "C", "in", "3");
    rig_collect_ack(rig, "C", "1.2.2", "", "r");
    rig_refuse(rig, ERR_FULL);
    rig->holds_commits = false;
    rig_trace(rig);
    rig_run(rig);
    sent("r -\n");
    info("C", "delivered 3/3 floor 0/0 ack 2 redelivered 0 waiting 0 pending 1");

    ConsumerSet *other = rig_other_set(rig);
    rig_replay(rig, other, 0);
    consumer_set_start(other);
    Consumer *consumer = consumer_set_find(other, LIT("C"));
    assert_non_null(consumer);
    assert_int_equal(consumer->delivered.sseq, 3);
    assert_int_equal(consumer_pending_count(consumer), 2);
    assert_null(pending_find(&consumer->acks->pending, 2));
    consumer_set_free(other);
    rig_free(rig);
}

static void what_the_disk_does_not_give_is_delivered_later(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abc");
        create("C", "{\"durable_name\":\"C\",\"ack_policy\":\"explicit\"}");
        rig->msgs.at[1].is_refused = true;
        rig_pull(rig, "C", "in", "3");
        sent("in s.a 1.1.1.2 x\n");
        rig_advance_ms(rig, 500);
        sent("");
        rig->msgs.at[1].is_refused = false;
        rig_advance_ms(rig, 499);
        sent("");
        rig_advance_ms(rig, 1);
        sent("in s.b 1.2.2.1 x\nin s.c 1.3.3.0 x\n");
    }
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

static void a_delay_that_is_over_is_not_waited_for_again_after_a_restart(void **state) {
    (void)state;
    Buf saved = {0};
    rig = rig_new(STORAGE_FILE, RETENTION_LIMITS);
    rig_sub(rig, "in");
    store("ab");
    create("C", "{" EXPLICIT "}");
    rig_pull(rig, "C", "in", "2");
    rig_ack(rig, "C", "1.1.1", "-NAK 300ms", "");
    rig_run(rig);
    rig_advance_ms(rig, 300); /* it waits for a request */
    consumer_set_save(rig->set, &saved);
    ConsumerSet *loaded = rig_other_set(rig);
    assert_int_equal(consumer_set_load(loaded, buf_slice(&saved)), OK);
    consumer_set_start(loaded);
    const Pending *pending = &consumer_set_find(loaded, LIT("C"))->acks->pending;
    assert_int_equal(pending_find(pending, 1)->due_ns, rig->worker.now_ns);
    assert_true(pending_find(pending, 2)->due_ns > rig->worker.now_ns);
    consumer_set_free(loaded);
    buf_done(&saved);
    rig_free(rig);
}

static void progress_restarts_the_deadline_and_backoff_counts(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("a");
        create("C",
               "{\"ack_policy\":\"explicit\",\"backoff\":[200000000,500000000],\"max_deliver\":5}");
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
        sent("! max_deliver "
             "\"stream\":\"S\",\"consumer\":\"C\",\"stream_seq\":1,\"deliveries\":2\n");
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
        sent("! max_deliver "
             "\"stream\":\"S\",\"consumer\":\"C\",\"stream_seq\":3,\"deliveries\":2\nin 404 No "
             "Messages\n");
        info("C", "delivered 5/3 floor 3/2 ack 0 redelivered 1 waiting 0 pending 0");
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
        info("C", "delivered 4/6 floor 4/6 ack 0 redelivered 0 waiting 0 pending 2");
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
        sent("! terminated "
             "\"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":1,\"stream_seq\":1,"
             "\"deliveries\":1,"
             "\"reason\":\"Unacknowledged message was deleted\"\n");
        rig_pull(rig, "C", "in", "{\"no_wait\":true}");
        sent("in 404 No Messages\n");
        rig_ack(rig, "C", "1.2.2", "+TERM some reason", "r");
        sent("! terminated "
             "\"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":2,\"stream_seq\":2,"
             "\"deliveries\":1,"
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
                            "{\"type\":\"t\",\"paused\":true,\"pause_until\":\"2023-11-14T22:13:"
                            "25Z\",\"pause_remaining\":5000000000}");
        sent("! consumer_pause "
             "\"stream\":\"S\",\"consumer\":\"C\",\"paused\":true,\"pause_until\":\"2023-11-14T22:"
             "13:25Z\"\n");
        store("b");
        rig_pull(rig, "C", "in", "{\"no_wait\":true}");
        sent("in 408 Requests Pending\n");
        assert_non_null(strstr(rig_info_json(rig, "C"),
                               "\"paused\":true,\"pause_remaining\":5000000000,\"ts\""));
        rig_advance_ms(rig, 5000); /* the due redelivery waited too */
        sent("! consumer_pause "
             "\"stream\":\"S\",\"consumer\":\"C\",\"paused\":false,\"pause_until\":\"2023-11-14T22:"
             "13:25Z\"\n"
             "in s.a 2.1.2.1 x\nin s.b 1.2.3.0 x\n");
        assert_string_equal(
            rig_pause(rig, "C", TIME_ZERO),
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
        create(
            "T",
            "{\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2036-01-01T00:00:00Z\"}");
        assert_string_equal(rig_reset(rig, "T", 2), "10204 invalid reset: below start time");
        create("L", "{\"deliver_policy\":\"last\"}");
        assert_string_equal(rig_reset(rig, "L", 2), "10204 invalid reset: not allowed");
        assert_string_equal(rig_reset(rig, "ZZ", 2), "silence");
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
        assert_string_equal(rig_create_with(rig, "C", "{}", CONSUMER_UPDATE),
                            "10149 consumer does not exist");
        create("C", "{\"durable_name\":\"C\"," EXPLICIT ",\"deliver_subject\":\"d\"}");
        assert_non_null(strstr(rig_create_with(rig, "C",
                                               "{\"durable_name\":\"C\"," EXPLICIT
                                               ",\"deliver_subject\":\"d\"}",
                                               CONSUMER_CREATE),
                               "stream_name"));
        assert_string_equal(rig_create_with(rig, "C",
                                            "{\"durable_name\":\"C\"," EXPLICIT
                                            ",\"deliver_subject\":\"e\"}",
                                            CONSUMER_CREATE),
                            "10148 consumer already exists");
        rig_sub(rig, "d");
        assert_string_equal(
            rig_create(rig, "C", "{\"durable_name\":\"C\"," EXPLICIT ",\"deliver_subject\":\"e\"}"),
            "10013 consumer name already in use");
        rig_unsub(rig, "d");
        assert_non_null(strstr(
            rig_create(rig, "C", "{\"durable_name\":\"C\"," EXPLICIT ",\"deliver_subject\":\"e\"}"),
            "\"deliver_subject\":\"e\""));
        assert_string_equal(
            rig_create(rig, "C", "{\"ack_policy\":\"none\",\"deliver_subject\":\"e\"}"),
            "10012 ack policy can not be updated");
        create("E", "{}");
        assert_string_equal(rig_create_with(rig, "E", "{}", CONSUMER_CREATE),
                            "10148 consumer already exists");
        /* What became ephemeral by an update has no threshold. */
        create("D", "{\"durable_name\":\"D\"}");
        assert_null(strstr(rig_create(rig, "D", "{}"), "inactive_threshold"));
        assert_non_null(strstr(rig_create_with(rig, "D", "{}", CONSUMER_CREATE), "stream_name"));
        rig_delete_consumer(rig, "D");
        assert_string_equal(rig_create(rig, "C",
                                       "{\"durable_name\":\"C\"," EXPLICIT
                                       ",\"deliver_subject\":\"e\",\"sourcing\":true}"),
                            "10012 sourcing can not be updated");
        create("I", "{\"inactive_threshold\":7000000000}");
        assert_non_null(strstr(
            rig_create_with(rig, "I", "{\"inactive_threshold\":7000000000}", CONSUMER_CREATE),
            "stream_name"));
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
        assert_string_equal(
            rig_create(rig, "C", "{" EXPLICIT "}"),
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

static void creations_wait_only_where_the_verdict_may_change(void **state) {
    (void)state;
    start(STORAGE_FILE, RETENTION_LIMITS);
    rig->config.max_consumers = 3;
    rig->holds_commits = true;
    rig_create(rig, "A", "{\"durable_name\":\"A\"}");
    rig_create(rig, "B", "{\"durable_name\":\"B\"}");
    rig_create(rig, "C", "{\"durable_name\":\"C\"}");
    rig_create(rig, "D", "{\"durable_name\":\"D\"}");
    assert_int_equal(rig->proposals.len, 3);
    rig->holds_commits = false;
    rig_run(rig);
    assert_string_equal(buf_text(&rig->reply), "10026 maximum consumers limit reached");
    assert_int_equal(consumer_set_count(rig->set), 3);
    rig_free(rig);

    start(STORAGE_FILE, RETENTION_WORKQUEUE);
    rig->holds_commits = true;
    rig_create(rig, "A", "{" EXPLICIT ",\"durable_name\":\"A\",\"filter_subject\":\"s.a\"}");
    rig_create(rig, "B", "{" EXPLICIT ",\"durable_name\":\"B\",\"filter_subject\":\"s.b\"}");
    rig_create(rig, "C", "{" EXPLICIT ",\"durable_name\":\"C\",\"filter_subject\":\"s.*\"}");
    rig_create(rig, "D", "{" EXPLICIT ",\"durable_name\":\"D\"}");
    assert_int_equal(rig->proposals.len, 2);
    rig->holds_commits = false;
    rig_run(rig);
    assert_int_equal(consumer_set_count(rig->set), 2);
    create("E", "{" EXPLICIT ",\"durable_name\":\"E\",\"filter_subject\":\"s.c\"}");
    rig_free(rig);
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

/* Pending beside the new filter, among many that are behind: found all the same when it goes. */
static void what_is_pending_beside_the_filters_goes_too(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abcd");
        create("C", "{" EXPLICIT ",\"filter_subject\":\"s.a\"}");
        rig_pull(rig, "C", "in", "1");
        create("D", "{" EXPLICIT ",\"filter_subject\":\"s.c\"}");
        create("E", "{" EXPLICIT ",\"filter_subject\":\"s.d\"}");
        create("F", "{" EXPLICIT ",\"filter_subject\":\"s.>\"}");
        create("C", "{" EXPLICIT ",\"filter_subject\":\"s.b\"}");
        rig_delete(rig, 1, false);
        info("C", "delivered 1/1 floor 1/1 ack 0 redelivered 0 waiting 0 pending 1");
        info("F", "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 3");
        rig_delete(rig, 3, false);
        info("D", "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 0");
        info("E", "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 1");
        info("F", "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 2");
    }
}

static void the_inactive_go(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        create("E", "{}"); /* pull: 5 s and up to 1 s more */
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
    sent("! consumer_ack "
         "\"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":1,\"stream_seq\":1,\"ack_time\":"
         "300000000,\"deliveries\":1\n"
         "! nak "
         "\"stream\":\"S\",\"consumer\":\"C\",\"consumer_seq\":2,\"stream_seq\":2,\"deliveries\":"
         "1\n");
    rig_free(rig);
}

static void the_info_has_the_published_order(void **state) {
    (void)state;
    start(STORAGE_FILE, RETENTION_LIMITS);
    create("ft", "{\"durable_name\":\"ft\",\"ack_policy\":\"explicit\"}");
    assert_string_equal(rig_info_json(rig, "ft"),
                        "{\"stream_name\":\"S\",\"name\":\"ft\",\"created\":\"2023-11-14T22:13:"
                        "20Z\",\"config\":{\"durable_name\":\"ft\",\"name\":\"ft\","
                        "\"deliver_policy\":\"all\",\"ack_policy\":\"explicit\",\"ack_wait\":"
                        "30000000000,\"max_deliver\":-1,\"replay_policy\":\"instant\","
                        "\"max_waiting\":512,\"max_ack_pending\":1000,\"num_replicas\":0,"
                        "\"metadata\":{\"_nats.level\":\"5\",\"_nats.req.level\":\"0\","
                        "\"_nats.ver\":\"2.15.1\"}},\"delivered\":{\"consumer_seq\":0,\"stream_"
                        "seq\":0},\"ack_floor\":{\"consumer_seq\":0,\"stream_seq\":0},"
                        "\"num_ack_pending\":0,\"num_redelivered\":0,\"num_waiting\":0,\"num_"
                        "pending\":0,\"ts\":\"2023-11-14T22:13:20Z\"}");
    rig_free(rig);
}

static void one_filter_shows_as_it_was_given(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        create("A", "{" EXPLICIT ",\"filter_subject\":\"s.a\"}");
        create("B", "{" EXPLICIT ",\"filter_subjects\":[\"s.a\"]}");
        assert_false(
            consumer_whole_config(consumer_set_find(rig->set, LIT("A"))).filters_are_plural);
        assert_true(
            consumer_whole_config(consumer_set_find(rig->set, LIT("B"))).filters_are_plural);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_filter_shows_as_it_was_given),
        cmocka_unit_test(start_positions),
        cmocka_unit_test(floor_of_explicit_acks),
        cmocka_unit_test(floor_ignores_redelivered_copies),
        cmocka_unit_test(ack_all_goes_by_the_consumer_sequence),
        cmocka_unit_test(what_is_answered),
        cmocka_unit_test(acks_count_when_they_are_durable),
        cmocka_unit_test(deliveries_whose_entry_was_refused_are_told_again),
        cmocka_unit_test(
            what_was_collected_before_a_refusal_was_known_stands_behind_what_is_told_again),
        cmocka_unit_test(what_the_disk_does_not_give_is_delivered_later),
        cmocka_unit_test(naks_are_redelivered_in_their_order_before_anything_new),
        cmocka_unit_test(a_delay_that_is_over_is_not_waited_for_again_after_a_restart),
        cmocka_unit_test(progress_restarts_the_deadline_and_backoff_counts),
        cmocka_unit_test(a_message_is_given_up_after_max_deliver),
        cmocka_unit_test(purges_and_deletes_move_the_numbers),
        cmocka_unit_test(a_removed_message_is_not_redelivered_and_its_end_is_told),
        cmocka_unit_test(last_per_subject_then_live),
        cmocka_unit_test(pause_holds_and_resumes),
        cmocka_unit_test(reset_goes_back),
        cmocka_unit_test(interest_streams_drop_what_everybody_has),
        cmocka_unit_test(create_update_and_their_errors),
        cmocka_unit_test(work_queues_want_disjoint_consumers),
        cmocka_unit_test(creations_wait_only_where_the_verdict_may_change),
        cmocka_unit_test(creations_in_flight_do_not_pass_each_other),
        cmocka_unit_test(filter_updates_count_anew),
        cmocka_unit_test(what_is_pending_beside_the_filters_goes_too),
        cmocka_unit_test(the_inactive_go),
        cmocka_unit_test(deletion_is_told_to_who_waits),
        cmocka_unit_test(samples_and_naks_are_told),
        cmocka_unit_test(the_info_has_the_published_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
