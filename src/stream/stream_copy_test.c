#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/stream_fake.h"

#define PLAIN "{\"name\":\"S\",\"subjects\":[\"s.>\"]}"

static void copy(Stream *stream, uint64_t seq, int64_t time_ns, Slice headers, Slice payload) {
    StoredMsg msg = {.seq = seq,
                     .time_ns = time_ns,
                     .subject = LIT("s.a"),
                     .headers = headers,
                     .payload = payload};
    stream_propose_copy(stream, &msg);
}

static void check_read(Stream *stream, uint64_t seq, int64_t time_ns, Slice headers,
                       Slice payload) {
    StoredMsg msg;
    assert_int_equal(stream_read(stream, seq, &msg), OK);
    assert_int_equal(msg.time_ns, time_ns);
    assert_true(slice_equal(msg.headers, headers));
    assert_true(slice_equal(msg.payload, payload));
    stored_msg_done(&msg);
}

static void copies_keep_sequence_time_and_bytes(void **state) {
    (void)state;
    Slice headers = LIT("NATS/1.0\r\nA: b\r\n\r\n"), none = {NULL, 0};
    Stream *stream = world_stream(PLAIN);
    copy(stream, 5, 1000, headers, LIT("five"));
    copy(stream, 6, 1001, none, none);
    copy(stream, 9, 1005, none, LIT("nine"));
    copy(stream, 9, 1006, none, LIT("again")); /* taken already: nothing happens */
    copy(stream, 3, 1006, none, LIT("late"));
    world_flush(stream);
    assert_int_equal(stream->state.messages, 3);
    assert_int_equal(stream->state.first_seq, 5);
    assert_int_equal(stream->state.last_seq, 9);
    assert_int_equal(stream->state.last_time_ns, 1005);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    check_read(stream, 5, 1000, headers, LIT("five"));
    check_read(stream, 6, 1001, none, none);
    check_read(stream, 9, 1005, none, LIT("nine"));
    world_request(stream, "s.b", NULL, "x");
    assert_int_equal(stream->state.last_seq, 10);
    stream_delete(stream);
    for (size_t i = 0; i < world.entry_count; i++)
        assert_int_equal(world.entries[i].live, 0);
}

static void skipped_sequences_hold_nothing(void **state) {
    (void)state;
    Slice none = {NULL, 0};
    Stream *stream = world_stream(PLAIN);
    stream_propose_skip(stream, 10, 700);
    world_flush(stream);
    assert_int_equal(stream->state.first_seq, 11);
    assert_int_equal(stream->state.last_seq, 10);
    assert_int_equal(stream->state.last_time_ns, 700);
    copy(stream, 11, 800, none, LIT("x"));
    stream_propose_skip(stream, 4, 900); /* taken already */
    stream_propose_skip(stream, 20, TIME_ZERO);
    world_flush(stream);
    assert_int_equal(stream->state.messages, 1);
    assert_int_equal(stream->state.first_seq, 11);
    assert_int_equal(stream->state.last_seq, 20);
    assert_int_equal(stream->state.last_time_ns, 800);
    stream_free(stream);
}

static void copies_come_back_from_a_checkpoint(void **state) {
    (void)state;
    Slice none = {NULL, 0};
    Buf saved = {0};
    Stream *stream = world_stream(PLAIN);
    copy(stream, 5, 1000, none, LIT("five"));
    copy(stream, 8, 1001, none, none);
    world_request(stream, "s.a", NULL, "nine");
    stream_save(&stream->group, &saved);
    Account *account = stream->account;
    stream_free(stream);

    stream = stream_new(&world.js, account, 7, world_config(PLAIN), 0);
    assert_int_equal(stream_load(&stream->group, buf_slice(&saved)), OK);
    for (size_t i = 0; i < world.entry_count; i++)
        stream_group_ops.place(&stream->group, &world.entries[i].record, world.entries[i].place);
    stream_start(stream);
    assert_int_equal(stream->state.damaged, 0);
    assert_int_equal(stream->state.messages, 3);
    check_read(stream, 5, 1000, none, LIT("five"));
    check_read(stream, 8, 1001, none, none);
    stream_free(stream);
    buf_done(&saved);
}

static void a_refused_copy_is_remembered(void **state) {
    (void)state;
    Slice none = {NULL, 0};
    Stream *stream = world_stream(PLAIN);
    copy(stream, 1, 1000, none, LIT("x"));
    world_refuse(stream, ERR_FULL);
    assert_int_equal(stream->parts->copy_refused, ERR_FULL);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    stream_free(stream);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(copies_keep_sequence_time_and_bytes),
        TEST(skipped_sequences_hold_nothing),
        TEST(copies_come_back_from_a_checkpoint),
        TEST(a_refused_copy_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
