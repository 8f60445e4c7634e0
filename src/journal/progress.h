/* JournalProgress: how far opening and recovery of a store have come, and which streams are not
 * ready yet, for who asks meanwhile, from any thread. */
#pragma once

#include "base/buf.h"
#include "base/map.h"
#include "io/baton.h"
#include "io/counter.h"

typedef enum JournalStage {
    STAGE_OPENING,
    STAGE_CHECKPOINT, /* done: states of streams that were loaded */
    STAGE_LOG,        /* done, total: segments that are read */
    STAGE_STARTING,   /* streams and consumers begin to work */
    STAGE_READY,
} JournalStage;

/* All zeros: names are not kept. */
typedef struct JournalProgress {
    Counter stage, done, total;
    Baton *baton; /* for the names, each time for one step of a map */
    Map waiting;  /* "<account> <stream>", private copies: known, and not ready */
} JournalProgress;

/* Names are kept until done, which comes when nobody asks any more. */
void journal_progress_init(JournalProgress *progress);
void journal_progress_done(JournalProgress *progress);

/* All of these are NULL-safe. */
void journal_progress_enter(JournalProgress *progress, JournalStage stage);
/* A stream is known and not ready; it is ready, or does not exist any more; none is known. */
void journal_progress_expect(JournalProgress *progress, Slice name);
void journal_progress_drop(JournalProgress *progress, Slice name);
void journal_progress_forget(JournalProgress *progress);

static inline bool journal_progress_is_ready(const JournalProgress *progress) {
    return counter_observe(&progress->stage) == STAGE_READY;
}
/* "reading the log, segment 3 of 17" */
void journal_progress_write(const JournalProgress *progress, Buf *out);
/* It is known and not ready. */
bool journal_progress_waits_for(JournalProgress *progress, Slice name);
/* How many are not ready. Up to max of their names are appended, one a line, in any order. */
size_t journal_progress_names(JournalProgress *progress, size_t max, Buf *out);
