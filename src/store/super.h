/* Super: what is known about a store before its log is read: SUPER.a and SUPER.b. Private to
 * store/.
 *
 * Each file is 4 KiB; the one with the higher generation counts. They are written in turn, so that
 * a torn write leaves the other one.
 *
 *   offset  size  field
 *        0     8  magic "HOLDWATR"
 *        8     4  version: 1; 2 when there are seals; 3 when the store is encrypted
 *       12     4  zero
 *       16     8  generation
 *       24    16  store id, made at the first start
 *       40     8  epoch of the newest start, or of going on after a failure
 *       48     8  floor: segments before its one may be missing
 *       56     8  durable: number of a block that is certainly on disk (set when the store is
 *                 closed)
 *       64     8  place where that block ends
 *       72     8  hole end: segments before this one may be missing
 *      128   120  the data key, wrapped (store/cipher.h); zeros: the store is not encrypted
 *     2048     8  seals: count
 *     2056        16 bytes for each: place, block number
 *     4088     8  XXH3-64 of the 4088 bytes before
 *
 * A seal: a write or sync failed at this place, and the log went on in a later segment with the
 * block of this number. What stands from there on in its segment was refused: it is nobody's. All
 * blocks before that number are durable. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/block.h"
#include "store/cipher.h"
#include "store/record.h"

enum {
    SUPER_VERSION = 1,
    SUPER_VERSION_SEALED = 2,
    SUPER_VERSION_ENCRYPTED = 3, /* with or without seals */
    SUPER_BYTES = 4096,
    SUPER_SEALS_MAX = 64,
};

typedef struct Seal {
    Place at;
    uint64_t number;
} Seal;

typedef struct Super {
    uint64_t generation;
    uint8_t store_id[STORE_ID_BYTES];
    uint64_t epoch;
    Place floor;
    uint64_t durable;
    Place durable_end;
    uint64_t hole_end;
    WrappedKey key; /* kind 0: not encrypted */
    uint64_t seal_count;
    Seal seals[SUPER_SEALS_MAX]; /* ascending */
} Super;

/* OK; ERR_NOT_FOUND: no file (or an unfinished first one); ERR_CORRUPT: both damaged; ERR_VERSION:
 * newer, or not ours; ERR_IO. *out_is_one_damaged: the other copy had to do. */
MUST_CHECK Status super_read(const char *dir, Super *out_super, bool *out_is_one_damaged);

/* Raises the generation and writes the older copy (both, and the directory, when is_first).
 * Blocking. After a failure the same copy is written next, so that the other one stays whole. */
MUST_CHECK Status super_write(const char *dir, Super *super, bool is_first);

/* Adds a seal, behind all others. Those of segments before first_segment are dropped; of too many,
 * the oldest. */
void super_seal(Super *super, Place at, uint64_t number, uint64_t first_segment);
/* Drops the seals of segments behind segment. */
void super_unseal_after(Super *super, uint64_t segment);
/* Where the segment's blocks end at the latest: UINT64_MAX when it is not sealed. */
uint64_t super_sealed_at(const Super *super, uint64_t segment);
/* The highest sealed segment; 0 = none. */
uint64_t super_sealed_last(const Super *super);
/* Number of a block that is certainly durable, as are all before it; 0 = not known. */
uint64_t super_durable(const Super *super);
