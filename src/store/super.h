/* Super: what is known about a store before its log is read: SUPER.a and SUPER.b. Private to
 * store/.
 *
 * Each file is 4 KiB; the one with the higher generation counts. They are written in turn, so that
 * a torn write leaves the other one.
 *
 *   offset  size  field
 *        0     8  magic "HOLDWATR"
 *        8     4  version (1)
 *       12     4  zero
 *       16     8  generation
 *       24    16  store id, made at the first start
 *       40     8  epoch of the newest start
 *       48     8  floor: segments before its one may be missing
 *       56     8  durable: number of a block that is certainly on disk (set when the store is
 * closed) 64     8  place where that block ends 72        zeros 4088     8  XXH3-64 of the 4088
 * bytes before */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/block.h"
#include "store/record.h"

enum { SUPER_VERSION = 1, SUPER_BYTES = 4096 };

typedef struct Super {
    uint64_t generation;
    uint8_t store_id[STORE_ID_BYTES];
    uint64_t epoch;
    Place floor;
    uint64_t durable;
    Place durable_end;
    uint64_t hole_end;
} Super;

/* OK; ERR_NOT_FOUND: no file (or an unfinished first one); ERR_CORRUPT: both damaged; ERR_VERSION:
 * newer, or not ours; ERR_IO. *out_is_one_damaged: the other copy had to do. */
MUST_CHECK Status super_read(const char *dir, Super *out_super, bool *out_is_one_damaged);

/* Raises the generation and writes the older copy (both, and the directory, when is_first).
 * Blocking. */
MUST_CHECK Status super_write(const char *dir, Super *super, bool is_first);
