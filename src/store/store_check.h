/* StoreCheck: verifies every checksum and the chain of a store, changing nothing. */
#pragma once

#include "base/buf.h"
#include "store/store_scan.h"

typedef struct StoreDamage {
    uint64_t segment, offset, bytes;
    const char *what;
    ScanNumbers groups; /* that are hit, as far as can be told, ascending */
} StoreDamage;

typedef struct StoreRun {
    uint64_t group, generation;
    const char *damage; /* what is damaged; NULL: it is whole */
    uint64_t offset;    /* of the first damage */
} StoreRun;

typedef struct StoreCheck {
    uint64_t segments, blocks, records, last_block;
    uint64_t torn_bytes; /* an end that was never acknowledged, or is being written */
    bool is_super_half, is_super_lost;
    bool is_locked; /* encrypted, and no key was given: records were not looked into */
    ScanNumbers checkpoints, bad_checkpoints;
    VEC(StoreDamage) damages;
    VEC(StoreRun) runs;
    VEC(char *) unknown; /* paths in the store of files that are not its own: no damage */
    uint64_t set_aside, set_aside_bytes; /* files in bad/: copies and what was moved there */
} StoreCheck;

/* visit (may be NULL) is called with each good record in order, and with each group's state of the
 * newest whole checkpoint first (record NULL). ERR_NOT_FOUND, ERR_VERSION, ERR_IO, ERR_MEMORY:
 * could not be read; ERR_DENIED: not its key. OK says nothing about wholeness:
 * store_check_is_whole. key may be empty: then what is encrypted is verified by the checksums over
 * it. */
typedef struct StoreVisitor {
    void *cookie;
    void (*state)(void *cookie, uint32_t group, uint64_t index, Slice state);
    void (*record)(void *cookie, const Record *record);
} StoreVisitor;
MUST_CHECK Status store_check(const char *dir, Slice key, const StoreVisitor *visit,
                              StoreCheck *out_check);
bool store_check_is_whole(const StoreCheck *check);
void store_check_done(StoreCheck *check);
