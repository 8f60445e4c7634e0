/* What takes room in the log: live and dead bytes by segment, spare segments, smaller segments
 * again. */
#include "base/log.h"
#include "base/mem.h"
#include "io/disk.h"
#include "store/log_private.h"
#include "store/path.h"

/* --- any thread --- */

void log_add_dead(Log *log, Place place, uint64_t bytes) {
    Counter *dead = counter_table_find(log->dead, place_segment(place) - log->base);
    if (dead != NULL)
        (void)counter_add(dead, bytes);
}

void log_drop_dead(Log *log, Place place, uint64_t bytes) {
    Counter *dead = counter_table_find(log->dead, place_segment(place) - log->base);
    if (dead != NULL)
        (void)counter_sub(dead, bytes);
    log_drop_live(log, place, bytes);
}

static uint64_t count_of(CounterTable *table, uint64_t index) {
    const Counter *counter = counter_table_find(table, index);
    return counter ? counter_get(counter) : 0;
}

bool log_segment_at(const Log *log, uint64_t from, LogSegment *out_segment) {
    uint64_t end = place_segment(log_head(log));
    for (uint64_t number = from < log->base ? log->base : from; number <= end; number++) {
        uint64_t index = number - log->base, bytes = count_of(log->sizes, index);
        if (bytes == 0)
            continue;
        uint64_t live = count_of(log->live, index), dead = count_of(log->dead, index);
        dead = dead < live ? dead : live; /* one of the two may have been counted first */
        *out_segment = (LogSegment){number, bytes, live - dead, dead};
        return true;
    }
    return false;
}

uint64_t log_spare_bytes(const Log *log) {
    return counter_get(&log->spare_bytes);
}

uint64_t log_room(const Log *log) {
    Place head = log_head(log);
    uint64_t bytes = count_of(log->sizes, place_segment(head) - log->base);
    uint64_t left = bytes > place_offset(head) ? bytes - place_offset(head) : 0;
    return left + log_spare_bytes(log);
}

bool log_is_tight(const Log *log) {
    return log_is_full(log) || counter_get(&log->is_tight) != 0;
}

Status log_sync_from(const Log *log, Place from) {
    LogSegment segment;
    if (log->options.sync_interval_ns == 0)
        return OK; /* nothing is seen before it is synced */
    for (uint64_t number = place_segment(from); log_segment_at(log, number, &segment);
         number = segment.number + 1) {
        CLEANUP(path_free) char *path = path_numbered(log->log_dir, "", segment.number, ".log");
        DiskFile *file;
        Status status = disk_open(path, DISK_READ | DISK_WRITE, &file);
        if (status == ERR_NOT_FOUND)
            continue; /* given up meanwhile */
        if (status == OK) {
            status = disk_sync(file);
            disk_close(file);
        }
        if (status != OK)
            return status;
    }
    return OK;
}

/* --- on the log thread --- */

typedef struct ShrinkMail {
    Mail mail; /* first */
    Log *log;
    uint64_t bytes;
} ShrinkMail;

static void on_shrink(Worker *here, Mail *mail) {
    (void)here;
    ShrinkMail *shrink = (ShrinkMail *)mail;
    Log *log = shrink->log;
    if (!log_is_failed(log) && log->segments.len && log_head_segment(log)->bytes > shrink->bytes) {
        log->shrink_bytes = shrink->bytes;
        log_remove_spares(log);
        log_ask_for_spare(log, 0);
    }
    mem_free(shrink);
}

void log_shrink(Log *log, uint64_t segment_bytes) {
    ShrinkMail *shrink = mem_zalloc(sizeof *shrink);
    shrink->mail.arrive = on_shrink;
    shrink->log = log;
    shrink->bytes = (segment_bytes + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
    mailbox_post(log->box, &shrink->mail);
}
