/* The log under power cuts, kills, failing calls, a full disk and flipped bits, from a seed.
 *
 *     log_sim_test [first_seed [seeds]]
 *
 * After every restart: each acknowledged record is there, once, in order, with its bytes; what was
 * refused or once found missing never comes back; a flipped bit costs the record it hit and no
 * other, and is reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"
#include "clock_sim.h"
#include "disk_sim.h"
#include "store/checkpoint.h"
#include "store/log.h"

enum { GROUPS = 4, LIVES = 6, STEPS = 60, PAYLOAD_MAX = 3000, SEEDS = 3000, MUTANT_SEEDS = 300 };

static uint64_t seed_first = 1, seed_count = SEEDS;

typedef enum Fate {
    SUBMITTED, /* no answer yet, or an error that leaves it open */
    ACKED,
    REFUSED, /* ERR_FULL: never written */
    GONE,    /* not there after a restart, never acknowledged */
    DAMAGED,
    LOST_LAXLY, /* acknowledged without a sync, lost by a power cut: allowed with sync_interval */
} Fate;

typedef struct Entry {
    uint32_t group;
    uint64_t index;
    char *bytes; /* as record_write made them */
    size_t len;
    Place place;
    Fate fate;
    bool is_live, is_seen, has_failed;
    Place seen_at;
} Entry;

typedef struct Submission {
    LogChunk chunk;
    size_t first, count; /* entries */
} Submission;

typedef struct World {
    uint64_t seed;
    Rand rand;
    LogOptions options;
    bool is_lax;
    unsigned key; /* of encrypted ones: the number of the newest */
    bool is_key_taken;
    uint64_t capacity;
    Log *log;
    LogReader *reader;
    VEC(Entry) entries;
    VEC(Submission *) waiting;
    uint64_t index_last[GROUPS];
    uint64_t generation;
    Place floor;      /* as told to the log */
    Place last_block; /* where the newest one begins, as far as is known */
    VEC(Place) damage_at;
    VEC(uint64_t) damage_bytes;
    VEC(Place) flipped; /* bytes of the log damaged since the last whole recovery */
    bool has_faults;    /* in this life: a call is made to fail */
    bool is_super_at_risk;
    bool is_lossy;    /* the same, ever, with sync_interval: what was not synced may be lost */
    bool has_failed;  /* an entry was refused since the log failed last */
    bool was_flipped; /* ever */
    Place seen_last;
    char problem[200];
} World;

static World *world;    /* for callbacks of the log */
static bool is_telling; /* a single seed tells its story */

#define TELL(...)                                                                                  \
    do {                                                                                           \
        if (is_telling)                                                                            \
            print_message(__VA_ARGS__);                                                            \
    } while (0)

#define PROBLEM(...)                                                                               \
    do {                                                                                           \
        if (world->problem[0] == '\0')                                                             \
            (void)snprintf(world->problem, sizeof world->problem, __VA_ARGS__);                    \
    } while (0)

/* --- writing --- */

/* The log goes on: what was refused before must never come back. */
static void bury_failed(void) {
    for (size_t n = 0; n < world->entries.len && world->has_failed; n++) {
        Entry *entry = &world->entries.at[n];
        if (entry->fate == SUBMITTED && entry->has_failed)
            entry->fate = REFUSED;
    }
    world->has_failed = false;
}

static void on_done(Worker *home, LogChunk *chunk) {
    (void)home;
    Submission *submission = (Submission *)chunk;
    Place place = chunk->place;
    if (chunk->status == OK)
        bury_failed();
    for (size_t i = 0; i < submission->count; i++) {
        Entry *entry = &world->entries.at[submission->first + i];
        if (chunk->status == OK) {
            entry->fate = ACKED;
            entry->place = place;
            log_add_live(world->log, place, entry->len);
            place += entry->len;
        } else {
            entry->is_live = false;
            if (chunk->status == ERR_FULL)
                entry->fate = REFUSED;
            entry->has_failed = world->has_failed = true;
        }
    }
    TELL("done: entries %zu +%zu at %llx: %s\n", submission->first, submission->count,
         (unsigned long long)chunk->place, status_text(chunk->status));
    if (chunk->status == OK) {
        Place segment = place_of(place_segment(chunk->place), 0);
        world->last_block = log_head(world->log) > segment ? log_head(world->log) : segment;
        log_reader_keep(world->reader, chunk);
    }
    for (size_t i = 0; i < world->waiting.len; i++)
        if (world->waiting.at[i] == submission)
            vec_remove_unordered(&world->waiting, i);
    shared_unref(chunk->bytes);
    mem_free(submission);
}

static size_t random_len(Rand *rand) {
    switch (rand_below(rand, 8)) {
    case 0:
        return rand_below(rand, 8);
    case 1:
        return rand_below(rand, PAYLOAD_MAX);
    default:
        return rand_below(rand, 200);
    }
}

static void make_entry(uint32_t group, Buf *out_chunk) {
    static char payload[PAYLOAD_MAX];
    size_t len = random_len(&world->rand);
    for (size_t i = 0; i < len; i++)
        payload[i] = (char)rand_u64(&world->rand);
    char subject[32];
    int subject_len = snprintf(subject, sizeof subject, "g%u.%llu", group,
                               (unsigned long long)rand_below(&world->rand, 1000));
    Record record = {
        .type = RECORD_PUBLISH,
        .group = group,
        .index = ++world->index_last[group],
        .term = 1,
        .time_ns = (int64_t)world->entries.len, /* tells a second use of an index from the first */
        .subject = {subject, (size_t)subject_len},
        .payload = {payload, len},
    };
    Entry entry = {.group = group, .index = record.index, .is_live = true};
    entry.len = record_bytes(&record);
    record_write(&record, buf_reserve(out_chunk, entry.len));
    entry.bytes = mem_copy(out_chunk->ptr + out_chunk->len, entry.len);
    out_chunk->len += entry.len;
    vec_push(&world->entries, entry);
}

static void submit(void) {
    Submission *submission = mem_zalloc(sizeof *submission);
    submission->first = world->entries.len;
    submission->count = 1 + rand_below(&world->rand, 6);
    Buf bytes = {0};
    for (size_t i = 0; i < submission->count; i++)
        make_entry((uint32_t)rand_below(&world->rand, GROUPS), &bytes);
    Shared *shared = shared_new(bytes.len);
    memcpy(shared_bytes(shared), bytes.ptr, bytes.len);
    submission->chunk.bytes = shared;
    submission->chunk.len = bytes.len;
    submission->chunk.record_count = (uint32_t)submission->count;
    submission->chunk.done = on_done;
    buf_done(&bytes);
    vec_push(&world->waiting, submission);
    log_submit(world->log, &submission->chunk);
}

/* --- reading --- */

static bool is_same(const Entry *entry, const Record *record) {
    char *copy = mem_alloc(record_bytes(record));
    bool is_same = record_bytes(record) == entry->len;
    if (is_same) {
        record_write(record, copy);
        is_same = memcmp(copy, entry->bytes, entry->len) == 0;
    }
    mem_free(copy);
    return is_same;
}

static void read_one(void) {
    if (world->entries.len == 0)
        return;
    size_t n = rand_below(&world->rand, world->entries.len);
    Entry *entry = &world->entries.at[n];
    bool is_wanted = entry->fate == ACKED ? entry->is_live
                                          : entry->fate == DAMAGED && entry->place >= world->floor;
    if (!is_wanted)
        return;
    Record record;
    Shared *hold;
    Status status = log_reader_read(world->reader, entry->place, entry->len, &record, &hold);
    if (disk_sim_is_stopped() || status == ERR_IO || world->is_lossy) {
        if (status == OK)
            shared_unref(hold);
        return;
    }
    if (entry->fate == DAMAGED) {
        if (status == OK) {
            PROBLEM("entry %zu is damaged but was read", n);
            shared_unref(hold);
        }
        return;
    }
    if (status != OK) {
        PROBLEM("entry %zu cannot be read: %s", n, status_text(status));
        return;
    }
    if (!is_same(entry, &record))
        PROBLEM("entry %zu was read with other bytes", n);
    shared_unref(hold);
}

/* --- restarting --- */

static void on_record(void *cookie, const Record *record, Place at, uint64_t damaged_bytes) {
    (void)cookie;
    if (at < world->seen_last)
        PROBLEM("places go back at %llx", (unsigned long long)at);
    world->seen_last = at;
    if (damaged_bytes) {
        vec_push(&world->damage_at, at);
        vec_push(&world->damage_bytes, damaged_bytes);
        return;
    }
    if (record->time_ns < 0 || (uint64_t)record->time_ns >= world->entries.len) {
        PROBLEM("a record that was never written");
        return;
    }
    Entry *entry = &world->entries.at[record->time_ns];
    size_t n = (size_t)record->time_ns;
    if (!is_same(entry, record))
        PROBLEM("entry %zu came back with other bytes", n);
    if (entry->is_seen)
        PROBLEM("entry %zu came back twice", n);
    entry->is_seen = true;
    if (entry->fate == REFUSED || entry->fate == GONE || entry->fate == DAMAGED)
        PROBLEM("entry %zu came back from the dead (%d)", n, entry->fate);
    if (entry->fate == ACKED && entry->place != at)
        PROBLEM("entry %zu moved", n);
    entry->seen_at = at;
}

static bool is_reported(const Entry *entry) {
    for (size_t i = 0; i < world->damage_at.len; i++)
        if (world->damage_at.at[i] <= entry->place &&
            entry->place + entry->len <= world->damage_at.at[i] + world->damage_bytes.at[i])
            return true;
    return false;
}

static bool is_hit(const Entry *entry) {
    uint32_t len;
    memcpy(&len, entry->bytes, sizeof len);
    for (size_t i = 0; i < world->flipped.len; i++)
        if (entry->place <= world->flipped.at[i] && world->flipped.at[i] < entry->place + len)
            return true;
    return false;
}

static void check_entry(size_t n, bool was_power_cut) {
    Entry *entry = &world->entries.at[n];
    if (entry->is_seen) {
        if (is_hit(entry))
            PROBLEM("entry %zu was hit and came back whole", n);
        if (entry->fate == SUBMITTED || entry->fate == LOST_LAXLY)
            entry->is_live = rand_below(&world->rand, 2);
        entry->fate = ACKED;
        entry->place = entry->seen_at;
        if (entry->is_live)
            log_add_live(world->log, entry->place, entry->len);
        return;
    }
    bool may_be_recycled = !entry->is_live && entry->place < world->floor;
    switch (entry->fate) {
    case SUBMITTED:
        entry->fate = GONE;
        entry->is_live = false;
        break;
    case ACKED:
        if (is_hit(entry)) {
            entry->fate = DAMAGED;
            entry->is_live = false;
            if (!is_reported(entry) && !may_be_recycled)
                PROBLEM("entry %zu is damaged and not reported", n);
        } else if ((world->is_lax && was_power_cut) || world->is_lossy) {
            entry->fate = LOST_LAXLY;
            entry->is_live = false;
        } else if (!may_be_recycled) {
            PROBLEM(
                "acknowledged entry %zu (group %u index %llu, segment %llu offset %llu) is lost", n,
                entry->group, (unsigned long long)entry->index,
                (unsigned long long)place_segment(entry->place),
                (unsigned long long)place_offset(entry->place));
        }
        break;
    case DAMAGED:
        if (!is_reported(entry) && !may_be_recycled)
            PROBLEM("entry %zu is damaged and no longer reported", n);
        break;
    default:
        break;
    }
}

static void on_state(void *cookie, uint32_t group, uint64_t index, Slice state) {
    (void)cookie;
    (void)index;
    if (group >= GROUPS || state.len != group * 10)
        PROBLEM("a checkpoint with a state that was never saved");
}

/* The next key takes the place of the one before, which is certainly in use. True when it has to be
 * told to the log. */
static bool change_key(void) {
    static const Slice keys[] = {LIT("red"), LIT("green"), LIT("blue")};
    CipherOptions *cipher = &world->options.cipher;
    if (cipher->kind == CIPHER_NONE || !world->is_key_taken || rand_below(&world->rand, 3) != 0)
        return false;
    cipher->key_before = cipher->key;
    cipher->key = keys[++world->key % 3];
    world->is_key_taken = false;
    return true;
}

static bool open_log(void) {
    Place floor;
    unsigned damaged;
    bool is_whole;
    Status status = checkpoint_load("/store", NULL, on_state, NULL, &world->generation, &floor,
                                    &damaged, &is_whole);
    if (status != OK && status != ERR_NOT_FOUND)
        return false;
    if (log_open_dir(&world->options, &world->log) != OK)
        return false;
    world->seen_last = 0;
    vec_clear(&world->damage_at);
    vec_clear(&world->damage_bytes);
    for (size_t i = 0; i < world->entries.len; i++)
        world->entries.at[i].is_seen = false;
    LogReport report;
    status = log_recover(world->log, 0, on_record, NULL, NULL, &report);
    TELL("open: %s, %llu blocks, %llu records, floor %llx\n%s", status_text(status),
         (unsigned long long)report.blocks, (unsigned long long)report.records,
         (unsigned long long)world->floor, buf_text(&report.text));
    log_report_done(&report);
    if (status != OK) {
        log_close(world->log);
        world->log = NULL;
        return false;
    }
    world->is_key_taken = true;
    world->reader = log_reader_new(world->log, NULL, 64 * 1024);
    world->last_block = 0;
    return true;
}

static void check_all(bool was_power_cut) {
    for (size_t n = 0; n < world->entries.len; n++)
        check_entry(n, was_power_cut);
    for (uint32_t g = 0; g < GROUPS; g++)
        world->index_last[g] = 0;
    for (size_t n = 0; n < world->entries.len; n++) {
        const Entry *entry = &world->entries.at[n];
        if (entry->fate == ACKED || entry->fate == DAMAGED || entry->fate == LOST_LAXLY)
            if (entry->index > world->index_last[entry->group])
                world->index_last[entry->group] = entry->index;
    }
    if (world->damage_at.len && !world->was_flipped && !world->is_lax)
        PROBLEM("damage reported at %llx where none was done",
                (unsigned long long)world->damage_at.at[0]);
    vec_clear(&world->flipped);
}

static void close_log(void) {
    log_reader_free(world->reader);
    log_close(world->log);
    for (size_t i = 0; i < world->waiting.len; i++) {
        shared_unref(world->waiting.at[i]->chunk.bytes);
        mem_free(world->waiting.at[i]);
    }
    vec_clear(&world->waiting);
    world->reader = NULL;
    world->log = NULL;
}

/* --- steps --- */

static void save_checkpoint(void) {
    Place floor = log_head(world->log);
    CheckpointWriter *writer = checkpoint_begin("/store", ++world->generation, floor);
    for (uint32_t g = GROUPS; g-- > 0;) {
        static const char state[GROUPS * 10];
        checkpoint_add(writer, g, world->index_last[g], slice_from(state, g * 10));
    }
    Place older = 0;
    if (checkpoint_finish(writer, &older) != OK)
        return;
    log_set_floor(world->log, older);
    if (older > world->floor)
        world->floor = older;
}

/* Drops many, so that whole segments die. */
static void drop_some(void) {
    size_t upto = rand_below(&world->rand, world->entries.len + 1);
    unsigned keep_one_in = (unsigned)rand_below(&world->rand, 20) + 2;
    for (size_t n = 0; n < upto; n++) {
        Entry *entry = &world->entries.at[n];
        if (!entry->is_live || entry->fate != ACKED || rand_below(&world->rand, keep_one_in) == 0)
            continue;
        entry->is_live = false;
        log_drop_live(world->log, entry->place, entry->len);
    }
}

static void step(void) {
    clock_sim_move(1 + rand_below(&world->rand, 700) * NS_PER_MS);
    switch (rand_below(&world->rand, 12)) {
    case 0:
        save_checkpoint();
        if (change_key())
            log_set_key(world->log, world->options.cipher.key);
        break;
    case 1:
        if (rand_below(&world->rand, 3) == 0)
            drop_some();
        break;
    case 2:
    case 3:
        read_one();
        break;
    case 4:
    case 5:
    case 6:
        log_commit_now(world->log);
        break;
    default:
        submit();
    }
}

static void flip_in_log(void) {
    size_t acked = 0;
    for (size_t n = 0; n < world->entries.len; n++)
        acked += world->entries.at[n].fate == ACKED;
    if (acked == 0)
        return;
    size_t pick = rand_below(&world->rand, acked);
    for (size_t n = 0; n < world->entries.len; n++) {
        const Entry *entry = &world->entries.at[n];
        if (entry->fate != ACKED || pick-- > 0)
            continue;
        /* Somewhere about it: in the record, its neighbours, the head of its block, the padding. */
        uint64_t offset = place_offset(entry->place) & ~(uint64_t)4095;
        offset += rand_below(&world->rand, 2 * 4096);
        Place at = place_of(place_segment(entry->place), offset);
        /* Which block is the last one is known only after a clean stop; see flip(). */
        char path[64];
        (void)snprintf(path, sizeof path, "/store/log/%llu.log",
                       (unsigned long long)place_segment(at));
        bool is_certain = !world->is_lax || world->last_block == UINT64_MAX;
        if (is_certain && at < world->last_block &&
            disk_sim_flip(path, offset, (unsigned)rand_below(&world->rand, 8))) {
            vec_push(&world->flipped, at);
            world->was_flipped = true;
            TELL("flip at %llx\n", (unsigned long long)at);
        }
        return;
    }
}

static void flip_in_other(void) {
    static const char *const names[] = {"/store/SUPER.a", "/store/SUPER.b"};
    char path[64];
    /* A failing device, or the end of this life, may have cost one copy of SUPER: not both. */
    if (rand_below(&world->rand, 2) && !world->is_super_at_risk)
        (void)snprintf(path, sizeof path, "%s", names[rand_below(&world->rand, 2)]);
    else
        (void)snprintf(path, sizeof path, "/store/checkpoint.%llu",
                       (unsigned long long)world->generation);
    (void)disk_sim_flip(path, rand_below(&world->rand, 4096),
                        (unsigned)rand_below(&world->rand, 8));
}

/* One life of the process; returns how it ended. */
typedef enum End { END_CLEAN, END_KILL, END_POWER_CUT } End;

static End live(void) {
    End end = (End)rand_below(&world->rand, 3);
    if (end != END_CLEAN)
        disk_sim_stop_after(1 + rand_below(&world->rand, 80));
    world->has_faults = true;
    if (rand_below(&world->rand, 8) == 0)
        disk_sim_fail_after(1 + rand_below(&world->rand, 40));
    else if (rand_below(&world->rand, 4) == 0)
        disk_sim_fail_for(1 + rand_below(&world->rand, 60), 1 + rand_below(&world->rand, 20));
    else
        world->has_faults = false;
    world->is_lossy |= world->is_lax && world->has_faults;
    world->has_failed = false;
    world->is_super_at_risk |= world->has_faults;
    (void)change_key();
    if (!open_log())
        return end == END_CLEAN ? END_KILL : end;
    world->is_super_at_risk = world->has_faults;
    /* A place that was stopped while opening has not been read to the end; only a whole reading is
     * judged. */
    return end;
}

/* The device works again: the log does too, by itself. */
static void see_it_go_on(void) {
    disk_sim_fail_for(0, 0);
    for (int i = 0; i < 3 && log_is_failed(world->log); i++) {
        clock_sim_move(5 * (uint64_t)NS_PER_S);
        log_commit_now(world->log);
    }
    if (log_is_failed(world->log) && world->capacity == 0 && !disk_sim_is_stopped())
        PROBLEM("the log does not go on: %s", log_failure_text(world->log));
    submit();
    log_commit_now(world->log);
    if (world->has_failed && world->capacity == 0 && !disk_sim_is_stopped())
        PROBLEM("the log goes on and takes nothing");
}

static void run_life(bool *was_power_cut) {
    End end = live();
    if (world->log != NULL) {
        check_all(*was_power_cut);
        *was_power_cut = false;
        unsigned steps = (unsigned)rand_below(&world->rand, STEPS);
        for (unsigned i = 0; i < steps && !disk_sim_is_stopped() && !world->problem[0]; i++)
            step();
        if (end == END_CLEAN && !disk_sim_is_stopped())
            log_commit_now(world->log);
        if (log_is_failed(world->log) && !disk_sim_is_stopped() && rand_below(&world->rand, 4))
            see_it_go_on();
        if (end != END_CLEAN && !disk_sim_is_stopped()) {
            disk_sim_stop_after(1);
            if (disk_sim_is_stopped() == false && rand_below(&world->rand, 2)) {
                submit();
                log_commit_now(world->log);
            }
        }
    }
    if (end != END_CLEAN) {
        /* The process does nothing any more, so it does not close in order either. */
        while (!disk_sim_is_stopped()) {
            disk_sim_stop_after(1);
            Status status = disk_sync_dir("/store");
            assert_int_equal(status, ERR_IO);
        }
    }
    disk_sim_fail_after(0);
    if (world->log != NULL) {
        if (log_is_failed(world->log) && !world->has_faults && end == END_CLEAN)
            PROBLEM("the log failed and the disk did not");
        if (end == END_CLEAN && !log_is_failed(world->log))
            world->last_block = UINT64_MAX; /* the log has noted where it ends */
        close_log();
    }
    world->is_super_at_risk |= end != END_CLEAN;
    TELL("end: %d\n", end);
    if (end == END_POWER_CUT) {
        disk_sim_power_cut();
        *was_power_cut = true;
    } else {
        disk_sim_kill();
    }
    if (rand_below(&world->rand, 4) == 0)
        flip_in_log();
    else if (rand_below(&world->rand, 4) == 0)
        flip_in_other();
}

static void free_world(void) {
    for (size_t n = 0; n < world->entries.len; n++)
        mem_free(world->entries.at[n].bytes);
    vec_done(&world->entries);
    vec_done(&world->waiting);
    vec_done(&world->damage_at);
    vec_done(&world->flipped);
    vec_done(&world->damage_bytes);
}

/* False: *out_problem says what went wrong. */
static bool run_seed(uint64_t seed, bool is_mutant, char *out_problem, size_t problem_size) {
    World here = {.seed = seed};
    world = &here;
    rand_init(&here.rand, seed);
    here.is_lax = !is_mutant && rand_below(&here.rand, 8) == 0;
    here.options = (LogOptions){
        .dir = "/store",
        .segment_bytes = UINT64_C(32768) << rand_below(&here.rand, 3),
        .sync_interval_ns = here.is_lax ? (rand_below(&here.rand, 2) ? 1 : UINT64_MAX / 4) : 0,
        .is_ack_before_sync = is_mutant,
    };
    if (seed % 4 == 3 && !is_mutant)
        here.options.cipher =
            (CipherOptions){seed % 8 == 3 ? CIPHER_AES : CIPHER_CHACHA, LIT("red"), {0}};
    uint64_t capacity = 0;
    if (rand_below(&here.rand, 4) == 0) {
        capacity = 400 * 1024 + rand_below(&here.rand, 1024 * 1024);
        here.options.free_low_bytes = 40 * 1024;
    }
    here.capacity = capacity;
    disk_sim_reset(seed, capacity);
    bool was_power_cut = false;
    for (int i = 0; i < LIVES && !here.problem[0]; i++)
        run_life(&was_power_cut);
    disk_sim_stop_after(0);
    if (!here.problem[0] && open_log()) {
        check_all(was_power_cut);
        for (int i = 0; i < 50; i++)
            read_one();
        close_log();
    } else if (!here.problem[0] && capacity == 0) {
        PROBLEM("the log does not open at the end");
    }
    (void)snprintf(out_problem, problem_size, "%s", here.problem);
    bool is_good = here.problem[0] == '\0';
    free_world();
    disk_sim_done();
    return is_good;
}

static void every_acknowledged_record_survives(void **state) {
    (void)state;
    char problem[200];
    unsigned failed = 0;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count && failed < 10; seed++) {
        if (run_seed(seed, false, problem, sizeof problem))
            continue;
        print_error("seed %llu: %s\n", (unsigned long long)seed, problem);
        failed++;
    }
    assert_int_equal(failed, 0);
}

/* The simulation is worth nothing if it does not see this. */
static void acknowledging_before_the_sync_is_caught(void **state) {
    (void)state;
    char problem[200];
    unsigned caught = 0;
    is_telling = false;
    for (uint64_t seed = 1; seed <= MUTANT_SEEDS; seed++)
        caught += !run_seed(seed, true, problem, sizeof problem);
    assert_true(caught > 0);
    print_message("the mutant was caught by %u of %u seeds\n", caught, MUTANT_SEEDS);
}

int main(int argc, char **argv) {
    if (argc > 1)
        seed_first = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seed_count = strtoull(argv[2], NULL, 10);
    is_telling = seed_count == 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_acknowledged_record_survives),
        cmocka_unit_test(acknowledging_before_the_sync_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
