/* The rules of push consumers and of what is sent, one trace per rule. */
#include "stream/consumer_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "io/clock.h"

#include "stream/consumer_script.h"

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
        create(
            "C",
            "{\"deliver_subject\":\"d\",\"idle_heartbeat\":100000000,\"filter_subject\":\"s.a\"}");
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
    assert_string_equal(without_token(rig_trace(rig)),
                        "d 100 Idle Heartbeat|Nats-Last-Consumer: 5|Nats-Last-Stream: 5|"
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
        create("C",
               "{\"ack_policy\":\"flow_control\",\"deliver_subject\":\"d\",\"max_ack_pending\":3}");
        assert_false(consumer_takes_acks(rig_consumer(rig, "C")));
        for (int i = 0; i < 5; i++)
            rig_store(rig, "s.a", big);
        info("C", "delivered 3/3 floor 0/0 ack 3 redelivered 0 waiting 0 pending 2");
        rig_flow_reply(rig, "C",
                       "NATS/1.0\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n");
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
        sent("in s.a 1.1.1.8 x\nin s.b 1.2.2.7 x\nin s.d 1.4.3.5 x\nin s.e 1.5.4.4 x\nin s.f "
             "1.6.5.3 x\n"
             "in s.g 1.7.6.2 x\nin s.h 1.8.7.1 x\nin s.i 1.9.8.0 x\n");
        info("C", "delivered 8/9 floor 0/0 ack 8 redelivered 0 waiting 1 pending 0");
    }
}

static void many_watchers_share_a_filter_and_take_little_memory(void **state) {
    (void)state;
    start(STORAGE_FILE, RETENTION_LIMITS);
    for (int i = 0; i < 100; i++) {
        char name[16], config[256];
        (void)snprintf(name, sizeof name, "w%03d", i);
        (void)snprintf(config, sizeof config,
                       "{\"deliver_subject\":\"_INBOX.%d\",\"ack_policy\":\"none\",\"max_deliver\":"
                       "1,\"filter_subject\":\"s.>\","
                       "\"deliver_policy\":\"last_per_subject\",\"mem_storage\":true,\"flow_"
                       "control\":true,\"idle_heartbeat\":5000000000}",
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
        cmocka_unit_test(push_starts_with_a_subscription_of_exactly_its_subject),
        cmocka_unit_test(push_heartbeats),
        cmocka_unit_test(flow_control_stops_above_the_window_and_doubles_it),
        cmocka_unit_test(flow_control_answers_acknowledge),
        cmocka_unit_test(a_rate_limit_paces_after_the_burst),
        cmocka_unit_test(replay_keeps_the_gaps),
        cmocka_unit_test(headers_only_tells_the_size_last),
        cmocka_unit_test(a_congested_receiver_is_waited_for),
        cmocka_unit_test(cold_messages_are_fetched_and_damaged_ones_skipped),
        cmocka_unit_test(many_watchers_share_a_filter_and_take_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
