#include "store/backup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/disk.h"
#include "store/checkpoint.h"
#include "store/log.h"
#include "store/path.h"
#include "store/store_check.h"

typedef struct Rig {
    char root[40];
    char *store, *target, *copy;
    Worker **all;
    Log *log;
    uint64_t index;
} Rig;
static Rig rig;
static bool is_encrypted; /* all tests run twice */

static void ignore(void *cookie, const Record *record, Place at, uint64_t damaged_bytes) {
    (void)record;
    (void)at;
    *(uint64_t *)cookie += damaged_bytes;
}

static void open_log(void) {
    LogReport report;
    uint64_t damaged = 0;
    LogOptions options = {.dir = rig.store, .segment_bytes = 64 * 1024};
    if (is_encrypted)
        options.cipher = (CipherOptions){.kind = CIPHER_CHACHA, .key = LIT("key")};
    assert_int_equal(log_open(&options, ignore, &damaged, &report, &rig.log), OK);
    log_report_done(&report);
}

static int begin(void **state) {
    (void)state;
    rig = (Rig){0};
    memcpy(rig.root, "/tmp/backup-test-XXXXXX", 24);
    assert_non_null(mkdtemp(rig.root));
    rig.store = path_join(rig.root, "store");
    rig.target = path_join(rig.root, "target");
    rig.copy = path_join(rig.root, "copy");
    assert_int_equal(workers_new(1, &rig.all), OK);
    open_log();
    return 0;
}

static int end(void **state) {
    char command[80];
    (void)state;
    if (rig.log)
        log_close(rig.log);
    workers_free(rig.all);
    path_free(rig.store);
    path_free(rig.target);
    path_free(rig.copy);
    (void)snprintf(command, sizeof command, "rm -rf %s", rig.root);
    return system(command);
}

static void done(Worker *home, LogChunk *chunk) {
    (void)home;
    assert_int_equal(chunk->status, OK);
    shared_unref(chunk->bytes);
    mem_free(chunk);
}

/* One block of two records, at that time. */
static void put(int64_t time_ns, Slice payload) {
    LogChunk *chunk = mem_zalloc(sizeof *chunk);
    Record record = {.type = RECORD_PUBLISH, .group = 1, .time_ns = time_ns, .subject = LIT("s")};
    record.payload = payload;
    chunk->home = rig.all[0];
    chunk->bytes = shared_new(2 * record_bytes(&record));
    for (int i = 0; i < 2; i++) {
        record.index = ++rig.index;
        record.time_ns = time_ns + i;
        record_write(&record, shared_bytes(chunk->bytes) + chunk->len);
        chunk->len += record_bytes(&record);
        chunk->record_count++;
    }
    chunk->done = done;
    log_submit(rig.log, chunk);
    log_commit_now(rig.log);
}

static void put_checkpoint(uint64_t generation) {
    Place floor;
    CheckpointWriter *writer = checkpoint_begin(rig.store, generation, log_head(rig.log));
    checkpoint_encrypt(writer, log_cipher(rig.log));
    checkpoint_add(writer, 0, 0, LIT("catalogue"));
    checkpoint_add(writer, 1, rig.index, LIT("state"));
    assert_int_equal(checkpoint_finish(writer, &floor), OK);
}

static BackupReport back_up(void) {
    BackupReport report;
    assert_int_equal(backup_run(rig.store, rig.target, &report), OK);
    assert_int_equal(report.damaged_blocks, 0);
    return report;
}

static StoreCheck look(const char *dir) {
    StoreCheck check;
    assert_int_equal(store_check(dir, LIT("key"), NULL, &check), OK);
    return check;
}

static void check_copy(uint64_t records, uint64_t checkpoints) {
    StoreCheck check = look(rig.copy);
    assert_true(store_check_is_whole(&check));
    assert_int_equal(check.records, records);
    assert_int_equal(check.checkpoints.len, checkpoints);
    store_check_done(&check);
}

static void restore_at(int64_t time_ns, uint64_t records, uint64_t checkpoint) {
    RestoreReport report;
    RestorePoint point = {.has_time = true, .time_ns = time_ns, .key = LIT("key")};
    char command[80];
    (void)snprintf(command, sizeof command, "rm -rf %s", rig.copy);
    assert_int_equal(system(command), 0);
    assert_int_equal(backup_restore(rig.target, rig.copy, &point, &report), OK);
    assert_int_equal(report.records, records);
    assert_int_equal(report.checkpoint, checkpoint);
    check_copy(records, checkpoint != 0);
}

static void a_backup_grows_by_what_is_new(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++)
        put(1000 + i, LIT("payload"));
    BackupReport first = back_up(), again = back_up();
    assert_int_equal(first.last_block, 40);
    assert_true(first.segments > 1);
    assert_int_equal(again.bytes_written, 0);
    put(2000, LIT("more"));
    again = back_up();
    assert_int_equal(again.segments_written, 1);
    assert_int_equal(again.bytes_written, BLOCK_ALIGN);
    restore_at(INT64_MAX, 82, 0);
}

static void a_restored_log_goes_on(void **state) {
    (void)state;
    put(1000, LIT("a"));
    put(2000, LIT("b"));
    (void)back_up();
    restore_at(1500, 2, 0);
    log_close(rig.log);
    path_free(rig.store);
    rig.store = path_join(rig.copy, "");
    open_log();
    put(3000, LIT("c"));
    check_copy(4, 0);
}

static void the_cut_goes_through_a_block(void **state) {
    (void)state;
    put(1000, LIT("a"));
    put(2000, LIT("b"));
    (void)back_up();
    restore_at(999, 0, 0);
    restore_at(1000, 1, 0);
    restore_at(1999, 2, 0);
    restore_at(2000, 3, 0);
    restore_at(2001, 4, 0);
}

static void a_checkpoint_that_knows_more_is_not_taken(void **state) {
    (void)state;
    put(1000, LIT("a"));
    put_checkpoint(1);
    put(2000, LIT("b"));
    put_checkpoint(2);
    put(3000, LIT("c"));
    (void)back_up();
    restore_at(INT64_MAX, 6, 2);
    restore_at(2500, 4, 2);
    restore_at(2000, 3, 1);
    restore_at(1500, 2, 1);
    restore_at(1000, 1, 0);
}

static void check_file(const char *dir, const char *name, Slice want) {
    char *bytes = NULL;
    size_t len = 0;
    CLEANUP(path_free) char *path = path_join(dir, name);
    assert_int_equal(disk_read_file(path, 1 << 20, &bytes, &len), OK);
    assert_true(slice_equal(slice_from(bytes, len), want));
    mem_free(bytes);
}

static void index_runs_are_taken_along_and_brought_back(void **state) {
    (void)state;
    RestoreReport report;
    RestorePoint point = {.has_time = true, .time_ns = INT64_MAX, .key = LIT("key")};
    CLEANUP(path_free) char *idx = path_join(rig.store, "idx");
    CLEANUP(path_free) char *run = path_join(idx, "1.3.run");
    CLEANUP(path_free) char *unfinished = path_join(idx, "1.4.run.tmp");
    put(1000, LIT("a"));
    put_checkpoint(3);
    assert_int_equal(disk_make_dirs(idx), OK);
    assert_int_equal(disk_write_file(run, LIT("a run"), 0600), OK);
    assert_int_equal(disk_write_file(unfinished, LIT("no run"), 0600), OK);
    (void)back_up();
    check_file(rig.target, "idx/1.3.run", LIT("a run"));
    assert_int_equal(backup_restore(rig.target, rig.copy, &point, &report), OK);
    check_file(rig.copy, "idx/1.3.run", LIT("a run"));
    CLEANUP(path_free) char *none = path_join(rig.copy, "idx/1.4.run.tmp");
    assert_true(access(none, F_OK) != 0);
}

static void wrong_places_are_refused(void **state) {
    (void)state;
    BackupReport report;
    RestoreReport restored;
    RestorePoint point = {0};
    put(1000, LIT("a"));
    assert_int_equal(backup_run(rig.copy, rig.target, &report), ERR_NOT_FOUND);
    assert_int_equal(backup_run(rig.store, rig.store, &report), ERR_EXISTS);
    assert_int_equal(backup_restore(rig.target, rig.copy, &point, &restored), ERR_NOT_FOUND);
    assert_int_equal(backup_restore(rig.store, rig.copy, &point, &restored), ERR_NOT_FOUND);
    (void)back_up();
    assert_int_equal(backup_restore(rig.target, rig.store, &point, &restored), ERR_EXISTS);
}

static void damage_is_counted_and_named(void **state) {
    (void)state;
    BackupReport report;
    for (int i = 0; i < 3; i++)
        put(1000, LIT("payload"));
    CLEANUP(path_free) char *log = path_join(rig.store, "log");
    CLEANUP(path_free) char *path = path_numbered(log, "", 1, ".log");
    DiskFile *file;
    char byte;
    assert_int_equal(disk_open(path, DISK_READ | DISK_WRITE, &file), OK);
    uint64_t at = BLOCK_ALIGN + BLOCK_HEAD_BYTES + RECORD_HEADER_BYTES + 3;
    at += is_encrypted ? CIPHER_HEAD_BYTES : 0;
    assert_int_equal(disk_read(file, &byte, 1, at), OK);
    byte ^= 1;
    struct iovec part = {&byte, 1};
    assert_int_equal(disk_write(file, &part, 1, at), OK);
    disk_close(file);

    StoreCheck check = look(rig.store);
    assert_false(store_check_is_whole(&check));
    assert_int_equal(check.damages.len, 1);
    assert_int_equal(check.damages.at[0].segment, 1);
    assert_int_equal(check.damages.at[0].offset, BLOCK_ALIGN);
    assert_int_equal(check.damages.at[0].groups.len, 1);
    assert_int_equal(check.damages.at[0].groups.at[0], 1);
    assert_int_equal(check.records, 5);
    store_check_done(&check);
    assert_int_equal(backup_run(rig.store, rig.target, &report), OK);
    assert_int_equal(report.damaged_blocks, 1);
}

static void without_its_key_an_encrypted_store_is_verified_and_restored_as_a_whole(void **state) {
    (void)state;
    if (!is_encrypted)
        return;
    StoreCheck check;
    RestoreReport report;
    RestorePoint point = {0};
    put(1000, LIT("a"));
    put_checkpoint(1);
    put(2000, LIT("b"));
    (void)back_up();
    assert_int_equal(store_check(rig.store, LIT("other"), NULL, &check), ERR_DENIED);
    assert_int_equal(store_check(rig.store, (Slice){0}, NULL, &check), OK);
    assert_true(store_check_is_whole(&check) && check.is_locked);
    assert_int_equal(check.records, 4);
    assert_int_equal(check.checkpoints.len, 1);
    store_check_done(&check);
    assert_int_equal(backup_restore(rig.target, rig.copy, &point, &report), OK);
    assert_int_equal(report.records, 4);
    assert_int_equal(report.checkpoint, 1);
    check_copy(4, 1);
    restore_at(1000, 1, 0);
    CLEANUP(path_free) char *other = path_join(rig.root, "other");
    point = (RestorePoint){.has_time = true, .time_ns = 1500};
    assert_int_equal(backup_restore(rig.target, other, &point, &report), ERR_DENIED);
    assert_non_null(strstr(report.why, "--key-file"));
    point = (RestorePoint){.last_block = 1};
    assert_int_equal(backup_restore(rig.target, other, &point, &report), ERR_DENIED);
    point.key = LIT("other");
    assert_int_equal(backup_restore(rig.target, other, &point, &report), ERR_DENIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_backup_grows_by_what_is_new),
        TEST(a_restored_log_goes_on),
        TEST(the_cut_goes_through_a_block),
        TEST(a_checkpoint_that_knows_more_is_not_taken),
        TEST(index_runs_are_taken_along_and_brought_back),
        TEST(wrong_places_are_refused),
        TEST(damage_is_counted_and_named),
        TEST(without_its_key_an_encrypted_store_is_verified_and_restored_as_a_whole),
    };
    int failed = cmocka_run_group_tests_name("plain", tests, NULL, NULL);
    is_encrypted = true;
    return failed + cmocka_run_group_tests_name("encrypted", tests, NULL, NULL);
}
