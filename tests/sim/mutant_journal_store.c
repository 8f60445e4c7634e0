#include "disk_sim.h"
#include "journal/journal_private.h"
#include "mutants.h"

#include <stdio.h>

typedef void EachState(void *cookie, uint32_t group, uint64_t index, Slice state);

void mutant_forget_bad(void);

static Status open_dir(const LogOptions *options, Log **out_log) {
    LogOptions wrong = *options;
    wrong.is_ack_before_sync = is_mutant(ACK_BEFORE_SYNC);
    mutant_forget_bad();
    return log_open_dir(&wrong, out_log);
}

static void no_state(void *cookie, uint32_t group, uint64_t index, Slice state) {
    (void)cookie, (void)group, (void)index, (void)state;
}

static Status load(const char *dir, const Cipher *cipher, EachState *each, void *cookie,
                   uint64_t *out_generation, Place *out_floor, unsigned *out_damaged,
                   bool *out_is_whole) {
    uint64_t newest;
    Place floor;
    char path[256];
    bool is_wrong = is_mutant(SKIP_FLOOR) &&
                    checkpoint_load(dir, cipher, no_state, NULL, &newest, &floor, out_damaged,
                                    out_is_whole) == OK &&
                    checkpoint_read(dir, newest - 1, cipher, NULL, NULL, NULL) == OK;
    if (is_wrong) {
        (void)snprintf(path, sizeof path, "%s/checkpoint.%llu", dir, (unsigned long long)newest);
        is_wrong = disk_remove(path) == OK;
    }
    Status status = checkpoint_load(dir, cipher, each, cookie, out_generation, out_floor,
                                    out_damaged, out_is_whole);
    if (is_wrong && status == OK)
        *out_floor = floor;
    return status;
}

static void again(Group *group, const Record *record, Place at, Shared *hold) {
    if (mutant_strikes(REPLAY_TWICE))
        group->ops->apply(group, record, at, hold, NULL);
}

#define log_open_dir(options, out_log) open_dir(options, out_log)
#define checkpoint_load(...)           load(__VA_ARGS__)
#define apply(group, record, at, hold, ticket)                                                     \
    apply(group, record, at, hold, ticket), again(group, record, at, hold)
#include "journal/journal_store.c"
