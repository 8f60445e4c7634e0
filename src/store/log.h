/* Log: one append-only log per store directory, shared by all groups, with group commit on a thread
 * of its own.
 *
 * Workers submit chunks of whole records; the log thread packs all that wait into one commit block,
 * writes and syncs it, and mails each chunk back with its place. One sync in flight; what arrives
 * meanwhile forms the next block. docs/STORAGE.md draws the formats. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/shared.h"
#include "io/mailbox.h"
#include "io/worker.h"
#include "store/cipher.h"
#include "store/record.h"

typedef struct Log Log;

typedef struct LogOptions {
    const char *dir;                        /* made when absent */
    uint64_t segment_bytes;                 /* 64 MiB unless a test says otherwise */
    uint64_t sync_interval_ns;              /* 0 = sync before each acknowledgement (default) */
    uint64_t free_low_bytes;                /* below this much free disk log_is_full turns true */
    CipherOptions cipher;                   /* its keys are needed until log_open_dir returned */
    struct Offload *offload;                /* for log_reader_fetch; NULL: it reads at once */
    struct Counter *recovered, *to_recover; /* segments, while log_recover runs; NULL: not told */
    bool is_read_ahead;      /* log_recover has a thread that reads what comes next */
    bool is_ack_before_sync; /* the mutation that simulation must catch; never set by the server */
} LogOptions;

typedef struct LogReport { /* what recovery found */
    uint64_t blocks, records, segments;
    uint64_t damaged_records; /* acknowledged and unreadable: reported, kept in bad/ */
    uint64_t torn_bytes;      /* an unfinished last write, never acknowledged */
    Buf text;                 /* one line per finding, for the log */
} LogReport;

/* Recovery calls each record in log order. For damage damaged_bytes is not 0: what is unreadable at
 * `at`; record is NULL, or, when it is one record whose lengths still make sense, what its bytes
 * say, unchecked. The visitor's bytes are borrowed for the call. */
typedef void LogVisitor(void *cookie, const Record *record, Place at, uint64_t damaged_bytes);

/* NULL, or: the record will be delivered soon, after about 16 others (step 0) or 8 (step 1): what
 * that will need can be brought near. Borrowed for the call. Not every record is told. */
typedef void LogPreview(void *cookie, const Record *record, unsigned step);

/* ERR_BUSY: another process has the directory. ERR_VERSION: written by a newer version, or not
 * ours: untouched. ERR_DENIED: encrypted, and the key is missing or wrong, or is lost with both
 * copies of SUPER: untouched. ERR_IO, ERR_FULL. Does not start the thread. */
MUST_CHECK Status log_open(const LogOptions *options, LogVisitor *visit, void *cookie,
                           LogReport *out_report, Log **out_log);
/* The same in two steps, for who needs the Log before its records are replayed. Between the two
 * only log_close, log_reader_new, log_add_live and log_drop_live are allowed. */
MUST_CHECK Status log_open_dir(const LogOptions *options, Log **out_log);
/* Records before `from` need not be delivered, and segments that end before it are not read (unless
 * the newest block is in them): 0 = everything. */
MUST_CHECK Status log_recover(Log *log, Place from, LogVisitor *visit, LogPreview *soon,
                              void *cookie, LogReport *out_report);
void log_report_done(LogReport *report);

/* After log_stop, or without log_start. Chunks submitted and not committed are lost: their owner
 * frees them. */
void log_close(Log *log);

MUST_CHECK Status log_start(Log *log);
/* Commits what was submitted, syncs, ends the thread. */
void log_stop(Log *log);

/* Whose chunks build on one another: what was made before a refusal was known is refused too, so
 * that nothing counts whose ground was refused. Zero-initialised; the log's once a chunk was
 * submitted. */
typedef struct LogSource {
    uint64_t refusals; /* chunks refused though all refusals before were seen */
} LogSource;

/* A chunk: whole records, back to back, each padded to 8 bytes, written by one worker. */
typedef struct LogChunk LogChunk;
struct LogChunk {
    Mail mail; /* private: how it goes to the log thread and back */
    Worker *home;
    Shared *bytes; /* whole records; the chunk holds a reference */
    size_t len;    /* used part of bytes */
    uint32_t record_count;
    Place place;   /* out: of its first record; the others follow in order */
    Status status; /* out: OK = durable (or written, with sync_interval); ERR_FULL, ERR_IO: nothing
                      of it counts */
    void (*done)(Worker *home, LogChunk *chunk); /* on home; takes chunk */
    LogSource *source;                           /* NULL: its chunks do not build on one another */
    uint64_t refusals_seen; /* of source, when the first record of it was made */
    Log *log;               /* private */
};

/* Any worker. len <= RECORD_BYTES_MAX + some; a worker keeps its chunks below 4 MiB unless one
 * record is larger. */
void log_submit(Log *log, LogChunk *chunk);

/* With sync_interval, instead of log_submit: writes chunk on the calling worker, which saves both
 * hand-overs. Place and status are set then, done is not called. False, and nothing has happened,
 * when it would have to wait: submit it. The worker has no chunk submitted that is not back. */
MUST_CHECK bool log_write_here(Log *log, LogChunk *chunk);

/* Without a thread (tests, simulation): commits everything submitted so far and calls done
 * directly. */
void log_commit_now(Log *log);

/* Any thread, relaxed: writes are refused since space is low; deletes and acks still pass. */
bool log_is_full(const Log *log);
/* Any thread: a write or sync failed; everything is refused until the disk is found to work again
 * (log_resume.c), at the latest 5 s after it does. */
bool log_is_failed(const Log *log);
/* Any thread: of what the log failed; static. */
const char *log_failure_text(const Log *log);
const char *log_dir(const Log *log);

/* Live bytes: who keeps a record says so, and says when it is dead. A segment with nothing live
 * that lies wholly before the floor is recycled (by the log thread, which zero-fills nothing anew:
 * block headers tell old from new). */
void log_add_live(Log *log, Place place, uint64_t bytes);  /* any thread */
void log_drop_live(Log *log, Place place, uint64_t bytes); /* any thread */

/* The record is live only until two more checkpoints are made: it counts as live and as dead, until
 * log_drop_dead takes it from both. Any thread. */
void log_add_dead(Log *log, Place place, uint64_t bytes);
void log_drop_dead(Log *log, Place place, uint64_t bytes);

typedef struct LogSegment {
    uint64_t number, bytes; /* of its file */
    uint64_t live;          /* without what is dead */
    uint64_t dead;
} LogSegment;
/* The first segment whose number is >= from. False: there is none. Any thread. */
bool log_segment_at(const Log *log, uint64_t from, LogSegment *out_segment);
/* Room for records without another file: in the head and in spare segments. Any thread. */
uint64_t log_room(const Log *log);
/* Of files of spare segments. Any thread. */
uint64_t log_spare_bytes(const Log *log);
/* The next block goes to a new segment of about that size; larger spare files are removed. Any
 * thread. */
void log_shrink(Log *log, uint64_t segment_bytes);
/* Any thread, relaxed: log_is_full will soon be true. */
bool log_is_tight(const Log *log);
/* With sync_interval: what was written from `from` on is brought to disk. Blocking, any thread. */
MUST_CHECK Status log_sync_from(const Log *log, Place from);

/* Where the next block will go at the earliest. Any thread. */
Place log_head(const Log *log);
/* Everything before floor that is not live is covered by two durable checkpoints. Any thread; only
 * rises. */
void log_set_floor(Log *log, Place floor);
/* Before log_start: no segment is recycled until restart, since what is live is not known for
 * certain. */
void log_keep_all(Log *log);
/* NULL: nothing is encrypted. Borrowed; any thread, until log_close. */
const Cipher *log_cipher(const Log *log);
/* Of an encrypted log that was started: the key is this one from now on, and at the next start.
 * Only how it is wrapped changes. Any thread; logs when it is done. */
void log_set_key(Log *log, Slice key);
/* Random, 16 bytes, made at the first start. After log_recover. Any thread. */
const uint8_t *log_store_id(const Log *log);
/* After log_open_dir: no segment was ever given up, so that the log alone tells everything. */
bool log_is_complete(const Log *log);
/* As last set, now or before the restart. Any thread. */
Place log_floor(const Log *log);
/* Bytes of segments from `after` up to the head. Any thread. */
uint64_t log_bytes_after(const Log *log, Place after);
/* Records that log_recover delivered and that were written since. Any thread. */
uint64_t log_records(const Log *log);
uint64_t log_segment_bytes(const Log *log);
/* Of one segment: its size, 0 when there is none of that number (any more); what is live in it. Any
 * thread. */
uint64_t log_size_of(const Log *log, uint64_t segment);
uint64_t log_live_bytes(const Log *log, uint64_t segment);
/* Bytes in the log's segments: those that hold something live or not yet covered by checkpoints.
 * Any thread. */
uint64_t log_bytes_used(const Log *log);

/* LogReader: reads records for one worker, with a cache of the newest chunks and of what was read.
 */
typedef struct LogReader LogReader;
LogReader *log_reader_new(Log *log, Worker *home, size_t cache_bytes);
/* After offload was stopped; calls of done that did not happen never will. */
void log_reader_free(LogReader *reader);

/* Puts a durable chunk into the cache (takes a reference of its own). */
void log_reader_keep(LogReader *reader, const LogChunk *chunk);

/* A record whose length is not known takes no more than this. */
enum { LOG_UNSIZED_MAX = 64 * 1024 };

/* OK: *out_record borrows from *out_hold, which the caller unrefs. ERR_AGAIN: not in memory: use
 * log_reader_fetch. ERR_CORRUPT: damaged. bytes = record_bytes of it, as known when it was written;
 * 0: not known (LOG_UNSIZED_MAX), likewise below.
 */
MUST_CHECK Status log_reader_peek(LogReader *reader, Place place, size_t bytes, Record *out_record,
                                  Shared **out_hold);
/* Will be peeked at: begins to bring it into the processor's caches, if it is in the newest. */
void log_reader_prefetch(const LogReader *reader, Place place, size_t bytes);
/* The same for who does not know how long it is: ERR_AGAIN may also mean that it is not whole. */
MUST_CHECK Status log_reader_look(LogReader *reader, Place place, Record *out_record,
                                  Shared **out_hold);
/* Blocking; for start-up and offload. */
MUST_CHECK Status log_reader_read(LogReader *reader, Place place, size_t bytes, Record *out_record,
                                  Shared **out_hold);
/* Reads it (and what follows it) on offload into the cache; then done(cookie, status) runs on the
 * home worker. */
void log_reader_fetch(LogReader *reader, Place place, size_t bytes,
                      void (*done)(void *cookie, Status status), void *cookie);
