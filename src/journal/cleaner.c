/* When segments of the log are cleaned, and which.
 *
 * What is live in a segment is appended again, by its groups; two checkpoints later nothing live is
 * in the segment, and it is recycled as any other. While clients write, only segments are cleaned
 * of which less than half is live, after each checkpoint. When they do not, checkpoints are made
 * until what is dead is given up, then the emptiest segments are cleaned until the log is little
 * larger than what is live in it; at last the log goes on in a smaller segment. When space is low,
 * whatever yields most goes first, as far as there is room for it. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "io/clock.h"
#include "journal/journal_private.h"

enum {
    CLEAN_INTERVAL_MS = 1000,
    /* While nothing changes. */
    CLEAN_QUIET_FACTOR = 10,
    /* Clients are idle when they write less than this in a second, so many looks in a row. */
    CLEAN_IDLE_BYTES = 512 * 1024,
    CLEAN_IDLE_LOOKS = 3,
    /* Percent that is live in a segment that is cleaned: always, at the most. */
    CLEAN_LIVE_PERCENT = 50,
    CLEAN_LIVE_PERCENT_MAX = 95,
    /* Percent of the live bytes that may be wasted: when more is, down to what. */
    CLEAN_WASTE_PERCENT = 10,
    CLEAN_WASTE_PERCENT_DONE = 5,
    /* After so many, everything that died before has been given up. */
    CLEAN_CHECKPOINTS = 5,
    /* Of log that one round takes. */
    CLEAN_ROUND_BYTES = 256 * 1024 * 1024,
    /* Steps of a segment's size. */
    CLEAN_SEGMENT_STEP = 4,
    CLEAN_SEGMENT_BYTES_MIN = 4 * 1024 * 1024,
};

typedef struct Tried { /* segments that were cleaned and still hold something */
    uint64_t number, live;
} Tried;

struct Cleaner {
    JournalStore *store;
    Timer timer;
    uint64_t interval_ns, looked_ns;
    uint64_t generation;                 /* of the checkpoint when segments were chosen last */
    uint64_t busy_generation;            /* when clients wrote last */
    uint64_t asked_generation, asked_ns; /* when one was asked for last */
    Place head;
    unsigned idle_looks;
    CleanRound *round;
    CleanOrder order;
    Packer packer;
    uint64_t tidied_used, tidied_live; /* when segments were chosen last while clients were idle */
    VEC(Tried) tried;
};

typedef struct Look {
    uint64_t used, live; /* of all segments; of the head only what is written */
    uint64_t gain;       /* what checkpoints alone give up, or make cleanable */
    LogSegment head;
} Look;

static void on_timer(Timer *timer);

Cleaner *cleaner_new(JournalStore *store, uint64_t interval_ns) {
    Cleaner *cleaner = mem_zalloc(sizeof *cleaner);
    cleaner->store = store;
    cleaner->interval_ns = interval_ns ? interval_ns : CLEAN_INTERVAL_MS * NS_PER_MS;
    timer_init(&cleaner->timer, on_timer);
    return cleaner;
}

void cleaner_free(Cleaner *cleaner) {
    if (cleaner == NULL)
        return;
    timer_cancel(cleaner->store->all[0], &cleaner->timer);
    clean_round_free(cleaner->round);
    vec_done(&cleaner->tried);
    mem_free(cleaner);
}

/* --- looking --- */

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void look(const Cleaner *cleaner, Look *out) {
    const Log *log = cleaner->store->log;
    Place head = log_head(log);
    uint64_t floor = place_segment(log_floor(log));
    LogSegment segment;
    *out = (Look){0};
    for (uint64_t n = 0; log_segment_at(log, n, &segment); n = segment.number + 1) {
        bool is_head = segment.number == place_segment(head);
        out->live += segment.live;
        out->used += is_head ? place_offset(head) : segment.bytes;
        if (is_head)
            out->head = segment;
        else if (segment.number >= floor)
            out->gain += segment.bytes - least(segment.live, segment.bytes);
        else if (segment.dead)
            out->gain += segment.live ? segment.dead : segment.bytes;
    }
}

/* Less than this is not worth a checkpoint. */
static uint64_t worthwhile(const Cleaner *cleaner, const Look *seen) {
    uint64_t min = least(CLEAN_SEGMENT_BYTES_MIN, log_segment_bytes(cleaner->store->log));
    uint64_t share = seen->live / 100 * CLEAN_WASTE_PERCENT_DONE;
    return share > min ? share : min;
}

/* --- choosing --- */

static Tried *find_tried(const Cleaner *cleaner, uint64_t number) {
    for (size_t i = 0; i < cleaner->tried.len; i++)
        if (cleaner->tried.at[i].number == number)
            return &cleaner->tried.at[i];
    return NULL;
}

/* Share that is live, for comparing. */
static uint64_t share(const LogSegment *segment) {
    return segment->live * 1000 / segment->bytes;
}

static int by_share(const void *a, const void *b) {
    uint64_t x = share(a), y = share(b);
    return (x > y) - (x < y);
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The emptiest ones that more than nothing is live in, at most percent, until so many bytes are
 * gained, with what is live in them taking no more than bytes_max. */
static void choose(Cleaner *cleaner, unsigned percent, uint64_t gain, uint64_t bytes_max) {
    const Log *log = cleaner->store->log;
    uint64_t end = least(place_segment(log_floor(log)), place_segment(log_head(log)));
    VEC(LogSegment) all = {0};
    LogSegment segment;
    CleanOrder *order = &cleaner->order;
    *order = (CleanOrder){0};
    for (uint64_t n = 0; log_segment_at(log, n, &segment) && segment.number < end;
         n = segment.number + 1) {
        const Tried *tried = find_tried(cleaner, segment.number);
        if (segment.live && segment.live * 100 < segment.bytes * percent &&
            !(tried && tried->live == segment.live))
            vec_push(&all, segment);
    }
    if (all.len > 1)
        qsort(all.at, all.len, sizeof *all.at, by_share);
    for (size_t i = 0; i < all.len && order->count < CLEAN_SEGMENTS_MAX && gain; i++) {
        uint64_t takes = all.at[i].live + all.at[i].live / 16 + 64 * 1024;
        if (order->bytes_max + takes > bytes_max)
            break;
        order->segments[order->count++] = all.at[i].number;
        order->bytes_max += takes;
        gain -= least(gain, all.at[i].bytes - all.at[i].live);
    }
    vec_done(&all);
    if (order->count > 1)
        qsort(order->segments, order->count, sizeof *order->segments, by_number);
}

/* --- a round --- */

static void forget_gone(Cleaner *cleaner) {
    LogSegment segment;
    for (size_t i = cleaner->tried.len; i-- > 0;)
        if (!log_segment_at(cleaner->store->log, cleaner->tried.at[i].number, &segment) ||
            segment.number != cleaner->tried.at[i].number)
            vec_remove_unordered(&cleaner->tried, i);
}

/* What is left in a segment cannot be moved: damaged records, and what a snapshot holds. */
static void note_left(Cleaner *cleaner, const LogSegment *segment) {
    Tried *tried = find_tried(cleaner, segment->number);
    if (tried) {
        tried->live = segment->live;
        return;
    }
    vec_push(&cleaner->tried, ((Tried){segment->number, segment->live}));
    LOG_INFO("log segment stays: records in it cannot be moved", "segment=%llu bytes=%llu",
             (unsigned long long)segment->number, (unsigned long long)segment->live);
}

static void on_round_done(void *cookie, const GroupMove *move) {
    Cleaner *cleaner = cookie;
    const Log *log = cleaner->store->log;
    LogSegment segment;
    cleaner->round = NULL;
    forget_gone(cleaner);
    if (move->kind != MOVE_OUT) {
        Look seen;
        look(cleaner, &seen);
        packer_note(&cleaner->packer, &cleaner->order, move, worthwhile(cleaner, &seen));
    }
    for (size_t i = 0; i < cleaner->order.count && !move->is_cut_short; i++)
        if (log_segment_at(log, cleaner->order.segments[i], &segment) &&
            segment.number == cleaner->order.segments[i] && segment.live)
            note_left(cleaner, &segment);
    cleaner->head = log_head(log);
    cleaner->looked_ns = clock_mono_ns();
}

static bool begin(Cleaner *cleaner) {
    if (cleaner->order.kind == MOVE_OUT && cleaner->order.count == 0)
        return false;
    cleaner->round = clean_round_begin(cleaner->store, &cleaner->order, on_round_done, cleaner);
    return true;
}

/* --- a smaller segment --- */

static void filler_done(Worker *home, LogChunk *chunk) {
    (void)home;
    shared_unref(chunk->bytes);
    mem_free(chunk);
}

/* A record that nobody reads makes the log go on. */
static void append_filler(Cleaner *cleaner) {
    const Record filler = {
        .type = RECORD_MOVED, .group = RECORD_FILLER_GROUP, .index = 1, .time_ns = clock_wall_ns()};
    LogChunk *chunk = mem_zalloc(sizeof *chunk);
    chunk->home = cleaner->store->all[0];
    chunk->len = record_bytes(&filler);
    chunk->bytes = shared_new(chunk->len);
    chunk->record_count = 1;
    chunk->done = filler_done;
    record_write(&filler, shared_bytes(chunk->bytes));
    log_submit(cleaner->store->log, chunk);
}

/* The size that fits what is live: in steps, so that it does not change with every message. */
static uint64_t fitting_bytes(const Cleaner *cleaner, uint64_t live) {
    uint64_t max = log_segment_bytes(cleaner->store->log);
    uint64_t bytes = least(CLEAN_SEGMENT_BYTES_MIN, max);
    while (bytes < max && bytes * CLEAN_SEGMENT_STEP < live)
        bytes *= CLEAN_SEGMENT_STEP;
    return least(bytes, max);
}

static void roll(Cleaner *cleaner, uint64_t bytes) {
    log_shrink(cleaner->store->log, bytes);
    append_filler(cleaner);
}

static bool shrink(Cleaner *cleaner, const Look *seen) {
    uint64_t fitting = fitting_bytes(cleaner, seen->live);
    if (seen->head.bytes <= fitting ||
        seen->head.bytes - least(seen->head.live, seen->head.bytes) <= fitting * 2)
        return false;
    roll(cleaner, fitting);
    return true;
}

/* --- deciding --- */

/* One that failed is not asked for again at once. */
static bool ask_for_checkpoint(Cleaner *cleaner) {
    Checkpointer *checkpointer = cleaner->store->checkpointer;
    uint64_t generation = checkpointer_generation(checkpointer), now_ns = clock_mono_ns();
    if (cleaner->asked_ns && cleaner->asked_generation == generation &&
        now_ns - cleaner->asked_ns < CLEAN_QUIET_FACTOR * cleaner->interval_ns)
        return false;
    cleaner->asked_generation = generation;
    cleaner->asked_ns = now_ns;
    checkpointer_request(checkpointer, 1);
    return true;
}

/* Half of the room stays for deletes and acks. */
static bool make_room(Cleaner *cleaner, const Look *seen) {
    uint64_t room = log_room(cleaner->store->log) / 2, min = worthwhile(cleaner, seen);
    if (log_is_full(cleaner->store->log) && min > CLEAN_SEGMENT_BYTES_MIN / 4)
        min = CLEAN_SEGMENT_BYTES_MIN / 4;
    if (seen->gain >= min)
        return ask_for_checkpoint(cleaner);
    choose(cleaner, CLEAN_LIVE_PERCENT_MAX, UINT64_MAX, least(room, CLEAN_ROUND_BYTES));
    return begin(cleaner);
}

/* False: the head is as small as a segment gets. */
static bool roll_early(Cleaner *cleaner, const Look *seen) {
    uint64_t bytes = least(fitting_bytes(cleaner, seen->live), seen->head.bytes / 4);
    uint64_t min = least(CLEAN_SEGMENT_BYTES_MIN, log_segment_bytes(cleaner->store->log));
    if (bytes < min)
        bytes = min;
    if (bytes >= seen->head.bytes)
        return false;
    roll(cleaner, bytes);
    return true;
}

static bool pack(Cleaner *cleaner, const Look *seen) {
    switch (packer_choose(&cleaner->packer, cleaner->store, worthwhile(cleaner, seen),
                          &cleaner->order)) {
    case PACK_ROUND:
        return begin(cleaner);
    case PACK_CHECKPOINT:
        return ask_for_checkpoint(cleaner);
    case PACK_ROLL:
        if (!roll_early(cleaner, seen))
            packer_note_unrolled(&cleaner->packer);
        return true;
    case PACK_NOTHING:
        break;
    }
    return false;
}

/* What the rounds of an idle store waste themselves (parts of pages, ends of segments) is not given
 * up by more of them. */
static bool was_in_vain(const Cleaner *cleaner, const Look *seen, uint64_t little) {
    return cleaner->tidied_used && seen->used + little > cleaner->tidied_used &&
           seen->live + little > cleaner->tidied_live && seen->live < cleaner->tidied_live + little;
}

static bool tidy(Cleaner *cleaner, const Look *seen) {
    uint64_t waste = seen->used - least(seen->live, seen->used);
    uint64_t min = worthwhile(cleaner, seen);
    /* Not all that checkpoints give up is known before (chunks). */
    uint64_t made =
        checkpointer_generation(cleaner->store->checkpointer) - cleaner->busy_generation;
    if (waste >= min && (seen->gain >= min || made < CLEAN_CHECKPOINTS))
        return ask_for_checkpoint(cleaner);
    if (waste >= min && waste > seen->live / 100 * CLEAN_WASTE_PERCENT &&
        !was_in_vain(cleaner, seen, min / 4)) {
        cleaner->tidied_used = seen->used;
        cleaner->tidied_live = seen->live;
        choose(cleaner, CLEAN_LIVE_PERCENT_MAX, waste - seen->live / 100 * CLEAN_WASTE_PERCENT_DONE,
               CLEAN_ROUND_BYTES);
        if (begin(cleaner))
            return true;
    }
    if (pack(cleaner, seen))
        return true;
    return shrink(cleaner, seen);
}

/* True when something was begun. */
static bool decide(Cleaner *cleaner) {
    Checkpointer *checkpointer = cleaner->store->checkpointer;
    const Log *log = cleaner->store->log;
    uint64_t generation = checkpointer_generation(checkpointer);
    Look seen;
    if (cleaner->round || !checkpointer_is_idle(checkpointer))
        return true;
    look(cleaner, &seen);
    if (log_is_tight(log))
        return make_room(cleaner, &seen);
    if (generation != cleaner->generation) {
        cleaner->generation = generation;
        choose(cleaner, CLEAN_LIVE_PERCENT, UINT64_MAX, CLEAN_ROUND_BYTES);
        if (begin(cleaner))
            return true;
        cleaner->packer.is_due = true;
    }
    if (packer_choose_old(&cleaner->packer, cleaner->store, &cleaner->order))
        return begin(cleaner);
    return cleaner->idle_looks >= CLEAN_IDLE_LOOKS && tidy(cleaner, &seen);
}

/* True when clients have written something since the last look. */
static bool watch(Cleaner *cleaner, uint64_t now_ns) {
    const Log *log = cleaner->store->log;
    uint64_t appended = log_bytes_after(log, cleaner->head);
    uint64_t taken_ns = now_ns - cleaner->looked_ns;
    bool is_idle = appended <= taken_ns / NS_PER_MS * CLEAN_IDLE_BYTES / 1000;
    cleaner->idle_looks = is_idle ? cleaner->idle_looks + 1 : 0;
    if (!is_idle) {
        cleaner->tidied_used = 0;
        cleaner->busy_generation = checkpointer_generation(cleaner->store->checkpointer);
    }
    cleaner->head = log_head(log);
    cleaner->looked_ns = now_ns;
    return appended != 0;
}

static void on_timer(Timer *timer) {
    Cleaner *cleaner = CONTAINER_OF(timer, Cleaner, timer);
    JournalStore *store = cleaner->store;
    uint64_t now_ns = clock_mono_ns(), interval_ns = cleaner->interval_ns;
    bool is_quiet = true;
    if (!checkpointer_is_disabled(store->checkpointer) && !log_is_failed(store->log)) {
        bool has_news = cleaner->round || watch(cleaner, now_ns);
        is_quiet = !decide(cleaner) && !has_news && cleaner->idle_looks > CLEAN_IDLE_LOOKS;
    }
    if (is_quiet)
        interval_ns *= CLEAN_QUIET_FACTOR;
    timer_set(store->all[0], timer, now_ns + interval_ns);
}

void cleaner_consider(Cleaner *cleaner) {
    if (cleaner && !timer_is_set(&cleaner->timer))
        timer_set(cleaner->store->all[0], &cleaner->timer, clock_mono_ns() + cleaner->interval_ns);
}
