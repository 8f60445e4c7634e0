/* The log with real files and its own threads; faults are tests/sim's business. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/disk.h"
#include "io/offload.h"
#include "store/log.h"
#include "store/path.h"

static char dir[64];
static Worker **all;
static bool is_encrypted; /* all tests run twice */

static int make_dir(void **state) {
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/log_test.XXXXXX");
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
    uint64_t records, damaged_bytes, index_last;
} Seen;

static void visit(void *cookie, const Record *record, Place at, uint64_t damaged_bytes) {
    (void)at;
    Seen *seen = cookie;
    if (damaged_bytes) {
        seen->damaged_bytes += damaged_bytes;
        return;
    }
    assert_true(record->index == seen->index_last + 1);
    seen->index_last = record->index;
    seen->records++;
}

/* The same, with gaps behind damage. */
static void visit_damaged(void *cookie, const Record *record, Place at, uint64_t damaged_bytes) {
    Seen *seen = cookie;
    if (damaged_bytes == 0 && seen->damaged_bytes > 0 && record->index > seen->index_last)
        seen->index_last = record->index - 1;
    visit(cookie, record, at, damaged_bytes);
}

static LogOptions options(void) {
    LogOptions opts = {.dir = dir, .segment_bytes = 1024 * 1024};
    if (is_encrypted)
        opts.cipher = (CipherOptions){.kind = CIPHER_AES, .key = LIT("key")};
    return opts;
}

static Log *open_log(const LogOptions *opts, Seen *out_seen) {
    Log *log;
    LogReport report;
    memset(out_seen, 0, sizeof *out_seen);
    assert_int_equal(log_open(opts, visit, out_seen, &report, &log), OK);
    log_report_done(&report);
    return log;
}

static LogChunk *last_done;
static unsigned done_count;

static void on_done(Worker *home, LogChunk *chunk) {
    assert_ptr_equal(home, all[0]);
    assert_int_equal(chunk->status, OK);
    done_count++;
    if (last_done) {
        shared_unref(last_done->bytes);
        mem_free(last_done);
    }
    last_done = chunk;
}

static void forget_last(void) {
    shared_unref(last_done->bytes);
    mem_free(last_done);
    last_done = NULL;
}

static uint64_t next_index;

static void submit(Log *log, size_t payload_len, unsigned records) {
    char *payload = mem_zalloc(payload_len);
    Buf bytes = {0};
    for (unsigned i = 0; i < records; i++) {
        Record record = {.type = RECORD_PUBLISH, .group = 1, .index = ++next_index};
        record.subject = LIT("a.subject");
        record.payload = slice_from(payload, payload_len);
        record_write(&record, buf_reserve(&bytes, record_bytes(&record)));
        bytes.len += record_bytes(&record);
    }
    LogChunk *chunk = mem_zalloc(sizeof *chunk);
    chunk->home = all[0];
    chunk->bytes = shared_new(bytes.len);
    memcpy(shared_bytes(chunk->bytes), bytes.ptr, bytes.len);
    chunk->len = bytes.len;
    chunk->record_count = records;
    chunk->done = on_done;
    buf_done(&bytes);
    mem_free(payload);
    log_submit(log, chunk);
}

static void wait_for(unsigned count) {
    while (done_count < count)
        worker_turn(all[0], true);
}

static void begin(void) {
    next_index = 0;
    done_count = 0;
}

static void what_the_log_thread_committed_is_there_after_a_restart(void **state) {
    (void)state;
    static const uint64_t intervals[] = {0, 1000000, 3600000000000};
    begin();
    for (size_t i = 0; i < sizeof intervals / sizeof intervals[0]; i++) {
        LogOptions opts = options();
        opts.sync_interval_ns = intervals[i];
        Seen seen;
        Log *log = open_log(&opts, &seen);
        assert_true(seen.records == next_index);
        assert_true(seen.damaged_bytes == 0);
        assert_int_equal(log_start(log), OK);
        unsigned goal = done_count + 200;
        for (unsigned n = 0; n < 200; n++)
            submit(log, n * 100, 1 + n % 3); /* over several segments */
        wait_for(goal);
        forget_last();
        log_stop(log);
        log_close(log);
    }
    LogOptions opts = options();
    Seen seen;
    Log *log = open_log(&opts, &seen);
    assert_true(seen.records == next_index);
    log_close(log);
}

static void a_record_larger_than_a_block_is_committed(void **state) {
    (void)state;
    begin();
    LogOptions opts = {.dir = dir};
    Seen seen;
    Log *log = open_log(&opts, &seen);
    assert_int_equal(log_start(log), OK);
    submit(log, 10, 1);
    submit(log, 20 * 1024 * 1024, 1);
    submit(log, 10, 1);
    wait_for(3);
    forget_last();
    log_stop(log);
    log_close(log);
    log = open_log(&opts, &seen);
    assert_true(seen.records == 3);
    log_close(log);
}

static void dead_segments_before_the_floor_are_used_again(void **state) {
    (void)state;
    begin();
    LogOptions opts = options();
    Seen seen;
    Log *log = open_log(&opts, &seen);
    assert_int_equal(log_start(log), OK);
    for (unsigned n = 0; n < 400; n++) { /* 40 MB through segments of 1 MiB */
        submit(log, 100 * 1000, 1);
        wait_for(n + 1);
        log_set_floor(log, last_done->place);
        assert_true(log_bytes_used(log) < 8 * 1024 * 1024);
    }
    forget_last();
    log_stop(log);
    log_close(log);
    Log *again;
    assert_int_equal(log_open_dir(&opts, &again), OK);
    assert_true(log_floor(again) > 0);
    log_close(again);
}

static void what_is_live_keeps_its_segment(void **state) {
    (void)state;
    begin();
    LogOptions opts = options();
    Seen seen;
    Log *log = open_log(&opts, &seen);
    LogReader *reader = log_reader_new(log, all[0], 64 * 1024);
    assert_int_equal(log_start(log), OK);
    submit(log, 3000, 1);
    wait_for(1);
    Place kept = last_done->place;
    size_t bytes = last_done->len;
    log_add_live(log, kept, bytes);
    for (unsigned n = 1; n < 50; n++) {
        submit(log, 100 * 1000, 1);
        wait_for(n + 1);
        log_set_floor(log, last_done->place);
    }
    Record record;
    Shared *hold;
    assert_int_equal(log_reader_read(reader, kept, bytes, &record, &hold), OK);
    assert_true(record.index == 1);
    shared_unref(hold);
    log_drop_live(log, kept, bytes);
    forget_last();
    log_stop(log);
    log_reader_free(reader);
    log_close(log);
    CLEANUP(path_free) char *first = path_join(dir, "log/1.log");
    DiskFile *file;
    assert_int_equal(disk_open(first, DISK_READ, &file), ERR_NOT_FOUND);
}

static void a_second_opener_is_told_that_it_is_busy(void **state) {
    (void)state;
    LogOptions opts = options();
    Seen seen;
    Log *log = open_log(&opts, &seen), *other = NULL;
    assert_int_equal(log_open_dir(&opts, &other), ERR_BUSY);
    log_close(log);
}

static void write_text(const char *name, const char *text) {
    CLEANUP(path_free) char *path = path_join(dir, name);
    assert_int_equal(disk_write_file(path, slice_of_text(text), 0600), OK);
}

static bool is_there(const char *name) {
    CLEANUP(path_free) char *path = path_join(dir, name);
    DiskFile *file;
    if (disk_open(path, DISK_READ, &file) != OK)
        return false;
    disk_close(file);
    return true;
}

static void somebody_elses_directory_is_left_alone(void **state) {
    (void)state;
    write_text("SUPER.a", "Super, thanks for asking!");
    LogOptions opts = options();
    Log *log;
    assert_int_equal(log_open_dir(&opts, &log), ERR_VERSION);
    assert_false(is_there("SUPER.b"));
}

static void unknown_files_are_set_aside(void **state) {
    (void)state;
    LogOptions opts = options();
    Seen seen;
    log_close(open_log(&opts, &seen));
    write_text("log/notes.txt", "mine");
    write_text("log/01.log", "mine");
    log_close(open_log(&opts, &seen));
    assert_false(is_there("log/notes.txt"));
    assert_true(is_there("bad/notes.txt"));
    assert_true(is_there("bad/01.log"));
}

static Status fetched;
static bool is_fetched;

static void a_segment_cut_to_nothing_is_reported_as_damage(void **state) {
    (void)state;
    begin();
    LogOptions opts = options();
    Seen seen;
    Log *log = open_log(&opts, &seen);
    assert_int_equal(log_start(log), OK);
    for (unsigned i = 0; i < 30; i++) {
        submit(log, 100 * 1024, 1);
        wait_for(i + 1);
    }
    forget_last();
    log_stop(log);
    log_close(log);
    char *path = path_join(dir, "log/2.log");
    assert_int_equal(truncate(path, 0), 0);
    mem_free(path);

    LogReport report;
    Seen *after = &(Seen){0};
    assert_int_equal(log_open(&opts, visit_damaged, after, &report, &log), OK);
    assert_true(after->damaged_bytes >= 1);
    assert_true(after->records < 30 && after->records > 0);
    assert_int_equal(after->index_last, 30);
    log_report_done(&report);
    log_close(log);
}

typedef struct Told {
    Buf text;            /* all that the visitor was told */
    uint64_t soon[2];    /* index of the last record told in advance, in each step */
    uint64_t in_advance; /* records that were told in both before they came */
} Told;

static void tell(void *cookie, const Record *record, Place at, uint64_t damaged_bytes) {
    Told *told = cookie;
    buf_printf(&told->text, "%llu %llu %llu %zu\n",
               (unsigned long long)(record ? record->index : 0), (unsigned long long)at,
               (unsigned long long)damaged_bytes, record ? record->payload.len : 0);
    if (!damaged_bytes && told->soon[0] >= record->index && told->soon[1] >= record->index)
        told->in_advance++;
}

static void tell_soon(void *cookie, const Record *record, unsigned step) {
    Told *told = cookie;
    assert_true(step < 2 && record->index > told->soon[step]);
    assert_true(step == 0 || told->soon[0] >= record->index);
    assert_int_equal(slice_equal(record->subject, LIT("a.subject")), true);
    told->soon[step] = record->index;
}

static void recover_copy(bool is_read_ahead, Told *out_told, LogReport *out_report) {
    char command[400], *copy = path_join(dir, "copy");
    Log *log;
    (void)snprintf(command, sizeof command,
                   "rm -rf %s/copy && mkdir %s/copy && cp -r %s/log %s/SUPER.* %s/copy", dir, dir,
                   dir, dir, dir);
    assert_int_equal(system(command), 0);
    if (is_encrypted) {
        (void)snprintf(command, sizeof command, "cp %s/KEY %s/copy", dir, dir);
        assert_int_equal(system(command), 0);
    }
    LogOptions opts = options();
    opts.dir = copy;
    opts.is_read_ahead = is_read_ahead;
    assert_int_equal(log_open_dir(&opts, &log), OK);
    assert_int_equal(log_recover(log, 0, tell, tell_soon, out_told, out_report), OK);
    assert_true(log_records(log) == out_report->records);
    log_close(log);
    mem_free(copy);
}

static void damage(const char *name, long at) {
    char *path = path_join(dir, name);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 1, file), byte ^ 1);
    assert_int_equal(fclose(file), 0);
    mem_free(path);
}

static void reading_ahead_tells_the_same_as_reading_in_turn(void **state) {
    (void)state;
    begin();
    LogOptions opts = options();
    Seen seen;
    Log *log = open_log(&opts, &seen);
    assert_int_equal(log_start(log), OK);
    for (unsigned i = 0; i < 200; i++) {
        submit(log, 900, 40);
        wait_for(i + 1);
    }
    assert_true(log_records(log) == 8000);
    forget_last();
    log_stop(log);
    log_close(log);
    damage("log/2.log", 100000);
    damage("log/3.log", 4096 + 20); /* a head */
    damage("log/4.log", 500000);
    damage("log/4.log", 700000);

    Told told[2] = {0};
    LogReport reports[2];
    for (unsigned i = 0; i < 2; i++)
        recover_copy(i, &told[i], &reports[i]);
    assert_true(slice_equal(buf_slice(&told[0].text), buf_slice(&told[1].text)));
    assert_true(slice_equal(buf_slice(&reports[0].text), buf_slice(&reports[1].text)));
    assert_true(reports[0].records == reports[1].records && reports[0].records > 7000);
    assert_true(reports[0].damaged_records > 0);
    assert_true(reports[0].damaged_records == reports[1].damaged_records);
    assert_true(told[1].in_advance > 5000 && told[0].in_advance == told[1].in_advance);
    for (unsigned i = 0; i < 2; i++) {
        buf_done(&told[i].text);
        log_report_done(&reports[i]);
    }
}

static void on_fetched(void *cookie, Status status) {
    (void)cookie;
    fetched = status;
    is_fetched = true;
}

static Status fetch(LogReader *reader, Place place, size_t bytes) {
    is_fetched = false;
    log_reader_fetch(reader, place, bytes, on_fetched, NULL);
    while (!is_fetched)
        worker_turn(all[0], true);
    return fetched;
}

static void read_one(LogReader *reader, Place place, size_t bytes, uint64_t index) {
    Record record;
    Shared *hold;
    Status status = log_reader_peek(reader, place, bytes, &record, &hold);
    if (status == ERR_AGAIN) {
        assert_int_equal(fetch(reader, place, bytes), OK);
        status = log_reader_peek(reader, place, bytes, &record, &hold);
    }
    assert_int_equal(status, OK);
    assert_true(record.index == index);
    shared_unref(hold);
}

static void the_reader_finds_new_records_in_memory_and_old_ones_on_disk(void **state) {
    (void)state;
    begin();
    Offload *offload;
    assert_int_equal(offload_start(1, &offload), OK);
    LogOptions opts = options();
    opts.offload = offload;
    Seen seen;
    Log *log = open_log(&opts, &seen);
    LogReader *reader = log_reader_new(log, all[0], 256 * 1024);
    assert_int_equal(log_start(log), OK);
    enum { COUNT = 300 };
    Place places[COUNT];
    size_t bytes = 0;
    for (unsigned n = 0; n < COUNT; n++) {
        submit(log, 2000, 1);
        wait_for(n + 1);
        places[n] = last_done->place;
        bytes = last_done->len;
        log_reader_keep(reader, last_done);
    }
    Record record;
    Shared *hold;
    assert_int_equal(log_reader_peek(reader, places[COUNT - 1], bytes, &record, &hold), OK);
    assert_true(record.index == COUNT);
    shared_unref(hold);
    assert_int_equal(log_reader_peek(reader, places[0], bytes, &record, &hold), ERR_AGAIN);
    for (unsigned n = 0; n < COUNT; n++)
        read_one(reader, places[n], bytes, n + 1);
    assert_int_equal(fetch(reader, places[3] + 8, bytes), ERR_CORRUPT); /* none begins there */

    /* The same for who does not know how long they are: in order, and here and there. */
    for (unsigned step = 1; step <= 7; step += 6) {
        log_reader_free(reader);
        reader = log_reader_new(log, all[0], 256 * 1024);
        for (unsigned n = 0; n < COUNT; n++)
            read_one(reader, places[n * step % COUNT], 0, n * step % COUNT + 1);
    }
    assert_int_equal(log_reader_read(reader, places[7], 0, &record, &hold), OK);
    assert_true(record.index == 8);
    shared_unref(hold);
    assert_int_equal(fetch(reader, places[3] + 8, 0), ERR_CORRUPT);
    assert_int_equal(log_reader_read(reader, places[5] + 8, 0, &record, &hold), ERR_CORRUPT);
    forget_last();
    log_stop(log);
    offload_stop(offload);
    log_reader_free(reader);
    log_close(log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_the_log_thread_committed_is_there_after_a_restart),
        TEST(a_record_larger_than_a_block_is_committed),
        TEST(dead_segments_before_the_floor_are_used_again),
        TEST(what_is_live_keeps_its_segment),
        TEST(a_second_opener_is_told_that_it_is_busy),
        TEST(somebody_elses_directory_is_left_alone),
        TEST(unknown_files_are_set_aside),
        TEST(a_segment_cut_to_nothing_is_reported_as_damage),
        TEST(reading_ahead_tells_the_same_as_reading_in_turn),
        TEST(the_reader_finds_new_records_in_memory_and_old_ones_on_disk),
    };
    int failed = cmocka_run_group_tests_name("plain", tests, NULL, NULL);
    is_encrypted = true;
    return failed + cmocka_run_group_tests_name("encrypted", tests, NULL, NULL);
}
