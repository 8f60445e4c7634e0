#include "stream/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "bus/trace.h"
#include "io/clock.h"
#include "stream/packed.h"
#include "stream/stream_fake.h"

static const Filters everything = {0};

/* One message, headers (each line ends in \n, or NULL), payload, and the answer. */
typedef struct Step {
    const char *subject, *headers, *payload, *answer;
} Step;

static void run_steps(const char *json, const Step *steps, size_t count) {
    Stream *stream = world_stream(json);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(
            world_request(stream, steps[i].subject, steps[i].headers, steps[i].payload),
            steps[i].answer);
    stream_free(stream);
}

#define RUN(json, steps) run_steps(json, steps, sizeof(steps) / sizeof(steps)[0])
#define OK_ACK(seq)      "{\"stream\":\"S\",\"seq\":" #seq "}"
#define DUP_ACK(seq)     "{\"stream\":\"S\",\"seq\":" #seq ",\"duplicate\": true}"
#define ERR(http, code, text)                                                                      \
    "{\"error\":{\"code\":" #http ",\"err_code\":" #code ",\"description\":\"" text                \
    "\"},\"stream\":\"S\",\"seq\":0}"
#define WRONG(last) ERR(400, 10071, "wrong last sequence: " #last)

#define PLAIN "{\"name\":\"S\",\"subjects\":[\"s.>\"]}"

static void a_header_that_asks_for_what_is_not_so_is_refused(void **state) {
    (void)state;
    static const Step steps[] = {
        {"s.a", "Nats-Expected-Stream: T\n", "x",
         ERR(400, 10060, "expected stream does not match")},
        {"s.a", "Nats-Expected-Last-Sequence: 1\n", "x", WRONG(0)},
        {"s.a", "Nats-Expected-Last-Sequence: 0\n", "x", OK_ACK(1)},
        {"s.a", "Nats-Expected-Last-Sequence: 01\n", "x", OK_ACK(2)},
        {"s.a", "Nats-Expected-Last-Sequence: x\n", "x", WRONG(2)},
        {"s.a", "Nats-Expected-Last-Sequence: -1\n", "x", WRONG(2)},
        {"s.a", "Nats-Expected-Last-Sequence: \n", "x", OK_ACK(3)},
        {"s.a", "Nats-Expected-Last-Subject-Sequence: 0\n", "x", WRONG(3)},
        {"s.b", "Nats-Expected-Last-Subject-Sequence: 0\n", "x", OK_ACK(4)},
        {"s.b", "Nats-Expected-Last-Subject-Sequence: 4\n", "x", OK_ACK(5)},
        {"s.b", "Nats-Expected-Last-Subject-Sequence: zz\n", "x", WRONG(5)},
        {"s.c",
         "Nats-Expected-Last-Subject-Sequence: 5\nNats-Expected-Last-Subject-Sequence-Subject: "
         "s.*\n",
         "x", OK_ACK(6)},
        {"s.c",
         "Nats-Expected-Last-Subject-Sequence: 0\nNats-Expected-Last-Subject-Sequence-Subject: "
         "a..b\n",
         "x", OK_ACK(7)},
        {"s.c", "Nats-Expected-Last-Subject-Sequence-Subject: s.b\n", "x",
         ERR(400, 10193, "missing sequence for expected last sequence per subject")},
        {"s.a", "Nats-Msg-Id: 1\n", "x", OK_ACK(8)},
        {"s.b", "Nats-Msg-Id: 1\n", "x", DUP_ACK(8)},
        {"s.b", "Nats-Msg-Id: 1\nNats-Expected-Last-Msg-Id: 5\n", "x", DUP_ACK(8)},
        {"s.b", "Nats-Msg-Id: 1\nNats-Expected-Last-Sequence: 5\n", "x", WRONG(8)},
        {"s.a", "Nats-Expected-Last-Msg-Id: 2\n", "x", ERR(400, 10070, "wrong last msg ID: 1")},
        {"s.a", "Nats-Expected-Last-Msg-Id: 1\n", "x", OK_ACK(9)},
        {"s.a", "Nats-Expected-Last-Msg-Id: 1\n", "x", ERR(400, 10070, "wrong last msg ID: ")},
        {"s.a", "nats-msg-id: 1\n", "x", OK_ACK(10)},
        {"s.a", "Nats-Expected-Stream: \nNats-Expected-Stream: T\n", "x", OK_ACK(11)},
        {"s.a", "Nats-Rollup: sub\n", "x", ERR(500, 10111, "rollup not permitted")},
        {"s.a", "Nats-Incr: 1\nNats-Expected-Stream: T\n", "x",
         ERR(400, 10168, "message counters is disabled")},
        {"s.a", "Nats-Batch-Id: 1\nNats-Incr: 1\n", "x",
         ERR(400, 10174, "atomic publish is disabled")},
        {"s.a", "Nats-Schedule: @at x\n", "x", ERR(400, 10188, "message schedules is disabled")},
        {"s.a", "Nats-Scheduler: s.b\n", "x",
         ERR(400, 10212, "message schedules invalid scheduler")},
        {"s.a", "Nats-Schedule-Next: purge\n", "x",
         ERR(400, 10212, "message schedules invalid scheduler")},
        {"s.a", "Nats-Scheduler: s.b\nNats-Schedule-Next: purge\n", "x",
         ERR(400, 10188, "message schedules is disabled")},
        {"s.a", "Nats-Stream-Source: s\n", "x",
         ERR(400, 10227, "message stream source header is not allowed")},
        {"s.a", "Nats-TTL: 5\n", "x", ERR(400, 10166, "per-message TTL is disabled")},
        {"s.a", "Nats-TTL: 0\n", "x", ERR(400, 10165, "invalid per-message TTL")},
        {"s.a", "Nats-TTL: 0\nNats-Expected-Last-Sequence: 99\n", "x", WRONG(11)},
        {"s.a", "Nats-TTL: 5\nNats-Expected-Last-Sequence: 99\n", "x",
         ERR(400, 10166, "per-message TTL is disabled")},
    };
    RUN(PLAIN, steps);
}

static void a_ttl_is_seconds_or_a_duration_of_a_second_or_more(void **state) {
    (void)state;
    static const char *const good[] = {
        "1", "1500ms", "1m30s", "5.5s", "never", "NEVER", "9223372036854775807"};
    static const char *const bad[] = {"0",     "0s", "-1",  "+5", "0.5",
                                      "500ms", "1d", "1e3", "x",  "9223372036854775808"};
    Stream *stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_msg_ttl\":true}");
    char headers[128];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(headers, sizeof headers, "Nats-TTL: %s\n", good[i]);
        assert_non_null(strstr(world_request(stream, "s.a", headers, "x"), "\"seq\":"));
        assert_int_equal(stream->state.last_seq, i + 1);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(headers, sizeof headers, "Nats-TTL: %s\n", bad[i]);
        assert_string_equal(world_request(stream, "s.a", headers, "x"),
                            ERR(400, 10165, "invalid per-message TTL"));
    }
    stream_free(stream);
}

static void a_rollup_takes_what_came_before(void **state) {
    (void)state;
    static const Step steps[] = {
        {"s.a", NULL, "x", OK_ACK(1)},
        {"s.b", NULL, "x", OK_ACK(2)},
        {"s.a", "Nats-Rollup: \"<\n", "x",
         ERR(500, 10111, "rollup value invalid: \\\"\\\\\\\"\\u003c\\\"")},
        {"s.a", "Nats-Rollup: Sub\n", "x", OK_ACK(3)},
        {"s.c",
         "Nats-Expected-Last-Subject-Sequence: 3\nNats-Expected-Last-Subject-Sequence-Subject: "
         "s.a\n",
         "x", OK_ACK(4)},
    };
    Stream *stream =
        world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_rollup_hdrs\":true}");
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        assert_string_equal(
            world_request(stream, steps[i].subject, steps[i].headers, steps[i].payload),
            steps[i].answer);
    assert_int_equal(stream->state.messages, 3);
    assert_int_equal(stream->state.first_seq, 2);
    assert_string_equal(world_request(stream, "s.z", "Nats-Rollup: all\n", ""), OK_ACK(5));
    assert_int_equal(stream->state.messages, 1);
    assert_int_equal(stream->state.first_seq, 5);
    assert_int_equal(stream->state.bytes, 22 + 3 + 4 + 12 + 18 + 8);
    stream_free(stream);
}

static void discard_new_refuses_at_the_limits(void **state) {
    (void)state;
    static const Step per_subject[] = {
        {"s.a", NULL, "x", OK_ACK(1)},
        {"s.a", NULL, "x", ERR(503, 10077, "maximum messages per subject exceeded")},
        {"s.b", NULL, "x", OK_ACK(2)},
        {"s.c", NULL, "x", ERR(503, 10077, "maximum messages exceeded")},
        {"s.a", NULL, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         ERR(503, 10077, "maximum messages per subject exceeded")},
    };
    RUN("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"discard\":\"new\",\"max_msgs\":2,\"max_msgs_per_"
        "subject\":1,"
        "\"discard_new_per_subject\":true,\"max_bytes\":100}",
        per_subject);
    /* A key-value bucket: a full subject is pushed out even when max_msgs is reached, but not past
     * max_bytes. */
    static const Step bucket[] = {
        {"s.a", NULL, "x", OK_ACK(1)},
        {"s.b", NULL, "x", OK_ACK(2)},
        {"s.c", NULL, "x", ERR(503, 10077, "maximum messages exceeded")},
        {"s.a", NULL, "x", OK_ACK(3)},
        {"s.a", NULL, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         ERR(503, 10077, "maximum bytes exceeded")},
    };
    RUN("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"discard\":\"new\",\"max_msgs\":2,\"max_msgs_per_"
        "subject\":1,"
        "\"max_bytes\":120}",
        bucket);
}

static void discard_old_acks_and_evicts(void **state) {
    (void)state;
    Stream *stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_bytes\":60}");
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), OK_ACK(1));
    assert_string_equal(
        world_request(stream, "s.a", NULL, "0123456789012345678901234567890123456789"), OK_ACK(2));
    assert_int_equal(stream->state.messages, 0);
    assert_int_equal(stream->state.first_seq, 3);
    assert_int_equal(stream->state.last_seq, 2);
    assert_int_equal(stream->state.first_time_ns, TIME_ZERO);
    assert_true(stream->state.last_time_ns != TIME_ZERO);
    assert_int_equal(world.stored_count, 1);
    stream_free(stream);
}

static void sizes_are_checked_before_anything_else(void **state) {
    (void)state;
    static const Step steps[] = {
        {"s.a", NULL, "0123456789a", ERR(400, 10054, "message size exceeds maximum allowed")},
        {"s.a", "Nats-Batch-Id: 1\n", "x", ERR(400, 10054, "message size exceeds maximum allowed")},
        {"s.a", NULL, "0123456789", OK_ACK(1)},
    };
    RUN("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_msg_size\":10}", steps);

    Stream *stream = world_stream(PLAIN);
    char *headers = mem_alloc(66010);
    memset(headers, 'v', 66009);
    memcpy(headers, "K: ", 3);
    memcpy(headers + 66008, "\n", 2);
    assert_string_equal(world_request(stream, "s.a", headers, "x"),
                        ERR(400, 10097, "header size exceeds maximum allowed of 64k"));
    mem_free(headers);
    stream_free(stream);
    char *big = mem_zalloc(STREAM_MESSAGE_BYTES_MAX);
    stream = world_stream(PLAIN);
    world_publish(stream, "s.a", NULL, slice_from(big, STREAM_MESSAGE_BYTES_MAX), "reply");
    assert_string_equal(world.sent[world.sent_count - 1].payload,
                        ERR(503, 10077, "message too large"));
    mem_free(big);
    stream_free(stream);
}

static void a_no_ack_stream_says_nothing(void **state) {
    (void)state;
    Stream *stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"no_ack\":true}");
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), "");
    assert_string_equal(world_request(stream, "s.a", "Nats-Expected-Stream: T\n", "x"), "");
    assert_int_equal(stream->state.messages, 1);
    stream_free(stream);
}

static bool wants_nothing(Slice subject) {
    (void)subject;
    return false;
}

static bool needs_even(uint64_t seq) {
    return seq % 2 == 0;
}

static void interest_without_consumers_takes_a_sequence_and_acks(void **state) {
    (void)state;
    static const Step steps[] = {
        {"s.a", "Nats-Msg-Id: 5\n", "x", OK_ACK(1)},
        {"s.a", "Nats-Msg-Id: 5\n", "x", DUP_ACK(1)},
        {"s.a", "Nats-Expected-Last-Msg-Id: 5\n", "x", OK_ACK(2)},
        {"s.a", "Nats-TTL: 0\n", "x", OK_ACK(3)},
    };
    world.wants = wants_nothing;
    Stream *stream =
        world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"retention\":\"interest\"}");
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        assert_string_equal(
            world_request(stream, steps[i].subject, steps[i].headers, steps[i].payload),
            steps[i].answer);
    assert_int_equal(stream->state.messages, 0);
    assert_int_equal(stream->state.first_seq, 4);
    assert_int_equal(stream->state.last_seq, 3);
    stream_free(stream);
}

static void what_nobody_needs_goes(void **state) {
    (void)state;
    Stream *stream =
        world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"retention\":\"interest\"}");
    for (int i = 0; i < 6; i++)
        world_request(stream, "s.a", NULL, "x");
    world.needs = needs_even;
    stream_on_consumed(stream, NULL, 3);
    stream_on_consumed(stream, NULL, 4);
    assert_int_equal(stream->state.messages, 5);
    stream_on_consumer_gone(stream, &(Filters){0}, 1);
    assert_int_equal(stream->state.messages, 3);
    assert_int_equal(stream->state.first_seq, 2);
    stream_free(stream);
}

static void headers_are_stored_as_they_should_be(void **state) {
    (void)state;
    StoredMsg msg;
    Stream *stream = world_stream(
        "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"subject_delete_marker_ttl\":10000000000}");
    world_request(stream, "s.a", "A: b\nNats-TTL: 2\nNats-Request-Info: x\nC: d\n", "x");
    assert_int_equal(stream_read(stream, 1, &msg), OK);
    assert_true(slice_equal(msg.headers, LIT("NATS/1.0\r\nA: b\r\nNats-TTL: 10\r\nC: d\r\n\r\n")));
    stored_msg_done(&msg);

    Message message = {.subject = LIT("s.b"),
                       .headers = LIT("NATS/1.0 404 Foo\r\nA: b\r\n\r\n"),
                       .payload = LIT("x")};
    stream_on_publish(&stream->parts->port, NULL, &message);
    world_flush(stream);
    assert_int_equal(stream_read(stream, 2, &msg), OK);
    assert_true(slice_equal(msg.headers, LIT("NATS/1.0\r\nA: b\r\n\r\n")));
    stored_msg_done(&msg);
    stream_free(stream);
}

static void subjects_are_transformed_and_messages_republished(void **state) {
    (void)state;
    Stream *stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"subject_transform\":{"
                                  "\"src\":\"s.*\",\"dest\":\"t.$1\"},"
                                  "\"republish\":{\"src\":\"t.>\",\"dest\":\"r.>\"}}");
    world.wall_ns = 1700000000ll * NS_PER_S + 5;
    world_request(stream, "s.a", NULL, "one");
    assert_string_equal(world_request(stream, "s.a", "A: b\n", "two"), OK_ACK(2));
    assert_int_equal(world.sent_count, 4);
    assert_string_equal(world.sent[0].to, "r.a"); /* before the ack */
    assert_string_equal(
        world.sent[0].headers,
        "NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: t.a\r\nNats-Sequence: 1\r\n"
        "Nats-Time-Stamp: 2023-11-14T22:13:20.000000005Z\r\nNats-Last-Sequence: 0\r\n\r\n");
    assert_string_equal(world.sent[0].payload, "one");
    assert_string_equal(
        world.sent[2].headers,
        "NATS/1.0\r\nA: b\r\nNats-Stream: S\r\nNats-Subject: t.a\r\nNats-Sequence: 2\r\n"
        "Nats-Time-Stamp: 2023-11-14T22:13:20.000000005Z\r\nNats-Last-Sequence: 1\r\n\r\n");
    stream_free(stream);

    stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"republish\":{\"src\":\"s.a\","
                          "\"dest\":\"r\",\"headers_only\":true}}");
    world_request(stream, "s.a", NULL, "one");
    world_request(stream, "s.b", NULL, "one");
    assert_int_equal(world.sent_count, 7);
    assert_string_equal(world.sent[4].payload, "");
    assert_non_null(
        strstr(world.sent[4].headers, "Nats-Last-Sequence: 0\r\nNats-Msg-Size: 3\r\n\r\n"));
    stream_free(stream);
}

static void messages_expire_by_age_and_ttl(void **state) {
    (void)state;
    Stream *stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_age\":5000000000,"
                                  "\"duplicate_window\":1000000000,\"allow_msg_ttl\":true}");
    world_request(stream, "s.a", "Nats-TTL: 2\nNats-Msg-Id: 1\n", "x");
    world_request(stream, "s.b", "Nats-TTL: never\n", "x");
    world_request(stream, "s.c", "Nats-TTL: 60\n", "x");
    world_request(stream, "s.d", NULL, "x");
    assert_string_equal(world_request(stream, "s.a", "Nats-Msg-Id: 1\n", "x"), DUP_ACK(1));
    world.wall_ns += 1900ll * NS_PER_MS;
    world_fire(stream);
    assert_int_equal(stream->state.messages, 4);
    world.wall_ns += 200ll * NS_PER_MS;
    world_fire(stream);
    assert_int_equal(stream->state.messages, 3);
    assert_int_equal(stream->state.first_seq, 2);
    world.wall_ns += 4000ll * NS_PER_MS;
    world_fire(stream);
    assert_int_equal(stream->state.messages, 1); /* the shorter of both wins; never outlives */
    assert_string_equal(world_request(stream, "s.a", "Nats-Msg-Id: 1\n", "x"), OK_ACK(5));
    stream_free(stream);
}

static void an_expired_subject_leaves_a_marker(void **state) {
    (void)state;
    StoredMsg msg;
    Stream *stream =
        world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"subject_delete_marker_ttl\":"
                     "5000000000,\"max_age\":2000000000,\"duplicate_window\":1000000000}");
    world_request(stream, "s.a", NULL, "x");
    world_request(stream, "s.a", "KV-Operation: DEL\n", "x");
    world_request(stream, "s.b", "KV-Operation: PURGE\n", "x");
    world.wall_ns += 2500ll * NS_PER_MS;
    world_fire(stream);
    assert_int_equal(stream->state.messages, 1);
    assert_int_equal(stream->state.last_seq, 4);
    assert_int_equal(stream_read(stream, 4, &msg), OK);
    assert_true(slice_equal(msg.subject, LIT("s.a")));
    assert_true(slice_equal(
        msg.headers,
        LIT("NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 5s\r\nNats-Rollup: sub\r\n\r\n")));
    assert_int_equal(msg.payload.len, 0);
    stored_msg_done(&msg);
    assert_int_equal(world.stored_count, 4);
    assert_string_equal(
        world_request(stream, "s.a", "Nats-Expected-Last-Subject-Sequence: 0\n", "x"), WRONG(4));
    world.wall_ns += 2500ll * NS_PER_MS; /* max_age is shorter than its TTL; no further marker */
    world_fire(stream);
    assert_int_equal(stream->state.messages, 0);
    assert_int_equal(stream->state.last_seq, 4);
    stream_free(stream);
}

static void delete_answers_what_became_of_it(void **state) {
    (void)state;
    static const struct {
        uint64_t seq;
        const char *answer;
    } cases[] = {
        {2, "success\n"},
        {2, "400 10043 sequence 2 not found\n"},
        {0, "500 10057 no message found\n"},
        {9, "500 10057 stream store EOF\n"},
        {1, "success\n"},
        {1, "500 10057 no message found\n"},
    };
    Stream *stream = world_stream(PLAIN);
    for (int i = 0; i < 5; i++)
        world_request(stream, "s.a", NULL, "x");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        stream_propose_delete(stream, cases[i].seq, true, world_call());
        world_flush(stream);
        assert_string_equal(world_api_text(), cases[i].answer);
    }
    assert_int_equal(stream->state.first_seq, 3);
    stream_free(stream);
}

static void delete_in_memory_does_not_tell_where_a_message_would_be(void **state) {
    (void)state;
    Stream *stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"storage\":\"memory\"}");
    world_request(stream, "s.a", NULL, "x");
    stream_propose_delete(stream, 9, true, world_call());
    world_flush(stream);
    assert_string_equal(world_api_text(), "400 10043 sequence 9 not found\n");
    stream_propose_delete(stream, 0, true, world_call());
    world_flush(stream);
    assert_string_equal(world_api_text(), "400 10043 sequence 0 not found\n");
    stream_free(stream);
}

static void entries_lost_by_the_disk_take_their_sequences(void **state) {
    (void)state;
    Stream *stream =
        world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_msgs_per_subject\":1}");
    world_request(stream, "s.a", NULL, "old");
    Record lost = {.type = RECORD_PUBLISH, .subject = LIT("s.a"), .payload = LIT("new")};
    const Record kinds[] = {
        lost,                            /* 2: pushes the older one out */
        {.type = (RecordType)0},         /* 3: nothing is known but that it was there */
        {.type = RECORD_CONSUMER_STATE}, /* no message */
        {.type = RECORD_PUBLISH, .subject = LIT("s.other")}, /* 4: a subject that is not believed */
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        stream_lost(&stream->group, &kinds[i], 4096);
    assert_int_equal(stream->state.last_seq, 4);
    assert_int_equal(stream->state.damaged, 3);
    assert_int_equal(stream->state.messages, 3);
    assert_int_equal(stream->state.num_subjects, 1);
    StoredMsg msg;
    assert_int_equal(stream_read(stream, 1, &msg), ERR_NOT_FOUND);
    for (uint64_t seq = 2; seq <= 4; seq++)
        assert_int_equal(stream_read(stream, seq, &msg), ERR_CORRUPT);
    const Slice key = LIT("s.a");
    assert_int_equal(stream_last(stream, &(Filters){&key, 1}, 0), 2);
    assert_string_equal(world_request(stream, "s.b", NULL, "x"), "{\"stream\":\"S\",\"seq\":5}");
    stream_free(stream);
}

static void purge_takes_by_filter_sequence_and_keep(void **state) {
    (void)state;
    static const struct {
        const char *filter;
        uint64_t seq, keep, purged, first, last, messages;
    } cases[] = {
        {"", 4, 0, 3, 4, 10, 7},     {"s.x", 0, 0, 0, 1, 10, 10},   {"s.a", 0, 0, 5, 2, 10, 5},
        {"s.a", 0, 2, 3, 2, 10, 7},  {"s.a", 6, 0, 3, 2, 10, 7},    {"", 0, 1, 9, 10, 10, 1},
        {"", 0, 20, 0, 1, 10, 10},   {"", 0, 0, 10, 11, 10, 0},     {"", 20, 0, 10, 20, 19, 0},
        {">", 40, 0, 10, 40, 39, 0}, {"s.>", 40, 0, 10, 11, 10, 0}, {"a..b", 0, 0, 0, 1, 10, 10},
        {"", 1, 0, 0, 1, 10, 10},    {"s.*", 0, 1, 9, 10, 10, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char want[128];
        Stream *stream = world_stream(PLAIN);
        for (int n = 0; n < 10; n++)
            world_request(stream, n % 2 ? "s.b" : "s.a", NULL, "x");
        stream_propose_purge(stream, slice_of_text(cases[i].filter), cases[i].seq, cases[i].keep,
                             world_call());
        world_flush(stream);
        snprintf(want, sizeof want, "{\"type\":\"t\",\"success\":true,\"purged\":%llu}\n",
                 (unsigned long long)cases[i].purged);
        assert_string_equal(world_api_text(), want);
        assert_int_equal(stream->state.first_seq, cases[i].first);
        assert_int_equal(stream->state.last_seq, cases[i].last);
        assert_int_equal(stream->state.messages, cases[i].messages);
        stream_free(stream);
    }
}

static void denied_and_sealed_streams_refuse(void **state) {
    (void)state;
    Stream *stream = world_stream(
        "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"deny_delete\":true,\"deny_purge\":true}");
    world_request(stream, "s.a", NULL, "x");
    stream_propose_delete(stream, 1, true, world_call());
    stream_propose_purge(stream, (Slice){0}, 0, 0, world_call());
    assert_string_equal(
        world_api_text(),
        "500 10057 message delete not permitted\n500 10110 stream purge not permitted\n");
    stream->config->sealed = true;
    stream_propose_delete(stream, 1, true, world_call());
    stream_propose_purge(stream, (Slice){0}, 0, 0, world_call());
    assert_string_equal(world_api_text(), "400 10109 invalid operation on sealed stream\n400 10109 "
                                          "invalid operation on sealed stream\n");
    assert_string_equal(world_request(stream, "s.a", "Nats-Batch-Id: 1\n", "x"),
                        ERR(400, 10109, "invalid operation on sealed stream"));
    stream_free(stream);
}

static void a_new_config_trims_and_subscribes(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    for (int i = 0; i < 6; i++)
        world_request(stream, i % 2 ? "s.a" : "s.b", NULL, "x");
    StreamConfig *config = world_config("{\"name\":\"S\",\"subjects\":[\"s.a\",\"t.>\"],\"max_msgs_"
                                        "per_subject\":1,\"max_bytes\":1000}");
    stream_propose_config(stream, config, world_call());
    world_flush(stream);
    const char *answer = world_api_text();
    assert_non_null(strstr(
        answer, "{\"type\":\"t\",\"config\":{\"name\":\"S\",\"subjects\":[\"s.a\",\"t.\\u003e\"]"));
    assert_non_null(strstr(answer, "\"state\":{\"messages\":2,\"bytes\":68,\"first_seq\":5,\"first_"
                                   "ts\":\"2023-11-14T22:13:20Z\","
                                   "\"last_seq\":6,\"last_ts\":\"2023-11-14T22:13:20Z\",\"num_"
                                   "subjects\":2,\"consumer_count\":0}"));
    assert_int_equal(stream->parts->sub_count, 2);
    assert_int_equal(world.usage[0].reserved_storage, 1000);
    stream_free(stream);
    assert_int_equal(world.usage[0].reserved_storage, 0);
    assert_int_equal(world.usage[0].storage, 0);
    assert_int_equal(world.usage[0].messages, 0);
}

static void info_shows_subjects_deleted_and_lost(void **state) {
    (void)state;
    Buf out = {0};
    Stream *stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"first_seq\":10}");
    stream_state_write(&out, stream);
    assert_string_equal(buf_text(&out),
                        "{\"messages\":0,\"bytes\":0,\"first_seq\":10,\"first_ts\":\"0001-01-01T00:"
                        "00:00Z\",\"last_seq\":9,"
                        "\"last_ts\":\"0001-01-01T00:00:00Z\",\"consumer_count\":0}");
    for (int i = 0; i < 5; i++)
        world_request(stream, i % 2 ? "s.b" : "s.a", NULL, "x");
    stream_propose_delete(stream, 12, true, world_call());
    world_flush(stream);
    buf_clear(&out);
    world.read_status = ERR_CORRUPT;
    StoredMsg msg;
    assert_int_equal(stream_read(stream, 13, &msg), ERR_CORRUPT);
    world.read_status = OK;
    assert_int_equal(stream_read(stream, 13, &msg), ERR_CORRUPT); /* once damaged, it stays so */
    assert_int_equal(stream->state.damaged, 1);
    stream_info_write(&out, stream,
                      &(StreamInfoOptions){.has_cluster = true,
                                           .deleted_details = true,
                                           .subjects_filter = LIT("s.>")});
    assert_non_null(strstr(
        buf_text(&out),
        "\"num_subjects\":2,\"subjects\":{\"s.a\":2,\"s.b\":2},\"num_deleted\":1,\"deleted\":[12],"
        "\"lost\":{\"msgs\":[13],\"bytes\":0},\"consumer_count\":0},\"cluster\":{\"leader\":\"S1\"}"
        ",\"ts\":"));
    buf_clear(&out);
    stream_info_write(&out, stream,
                      &(StreamInfoOptions){.subjects_filter = LIT("s.>"), .offset = 1});
    assert_non_null(strstr(buf_text(&out), "\"subjects\":{\"s.b\":2}"));
    buf_done(&out);
    stream_free(stream);
}

static void a_refused_entry_is_answered(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    world_publish(stream, "s.a", NULL, LIT("x"), "reply");
    stream_propose_delete(stream, 1, true, world_call());
    stream_propose_consumer(
        stream,
        &(ConsumerProposal){.type = RECORD_CONSUMER_PUT, .name = LIT("c"), .call = world_call()});
    world_refuse(stream, ERR_FULL);
    assert_string_equal(world.sent[0].payload,
                        ERR(500, 10047, "insufficient storage resources available"));
    assert_non_null(strstr(world_api_text(), "500 10047"));
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    world.health = ERR_IO;
    assert_string_equal(world_request(stream, "s.a", NULL, "x"),
                        ERR(503, 10077, "write error on the log"));
    world.health = OK;
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), OK_ACK(1));
    world.options.max_file = 10;
    world.worker.now_ns = 1;
    assert_string_equal(world_request(stream, "s.a", NULL, "x"),
                        ERR(503, 10023, "insufficient resources"));
    stream_free(stream);
}

/* A message of this stream takes 34 bytes in a file, 20 in memory. */
static void the_account_may_not_exceed_its_limit(void **state) {
    (void)state;
    static const char full[] = ERR(400, 10002, "resource limits exceeded for account");
    JetStreamAccountLimits limits = {100, 100, -1, -1, -1, -1, -1, false};
    world.options.account_limits = &limits;
    Stream *stream = world_stream(PLAIN);
    for (int i = 0; i < 2; i++)
        world_request(stream, "s.a", NULL, "x");
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), full);
    limits.max_file = 102;
    world_publish(stream, "s.a", NULL, LIT("x"), "first");
    size_t at = world.sent_count;
    world_publish(stream, "s.a", NULL, LIT(""), "second"); /* the first is on its way */
    assert_string_equal(world.sent[at].payload, full);
    world_refuse(stream, ERR_FULL);
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), "{\"stream\":\"S\",\"seq\":3}");
    assert_string_equal(world_request(stream, "s.a", "Nats-Expected-Last-Sequence: 9\n", "x"),
                        ERR(400, 10071, "wrong last sequence: 3"));
    stream_propose_purge(stream, (Slice){0}, 0, 0, world_call());
    world_flush(stream);
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), "{\"stream\":\"S\",\"seq\":4}");
    stream_free(stream);

    stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"storage\":\"memory\"}");
    for (int i = 0; i < 5; i++)
        world_request(stream, "s.a", NULL, "x");
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), full);
    stream_free(stream);
}

static void the_server_counts_what_all_workers_hold(void **state) {
    (void)state;
    static const char full[] = ERR(503, 10023, "insufficient resources");
    Worker other = {.index = 1, .count = 2}, *all[] = {&world.worker, &other};
    JetStreamUsage usage[1] = {0};
    JetStream there = {
        .home = &other, .options = &world.options, .usage = usage, .held = usage_table_new(1)};
    world.worker.count = 2;
    world.worker.now_ns = 1;
    world.worker.all = other.all = all;
    world.worker.jetstream = &world.js;
    other.jetstream = &there;
    world.options.max_file = 70;
    Stream *stream = world_stream(PLAIN), elsewhere = *stream;
    elsewhere.js = &there;
    usage_count(&elsewhere, 40);
    world_request(stream, "s.a", NULL, "x"); /* 74 now */
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), full);
    usage_count(&elsewhere, -20);
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), full); /* looked at once a turn */
    world.worker.now_ns++;
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), "{\"stream\":\"S\",\"seq\":2}");
    assert_string_equal(world_request(stream, "s.a", NULL, "x"), full);
    stream_free(stream);
    usage_table_free(there.held);
    world.worker.count = 0;
}

static void too_many_in_flight_are_refused(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    stream->group.in_flight = STREAM_IN_FLIGHT_MAX;
    world_publish(stream, "s.a", NULL, LIT("x"), "reply");
    assert_string_equal(world.sent[0].headers, "NATS/1.0 429 Too Many Requests\r\n\r\n");
    assert_string_equal(world.sent[0].payload, ERR(429, 10167, "too many requests"));
    stream->group.in_flight = 0;
    stream_free(stream);
}

static void a_domain_is_in_the_ack(void **state) {
    (void)state;
    world.options.domain = LIT("hub");
    Stream *stream = world_stream(PLAIN);
    assert_string_equal(world_request(stream, "s.a", NULL, "x"),
                        "{\"stream\":\"S\",\"domain\":\"hub\",\"seq\":1}");
    stream_free(stream);
}

static void an_object_larger_than_allowed_is_refused(void **state) {
    (void)state;
    Stream *stream = world_stream("{\"name\":\"OBJ_o\",\"subjects\":[\"$O.o.C.>\",\"$O.o.M.>\"]}");
    stream->config->object_value_size_max = 25;
    for (int i = 0; i < 2; i++)
        assert_non_null(strstr(world_request(stream, "$O.o.C.n1", NULL, "0123456789"), "\"seq\":"));
    assert_non_null(strstr(world_request(stream, "$O.o.C.n1", NULL, "0123456789"), "10054"));
    assert_non_null(strstr(world_request(stream, "$O.o.C.n1", NULL, "01234"), "\"seq\":3"));
    assert_non_null(strstr(world_request(stream, "$O.o.C.n2", NULL, "0123456789"), "\"seq\":4"));
    stream_propose_purge(stream, LIT("$O.o.C.n1"), 0, 0, world_call());
    world_flush(stream);
    assert_non_null(strstr(world_request(stream, "$O.o.C.n1", NULL, "0123456789"), "\"seq\":5"));
    assert_non_null(strstr(
        world_request(stream, "$O.o.M.x", NULL, "0123456789012345678901234567890"), "\"seq\":6"));
    stream_free(stream);
}

typedef struct Waiter {
    StreamWait wait;
    int calls;
} Waiter;

static void on_ready(StreamWait *wait) {
    CONTAINER_OF(wait, Waiter, wait)->calls++;
}

static void cold_messages_are_fetched_once_for_all_who_wait(void **state) {
    (void)state;
    Waiter waiters[3] = {0};
    StoredMsg msg;
    Stream *stream = world_stream(PLAIN);
    world_request(stream, "s.a", NULL, "x");
    world.is_cold = true;
    assert_int_equal(stream_read(stream, 1, &msg), ERR_AGAIN);
    for (int i = 0; i < 3; i++) {
        link_init(&waiters[i].wait.link);
        waiters[i].wait.ready = on_ready;
        stream_fetch(stream, 1, &waiters[i].wait);
    }
    stream_cancel_wait(&waiters[1].wait);
    assert_int_equal(waiters[0].calls, 0);
    world.fetch_done(world.fetch_cookie, OK);
    assert_int_equal(waiters[0].calls + waiters[2].calls, 2);
    assert_int_equal(waiters[1].calls, 0);
    assert_int_equal(stream_read(stream, 1, &msg), OK);
    stored_msg_done(&msg);

    stream_fetch(stream, 7, &waiters[0].wait); /* no such message: ready all the same, later */
    assert_int_equal(waiters[0].calls, 1);
    (void)world_run_ready();
    assert_int_equal(waiters[0].calls, 2);

    world.fetched = 0;
    stream_fetch(stream, 1, &waiters[0].wait);
    stream_delete(stream); /* nobody is called any more */
    world.fetch_done(world.fetch_cookie, OK);
    assert_int_equal(waiters[0].calls, 2);
    assert_int_equal(world.entries[0].live, 0);
}

/* As before version 3: of the messages only places, all in a row. */
static void save_as_before(Stream *stream, Buf *out) {
    Buf json = {0};
    Place last = 0;
    stream_config_write(&json, stream->config, false);
    packed_write_u64(out, 1);
    packed_write_slice(out, buf_slice(&json));
    packed_write_i64(out, stream->created_ns);
    packed_write_i64(out, stream->parts->clock_ns);
    packed_write_u64(out, stream->state.first_seq);
    packed_write_u64(out, stream->state.last_seq);
    packed_write_i64(out, stream->state.last_time_ns);
    packed_write_slice(out, (Slice){0});
    packed_write_u64(out, stream->state.messages);
    packed_write_u64(out, 1);
    packed_write_u64(out, stream->state.messages);
    for (uint64_t seq = 1; seq <= stream->state.messages; seq++) {
        Place place = msg_index_get(stream->index, seq)->place;
        packed_write_u64(out, place - last);
        last = place;
    }
    packed_write_u64(out, 0);
    packed_write_slice(out, LIT("consumers"));
    buf_done(&json);
}

static void a_lost_record_is_counted_and_skipped_by_nobody(void **state) {
    (void)state;
    Buf saved = {0};
    StoredMsg msg;
    Stream *stream = world_stream(PLAIN);
    for (int i = 0; i < 5; i++)
        world_request(stream, i == 2 ? "s.b" : "s.a", NULL, "x");
    save_as_before(stream, &saved);
    Account *account = stream->account;
    stream_free(stream);

    stream = stream_new(&world.js, account, 7, world_config(PLAIN), 0);
    assert_int_equal(stream_load(&stream->group, buf_slice(&saved)), OK);
    assert_true(stream->group.needs_log);
    for (size_t i = 0; i < 5; i++)
        if (i != 1)
            stream_group_ops.place(&stream->group, &world.entries[i].record,
                                   world.entries[i].place);
    stream_start(stream);
    assert_int_equal(stream->state.damaged, 1);
    assert_int_equal(stream->state.messages, 5);
    assert_int_equal(stream->state.num_subjects, 2);
    assert_int_equal(stream->state.bytes, 4 * 34);
    assert_int_equal(stream_read(stream, 2, &msg), ERR_CORRUPT);
    assert_int_equal(stream_next(stream, &everything, 2), 2);
    assert_int_equal(stream_next(stream, &(Filters){(Slice[]){LIT("s.a")}, 1}, 2), 4);
    stream_propose_delete(stream, 2, true, world_call());
    world_flush(stream);
    assert_int_equal(stream->state.damaged, 0);
    assert_int_equal(stream->state.messages, 4);
    stream_free(stream);
    buf_done(&saved);
}

/* Checkpoints are checksummed, yet nothing in one may break the process. */
static void damaged_states_are_refused(void **state) {
    (void)state;
    Buf saved = {0};
    Stream *stream = world_stream(
        "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"subject_delete_marker_ttl\":5000000000}");
    world_request(stream, "s.a", "Nats-TTL: 6\nNats-Msg-Id: i\n", "x");
    world_request(stream, "s.b", NULL, "x");
    world.wall_ns += 7ll * NS_PER_S;
    world_fire(stream);
    stream_save(&stream->group, &saved);
    Account *account = stream->account;
    stream_free(stream);
    for (size_t len = 0; len <= saved.len; len++)
        for (int bit = 0; bit < 8; bit++) {
            Stream *copy = stream_new(&world.js, account, 7, world_config(PLAIN), 0);
            char *bytes = mem_copy(saved.ptr, saved.len);
            bool is_whole = len == saved.len;
            if (!is_whole && bit)
                bytes[len] ^= (char)(1 << bit);
            Status status =
                stream_load(&copy->group, slice_from(bytes, bit || is_whole ? saved.len : len));
            if (is_whole)
                assert_int_equal(status, OK);
            else if (!bit)
                assert_int_not_equal(status, OK);
            stream_free(copy);
            mem_free(bytes);
        }
    buf_done(&saved);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

static void publish_traced(Stream *stream, Slice headers, Trace *trace) {
    Message message = {
        .subject = LIT("s.a"), .headers = headers, .payload = LIT("x"), .trace = trace};
    trace->holds = 1;
    buf_clear(&trace->events);
    stream_on_publish(&stream->parts->port, NULL, &message);
}

static void a_traced_message_tells_what_became_of_it(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    Trace trace = {0};
    Slice block = LIT("NATS/1.0\r\nNats-Trace-Dest: t\r\n\r\n");
    const Slice stored = LIT(",{\"type\":\"js\",\"stream\":\"S\",\"subject\":\"s.a\"}");

    publish_traced(stream, block, &trace);
    assert_int_equal(trace.holds, 2); /* until it is applied */
    world_flush(stream);
    assert_int_equal(trace.holds, 1);
    assert_true(slice_equal(buf_slice(&trace.events), stored));
    StoredMsg msg;
    assert_int_equal(stream_read(stream, 1, &msg), OK);
    assert_true(
        slice_equal(msg.headers, LIT("NATS/1.0\r\nNats-Trace-Dest: trace disabled\r\n\r\n")));
    stored_msg_done(&msg);

    publish_traced(stream, block, &trace);
    world_refuse(stream, ERR_FULL);
    assert_int_equal(trace.holds, 1);
    assert_int_not_equal(slice_find_slice(buf_slice(&trace.events), LIT("\"error\":")),
                         trace.events.len);

    publish_traced(stream,
                   LIT("NATS/1.0\r\nNats-Trace-Dest: t\r\nNats-Expected-Last-Sequence: 9\r\n\r\n"),
                   &trace);
    assert_int_equal(trace.holds, 1);
    assert_true(slice_equal(buf_slice(&trace.events),
                            LIT(",{\"type\":\"js\",\"stream\":\"S\","
                                "\"error\":\"last sequence mismatch: 9 vs 1\"}")));

    trace.is_only = true;
    publish_traced(stream, block, &trace);
    assert_true(slice_equal(buf_slice(&trace.events), stored));
    world_flush(stream);
    assert_int_equal(stream->state.last_seq, 1);
    buf_done(&trace.events);
    stream_free(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_header_that_asks_for_what_is_not_so_is_refused),
        TEST(a_ttl_is_seconds_or_a_duration_of_a_second_or_more),
        TEST(a_rollup_takes_what_came_before),
        TEST(discard_new_refuses_at_the_limits),
        TEST(discard_old_acks_and_evicts),
        TEST(sizes_are_checked_before_anything_else),
        TEST(a_no_ack_stream_says_nothing),
        TEST(interest_without_consumers_takes_a_sequence_and_acks),
        TEST(what_nobody_needs_goes),
        TEST(headers_are_stored_as_they_should_be),
        TEST(subjects_are_transformed_and_messages_republished),
        TEST(messages_expire_by_age_and_ttl),
        TEST(an_expired_subject_leaves_a_marker),
        TEST(delete_answers_what_became_of_it),
        TEST(delete_in_memory_does_not_tell_where_a_message_would_be),
        TEST(entries_lost_by_the_disk_take_their_sequences),
        TEST(purge_takes_by_filter_sequence_and_keep),
        TEST(denied_and_sealed_streams_refuse),
        TEST(a_new_config_trims_and_subscribes),
        TEST(info_shows_subjects_deleted_and_lost),
        TEST(a_refused_entry_is_answered),
        TEST(the_account_may_not_exceed_its_limit),
        TEST(the_server_counts_what_all_workers_hold),
        TEST(too_many_in_flight_are_refused),
        TEST(a_domain_is_in_the_ack),
        TEST(an_object_larger_than_allowed_is_refused),
        TEST(cold_messages_are_fetched_once_for_all_who_wait),
        TEST(a_lost_record_is_counted_and_skipped_by_nobody),
        TEST(damaged_states_are_refused),
        cmocka_unit_test_setup_teardown(a_traced_message_tells_what_became_of_it, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
