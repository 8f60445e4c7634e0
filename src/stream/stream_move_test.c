/* Moving records out of segments of the log: what the entries do, and what is kept of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stream/msg_base.h"
#include "stream/stream_fake_run.h"
#include "stream/stream_move.h"

#define PLAIN "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"storage\":\"file\"}"

enum { MESSAGES = 700, SEGMENTS_MAX = 1024 };

static unsigned done_count;

static void on_done(GroupMove *move) {
    (void)move;
    done_count++;
}

static void publish_all(Stream *stream, unsigned count) {
    char subject[16], payload[32];
    for (unsigned i = 1; i <= count; i++) {
        snprintf(subject, sizeof subject, "s.%u", i % 50);
        snprintf(payload, sizeof payload, "payload %u", i);
        world_publish(stream, subject, i % 3 ? NULL : "A: b\n", slice_of_text(payload), NULL);
        world_flush(stream);
    }
}

/* Every step-th of the entries [from, to); entry n has segment n + 1. */
static uint64_t segments[SEGMENTS_MAX];
static GroupMove order(size_t from, size_t to, size_t step) {
    GroupMove move = {
        .segments = segments, .bytes_left = UINT64_MAX, .entry_bytes = 1000, .done = on_done};
    for (size_t i = from; i < to; i += step)
        segments[move.segment_count++] = i + 1;
    return move;
}

static void run_move(Stream *stream, GroupMove *move) {
    done_count = 0;
    assert_true(stream_move(&stream->group, move));
    while (!done_count) {
        (void)world_run_ready();
        world_flush(stream);
    }
}

static void check_message(Stream *stream, uint64_t seq) {
    char payload[32];
    StoredMsg msg;
    snprintf(payload, sizeof payload, "payload %u", (unsigned)seq);
    assert_int_equal(stream_read(stream, seq, &msg), OK);
    assert_int_equal(msg.seq, seq);
    assert_true(slice_equal(msg.payload, slice_of_text(payload)));
    assert_int_equal(msg.headers.len > 0, seq % 3 == 0);
    stored_msg_done(&msg);
}

static Place place_of_seq(Stream *stream, uint64_t seq) {
    return msg_index_get(stream->index, seq)->place;
}

static void a_moved_message_is_read_where_it_lies_now(void **state) {
    (void)state;
    Buf unused = {0};
    Stream *stream = world_stream(PLAIN);
    publish_all(stream, 30);
    GroupMove move = order(0, 10, 1);
    run_move(stream, &move);
    assert_int_equal(move.records, 10);
    assert_false(move.is_cut_short);
    for (uint64_t seq = 1; seq <= 30; seq++) {
        check_message(stream, seq);
        assert_int_equal(place_segment(place_of_seq(stream, seq)) > 30, seq <= 10);
    }
    assert_int_equal(stream->state.messages, 30);
    /* The old record is given up two checkpoints later. */
    for (int saves = 0; saves < DROP_AGES - DROP_OF_MESSAGES; saves++) {
        assert_true(world.entries[0].live > 0);
        assert_int_equal(world.entries[0].dead, world.entries[0].live);
        stream_save(&stream->group, &unused);
    }
    assert_int_equal(world.entries[0].live, 0);
    assert_int_equal(world.entries[0].dead, 0);
    buf_done(&unused);
    stream_delete(stream);
    for (size_t i = 0; i < world.entry_count; i++)
        assert_int_equal(world.entries[i].live, 0);
}

static void an_entry_moves_only_what_lies_where_it_says(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    MovedWriter writer = {0};
    StoredRecord stored;
    publish_all(stream, 4);
    const Place at[] = {0, place_of_seq(stream, 1), place_of_seq(stream, 2),
                        place_of_seq(stream, 3)};
    for (uint64_t seq = 1; seq <= 3; seq++) {
        assert_int_equal(stream_read_record(stream, seq, &stored), OK);
        moved_writer_add(&writer, seq, seq == 1 ? at[1] + 8 : at[seq], record_raw(&stored.record));
        shared_unref(stored.hold);
    }
    stream_propose_delete(stream, 2, true, world_call());
    Record draft = {.type = RECORD_MOVED,
                    .time_ns = world.wall_ns,
                    .headers = buf_slice(&writer.heads),
                    .payload = buf_slice(&writer.records)};
    Ticket ticket = {.kind = TICKET_MOVED};
    journal_append(NULL, &stream->group, &draft, &ticket, true);
    world_flush(stream);
    assert_true(place_of_seq(stream, 1) == at[1]); /* it lay elsewhere already */
    assert_null(msg_index_get(stream->index, 2));  /* it does not come back */
    assert_true(place_of_seq(stream, 3) > at[3]);
    check_message(stream, 1);
    check_message(stream, 3);
    moved_writer_done(&writer);
    stream_delete(stream);
    for (size_t i = 0; i < world.entry_count; i++)
        assert_int_equal(world.entries[i].live, 0);
}

/* The run is lost, and a bit in one of the members of the newest entry. */
static void whole_members_of_a_damaged_entry_are_not_lost(void **state) {
    (void)state;
    Buf saved = {0};
    Stream *stream = world_stream(PLAIN);
    publish_all(stream, MESSAGES);
    world_freeze(stream, 1);
    GroupMove move = order(100, 400, 7);
    run_move(stream, &move);
    size_t newest = world.entry_count - 1;
    assert_int_equal(world.entries[newest].record.type, RECORD_MOVED);
    stream_save(&stream->group, &saved);
    world_flip_run(1);
    uint64_t hit = 0, inside = 0;
    for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
        Place at = place_of_seq(stream, seq);
        if (place_segment(at) != place_segment(world.entries[newest].place))
            continue;
        if (++inside == 3) {
            hit = seq;
            shared_bytes(world.entries[newest].bytes)[at - world.entries[newest].place + 45] ^= 1;
        }
    }
    assert_true(inside > 5 && hit > 0);

    Stream *copy = stream_new(&world.js, stream->account, 7, world_config(PLAIN), 1);
    assert_int_equal(stream_load(&copy->group, buf_slice(&saved)), OK);
    assert_true(copy->group.needs_log);
    for (size_t i = 0; i < newest; i++)
        stream_group_ops.place(&copy->group, &world.entries[i].record, world.entries[i].place);
    stream_group_ops.place_damaged(&copy->group, &world.entries[newest].record,
                                   world.entries[newest].place);
    stream_start(copy);
    assert_int_equal(copy->state.damaged, 1);
    for (uint64_t seq = 1; seq <= MESSAGES; seq++)
        if (seq != hit)
            check_message(copy, seq);
    stream_free(copy);
    stream_free(stream);
    buf_done(&saved);
}

static void a_large_stream_knows_what_moved_with_its_run_and_without(void **state) {
    (void)state;
    for (int is_rebuilt = 0; is_rebuilt < 2; is_rebuilt++) {
        Buf saved = {0};
        Stream *stream = world_stream(PLAIN);
        publish_all(stream, MESSAGES);
        world_freeze(stream, 1);
        GroupMove move = order(100, 650, 7);
        run_move(stream, &move);
        assert_int_equal(move.records, 79);
        stream_propose_delete(stream, 108, true, world_call()); /* one that was moved */
        stream_propose_delete(stream, 109, true, world_call());
        world_flush(stream);
        stream_save(&stream->group, &saved); /* names the run of before */
        if (is_rebuilt)
            world_flip_run(1);
        world_check_loaded(stream, PLAIN, buf_slice(&saved), is_rebuilt, MESSAGES, check_message);
        stream_free(stream);
        buf_done(&saved);
        world_end();
        world_begin();
    }
}

static void the_next_run_says_where_they_lie(void **state) {
    (void)state;
    for (int is_rebuilt = 0; is_rebuilt < 2; is_rebuilt++) {
        Stream *stream = world_stream(PLAIN);
        publish_all(stream, MESSAGES);
        world_freeze(stream, 1);
        GroupMove move = order(100, 650, 7);
        run_move(stream, &move);
        world_freeze(stream, 2);
        assert_int_equal(stream->index->base->moved.len + stream->index->base->frozen.len, 0);
        for (uint64_t seq = 1; seq <= MESSAGES; seq++)
            check_message(stream, seq);
        if (is_rebuilt)
            world_flip_run(2);
        world_check_loaded(stream, PLAIN, buf_slice(&world_frozen), is_rebuilt, MESSAGES,
                           check_message);
        buf_done(&world_frozen);
        stream_free(stream);
        world_end();
        world_begin();
    }
}

static void what_moves_while_a_run_is_made_is_known_afterwards(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    publish_all(stream, MESSAGES);
    world_freeze(stream, 1);
    publish_all(stream, 0);
    GroupMove first = order(0, 600, 5);
    run_move(stream, &first);

    GroupFreeze freeze = {.generation = 2, .done = world_on_frozen};
    world.inline_max = 4;
    world.mono_step_ns = 1000000; /* many slices */
    GroupMove move = order(1, MESSAGES, 2);
    assert_true(stream_freeze(&stream->group, &freeze));
    run_move(stream, &move);
    while (stream->parts->build)
        (void)world_run_ready();
    for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
        check_message(stream, seq);
        if (seq % 2 == 0)
            assert_true(place_segment(place_of_seq(stream, seq)) > MESSAGES);
    }
    /* The state is that of the moment: what moved later lies where it did. */
    for (size_t i = 0; i < world.entry_count; i++)
        world.entries[i].live = world.entries[i].dead = 0;
    Stream *copy = stream_new(&world.js, stream->account, 7, world_config(PLAIN), 1);
    assert_int_equal(stream_load(&copy->group, buf_slice(&world_frozen)), OK);
    stream_start(copy);
    assert_true(place_of_seq(copy, 2) == place_of(2, 64));
    for (uint64_t seq = 1; seq <= MESSAGES; seq++)
        check_message(copy, seq);
    stream_free(copy);
    buf_done(&world_frozen);
    stream_free(stream);
}

static void a_damaged_record_stays_where_it_is(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    publish_all(stream, 10);
    const Place at = place_of_seq(stream, 4);
    shared_bytes(world.entries[3].bytes)[45] ^= 1;
    GroupMove move = order(0, 10, 1);
    run_move(stream, &move);
    assert_int_equal(move.records, 9);
    assert_true(place_of_seq(stream, 4) == at);
    assert_int_equal(stream->state.damaged, 1);
    assert_true(world.entries[3].live > 0 && world.entries[3].dead == 0);
    stream_free(stream);
}

static void cold_records_are_fetched_first(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    publish_all(stream, 5);
    world.is_cold = true;
    GroupMove move = order(0, 5, 1);
    done_count = 0;
    assert_true(stream_move(&stream->group, &move));
    for (int i = 0; i < 100 && !done_count; i++) {
        (void)world_run_ready();
        world_flush(stream);
        if (world.fetch_done) {
            void (*fetched)(void *cookie, Status status) = world.fetch_done;
            world.fetch_done = NULL;
            fetched(world.fetch_cookie, i == 2 ? ERR_IO : OK);
        }
    }
    assert_int_equal(done_count, 1);
    assert_int_equal(move.records, 4); /* the one that could not be read may be tried again */
    assert_int_equal(stream->state.damaged, 0);
    stream_free(stream);
}

static void a_refusal_ends_the_move_and_so_does_the_end_of_the_stream(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    publish_all(stream, 5);
    GroupMove move = order(0, 5, 1);
    done_count = 0;
    assert_true(stream_move(&stream->group, &move));
    (void)world_run_ready();
    world_refuse(stream, ERR_FULL);
    assert_int_equal(done_count, 1);
    assert_true(move.is_cut_short);
    for (uint64_t seq = 1; seq <= 5; seq++)
        check_message(stream, seq);

    move = order(0, 5, 1);
    assert_true(stream_move(&stream->group, &move));
    stream_free(stream);
    assert_int_equal(done_count, 2);
}

static void nothing_to_move_is_said_at_once(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    publish_all(stream, 600);
    world_freeze(stream, 1);
    buf_done(&world_frozen);
    GroupMove move = order(800, 900, 1);
    assert_false(stream_move(&stream->group, &move));
    stream_free(stream);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_moved_message_is_read_where_it_lies_now),
        TEST(an_entry_moves_only_what_lies_where_it_says),
        TEST(a_large_stream_knows_what_moved_with_its_run_and_without),
        TEST(whole_members_of_a_damaged_entry_are_not_lost),
        TEST(the_next_run_says_where_they_lie),
        TEST(what_moves_while_a_run_is_made_is_known_afterwards),
        TEST(a_damaged_record_stays_where_it_is),
        TEST(cold_records_are_fetched_first),
        TEST(a_refusal_ends_the_move_and_so_does_the_end_of_the_stream),
        TEST(nothing_to_move_is_said_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
