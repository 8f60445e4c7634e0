/* CleanRound: has every group move its records out of some segments: one worker after the other,
 * there one group after the other. */
#include "base/mem.h"
#include "base/vec.h"
#include "io/clock.h"
#include "journal/journal_private.h"

enum {
    /* Of a turn: groups that have nothing there are passed quickly. */
    ROUND_SLICE_NS = 500 * 1000,
    ROUND_ENTRY_BYTES = 256 * 1024,
    /* Clients are at work: smaller pieces, and no more than so many bytes in a second. */
    ROUND_BUSY_ENTRY_BYTES = 64 * 1024,
    ROUND_BUSY_BYTES_PER_S = 20 * 1024 * 1024,
    /* What clients write in a second makes them at work, for that long. */
    ROUND_BUSY_LOG_BYTES = 512 * 1024,
};

struct CleanRound {
    Mail mail; /* first */
    JournalStore *store;
    CleanOrder order;
    unsigned worker;
    VEC(Group *) groups; /* of the worker; NULL: it left */
    size_t next;
    Task task;
    GroupMove move;
    bool is_moving;
    void (*done)(void *cookie, const GroupMove *move);
    void *cookie;
};

static void run_some(Task *task);
static void on_asked(Worker *here, Mail *mail);

static Journal *journal_of(const CleanRound *round) {
    return &round->store->journals[round->worker];
}

/* Only one group moves at a time. */
static void on_moved(GroupMove *move) {
    CleanRound *round = CONTAINER_OF(move, CleanRound, move);
    round->is_moving = false;
    worker_ready(journal_of(round)->home, &round->task);
}

static void ask(CleanRound *round) {
    JournalStore *store = round->store;
    round->mail.arrive = on_asked;
    worker_post(store->all[0], store->all[round->worker], &round->mail);
}

/* An entry must fit into any segment. */
static uint64_t entry_bytes_max(const JournalStore *store) {
    uint64_t share = log_segment_bytes(store->log) / 8;
    return share < ROUND_ENTRY_BYTES ? share : ROUND_ENTRY_BYTES;
}

CleanRound *clean_round_begin(JournalStore *store, const CleanOrder *order,
                              void (*done)(void *cookie, const GroupMove *move), void *cookie) {
    CleanRound *round = mem_zalloc(sizeof *round);
    round->store = store;
    round->order = *order;
    round->done = done;
    round->cookie = cookie;
    round->move = (GroupMove){.kind = order->kind,
                              .from_segment = order->from_segment,
                              .to_segment = order->to_segment,
                              .floor_segment = order->floor_segment,
                              .segments = round->order.segments,
                              .segment_count = order->count,
                              .bytes_left = order->bytes_max,
                              .entry_bytes = entry_bytes_max(store),
                              .done = on_moved};
    ask(round);
    return round;
}

void clean_round_free(CleanRound *round) {
    if (round == NULL)
        return;
    vec_done(&round->groups);
    mem_free(round);
}

void clean_round_forget(CleanRound *round, const Group *group) {
    for (size_t i = round->next; i < round->groups.len; i++)
        if (round->groups.at[i] == group)
            round->groups.at[i] = NULL;
}

/* --- on a worker --- */

/* Groups that come later have nothing in old segments. */
static void on_asked(Worker *here, Mail *mail) {
    CleanRound *round = (CleanRound *)mail;
    Journal *journal = journal_of(round);
    vec_clear(&round->groups);
    round->next = 0;
    LIST_FOR_EACH(link, &journal->groups) {
        Group *group = CONTAINER_OF(link, Group, link);
        if (link != journal->marker && !group->is_memory && group->ops->move)
            vec_push(&round->groups, group);
    }
    journal->round = round;
    task_init(&round->task, run_some);
    worker_ready(here, &round->task);
}

static void on_done(Worker *here, Mail *mail) {
    (void)here;
    CleanRound *round = (CleanRound *)mail;
    JournalStore *store = round->store;
    if (!round->move.is_cut_short && ++round->worker < store->all[0]->count) {
        ask(round);
        return;
    }
    (void)counter_add(&store->moved_records, round->move.records);
    (void)counter_add(&store->moved_bytes, round->move.bytes);
    (void)counter_add(&store->packed_bytes, round->move.packed_bytes);
    (void)counter_add(&store->frame_bytes, round->move.frame_bytes);
    round->done(round->cookie, &round->move);
    clean_round_free(round);
}

static void run_some(Task *task) {
    CleanRound *round = CONTAINER_OF(task, CleanRound, task);
    Journal *journal = journal_of(round);
    uint64_t began_ns = clock_mono_ns();
    while (round->next < round->groups.len && !round->move.is_cut_short) {
        if (clock_mono_ns() - began_ns > ROUND_SLICE_NS) {
            worker_ready(journal->home, &round->task);
            return;
        }
        Group *group = round->groups.at[round->next++];
        if (group == NULL)
            continue;
        round->is_moving = group->ops->move(group, &round->move);
        if (round->is_moving)
            return; /* goes on in on_moved */
    }
    journal->round = NULL;
    round->mail.arrive = on_done;
    worker_post(journal->home, round->store->all[0], &round->mail);
}

/* --- pace --- */

uint64_t journal_move_pause_ns(Journal *journal, GroupMove *move) {
    const JournalStore *store = journal->store;
    const Log *log = store->log;
    if (store->offload == NULL)
        return 0; /* stepped */
    Place head = log_head(log);
    uint64_t now_ns = clock_mono_ns(), own = move->bytes - move->bytes_seen;
    uint64_t taken_ns = move->seen_ns ? now_ns - move->seen_ns : 0;
    uint64_t appended = move->seen_ns ? log_bytes_after(log, move->head) : 0;
    move->head = head;
    move->bytes_seen = move->bytes;
    move->seen_ns = now_ns;
    own += own / 8 + 8192; /* and what a block takes around it */
    uint64_t others = appended > own ? appended - own : 0;
    if (others * NS_PER_S > taken_ns * ROUND_BUSY_LOG_BYTES)
        move->busy_ns = now_ns;
    if (log_is_tight(log))
        return 0;
    bool is_busy = move->busy_ns && now_ns - move->busy_ns < NS_PER_S;
    uint64_t max = entry_bytes_max(store);
    move->entry_bytes = is_busy && max > ROUND_BUSY_ENTRY_BYTES ? ROUND_BUSY_ENTRY_BYTES : max;
    if (!is_busy)
        return taken_ns / 4 < 20 * NS_PER_MS ? taken_ns / 4 : 0;
    return own * NS_PER_S / ROUND_BUSY_BYTES_PER_S;
}

void journal_ask_pack(Journal *journal, bool has_old) {
    Counter *asks = &journal->store->pack_asks;
    if (has_old)
        (void)counter_add(asks, 1);
    else
        (void)counter_raise(asks, 1);
}
