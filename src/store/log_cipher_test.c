/* An encrypted log: keys, what stands on disk, and what becomes of damage. */
#include "store/log_cipher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/disk.h"
#include "store/log_private.h"
#include "store/path.h"

static char dir[64];
static Worker **all;
static uint64_t next_index;
static Place places[400];
static const char MARKER[] = "a text that must not be found";

static int make_dir(void **state) {
    (void)state;
    next_index = 0;
    (void)snprintf(dir, sizeof dir, "/tmp/log_cipher_test.XXXXXX");
    return mkdtemp(dir) && workers_new(1, &all) == OK ? 0 : -1;
}

static int remove_dir(void **state) {
    (void)state;
    char command[100];
    workers_free(all);
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

typedef struct Seen {
    uint64_t records, damages;
} Seen;

static void visit(void *cookie, const Record *record, Place at, uint64_t damaged_bytes) {
    Seen *seen = cookie;
    if (damaged_bytes) {
        seen->damages++;
        return;
    }
    seen->records++;
    assert_true(at == places[record->index]);
    assert_true(slice_starts_with(record->payload, slice_of_text(MARKER)));
}

static LogOptions options(CipherKind kind, Slice key, Slice key_before) {
    return (LogOptions){.dir = dir, .segment_bytes = 256 * 1024, .cipher = {kind, key, key_before}};
}

static Status try_open(const LogOptions *opts, Seen *out_seen, Log **out_log) {
    LogReport report;
    *out_seen = (Seen){0};
    Status status = log_open(opts, visit, out_seen, &report, out_log);
    if (status == OK)
        log_report_done(&report);
    return status;
}

static Log *must_open(CipherKind kind, Slice key, Slice key_before, uint64_t records) {
    LogOptions opts = options(kind, key, key_before);
    Seen seen;
    Log *log;
    assert_int_equal(try_open(&opts, &seen, &log), OK);
    assert_int_equal(seen.records, records);
    assert_int_equal(seen.damages, 0);
    return log;
}

static void on_done(Worker *home, LogChunk *chunk) {
    (void)home;
    assert_int_equal(chunk->status, OK);
    places[next_index] = chunk->place;
    shared_unref(chunk->bytes);
    mem_free(chunk);
}

/* One block each. */
static void put(Log *log, unsigned count) {
    while (count--) {
        Record record = {.type = RECORD_PUBLISH, .group = 1, .index = ++next_index};
        record.subject = slice_of_text(MARKER);
        record.payload = slice_of_text(MARKER);
        LogChunk *chunk = mem_zalloc(sizeof *chunk);
        chunk->home = all[0];
        chunk->len = record_bytes(&record);
        chunk->bytes = shared_new(chunk->len);
        chunk->record_count = 1;
        chunk->done = on_done;
        record_write(&record, shared_bytes(chunk->bytes));
        log_submit(log, chunk);
        log_commit_now(log);
    }
}

static void read_back(Log *log, uint64_t from) {
    LogReader *reader = log_reader_new(log, NULL, 0);
    Record like = {.subject = slice_of_text(MARKER), .payload = slice_of_text(MARKER)};
    for (uint64_t index = from; index <= next_index; index++) {
        Record record;
        Shared *hold;
        assert_int_equal(
            log_reader_read(reader, places[index], record_bytes(&like), &record, &hold), OK);
        assert_true(record.index == index);
        assert_true(slice_equal(record.payload, slice_of_text(MARKER)));
        shared_unref(hold);
    }
    log_reader_free(reader);
}

/* What grep and sum tell of all files. */
static bool is_marker_there(void) {
    char command[200];
    (void)snprintf(command, sizeof command, "grep -rqa '%s' %s", MARKER, dir);
    return system(command) == 0;
}

static void sum_up(char out_sum[100]) {
    char command[200];
    (void)snprintf(command, sizeof command,
                   "cd %s && find . -type f -exec sha256sum {} + | sort | sha256sum", dir);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(out_sum, 100, pipe));
    pclose(pipe);
}

static void nothing_that_was_written_stands_on_disk(void **state) {
    (void)state;
    for (CipherKind kind = CIPHER_AES; kind <= CIPHER_CHACHA; kind++) {
        uint64_t before = next_index;
        Log *log = must_open(kind, LIT("key"), (Slice){0}, before);
        put(log, 100);
        read_back(log, 1);
        log_close(log);
        assert_false(is_marker_there());
        log = must_open(kind, LIT("key"), (Slice){0}, next_index);
        read_back(log, 1);
        log_close(log);
    }
}

static void the_wrong_key_and_none_are_refused_and_nothing_is_touched(void **state) {
    (void)state;
    static const LogOptions wrong[] = {
        {.cipher = {CIPHER_AES, LIT("other"), {0}}},
        {.cipher = {CIPHER_CHACHA, LIT("other"), LIT("another")}},
        {.cipher = {CIPHER_AES, {0}, LIT("key")}},
        {.cipher = {0}},
    };
    Log *log = must_open(CIPHER_AES, LIT("key"), (Slice){0}, 0);
    put(log, 3);
    log_close(log);
    char before[100], after[100];
    sum_up(before);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        LogOptions opts = wrong[i];
        Seen seen;
        opts.dir = dir;
        assert_int_equal(try_open(&opts, &seen, &log), ERR_DENIED);
        sum_up(after);
        assert_string_equal(before, after);
    }
    log_close(must_open(CIPHER_AES, LIT("key"), (Slice){0}, 3));
}

static void a_plain_log_goes_on_encrypted(void **state) {
    (void)state;
    Log *log = must_open(CIPHER_NONE, (Slice){0}, (Slice){0}, 0);
    put(log, 5);
    log_close(log);
    assert_true(is_marker_there());
    log = must_open(CIPHER_CHACHA, LIT("key"), (Slice){0}, 5);
    put(log, 5);
    read_back(log, 1);
    assert_true(place_segment(places[6]) > place_segment(places[5]));
    log_close(log);
    log = must_open(CIPHER_CHACHA, LIT("key"), (Slice){0}, 10);
    read_back(log, 1);
    log_close(log);
    LogOptions opts = options(CIPHER_NONE, (Slice){0}, (Slice){0});
    Seen seen;
    assert_int_equal(try_open(&opts, &seen, &log), ERR_DENIED);
}

static void a_new_key_at_a_start_takes_the_old_ones_place(void **state) {
    (void)state;
    LogOptions opts = options(CIPHER_AES, LIT("one"), (Slice){0});
    Seen seen;
    Log *log = must_open(CIPHER_AES, LIT("one"), (Slice){0}, 0);
    put(log, 4);
    log_close(log);
    log = must_open(CIPHER_AES, LIT("two"), LIT("one"), 4);
    put(log, 4);
    log_close(log);
    assert_int_equal(try_open(&opts, &seen, &log), ERR_DENIED);
    /* Both copies of SUPER have it. */
    for (int copy = 0; copy < 2; copy++) {
        CLEANUP(path_free) char *path = path_join(dir, copy ? "SUPER.a" : "SUPER.b");
        assert_int_equal(disk_remove(path), OK);
        log = must_open(CIPHER_AES, LIT("two"), (Slice){0}, 8);
        read_back(log, 1);
        log_close(log);
    }
}

static void a_new_key_is_taken_while_the_log_is_written(void **state) {
    (void)state;
    LogOptions opts = options(CIPHER_AES, LIT("one"), (Slice){0});
    Seen seen;
    Log *log = must_open(CIPHER_AES, LIT("one"), (Slice){0}, 0);
    put(log, 2);
    log_set_key(log, LIT("two"));
    put(log, 2);
    log_set_key(log, LIT("three"));
    log_set_key(log, LIT("four"));
    put(log, 2);
    log_close(log);
    assert_int_equal(try_open(&opts, &seen, &log), ERR_DENIED);
    log_close(must_open(CIPHER_AES, LIT("four"), (Slice){0}, 6));
}

static void another_cipher_is_for_what_is_new(void **state) {
    (void)state;
    Log *log = must_open(CIPHER_AES, LIT("key"), (Slice){0}, 0);
    put(log, 3);
    log_close(log);
    log = must_open(CIPHER_CHACHA, LIT("key"), (Slice){0}, 3);
    put(log, 3);
    assert_int_equal(log->cipher.head.kind, CIPHER_CHACHA);
    assert_int_equal(log->super.key.kind, CIPHER_CHACHA);
    read_back(log, 1);
    log_close(log);
    log_close(must_open(CIPHER_AES, LIT("key"), (Slice){0}, 6));
}

static void no_place_is_encrypted_twice(void **state) {
    (void)state;
    Log *log = must_open(CIPHER_AES, LIT("key"), (Slice){0}, 0);
    put(log, 2);
    uint64_t segment = log_head_segment(log)->number;
    CipherHead head = log->cipher.head;
    log->offset -= BLOCK_ALIGN; /* whatever may lead there */
    put(log, 1);
    assert_true(log_head_segment(log)->number > segment);
    assert_memory_not_equal(head.salt, log->cipher.head.salt, sizeof head.salt);
    segment = log_head_segment(log)->number;
    log->offset = log_head_segment(log)->bytes;
    log_close(log);
    LogOptions opts = options(CIPHER_AES, LIT("key"), (Slice){0});
    Seen seen;
    assert_int_equal(try_open(&opts, &seen, &log), OK);
    put(log, 1);
    assert_true(log_head_segment(log)->number > segment);
    log_close(log);
}

static void write_bytes(uint64_t segment, uint64_t offset, const char *bytes, size_t len) {
    CLEANUP(path_free) char *folder = path_join(dir, "log");
    CLEANUP(path_free) char *path = path_numbered(folder, "", segment, ".log");
    DiskFile *file;
    assert_int_equal(disk_open(path, DISK_READ | DISK_WRITE, &file), OK);
    struct iovec part = {(void *)(uintptr_t)bytes, len};
    assert_int_equal(disk_write(file, &part, 1, offset), OK);
    disk_close(file);
}

static void a_start_leaves_no_room_unused(void **state) {
    (void)state;
    uint64_t used = 0;
    for (int start = 0; start < 20; start++) {
        Log *log = must_open(CIPHER_AES, LIT("key"), (Slice){0}, next_index);
        read_back(log, 1);
        put(log, 2);
        used = log_bytes_used(log);
        log_close(log);
    }
    assert_int_equal(used, 40 * BLOCK_ALIGN);
    Log *log = must_open(CIPHER_AES, LIT("key"), (Slice){0}, next_index);
    assert_int_equal(log->segments.len, 20);
    log_close(log);
}

static void damage_stays_where_it_is(void **state) {
    (void)state;
    static const char zeros[BLOCK_ALIGN];
    LogOptions opts = options(CIPHER_CHACHA, LIT("key"), (Slice){0});
    Seen seen;
    Log *log = must_open(CIPHER_CHACHA, LIT("key"), (Slice){0}, 0);
    put(log, 5);
    log_close(log);
    uint64_t segment = place_segment(places[1]);
    /* The first block's own CipherHead, then a whole page: others tell the key. */
    write_bytes(segment, BLOCK_HEAD_BYTES, zeros, CIPHER_HEAD_BYTES);
    write_bytes(segment, BLOCK_ALIGN, zeros, BLOCK_ALIGN);
    assert_int_equal(try_open(&opts, &seen, &log), OK);
    assert_int_equal(seen.records, 4);
    assert_int_equal(seen.damages, 1);
    places[2] = places[1];
    LogReader *reader = log_reader_new(log, NULL, 0);
    Record like = {.subject = slice_of_text(MARKER), .payload = slice_of_text(MARKER)}, record;
    Shared *hold;
    assert_int_equal(log_reader_read(reader, places[3], record_bytes(&like), &record, &hold), OK);
    assert_true(record.index == 3);
    shared_unref(hold);
    log_reader_free(reader);
    log_close(log);
    assert_false(is_marker_there()); /* in bad/ neither */
}

static void with_both_copies_of_super_lost_the_third_copy_of_the_key_does(void **state) {
    (void)state;
    char command[100];
    Log *log = must_open(CIPHER_AES, LIT("key"), (Slice){0}, 0);
    put(log, 2);
    log_set_key(log, LIT("new"));
    put(log, 1);
    log_close(log);
    (void)snprintf(command, sizeof command, "rm %s/SUPER.*", dir);
    assert_int_equal(system(command), 0);
    LogOptions opts = options(CIPHER_AES, LIT("key"), (Slice){0});
    Seen seen;
    assert_int_equal(try_open(&opts, &seen, &log), ERR_DENIED);
    log = must_open(CIPHER_AES, LIT("new"), (Slice){0}, 3);
    put(log, 1);
    read_back(log, 1);
    log_close(log);
    (void)snprintf(command, sizeof command, "rm %s/KEY", dir);
    assert_int_equal(system(command), 0);
    log_close(must_open(CIPHER_AES, LIT("new"), (Slice){0}, 4));
    (void)snprintf(command, sizeof command, "test -s %s/KEY", dir);
    assert_int_equal(system(command), 0);
}

static void without_any_copy_of_the_key_the_log_is_refused(void **state) {
    (void)state;
    LogOptions opts = options(CIPHER_AES, LIT("key"), (Slice){0});
    Seen seen;
    char command[200], before[100], after[100];
    Log *log = must_open(CIPHER_AES, LIT("key"), (Slice){0}, 0);
    put(log, 2);
    log_close(log);
    (void)snprintf(command, sizeof command, "rm %s/SUPER.* %s/KEY", dir, dir);
    assert_int_equal(system(command), 0);
    sum_up(before);
    assert_int_equal(try_open(&opts, &seen, &log), ERR_DENIED);
    opts.cipher = (CipherOptions){0};
    assert_int_equal(try_open(&opts, &seen, &log), ERR_DENIED);
    sum_up(after);
    assert_string_equal(before, after);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(nothing_that_was_written_stands_on_disk),
        TEST(the_wrong_key_and_none_are_refused_and_nothing_is_touched),
        TEST(a_plain_log_goes_on_encrypted),
        TEST(a_new_key_at_a_start_takes_the_old_ones_place),
        TEST(a_new_key_is_taken_while_the_log_is_written),
        TEST(another_cipher_is_for_what_is_new),
        TEST(no_place_is_encrypted_twice),
        TEST(a_start_leaves_no_room_unused),
        TEST(damage_stays_where_it_is),
        TEST(with_both_copies_of_super_lost_the_third_copy_of_the_key_does),
        TEST(without_any_copy_of_the_key_the_log_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
