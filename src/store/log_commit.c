/* The log thread: packs waiting chunks into a block, writes and syncs it, hands them back. With
 * sync_interval a worker does the same for its own chunk, when it need not wait for anything. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "store/log_private.h"

/* Chunks taken for one block. */
typedef struct Batch {
    Mail *first, *last;
    uint64_t body_len;
    uint32_t record_count;
} Batch;

static void log_commit_block(Log *log);

void log_take_mail(Log *log) {
    if (log->box == NULL)
        return;
    for (Mail *mail = mailbox_take(log->box), *next; mail; mail = next) {
        next = mail->next;
        mail->arrive(NULL, mail);
    }
}

void log_commit_now(Log *log) {
    ASSERT(!log->is_threaded);
    log_take_mail(log);
    log_cipher_consider(log);
    log_consider_resume(log);
    while (log->pending_first)
        log_commit_block(log);
    if (log->sync_due_ns && !log_is_failed(log) && clock_mono_ns() >= log->sync_due_ns)
        log_begin_sync(log);
    log_check_space(log);
}

static uint64_t wait_until(const Log *log) {
    uint64_t until = 0;
    if (log_is_failed(log))
        return log->is_resuming ? 0 : log->resume_at_ns;
    if (log_is_full(log))
        until = clock_mono_ns() + (uint64_t)LOG_SPACE_CHECK_MS * NS_PER_MS;
    if (log->sync_due_ns && !log->is_sync_running && (until == 0 || log->sync_due_ns < until))
        until = log->sync_due_ns;
    return until;
}

static void finish(Log *log) {
    if (log->options.sync_interval_ns && log->file && !log_is_failed(log)) {
        if (disk_sync(log->file) != OK)
            log_fail(log, LOG_FAILURE_SYNC);
    }
    log_helper_stop(log);
    if (!log_is_failed(log))
        log->durable = log->number_next - 1;
}

/* Everything there is to do; returns until when to sleep then. */
static uint64_t run_once(Log *log) {
    log_take_mail(log);
    log_cipher_consider(log);
    log_consider_resume(log);
    while (log->pending_first) {
        log_commit_block(log);
        log_check_space(log);
        log_take_mail(log);
    }
    if (log_is_full(log) || log->options.sync_interval_ns)
        log_check_space(log);
    if (log->sync_due_ns && !log->is_sync_running && !log_is_failed(log) &&
        clock_mono_ns() >= log->sync_due_ns)
        log_begin_sync(log);
    return wait_until(log);
}

void log_run(void *cookie) {
    Log *log = cookie;
    baton_take(log->baton);
    if (log->spares.len == 0)
        log_ask_for_spare(log, 0);
    for (;;) {
        uint64_t until = run_once(log);
        if (log->is_stopping)
            break;
        baton_release(log->baton);
        mailbox_wait(log->box, until);
        baton_take(log->baton);
    }
    finish(log);
    baton_release(log->baton);
}

void log_fail(Log *log, LogFailure why) {
    if (!counter_raise(&log->is_failed, why) || log->resume_at_ns != 0)
        return;
    log->resume_wait_ns = (uint64_t)LOG_RESUME_MS_FIRST * NS_PER_MS;
    log->resume_at_ns = clock_mono_ns() + log->resume_wait_ns;
    LOG_ERR("log failed: all writes are refused until the disk works again", "dir=%s at=%s",
            log->dir, log_failure_text(log));
}

/* --- handing back --- */

static void on_back(Worker *here, Mail *mail) {
    LogChunk *chunk = (LogChunk *)mail;
    chunk->done(here, chunk);
}

/* It was made before its source knew of a refusal. */
static bool is_stale(const LogChunk *chunk) {
    return chunk->source && chunk->refusals_seen != chunk->source->refusals;
}

static void note_refusal(LogChunk *chunk) {
    if (chunk->source && !is_stale(chunk))
        chunk->source->refusals++;
}

static void give_back(Log *log, Batch *batch, Status status) {
    Mail *mail = batch->first;
    while (mail) {
        Mail *next = mail->next;
        LogChunk *chunk = (LogChunk *)mail;
        chunk->status = status;
        if (status != OK)
            note_refusal(chunk);
        if (!log->is_threaded) {
            chunk->done(chunk->home, chunk);
        } else {
            mail->next = NULL;
            mail->arrive = on_back;
            worker_post_now(chunk->home, mail);
        }
        mail = next;
    }
    *batch = (Batch){0};
}

/* --- one block --- */

static void take_chunk(Log *log, Batch *batch) {
    Mail *mail = log->pending_first;
    LogChunk *chunk = (LogChunk *)mail;
    log->pending_first = mail->next;
    mail->next = NULL;
    if (batch->first == NULL)
        batch->first = mail;
    else
        batch->last->next = mail;
    batch->last = mail;
    batch->body_len += chunk->len;
    batch->record_count += chunk->record_count;
}

static void gather(Log *log, Batch *batch) {
    uint64_t room = log_head_segment(log)->bytes - log->offset;
    batch->body_len = log_cipher_overhead(log);
    take_chunk(log, batch);
    while (log->pending_first) {
        uint64_t body_len = batch->body_len + ((LogChunk *)log->pending_first)->len;
        if (body_len > LOG_BLOCK_BYTES_MAX || block_bytes(body_len) > room ||
            is_stale((LogChunk *)log->pending_first))
            break;
        take_chunk(log, batch);
    }
}

/* What one huge chunk needed is given back at once. */
static void reserve_block(Log *log, uint64_t bytes) {
    bool is_oversized = log->block_cap > 2 * LOG_BLOCK_BYTES_MAX && bytes <= LOG_BLOCK_BYTES_MAX;
    if (bytes <= log->block_cap && !is_oversized)
        return;
    uint64_t cap = 256 * 1024;
    while (cap < bytes)
        cap *= 2;
    io_memory_free(log->block, log->block_cap);
    log->block = io_memory_new(cap);
    log->block_cap = cap;
}

static void fill_block(Log *log, Batch *batch, BlockHead *out_head) {
    reserve_block(log, block_bytes(batch->body_len));
    uint64_t segment = log_head_segment(log)->number;
    uint64_t at = BLOCK_HEAD_BYTES + log_cipher_overhead(log) / 2;
    for (Mail *mail = batch->first; mail; mail = mail->next) {
        LogChunk *chunk = (LogChunk *)mail;
        log_cipher_copy(log, at, shared_bytes(chunk->bytes), chunk->len);
        chunk->place = place_of(segment, log->offset + at);
        at += chunk->len;
    }
    *out_head = (BlockHead){
        .segment = segment,
        .offset = log->offset,
        .number = log->number_next,
        .durable = log->durable,
        .previous = log->previous,
        .epoch = log->super.epoch,
        .body_len = (uint32_t)batch->body_len,
        .record_count = batch->record_count,
    };
    memcpy(out_head->store_id, log->super.store_id, STORE_ID_BYTES);
    log_cipher_end_body(log, out_head);
    block_seal(out_head, log->block);
}

static bool write_block(Log *log, const BlockHead *head) {
    struct iovec part = {log->block, block_bytes(head->body_len)};
    if (disk_write(log->file, &part, 1, log->offset) != OK) {
        log_fail(log, LOG_FAILURE_WRITE);
        return false;
    }
    return true;
}

static bool sync_block(Log *log) {
    if (log->options.sync_interval_ns) {
        if (log->sync_due_ns == 0)
            log->sync_due_ns = clock_mono_ns() + log->options.sync_interval_ns;
        return true;
    }
    if (log_sync_file(log, log->file) != OK) {
        log_fail(log, LOG_FAILURE_SYNC);
        return false;
    }
    log->durable = log->number_next;
    return true;
}

static void advance(Log *log, const BlockHead *head) {
    log_count_commit(log, head, block_bytes(head->body_len));
    (void)counter_add(&log->records, head->record_count);
    log->offset += block_bytes(head->body_len);
    log->previous = head->head_checksum;
    log->number_next++;
}

/* After the chunks went home: whoever reads this position and then mails a worker finds them
 * applied there. */
void log_publish_head(Log *log) {
    counter_set(&log->bytes_used, log->closed_bytes + log->offset);
    counter_publish(&log->head, place_of(log_head_segment(log)->number, log->offset));
}

static void refuse_first(Log *log, Status status) {
    Batch batch = {0};
    take_chunk(log, &batch);
    give_back(log, &batch, status);
}

static void log_commit_block(Log *log) {
    if (log_is_failed(log)) {
        refuse_first(log, ERR_IO);
        return;
    }
    if (is_stale((LogChunk *)log->pending_first)) {
        refuse_first(log, ERR_FULL);
        return;
    }
    uint64_t body_len = ((LogChunk *)log->pending_first)->len + log_cipher_overhead(log);
    Status status = log_make_room(log, block_bytes(body_len));
    if (status == OK && log_is_failed(log))
        status = ERR_IO; /* a sync failed while we waited for a segment */
    if (status != OK) {
        refuse_first(log, status);
        return;
    }
    Batch batch = {0};
    BlockHead head;
    gather(log, &batch);
    fill_block(log, &batch, &head);
    bool is_written = write_block(log, &head);
    if (is_written && log->options.is_ack_before_sync)
        give_back(log, &batch, OK);
    if (!is_written || !sync_block(log)) {
        give_back(log, &batch, ERR_IO);
        return;
    }
    advance(log, &head);
    give_back(log, &batch, OK);
    log_publish_head(log);
}

/* --- on a worker --- */

static bool write_one(Log *log, LogChunk *chunk) {
    Batch batch = {&chunk->mail, &chunk->mail, chunk->len + log_cipher_overhead(log),
                   chunk->record_count};
    BlockHead head;
    chunk->mail.next = NULL;
    fill_block(log, &batch, &head);
    uint64_t before_ns = clock_mono_ns();
    if (!write_block(log, &head))
        return false;
    uint64_t now_ns = clock_mono_ns();
    if (now_ns - before_ns > (uint64_t)LOG_SLOW_WRITE_MS * NS_PER_MS)
        log->write_here_from_ns = now_ns + (uint64_t)LOG_SLOW_WRITE_PAUSE_MS * NS_PER_MS;
    bool is_first = log->sync_due_ns == 0;
    (void)sync_block(log); /* only says when it is due */
    /* Both are the log thread's to do. */
    if (is_first || now_ns - log->space_checked_ns > (uint64_t)LOG_SPACE_CHECK_MS * NS_PER_MS)
        log_wake(log);
    advance(log, &head);
    return true;
}

static bool may_write_here(const Log *log, const LogChunk *chunk) {
    return !log_is_failed(log) && log->segments.len != 0 && log_cipher_may_write(log) &&
           log->offset + block_bytes(chunk->len + log_cipher_overhead(log)) <=
               log->segments.at[log->segments.len - 1].bytes &&
           (log->write_here_from_ns == 0 || clock_mono_ns() >= log->write_here_from_ns);
}

bool log_write_here(Log *log, LogChunk *chunk) {
    if (log->options.sync_interval_ns == 0 || !log->is_threaded || !baton_try(log->baton))
        return false;
    bool may = may_write_here(log, chunk);
    if (may) {
        chunk->status = write_one(log, chunk) ? OK : ERR_IO;
        if (chunk->status != OK) {
            note_refusal(chunk);
            log_wake(log); /* going on is the log thread's to do */
        }
        log_publish_head(log);
    }
    baton_release(log->baton);
    return may;
}
