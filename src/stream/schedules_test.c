#include "stream/schedules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "io/clock.h"
#include "stream/stream_fake.h"

/* The world begins at 2023-11-14T22:13:20Z. */
#define CONFIG                                                                                     \
    "{\"name\":\"S\",\"subjects\":[\"s.>\",\"t.>\"],\"allow_msg_schedules\":true,"                 \
    "\"allow_msg_ttl\":true}"
#define IN_10_S  "Nats-Schedule: @at 2023-11-14T22:13:30Z\nNats-Schedule-Target: t.a\n"
#define EVERY_5S "Nats-Schedule: @every 5s\nNats-Schedule-Target: t.a\n"
#define ACK(seq) "{\"stream\":\"S\",\"seq\":" #seq "}"

/* Time passes, and what is due happens. */
static void pass(Stream *stream, int64_t ns) {
    world.wall_ns += ns;
    if (stream->parts->schedules && world.timer)
        world.timer->due_ns = 0;
    world_fire(stream);
}

static void expect(Stream *stream, uint64_t seq, const char *subject, const char *headers,
                   const char *payload) {
    StoredMsg msg;
    assert_int_equal(stream_read(stream, seq, &msg), OK);
    assert_true(slice_equal(msg.subject, slice_of_text(subject)));
    if (!slice_equal(msg.headers, slice_of_text(headers)))
        fail_msg("headers are %.*s", SLICE_ARG(msg.headers));
    assert_true(slice_equal(msg.payload, slice_of_text(payload)));
    stored_msg_done(&msg);
}

static void expect_gone(Stream *stream, uint64_t seq) {
    StoredMsg msg;
    assert_int_equal(stream_read(stream, seq, &msg), ERR_NOT_FOUND);
}

#define PURGE(scheduler)                                                                           \
    "NATS/1.0\r\nNats-Scheduler: " scheduler "\r\nNats-Schedule-Next: purge\r\n\r\n"

static void a_time_comes_once(void **state) {
    (void)state;
    Stream *stream = world_stream(CONFIG);
    assert_string_equal(world_request(stream, "s.a", IN_10_S, "body"), ACK(1));
    pass(stream, 9ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 1);
    pass(stream, 1ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 2);
    expect(stream, 2, "t.a", PURGE("s.a"), "body");
    expect_gone(stream, 1);
    pass(stream, 100ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 2);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    stream_free(stream);
}

static void a_repetition_comes_again_and_again(void **state) {
    (void)state;
    Stream *stream = world_stream(CONFIG);
    (void)world_request(stream, "s.a", EVERY_5S "Nats-Schedule-TTL: 1h\nX: 1\n", "body");
    pass(stream, 5ll * NS_PER_S);
    expect(stream, 2, "t.a",
           "NATS/1.0\r\nX: 1\r\nNats-Scheduler: s.a\r\nNats-Schedule-Next: "
           "2023-11-14T22:13:30Z\r\nNats-TTL: 1h\r\n\r\n",
           "body");
    pass(stream, 4ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 2);
    pass(stream, 1ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 3);
    pass(stream, 3600ll * NS_PER_S); /* many were missed: one comes */
    assert_int_equal(stream->state.last_seq, 4);
    pass(stream, 5ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 5);
    stream_free(stream);
}

static void what_follows_on_the_subject_ends_it(void **state) {
    (void)state;
    Stream *stream = world_stream(CONFIG);
    (void)world_request(stream, "s.a", IN_10_S, "1");
    (void)world_request(stream, "s.a", NULL, "plain");
    (void)world_request(stream, "s.b", IN_10_S, "2");
    stream_propose_delete(stream, 3, false, world_call());
    (void)world_request(stream, "s.c", IN_10_S, "3");
    stream_propose_purge(stream, LIT("s.c"), 0, 0, world_call());
    (void)world_request(stream, "s.d", IN_10_S, "old");
    (void)world_request(stream, "s.d", IN_10_S, "new");
    pass(stream, 10ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 7);
    expect(stream, 7, "t.a", PURGE("s.d"), "new");
    stream_free(stream);
}

static void one_that_is_replaced_while_it_fires_does_not_fire(void **state) {
    (void)state;
    Stream *stream = world_stream(CONFIG);
    (void)world_request(stream, "s.a", IN_10_S, "old");
    world.wall_ns += 10ll * NS_PER_S;
    world_publish(stream, "s.a", EVERY_5S, LIT("new"), NULL); /* in flight, in front */
    pass(stream, 0);
    assert_int_equal(stream->state.last_seq, 2);
    pass(stream, 5ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 3);
    stream_free(stream);
}

static void a_source_gives_headers_and_body(void **state) {
    (void)state;
    Stream *stream = world_stream(CONFIG);
    (void)world_request(stream, "s.src", "A: 1\nNats-Msg-Id: x\n", "of source");
    (void)world_request(stream, "s.a", IN_10_S "Nats-Schedule-Source: s.src\n", "own");
    (void)world_request(stream, "s.b", IN_10_S "B: 1\nNats-Schedule-Source: s.none\n", "own");
    pass(stream, 10ll * NS_PER_S);
    expect(stream, 4, "t.a",
           "NATS/1.0\r\nA: 1\r\nNats-Scheduler: s.a\r\nNats-Schedule-Next: purge\r\n\r\n",
           "of source");
    expect(stream, 5, "t.a",
           "NATS/1.0\r\nB: 1\r\nNats-Scheduler: s.b\r\nNats-Schedule-Next: purge\r\n\r\n", "own");
    stream_free(stream);
}

static void one_on_disk_is_read_first(void **state) {
    (void)state;
    Stream *stream = world_stream(CONFIG);
    (void)world_request(stream, "s.src", NULL, "of source");
    (void)world_request(stream, "s.a", IN_10_S "Nats-Schedule-Source: s.src\n", "own");
    world.is_cold = true;
    pass(stream, 10ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 2);
    world.fetch_done(world.fetch_cookie, OK); /* the schedule; then its source is wanted */
    world_flush(stream);
    assert_int_equal(stream->state.last_seq, 2);
    world.is_cold = false;
    world.fetch_done(world.fetch_cookie, OK);
    world_flush(stream);
    expect(stream, 3, "t.a", PURGE("s.a"), "of source");

    (void)world_request(stream, "s.a", EVERY_5S, "own"); /* a stream that goes while one is read */
    world.is_cold = true;
    pass(stream, 10ll * NS_PER_S);
    stream_free(stream);
    world.fetch_done(world.fetch_cookie, OK);
}

static void one_that_the_log_refused_fires_later(void **state) {
    (void)state;
    Stream *stream = world_stream(CONFIG);
    (void)world_request(stream, "s.a", IN_10_S, "body");
    world.wall_ns += 10ll * NS_PER_S;
    Timer *timer = world.timer;
    world.timer = NULL;
    timer->heap_at = 0;
    timer->fire(timer);
    world_refuse(stream, ERR_FULL);
    assert_int_equal(stream->state.last_seq, 1);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    pass(stream, 2ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 2);
    stream_free(stream);
}

/* From every entry on: a checkpoint there, the rest applied again. */
static void recovery_knows_what_is_due(void **state) {
    (void)state;
    Stream *stream = world_stream(CONFIG);
    Account *account = stream->account;
    (void)world_request(stream, "s.a", IN_10_S, "once");
    (void)world_request(stream, "s.b", EVERY_5S, "again");
    pass(stream, 5ll * NS_PER_S);
    pass(stream, 5ll * NS_PER_S);
    assert_int_equal(stream->state.last_seq, 5);
    size_t count = world.entry_count;
    stream_free(stream);

    for (size_t saved_at = 0; saved_at <= count; saved_at++) {
        Buf checkpoint = {0};
        Stream *copy = stream_new(&world.js, account, 7, world_config(CONFIG), world.wall_ns);
        for (size_t i = 0; i < saved_at; i++)
            stream_group_ops.apply(&copy->group, &world.entries[i].record, world.entries[i].place,
                                   world.entries[i].bytes, NULL);
        stream_save(&copy->group, &checkpoint);
        stream_free(copy);

        copy = stream_new(&world.js, account, 7, world_config(CONFIG), world.wall_ns);
        copy->group.index_last = count;
        assert_int_equal(stream_load(&copy->group, buf_slice(&checkpoint)), OK);
        for (size_t i = saved_at; i < count; i++)
            stream_group_ops.apply(&copy->group, &world.entries[i].record, world.entries[i].place,
                                   world.entries[i].bytes, NULL);
        int64_t now_ns = world.wall_ns;
        stream_start(copy);
        assert_int_equal(copy->state.last_seq, 5);
        expect_gone(copy, 1);
        expect(copy, 2, "s.b",
               "NATS/1.0\r\n"
               "Nats-Schedule: @every 5s\r\nNats-Schedule-Target: t.a"
               "\r\nNats-Rollup: sub\r\n\r\n",
               "again");
        pass(copy, 5ll * NS_PER_S);
        assert_int_equal(copy->state.last_seq, 6);
        stream_free(copy);
        world_forget(count);
        world.wall_ns = now_ns;
        buf_done(&checkpoint);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_time_comes_once, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_repetition_comes_again_and_again, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(what_follows_on_the_subject_ends_it, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(one_that_is_replaced_while_it_fires_does_not_fire,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_source_gives_headers_and_body, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(one_on_disk_is_read_first, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(one_that_the_log_refused_fires_later, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(recovery_knows_what_is_due, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
