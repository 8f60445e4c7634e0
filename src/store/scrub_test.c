/* Scrubbing with real files: what is whole is silent, each kind of damage is found where it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/disk.h"
#include "store/block.h"
#include "store/checkpoint.h"
#include "store/log.h"
#include "store/path.h"
#include "store/run.h"
#include "store/run_format.h"
#include "store/scrub.h"

enum { RECORDS = 12, PAYLOAD = 200 * 1000 };

static char dir[64];
static bool is_encrypted; /* all tests run twice */
static Worker **all;
static Log *log_;
static Scrub *scrub;
static Place places[RECORDS];
static size_t record_len;

static void visit(void *cookie, const Record *record, Place at, uint64_t damaged_bytes) {
    (void)cookie, (void)record, (void)at, (void)damaged_bytes;
}

static void on_done(Worker *home, LogChunk *chunk) {
    static unsigned count;
    (void)home;
    assert_int_equal(chunk->status, OK);
    places[count++ % RECORDS] = chunk->place;
    log_add_live(log_, chunk->place, chunk->len);
    shared_unref(chunk->bytes);
    mem_free(chunk);
}

/* Four a segment, a block each. */
static void write_record(unsigned i) {
    char *payload = mem_alloc(PAYLOAD);
    memset(payload, 'a' + (int)i, PAYLOAD);
    Record record = {.type = RECORD_PUBLISH, .group = 1, .index = i + 1, .subject = LIT("s")};
    record.payload = slice_from(payload, PAYLOAD);
    record_len = record_bytes(&record);
    LogChunk *chunk = mem_zalloc(sizeof *chunk);
    *chunk = (LogChunk){.home = all[0], .len = record_len, .record_count = 1, .done = on_done};
    chunk->bytes = shared_new(record_len);
    record_write(&record, shared_bytes(chunk->bytes));
    log_submit(log_, chunk);
    log_commit_now(log_);
    mem_free(payload);
}

static uint64_t block_of(Place place) {
    return place_offset(place) - BLOCK_HEAD_BYTES - (is_encrypted ? CIPHER_HEAD_BYTES : 0);
}

static int setup(void **state) {
    (void)state;
    LogReport report;
    (void)snprintf(dir, sizeof dir, "/tmp/scrub_test.XXXXXX");
    if (!mkdtemp(dir) || workers_new(1, &all) != OK)
        return -1;
    LogOptions options = {.dir = dir, .segment_bytes = 1024 * 1024};
    if (is_encrypted)
        options.cipher = (CipherOptions){.kind = CIPHER_AES, .key = LIT("key")};
    assert_int_equal(log_open(&options, visit, NULL, &report, &log_), OK);
    log_report_done(&report);
    for (unsigned i = 0; i < RECORDS; i++)
        write_record(i);
    assert_true(place_segment(log_head(log_)) >= 3);
    scrub = scrub_new(log_, dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[100];
    scrub_free(scrub);
    log_close(log_);
    workers_free(all);
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void flip(const char *name, uint64_t at) {
    CLEANUP(path_free) char *path = path_join(dir, name);
    DiskFile *file;
    char byte;
    assert_int_equal(disk_open(path, DISK_READ | DISK_WRITE, &file), OK);
    assert_int_equal(disk_read(file, &byte, 1, at), OK);
    byte ^= 0x10;
    struct iovec part = {&byte, 1};
    assert_int_equal(disk_write(file, &part, 1, at), OK);
    disk_close(file);
}

static void zero(const char *name, uint64_t at, size_t len) {
    CLEANUP(path_free) char *path = path_join(dir, name);
    DiskFile *file;
    char *zeros = mem_zalloc(len);
    struct iovec part = {zeros, len};
    assert_int_equal(disk_open(path, DISK_WRITE, &file), OK);
    assert_int_equal(disk_write(file, &part, 1, at), OK);
    disk_close(file);
    mem_free(zeros);
}

static bool exists(const char *name) {
    CLEANUP(path_free) char *path = path_join(dir, name);
    DiskFile *file;
    if (disk_open(path, DISK_READ, &file) != OK)
        return false;
    disk_close(file);
    return true;
}

/* Everything, once; the caller frees. */
static ScrubDamages pass(uint64_t *out_bytes) {
    ScrubFiles files = {0};
    ScrubFile file;
    ScrubDamages damages;
    uint64_t bytes;
    *out_bytes = 0;
    assert_int_equal(scrub_list(scrub, &files), OK);
    for (uint64_t from = 0; scrub_next_segment(log_, from, &file); from = file.number + 1)
        vec_push(&files, file);
    for (size_t i = 0; i < files.len; i++) {
        assert_int_equal(scrub_begin(scrub, &files.at[i]), OK);
        bool is_done = false;
        while (!is_done) {
            is_done = scrub_step(scrub, &bytes);
            assert_true(bytes <= SCRUB_PIECE_BYTES);
            *out_bytes += bytes;
        }
    }
    vec_done(&files);
    scrub_take(scrub, &damages);
    return damages;
}

static void a_whole_store_is_read_and_nothing_is_said(void **state) {
    (void)state;
    uint64_t bytes;
    ScrubDamages damages = pass(&bytes);
    assert_int_equal(damages.len, 0);
    assert_int_equal(bytes, 2 * 1024 * 1024 + 8192); /* two closed segments, SUPER */
    scrub_damages_done(&damages);
}

static void a_flipped_byte_hits_its_record_and_no_other(void **state) {
    (void)state;
    uint64_t bytes;
    flip("log/1.log", place_offset(places[1]) + 100000);
    ScrubDamages damages = pass(&bytes);
    assert_int_equal(damages.len, 1);
    assert_int_equal(damages.at[0].file.number, 1);
    assert_int_equal(damages.at[0].offset, block_of(places[1]));
    assert_string_equal(damages.at[0].what, "block checksum");
    for (unsigned i = 0; i < RECORDS; i++)
        for (int knows = 0; knows < 2; knows++)
            assert_int_equal(scrub_damage_hits(&damages.at[0], places[i], knows ? record_len : 0),
                             i == 1);
    char name[64];
    (void)snprintf(name, sizeof name, "bad/log-1-%llu.block",
                   (unsigned long long)damages.at[0].offset);
    assert_true(exists(name));
    scrub_damages_done(&damages);
}

static void one_bad_head_of_a_block_is_found(void **state) {
    (void)state;
    uint64_t bytes;
    uint64_t block = block_of(places[5]);
    flip("log/2.log", block + 20);
    ScrubDamages damages = pass(&bytes);
    assert_int_equal(damages.len, 1);
    assert_string_equal(damages.at[0].what, "one of two block heads");
    assert_int_equal(damages.at[0].offset, block);
    assert_false(scrub_damage_hits(&damages.at[0], places[5], record_len));
    scrub_damages_done(&damages);
}

static void a_block_without_heads_is_a_hole_with_its_records(void **state) {
    (void)state;
    uint64_t bytes;
    uint64_t from = block_of(places[5]), to = block_of(places[6]);
    zero("log/2.log", from, to - from);
    ScrubDamages damages = pass(&bytes);
    assert_int_equal(damages.len, 1);
    assert_string_equal(damages.at[0].what, "blocks unreadable");
    for (unsigned i = 0; i < RECORDS; i++)
        for (int knows = 0; knows < 2; knows++)
            assert_int_equal(scrub_damage_hits(&damages.at[0], places[i], knows ? record_len : 0),
                             i == 5);
    scrub_damages_done(&damages);
}

static void a_last_block_that_went_shows_by_the_next_segment(void **state) {
    (void)state;
    uint64_t bytes;
    unsigned last = 0;
    while (place_segment(places[last + 1]) == 1)
        last++;
    uint64_t from = block_of(places[last]);
    zero("log/1.log", from, 1024 * 1024 - from);
    ScrubDamages damages = pass(&bytes);
    assert_int_equal(damages.len, 1);
    assert_int_equal(damages.at[0].file.number, 1);
    assert_string_equal(damages.at[0].what, "blocks missing at the end");
    for (unsigned i = 0; i < RECORDS; i++)
        assert_int_equal(scrub_damage_hits(&damages.at[0], places[i], record_len), i == last);
    scrub_damages_done(&damages);
}

static void a_damaged_checkpoint_is_moved_and_named(void **state) {
    (void)state;
    uint64_t bytes;
    Place floor;
    char *state_bytes = mem_zalloc(600 * 1000);
    for (uint64_t generation = 1; generation <= 2; generation++) {
        CheckpointWriter *writer = checkpoint_begin(dir, generation, 0);
        checkpoint_encrypt(writer, log_cipher(log_));
        checkpoint_add(writer, 0, 1, slice_from(state_bytes, 600 * 1000));
        assert_int_equal(checkpoint_finish(writer, &floor), OK);
    }
    mem_free(state_bytes);
    ScrubDamages damages = pass(&bytes);
    assert_int_equal(damages.len, 0);
    flip("checkpoint.2", 599 * 1000);
    damages = pass(&bytes);
    assert_int_equal(damages.len, 1);
    assert_int_equal(damages.at[0].file.kind, SCRUB_CHECKPOINT);
    assert_int_equal(damages.at[0].file.number, 2);
    assert_true(exists("bad/checkpoint.2"));
    assert_false(exists("checkpoint.2"));
    assert_true(exists("checkpoint.1"));
    scrub_damages_done(&damages);
}

static Slice text_of(void *cookie, uint32_t name) {
    (void)cookie;
    (void)name;
    return LIT("a.subject");
}

static void numbered(void *cookie, uint32_t name, uint32_t ordinal) {
    (void)cookie;
    (void)name;
    assert_int_equal(ordinal, 0);
}

static void page_of(void *cookie, size_t p, RunFill *page) {
    (void)cookie;
    *page = (RunFill){.number = p + 1, .count = RUN_PAGE_SLOTS};
    memset(page->has, 0xff, sizeof page->has);
    for (uint64_t i = 0; i < RUN_PAGE_SLOTS; i++) {
        uint64_t n = p * RUN_PAGE_SLOTS + i;
        page->messages[i] = (RunMessage){
            .place = place_of(1, 96 + n * 64), .time_ns = (int64_t)(n * n * 7919), .size = 10};
        page->bytes[i] = 64;
    }
}

static void write_a_run(const char *name) {
    CLEANUP(path_free) char *runs = path_join(dir, "idx");
    CLEANUP(path_free) char *path = path_join(runs, name);
    uint32_t text = 0;
    RunInput input = {.texts = &text,
                      .text_count = 1,
                      .text = text_of,
                      .numbered = numbered,
                      .page_count = 400,
                      .page = page_of,
                      .cipher = log_cipher(log_)};
    assert_int_equal(disk_make_dirs(runs), OK);
    assert_int_equal(run_write(runs, path, &input), OK);
}

static void each_part_of_a_run_is_checked(void **state) {
    (void)state;
    uint64_t bytes;
    write_a_run("7.3.run");
    CLEANUP(path_free) char *path = path_join(dir, "idx/7.3.run");
    DiskFile *file;
    RunHead head;
    assert_int_equal(disk_open(path, DISK_READ, &file), OK);
    assert_int_equal(disk_read(file, &head, sizeof head, 0), OK);
    disk_close(file);
    const struct {
        uint64_t at;
        const char *what;
    } cases[] = {
        {30, "head"},
        {RUN_HEAD_BYTES + 300 * 1000, "body"},
        {head.body_end - 1, "body"},
        {head.body_end + 3, "checksums"},
        {head.sections[RUN_PLACES].at + head.sections[RUN_PLACES].bytes / 2, "places"},
    };
    ScrubDamages damages = pass(&bytes);
    assert_int_equal(damages.len, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        flip("idx/7.3.run", cases[i].at);
        damages = pass(&bytes);
        assert_int_equal(damages.len, 1);
        assert_int_equal(damages.at[0].file.kind, SCRUB_RUN);
        assert_int_equal(damages.at[0].file.group, 7);
        assert_string_equal(damages.at[0].what, cases[i].what);
        scrub_damages_done(&damages);
        flip("idx/7.3.run", cases[i].at);
    }
}

static void a_damaged_run_is_never_merged_into_a_new_one(void **state) {
    (void)state;
    Run *run;
    write_a_run("7.3.run");
    CLEANUP(path_free) char *path = path_join(dir, "idx/7.3.run");
    CLEANUP(path_free) char *next = path_join(dir, "idx/7.4.run");
    CLEANUP(path_free) char *runs = path_join(dir, "idx");
    assert_int_equal(run_open(path, log_cipher(log_), &run), OK);
    assert_true(run_is_whole(run));
    flip("idx/7.3.run", RUN_HEAD_BYTES + 1000);
    /* What is encrypted is not mapped: it was decrypted when it was opened. */
    assert_true(run_is_whole(run) == is_encrypted);
    uint64_t has[500][RUN_PAGE_WORDS] = {{0}};
    RunInput input = {.base = run, .base_has = has};
    assert_int_equal(run_write(runs, next, &input), is_encrypted ? OK : ERR_CORRUPT);
    assert_true(exists("idx/7.4.run") == is_encrypted);
    run_free(run);
}

static void a_damaged_copy_of_super_is_found(void **state) {
    (void)state;
    uint64_t bytes;
    flip("SUPER.b", 60);
    ScrubDamages damages = pass(&bytes);
    assert_int_equal(damages.len, 1);
    assert_int_equal(damages.at[0].file.kind, SCRUB_SUPER);
    scrub_damages_done(&damages);
}

static void a_damaged_copy_of_the_key_is_found(void **state) {
    (void)state;
    uint64_t bytes;
    if (!is_encrypted)
        return;
    flip("KEY", 60);
    ScrubDamages damages = pass(&bytes);
    assert_int_equal(damages.len, 1);
    assert_string_equal(damages.at[0].what, "copy of the key");
    scrub_damages_done(&damages);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_whole_store_is_read_and_nothing_is_said),
        TEST(a_flipped_byte_hits_its_record_and_no_other),
        TEST(one_bad_head_of_a_block_is_found),
        TEST(a_block_without_heads_is_a_hole_with_its_records),
        TEST(a_last_block_that_went_shows_by_the_next_segment),
        TEST(a_damaged_checkpoint_is_moved_and_named),
        TEST(each_part_of_a_run_is_checked),
        TEST(a_damaged_run_is_never_merged_into_a_new_one),
        TEST(a_damaged_copy_of_super_is_found),
        TEST(a_damaged_copy_of_the_key_is_found),
    };
    int failed = cmocka_run_group_tests_name("plain", tests, NULL, NULL);
    is_encrypted = true;
    return failed + cmocka_run_group_tests_name("encrypted", tests, NULL, NULL);
}
