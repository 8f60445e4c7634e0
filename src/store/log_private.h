/* What log.c, log_commit.c, log_segment.c and log_recovery.c share. Private to store/.
 *
 * After log_start everything here belongs to the log thread, except the counters, and what the
 * helper thread gets by mail. With sync_interval it belongs to whoever holds the baton: the log
 * thread while it is awake, else a worker that writes for itself (log_write_here). The helper does
 * what takes long and nobody waits for: zero-filling the next segment, removing files, and the
 * syncs of sync_interval mode. Without threads (log_commit_now) its jobs run in place. */
#pragma once

#include "base/vec.h"
#include "io/baton.h"
#include "io/counter.h"
#include "io/disk.h"
#include "io/io_memory.h"
#include "io/thread.h"
#include "store/block.h"
#include "store/log.h"
#include "store/log_cipher.h"
#include "store/log_figures.h"
#include "store/super.h"

enum {
    LOG_SEGMENT_BYTES = 64 * 1024 * 1024,
    /* A store begins with small segments; each next one is four times larger until segment_bytes is
       reached. */
    LOG_SEGMENT_BYTES_FIRST = 4 * 1024 * 1024,
    /* A commit block takes no more than this, unless one chunk is larger. */
    LOG_BLOCK_BYTES_MAX = 4 * 1024 * 1024,
    /* Used-up segments kept for recycling; more are removed. */
    LOG_SPARES_MAX = 2,
    /* How often free space is looked at while writing, and while there is too little of it. */
    LOG_SPACE_CHECK_MS = 250,
    /* A worker whose write took longer (the system writes back, and makes writers wait) leaves
       writing to the log thread for the pause. */
    LOG_SLOW_WRITE_MS = 25,
    LOG_SLOW_WRITE_PAUSE_MS = 1000,
    /* After a failed write or sync: when to try to go on, at first and at most. */
    LOG_RESUME_MS_FIRST = 1000,
    LOG_RESUME_MS_MAX = 5000,
    /* Damaged blocks copied to bad/ in one start; the rest stays only in its segment. */
    LOG_BAD_BYTES_MAX = 256 * 1024 * 1024,
};

typedef struct Segment {
    uint64_t number, bytes;
} Segment;

typedef struct HelperJob HelperJob;

/* Why nothing is written: the value of Log.is_failed. */
typedef enum LogFailure {
    LOG_FAILURE_NONE,
    LOG_FAILURE_WRITE,
    LOG_FAILURE_SYNC,
    LOG_FAILURE_SEGMENT,
    LOG_FAILURE_TAIL, /* what was acknowledged is not on the disk as it was written */
} LogFailure;

typedef struct LogCounts {
    Counter commits, records, bytes, sync_ns, sync_buckets[LOG_SYNC_BUCKETS + 1];
} LogCounts;

struct Log {
    LogOptions options;
    char *dir, *log_dir, *bad_dir;
    DiskFile *lock;
    Super super;
    bool is_new, is_super_lost, is_super_half;
    Place floor_saved; /* in both copies of SUPER */
    bool is_recovered; /* before, nobody has said yet what is live: nothing may be recycled */
    bool is_keeping_all;
    bool is_threaded; /* between log_start and log_stop */

    VEC(Segment) segments; /* ascending; the last one is the head */
    VEC(Segment) spares;   /* named spare.<number> */
    uint64_t spare_number_last;
    bool is_spare_coming;
    uint64_t spare_failed_ns; /* when making one failed last; 0 = did not */
    uint64_t shrink_bytes;    /* the next segment is due, no larger than this; 0 = not due */

    DiskFile *file; /* of the head segment */
    uint64_t offset, closed_bytes;
    uint64_t number_next, previous, durable;
    LogCipher cipher;

    Mail *pending_first, *pending_last; /* chunks waiting for a block */
    char *block;
    uint64_t block_cap;

    Baton *baton;
    uint64_t write_here_from_ns; /* not before: a worker's write was slow */
    Mailbox *box;
    Thread *thread;
    Mailbox *helper_box;
    Thread *helper;
    bool is_stopping, is_helper_stopping;
    uint64_t space_checked_ns;
    uint64_t sync_due_ns; /* sync_interval: 0 = nothing written since the last one */
    bool is_sync_running;
    unsigned jobs_out;

    /* While a try to go on is out, what it needs belongs to the helper (log_resume.c). */
    uint64_t resume_at_ns, resume_wait_ns; /* 0 = not failed */
    Place life_from;      /* where this life, or the last going on, began to write, */
    uint64_t life_number; /* and with which block */
    bool is_resuming;

    /* Any thread. */
    Counter records; /* read by this life's recovery and written since */
    Counter head, floor, bytes_used, spare_bytes, is_full, is_tight, is_failed;
    LogCounts counts;
    Counter wakes;                     /* wake mails on their way: one is enough */
    CounterTable *live, *dead, *sizes; /* by segment number - base */
    uint64_t base;
};

/* log_figures.c: disk_sync, and how long it took; a block was written. */
MUST_CHECK Status log_sync_file(Log *log, DiskFile *file);
void log_count_commit(Log *log, const BlockHead *head, uint64_t bytes);

/* Where a new block may go: rolls to the next segment when need does not fit. ERR_FULL: no space
 * for one; ERR_IO: the log has failed. */
MUST_CHECK Status log_make_room(Log *log, uint64_t need);
/* Puts segment files that hold nothing needed any more among the spares. */
void log_recycle(Log *log);
/* Looks at the free space when it is time to. */
void log_check_space(Log *log);
void log_ask_for_spare(Log *log, uint64_t bytes_min);
/* Adds a file of log/ found at start. */
void log_add_segment(Log *log, uint64_t number, uint64_t bytes);
/* Number of the first block in the segments behind segment, as far as their first pages tell; 0 =
 * there is none. */
uint64_t log_number_after(const Log *log, const Segment *segment);
/* The empty segment files after `keep` segments become spares. */
MUST_CHECK Status log_retire_empty(Log *log, size_t keep);
/* Bytes of the next spare to be made; 0: there is no space for one of bytes_min. */
uint64_t log_next_spare_bytes(const Log *log, uint64_t bytes_min);
MUST_CHECK Status log_open_head(Log *log, DiskFile **out_file);
/* Nothing is written to the head segment any more: gives back what lies behind bytes. */
void log_cut_head(Log *log, uint64_t bytes);
void log_remove_spares(Log *log);
/* Size of the segment after the head. */
uint64_t log_next_bytes(const Log *log);

/* sync_interval: starts a sync of everything written so far. */
void log_begin_sync(Log *log);
/* Hands the head's file over to be synced and closed. */
void log_retire_file(Log *log, DiskFile *file);

/* By whoever writes. Nothing more is written until log_resume.c has found the disk to work. */
void log_fail(Log *log, LogFailure why);
void log_helper_run(void *cookie);
void log_helper_stop(Log *log);
void log_run(void *cookie);
void log_take_mail(Log *log);
void log_wake(Log *log);
void log_publish_head(Log *log);

/* log_resume.c: tries to go on when it is time to. Runs on the log thread. */
void log_consider_resume(Log *log);
/* On the helper, with the log lent to it: OK, and the next block goes to a new segment; else why
 * not. */
MUST_CHECK Status log_try_resume(Log *log);
/* Back on the log thread. */
void log_tried_resume(Log *log, Status status);
void log_submit_resume(Log *log);

static inline Segment *log_head_segment(Log *log) {
    return &log->segments.at[log->segments.len - 1];
}
