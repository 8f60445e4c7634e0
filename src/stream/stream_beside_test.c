/* What streams keep beside their messages (sums of counters, schedules) while these lie in an index
 * run, and when it is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/clock.h"
#include "io/disk.h"
#include "stream/msg_base.h"
#include "stream/stream_build.h"
#include "stream/stream_fake.h"

#define COUNTED   "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_msg_counter\":true}"
#define SCHEDULED "{\"name\":\"S\",\"subjects\":[\"s.>\",\"t.>\"],\"allow_msg_schedules\":true}"
#define EVERY_5S  "Nats-Schedule: @every 5s\nNats-Schedule-Target: t.a\n"

enum { NAMES = 400, GROUP = 7 };

typedef struct Frozen {
    GroupFreeze freeze; /* first */
    Buf state;
    size_t entries; /* that are in it */
} Frozen;

static void on_frozen(GroupFreeze *freeze) {
    assert_int_equal(freeze->status, OK);
    ((Frozen *)freeze)->state = freeze->state;
}

static void begin_freeze(Stream *stream, uint64_t generation, Frozen *frozen) {
    *frozen = (Frozen){.freeze = {.generation = generation, .done = on_frozen},
                       .entries = world.entry_count};
    world.inline_max = 4;
    assert_true(stream_freeze(&stream->group, &frozen->freeze));
}

static void end_freeze(Stream *stream) {
    while (stream->parts->build)
        (void)world_run_ready();
    world.inline_max = UINT64_MAX;
    assert_non_null(stream->index->base);
}

static void damage_run(uint64_t generation) {
    char *bytes = NULL, *path = journal_run_path(NULL, GROUP, generation);
    size_t len = 0;
    assert_int_equal(disk_read_file(path, 1 << 26, &bytes, &len), OK);
    bytes[5000] ^= 1;
    assert_int_equal(disk_write_file(path, slice_from(bytes, len), 0600), OK);
    mem_free(bytes);
    mem_free(path);
}

/* A start from what was frozen. */
static Stream *start_again(Account *account, const char *config, const Frozen *frozen,
                           bool is_rebuilt) {
    Stream *copy = stream_new(&world.js, account, GROUP, world_config(config), world.wall_ns);
    assert_int_equal(stream_load(&copy->group, buf_slice(&frozen->state)), OK);
    assert_int_equal(copy->group.needs_log, is_rebuilt);
    for (size_t i = 0; i < frozen->entries && is_rebuilt; i++)
        stream_group_ops.place(&copy->group, &world.entries[i].record, world.entries[i].place);
    for (size_t i = frozen->entries; i < world.entry_count; i++)
        stream_group_ops.apply(&copy->group, &world.entries[i].record, world.entries[i].place,
                               world.entries[i].bytes, NULL);
    copy->group.index_last = copy->group.index_applied = world.entry_count;
    stream_start(copy);
    return copy;
}

/* ---- counters ---- */

static uint64_t sums[NAMES]; /* what they must be */

static void add(Stream *stream, unsigned name, unsigned n) {
    char subject[32], headers[64], want[32];
    (void)snprintf(subject, sizeof subject, "s.%u", name);
    (void)snprintf(headers, sizeof headers, "Nats-Incr: %u\n", n);
    sums[name] += n;
    (void)snprintf(want, sizeof want, "\"val\":\"%llu\"}", (unsigned long long)sums[name]);
    const char *answer = world_request(stream, subject, headers, "");
    if (!strstr(answer, want))
        fail_msg("%s: %s lacks %s", subject, answer, want);
}

static void remove_newest(Stream *stream, unsigned name, unsigned n) {
    char subject[32];
    (void)snprintf(subject, sizeof subject, "s.%u", name);
    SubjectId id = subject_index_find(&stream->parts->subjects, slice_of_text(subject));
    stream_propose_delete(stream, subject_index_entry(&stream->parts->subjects, id)->last, false,
                          world_call());
    world_flush(stream);
    sums[name] -= n;
}

static void sums_are_right_on_a_run_and_without_it(void **state) {
    (void)state;
    for (int is_rebuilt = 0; is_rebuilt < 2; is_rebuilt++) {
        Frozen frozen;
        memset(sums, 0, sizeof sums);
        Stream *stream = world_stream(COUNTED);
        Account *account = stream->account;
        for (unsigned i = 0; i < 2 * NAMES; i++)
            add(stream, i % NAMES, i);
        remove_newest(stream, 3, 3 + NAMES); /* what it is now is not known */
        remove_newest(stream, 5, 5 + NAMES);
        remove_newest(stream, 5, 5); /* nothing is left */

        begin_freeze(stream, 1, &frozen);
        for (unsigned i = 0; i < NAMES; i += 7)
            add(stream, i, 2); /* while it is written */
        remove_newest(stream, 14, 2);
        end_freeze(stream);
        assert_true(subject_is_of_run(subject_index_find(&stream->parts->subjects, LIT("s.1"))));
        for (unsigned i = 0; i < NAMES; i += 3)
            add(stream, i, 1);
        remove_newest(stream, 20, 20 + NAMES); /* of the run */
        stream_free(stream);

        if (is_rebuilt)
            damage_run(1);
        stream = start_again(account, COUNTED, &frozen, is_rebuilt);
        for (unsigned i = 0; i < NAMES; i++)
            add(stream, i, 10);
        buf_done(&frozen.state);

        /* And on the next run, which takes over what nothing happened to. */
        begin_freeze(stream, 2, &frozen);
        end_freeze(stream);
        for (unsigned i = 0; i < NAMES; i += 2)
            add(stream, i, 100);
        stream_free(stream);
        stream = start_again(account, COUNTED, &frozen, false);
        for (unsigned i = 0; i < NAMES; i++)
            add(stream, i, 1000);
        buf_done(&frozen.state);
        stream_free(stream);
        world_end();
        world_begin();
    }
}

/* ---- schedules ---- */

static void pass(Stream *stream, int64_t ns) {
    world.wall_ns += ns;
    if (stream->parts->schedules && world.timer)
        world.timer->due_ns = 0;
    world_fire(stream);
}

static void schedules_on_a_run_fire_with_it_and_without(void **state) {
    (void)state;
    for (int is_rebuilt = 0; is_rebuilt < 2; is_rebuilt++) {
        Frozen frozen;
        Stream *stream = world_stream(SCHEDULED);
        Account *account = stream->account;
        (void)world_request(stream, "s.gone", EVERY_5S, "gone");
        (void)world_request(stream, "s.replaced", EVERY_5S, "replaced");
        (void)world_request(stream, "s.stays", EVERY_5S, "stays");
        for (unsigned i = 0; i < NAMES; i++)
            (void)world_request(stream, i % 2 ? "t.b" : "t.c", NULL, "filler");
        begin_freeze(stream, 1, &frozen);
        end_freeze(stream);
        assert_true(
            subject_is_of_run(subject_index_find(&stream->parts->subjects, LIT("s.stays"))));
        (void)world_request(stream, "s.replaced", NULL, "plain");
        stream_propose_delete(stream, 1, false, world_call());
        world_flush(stream);
        uint64_t last = stream->state.last_seq;
        pass(stream, 5ll * NS_PER_S);
        assert_int_equal(stream->state.last_seq, last + 1); /* one is left */
        stream_free(stream);

        if (is_rebuilt)
            damage_run(1);
        stream = start_again(account, SCHEDULED, &frozen, is_rebuilt);
        assert_int_equal(stream->state.last_seq, last + 1);
        pass(stream, 5ll * NS_PER_S);
        assert_int_equal(stream->state.last_seq, last + 2);
        StoredMsg msg;
        assert_int_equal(stream_read(stream, last + 2, &msg), OK);
        assert_true(slice_equal(msg.payload, LIT("stays")));
        stored_msg_done(&msg);
        buf_done(&frozen.state);
        stream_free(stream);
        world_end();
        world_begin();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums_are_right_on_a_run_and_without_it, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(schedules_on_a_run_fire_with_it_and_without, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
