#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/stream_fake.h"
#include "stream/stream_touch.h"

/* What our extensions keep beside the messages, in checkpoints. */

#define CONFIG                                                                                     \
    "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_msgs_per_subject\":2,\"allow_msg_ttl\":true}"
static const int64_t second_ns = 1000000000;

static void touch(Stream *stream, Slice subject, int64_t ttl_ns, const char *bind) {
    TouchRequest request = {.subject = subject, .ttl_ns = ttl_ns, .bind = slice_of_text(bind)};
    stream_propose_touch(stream, &request, world_call());
    world_flush(stream);
    assert_non_null(strstr(world_api_text(), "success"));
}

static Stream *filled(void) {
    Stream *stream = world_stream(CONFIG);
    (void)world_request(stream, "s.a", "Nats-TTL: 10\n", "x");
    (void)world_request(stream, "s.b", "Nats-TTL: 10\n", "x");
    (void)world_request(stream, "s.c", NULL, "x");
    (void)world_request(stream, "s.d", "KV-Operation: DEL\n", "");
    (void)world_request(stream, "s.lease", "HW-Lease: 30s\n", "x");
    (void)world_request(stream, "s.bound", "HW-Lease: 30s\nHW-Lease-Bind: holder\n", "x");
    (void)world_request(stream, "s.e", NULL, "x");
    (void)world_request(stream, "s.e", NULL, "x");
    stream_propose_delete(stream, 8, true, world_call());
    touch(stream, LIT("s.a"), 60 * second_ns, "");
    touch(stream, LIT("s.a"), 10 * second_ns, ""); /* twice in the queue with the same time */
    touch(stream, LIT("s.b"), TOUCH_NEVER, "");
    touch(stream, LIT("s.c"), 60 * second_ns, "");
    touch(stream, LIT("s.lease"), 40 * second_ns, "");
    touch(stream, LIT("s.bound"), TOUCH_AS_BEFORE, "other");
    return stream;
}

static bool is_there(Stream *stream, uint64_t seq) {
    return msg_index_get(stream->index, seq) != NULL;
}

static void check(Stream *stream) {
    const Lease *lease = lease_find(stream, 5), *bound = lease_find(stream, 6);
    assert_int_equal(stream->parts->ttl_live, 2);
    assert_true(msg_index_get(stream->index, 4)->is_tombstone);
    assert_false(msg_index_get(stream->index, 3)->is_tombstone);
    assert_int_equal(lease->ttl_ns, 40 * second_ns);
    assert_int_equal(lease->due_ns, world.wall_ns + 40 * second_ns);
    assert_int_equal(bound->ttl_ns, 30 * second_ns);
    assert_true(slice_equal(bound->bind, LIT("other")));
    assert_int_equal(stream->parts->retained.hole_min, 8);
    assert_int_equal(stream->parts->retained.hole_max, 8);
    assert_int_equal(stream->parts->retained.subject_max, 2);
    assert_true(stream->parts->retained.has_others);

    stream_expire(stream, world.wall_ns + 11 * second_ns, UINT64_MAX);
    assert_false(is_there(stream, 1));
    assert_true(is_there(stream, 2) && is_there(stream, 3));
    stream_expire(stream, world.wall_ns + 61 * second_ns, UINT64_MAX);
    assert_true(is_there(stream, 2));
    assert_false(is_there(stream, 3));
    assert_int_equal(stream->parts->ttl_live, 0);
}

static void checkpoints_keep_what_extensions_know(void **state) {
    (void)state;
    Buf saved = {0};
    Stream *stream = filled();
    stream_save(&stream->group, &saved);
    Account *account = stream->account;
    check(stream);
    stream_free(stream);

    stream = stream_new(&world.js, account, 7, world_config(CONFIG), 0);
    assert_int_equal(stream_load(&stream->group, buf_slice(&saved)), OK);
    check(stream);
    stream_free(stream);
    buf_done(&saved);
}

static void damaged_checkpoints_break_nothing(void **state) {
    (void)state;
    Buf saved = {0};
    Stream *stream = filled();
    stream_save(&stream->group, &saved);
    Account *account = stream->account;
    stream_free(stream);
    for (size_t at = 0; at < saved.len; at++)
        for (int bit = 0; bit < 8; bit++) {
            char *bytes = mem_copy(saved.ptr, saved.len);
            bytes[at] ^= (char)(1 << bit);
            stream = stream_new(&world.js, account, 7, world_config(CONFIG), 0);
            if (stream_load(&stream->group, slice_from(bytes, saved.len)) == OK)
                stream_expire(stream, world.wall_ns + 61 * second_ns, UINT64_MAX);
            stream_free(stream);
            mem_free(bytes);
        }
    buf_done(&saved);
}

static void a_purge_takes_leases_and_touched_times_along(void **state) {
    (void)state;
    Stream *stream = filled();
    stream_propose_purge(stream, (Slice){0}, 0, 0, world_call());
    world_flush(stream);
    assert_int_equal(stream->parts->leases.by_seq.len, 0);
    assert_int_equal(stream->parts->touched.len, 0);
    (void)world_request(stream, "s.a", "Nats-TTL: 10\n", "x");
    stream_expire(stream, world.wall_ns + 11 * second_ns, UINT64_MAX);
    assert_int_equal(stream->state.messages, 0);
    stream_free(stream);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(checkpoints_keep_what_extensions_know),
        TEST(damaged_checkpoints_break_nothing),
        TEST(a_purge_takes_leases_and_touched_times_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
