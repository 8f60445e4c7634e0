/* JournalProgress: how far opening and recovery of a store have come, for who asks meanwhile, from
 * any thread. */
#pragma once

#include "base/buf.h"
#include "io/counter.h"

typedef enum JournalStage {
    STAGE_OPENING,
    STAGE_CHECKPOINT, /* done: states of streams that were loaded */
    STAGE_LOG,        /* done, total: segments that are read */
    STAGE_STARTING,   /* streams and consumers begin to work */
    STAGE_READY,
} JournalStage;

typedef struct JournalProgress {
    Counter stage, done, total;
} JournalProgress;

/* NULL-safe. */
void journal_progress_enter(JournalProgress *progress, JournalStage stage);
static inline bool journal_progress_is_ready(const JournalProgress *progress) {
    return counter_observe(&progress->stage) == STAGE_READY;
}
/* "reading the log, segment 3 of 17" */
void journal_progress_write(const JournalProgress *progress, Buf *out);
