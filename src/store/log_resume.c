/* Going on after a write or a sync failed, without a restart.
 *
 * Nothing is trusted that the failure touched: a failed sync is never repeated, since the system
 * may have forgotten what it could not write. The log is sealed behind its last durable block and
 * goes on in a new segment: but only after a page was written there, synced and read back, and
 * after what was acknowledged was read from the disk itself and found to be as it was written. The
 * seal goes to both copies of SUPER before the first new block, so that what was refused behind it
 * can never come back beside what took its number.
 *
 * With sync_interval, blocks were acknowledged that the failed sync should have made durable. Those
 * that the disk does not have are written once more from what the system still has in memory, and
 * read back; what it does not have either is reported. */
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "store/log_private.h"
#include "store/path.h"

/* One segment's blocks of this life, as the disk has them. */
typedef struct Tail {
    Log *log;
    uint64_t segment, start, end;
    uint64_t number_end; /* of the block after its last one */
    DiskFile *file;
    char *bytes;  /* [end] */
    char *cached; /* [end], as the system's memory has them; NULL: not asked for yet */
    bool is_mended;
    bool has_last, is_last_lost;
    BlockHead first, last;
} Tail;

static Status check_tail(Log *log);
static Status probe_spare(Log *log);
static Status seal(Log *log);

void log_consider_resume(Log *log) {
    if (!log_is_failed(log) || log->is_resuming || log->is_stopping || log->jobs_out != 0 ||
        clock_mono_ns() < log->resume_at_ns)
        return;
    log->is_resuming = true;
    log_submit_resume(log);
}

Status log_try_resume(Log *log) {
    if (log->segments.len == 0)
        return ERR_IO;
    Status status = check_tail(log);
    if (status == OK)
        status = probe_spare(log);
    if (status == OK)
        status = seal(log);
    if (status != OK)
        return status;
    disk_close(log->file);
    log->file = NULL;
    log->offset = log_head_segment(log)->bytes; /* so that the next block takes a new segment */
    return OK;
}

void log_tried_resume(Log *log, Status status) {
    log->is_resuming = false;
    if (status == OK) {
        log->resume_at_ns = 0;
        log->sync_due_ns = log->spare_failed_ns = 0;
        log->durable = log->number_next - 1;
        log->life_from = place_of(log_head_segment(log)->number, log->offset);
        log->life_number = log->number_next;
        log_publish_head(log);
        counter_publish(&log->is_failed, LOG_FAILURE_NONE);
        LOG_INFO("log goes on: writes are accepted", "dir=%s sealed=%llu", log->dir,
                 (unsigned long long)log_head_segment(log)->number);
        if (log->spares.len == 0 && log->is_threaded)
            log_ask_for_spare(log, 0);
        return;
    }
    if (status == ERR_CORRUPT && counter_raise(&log->is_failed, LOG_FAILURE_TAIL))
        LOG_ERR("log stays failed: what was acknowledged is not on the disk as it was written",
                "dir=%s segment=%llu", log->dir, (unsigned long long)log_head_segment(log)->number);
    log->resume_wait_ns *= 2;
    if (log->resume_wait_ns > (uint64_t)LOG_RESUME_MS_MAX * NS_PER_MS)
        log->resume_wait_ns = (uint64_t)LOG_RESUME_MS_MAX * NS_PER_MS;
    log->resume_at_ns = clock_mono_ns() + log->resume_wait_ns;
    LOG_DEBUG("log does not go on yet", "dir=%s why=%s", log->dir, status_text(status));
}

/* --- what was acknowledged --- */

static Status read_tail(Tail *tail, int flags, char *to) {
    CLEANUP(path_free)
    char *path = path_numbered(tail->log->log_dir, "", tail->segment, ".log");
    DiskFile *file;
    Status status = disk_open(path, flags, &file);
    if (status != OK)
        return status == ERR_NOT_FOUND ? ERR_CORRUPT : status;
    status = disk_read(file, to, tail->end, 0);
    disk_close(file);
    return status == ERR_RANGE ? ERR_CORRUPT : status;
}

static bool is_whole(const Tail *tail, const char *bytes, uint64_t at, BlockHead *out_head) {
    BlockHead head;
    const char *block = bytes + at;
    if (tail->end - at < BLOCK_ALIGN || !block_head_parse(block, &head) ||
        head.segment != tail->segment || head.offset != at ||
        block_bytes(head.body_len) > tail->end - at ||
        memcmp(head.store_id, tail->log->super.store_id, STORE_ID_BYTES) != 0)
        return false;
    if (memcmp(block + block_bytes(head.body_len) - BLOCK_HEAD_BYTES, &head, sizeof head) != 0 ||
        hash_checksum(block + BLOCK_HEAD_BYTES, head.body_len) != head.body_checksum)
        return false;
    if (tail->has_last && !tail->is_last_lost &&
        (head.number != tail->last.number + 1 || head.previous != tail->last.head_checksum))
        return false;
    if (tail->is_last_lost && tail->has_last && head.number <= tail->last.number)
        return false;
    *out_head = head;
    return true;
}

static void meet(Tail *tail, const BlockHead *head) {
    if (!tail->has_last)
        tail->first = *head;
    tail->last = *head;
    tail->has_last = true;
    tail->is_last_lost = false;
}

static Status write_back(Tail *tail, uint64_t at, uint64_t len) {
    struct iovec part = {tail->bytes + at, len};
    tail->is_mended = true;
    return disk_write(tail->file, &part, 1, at);
}

/* Nobody has them any more: wiped, so that a start finds nothing there that could be mistaken. */
static Status give_up(Tail *tail, uint64_t at, uint64_t *out_next) {
    BlockHead head;
    uint64_t next = at + BLOCK_ALIGN;
    tail->is_last_lost = true;
    while (next < tail->end && !is_whole(tail, tail->bytes, next, &head) &&
           !is_whole(tail, tail->cached, next, &head))
        next += BLOCK_ALIGN;
    LOG_ERR("acknowledged and not yet synced when the disk failed: lost",
            "dir=%s segment=%llu offset=%llu bytes=%llu", tail->log->dir,
            (unsigned long long)tail->segment, (unsigned long long)at,
            (unsigned long long)(next - at));
    memset(tail->bytes + at, 0, next - at);
    *out_next = next;
    return write_back(tail, at, next - at);
}

/* A block that the disk does not have. */
static Status mend(Tail *tail, uint64_t at, uint64_t *out_next) {
    BlockHead head;
    if (tail->log->options.sync_interval_ns == 0)
        return ERR_CORRUPT;
    if (tail->cached == NULL) {
        tail->cached = io_memory_new(tail->end);
        Status status = read_tail(tail, DISK_READ, tail->cached);
        if (status != OK)
            return status;
    }
    if (is_whole(tail, tail->cached, at, &head)) {
        uint64_t len = block_bytes(head.body_len);
        memcpy(tail->bytes + at, tail->cached + at, len);
        meet(tail, &head);
        *out_next = at + len;
        return write_back(tail, at, len);
    }
    if (tail->has_last && tail->last.number + 1 <= tail->log->durable)
        return ERR_CORRUPT;
    return give_up(tail, at, out_next);
}

static Status walk(Tail *tail) {
    Status status = OK;
    for (uint64_t at = tail->start, next; at < tail->end && status == OK; at = next) {
        BlockHead head;
        if (tail->has_last && tail->last.number + 1 >= tail->number_end)
            break;
        if (is_whole(tail, tail->bytes, at, &head)) {
            meet(tail, &head);
            next = at + block_bytes(head.body_len);
        } else {
            status = mend(tail, at, &next);
        }
    }
    return status;
}

/* Written again is not enough. */
static Status verify_mended(Tail *tail) {
    if (!tail->is_mended)
        return OK;
    char *again = io_memory_new(tail->end);
    Status status = disk_sync(tail->file);
    if (status == OK)
        status = read_tail(tail, DISK_READ | DISK_DIRECT, again);
    if (status == OK && memcmp(again, tail->bytes, tail->end) != 0)
        status = ERR_IO;
    io_memory_free(again, tail->end);
    return status;
}

static Status check_blocks(Tail *tail) {
    CLEANUP(path_free)
    char *path = path_numbered(tail->log->log_dir, "", tail->segment, ".log");
    Status status = disk_open(path, DISK_READ | DISK_WRITE | DISK_DIRECT, &tail->file);
    if (status != OK)
        return status;
    tail->bytes = io_memory_new(tail->end);
    /* What the system has not given up brings it to the disk; of the rest it shows the truth. */
    if (tail->log->options.sync_interval_ns)
        status = disk_sync(tail->file);
    if (status == OK)
        status = read_tail(tail, DISK_READ | DISK_DIRECT, tail->bytes);
    if (status == OK)
        status = walk(tail);
    if (status == OK)
        status = verify_mended(tail);
    io_memory_free(tail->bytes, tail->end);
    io_memory_free(tail->cached, tail->end);
    disk_close(tail->file);
    return status;
}

/* Segments of this life, the newest first, until one begins with what was durable before. */
static Status check_tail(Log *log) {
    uint64_t number = log->number_next, checksum = log->previous;
    for (size_t i = log->segments.len; i-- > 0 && number > log->life_number;) {
        const Segment *segment = &log->segments.at[i];
        uint64_t sealed_at = super_sealed_at(&log->super, segment->number);
        Tail tail = {.log = log, .segment = segment->number, .number_end = number};
        tail.end = i + 1 == log->segments.len ? log->offset : segment->bytes;
        tail.end = tail.end < sealed_at ? tail.end : sealed_at;
        if (segment->number < place_segment(log->life_from))
            return OK;
        if (segment->number == place_segment(log->life_from))
            tail.start = place_offset(log->life_from);
        if (tail.start >= tail.end)
            continue;
        Status status = check_blocks(&tail);
        if (status != OK)
            return status;
        bool is_agreed = tail.has_last && tail.last.number + 1 == number &&
                         (tail.is_last_lost || tail.last.head_checksum == checksum);
        if (!is_agreed && log->options.sync_interval_ns == 0)
            return ERR_CORRUPT;
        if (tail.has_last && tail.first.number <= log->durable + 1)
            return OK;
        number = tail.has_last ? tail.first.number : number;
        checksum = tail.has_last ? tail.first.previous : checksum;
    }
    return OK;
}

/* --- where to go on --- */

static Status make_spare(Log *log) {
    Segment spare = {++log->spare_number_last, log_next_spare_bytes(log, BLOCK_ALIGN)};
    if (spare.bytes == 0)
        return ERR_FULL;
    CLEANUP(path_free) char *path = path_numbered(log->log_dir, "spare.", spare.number, "");
    Status status = disk_create_zeroed(path, spare.bytes);
    if (status == OK)
        vec_push(&log->spares, spare);
    return status;
}

/* Written, synced, and read back through another descriptor. Looks like no block. */
static Status probe(const char *path) {
    uint64_t *page = (uint64_t *)(void *)io_memory_new(2 * BLOCK_ALIGN);
    uint64_t *back = page + BLOCK_ALIGN / sizeof *page;
    for (size_t i = 1; i < BLOCK_ALIGN / sizeof *page; i++)
        page[i] = hash_u64(clock_mono_ns() + i);
    DiskFile *file;
    Status status = disk_open(path, DISK_READ | DISK_WRITE | DISK_DIRECT, &file);
    if (status == OK) {
        struct iovec part = {page, BLOCK_ALIGN};
        status = disk_write(file, &part, 1, 0);
        if (status == OK)
            status = disk_sync(file);
        disk_close(file);
    }
    if (status == OK)
        status = disk_open(path, DISK_READ | DISK_DIRECT, &file);
    if (status == OK) {
        status = disk_read(file, back, BLOCK_ALIGN, 0);
        disk_close(file);
    }
    if (status == OK && memcmp(page, back, BLOCK_ALIGN) != 0)
        status = ERR_IO;
    io_memory_free((char *)page, 2 * BLOCK_ALIGN);
    return status;
}

static Status probe_spare(Log *log) {
    Status status = log->spares.len ? OK : make_spare(log);
    /* One that was a segment must not get that name back after a power cut, once it is written. */
    if (status == OK)
        status = disk_sync_dir(log->log_dir);
    if (status != OK)
        return status;
    size_t index = log->spares.len - 1;
    CLEANUP(path_free)
    char *path = path_numbered(log->log_dir, "spare.", log->spares.at[index].number, "");
    status = probe(path);
    if (status != OK) {
        vec_remove_unordered(&log->spares, index);
        if (disk_remove(path) != OK)
            LOG_DEBUG("spare segment not removed", "path=%s", path);
    }
    return status;
}

static Status seal(Log *log) {
    Super before = log->super;
    if (super_sealed_at(&log->super, log_head_segment(log)->number) != UINT64_MAX)
        return OK; /* nothing was written since */
    super_seal(&log->super, place_of(log_head_segment(log)->number, log->offset), log->number_next,
               log->segments.at[0].number);
    log->super.epoch++;
    Status status = super_write(log->dir, &log->super, false);
    if (status == OK)
        status = super_write(log->dir, &log->super, false);
    if (status != OK) {
        before.generation = log->super.generation;
        log->super = before;
        return status;
    }
    Counter *size = counter_table_find(log->sizes, log_head_segment(log)->number - log->base);
    if (size != NULL)
        counter_set(size, log->offset);
    return OK;
}
