/* Frames: a stream with compression whose records were moved into them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/msg_base.h"
#include "stream/stream_fake_run.h"
#include "stream/stream_move.h"

#define PACKED "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"storage\":\"file\",\"compression\":\"s2\"}"

enum { MESSAGES = 700, SEGMENTS_MAX = 2048, PAYLOAD_MAX = 1000 };

static unsigned done_count;
static bool is_noise;

static void on_done(GroupMove *move) {
    (void)move;
    done_count++;
}

static Slice payload_of(uint64_t seq, char *to) {
    int len = snprintf(to, PAYLOAD_MAX,
                       "{\"id\":%llu,\"state\":\"delivered\",\"customer\":\"customer %llu\","
                       "\"address\":\"Long Street %llu, Some Town\",\"total\":%llu}",
                       (unsigned long long)seq, (unsigned long long)seq * 7 % 100,
                       (unsigned long long)seq % 90, (unsigned long long)seq * 31);
    uint64_t state = seq * 0x9e3779b97f4a7c15u;
    if (is_noise)
        len = PAYLOAD_MAX;
    for (int i = 0; i < len && is_noise; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        to[i] = (char)(state >> 56);
    }
    return slice_from(to, (size_t)len);
}

static void publish(Stream *stream, uint64_t seq) {
    char subject[16], payload[PAYLOAD_MAX];
    snprintf(subject, sizeof subject, "s.%u", (unsigned)seq % 50);
    world_publish(stream, subject, seq % 3 ? NULL : "A: b\n", payload_of(seq, payload), NULL);
    world_flush(stream);
}

static Stream *full_stream(unsigned count) {
    is_noise = false;
    Stream *stream = world_stream(PACKED);
    for (unsigned i = 1; i <= count; i++)
        publish(stream, i);
    return stream;
}

/* Every step-th of the entries [from, to); entry n has segment n + 1. */
static uint64_t segments[SEGMENTS_MAX];
static GroupMove order(size_t from, size_t to, size_t step) {
    GroupMove move = {
        .segments = segments, .bytes_left = UINT64_MAX, .entry_bytes = 64 * 1024, .done = on_done};
    for (size_t i = from; i < to; i += step)
        segments[move.segment_count++] = i + 1;
    return move;
}

static GroupMove pack_order(GroupMoveKind kind, uint64_t from, uint64_t to) {
    return (GroupMove){.kind = kind,
                       .from_segment = from,
                       .to_segment = to,
                       .floor_segment = 100,
                       .bytes_left = UINT64_MAX,
                       .entry_bytes = 64 * 1024,
                       .done = on_done};
}

static void run_move(Stream *stream, GroupMove *move) {
    done_count = 0;
    if (!stream_move(&stream->group, move))
        return;
    while (!done_count) {
        (void)world_run_ready();
        world_flush(stream);
    }
}

static Place place_of_seq(Stream *stream, uint64_t seq) {
    return msg_index_get(stream->index, seq)->place;
}

static bool is_framed(Stream *stream, uint64_t seq) {
    return place_of_seq(stream, seq) & MSG_FRAME;
}

static void check_message(Stream *stream, uint64_t seq) {
    char payload[PAYLOAD_MAX];
    StoredMsg msg;
    assert_int_equal(stream_read(stream, seq, &msg), OK);
    assert_int_equal(msg.seq, seq);
    assert_true(slice_equal(msg.payload, payload_of(seq, payload)));
    assert_int_equal(msg.headers.len > 0, seq % 3 == 0);
    stored_msg_done(&msg);
}

static void check_all(Stream *stream, uint64_t count) {
    for (uint64_t seq = 1; seq <= count; seq++)
        if (msg_index_get(stream->index, seq))
            check_message(stream, seq);
}

static void check_nothing_is_live(void) {
    for (size_t i = 0; i < world.entry_count; i++) {
        assert_int_equal(world.entries[i].live, 0);
        assert_int_equal(world.entries[i].dead, 0);
    }
}

static void age(Stream *stream) {
    Buf unused = {0};
    for (int saves = 0; saves < DROP_AGES; saves++)
        stream_save(&stream->group, &unused);
    buf_done(&unused);
}

/* Live bytes of all frames, and what they take. */
static void frames_of(uint64_t *out_live, uint64_t *out_bytes, unsigned *out_count) {
    *out_live = *out_bytes = *out_count = 0;
    for (size_t i = 0; i < world.entry_count; i++) {
        if (world.entries[i].record.type != RECORD_FRAME)
            continue;
        *out_live += (uint64_t)world.entries[i].live;
        *out_bytes += record_bytes(&world.entries[i].record);
        ++*out_count;
    }
}

static void moved_records_are_compressed_and_read_as_before(void **state) {
    (void)state;
    Stream *stream = full_stream(MESSAGES);
    GroupMove move = order(0, MESSAGES, 1);
    run_move(stream, &move);
    assert_int_equal(move.records, MESSAGES);
    assert_true(move.frame_bytes > 0 && move.frame_bytes < move.packed_bytes / 2);
    uint64_t live, bytes;
    unsigned count;
    frames_of(&live, &bytes, &count);
    assert_in_range(count, 2, 4);
    assert_int_equal(bytes, move.frame_bytes);
    assert_in_range(live, bytes - 64 * count, bytes + 64 * count);
    for (uint64_t seq = 1; seq <= MESSAGES; seq++)
        assert_true(is_framed(stream, seq));
    check_all(stream, MESSAGES);
    age(stream);
    for (size_t i = 0; i < MESSAGES; i++)
        assert_int_equal(world.entries[i].live, 0);
    frames_of(&live, &bytes, &count);
    assert_in_range(live, bytes - 64 * count, bytes + 64 * count);
    stream_propose_delete(stream, 5, true, world_call());
    world_flush(stream);
    age(stream);
    uint64_t less;
    frames_of(&less, &bytes, &count);
    assert_true(less < live && less > live - 400);
    stream_delete(stream);
    check_nothing_is_live();
}

static void what_does_not_become_smaller_is_moved_as_it_is(void **state) {
    (void)state;
    is_noise = true;
    Stream *stream = world_stream(PACKED);
    for (unsigned i = 1; i <= MESSAGES; i++)
        publish(stream, i);
    GroupMove move = order(0, MESSAGES, 1);
    run_move(stream, &move);
    assert_int_equal(move.records, MESSAGES);
    assert_int_equal(move.frame_bytes, 0);
    for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
        assert_false(is_framed(stream, seq));
        assert_true(place_segment(place_of_seq(stream, seq)) > MESSAGES);
    }
    check_all(stream, MESSAGES);
    is_noise = false;
    stream_delete(stream);
    check_nothing_is_live();
}

static void packing_moves_what_becomes_smaller_and_that_once(void **state) {
    (void)state;
    Stream *stream = full_stream(MESSAGES);
    GroupMove look = pack_order(MOVE_LOOK, 0, UINT64_MAX);
    run_move(stream, &look);
    assert_true(look.plain_bytes > MESSAGES * 100);
    assert_in_range(look.plain_new_bytes, look.plain_bytes / 2, look.plain_bytes - 1);
    GroupMove move = pack_order(MOVE_PACK, 0, 600);
    run_move(stream, &move);
    for (uint64_t seq = 1; seq <= MESSAGES; seq++)
        assert_int_equal(is_framed(stream, seq), seq < 600);
    assert_false(stream->parts->is_unpackable);
    move = pack_order(MOVE_PACK, 0, UINT64_MAX);
    run_move(stream, &move);
    assert_int_equal(move.records, MESSAGES - 599);
    look = pack_order(MOVE_LOOK, 0, UINT64_MAX);
    run_move(stream, &look);
    assert_int_equal(look.plain_bytes, 0);
    move = pack_order(MOVE_PACK, 0, UINT64_MAX);
    run_move(stream, &move);
    assert_int_equal(move.bytes, 0);
    check_all(stream, MESSAGES);
    stream_delete(stream);
    check_nothing_is_live();
}

static void packing_leaves_noise_alone_and_remembers(void **state) {
    (void)state;
    is_noise = true;
    Stream *stream = world_stream(PACKED);
    for (unsigned i = 1; i <= MESSAGES; i++)
        publish(stream, i);
    GroupMove move = pack_order(MOVE_PACK, 0, UINT64_MAX);
    move.entry_bytes = 4096;
    run_move(stream, &move);
    assert_int_equal(done_count, 1);
    assert_int_equal(move.bytes, 0);
    assert_true(stream->parts->is_unpackable);
    GroupMove look = pack_order(MOVE_LOOK, 0, UINT64_MAX);
    run_move(stream, &look);
    assert_int_equal(look.plain_bytes, 0);
    is_noise = false;
    stream_free(stream);
}

static void a_frame_half_dead_moves_on_as_what_lives(void **state) {
    (void)state;
    Stream *stream = full_stream(MESSAGES);
    GroupMove move = order(0, MESSAGES, 1);
    run_move(stream, &move);
    for (uint64_t seq = 2; seq <= MESSAGES; seq += 2)
        stream_propose_delete(stream, seq, true, world_call());
    world_flush(stream);
    size_t old = world.entry_count;
    move = order(MESSAGES, old, 1);
    run_move(stream, &move);
    assert_int_equal(move.records, MESSAGES / 2);
    check_all(stream, MESSAGES);
    age(stream);
    for (size_t i = 0; i < old; i++)
        assert_int_equal(world.entries[i].live, 0);
    stream_delete(stream);
    check_nothing_is_live();
}

static void checkpoints_and_runs_know_of_frames(void **state) {
    (void)state;
    for (int form = 0; form < 8; form++) {
        bool has_run = form & 1, is_rebuilt = (form & 3) == 3, has_more = form & 4;
        Buf saved = {0};
        Stream *stream = full_stream(MESSAGES);
        GroupMove move = order(50, 500, 3);
        if (has_more) /* some of them moved since the run, some again */
            world_freeze(stream, 1);
        run_move(stream, &move);
        if (has_run)
            world_freeze(stream, 2);
        if (has_more) {
            move = order(400, world.entry_count, 2);
            run_move(stream, &move);
        }
        stream_propose_delete(stream, 55, true, world_call());
        world_flush(stream);
        check_all(stream, MESSAGES);
        stream_save(&stream->group, &saved);
        if (is_rebuilt)
            world_flip_run(2);
        world_check_loaded(stream, PACKED, buf_slice(&saved), is_rebuilt, MESSAGES, check_message);
        buf_done(&saved);
        buf_done(&world_frozen);
        stream_free(stream);
        world_end();
        world_begin();
    }
}

static void replay_puts_everything_where_it_lies(void **state) {
    (void)state;
    Stream *stream = full_stream(MESSAGES);
    GroupMove move = order(0, MESSAGES, 2);
    run_move(stream, &move);
    Stream *copy = stream_new(&world.js, stream->account, 7, world_config(PACKED), 1);
    for (size_t i = 0; i < world.entry_count; i++) {
        FakeEntry *entry = &world.entries[i];
        stream_group_ops.apply(&copy->group, &entry->record, entry->place, entry->bytes, NULL);
    }
    stream_start(copy);
    for (uint64_t seq = 1; seq <= MESSAGES; seq++)
        assert_true(place_of_seq(copy, seq) == place_of_seq(stream, seq));
    check_all(copy, MESSAGES);
    stream_delete(copy);
    stream_free(stream);
}

static void a_damaged_frame_damages_its_records_and_no_others(void **state) {
    (void)state;
    Stream *stream = full_stream(MESSAGES);
    GroupMove move = order(0, MESSAGES, 1);
    run_move(stream, &move);
    FakeEntry *frame = &world.entries[MESSAGES];
    assert_int_equal(frame->record.type, RECORD_FRAME);
    shared_bytes(frame->bytes)[shared_len(frame->bytes) / 2] ^= 1;
    unsigned hit = 0;
    StoredMsg msg;
    for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
        if (place_of_frame(place_of_seq(stream, seq)) != frame->place) {
            check_message(stream, seq);
            continue;
        }
        assert_int_equal(stream_read(stream, seq, &msg), ERR_CORRUPT);
        hit++;
    }
    assert_in_range(hit, 100, MESSAGES - 1);
    assert_int_equal(stream->state.damaged, hit);
    /* They stay where they are. */
    move = order(MESSAGES, world.entry_count, 1);
    run_move(stream, &move);
    assert_int_equal(move.records, MESSAGES - hit);
    stream_free(stream);
}

/* The checksums of the record are good, what it holds is not what was put there. */
static void a_falsified_frame_is_never_served(void **state) {
    (void)state;
    Stream *stream = full_stream(MESSAGES);
    GroupMove move = order(0, MESSAGES, 1);
    run_move(stream, &move);
    FakeEntry *entry = &world.entries[MESSAGES];
    Record record = entry->record;
    char *payload = mem_alloc(record.payload.len);
    memcpy(payload, record.payload.ptr, record.payload.len);
    payload[record.payload.len - 3] ^= 1; /* literals: it can be decompressed */
    record.payload.ptr = payload;
    Shared *bytes = shared_new(record_bytes(&record));
    record_write(&record, shared_bytes(bytes));
    shared_unref(entry->bytes);
    entry->bytes = bytes;
    mem_free(payload);
    StoredMsg msg;
    assert_int_equal(stream_read(stream, 1, &msg), ERR_CORRUPT);
    stream_free(stream);
}

static void a_frame_is_fetched_once(void **state) {
    (void)state;
    Stream *stream = full_stream(MESSAGES);
    GroupMove move = order(0, MESSAGES, 1);
    run_move(stream, &move);
    frame_cache_free(world.js.frames);
    world.js.frames = NULL;
    world.is_cold = true;
    unsigned fetches = 0;
    for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
        StoredMsg msg;
        Status status = stream_read(stream, seq, &msg);
        if (status == ERR_AGAIN) {
            fetches++;
            assert_int_equal(stream_read_now(stream, seq, &msg), OK);
            status = OK;
        }
        assert_int_equal(status, OK);
        stored_msg_done(&msg);
    }
    assert_in_range(fetches, 2, 4);
    stream_free(stream);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(moved_records_are_compressed_and_read_as_before),
        TEST(what_does_not_become_smaller_is_moved_as_it_is),
        TEST(packing_moves_what_becomes_smaller_and_that_once),
        TEST(packing_leaves_noise_alone_and_remembers),
        TEST(a_frame_half_dead_moves_on_as_what_lives),
        TEST(checkpoints_and_runs_know_of_frames),
        TEST(replay_puts_everything_where_it_lies),
        TEST(a_damaged_frame_damages_its_records_and_no_others),
        TEST(a_falsified_frame_is_never_served),
        TEST(a_frame_is_fetched_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
