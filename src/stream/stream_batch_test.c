#include "stream/stream_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/clock.h"
#include "stream/stream_fake.h"

#define ATOMIC           "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_atomic\":true}"
#define FAST             "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_batched\":true}"
#define OPEN(batch, seq) "Nats-Batch-Id: " batch "\nNats-Batch-Sequence: " #seq "\n"
#define COMMIT           "Nats-Batch-Commit: 1\n"
#define EOB              "Nats-Batch-Commit: eob\n"

static const char *ask(Stream *stream, const char *headers) {
    return world_request(stream, "s.a", headers, "x");
}

static bool has_error(const char *answer, unsigned code) {
    char text[32];
    snprintf(text, sizeof text, "\"err_code\":%u,", code);
    return strstr(answer, text) != NULL;
}

static void a_batch_is_stored_when_it_is_committed(void **state) {
    (void)state;
    Stream *stream = world_stream(ATOMIC);
    assert_string_equal(ask(stream, OPEN("b", 1)), "");
    assert_string_equal(ask(stream, NULL), "{\"stream\":\"S\",\"seq\":1}");
    assert_string_equal(ask(stream, OPEN("b", 2)), "");
    assert_int_equal(stream->state.messages, 1);
    assert_string_equal(ask(stream, OPEN("b", 3) COMMIT),
                        "{\"stream\":\"S\",\"seq\":4,\"batch\":\"b\",\"count\":3}");
    assert_int_equal(stream->state.messages, 4);
    assert_int_equal(batch_counts_add(world.js.batch_counts, BATCHES_OPEN, 0), 0);
    assert_int_equal(batch_counts_add(world.js.batch_counts, BATCHES_OPEN_BYTES, 0), 0);

    StoredMsg msg;
    assert_int_equal(stream_read(stream, 3, &msg), OK);
    assert_true(slice_equal(msg.headers,
                            LIT("NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 2\r\n\r\n")));
    stored_msg_done(&msg);
    stream_free(stream);
}

static void an_end_marks_the_message_before_it(void **state) {
    (void)state;
    Stream *stream = world_stream(ATOMIC);
    ask(stream, OPEN("b", 1));
    assert_string_equal(ask(stream, OPEN("b", 2) EOB),
                        "{\"stream\":\"S\",\"seq\":1,\"batch\":\"b\",\"count\":1}");
    StoredMsg msg;
    assert_int_equal(stream_read(stream, 1, &msg), OK);
    assert_true(slice_equal(msg.headers, LIT("NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: "
                                             "1\r\nNats-Batch-Commit: 1\r\n\r\n")));
    stored_msg_done(&msg);
    stream_free(stream);
}

static void what_breaks_a_batch_at_once_drops_it(void **state) {
    (void)state;
    static const struct {
        const char *headers;
        unsigned code;
        const char *reason;
    } cases[] = {
        {OPEN("b", 3), 10176, "incomplete"},
        {OPEN("b", 1), 10176, "incomplete"},
        {OPEN("b", 2) "Nats-Batch-Commit: x\n", 10200, NULL},
        {OPEN("b", 2) "Nats-Required-Api-Level: 9\n", 10185, "unsupported"},
    };
    Stream *stream = world_stream(ATOMIC);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(stream, OPEN("b", 1));
        assert_true(has_error(ask(stream, cases[i].headers), cases[i].code));
        const char *told = world_api_text();
        assert_true(cases[i].reason ? strstr(told, cases[i].reason) != NULL : !*told);
        assert_true(has_error(ask(stream, OPEN("b", 2)), 10176));
    }
    assert_int_equal(world.entry_count, 0);
    stream_free(stream);
}

static void a_member_that_is_refused_refuses_all(void **state) {
    (void)state;
    static const struct {
        const char *first, *second;
        unsigned code;
    } cases[] = {
        {"", "Nats-Expected-Stream: T\n", 10060},
        {"", "Nats-TTL: 5\n", 10166},
        {"", "Nats-Expected-Last-Msg-Id: x\n", 10177},
        {"Nats-Msg-Id: 1\n", "Nats-Msg-Id: 1\n", 10201},
        {"", "Nats-Msg-Id: known\n", 10201},
        {"Nats-Expected-Last-Sequence: 2\n", "", 10071},
        {"", "Nats-Expected-Last-Sequence: 2\n", 10164},
        {"", "Nats-Expected-Last-Sequence: 9\n", 10071},
        {"Nats-Expected-Last-Subject-Sequence: 9\n", "", 10071},
        {"", "Nats-Expected-Last-Subject-Sequence: 1\n", 10164},
        {"", "Nats-Rollup: sub\n", 10111},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        char first[256], second[256];
        bool is_late = i & 1; /* something is in flight: apply decides */
        Stream *stream = world_stream(ATOMIC);
        ask(stream, "Nats-Msg-Id: known\n");
        snprintf(first, sizeof first, OPEN("b", 1) "%s", cases[i / 2].first);
        snprintf(second, sizeof second, OPEN("b", 2) COMMIT "%s", cases[i / 2].second);
        ask(stream, first);
        stream->group.in_flight += is_late;
        const char *answer = ask(stream, second);
        stream->group.in_flight -= is_late;
        if (!has_error(answer, cases[i / 2].code))
            fail_msg("%s: %s", cases[i / 2].second, answer);
        assert_int_equal(stream->state.messages, 1);
        stream_free(stream);
    }
}

static void a_batch_of_which_an_entry_is_lost_never_was(void **state) {
    (void)state;
    Stream *stream = world_stream(ATOMIC);
    ask(stream, NULL);
    ask(stream, OPEN("b", 1));
    ask(stream, OPEN("b", 2));
    ask(stream, OPEN("b", 3) COMMIT);
    ask(stream, NULL);
    ask(stream, OPEN("c", 1));
    ask(stream, OPEN("c", 2) EOB);
    static const uint64_t want[] = {0, 1, 4, 5, 6};
    assert_int_equal(world.entry_count, 4);
    for (size_t keep = 0; keep <= 4; keep++) {
        Stream *again = stream_new(&world.js, stream->account, 7, world_config(ATOMIC), 1);
        for (size_t i = 0; i < keep; i++)
            stream_group_ops.apply(&again->group, &world.entries[i].record, world.entries[i].place,
                                   world.entries[i].bytes, NULL);
        assert_int_equal(again->state.messages, want[keep]);
        assert_int_equal(again->state.last_seq, want[keep]);
        stream_free(again);
    }
    stream_free(stream);
}

static void members_are_placed_after_a_checkpoint(void **state) {
    (void)state;
    Buf saved = {0};
    Stream *stream = world_stream(ATOMIC);
    for (int i = 0; i < 3; i++) {
        ask(stream, OPEN("b", 1));
        world_request(stream, "s.b", OPEN("b", 2) COMMIT, "payload");
    }
    stream_save(&stream->group, &saved);
    Stream *again = stream_new(&world.js, stream->account, 8, world_config(ATOMIC), 1);
    again->group.id = 7;
    assert_int_equal(stream_load(&again->group, buf_slice(&saved)), OK);
    for (size_t i = 0; i < world.entry_count; i++)
        stream_place(&again->group, &world.entries[i].record, world.entries[i].place);
    assert_int_equal(again->parts->unseen, 0);
    assert_int_equal(again->state.bytes, stream->state.bytes);
    for (uint64_t seq = 1; seq <= 6; seq++) {
        StoredMsg one, two;
        assert_int_equal(stream_read(stream, seq, &one), OK);
        assert_int_equal(stream_read(again, seq, &two), OK);
        assert_true(slice_equal(one.headers, two.headers) && slice_equal(one.payload, two.payload));
        stored_msg_done(&one);
        stored_msg_done(&two);
    }
    again->group.id = 8;
    stream_free(again);
    stream_free(stream);
    buf_done(&saved);
}

static void a_batch_that_the_disk_refuses_is_refused_whole(void **state) {
    (void)state;
    Stream *stream = world_stream(ATOMIC);
    ask(stream, OPEN("b", 1));
    world_publish(stream, "s.a", OPEN("b", 2) COMMIT, LIT("x"), "reply");
    world_refuse(stream, ERR_FULL);
    assert_true(has_error(world.sent[world.sent_count - 1].payload, 10047));
    assert_int_equal(stream->state.last_seq, 0);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    assert_true(has_error(ask(stream, OPEN("b", 3)), 10176));
    stream_free(stream);
}

static void a_silent_batch_times_out(void **state) {
    (void)state;
    Stream *stream = world_stream(ATOMIC);
    ask(stream, OPEN("b", 1));
    world.wall_ns += 9 * (int64_t)NS_PER_S;
    ask(stream, OPEN("b", 2));
    world.wall_ns += 9 * (int64_t)NS_PER_S;
    world_fire(stream);
    assert_string_equal(ask(stream, OPEN("b", 3)), "");
    world.wall_ns += 11 * (int64_t)NS_PER_S;
    world_fire(stream);
    assert_non_null(strstr(world_api_text(), "\"reason\":\"timeout\""));
    assert_true(has_error(ask(stream, OPEN("b", 4)), 10176));
    stream_free(stream);
}

static void open_batches_are_bounded(void **state) {
    (void)state;
    world.options.batch = (BatchLimits){.max_inflight_per_stream = 2, .max_msgs = 2};
    Stream *stream = world_stream(ATOMIC);
    ask(stream, OPEN("a", 1));
    ask(stream, OPEN("b", 1));
    assert_true(has_error(ask(stream, OPEN("c", 1)), 10210));
    ask(stream, OPEN("a", 2));
    assert_true(has_error(ask(stream, OPEN("a", 3)), 10199));
    assert_string_equal(ask(stream, OPEN("c", 1)), "");
    stream_free(stream);
    assert_int_equal(batch_counts_add(world.js.batch_counts, BATCHES_OPEN, 0), 0);
    assert_int_equal(batch_counts_add(world.js.batch_counts, BATCHES_OPEN_BYTES, 0), 0);
}

static const char *fast(Stream *stream, const char *reply, const char *headers) {
    size_t before = world.sent_count;
    static char all[2048];
    all[0] = 0;
    world_publish(stream, "s.a", headers, LIT("x"), reply);
    world_flush(stream);
    for (size_t i = before; i < world.sent_count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > before ? " " : "",
                 world.sent[i].payload);
    return all;
}

static void a_fast_batch_is_acked_as_its_reply_says(void **state) {
    (void)state;
    Stream *stream = world_stream(FAST);
    assert_string_equal(fast(stream, "i.b.3.fail.1.0.$FI", NULL),
                        "{\"type\":\"ack\",\"seq\":0,\"msgs\":3}");
    assert_string_equal(fast(stream, "i.b.3.fail.2.1.$FI", NULL), "");
    assert_string_equal(fast(stream, "i.b.3.fail.3.1.$FI", NULL),
                        "{\"type\":\"ack\",\"seq\":3,\"msgs\":3}");
    assert_string_equal(fast(stream, "i.b.3.fail.3.4.$FI", NULL),
                        "{\"type\":\"ack\",\"seq\":3,\"msgs\":3}");
    assert_string_equal(fast(stream, "i.b.3.fail.4.2.$FI", NULL),
                        "{\"stream\":\"S\",\"seq\":4,\"batch\":\"b\",\"count\":4}");
    assert_true(has_error(fast(stream, "i.b.3.fail.5.1.$FI", NULL), 10208));
    assert_true(has_error(fast(stream, "i.b.3.fail.2.0.$FI", NULL), 10206));
    assert_true(has_error(fast(stream, "x.$FI", NULL), 10206));
    stream_free(stream);
    assert_int_equal(batch_counts_add(world.js.batch_counts, BATCHES_FAST, 0), 0);
}

static void a_gap_ends_a_fast_batch_that_does_not_go_on(void **state) {
    (void)state;
    Stream *stream = world_stream(FAST);
    fast(stream, "i.b.9.ok.1.0.$FI", NULL);
    assert_string_equal(fast(stream, "i.b.9.ok.3.1.$FI", NULL),
                        "{\"type\":\"gap\",\"last_seq\":2,\"seq\":3}");
    fast(stream, "i.c.9.fail.1.0.$FI", NULL);
    assert_string_equal(fast(stream, "i.c.9.fail.3.1.$FI", NULL),
                        "{\"type\":\"gap\",\"last_seq\":2,\"seq\":3} "
                        "{\"stream\":\"S\",\"seq\":3,\"batch\":\"c\",\"count\":1}");
    assert_true(has_error(fast(stream, "i.c.9.fail.2.1.$FI", NULL), 10208));
    assert_int_equal(stream->state.last_seq, 3);
    stream_free(stream); /* with b open */
    assert_int_equal(batch_counts_add(world.js.batch_counts, BATCHES_FAST, 0), 0);
}

static void answers_of_a_fast_batch_wait_for_the_messages_before(void **state) {
    (void)state;
    Stream *stream = world_stream(FAST);
    world_publish(stream, "s.a", NULL, LIT("x"), "i.b.9.fail.1.0.$FI");
    world_publish(stream, "s.a", NULL, LIT("x"), "i.b.9.fail.3.1.$FI");
    assert_int_equal(world.sent_count, 0);
    world_flush(stream);
    assert_int_equal(world.sent_count, 3);
    assert_string_equal(world.sent[2].payload,
                        "{\"stream\":\"S\",\"seq\":1,\"batch\":\"b\",\"count\":1}");
    stream_free(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
        TEST(a_batch_is_stored_when_it_is_committed),
        TEST(an_end_marks_the_message_before_it),
        TEST(what_breaks_a_batch_at_once_drops_it),
        TEST(a_member_that_is_refused_refuses_all),
        TEST(a_batch_of_which_an_entry_is_lost_never_was),
        TEST(members_are_placed_after_a_checkpoint),
        TEST(a_batch_that_the_disk_refuses_is_refused_whole),
        TEST(a_silent_batch_times_out),
        TEST(open_batches_are_bounded),
        TEST(a_fast_batch_is_acked_as_its_reply_says),
        TEST(a_gap_ends_a_fast_batch_that_does_not_go_on),
        TEST(answers_of_a_fast_batch_wait_for_the_messages_before),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
