#include "stream/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/stream_fake.h"

#define COUNTED     "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_msg_counter\":true}"
#define VAL(seq, v) "{\"stream\":\"S\",\"seq\":" #seq ",\"val\":\"" v "\"}"
#define ERR(code, t)                                                                               \
    "{\"error\":{\"code\":400,\"err_code\":" #code ",\"description\":\"" t                         \
    "\"},\"stream\":\"S\",\"seq\":0}"
#define MISSING     ERR(10169, "message counter increment is missing")
#define INVALID     ERR(10171, "message counter increment is invalid")
#define HAS_PAYLOAD ERR(10170, "message counter has payload")

typedef struct Step {
    const char *subject, *headers, *payload, *answer;
} Step;

static const Step rules[] = {
    {"s.a", NULL, "", MISSING},
    {"s.a", NULL, "x", MISSING},
    {"s.a", "Nats-Incr: \n", "", MISSING},
    {"s.a", "Nats-Incr: 1\n", "", VAL(1, "1")},
    {"s.a", "Nats-Incr: +2\n", "", VAL(2, "3")},
    {"s.a", "Nats-Incr: -10\n", "", VAL(3, "-7")},
    {"s.a", "Nats-Incr: 007\n", "", VAL(4, "0")},
    {"s.b", "Nats-Incr: 0\n", "", VAL(5, "0")},
    {"s.a", "Nats-Incr: 1.5\n", "", INVALID},
    {"s.a", "Nats-Incr: 1e3\n", "", INVALID},
    {"s.a", "Nats-Incr: 0x10\n", "", INVALID},
    {"s.a", "Nats-Incr: +-1\n", "x", INVALID},
    {"s.a", "Nats-Incr: 1\n", "x", HAS_PAYLOAD},
    {"s.a", "Nats-Incr: 1\nNats-Expected-Stream: S\n", "x", HAS_PAYLOAD},
    {"s.a", "Nats-Incr: 1\nNats-Expected-Stream: S\n", "", INVALID},
    {"s.a", "Nats-Incr: 1\nNats-Expected-Last-Sequence: 5\n", "", INVALID},
    {"s.a", "Nats-Incr: 1\nNats-Expected-Last-Subject-Sequence: 4\n", "", INVALID},
    {"s.a", "Nats-Incr: 1\nNats-Expected-Last-Msg-Id: x\n", "", INVALID},
    {"s.a", "Nats-Incr: 1\nNats-Rollup: sub\n", "", INVALID},
    {"s.a", "Nats-Incr: 99999999999999999999999999\n", "", VAL(6, "99999999999999999999999999")},
    {"s.a", "Nats-Incr: 1\nNats-Msg-Id: i\n", "", VAL(7, "100000000000000000000000000")},
    {"s.a", "Nats-Incr: 1\nNats-Msg-Id: i\n", "",
     "{\"stream\":\"S\",\"seq\":7,\"duplicate\": true}"},
    {"s.a", "Nats-Incr: 1\n", "", VAL(8, "100000000000000000000000001")},
};

static void increments_follow_the_rules(void **state) {
    (void)state;
    Stream *stream = world_stream(COUNTED);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        assert_string_equal(
            world_request(stream, rules[i].subject, rules[i].headers, rules[i].payload),
            rules[i].answer);
    stream_free(stream);
}

/* The same while other increments wait for their sync. */
static void increments_in_flight_follow_the_same_rules(void **state) {
    (void)state;
    Stream *stream = world_stream(COUNTED);
    size_t before = world.sent_count;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        world_publish(stream, rules[i].subject, rules[i].headers, slice_of_text(rules[i].payload),
                      "reply");
    world_flush(stream);
    assert_int_equal(world.sent_count - before, sizeof rules / sizeof rules[0]);
    /* The duplicate was only known when it was applied, so what came behind it was made anew. */
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        assert_string_equal(world.sent[before + i].payload, rules[i].answer);
    stream_free(stream);
}

static void an_ordinary_stream_takes_no_increments(void **state) {
    (void)state;
    Stream *stream = world_stream("{\"name\":\"S\",\"subjects\":[\"s.>\"]}");
    assert_string_equal(world_request(stream, "s.a", "Nats-Incr: 1\n", ""),
                        ERR(10168, "message counters is disabled"));
    assert_string_equal(world_request(stream, "s.a", "Nats-Incr: x\n", ""), INVALID);
    stream_free(stream);
}

static void expect_payload(Stream *stream, uint64_t seq, const char *payload) {
    StoredMsg msg;
    assert_int_equal(stream_read(stream, seq, &msg), OK);
    assert_true(slice_equal(msg.payload, slice_of_text(payload)));
    stored_msg_done(&msg);
}

static void delete_last(Stream *stream, uint64_t seq) {
    stream_propose_delete(stream, seq, false, world_call());
}

static void after_a_purge_in_flight_it_counts_from_nothing(void **state) {
    (void)state;
    Stream *stream = world_stream(COUNTED);
    (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
    stream_propose_purge(stream, LIT("s.a"), 0, 0, world_call());
    size_t before = world.sent_count;
    for (unsigned i = 0; i < 3; i++)
        world_publish(stream, "s.a", "Nats-Incr: 1\n", (Slice){0}, "reply");
    world_flush(stream);
    assert_int_equal(world.sent_count, before + 3);
    assert_string_equal(world.sent[before].payload, VAL(2, "1"));
    assert_string_equal(world.sent[before + 1].payload, VAL(3, "2"));
    assert_string_equal(world.sent[before + 2].payload, VAL(4, "3"));
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    expect_payload(stream, 4, "{\"val\":\"3\"}");
    stream_free(stream);
}

static void without_its_last_message_it_counts_from_the_one_before(void **state) {
    (void)state;
    Stream *stream = world_stream(COUNTED);
    (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
    (void)world_request(stream, "s.a", "Nats-Incr: 2\n", "");
    delete_last(stream, 2);
    size_t before = world.sent_count;
    world_publish(stream, "s.a", "Nats-Incr: 1\n", (Slice){0}, "reply");
    world_publish(stream, "s.a", "Nats-Incr: 1\n", (Slice){0}, "reply");
    world_flush(stream);
    assert_int_equal(world.sent_count, before + 2);
    assert_string_equal(world.sent[before].payload, VAL(3, "6"));
    assert_string_equal(world.sent[before + 1].payload, VAL(4, "7"));
    stream_free(stream);
}

static void a_total_on_disk_is_read_first(void **state) {
    (void)state;
    Stream *stream = world_stream(COUNTED);
    (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
    (void)world_request(stream, "s.a", "Nats-Incr: 2\n", "");
    delete_last(stream, 2);
    world_flush(stream);
    world.is_cold = true;
    size_t before = world.sent_count;
    world_publish(stream, "s.a", "Nats-Incr: 1\n", (Slice){0}, "reply");
    world_publish(stream, "s.a", "Nats-Incr: 2\n", (Slice){0}, "reply");
    world_flush(stream);
    assert_int_equal(world.sent_count, before);
    world.is_cold = false;
    world.fetch_done(world.fetch_cookie, OK);
    world_flush(stream);
    assert_int_equal(world.sent_count, before + 2);
    assert_string_equal(world.sent[before].payload, VAL(3, "6"));
    assert_string_equal(world.sent[before + 1].payload, VAL(4, "8"));

    delete_last(stream, 4); /* a stream that goes while a publish waits */
    world_flush(stream);
    world.is_cold = true;
    world_publish(stream, "s.a", "Nats-Incr: 1\n", (Slice){0}, "reply");
    stream_free(stream);
    world.fetch_done(world.fetch_cookie, OK);
}

static void what_is_refused_leaves_the_total_alone(void **state) {
    (void)state;
    Stream *stream = world_stream(COUNTED);
    (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
    world_publish(stream, "s.a", "Nats-Incr: 1\n", (Slice){0}, "reply");
    world_publish(stream, "s.a", "Nats-Incr: 1\n", (Slice){0}, "reply");
    world_refuse(stream, ERR_FULL);
    assert_string_equal(world_request(stream, "s.a", "Nats-Incr: 1\n", ""), VAL(2, "6"));
    stream_free(stream);
}

static void apply_again(Stream *stream, size_t from) {
    for (size_t i = from; i < world.entry_count; i++)
        stream_group_ops.apply(&stream->group, &world.entries[i].record, world.entries[i].place,
                               world.entries[i].bytes, NULL);
}

static void place_again(Stream *stream, size_t upto) {
    for (size_t i = 0; i < upto; i++)
        stream_group_ops.place(&stream->group, &world.entries[i].record, world.entries[i].place);
}

static Stream *new_copy(Account *account) {
    return stream_new(&world.js, account, 7, world_config(COUNTED), world.wall_ns);
}

static void recovery_finds_the_same_totals(void **state) {
    (void)state;
    Stream *stream = world_stream(COUNTED);
    Account *account = stream->account;
    Buf checkpoint = {0};
    (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
    (void)world_request(stream, "s.a", "Nats-Incr: 2\n", "");
    (void)world_request(stream, "s.b", "Nats-Incr: 9\n", "");
    delete_last(stream, 2);
    world_flush(stream);
    stream_save(&stream->group, &checkpoint);
    size_t saved_at = world.entry_count;
    assert_string_equal(world_request(stream, "s.a", "Nats-Incr: 1\n", ""), VAL(4, "6"));
    stream_free(stream);

    for (unsigned from_checkpoint = 0; from_checkpoint < 2; from_checkpoint++) {
        size_t entries = world.entry_count;
        Stream *copy = new_copy(account);
        if (from_checkpoint) {
            assert_int_equal(stream_load(&copy->group, buf_slice(&checkpoint)), OK);
            place_again(copy, saved_at);
        }
        apply_again(copy, from_checkpoint ? saved_at : 0);
        stream_start(copy);
        assert_int_equal(world.entry_count, entries);
        assert_int_equal(copy->state.last_seq, 4);
        expect_payload(copy, 4, "{\"val\":\"6\"}");
        assert_string_equal(world_request(copy, "s.a", "Nats-Incr: 1\n", ""), VAL(5, "7"));
        assert_string_equal(world_request(copy, "s.b", "Nats-Incr: 1\n", ""), VAL(6, "10"));
        stream_free(copy);
        world_forget(entries); /* the next copy begins where this one did */
    }
    buf_done(&checkpoint);
}

static void a_checkpoint_keeps_that_a_total_is_unknown(void **state) {
    (void)state;
    Stream *stream = world_stream(COUNTED);
    Account *account = stream->account;
    Buf checkpoint = {0};
    (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
    (void)world_request(stream, "s.a", "Nats-Incr: 0\n", "");
    /* Proposed on the second message; refused, as that is gone, although the sum would be right. */
    delete_last(stream, 2);
    world_publish(stream, "s.a", "Nats-Incr: 1\n", (Slice){0}, NULL);
    size_t saved_at = world.applied_count + 1;
    FakeEntry entry = world.entries[world.applied_count++];
    stream->group.in_flight--;
    stream_group_ops.apply(&stream->group, &entry.record, entry.place, entry.bytes, &entry.ticket);
    stream_save(&stream->group, &checkpoint);
    world_flush(stream);
    assert_int_equal(stream->state.last_seq, 3);
    size_t last = world.entry_count - 1;
    stream_free(stream);

    Stream *copy = new_copy(account);
    assert_int_equal(stream_load(&copy->group, buf_slice(&checkpoint)), OK);
    place_again(copy, saved_at);
    apply_again(copy, saved_at);
    stream_start(copy);
    assert_int_equal(copy->state.last_seq, 3);
    assert_true(msg_index_get(copy->index, 3)->place == world.entries[last].place);
    expect_payload(copy, 3, "{\"val\":\"6\"}");
    stream_free(copy);
    buf_done(&checkpoint);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(increments_follow_the_rules, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(increments_in_flight_follow_the_same_rules, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_ordinary_stream_takes_no_increments, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(after_a_purge_in_flight_it_counts_from_nothing, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(without_its_last_message_it_counts_from_the_one_before,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_total_on_disk_is_read_first, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_is_refused_leaves_the_total_alone, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(recovery_finds_the_same_totals, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_keeps_that_a_total_is_unknown, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
