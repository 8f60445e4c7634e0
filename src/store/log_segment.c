/* Segments of the log: rolling to the next one, preparing it ahead, recycling, free space. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "store/log_private.h"
#include "store/path.h"

typedef enum JobKind { JOB_MAKE, JOB_REMOVE, JOB_SYNC, JOB_RESUME, JOB_STOP } JobKind;

struct HelperJob {
    Mail mail;
    Log *log;
    JobKind kind;
    char *path;       /* JOB_MAKE, JOB_REMOVE */
    Segment spare;    /* JOB_MAKE */
    DiskFile *file;   /* JOB_SYNC */
    bool is_last_use; /* JOB_SYNC: close the file */
    uint64_t number;  /* JOB_SYNC: newest block that it makes durable */
    Status status;
};

static void job_submit(Log *log, HelperJob *job);
static void set_full(Log *log, bool is_full);

/* --- segments --- */

void log_add_segment(Log *log, uint64_t number, uint64_t bytes) {
    Segment segment = {number, bytes};
    vec_push(&log->segments, segment);
    Counter *size = counter_table_make(log->sizes, number - log->base);
    (void)counter_table_make(log->live, number - log->base);
    (void)counter_table_make(log->dead, number - log->base);
    uint64_t sealed_at = super_sealed_at(&log->super, number);
    if (size != NULL)
        counter_set(size, bytes < sealed_at ? bytes : sealed_at);
}

static Status open_segment(const Log *log, uint64_t number, DiskFile **out_file) {
    CLEANUP(path_free) char *path = path_numbered(log->log_dir, "", number, ".log");
    int direct = log->options.sync_interval_ns ? 0 : DISK_DIRECT;
    return disk_open(path, DISK_READ | DISK_WRITE | direct, out_file);
}

Status log_open_head(Log *log, DiskFile **out_file) {
    return open_segment(log, log_head_segment(log)->number, out_file);
}

void log_cut_head(Log *log, uint64_t bytes) {
    Segment *head = log_head_segment(log);
    if (bytes >= head->bytes || disk_cut(log->file, bytes) != OK)
        return;
    head->bytes = bytes;
    counter_set(counter_table_find(log->sizes, head->number - log->base), bytes);
}

/* Index of the smallest spare that has room for bytes, or -1. */
static int find_spare(const Log *log, uint64_t bytes) {
    int best = -1;
    for (size_t i = 0; i < log->spares.len; i++)
        if (log->spares.at[i].bytes >= bytes &&
            (best < 0 || log->spares.at[i].bytes < log->spares.at[best].bytes))
            best = (int)i;
    return best;
}

/* A number is never used twice for blocks: what a segment of that number held before would count.
 */
static uint64_t next_number(const Log *log) {
    uint64_t number =
        log->segments.len ? log->segments.at[log->segments.len - 1].number + 1 : log->base;
    if (number < place_segment(log->super.floor))
        number = place_segment(log->super.floor); /* all segments were lost */
    if (number <= super_sealed_last(&log->super))
        number = super_sealed_last(&log->super) + 1;
    return number;
}

/* Its old blocks carry their old number, so nothing has to be cleared. When this fails, a file of
 * the new name may be there: it holds nothing, and the next try takes its place. */
static Status roll(Log *log, size_t spare_index) {
    Segment spare = log->spares.at[spare_index];
    vec_remove_unordered(&log->spares, spare_index);
    uint64_t number = next_number(log);
    CLEANUP(path_free) char *from = path_numbered(log->log_dir, "spare.", spare.number, "");
    CLEANUP(path_free) char *to = path_numbered(log->log_dir, "", number, ".log");
    DiskFile *file;
    Status status = disk_rename(from, to);
    if (status == OK)
        status = disk_sync_dir(log->log_dir);
    if (status == OK)
        status = open_segment(log, number, &file);
    if (status != OK)
        return status;
    status = log_cipher_begin_segment(log, number);
    if (status != OK) {
        disk_close(file);
        return status;
    }

    if (log->segments.len)
        log->closed_bytes += log_head_segment(log)->bytes;
    if (log->file)
        log_retire_file(log, log->file);
    log->file = file;
    log_add_segment(log, number, spare.bytes);
    log->offset = 0;
    log->shrink_bytes = 0;
    return OK;
}

static void count_spares(Log *log) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < log->spares.len; i++)
        bytes += log->spares.at[i].bytes;
    counter_set(&log->spare_bytes, bytes);
}

static bool may_try_to_make(const Log *log) {
    return !log->is_threaded || log->spare_failed_ns == 0 ||
           clock_mono_ns() - log->spare_failed_ns > (uint64_t)LOG_SPACE_CHECK_MS * NS_PER_MS;
}

/* Waits only when the helper is late or was never asked for one so large. */
static int wait_for_spare(Log *log, uint64_t need) {
    log_recycle(log);
    for (int tries = 0; tries < 2; tries++) {
        int found = find_spare(log, need);
        if (found >= 0)
            return found;
        if (!log->is_spare_coming && may_try_to_make(log))
            log_ask_for_spare(log, need);
        while (log->is_spare_coming) {
            mailbox_wait(log->box, 0);
            log_take_mail(log);
        }
    }
    return find_spare(log, need);
}

/* The smaller segment is there. */
static bool is_shrink_due(const Log *log, uint64_t need) {
    int spare = log->shrink_bytes ? find_spare(log, need) : -1;
    return spare >= 0 && log->spares.at[spare].bytes <= log->shrink_bytes;
}

Status log_make_room(Log *log, uint64_t need) {
    if (log->segments.len && log->offset + need <= log_head_segment(log)->bytes &&
        log_cipher_may_write(log) && !is_shrink_due(log, need))
        return OK;
    if (need > log->options.segment_bytes)
        return ERR_FULL;
    int spare = find_spare(log, need);
    if (spare < 0)
        spare = wait_for_spare(log, need);
    if (spare < 0) {
        set_full(log, true);
        return ERR_FULL;
    }
    Status status = roll(log, (size_t)spare);
    if (status != OK) {
        log_fail(log, LOG_FAILURE_SEGMENT);
        return ERR_IO;
    }
    log_recycle(log);
    count_spares(log);
    if (log->spares.len == 0 && log->is_threaded)
        log_ask_for_spare(log, 0);
    return OK;
}

Status log_retire_empty(Log *log, size_t keep) {
    while (log->segments.len > keep) {
        Segment segment = vec_pop(&log->segments);
        Segment spare = {++log->spare_number_last, segment.bytes};
        CLEANUP(path_free) char *from = path_numbered(log->log_dir, "", segment.number, ".log");
        CLEANUP(path_free) char *to = path_numbered(log->log_dir, "spare.", spare.number, "");
        Status status = disk_rename(from, to);
        if (status != OK)
            return status;
        counter_set(counter_table_find(log->sizes, segment.number - log->base), 0);
        vec_push(&log->spares, spare);
    }
    return OK;
}

uint64_t log_number_after(const Log *log, const Segment *segment) {
    const Segment *end = log->segments.at + log->segments.len;
    uint64_t number = 0;
    char *page = mem_alloc(BLOCK_ALIGN);
    for (const Segment *next = segment + 1; next < end && number == 0; next++) {
        CLEANUP(path_free) char *path = path_numbered(log->log_dir, "", next->number, ".log");
        DiskFile *file;
        BlockHead head;
        if (disk_open(path, DISK_READ, &file) != OK)
            continue;
        if (disk_read(file, page, BLOCK_ALIGN, 0) == OK && block_head_parse(page, &head) &&
            head.segment == next->number && head.offset == 0 &&
            memcmp(head.store_id, log->super.store_id, STORE_ID_BYTES) == 0)
            number = head.number;
        disk_close(file);
    }
    mem_free(page);
    return number;
}

/* --- recycling --- */

static bool is_recyclable(const Log *log, size_t i) {
    const Segment *segment = &log->segments.at[i];
    if (i + 1 == log->segments.len || segment->number >= place_segment(counter_get(&log->floor)))
        return false;
    const Counter *live = counter_table_find(log->live, segment->number - log->base);
    return live != NULL && counter_observe(live) == 0;
}

/* The floor goes to disk first: recovery must know which segments may be missing. */
static bool save_floor(Log *log) {
    Place floor = counter_get(&log->floor);
    if (log->floor_saved == floor)
        return true;
    log->super.floor = floor;
    /* Both copies: with the newer one damaged, what was recycled must still not look like a loss.
     */
    if (super_write(log->dir, &log->super, false) == OK &&
        super_write(log->dir, &log->super, false) == OK) {
        log->floor_saved = floor;
        return true;
    }
    LOG_WARNING("log position not saved", "dir=%s", log->dir);
    return false;
}

static bool recycle_one(Log *log, size_t i) {
    Segment segment = log->segments.at[i];
    Segment spare = {++log->spare_number_last, segment.bytes};
    CLEANUP(path_free) char *from = path_numbered(log->log_dir, "", segment.number, ".log");
    CLEANUP(path_free) char *to = path_numbered(log->log_dir, "spare.", spare.number, "");
    if (disk_rename(from, to) != OK)
        return false;
    vec_remove_ordered(&log->segments, i);
    vec_push(&log->spares, spare);
    counter_set(counter_table_find(log->sizes, segment.number - log->base), 0);
    counter_set(counter_table_find(log->dead, segment.number - log->base), 0);
    log->closed_bytes -= segment.bytes;
    return true;
}

void log_recycle(Log *log) {
    if (!log->is_recovered || log->is_keeping_all || log_is_failed(log))
        return;
    bool is_any = false;
    for (size_t i = 0; i < log->segments.len && !is_any; i++)
        is_any = is_recyclable(log, i);
    if (!is_any || !save_floor(log))
        return;
    for (size_t i = 0; i < log->segments.len;)
        if (!is_recyclable(log, i) || !recycle_one(log, i))
            i++;
    log_remove_spares(log);
    counter_set(&log->bytes_used, log->closed_bytes + log->offset);
}

static void remove_spare(Log *log, size_t i) {
    Segment spare = log->spares.at[i];
    vec_remove_unordered(&log->spares, i);
    HelperJob *job = mem_zalloc(sizeof *job);
    job->kind = JOB_REMOVE;
    job->path = path_numbered(log->log_dir, "spare.", spare.number, "");
    job_submit(log, job);
}

/* Those go first that are larger than the next segment, then small ones. While segments are small,
 * one is enough. */
void log_remove_spares(Log *log) {
    uint64_t next = log_next_bytes(log);
    size_t max = next < log->options.segment_bytes ? 1 : LOG_SPARES_MAX;
    /* What was cut at a start is too small to be of use. */
    uint64_t least = next < LOG_SEGMENT_BYTES_FIRST ? next : LOG_SEGMENT_BYTES_FIRST;
    for (size_t i = log->spares.len; i-- > 0;)
        if (log->spares.at[i].bytes < least ||
            (log->spares.at[i].bytes > next && (log->spares.len > 1 || log->shrink_bytes)))
            remove_spare(log, i);
    while (log->spares.len > max) {
        size_t smallest = 0;
        for (size_t i = 1; i < log->spares.len; i++)
            if (log->spares.at[i].bytes < log->spares.at[smallest].bytes)
                smallest = i;
        remove_spare(log, smallest);
    }
    count_spares(log);
}

/* --- space --- */

static void set_full(Log *log, bool is_full) {
    if (is_full == log_is_full(log))
        return;
    counter_set(&log->is_full, is_full);
    if (is_full)
        LOG_WARNING("no space for more log: publishes are refused", "dir=%s", log->dir);
    else
        LOG_INFO("space is back: publishes are accepted", "dir=%s", log->dir);
}

uint64_t log_next_bytes(const Log *log) {
    uint64_t max = log->options.segment_bytes;
    if (log->shrink_bytes)
        return log->shrink_bytes < max ? log->shrink_bytes : max;
    uint64_t last = log->segments.len ? log->segments.at[log->segments.len - 1].bytes : 0;
    /* The last one may have been cut at a start. */
    uint64_t next = last * 4 < LOG_SEGMENT_BYTES_FIRST ? LOG_SEGMENT_BYTES_FIRST : last * 4;
    return next < max ? next : max;
}

/* On a disk that is nearly full, a smaller one is better than none. 0: not even that. */
static uint64_t bytes_that_fit(const Log *log, uint64_t want, uint64_t need) {
    uint64_t free_bytes, total;
    if (disk_free_bytes(log->dir, &free_bytes, &total) != OK)
        return want;
    uint64_t least = LOG_SEGMENT_BYTES_FIRST < want ? LOG_SEGMENT_BYTES_FIRST : want;
    least = least < need ? need : least;
    uint64_t usable =
        free_bytes > log->options.free_low_bytes ? free_bytes - log->options.free_low_bytes : 0;
    while (want > usable && want > least)
        want = want / 4 > least ? want / 4 & ~(uint64_t)(BLOCK_ALIGN - 1) : least;
    return want <= usable ? want : 0;
}

uint64_t log_next_spare_bytes(const Log *log, uint64_t bytes_min) {
    uint64_t want = log_next_bytes(log);
    if (want < bytes_min)
        want = log->options.segment_bytes;
    return bytes_that_fit(log, want, bytes_min);
}

void log_ask_for_spare(Log *log, uint64_t bytes_min) {
    if (log->is_spare_coming)
        return;
    uint64_t want = log_next_spare_bytes(log, bytes_min);
    if (want == 0) {
        log->spare_failed_ns = clock_mono_ns();
        set_full(log, true);
        return;
    }
    HelperJob *job = mem_zalloc(sizeof *job);
    job->kind = JOB_MAKE;
    job->spare = (Segment){++log->spare_number_last, want};
    job->path = path_numbered(log->log_dir, "spare.", job->spare.number, "");
    log->is_spare_coming = true;
    job_submit(log, job);
}

void log_check_space(Log *log) {
    uint64_t now = clock_mono_ns();
    if (log_is_failed(log))
        return; /* the helper may have the spares */
    if (log->is_threaded && now - log->space_checked_ns < (uint64_t)LOG_SPACE_CHECK_MS * NS_PER_MS)
        return;
    log->space_checked_ns = now;
    uint64_t free_bytes, total;
    if (disk_free_bytes(log->dir, &free_bytes, &total) != OK)
        return;
    bool was_full = log_is_full(log);
    bool is_full = free_bytes < log->options.free_low_bytes;
    counter_set(&log->is_tight, free_bytes / 2 < log->options.free_low_bytes);
    if (was_full)
        log_recycle(log);
    if (!is_full && log->spares.len == 0 && was_full && may_try_to_make(log))
        log_ask_for_spare(log, 0);
    if (log->spares.len == 0 && was_full)
        is_full = true; /* until there is a segment in reserve again */
    set_full(log, is_full);
}

/* --- the helper --- */

/* Readers may have it open: only what is cut off comes back at once. */
static Status remove_file(const char *path) {
    DiskFile *file;
    if (disk_open(path, DISK_WRITE, &file) == OK) {
        if (disk_cut(file, 0) != OK)
            LOG_DEBUG("segment not cut before it is removed", "path=%s", path);
        disk_close(file);
    }
    return disk_remove(path);
}

static void job_run(HelperJob *job) {
    switch (job->kind) {
    case JOB_MAKE:
        job->status = disk_create_zeroed(job->path, job->spare.bytes);
        /* What was begun only takes space. */
        if (job->status != OK && disk_remove(job->path) != OK)
            LOG_DEBUG("unfinished segment not removed", "path=%s", job->path);
        break;
    case JOB_REMOVE:
        job->status = remove_file(job->path);
        break;
    case JOB_SYNC:
        job->status = log_sync_file(job->log, job->file);
        if (job->is_last_use)
            disk_close(job->file);
        break;
    case JOB_RESUME:
        job->status = log_try_resume(job->log);
        break;
    case JOB_STOP:
        job->log->is_helper_stopping = true;
        break;
    }
}

static void on_made(Log *log, const HelperJob *job) {
    log->is_spare_coming = false;
    if (job->status == OK) {
        log->spare_failed_ns = 0;
        vec_push(&log->spares, job->spare);
        count_spares(log);
        return;
    }
    LOG_WARNING("no next log segment", "dir=%s bytes=%llu why=%s", log->dir,
                (unsigned long long)job->spare.bytes, status_text(job->status));
    log->spare_failed_ns = clock_mono_ns();
    set_full(log, true);
}

/* On the log thread again. */
static void job_done(Worker *here, Mail *mail) {
    (void)here;
    HelperJob *job = (HelperJob *)mail;
    Log *log = job->log;
    log->jobs_out--;
    if (job->kind == JOB_MAKE)
        on_made(log, job);
    if (job->kind == JOB_RESUME)
        log_tried_resume(log, job->status);
    if (job->kind == JOB_SYNC) {
        if (!job->is_last_use)
            log->is_sync_running = false;
        if (job->status != OK)
            log_fail(log, LOG_FAILURE_SYNC);
        else if (job->number > log->durable && !log_is_failed(log))
            log->durable = job->number;
    }
    mem_free(job->path);
    mem_free(job);
}

static void on_job(Worker *here, Mail *mail) {
    (void)here;
    HelperJob *job = (HelperJob *)mail;
    Log *log = job->log;
    job_run(job);
    job->mail.arrive = job_done;
    mailbox_post(log->box, &job->mail);
}

static void job_submit(Log *log, HelperJob *job) {
    job->log = log;
    log->jobs_out++;
    if (log->is_threaded) {
        job->mail.arrive = on_job;
        mailbox_post(log->helper_box, &job->mail);
        return;
    }
    job_run(job);
    job_done(NULL, &job->mail);
}

void log_helper_run(void *cookie) {
    Log *log = cookie;
    while (!log->is_helper_stopping) {
        mailbox_wait(log->helper_box, 0);
        for (Mail *mail = mailbox_take(log->helper_box), *next; mail; mail = next) {
            next = mail->next;
            mail->arrive(NULL, mail);
        }
    }
}

/* Nobody is there to do them any more. */
static void drop_jobs(Log *log) {
    for (Mail *mail = mailbox_take(log->helper_box), *next; mail; mail = next) {
        next = mail->next;
        HelperJob *job = (HelperJob *)mail;
        if (job->kind == JOB_SYNC && job->is_last_use)
            disk_close(job->file);
        log->jobs_out--;
        mem_free(job->path);
        mem_free(job);
    }
}

void log_helper_stop(Log *log) {
    if (log->helper != NULL) {
        HelperJob *job = mem_zalloc(sizeof *job);
        job->kind = JOB_STOP;
        job->log = log;
        job->mail.arrive = on_job;
        log->jobs_out++;
        mailbox_post(log->helper_box, &job->mail);
        thread_join(log->helper);
        log->helper = NULL;
        log_take_mail(log);
        drop_jobs(log); /* what these answers asked for */
    }
    mailbox_close(log->helper_box);
    log->helper_box = NULL;
}

static void submit_sync(Log *log, DiskFile *file, bool is_last_use) {
    HelperJob *job = mem_zalloc(sizeof *job);
    job->kind = JOB_SYNC;
    job->file = file;
    job->is_last_use = is_last_use;
    job->number = log->number_next - 1;
    job_submit(log, job);
}

void log_submit_resume(Log *log) {
    HelperJob *job = mem_zalloc(sizeof *job);
    job->kind = JOB_RESUME;
    job_submit(log, job);
}

void log_begin_sync(Log *log) {
    log->sync_due_ns = 0;
    log->is_sync_running = true;
    submit_sync(log, log->file, false);
}

void log_retire_file(Log *log, DiskFile *file) {
    if (log->options.sync_interval_ns == 0 || log_is_failed(log)) {
        disk_close(file);
        return;
    }
    submit_sync(log, file, true);
}
