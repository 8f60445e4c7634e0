/* Journals on workers that the test steps itself, with real files and the real log thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "journal/journal.h"

enum { WORKERS = 2, LIVE_MAX = 64 };

/* A group whose state is the sum of its entries, and which keeps its newest LIVE_MAX records alive.
 */
typedef struct Tally {
    Group group; /* first */
    uint64_t sum, entries, refused, placed, placed_damaged;
    Status why;
    struct {
        Place place;
        uint64_t index, bytes;
    } live[LIVE_MAX];
    void *last_pointer;
    char last_data[32];
    struct Tally *echo; /* gets an entry for each one applied here, this many */
    unsigned echo_left;
    struct Tally *remove; /* leaves when an entry is applied here */
    bool is_replayed;
} Tally;

static char dir[64];
static Worker **all;
static JournalStore *store;
static Map64 tallies;
static uint64_t damaged_bytes;

static void tally_apply(Group *group, const Record *record, Place place, Shared *hold,
                        const Ticket *ticket) {
    Tally *tally = (Tally *)group;
    uint64_t value;
    assert_int_equal(record->payload.len >= sizeof value, true);
    memcpy(&value, record->payload.ptr, sizeof value);
    assert_true(hold != NULL);
    assert_true((place == 0) == group->is_memory);
    assert_true(group->index_applied == record->index);
    tally->sum += value;
    tally->entries++;
    tally->is_replayed = ticket == NULL;
    if (place) {
        Log *log = journal_log(group->home->journal);
        size_t slot = record->index % LIVE_MAX;
        if (tally->live[slot].place)
            log_drop_live(log, tally->live[slot].place, tally->live[slot].bytes);
        tally->live[slot].place = place;
        tally->live[slot].index = record->index;
        tally->live[slot].bytes = record_bytes(record);
        log_add_live(log, place, tally->live[slot].bytes);
    }
    if (ticket) {
        tally->last_pointer = ticket->pointer;
        (void)snprintf(tally->last_data, sizeof tally->last_data, "%.*s", SLICE_ARG(ticket->data));
    }
    if (tally->echo && tally->echo_left) {
        tally->echo_left--;
        journal_append(group->home->journal, &tally->echo->group, record, NULL, false);
    }
    if (tally->remove) {
        Tally *gone = tally->remove;
        tally->remove = NULL;
        journal_remove_group(group->home->journal, &gone->group);
    }
}

static void tally_refused(Group *group, const Record *record, const Ticket *ticket, Status why) {
    Tally *tally = (Tally *)group;
    (void)record;
    assert_non_null(ticket);
    tally->refused++;
    tally->why = why;
}

static void tally_place(Group *group, const Record *record, Place place) {
    Tally *tally = (Tally *)group;
    size_t slot = record->index % LIVE_MAX;
    if (tally->live[slot].index != record->index)
        return;
    assert_true(tally->live[slot].place == place);
    log_add_live(journal_log(group->home->journal), place, tally->live[slot].bytes);
    tally->placed++;
}

static void tally_place_damaged(Group *group, const Record *record, Place place) {
    Tally *tally = (Tally *)group;
    (void)place;
    tally->placed_damaged = record->index;
}

static void tally_save(Group *group, Buf *out) {
    Tally *tally = (Tally *)group;
    buf_append_bytes(out, &tally->sum, sizeof tally->sum);
    buf_append_bytes(out, &tally->entries, sizeof tally->entries);
    buf_append_bytes(out, tally->live, sizeof tally->live);
}

static bool does_load_ask_for_records;
static uint64_t sum_not_understood;

static Status tally_load(Group *group, Slice state) {
    Tally *tally = (Tally *)group;
    if (state.len != 16 + sizeof tally->live)
        return ERR_CORRUPT;
    memcpy(&tally->sum, state.ptr, 8);
    if (sum_not_understood && tally->sum == sum_not_understood)
        return ERR_CORRUPT;
    memcpy(&tally->entries, state.ptr + 8, 8);
    memcpy(tally->live, state.ptr + 16, sizeof tally->live);
    group->needs_log = does_load_ask_for_records;
    return OK;
}

static const GroupOps tally_ops = {.apply = tally_apply,
                                   .refused = tally_refused,
                                   .place = tally_place,
                                   .place_damaged = tally_place_damaged,
                                   .save = tally_save,
                                   .load = tally_load};

static Tally *tally_new(uint32_t id, unsigned worker, bool is_memory) {
    Tally *tally = mem_zalloc(sizeof *tally);
    tally->group.home = all[worker];
    tally->group.ops = &tally_ops;
    tally->group.id = id;
    tally->group.is_memory = is_memory;
    (void)map64_put(&tallies, id, tally);
    journal_add_group(all[worker]->journal, &tally->group);
    return tally;
}

static void append_bytes(Tally *tally, uint64_t value, size_t extra) {
    Journal *journal = tally->group.home->journal;
    char *payload = mem_zalloc(8 + extra);
    memcpy(payload, &value, 8);
    Record draft = {.type = RECORD_PUBLISH, .subject = LIT("x"), .time_ns = 1};
    draft.payload = slice_from(payload, 8 + extra);
    char text[32];
    int len = snprintf(text, sizeof text, "reply.%llu", (unsigned long long)value);
    Ticket ticket = {1, slice_from(text, (size_t)len), &all[0]};
    journal_append(journal, &tally->group, &draft, &ticket, false);
    mem_free(payload);
}

static void append(Tally *tally, uint64_t value) {
    append_bytes(tally, value, 0);
}

static void turns_until_applied(Tally *tally) {
    while (tally->group.in_flight)
        for (unsigned i = 0; i <= WORKERS; i++)
            worker_turn(all[i], false);
}

static Group *find(void *cookie, uint32_t id) {
    (void)cookie;
    return map64_get(&tallies, id);
}

static void on_damaged(void *cookie, Place at, uint64_t bytes) {
    (void)cookie;
    (void)at;
    damaged_bytes += bytes;
}

static LogReport report;

static uint64_t sync_interval_ns;

static void open_store(uint64_t segment_bytes) {
    assert_int_equal(workers_new(WORKERS, &all), OK);
    JournalOptions options = {
        .dir = dir,
        .segment_bytes = segment_bytes,
        .checkpoint_bytes = 4 * segment_bytes,
        .sync_interval_ns = sync_interval_ns,
    };
    assert_int_equal(journal_store_open(&options, all, &report, &store), OK);
}

static void start(void) {
    JournalRecovery recovery = {.find = find, .damaged = on_damaged};
    assert_int_equal(journal_store_recover(store, &recovery), OK);
    log_report_done(&report);
    assert_int_equal(journal_store_start(store), OK);
}

static void close_store(void) {
    journal_store_close(store);
    workers_free(all);
    uint64_t id;
    void *tally;
    for (size_t at = 0; map64_next(&tallies, &at, &id, &tally);)
        mem_free(tally);
    map64_done(&tallies);
}

/* What a start does that is to be tried again with one checkpoint fewer. */
static void give_up_a_checkpoint(void) {
    JournalRecovery recovery = {.find = find, .damaged = on_damaged};
    open_store(1024 * 1024);
    (void)tally_new(1, 0, false);
    assert_int_equal(journal_store_recover(store, &recovery), ERR_AGAIN);
    log_report_done(&report);
    close_store();
}

static int make_dir(void **state) {
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/journal_test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void entries_are_applied_after_the_sync_and_again_after_a_restart(void **state) {
    (void)state;
    open_store(0);
    Tally *one = tally_new(1, 0, false), *two = tally_new(2, 1, false);
    start();
    for (uint64_t i = 1; i <= 1000; i++) {
        append(one, i);
        append(two, 2 * i);
    }
    assert_true(one->group.in_flight == 1000);
    assert_true(one->entries == 0);
    turns_until_applied(one);
    turns_until_applied(two);
    assert_true(one->entries == 1000 && one->sum == 500500 && one->group.index_applied == 1000);
    assert_true(two->sum == 1001000);
    assert_string_equal(one->last_data, "reply.1000");
    assert_ptr_equal(one->last_pointer, &all[0]);
    assert_false(one->is_replayed);
    close_store();

    open_store(0);
    one = tally_new(1, 0, false);
    two = tally_new(2, 1, false);
    start();
    assert_true(one->entries == 1000 && one->sum == 500500 && one->is_replayed);
    assert_true(one->group.index_last == 1000);
    assert_true(two->sum == 1001000);
    close_store();
}

/* In turns and through the log thread by chance: one order all the same, over several segments. */
static void with_a_sync_interval_entries_are_applied_in_the_turn_that_made_them(void **state) {
    (void)state;
    enum { ROUNDS = 3000, BYTES = 900 };
    sync_interval_ns = UINT64_C(3600000000000);
    open_store(1024 * 1024);
    Tally *one = tally_new(1, 0, false), *two = tally_new(2, 1, false);
    start();
    unsigned in_turn = 0;
    uint64_t sum = 0;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        append_bytes(one, i, BYTES);
        append_bytes(two, 2 * i, BYTES);
        worker_turn(all[0], false);
        worker_turn(all[1], false);
        in_turn += one->group.in_flight == 0;
        sum += i;
        if (i % 8 == 0) { /* what the log thread has, comes back, and the turn is ours again */
            turns_until_applied(one);
            turns_until_applied(two);
        }
    }
    assert_true(in_turn > ROUNDS / 10);
    turns_until_applied(one);
    turns_until_applied(two);
    assert_true(one->entries == ROUNDS && one->sum == sum && one->group.index_applied == ROUNDS);
    assert_true(two->entries == ROUNDS && two->sum == 2 * sum);
    close_store();

    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    two = tally_new(2, 1, false);
    start();
    assert_true(damaged_bytes == 0);
    assert_true(one->entries == ROUNDS && one->sum == sum && one->group.index_last == ROUNDS);
    assert_true(two->entries == ROUNDS && two->sum == 2 * sum);
    close_store();
    sync_interval_ns = 0;
}

static unsigned drained_count;

static void on_drained(Group *group, void *cookie) {
    (void)cookie;
    assert_true(group->in_flight == group->held);
    drained_count++;
}

static void turns(unsigned count) {
    while (count--)
        for (unsigned i = 0; i <= WORKERS; i++)
            worker_turn(all[i], false);
}

static void entries_of_a_held_group_wait_in_order(void **state) {
    (void)state;
    open_store(0);
    Tally *one = tally_new(1, 0, false), *memory = tally_new(3, 0, true);
    start();
    Journal *journal = all[0]->journal;
    drained_count = 0;
    append(one, 1);
    journal_hold(journal, &one->group, on_drained, NULL);
    assert_int_equal(drained_count, 0); /* one is in flight */
    append(one, 10);
    append(one, 100);
    while (!drained_count)
        turns(1);
    assert_true(one->sum == 1 && one->group.in_flight == 2 && one->group.held == 2);
    uint64_t value = 1000;
    Record draft = {.type = RECORD_PUBLISH, .payload = slice_from(&value, sizeof value)};
    journal_append_held(journal, &one->group, &draft, &(Ticket){0}, false);
    while (one->group.in_flight > 2)
        turns(1);
    assert_true(one->sum == 1001 && drained_count == 1);
    journal_release(journal, &one->group);
    turns_until_applied(one);
    assert_true(one->sum == 1111 && one->group.index_applied == 4);
    assert_string_equal(one->last_data, "reply.100");

    journal_hold(journal, &memory->group, on_drained, NULL);
    assert_int_equal(drained_count, 2); /* nothing was in flight */
    append(memory, 7);
    turns(2);
    assert_true(memory->sum == 0);
    journal_remove_group(journal, &memory->group);
    assert_true(memory->refused == 1 && memory->why == ERR_CLOSED && memory->group.in_flight == 0);
    close_store();
}

static bool is_decided;
static unsigned decisions;

/* It is worth twice its value. */
static bool decide(Group *group, const Record *draft, const Ticket *ticket) {
    decisions++;
    if (!is_decided)
        return false;
    journal_append(group->home->journal, group, draft, ticket, false);
    journal_append(group->home->journal, group, draft, ticket, false);
    return true;
}

static void gate(Tally *tally, uint64_t value) {
    Record draft = {.type = RECORD_PUBLISH, .payload = slice_from(&value, sizeof value)};
    journal_gate(all[0]->journal, &tally->group, &draft, &(Ticket){.data = LIT("gated")}, decide);
}

static void entries_wait_for_a_draft_that_is_not_decided_on(void **state) {
    (void)state;
    open_store(0);
    Tally *one = tally_new(1, 0, false), *two = tally_new(2, 0, false);
    start();
    Journal *journal = all[0]->journal;
    decisions = 0, is_decided = false;
    gate(one, 1);
    append(one, 10);
    gate(one, 100);
    append(one, 1000);
    turns(3);
    assert_true(one->sum == 0 && one->group.in_flight == 4 && one->group.held == 4);
    journal_ungate(journal, &one->group);
    assert_true(decisions == 1 && one->group.in_flight == 4 && one->group.held == 4);
    assert_false(journal_is_held(&one->group));
    is_decided = true;
    journal_ungate(journal, &one->group);
    assert_true(decisions == 3 && one->group.in_flight == 6 && one->group.held == 0);
    turns_until_applied(one);
    assert_true(one->sum == 1212 && one->group.index_applied == 6);
    assert_string_equal(one->last_data, "reply.1000");

    is_decided = false;
    gate(two, 7);
    journal_remove_group(journal, &two->group);
    assert_true(two->refused == 1 && two->why == ERR_CLOSED && two->group.in_flight == 0);
    close_store();
}

static void a_hold_begins_behind_what_waits_at_the_gate(void **state) {
    (void)state;
    open_store(0);
    Tally *one = tally_new(1, 0, false);
    start();
    Journal *journal = all[0]->journal;
    for (unsigned way = 0; way < 3; way++) {
        one->sum = drained_count = 0, is_decided = false;
        gate(one, 1);
        journal_hold(journal, &one->group, on_drained, NULL);
        assert_true(journal_is_held(&one->group));
        if (way < 2)
            append(one, 10);
        turns(3);
        assert_true(one->sum == 0 && drained_count == 0);
        if (way == 1) { /* it is given up before it began */
            journal_release(journal, &one->group);
            assert_false(journal_is_held(&one->group));
            append(one, 100);
        }
        is_decided = true;
        journal_ungate(journal, &one->group);
        if (way != 1) {
            while (!drained_count)
                turns(1);
            assert_true(one->sum == 2 && journal_is_held(&one->group));
            is_decided = false;
            gate(one, 100); /* waits for the release, and then on */
            journal_ungate(journal, &one->group);
            journal_release(journal, &one->group);
            assert_false(journal_is_held(&one->group));
            while (one->group.in_flight > 1)
                turns(1);
            assert_true(one->sum == (way ? 2 : 12) && one->group.held == 1);
            is_decided = true;
            journal_ungate(journal, &one->group);
        }
        turns_until_applied(one);
        assert_int_equal(one->sum, way == 0 ? 212 : way == 1 ? 112 : 202);
    }
    close_store();
}

static void entries_of_an_unknown_group_are_skipped(void **state) {
    (void)state;
    open_store(0);
    Tally *one = tally_new(1, 0, false), *gone = tally_new(2, 0, false);
    start();
    append(one, 5);
    append(gone, 7);
    append(one, 6);
    turns_until_applied(one);
    turns_until_applied(gone);
    close_store();
    open_store(0);
    one = tally_new(1, 0, false);
    start();
    assert_true(one->sum == 11);
    close_store();
}

static void a_log_with_entries_of_a_later_version_is_refused(void **state) {
    (void)state;
    open_store(0);
    Tally *one = tally_new(1, 0, false);
    start();
    append(one, 5);
    Record draft = {.type = (RecordType)99, .payload = LIT("12345678")};
    journal_append(all[0]->journal, &one->group, &draft, &(Ticket){.kind = 1}, false);
    turns_until_applied(one);
    close_store();
    JournalRecovery recovery = {.find = find, .damaged = on_damaged};
    for (int tries = 0; tries < 2; tries++) { /* and again: nothing was changed */
        open_store(0);
        one = tally_new(1, 0, false);
        assert_int_equal(journal_store_recover(store, &recovery), ERR_VERSION);
        assert_int_equal(one->entries, 1);
        log_report_done(&report);
        close_store();
    }
}

static void memory_entries_are_applied_in_the_same_turn_with_what_they_append(void **state) {
    (void)state;
    open_store(0);
    Tally *source = tally_new(1, 0, true), *sink = tally_new(2, 0, true);
    Tally *kept = tally_new(3, 0, false);
    start();
    source->echo = source;
    source->echo_left = 10;
    sink->echo = kept;
    sink->echo_left = 1;
    append(source, 1);
    append(sink, 9);
    worker_turn(all[0], false);
    assert_true(source->entries == 11 && sink->entries == 1);
    turns_until_applied(kept);
    assert_true(kept->sum == 9);
    close_store();
}

static void endless_echoes_do_not_hold_up_the_turn(void **state) {
    (void)state;
    open_store(0);
    Tally *source = tally_new(1, 0, true);
    start();
    source->echo = source;
    source->echo_left = 100000;
    append(source, 1);
    worker_turn(all[0], false);
    assert_true(source->entries > 1000 && source->entries < 50000);
    turns_until_applied(source);
    assert_true(source->entries == 100001);
    close_store();
}

static void a_group_that_leaves_has_its_entries_refused(void **state) {
    (void)state;
    open_store(0);
    Tally *one = tally_new(1, 0, false), *two = tally_new(2, 0, false);
    start();
    for (int i = 0; i < 10; i++) {
        append(one, 1);
        append(two, 1);
    }
    worker_turn(all[0], false); /* these are with the log now */
    append(two, 1);
    journal_remove_group(all[0]->journal, &two->group);
    assert_true(two->group.in_flight == 0);
    assert_true(two->refused + two->entries == 11);
    assert_int_equal(two->why, ERR_CLOSED);
    uint64_t entries = two->entries;
    turns_until_applied(one);
    assert_true(one->entries == 10);
    assert_true(two->entries == entries);
    close_store();
}

static void a_group_may_leave_while_its_chunk_is_applied(void **state) {
    (void)state;
    open_store(0);
    Tally *one = tally_new(1, 0, false), *two = tally_new(2, 0, false);
    start();
    append(two, 1);
    append(one, 1);
    append(two, 1);
    append(one, 1);
    one->remove = two;
    turns_until_applied(one);
    assert_true(two->entries == 1 && two->refused == 1);
    assert_true(one->entries == 2);
    close_store();
}

static void an_entry_that_is_too_large_is_refused(void **state) {
    (void)state;
    open_store(0);
    Tally *one = tally_new(1, 0, false);
    start();
    append_bytes(one, 1, RECORD_BYTES_MAX);
    assert_true(one->refused == 0); /* not from within append */
    worker_turn(all[0], false);
    assert_true(one->refused == 1 && one->why == ERR_FULL);
    assert_true(one->group.in_flight == 0 && one->group.index_last == 0);
    append(one, 1);
    turns_until_applied(one);
    assert_true(one->entries == 1);
    close_store();
}

static void what_was_made_before_a_refusal_was_known_is_refused_too(void **state) {
    (void)state;
    open_store(512 * 1024);
    Tally *large = tally_new(1, 0, false), *small = tally_new(2, 0, false);
    start();
    append_bytes(large, 1, 1200 * 1024); /* fits into no segment, and fills a chunk */
    append(small, 2);
    append(small, 4);
    turns_until_applied(large);
    turns_until_applied(small);
    assert_int_equal(large->refused, 1);
    assert_int_equal(large->why, ERR_FULL);
    assert_int_equal(small->refused, 2);
    assert_int_equal(small->sum, 0);
    turns(20); /* what was refused comes back from the log */
    append(small, 8);
    turns_until_applied(small);
    assert_int_equal(small->sum, 8);
    close_store();

    open_store(512 * 1024);
    small = tally_new(2, 0, false);
    start();
    assert_int_equal(small->sum, 8);
    close_store();
}

static void checkpoints_free_the_log_and_are_what_a_restart_begins_with(void **state) {
    (void)state;
    open_store(1024 * 1024);
    Tally *one = tally_new(1, 0, false), *two = tally_new(2, 1, false);
    Tally *passing = tally_new(3, 1, true);
    start();
    append(passing, 1);
    append(two, 77);
    turns_until_applied(two);
    for (uint64_t i = 1; i <= 1000; i++) {
        append_bytes(one, i, 60000);
        if (i % 10 == 0)
            turns_until_applied(one);
    }
    for (int i = 0; i < 1000; i++)
        for (unsigned k = 0; k <= WORKERS; k++)
            worker_turn(all[k], false);
    assert_true(journal_store_bytes(store) < 25 * 1024 * 1024); /* of 60 MB written */
    close_store();

    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    two = tally_new(2, 1, false);
    start();
    assert_true(one->group.index_loaded > 0);
    assert_true(one->entries == 1000 && one->sum == 500500);
    assert_true(one->group.index_last == 1000);
    assert_true(two->entries == 1 && two->sum == 77 && two->placed == 0);
    assert_true(report.records < 500); /* of 1002: what the checkpoint covers is not read */
    append(one, 500);
    turns_until_applied(one);
    assert_true(one->sum == 501000 && one->group.index_applied == 1001);
    close_store();

    /* One that wants its records gets them. */
    does_load_ask_for_records = true;
    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    two = tally_new(2, 1, false);
    start();
    does_load_ask_for_records = false;
    assert_true(two->entries == 1 && two->sum == 77 && two->placed == 1);
    assert_true(one->sum == 501000);
    close_store();
    assert_true(damaged_bytes == 0);
}

static void checkpoints_are_made_of_many_small_entries_too(void **state) {
    (void)state;
    open_store(1024 * 1024);
    Tally *one = tally_new(1, 0, false);
    start();
    /* 2.8 MB, of the 4 MB after which size would count. */
    for (uint64_t i = 1; i <= 50000; i++) {
        append(one, i);
        if (i % 1000 == 0)
            turns_until_applied(one);
    }
    for (int i = 0; i < 1000; i++)
        for (unsigned k = 0; k <= WORKERS; k++)
            worker_turn(all[k], false);
    close_store();

    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    start();
    assert_true(one->group.index_loaded > 0);
    assert_true(one->entries == 50000 && one->group.index_last == 50000);
    close_store();
}

static void a_worker_that_sleeps_makes_checkpoints_of_what_others_write(void **state) {
    (void)state;
    open_store(1024 * 1024);
    Tally *two = tally_new(2, 1, false);
    start();
    worker_turn(all[0], false);
    for (uint64_t i = 1; i <= 100; i++) {
        append_bytes(two, i, 60000);
        while (two->group.in_flight)
            worker_turn(all[1], false);
    }
    char path[100];
    (void)snprintf(path, sizeof path, "%s/checkpoint.1", dir);
    worker_turn(all[0], true); /* it is woken */
    for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++)
        for (unsigned k = 0; k <= WORKERS; k++)
            worker_turn(all[k], false);
    assert_int_equal(access(path, F_OK), 0);
    close_store();
}

static void on_asked_for(CheckpointAsk *ask) {
    ask->store = NULL;
}

static void ask_for_checkpoint(void) {
    CheckpointAsk ask = {.store = store, .home = all[WORKERS], .done = on_asked_for};
    journal_store_checkpoint(&ask);
    while (ask.store)
        for (unsigned i = 0; i <= WORKERS; i++)
            worker_turn(all[i], false);
}

static void a_checkpoint_that_is_asked_for_is_made_though_little_is_new(void **state) {
    (void)state;
    open_store(1024 * 1024);
    Tally *one = tally_new(1, 0, false);
    (void)tally_new(2, 1, false);
    start();
    for (uint64_t i = 1; i <= 10; i++)
        append(one, i);
    turns_until_applied(one);
    ask_for_checkpoint();
    append(one, 100);
    turns_until_applied(one);
    close_store();

    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    (void)tally_new(2, 1, false);
    start();
    assert_true(one->group.index_loaded == 10);
    assert_true(one->entries == 11 && one->sum == 155);
    ask_for_checkpoint();
    ask_for_checkpoint(); /* nothing is new: answered all the same */
    close_store();

    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    (void)tally_new(2, 1, false);
    start();
    assert_true(one->group.index_loaded == 11 && one->sum == 155);
    close_store();
}

static void flip_payload(uint64_t value) {
    char path[100];
    (void)snprintf(path, sizeof path, "%s/log/1.log", dir);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    char *bytes = mem_alloc(1024 * 1024);
    size_t len = fread(bytes, 1, 1024 * 1024, file);
    char *at = memmem(bytes, len, &value, sizeof value);
    assert_non_null(at);
    *at ^= 1;
    assert_int_equal(fseek(file, at - bytes, SEEK_SET), 0);
    assert_int_equal(fwrite(at, 1, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    mem_free(bytes);
}

static void who_wants_its_records_is_shown_damaged_ones(void **state) {
    (void)state;
    const uint64_t value = 0x1122334455667788;
    open_store(1024 * 1024);
    Tally *one = tally_new(1, 0, false);
    start();
    append(one, 1);
    append(one, value);
    append(one, 3);
    turns_until_applied(one);
    ask_for_checkpoint();
    close_store();

    flip_payload(value);
    does_load_ask_for_records = true;
    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    start();
    does_load_ask_for_records = false;
    assert_true(one->sum == value + 4 && one->placed == 2 && one->placed_damaged == 2);
    close_store();
    damaged_bytes = 0;
}

static void all_checkpoints_may_be_lost_while_the_log_has_everything(void **state) {
    (void)state;
    open_store(1024 * 1024);
    Tally *one = tally_new(1, 0, false);
    start();
    for (uint64_t i = 1; i <= 4; i++) {
        append(one, i);
        turns_until_applied(one);
        ask_for_checkpoint();
    }
    assert_true(log_floor(journal_log(all[0]->journal)) > 0);
    close_store();

    for (unsigned generation = 1; generation <= 5; generation++) {
        char path[100];
        (void)snprintf(path, sizeof path, "%s/checkpoint.%u", dir, generation);
        (void)unlink(path);
    }
    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    start();
    assert_true(one->sum == 10 && one->entries == 4);
    append(one, 5);
    turns_until_applied(one);
    ask_for_checkpoint(); /* they are made again */
    close_store();

    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    start();
    assert_true(one->group.index_loaded == 5 && one->sum == 15);
    close_store();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

static bool is_set_aside(unsigned generation) {
    char path[100];
    (void)snprintf(path, sizeof path, "%s/bad/checkpoint.%u", dir, generation);
    return access(path, F_OK) == 0;
}

static void
a_state_that_is_not_understood_gives_way_to_the_one_before_and_to_the_log(void **state) {
    (void)state;
    open_store(1024 * 1024);
    Tally *one = tally_new(1, 0, false);
    start();
    for (uint64_t i = 1; i <= 3; i++) {
        append(one, 10 * i);
        turns_until_applied(one);
        if (i < 3)
            ask_for_checkpoint();
    }
    close_store();

    sum_not_understood = 30; /* of the second checkpoint */
    give_up_a_checkpoint();
    assert_true(is_set_aside(2) && !is_set_aside(1));
    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    start();
    assert_true(one->group.index_loaded == 1 && one->sum == 60 && one->entries == 3);
    close_store();

    sum_not_understood = 10; /* of the first: the log has everything */
    give_up_a_checkpoint();
    assert_true(is_set_aside(1));
    open_store(1024 * 1024);
    one = tally_new(1, 0, false);
    start();
    assert_true(one->group.index_loaded == 0 && one->sum == 60 && one->entries == 3);
    close_store();
    sum_not_understood = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(entries_are_applied_after_the_sync_and_again_after_a_restart),
        TEST(with_a_sync_interval_entries_are_applied_in_the_turn_that_made_them),
        TEST(entries_of_a_held_group_wait_in_order),
        TEST(a_log_with_entries_of_a_later_version_is_refused),
        TEST(entries_wait_for_a_draft_that_is_not_decided_on),
        TEST(a_hold_begins_behind_what_waits_at_the_gate),
        TEST(entries_of_an_unknown_group_are_skipped),
        TEST(memory_entries_are_applied_in_the_same_turn_with_what_they_append),
        TEST(endless_echoes_do_not_hold_up_the_turn),
        TEST(a_group_that_leaves_has_its_entries_refused),
        TEST(a_group_may_leave_while_its_chunk_is_applied),
        TEST(an_entry_that_is_too_large_is_refused),
        TEST(what_was_made_before_a_refusal_was_known_is_refused_too),
        TEST(checkpoints_free_the_log_and_are_what_a_restart_begins_with),
        TEST(checkpoints_are_made_of_many_small_entries_too),
        TEST(a_worker_that_sleeps_makes_checkpoints_of_what_others_write),
        TEST(a_state_that_is_not_understood_gives_way_to_the_one_before_and_to_the_log),
        TEST(a_checkpoint_that_is_asked_for_is_made_though_little_is_new),
        TEST(who_wants_its_records_is_shown_damaged_ones),
        TEST(all_checkpoints_may_be_lost_while_the_log_has_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
