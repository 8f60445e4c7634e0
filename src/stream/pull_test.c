/* The rules of pull requests and their groups, one trace per rule. */
#include "stream/consumer_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "io/clock.h"

#include "stream/consumer_script.h"
#include "stream/pull.h"

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
        rig_pull(rig, "C", "in",
                 "{\"batch\":1,\"no_wait\":true}"); /* exactly the batch: no status */
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
        sent("A s.a 1.1.1.0 x\nB s.a 1.2.2.0 x\nC s.a 1.3.3.0 x\nA s.a 1.4.4.0 x\nC s.a 1.5.5.0 "
             "x\nC s.a 1.6.6.0 x\n");
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
        rig_pull(rig, "C", "B",
                 "{\"expires\":3000000000,\"idle_heartbeat\":1000000000}"); /* silence */
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

static void who_waits_hears_that_the_server_stops(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "A");
        rig_sub(rig, "B");
        create("C", "{" EXPLICIT "}");
        create("D", "{" EXPLICIT "}");
        create("P", "{\"deliver_subject\":\"d\"}");
        rig_pull(rig, "C", "A", "3");
        rig_pull(rig, "C", "B", "{\"batch\":2,\"max_bytes\":100}");
        rig_pull(rig, "D", "B", "1");
        pull_end_everywhere(rig->set, LIT("409 Server Shutdown"));
        sent("A 409 Server Shutdown|Nats-Pending-Messages: 3|Nats-Pending-Bytes: 0\n"
             "B 409 Server Shutdown|Nats-Pending-Messages: 2|Nats-Pending-Bytes: 100\n"
             "B 409 Server Shutdown|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0\n");
        info("C", "delivered 0/0 floor 0/0 ack 0 redelivered 0 waiting 0 pending 0");
    }
}

static void pull_bodies_and_refusals(void **state) {
    (void)state;
    static const struct {
        const char *config, *body, *status;
    } cases[] = {
        {"", "{\"batch\":\"x\"}",
         "in 400 Bad Request - json: cannot unmarshal string into Go struct field .batch of type "
         "int\n"},
        {"", "{", "in 400 Bad Request - unexpected end of JSON input\n"},
        {"", "{\"expires\":1000,\"idle_heartbeat\":600}",
         "in 400 Bad Request - heartbeat value too large\n"},
        {"", "{\"idle_heartbeat\":600}", "in 400 Bad Request - heartbeat value too large\n"},
        {"", "{\"priority\":10}", "in 400 Bad Request - Priority must be between 0 and 9\n"},
        {"", "{\"min_pending\":1}", "in 400 Bad Request - Not a Overflow Priority consumer\n"},
        {"", "{\"id\":\"q\"}", "in 400 Bad Request - Not a Pinned Client Priority consumer\n"},
        {"", "{\"expires\":-1}",
         "in 408 Request Timeout|Nats-Pending-Messages: 0|Nats-Pending-Bytes: 0\n"},
        {",\"max_batch\":3", "4", "in 409 Exceeded MaxRequestBatch of 3\n"},
        {",\"max_expires\":500000000", "{\"expires\":500000001}",
         "in 409 Exceeded MaxRequestExpires of 500ms\n"},
        {",\"max_bytes\":200", "{\"max_bytes\":201}",
         "in 409 Exceeded MaxRequestMaxBytes of 200\n"},
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
    static const char *const ones[] = {
        "abc", " ", "-1", "0", "[]", "0x5", "1 ", "99999999999999999999", "{}"};
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
        sent("in 409 Message Size Exceeds MaxBytes|Nats-Pending-Messages: 2|Nats-Pending-Bytes: "
             "42\n");
        rig_pull(rig, "C", "in", "{\"batch\":2,\"max_bytes\":43}"); /* exactly: ends silently */
        sent("in s.a 1.1.1.1 x\n");
        rig_pull(rig, "C", "in", "{\"batch\":1,\"max_bytes\":50}");
        sent("in s.a 1.2.2.0 x\nin 409 Batch Completed|Nats-Pending-Messages: "
             "0|Nats-Pending-Bytes: 7\n");
        info("C", "delivered 2/2 floor 0/0 ack 2 redelivered 0 waiting 0 pending 0");
    }
}

static void idle_heartbeats_of_pull_requests(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        create("C", "{" EXPLICIT "}");
        rig_pull(rig, "C", "in",
                 "{\"batch\":2,\"expires\":350000000,\"idle_heartbeat\":100000000}");
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

static void max_ack_pending_holds_back_new_messages_only(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abcde");
        create("C", "{" EXPLICIT ",\"max_ack_pending\":2}");
        rig_pull(rig, "C", "in", "{\"batch\":9,\"expires\":60000000000}");
        sent("in s.a 1.1.1.4 x\nin s.b 1.2.2.3 x\n");
        rig_pull(rig, "C", "in",
                 "{\"batch\":1,\"no_wait\":true}"); /* others wait for more than there is */
        sent("in 408 Requests Pending\n");
        rig_ack(rig, "C", "1.1.1", "-NAK", "");
        sent("in s.a 2.1.3.3 x\n");
        rig_ack(rig, "C", "1.1.1", "", "");
        sent("in s.c 1.3.4.2 x\n");
        create("C", "{" EXPLICIT ",\"max_ack_pending\":9}"); /* raised: goes on at once */
        sent("in s.d 1.4.5.1 x\nin s.e 1.5.6.0 x\n");
    }
}

static void requests_that_do_not_wait_end_when_what_was_held_up_goes(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "in");
        store("abc");
        create("C", "{" EXPLICIT ",\"max_ack_pending\":1}");
        rig_pull(rig, "C", "in", "{\"batch\":9,\"no_wait\":true,\"expires\":60000000000}");
        sent("in s.a 1.1.1.2 x\n");
        rig_delete(rig, 2, false);
        sent("");
        rig_delete(rig, 3, false);
        sent("in 404 No Messages\n");
        store("de");
        rig_pull(rig, "C", "in", "{\"batch\":9,\"no_wait\":true,\"expires\":60000000000}");
        sent("");
        rig_purge_all(rig);
        rig_run(rig);
        sent("");
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
        assert_non_null(strstr(
            rig_info_json(rig, "C"),
            "\"priority_groups\":[{\"group\":\"j\",\"pinned_ts\":\"0001-01-01T00:00:00Z\"}]}"));
    }
}

static void prioritized_serves_the_lowest_first(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "A");
        rig_sub(rig, "B");
        rig_sub(rig, "D");
        create("C",
               "{" EXPLICIT ",\"priority_groups\":[\"j\"],\"priority_policy\":\"prioritized\"}");
        rig_pull(rig, "C", "A", "{\"group\":\"j\",\"batch\":9,\"priority\":5}");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"batch\":2}");
        rig_pull(rig, "C", "D", "{\"group\":\"j\",\"batch\":1}");
        store("abcde");
        sent("B s.a 1.1.1.0 x\nD s.b 1.2.2.0 x\nB s.c 1.3.3.0 x\nA s.d 1.4.4.0 x\nA s.e 1.5.5.0 "
             "x\n");
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
        create("C", "{\"ack_policy\":\"none\",\"priority_groups\":[\"j\"],\"priority_policy\":"
                    "\"pinned_client\",\"priority_timeout\":1000000000}");
        rig_trace(rig);
        rig_pull(rig, "C", "A", "2"); /* names no group: an empty pin, nobody is pinned */
        store("a");
        sent("A s.a 1.1.1.0 x {Nats-Pin-Id: }\n");
        rig_pull(rig, "C", "A", "{\"group\":\"j\",\"batch\":2}");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"batch\":9}");
        store("bc");
        assert_string_equal(without_pin(rig_trace(rig)),
                            "A s.b 1.2.2.0 x {Nats-Pin-Id: }\n"
                            "! consumer_group_pinned "
                            "\"account\":\"$G\",\"stream\":\"S\",\"consumer\":\"C\",\"group\":"
                            "\"j\",\"pinned_id\":\"PIN\"\n"
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
        sent("! consumer_group_unpinned "
             "\"account\":\"$G\",\"stream\":\"S\",\"consumer\":\"C\",\"group\":\"j\",\"reason\":"
             "\"admin\"\n");
        assert_string_equal(rig_unpin(rig, "C", "zz"),
                            "10160 Provided priority group does not exist for this consumer");
    }
}

static void a_lost_pin_ends_a_request_and_a_timeout_pins_the_next(void **state) {
    (void)state;
    FOR_EACH_STORAGE(RETENTION_LIMITS) {
        rig_sub(rig, "A");
        rig_sub(rig, "B");
        create("C", "{\"ack_policy\":\"none\",\"priority_groups\":[\"j\"],\"priority_policy\":"
                    "\"pinned_client\",\"priority_timeout\":1000000000}");
        rig_pull(rig, "C", "A", "{\"group\":\"j\",\"batch\":5}");
        rig_pull(rig, "C", "B", "{\"group\":\"j\",\"batch\":5}");
        store("a");
        rig_unpin(rig, "C", "j");
        store("b");
        assert_string_equal(without_pin(rig_trace(rig)), "A s.a 1.1.1.0 x {Nats-Pin-Id: PIN}\n"
                                                         "B s.b 1.2.2.0 x {Nats-Pin-Id: PIN}\n");
        store("c");
        rig_unpin(rig, "C", "j");
        store("d"); /* both carry old pins */
        assert_string_equal(
            without_pin(rig_trace(rig)),
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pull_request_gets_what_it_asks_for_and_its_status),
        cmocka_unit_test(a_request_that_does_not_wait_but_expires),
        cmocka_unit_test(requests_are_served_round_robin),
        cmocka_unit_test(a_request_without_interest_is_dropped_when_its_turn_comes),
        cmocka_unit_test(who_waits_hears_that_the_server_stops),
        cmocka_unit_test(pull_bodies_and_refusals),
        cmocka_unit_test(max_bytes_counts_the_whole_message),
        cmocka_unit_test(idle_heartbeats_of_pull_requests),
        cmocka_unit_test(next_acks_and_asks),
        cmocka_unit_test(max_ack_pending_holds_back_new_messages_only),
        cmocka_unit_test(requests_that_do_not_wait_end_when_what_was_held_up_goes),
        cmocka_unit_test(overflow_serves_above_its_thresholds),
        cmocka_unit_test(prioritized_serves_the_lowest_first),
        cmocka_unit_test(a_pinned_client_is_served_alone),
        cmocka_unit_test(a_lost_pin_ends_a_request_and_a_timeout_pins_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
