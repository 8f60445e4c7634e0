/* Backup of a whole store into a directory, and back.
 *
 * The target has the files of a store: SUPER, checkpoints, and of each log segment the part that
 * holds blocks; and BACKUP, which tells that a run was finished. Another run into the same target
 * writes only what is new. Nothing is taken away from a target, so that the past can be had back:
 * segments that the store recycled and older checkpoints stay.
 *
 * The store may be in use. Checkpoints are copied first, then the log, which only grows; if the
 * checkpoints that were copied are not the store's any more at the end, a segment that they need
 * may have been given up meanwhile, and it is done again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

typedef struct BackupReport {
    uint64_t segments, segments_written, bytes_written, last_block;
    uint64_t damaged_blocks;
    unsigned checkpoints;
    const char *why; /* of a failure */
} BackupReport;

/* ERR_NOT_FOUND: no store; ERR_BUSY: another backup writes there, or the store changes too fast;
 * ERR_EXISTS: the target holds something else; ERR_VERSION, ERR_IO, ERR_FULL. */
MUST_CHECK Status backup_run(const char *dir, const char *target, BackupReport *out_report);

enum { BACKUP_WHOLE = 0 };
typedef struct RestorePoint {
    bool has_time;
    int64_t time_ns;     /* up to the first entry of the log with a later time, without it */
    uint64_t last_block; /* up to that block (commit) with it; 0 = all */
    Slice key; /* of the store, when it was encrypted: needed for a point in time or a block */
} RestorePoint;
typedef struct RestoreReport {
    uint64_t segments, records, last_block, checkpoint;
    int64_t last_time_ns;
    uint64_t damaged_blocks;
    const char *why;
} RestoreReport;
/* Makes dir, which must not exist or be empty. ERR_EXISTS; ERR_NOT_FOUND: no finished backup;
 * ERR_DENIED: encrypted, and the key is missing or wrong. ERR_RANGE: the backup's history does not
 * reach back so far. */
MUST_CHECK Status backup_restore(const char *target, const char *dir, const RestorePoint *point,
                                 RestoreReport *out_report);
