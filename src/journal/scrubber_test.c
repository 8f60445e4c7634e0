/* The scrubber with real files: paced, complete, known over a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/clock.h"
#include "io/disk.h"
#include "journal/scrubber.h"

enum { SEGMENT = 1024 * 1024, RATE = 4 * 1024 * 1024, ENTRIES = 24, ENTRY_BYTES = 200 * 1000 };

static char dir[64];
static Worker **all;
static Offload *offload;
static JournalStore *store;
static Group group;
static unsigned told;
static ScrubDamage told_last;

static void apply(Group *applied, const Record *record, Place place, Shared *hold,
                  const Ticket *ticket) {
    (void)applied, (void)hold, (void)ticket;
    log_add_live(journal_log(all[0]->journal), place, record_bytes(record));
}

static void save(Group *saved, Buf *out) {
    (void)saved;
    buf_append_lit(out, "state");
}

static Status load(Group *loaded, Slice state) {
    (void)loaded;
    return slice_equal(state, LIT("state")) ? OK : ERR_CORRUPT;
}

static void place(Group *placed, const Record *record, Place at) {
    (void)placed, (void)record, (void)at;
}

static const GroupOps ops = {.apply = apply, .save = save, .load = load, .place = place};

static Group *find(void *cookie, uint32_t id) {
    (void)cookie;
    return id == group.id ? &group : NULL;
}

static void on_damage(void *cookie, const ScrubDamage *damage) {
    assert_ptr_equal(cookie, &group);
    told++;
    told_last = *damage;
}

static void open_store(void) {
    LogReport report = {0};
    JournalRecovery recovery = {.find = find};
    assert_int_equal(workers_new(1, &all), OK);
    assert_int_equal(offload_start(1, &offload), OK);
    JournalOptions options = {.dir = dir,
                              .segment_bytes = SEGMENT,
                              .offload = offload,
                              .scrub_interval_ns = 7 * 86400 * (uint64_t)NS_PER_S,
                              .scrub_rate = RATE};
    assert_int_equal(journal_store_open(&options, all, &report, &store), OK);
    group = (Group){.home = all[0], .ops = &ops, .id = 1};
    journal_add_group(all[0]->journal, &group);
    journal_on_damage(store, on_damage, &group);
    assert_int_equal(journal_store_recover(store, &recovery), OK);
    log_report_done(&report);
    assert_int_equal(journal_store_start(store), OK);
}

static void close_store(void) {
    offload_stop(offload);
    journal_store_close(store);
    workers_free(all);
}

static void fill(void) {
    char *payload = mem_zalloc(ENTRY_BYTES);
    Record draft = {.type = RECORD_PUBLISH, .time_ns = 1, .subject = LIT("x")};
    draft.payload = slice_from(payload, ENTRY_BYTES);
    for (unsigned i = 0; i < ENTRIES; i++) {
        journal_append(all[0]->journal, &group, &draft, &(Ticket){.kind = 1}, false);
        worker_turn(all[0], false);
        while (group.in_flight)
            worker_turn(all[0], true);
    }
    mem_free(payload);
}

static ScrubStatus run_pass(void) {
    ScrubStatus status;
    journal_scrub_status(store, &status);
    uint64_t passes = status.passes;
    assert_true(journal_scrub_now(store));
    assert_false(journal_scrub_now(store));
    while (status.passes == passes) {
        worker_turn(all[0], true);
        journal_scrub_status(store, &status);
    }
    return status;
}

static void flip(const char *name, uint64_t at) {
    char path[128], byte;
    DiskFile *file;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(disk_open(path, DISK_READ | DISK_WRITE, &file), OK);
    assert_int_equal(disk_read(file, &byte, 1, at), OK);
    byte ^= 1;
    struct iovec part = {&byte, 1};
    assert_int_equal(disk_write(file, &part, 1, at), OK);
    disk_close(file);
}

static int make_dir(void **state) {
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/scrubber_test.XXXXXX");
    told = 0;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void a_pass_reads_every_closed_segment_and_no_faster_than_it_may(void **state) {
    (void)state;
    open_store();
    fill();
    uint64_t closed = place_segment(log_head(journal_log(all[0]->journal))) - 1;
    assert_true(closed >= 3);
    uint64_t began_ns = clock_mono_ns();
    ScrubStatus status = run_pass();
    uint64_t took_ns = clock_mono_ns() - began_ns;
    assert_int_equal(status.segments, closed);
    assert_true(status.bytes >= closed * SEGMENT);
    assert_true(took_ns >= (closed * SEGMENT - closed * SCRUB_PIECE_BYTES) * NS_PER_S / RATE);
    assert_int_equal(status.damages, 0);
    assert_int_equal(told, 0);
    close_store();
}

static void the_last_pass_is_known_after_a_restart(void **state) {
    (void)state;
    ScrubStatus status;
    open_store();
    fill();
    journal_scrub_status(store, &status);
    assert_int_equal(status.ended_ns, 0);
    ScrubStatus done = run_pass();
    char path[128];
    (void)snprintf(path, sizeof path, "%s/scrub", dir);
    for (DiskFile *file = NULL; !file; worker_turn(all[0], false)) /* until it is kept */
        if (disk_open(path, DISK_READ, &file) == OK)
            disk_close(file);
    close_store();
    open_store();
    journal_scrub_status(store, &status);
    assert_true(status.ended_ns == done.ended_ns && status.began_ns == done.began_ns);
    assert_false(status.is_running);
    close_store();
    flip("scrub", 20); /* a damaged one means nothing */
    open_store();
    journal_scrub_status(store, &status);
    assert_int_equal(status.ended_ns, 0);
    close_store();
}

static void damage_is_told_each_pass_and_forgotten_when_it_is_gone(void **state) {
    (void)state;
    open_store();
    fill();
    flip("log/1.log", 300 * 1000);
    ScrubStatus status = run_pass();
    assert_int_equal(told, 1);
    assert_int_equal(told_last.file.kind, SCRUB_SEGMENT);
    assert_int_equal(told_last.file.number, 1);
    assert_int_equal(status.damages, 1);
    assert_true(status.damaged_bytes >= ENTRY_BYTES);
    status = run_pass();
    assert_int_equal(told, 2);
    assert_int_equal(status.damages, 1);
    flip("log/1.log", 300 * 1000);
    status = run_pass();
    assert_int_equal(told, 2);
    assert_int_equal(status.damages, 0);
    assert_int_equal(status.damaged_bytes, 0);
    close_store();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_pass_reads_every_closed_segment_and_no_faster_than_it_may),
        TEST(the_last_pass_is_known_after_a_restart),
        TEST(damage_is_told_each_pass_and_forgotten_when_it_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
