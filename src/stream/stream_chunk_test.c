#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/stream_fake.h"

enum { BIG = 40000 };
#define PLAIN "{\"name\":\"S\",\"subjects\":[\"s.>\"]}"

static char big[BIG];

static Slice filled_with(char c) {
    memset(big, c, sizeof big);
    return slice_from(big, sizeof big);
}

/* "ok", or what was answered. */
static const char *put(Stream *stream, const char *subject, const char *headers, char c) {
    size_t before = world.sent_count;
    world_publish(stream, subject, headers, filled_with(c), "reply");
    world_flush(stream);
    if (world.sent_count == before)
        return "";
    const char *answer = world.sent[world.sent_count - 1].payload;
    return strstr(answer, "\"seq\":") && !strstr(answer, "error") ? "ok" : answer;
}

static void holds(Stream *stream, uint64_t seq, const char *headers, char c) {
    StoredMsg msg;
    assert_int_equal(stream_read(stream, seq, &msg), OK);
    assert_int_equal(msg.seq, seq);
    assert_true(slice_equal(msg.headers, slice_of_text(headers)));
    assert_true(slice_equal(msg.payload, filled_with(c)));
    stored_msg_done(&msg);
}

static RecordType type_of(size_t entry) {
    return world.entries[entry].record.type;
}

static bool is_ref(size_t entry) {
    return type_of(entry) == RECORD_PUBLISH && world.entries[entry].record.flags & RECORD_REF;
}

static void save_three_times(Stream *stream) {
    for (unsigned i = 0; i < DROP_AGES - DROP_OF_MESSAGES; i++) {
        Buf state = {0};
        stream_save(&stream->group, &state);
        buf_done(&state);
    }
}

/* The entries as a start would replay them, from the `done`-th on, over state. */
static Stream *replayed(const Stream *stream, const Buf *state, size_t done) {
    memset(&world.usage, 0, sizeof world.usage);
    for (size_t i = 0; i < world.entry_count; i++)
        world.entries[i].live = 0;
    world.js.chunks = chunk_table_new(NULL);
    Buf json = {0};
    stream_config_write(&json, stream->config, false);
    Stream *copy = stream_new(&world.js, stream->account, 7, world_config(buf_text(&json)),
                              stream->created_ns);
    buf_done(&json);
    if (state)
        assert_int_equal(stream_load(&copy->group, buf_slice(state)), OK);
    for (size_t i = done; i < world.entry_count; i++) {
        const FakeEntry *entry = &world.entries[i];
        if (entry->is_gone)
            stream_group_ops.lost(&copy->group, &entry->record, entry->place);
        else
            stream_group_ops.apply(&copy->group, &entry->record, entry->place, entry->bytes, NULL);
    }
    copy->group.index_last = stream->group.index_last;
    stream_start(copy);
    return copy;
}

/* Frees what replayed made. */
static void end_replay(Stream *copy, ChunkTable *before) {
    stream_free(copy);
    chunk_table_free(world.js.chunks);
    world.js.chunks = before;
}

static void equal_payloads_are_written_once(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    assert_string_equal(put(stream, "s.a", NULL, 'x'), "ok");
    assert_string_equal(put(stream, "s.b", "Foo: bar\n", 'x'), "ok");
    assert_string_equal(put(stream, "s.c", NULL, 'y'), "ok");
    assert_int_equal(world.entry_count, 5);
    assert_true(type_of(0) == RECORD_CHUNK && is_ref(1));
    assert_true(is_ref(2));
    assert_true(type_of(3) == RECORD_CHUNK && is_ref(4));
    assert_int_equal(world.entries[0].live, record_chunk_bytes(BIG));
    holds(stream, 1, "", 'x');
    holds(stream, 2, "NATS/1.0\r\nFoo: bar\r\n\r\n", 'x');
    holds(stream, 3, "", 'y');
    assert_int_equal(stream->state.bytes, 3 * (3 + BIG + 30) + 22 + 4); /* as without chunks */
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    assert_int_equal(world.usage[0].chunk_messages, 3);
    assert_int_equal(world.usage[0].chunk_bytes, 3 * BIG);
    Buf info = {0};
    stream_info_write(&info, stream, &(StreamInfoOptions){.chunks = true});
    assert_non_null(strstr(buf_text(&info), "\"hw_chunks\":{\"messages\":3,\"bytes\":120000}"));
    buf_done(&info);
    stream_free(stream);
}

static void what_is_small_or_switched_off_lies_in_its_message(void **state) {
    (void)state;
    static const char *const configs[] = {
        "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"storage\":\"memory\"}",
        "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"metadata\":{\"_holdwater.dedup\":\"off\"}}",
        "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"republish\":{\"src\":\">\",\"dest\":\"r.>\"}}",
        "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_msg_schedules\":true}",
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        size_t before = world.entry_count;
        Stream *stream = world_stream(configs[i]);
        (void)put(stream, "s.a", NULL, 'x');
        assert_int_equal(world.entry_count, before + 1);
        assert_false(is_ref(before));
        stream_free(stream);
    }
    JetStreamAccountLimits limits = {-1, -1, -1, -1, -1, -1, -1, false, true};
    world.options.account_limits = &limits;
    for (unsigned i = 0; i < 2; i++) { /* the account's, then the server's */
        Stream *off = world_stream(PLAIN);
        (void)put(off, "s.a", NULL, 'x');
        assert_false(is_ref(world.entry_count - 1));
        stream_free(off);
        limits.is_dedup_off = false;
        world.options.is_dedup_off = i == 0;
    }
    Stream *stream = world_stream(PLAIN);
    size_t before = world.entry_count;
    world_publish(stream, "s.a", NULL, slice_from(big, CHUNK_PAYLOAD_MIN - 1), "reply");
    assert_int_equal(world.entry_count, before + 1);
    world_publish(stream, "s.a", NULL, slice_from(big, CHUNK_PAYLOAD_MIN), "reply");
    assert_int_equal(world.entry_count, before + 3);
    world_flush(stream);
    stream_free(stream);
}

static void remove_by_delete(Stream *stream) {
    stream_propose_delete(stream, 1, true, world_call());
}
static void remove_by_purge(Stream *stream) {
    stream_propose_purge(stream, (Slice){0}, 0, 0, world_call());
}
static void remove_by_filter(Stream *stream) {
    stream_propose_purge(stream, LIT("s.a"), 0, 0, world_call());
}
static void remove_by_purge_ahead(Stream *stream) {
    stream_propose_purge(stream, (Slice){0}, 100, 0, world_call());
}
static void remove_by_messages(Stream *stream) {
    stream_propose_config(stream,
                          world_config("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_msgs\":1}"),
                          world_call());
    world_flush(stream);
    (void)world_request(stream, "s.b", NULL, "small");
}
static void remove_by_bytes(Stream *stream) {
    stream_propose_config(stream,
                          world_config("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_bytes\":100}"),
                          world_call());
}
static void remove_by_subject(Stream *stream) {
    stream_propose_config(
        stream, world_config("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_msgs_per_subject\":1}"),
        world_call());
    world_flush(stream);
    (void)world_request(stream, "s.a", NULL, "small");
}
static void remove_by_age(Stream *stream) {
    stream_propose_config(
        stream,
        world_config("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_age\":1000000000,"
                     "\"duplicate_window\":1000000000}"),
        world_call());
    world_flush(stream);
    world.wall_ns += 2000000000;
    world_fire(stream);
    (void)world_request(stream, "s.b", NULL, "small");
}
static void remove_by_rollup(Stream *stream) {
    stream_propose_config(
        stream, world_config("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_rollup_hdrs\":true}"),
        world_call());
    world_flush(stream);
    (void)world_request(stream, "s.a", "Nats-Rollup: sub\n", "small");
}

static void however_a_message_goes_its_chunk_goes_with_the_last(void **state) {
    (void)state;
    void (*const ways[])(Stream *) = {
        remove_by_delete,      remove_by_purge,    remove_by_filter,
        remove_by_purge_ahead, remove_by_messages, remove_by_bytes,
        remove_by_subject,     remove_by_age,      remove_by_rollup,
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        Stream *stream = world_stream(PLAIN);
        size_t chunk = world.entry_count;
        assert_string_equal(put(stream, "s.a", NULL, 'x'), "ok");
        assert_int_equal(type_of(chunk), RECORD_CHUNK);
        ways[i](stream);
        world_flush(stream);
        assert_null(msg_index_get(stream->index, 1));
        assert_int_equal(stream->parts->chunks.uses.len, 0);
        assert_int_equal(stream->parts->chunks.bytes, 0);
        /* A start may still load a checkpoint that has the message. */
        assert_int_equal(world.entries[chunk].live, record_chunk_bytes(BIG));
        save_three_times(stream);
        assert_int_equal(world.entries[chunk].live, 0);
        assert_int_equal(world.entries[chunk + 1].live, 0);
        assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 0);
        stream_free(stream);
    }
}

static void a_deleted_stream_needs_no_chunks(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    (void)put(stream, "s.a", NULL, 'x');
    (void)put(stream, "s.a", NULL, 'y');
    remove_by_delete(stream);
    world_flush(stream);
    world_publish(stream, "s.a", NULL, filled_with('y'), "reply"); /* is on its way */
    stream_drop_log_bytes(stream);
    assert_int_equal(world.entries[0].live, 0);
    world_refuse(stream, ERR_CLOSED);
    stream_free(stream);
    for (size_t i = 0; i < world.entry_count; i++)
        assert_int_equal(world.entries[i].live, 0);
    assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 0);
}

static void what_was_deleted_is_known_until_checkpoints_forget_it(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    (void)put(stream, "s.a", NULL, 'x');
    remove_by_delete(stream);
    world_flush(stream);
    size_t before = world.entry_count;
    (void)put(stream, "s.a", NULL, 'x');
    assert_int_equal(world.entry_count, before + 1);
    save_three_times(stream);
    assert_int_equal(world.entries[0].live, record_chunk_bytes(BIG));
    holds(stream, 2, "", 'x');
    stream_free(stream);
}

/* Between the look at the table and the entry's return nobody forgets the chunk. */
static void a_message_on_its_way_keeps_its_chunk(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    (void)put(stream, "s.a", NULL, 'x');
    remove_by_delete(stream);
    world_publish(stream, "s.a", NULL, filled_with('x'), "reply");
    size_t last = world.entry_count - 1;
    assert_true(is_ref(last));
    world.entry_count--; /* the delete alone */
    world_flush(stream);
    world.entry_count++;
    save_three_times(stream);
    assert_int_equal(world.entries[0].live, record_chunk_bytes(BIG));
    world_flush(stream);
    holds(stream, 2, "", 'x');
    stream_free(stream);
}

static void a_message_whose_chunk_was_refused_is_not_stored(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    (void)put(stream, "s.a", NULL, 'a');
    world_publish(stream, "s.a", NULL, filled_with('x'), "reply");
    size_t chunk = world.applied_count++; /* the disk was full for a moment */
    FakeEntry entry = world.entries[chunk];
    stream->group.in_flight--;
    stream_group_ops.refused(&stream->group, &entry.record, &entry.ticket, ERR_FULL);
    world_flush(stream);
    assert_non_null(strstr(world.sent[world.sent_count - 1].payload, "10047"));
    assert_int_equal(stream->state.last_seq, 1);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    assert_string_equal(put(stream, "s.a", NULL, 'x'), "ok");
    holds(stream, 2, "", 'x');

    /* A start sees the message and not its chunk, and no damage. */
    ChunkTable *before = world.js.chunks;
    memmove(world.entries + chunk, world.entries + chunk + 1,
            (world.entry_count - chunk - 1) * sizeof *world.entries);
    world.entry_count--;
    Stream *copy = replayed(stream, NULL, 0);
    assert_int_equal(copy->state.last_seq, 2);
    assert_int_equal(copy->state.damaged, 0);
    end_replay(copy, before);
    world.entries[world.entry_count++] = entry;
    stream_free(stream);
}

/* What cannot be compared is not believed to be the same, not even to mend what is damaged. */
static void what_is_damaged_is_stored_anew_for_new_messages(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    StoredMsg msg;
    (void)put(stream, "s.a", NULL, 'x');
    (void)put(stream, "s.b", "A: b\n", 'x');
    world.entries[0].is_gone = true;
    size_t before = world.entry_count;
    (void)put(stream, "s.c", NULL, 'x'); /* nobody knew */
    assert_int_equal(type_of(before), RECORD_CHUNK);
    assert_int_equal(world.entries[before].record.flags, 0);
    assert_int_equal(chunk_table_totals(world.js.chunks).damaged, 1);
    holds(stream, 3, "", 'x');
    assert_int_equal(stream_read(stream, 1, &msg), ERR_CORRUPT);
    assert_int_equal(stream_read(stream, 2, &msg), ERR_CORRUPT);
    assert_int_equal(stream->state.damaged, 2);
    (void)put(stream, "s.d", NULL, 'x');
    assert_true(world.entry_count == before + 3 && is_ref(before + 2));
    holds(stream, 4, "", 'x');
    stream_propose_delete(stream, 1, true, world_call());
    stream_propose_delete(stream, 2, true, world_call());
    world_flush(stream);
    save_three_times(stream);
    assert_int_equal(world.entries[0].live, 0);
    assert_int_equal(chunk_table_totals(world.js.chunks).damaged, 0);
    assert_int_equal(world.entries[before].live, record_chunk_bytes(BIG));
    stream_free(stream);
}

static void a_lost_chunk_damages_its_messages_alone(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    StoredMsg msg;
    (void)put(stream, "s.a", NULL, 'x');
    (void)put(stream, "s.a", NULL, 'y');
    (void)put(stream, "s.a", NULL, 'x');
    world.entries[0].is_gone = true;
    ChunkTable *table = world.js.chunks;
    Stream *copy = replayed(stream, NULL, 0);
    assert_int_equal(copy->state.last_seq, 3);
    assert_int_equal(copy->state.damaged, 2);
    assert_int_equal(copy->state.bytes, stream->state.bytes);
    assert_int_equal(stream_read(copy, 1, &msg), ERR_CORRUPT);
    holds(copy, 2, "", 'y');
    assert_int_equal(stream_read(copy, 3, &msg), ERR_CORRUPT);
    world.applied_count = world.entry_count;
    (void)put(copy, "s.a", NULL, 'x');
    holds(copy, 4, "", 'x');
    assert_int_equal(copy->state.damaged, 2);
    end_replay(copy, table);
    stream_free(stream);
}

/* Payloads of like hash and length are told apart by their bytes, live and by a start. */
static void equal_hashes_do_not_make_payloads_equal(void **state) {
    (void)state;
    chunk_table_blind(world.js.chunks);
    Stream *stream = world_stream(PLAIN);
    Buf saved = {0};
    for (const char *c = "xyzxyz"; *c; c++)
        (void)put(stream, "s.a", NULL, *c);
    assert_int_equal(world.entry_count, 9);
    assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 3);
    stream_save(&stream->group, &saved);
    ChunkTable *table = world.js.chunks;
    for (unsigned way = 0; way < 2; way++) {
        Stream *copy = replayed(stream, way ? &saved : NULL, way ? world.entry_count : 0);
        for (uint64_t seq = 1; seq <= 6; seq++)
            holds(copy, seq, "", "zxyzxyz"[seq % 3]);
        assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 3);
        end_replay(copy, table);
    }
    for (uint64_t seq = 1; seq <= 6; seq++)
        holds(stream, seq, "", "zxyzxyz"[seq % 3]);
    stream_propose_delete(stream, 2, true, world_call());
    stream_propose_delete(stream, 5, true, world_call());
    world_flush(stream);
    save_three_times(stream);
    assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 2);
    holds(stream, 1, "", 'x');
    holds(stream, 3, "", 'z');
    buf_done(&saved);
    stream_free(stream);
}

static void publish_big(Stream *stream, const char *subject, char c) {
    world_publish(stream, subject, NULL, filled_with(c), "reply");
}

static void copy(Stream *stream, uint64_t seq, const char *headers, char c) {
    stream_propose_copy(stream, &(StoredMsg){.seq = seq,
                                             .time_ns = 1000 + (int64_t)seq,
                                             .subject = LIT("s.a"),
                                             .headers = slice_of_text(headers),
                                             .payload = filled_with(c)});
}

static void copies_refer_to_chunks_too(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    Buf saved = {0};
    (void)put(stream, "s.a", NULL, 'x');
    size_t before = world.entry_count;
    copy(stream, 7, "", 'x');
    copy(stream, 9, "NATS/1.0\r\nA: b\r\n\r\n", 'y');
    copy(stream, 10, "", 'y');
    world_flush(stream);
    assert_int_equal(world.entry_count, before + 4);
    assert_true(type_of(before) == RECORD_COPY && type_of(before + 1) == RECORD_CHUNK);
    for (size_t i = 0; i < 4; i++)
        assert_true(i == 1 || world.entries[before + i].record.flags & RECORD_REF);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    assert_int_equal(stream->state.last_seq, 10);
    assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 2);
    assert_int_equal(stream->parts->chunks.bytes, 4 * BIG);
    stream_save(&stream->group, &saved);
    ChunkTable *table = world.js.chunks;
    for (unsigned way = 0; way < 2; way++) {
        Stream *again = replayed(stream, way ? &saved : NULL, way ? world.entry_count : 0);
        assert_int_equal(again->state.bytes, stream->state.bytes);
        assert_int_equal(msg_index_get(again->index, 9)->time_ns, 1009);
        holds(again, 7, "", 'x');
        holds(again, 9, "NATS/1.0\r\nA: b\r\n\r\n", 'y');
        holds(again, 10, "", 'y');
        end_replay(again, table);
    }
    holds(stream, 9, "NATS/1.0\r\nA: b\r\n\r\n", 'y');
    copy(stream, 11, "", 'z');
    copy(stream, 12, "", 'x');
    world_refuse(stream, ERR_FULL);
    assert_int_equal(stream->parts->copy_refused, ERR_FULL);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    stream->parts->copy_refused = OK;
    copy(stream, 11, "", 'z');
    FakeEntry entry = world.entries[world.applied_count++]; /* the chunk alone is refused */
    stream->group.in_flight--;
    stream_group_ops.refused(&stream->group, &entry.record, &entry.ticket, ERR_FULL);
    world_flush(stream);
    assert_int_equal(stream->parts->copy_refused, ERR_FULL);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    assert_int_equal(stream->state.last_seq, 10);
    stream_propose_purge(stream, (Slice){0}, 0, 0, world_call());
    world_flush(stream);
    save_three_times(stream);
    assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 0);
    for (size_t i = 0; i < world.entry_count; i++)
        assert_int_equal(world.entries[i].live, 0);
    buf_done(&saved);
    stream_free(stream);
}

/* One of equal payloads at a time goes to the log; all keep their order, small ones too. */
static void what_is_on_its_way_is_waited_for_in_order(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    publish_big(stream, "s.1", 'x');
    publish_big(stream, "s.2", 'y');
    publish_big(stream, "s.3", 'x');
    world_publish(stream, "s.4", NULL, LIT("small"), "reply");
    publish_big(stream, "s.5", 'y');
    publish_big(stream, "s.6", 'z');
    publish_big(stream, "s.7", 'z');
    assert_int_equal(world.entry_count, 4);
    assert_int_equal(stream->group.in_flight, 4 + 5);
    world_flush(stream);
    assert_int_equal(world.entry_count, 6 + 7 - 3);
    assert_int_equal(stream->group.in_flight, 0);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    assert_null(stream->group.hold);
    for (uint64_t seq = 1; seq <= 7; seq++) {
        StoredMsg msg;
        assert_int_equal(stream_read(stream, seq, &msg), OK);
        assert_int_equal(msg.subject.ptr[2], '0' + (int)seq);
        if (seq != 4)
            assert_int_equal(msg.payload.ptr[BIG - 1], "-xyx-yzz"[seq]);
        stored_msg_done(&msg);
    }
    publish_big(stream, "s.8", 'q');
    publish_big(stream, "s.9", 'q'); /* goes its own way when the other is refused */
    world_refuse(stream, ERR_IO);
    assert_null(stream->group.hold);
    assert_int_equal(stream->group.in_flight, 0);
    assert_int_equal(stream->parts->in_flight_bytes, 0);
    assert_string_equal(put(stream, "s.8", NULL, 'q'), "ok");
    holds(stream, 8, "", 'q');
    stream_free(stream);
}

static void fetched(Status status) {
    void (*done)(void *, Status) = world.fetch_done;
    assert_non_null(done);
    world.fetch_done = NULL;
    done(world.fetch_cookie, status);
}

static void what_is_cold_is_read_before_it_is_compared(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    (void)put(stream, "s.a", NULL, 'x');
    (void)put(stream, "s.a", NULL, 'y');
    size_t before = world.entry_count;
    world.is_cold = true;
    world.fetched = 0;
    publish_big(stream, "s.1", 'x');
    publish_big(stream, "s.2", 'y');
    world_publish(stream, "s.3", NULL, LIT("small"), "reply");
    assert_int_equal(world.entry_count, before);
    fetched(OK); /* the fake remembers one place: y is cold */
    assert_int_equal(world.entry_count, before + 1);
    assert_true(is_ref(before));
    fetched(OK);
    assert_int_equal(world.entry_count, before + 3);
    assert_true(is_ref(before + 1));
    world_flush(stream);
    world.is_cold = false;
    holds(stream, 3, "", 'x');
    holds(stream, 4, "", 'y');
    assert_int_equal(stream->state.last_seq, 5);
    stream_free(stream);
}

static void what_cannot_be_read_is_stored_anew(void **state) {
    (void)state;
    static const Status whys[] = {ERR_IO, ERR_CORRUPT, ERR_MEMORY, OK};
    for (size_t i = 0; i < sizeof whys / sizeof whys[0]; i++) {
        Stream *stream = world_stream(PLAIN);
        (void)put(stream, "s.a", NULL, 'x');
        size_t before = world.entry_count;
        world.is_cold = true;
        world.fetched = 0;
        publish_big(stream, "s.b", 'x');
        world.fetched = 0;
        fetched(whys[i]);
        if (whys[i] == OK) { /* it was gone again */
            assert_int_equal(world.entry_count, before);
            world.fetched = 0;
            fetched(OK);
        }
        world.is_cold = false;
        assert_int_equal(world.entry_count, before + 2);
        assert_int_equal(type_of(before), RECORD_CHUNK);
        world_flush(stream);
        holds(stream, 2, "", 'x');
        assert_int_equal(chunk_table_totals(world.js.chunks).damaged, whys[i] == ERR_CORRUPT);
        stream_drop_log_bytes(stream);
        stream_free(stream);
    }
}

static void a_stream_may_go_while_a_chunk_is_read(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    (void)put(stream, "s.a", NULL, 'x');
    world.is_cold = true;
    world.fetched = 0;
    publish_big(stream, "s.b", 'x');
    stream_drop_log_bytes(stream);
    world_drop_gate(stream);
    stream_free(stream);
    fetched(OK);
    assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 0);
}

static void a_checkpoint_says_where_chunks_lie(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    Buf saved = {0};
    (void)put(stream, "s.a", NULL, 'x');
    (void)put(stream, "s.b", "A: b\n", 'x');
    (void)put(stream, "s.c", NULL, 'y');
    stream_propose_delete(stream, 3, true, world_call());
    world_flush(stream);
    stream_save(&stream->group, &saved);
    size_t done = world.entry_count;
    (void)put(stream, "s.d", NULL, 'x');
    (void)put(stream, "s.e", NULL, 'z');
    ChunkTable *table = world.js.chunks;
    Stream *copy = replayed(stream, &saved, done);
    assert_int_equal(copy->state.damaged, 0);
    holds(copy, 1, "", 'x');
    holds(copy, 2, "NATS/1.0\r\nA: b\r\n\r\n", 'x');
    holds(copy, 4, "", 'x');
    holds(copy, 5, "", 'z');
    assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 2);
    assert_int_equal(copy->parts->chunks.bytes, 4 * BIG);
    assert_int_equal(world.entries[0].live, record_chunk_bytes(BIG));
    end_replay(copy, table);
    buf_done(&saved);
    stream_free(stream);
}

/* The save comes between a chunk and its message. */
static void a_checkpoint_knows_a_chunk_whose_message_comes_next(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    Buf saved = {0};
    world_publish(stream, "s.a", NULL, filled_with('x'), "reply");
    world.entry_count--;
    world_flush(stream);
    stream_save(&stream->group, &saved);
    world.entry_count++;
    world_flush(stream);
    ChunkTable *table = world.js.chunks;
    Stream *copy = replayed(stream, &saved, 1);
    holds(copy, 1, "", 'x');
    assert_int_equal(world.entries[0].live, record_chunk_bytes(BIG));
    end_replay(copy, table);
    buf_done(&saved);
    stream_free(stream);
}

/* Nobody else knows the chunk any more: its stream went after the message was decided on. */
static void a_message_names_the_place_of_its_chunk(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    (void)put(stream, "s.a", NULL, 'x');
    (void)put(stream, "s.b", NULL, 'x');
    ChunkTable *table = world.js.chunks;
    Stream *copy = replayed(stream, NULL, 2);
    holds(copy, 1, "", 'x');
    assert_int_equal(world.entries[0].live, record_chunk_bytes(BIG));
    end_replay(copy, table);
    stream_free(stream);
}

static void a_damaged_checkpoint_is_not_believed(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    Buf saved = {0};
    (void)put(stream, "s.a", NULL, 'x');
    (void)put(stream, "s.b", "A: b\n", 'x');
    stream_chunks_save(stream, &saved);
    ChunkTable *table = world.js.chunks;
    for (size_t len = 0; len <= saved.len; len++) {
        world.js.chunks = chunk_table_new(NULL);
        memset(&world.usage, 0, sizeof world.usage);
        Stream *copy =
            stream_new(&world.js, stream->account, 7, world_config(PLAIN), stream->created_ns);
        assert_int_equal(stream_chunks_load(copy, slice_from(saved.ptr, len)),
                         len == saved.len ? OK : ERR_CORRUPT);
        assert_int_equal(copy->parts->chunks.uses.len, 0); /* it has no such messages */
        end_replay(copy, table);
    }
    buf_done(&saved);
    stream_free(stream);
}

static unsigned ready_count;
static void on_ready(StreamWait *wait) {
    (void)wait;
    ready_count++;
}

static void both_parts_are_fetched_when_they_are_cold(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    StoredMsg msg;
    StreamWait wait = {.ready = on_ready};
    (void)put(stream, "s.a", "A: b\n", 'x');
    world.is_cold = true;
    ready_count = 0;
    for (unsigned part = 0; part < 2; part++) {
        assert_int_equal(stream_read(stream, 1, &msg), ERR_AGAIN);
        link_init(&wait.link);
        stream_fetch(stream, 1, &wait);
        world.fetch_done(world.fetch_cookie, OK);
        assert_int_equal(ready_count, part + 1);
        /* The fake remembers one place: the small one is warm now. */
        if (part == 0)
            assert_int_equal(world.fetched, world.entries[1].place);
        else
            assert_int_equal(world.fetched, world.entries[0].place);
        world.is_cold = part == 0;
    }
    holds(stream, 1, "NATS/1.0\r\nA: b\r\n\r\n", 'x');
    world.is_cold = true;
    world.fetched = 0;
    link_init(&wait.link);
    stream_fetch(stream, 1, &wait); /* of what is gone when it comes */
    stream_free(stream);
    world.fetch_done(world.fetch_cookie, OK);
    assert_int_equal(ready_count, 2);
}

static bool nothing(Slice subject) {
    (void)subject;
    return false;
}

/* Consumers get what came in; when none was there to wait for it, whoever comes reads it. */
static void a_known_payload_is_kept_for_who_waits(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    (void)put(stream, "s.a", NULL, 'x');
    (void)put(stream, "s.a", "A: b\n", 'x');
    assert_int_equal(world.stored_count, 2);
    assert_int_equal(world.unread_count, 0);
    world.wants = nothing;
    (void)put(stream, "s.a", NULL, 'x');
    assert_int_equal(world.stored_count, 3);
    assert_int_equal(world.unread_count, 1);
    world.wants = NULL;
    world_publish(stream, "s.a", NULL, filled_with('x'), "reply"); /* never comes back */
    world_publish(stream, "s.a", NULL, filled_with('x'), "reply");
    world_refuse(stream, ERR_IO);
    assert_int_equal(stream->parts->chunks.kept.len, 0);
    world_publish(stream, "s.a", NULL, filled_with('x'), "reply");
    stream_free(stream);
}

/* As the cleaner moves it out of a segment. */
static void a_chunk_that_moves_is_found_where_it_went(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    (void)put(stream, "s.a", "A: b\n", 'x');
    (void)put(stream, "s.b", NULL, 'x');
    Record again = world.entries[0].record;
    size_t moved = world.entry_count;
    again.flags = RECORD_CHUNK_INSTEAD;
    journal_append(NULL, &stream->group, &again, &(Ticket){.kind = TICKET_CALL}, true);
    world_flush(stream);
    assert_int_equal(world.entries[moved].live, record_chunk_bytes(BIG));
    for (unsigned i = 0; i < DROP_AGES; i++) {
        assert_int_equal(world.entries[0].live, record_chunk_bytes(BIG)); /* others' checkpoints */
        Buf saved = {0};
        stream_save(&stream->group, &saved);
        buf_done(&saved);
    }
    assert_int_equal(world.entries[0].live, 0);
    world.entries[0].is_gone = true;
    holds(stream, 1, "NATS/1.0\r\nA: b\r\n\r\n", 'x');
    holds(stream, 2, "", 'x');
    (void)put(stream, "s.c", NULL, 'x');
    assert_true(is_ref(world.entry_count - 1) && world.entry_count == moved + 2);
    stream_propose_purge(stream, (Slice){0}, 0, 0, world_call());
    world_flush(stream);
    save_three_times(stream);
    assert_int_equal(world.entries[moved].live, 0);
    stream_free(stream);
}

/* The message behind it never came. */
static void a_chunk_without_its_message_is_let_go(void **state) {
    (void)state;
    Stream *stream = world_stream(PLAIN);
    world_publish(stream, "s.a", NULL, filled_with('x'), "reply");
    world.entry_count--;
    world_flush(stream);
    world.entry_count++;
    world_refuse(stream, ERR_FULL);
    assert_int_equal(world.entries[0].live, record_chunk_bytes(BIG));
    (void)world_request(stream, "s.a", NULL, "small");
    assert_int_equal(world.entries[0].live, 0);
    stream_free(stream);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(equal_payloads_are_written_once),
        TEST(what_is_small_or_switched_off_lies_in_its_message),
        TEST(however_a_message_goes_its_chunk_goes_with_the_last),
        TEST(a_deleted_stream_needs_no_chunks),
        TEST(what_was_deleted_is_known_until_checkpoints_forget_it),
        TEST(a_message_on_its_way_keeps_its_chunk),
        TEST(a_message_whose_chunk_was_refused_is_not_stored),
        TEST(what_is_damaged_is_stored_anew_for_new_messages),
        TEST(a_lost_chunk_damages_its_messages_alone),
        TEST(equal_hashes_do_not_make_payloads_equal),
        TEST(copies_refer_to_chunks_too),
        TEST(what_is_on_its_way_is_waited_for_in_order),
        TEST(what_is_cold_is_read_before_it_is_compared),
        TEST(what_cannot_be_read_is_stored_anew),
        TEST(a_stream_may_go_while_a_chunk_is_read),
        TEST(a_checkpoint_says_where_chunks_lie),
        TEST(a_checkpoint_knows_a_chunk_whose_message_comes_next),
        TEST(a_message_names_the_place_of_its_chunk),
        TEST(a_damaged_checkpoint_is_not_believed),
        TEST(a_chunk_that_moves_is_found_where_it_went),
        TEST(a_chunk_without_its_message_is_let_go),
        TEST(both_parts_are_fetched_when_they_are_cold),
        TEST(a_known_payload_is_kept_for_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
