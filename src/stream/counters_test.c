#include "stream/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/counters_private.h"
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

/* --- batches --- */

#define BATCHED                                                                                    \
    "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_msg_counter\":true,\"allow_atomic\":true,"     \
    "\"allow_batched\":true}"
#define MEMBER(batch, seq, by)                                                                     \
    "Nats-Batch-Id: " batch "\nNats-Batch-Sequence: " #seq "\nNats-Incr: " by "\n"
#define COMMIT "Nats-Batch-Commit: 1\n"
#define STORED(seq, batch, n)                                                                      \
    "{\"stream\":\"S\",\"seq\":" #seq ",\"batch\":\"" batch "\",\"count\":" #n "}"

static void publish(Stream *stream, const char *subject, const char *headers) {
    world_publish(stream, subject, headers, (Slice){0}, "reply");
}

/* Nothing is left of what was in flight. */
static void expect_landed(const Stream *stream) {
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    assert_int_equal(stream->parts->counters->flights.len, 0);
    assert_int_equal(batch_counts_add(world.js.batch_counts, BATCHES_OPEN_BYTES, 0), 0);
}

static void increments_of_a_batch_add_up(void **state) {
    (void)state;
    Stream *stream = world_stream(BATCHED);
    (void)world_request(stream, "s.a", "Nats-Incr: 100\n", "");
    publish(stream, "s.a", MEMBER("b", 1, "1"));
    publish(stream, "s.b", MEMBER("b", 2, "5"));
    assert_string_equal(world_request(stream, "s.a", MEMBER("b", 3, "-2") COMMIT, ""),
                        STORED(4, "b", 3));
    expect_payload(stream, 2, "{\"val\":\"101\"}");
    expect_payload(stream, 3, "{\"val\":\"5\"}");
    expect_payload(stream, 4, "{\"val\":\"99\"}");
    assert_string_equal(world_request(stream, "s.a", "Nats-Incr: 1\n", ""), VAL(5, "100"));
    expect_landed(stream);
    stream_free(stream);
}

/* Of batches and single ones, all in flight; one of them is refused when it is applied, and what
 * was built on it is made anew. */
static void batches_in_flight_follow_each_other(void **state) {
    (void)state;
    Stream *stream = world_stream(BATCHED);
    size_t before = world.sent_count;
    world_publish(stream, "s.b", "Nats-Incr: 3\nNats-Msg-Id: i\n", (Slice){0}, NULL);
    publish(stream, "s.a", "Nats-Incr: 10\n");
    world_publish(stream, "s.a", MEMBER("b", 1, "1"), (Slice){0}, NULL);
    publish(stream, "s.a", MEMBER("b", 2, "2") COMMIT "Nats-Msg-Id: i\n"); /* known by then */
    publish(stream, "s.a", "Nats-Incr: 100\n");
    world_publish(stream, "s.b", MEMBER("c", 1, "1000"), (Slice){0}, NULL);
    publish(stream, "s.a", MEMBER("c", 2, "2000") COMMIT);
    publish(stream, "s.b", "Nats-Incr: 4\n");
    world_flush(stream);
    assert_int_equal(world.sent_count, before + 5);
    assert_string_equal(world.sent[before].payload, VAL(2, "10"));
    assert_string_equal(world.sent[before + 1].payload,
                        ERR(10201, "atomic publish batch contains duplicate message id"));
    size_t seen = 0;
    for (size_t i = before + 2; i < before + 5; i++) {
        seen += !strcmp(world.sent[i].payload, VAL(3, "110"));
        seen += !strcmp(world.sent[i].payload, STORED(5, "c", 2));
        seen += !strcmp(world.sent[i].payload, VAL(6, "1007"));
    }
    assert_int_equal(seen, 3);
    expect_payload(stream, 4, "{\"val\":\"1003\"}");
    expect_payload(stream, 5, "{\"val\":\"2110\"}");
    expect_landed(stream);
    stream_free(stream);
}

static void a_batch_waits_for_totals_on_disk(void **state) {
    (void)state;
    Stream *stream = world_stream(BATCHED);
    for (unsigned i = 0; i < 2; i++) {
        (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
        (void)world_request(stream, "s.b", "Nats-Incr: 7\n", "");
    }
    delete_last(stream, 3);
    delete_last(stream, 4);
    world_flush(stream);
    world.is_cold = true;
    size_t before = world.sent_count;
    world_publish(stream, "s.a", MEMBER("b", 1, "1"), (Slice){0}, NULL);
    publish(stream, "s.b", MEMBER("b", 2, "1") COMMIT);
    world_flush(stream);
    assert_int_equal(world.sent_count, before);
    assert_true(batch_counts_add(world.js.batch_counts, BATCHES_OPEN_BYTES, 0) > 0);
    world.is_cold = false;
    world.fetch_done(world.fetch_cookie, OK);
    world_flush(stream);
    assert_int_equal(world.sent_count, before + 1);
    assert_string_equal(world.sent[before].payload, STORED(6, "b", 2));
    expect_payload(stream, 5, "{\"val\":\"6\"}");
    expect_payload(stream, 6, "{\"val\":\"8\"}");
    expect_landed(stream);

    delete_last(stream, 6); /* a stream that goes while a batch waits */
    world_flush(stream);
    world.is_cold = true;
    publish(stream, "s.b", MEMBER("c", 1, "1") COMMIT);
    stream_free(stream);
    assert_int_equal(batch_counts_add(world.js.batch_counts, BATCHES_OPEN_BYTES, 0), 0);
    world.fetch_done(world.fetch_cookie, OK);
}

static void a_refused_batch_leaves_the_totals_alone(void **state) {
    (void)state;
    Stream *stream = world_stream(BATCHED);
    (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
    world_publish(stream, "s.a", MEMBER("b", 1, "1"), (Slice){0}, NULL);
    publish(stream, "s.a", MEMBER("b", 2, "1") COMMIT);
    world_refuse(stream, ERR_FULL);
    expect_landed(stream);
    assert_string_equal(world_request(stream, "s.a", "Nats-Incr: 1\n", ""), VAL(2, "6"));
    stream_free(stream);
}

static void fast_batches_count_and_answer_in_order(void **state) {
    (void)state;
    Stream *stream = world_stream(BATCHED);
    static const char *const replies[] = {"x.f.1.ok.1.0.$FI", "x.f.1.ok.2.1.$FI",
                                          "x.f.1.ok.3.1.$FI", "x.f.1.ok.4.2.$FI"};
    static const char *const headers[] = {"Nats-Incr: 1\n", "Nats-Incr: 2\nNats-Msg-Id: i\n",
                                          "Nats-Incr: 3\n", "Nats-Incr: 4\n"};
    size_t before = world.sent_count;
    world_publish(stream, "s.b", "Nats-Incr: 3\nNats-Msg-Id: i\n", (Slice){0}, NULL);
    for (unsigned i = 0; i < 4; i++)
        world_publish(stream, "s.a", headers[i], (Slice){0}, replies[i]);
    world_flush(stream); /* the second is a duplicate; what follows it is made anew */
    assert_string_equal(world.sent[world.sent_count - 1].payload, STORED(4, "f", 4));
    for (size_t i = before + 1; i < world.sent_count; i++)
        assert_true(strcmp(world.sent[i - 1].to, world.sent[i].to) <= 0);
    expect_payload(stream, 4, "{\"val\":\"8\"}");
    expect_landed(stream);

    publish(stream, "s.a", NULL); /* a refusal by the log, too */
    world_flush(stream);
    world_publish(stream, "s.a", "Nats-Incr: 1\n", (Slice){0}, "x.g.1.ok.1.0.$FI");
    world_refuse(stream, ERR_FULL);
    expect_landed(stream);
    stream_free(stream);
}

static void recovery_finds_the_totals_of_batches(void **state) {
    (void)state;
    Stream *stream = world_stream(BATCHED);
    Account *account = stream->account;
    (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
    world_publish(stream, "s.b", "Nats-Incr: 3\nNats-Msg-Id: i\n", (Slice){0}, NULL);
    publish(stream, "s.a", MEMBER("b", 1, "1") COMMIT "Nats-Msg-Id: i\n");
    world_publish(stream, "s.a", MEMBER("c", 1, "10"), (Slice){0}, NULL);
    publish(stream, "s.b", MEMBER("c", 2, "20") COMMIT); /* did not fit at first */
    world_flush(stream);
    assert_int_equal(stream->state.last_seq, 4);
    stream_free(stream);

    Stream *copy = stream_new(&world.js, account, 7, world_config(BATCHED), world.wall_ns);
    apply_again(copy, 0);
    stream_start(copy);
    assert_int_equal(copy->state.last_seq, 4);
    expect_payload(copy, 3, "{\"val\":\"15\"}");
    expect_payload(copy, 4, "{\"val\":\"23\"}");
    assert_string_equal(world_request(copy, "s.a", "Nats-Incr: 1\n", ""), VAL(5, "16"));
    stream_free(copy);
}

/* The disk lost the second increment, of a subject that is known or not: those behind it stay. */
static void increments_behind_a_lost_one_stay(void **state) {
    (void)state;
    Stream *stream = world_stream(BATCHED);
    Account *account = stream->account;
    for (unsigned i = 0; i < 2; i++)
        (void)world_request(stream, "s.a", "Nats-Incr: 5\n", "");
    world_publish(stream, "s.a", MEMBER("b", 1, "1"), (Slice){0}, NULL);
    (void)world_request(stream, "s.a", MEMBER("b", 2, "1") COMMIT, "");
    (void)world_request(stream, "s.a", "Nats-Incr: 1\n", "");
    assert_int_equal(stream->state.last_seq, 5);
    stream_free(stream);

    for (unsigned is_known = 0; is_known < 2; is_known++) {
        size_t entries = world.entry_count;
        Stream *copy = stream_new(&world.js, account, 7, world_config(BATCHED), world.wall_ns);
        const FakeEntry *lost = &world.entries[1];
        Record unknown = {.index = lost->record.index};
        stream_group_ops.apply(&copy->group, &world.entries[0].record, world.entries[0].place,
                               world.entries[0].bytes, NULL);
        stream_group_ops.lost(&copy->group, is_known ? &lost->record : &unknown,
                              is_known ? lost->place : 0);
        apply_again(copy, 2);
        stream_start(copy);
        assert_int_equal(copy->state.last_seq, 5);
        expect_payload(copy, 5, "{\"val\":\"13\"}");
        assert_string_equal(world_request(copy, "s.a", "Nats-Incr: 1\n", ""), VAL(6, "14"));
        stream_free(copy);
        world_forget(entries);
    }
}

/* More increments than the account's limit would hold, if each were taken twice. */
static void what_was_counted_is_not_in_flight_any_more(void **state) {
    (void)state;
    Stream *stream = world_stream(BATCHED);
    JetStreamAccountLimits limits = *jetstream_limits(&world.options, 0);
    limits.max_file = 3000;
    world.options.account_limits = &limits;
    for (unsigned i = 0; i < 25; i++)
        assert_non_null(strstr(world_request(stream, "s.a", "Nats-Incr: 1\n", ""), "\"val\":"));
    stream_free(stream);
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
        cmocka_unit_test_setup_teardown(increments_of_a_batch_add_up, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(batches_in_flight_follow_each_other, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_batch_waits_for_totals_on_disk, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_refused_batch_leaves_the_totals_alone, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(fast_batches_count_and_answer_in_order, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(recovery_finds_the_totals_of_batches, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(increments_behind_a_lost_one_stay, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(what_was_counted_is_not_in_flight_any_more, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
