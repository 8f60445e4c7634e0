/* A disk that refuses or fails for a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "io/clock.h"
#include "stream/stream_fake.h"

#define PLAIN "{\"name\":\"S\",\"subjects\":[\"s.>\"]}"
#define FEW   "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_msgs\":2}"
#define ONE   "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_msgs\":1}"

static Stream *with_messages(void) {
    Stream *stream = world_stream(PLAIN);
    for (int i = 0; i < 4; i++)
        world_request(stream, "s.a", NULL, "x");
    return stream;
}

static void pass_a_second(Stream *stream) {
    world.wall_ns += NS_PER_S;
    world_fire(stream);
}

static void a_config_that_was_refused_is_stored_when_the_disk_works(void **state) {
    (void)state;
    Stream *stream = with_messages();
    stream_propose_config(stream, world_config(FEW), world_call());
    world_refuse(stream, ERR_FULL);
    assert_non_null(strstr(world_api_text(), "10047"));
    assert_int_equal(stream->state.messages, 4);
    world.health = ERR_FULL;
    pass_a_second(stream);
    assert_int_equal(stream->state.messages, 4);
    world.health = OK;
    pass_a_second(stream);
    assert_int_equal(stream->state.messages, 2);
    size_t entries = world.entry_count;
    pass_a_second(stream);
    assert_int_equal(world.entry_count, entries);
    stream_free(stream);
}

static void a_newer_config_takes_the_place_of_one_that_was_refused(void **state) {
    (void)state;
    Stream *stream = with_messages();
    stream_propose_config(stream, world_config(ONE), world_call());
    world_refuse(stream, ERR_IO);
    (void)world_api_text();
    stream_propose_config(stream, world_config(FEW), world_call());
    pass_a_second(stream); /* while it is on its way */
    assert_int_equal(stream->state.messages, 2);
    pass_a_second(stream);
    assert_int_equal(stream->state.messages, 2);
    stream_free(stream);
}

static void on_ready(StreamWait *wait) {
    (void)wait;
}

static void a_read_that_fails_once_does_not_damage_the_message(void **state) {
    (void)state;
    StoredMsg msg;
    StreamWait wait = {.ready = on_ready};
    Stream *stream = with_messages();
    link_init(&wait.link);
    world.is_cold = true;
    assert_int_equal(stream_read(stream, 2, &msg), ERR_AGAIN);
    stream_fetch(stream, 2, &wait);
    world.fetch_done(world.fetch_cookie, ERR_IO);
    assert_int_equal(stream_read(stream, 2, &msg), ERR_IO); /* not asked for again at once */
    assert_int_equal(stream_read(stream, 3, &msg), ERR_AGAIN);
    assert_int_equal(stream->state.damaged, 0);
    world.wall_ns += 2ll * NS_PER_S;
    world.is_cold = false;
    assert_int_equal(stream_read(stream, 2, &msg), OK);
    stored_msg_done(&msg);
    stream_free(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
        TEST(a_config_that_was_refused_is_stored_when_the_disk_works),
        TEST(a_newer_config_takes_the_place_of_one_that_was_refused),
        TEST(a_read_that_fails_once_does_not_damage_the_message),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
