/* Recovery of a store whose files hold anything: never a crash, never a record that was not
 * written, and what was recovered once is recovered again. The first byte chooses: whole files from
 * the input, or a good store with edits. */
#include <stdio.h>
#include <string.h>

#include "../tests/sim/disk_sim.c"

#include "base/assert.h"
#include "base/buf.h"
#include "base/hash.h"
#include "store/block.h"
#include "store/checkpoint.h"
#include "store/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { RECORDS = 40, SEGMENT_BYTES = 16 * 1024 };

static Buf good_segments[8];
static char good_super[4096];
static bool is_made;

typedef struct Recovered {
    uint64_t records, sum;
} Recovered;

static void visit(void *cookie, const Record *record, Place at, uint64_t damaged_bytes) {
    Recovered *recovered = cookie;
    if (damaged_bytes)
        return;
    recovered->records++;
    recovered->sum ^= hash_u64(at ^ record->index);
    if (record->payload.len)
        recovered->sum ^= hash_slice(record->payload);
}

static void on_state(void *cookie, uint32_t group, uint64_t index, Slice state) {
    (void)cookie;
    (void)group;
    (void)index;
    (void)hash_slice(state);
}

static void on_done(Worker *home, LogChunk *chunk) {
    (void)home;
    ASSERT(chunk->status == OK);
    shared_unref(chunk->bytes);
    mem_free(chunk);
}

static void submit_one(Log *log, uint64_t index) {
    char payload[700];
    memset(payload, (int)index, sizeof payload);
    Record record = {.type = RECORD_PUBLISH, .group = 1, .index = index, .subject = LIT("fuzz")};
    record.payload = slice_from(payload, index * 37 % sizeof payload);
    LogChunk *chunk = mem_zalloc(sizeof *chunk);
    chunk->len = record_bytes(&record);
    chunk->bytes = shared_new(chunk->len);
    record_write(&record, shared_bytes(chunk->bytes));
    chunk->record_count = 1;
    chunk->done = on_done;
    log_submit(log, chunk);
}

static Status recover(Recovered *out_recovered) {
    LogOptions options = {.dir = "/store", .segment_bytes = SEGMENT_BYTES};
    Log *log;
    LogReport report;
    memset(out_recovered, 0, sizeof *out_recovered);
    Status status = log_open(&options, visit, out_recovered, &report, &log);
    if (status != OK)
        return status;
    log_report_done(&report);
    submit_one(log, 1000);
    log_commit_now(log);
    log_close(log);
    return OK;
}

static void segment_path(char *path, size_t size, unsigned number) {
    (void)snprintf(path, size, "/store/log/%u.log", number);
}

static void make_good_store(void) {
    is_made = true;
    disk_sim_reset(1, 0);
    LogOptions options = {.dir = "/store", .segment_bytes = SEGMENT_BYTES};
    Log *log;
    LogReport report;
    Recovered recovered;
    Status status = log_open(&options, visit, &recovered, &report, &log);
    ASSERT(status == OK);
    log_report_done(&report);
    for (uint64_t i = 1; i <= RECORDS; i++) {
        submit_one(log, i);
        if (i % 3 == 0)
            log_commit_now(log);
    }
    log_commit_now(log);
    log_close(log);
    uint64_t size;
    for (unsigned i = 0; i < 8; i++) {
        char path[40];
        segment_path(path, sizeof path, i + 1);
        const char *segment = disk_sim_bytes(path, &size);
        if (segment)
            buf_append_bytes(&good_segments[i], segment, size);
    }
    memcpy(good_super, disk_sim_bytes("/store/SUPER.a", &size), sizeof good_super);
}

static void put_good_store(void) {
    disk_sim_put("/store/SUPER.a", good_super, sizeof good_super);
    disk_sim_put("/store/SUPER.b", good_super, sizeof good_super);
    for (unsigned i = 0; i < 8; i++) {
        char path[40];
        segment_path(path, sizeof path, i + 1);
        if (good_segments[i].len)
            disk_sim_put(path, good_segments[i].ptr, good_segments[i].len);
    }
}

/* Edits: u8 file, u16 offset, u8 new byte; with the high bit of file set, the sums of the block
 * there are made right. */
static bool edit(const uint8_t *bytes, size_t len) {
    bool is_forged = false;
    for (; len >= 4; bytes += 4, len -= 4) {
        char path[40];
        unsigned file = bytes[0] & 7;
        uint64_t offset = (uint64_t)bytes[1] << 8 | bytes[2];
        segment_path(path, sizeof path, file + 1);
        if (bytes[0] & 64)
            (void)snprintf(path, sizeof path, "/store/SUPER.%c", file & 1 ? 'a' : 'b');
        uint64_t size;
        char *at = (char *)(uintptr_t)disk_sim_bytes(path, &size);
        if (at == NULL || offset >= size)
            continue;
        at[offset] = (char)bytes[3];
        uint64_t block = offset & ~(uint64_t)4095;
        BlockHead head;
        if (!(bytes[0] & 128) || block + 4096 > size)
            continue;
        memcpy(&head, at + block, sizeof head);
        if (block_bytes(head.body_len) <= size - block) {
            block_seal(&head, at + block);
            is_forged = true;
        }
    }
    return is_forged;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    if (!is_made)
        make_good_store();
    if (len < 2)
        return 0;
    disk_sim_reset(bytes[1], 0);
    bool is_forged = false;
    if (bytes[0] & 1) {
        put_good_store();
        is_forged = edit(bytes + 2, len - 2);
    } else {
        if (bytes[0] & 2)
            disk_sim_put("/store/SUPER.a", good_super, sizeof good_super);
        size_t half = bytes[0] & 4 ? len / 2 : len;
        disk_sim_put("/store/log/1.log", bytes + 2, half > 2 ? half - 2 : 0);
        if (half < len)
            disk_sim_put("/store/log/2.log", bytes + half, len - half);
        if (bytes[0] & 8)
            disk_sim_put("/store/checkpoint.1", bytes + 2, len - 2);
    }
    uint64_t generation;
    Place floor;
    unsigned damaged;
    bool is_whole;
    Status loaded =
        checkpoint_load("/store", NULL, on_state, NULL, &generation, &floor, &damaged, &is_whole);
    ASSERT(loaded == OK || loaded == ERR_NOT_FOUND || loaded == ERR_VERSION ||
           loaded == ERR_DENIED);
    Recovered first, second;
    if (recover(&first) == OK) {
        Status status = recover(&second);
        ASSERT(status == OK);
        ASSERT(is_forged || second.records == first.records + 1);
    }
    disk_sim_done();
    return 0;
}
