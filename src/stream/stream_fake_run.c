#include "stream/stream_fake_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/disk.h"

Buf world_frozen;

void world_on_frozen(GroupFreeze *freeze) {
    assert_int_equal(freeze->status, OK);
    buf_done(&world_frozen);
    world_frozen = freeze->state;
}

void world_freeze(Stream *stream, uint64_t generation) {
    GroupFreeze freeze = {.generation = generation, .done = world_on_frozen};
    world.inline_max = 4;
    assert_true(stream_freeze(&stream->group, &freeze));
    while (stream->parts->build)
        (void)world_run_ready();
    world.inline_max = UINT64_MAX;
}

void world_flip_run(uint64_t generation) {
    char *bytes = NULL, *path = journal_run_path(NULL, 7, generation);
    size_t len = 0;
    assert_int_equal(disk_read_file(path, 1 << 26, &bytes, &len), OK);
    bytes[5000] ^= 1;
    assert_int_equal(disk_write_file(path, slice_from(bytes, len), 0600), OK);
    mem_free(bytes);
    mem_free(path);
}

void world_check_loaded(Stream *stream, const char *config, Slice saved, bool is_rebuilt,
                        uint64_t last, void (*check)(Stream *copy, uint64_t seq)) {
    for (size_t i = 0; i < world.entry_count; i++)
        world.entries[i].live = world.entries[i].dead = 0;
    Stream *copy = stream_new(&world.js, stream->account, 7, world_config(config), 1);
    assert_int_equal(stream_load(&copy->group, saved), OK);
    assert_int_equal(copy->group.needs_log, is_rebuilt);
    for (size_t i = 0; i < world.entry_count && is_rebuilt; i++)
        stream_group_ops.place(&copy->group, &world.entries[i].record, world.entries[i].place);
    stream_start(copy);
    assert_int_equal(copy->state.damaged, 0);
    for (uint64_t seq = 1; seq <= last; seq++) {
        const MsgSlot *want = msg_index_get(stream->index, seq);
        const MsgSlot *have = msg_index_get(copy->index, seq);
        assert_int_equal(!have, !want);
        if (!have)
            continue;
        assert_true(have->place == want->place);
        check(copy, seq);
    }
    stream_delete(copy);
    for (size_t i = 0; i < world.entry_count; i++)
        assert_int_equal(world.entries[i].live, 0);
}
