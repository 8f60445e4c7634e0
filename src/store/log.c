#include "store/log.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "store/log_private.h"
#include "store/path.h"

typedef struct WakeMail {
    Mail mail;
    Log *log;
} WakeMail;

static Status open_files(Log *log);

Status log_open_dir(const LogOptions *options, Log **out_log) {
    Log *log = mem_zalloc(sizeof *log);
    log->options = *options;
    if (log->options.segment_bytes == 0)
        log->options.segment_bytes = LOG_SEGMENT_BYTES;
    ASSERT(log->options.segment_bytes % BLOCK_ALIGN == 0);
    ASSERT(log->options.segment_bytes <= UINT64_C(1) << PLACE_OFFSET_BITS);
    log->dir = mem_copy(options->dir, strlen(options->dir));
    log->options.dir = log->dir;
    log->log_dir = path_join(log->dir, "log");
    log->bad_dir = path_join(log->dir, "bad");
    log->baton = baton_new();
    log->live = counter_table_new();
    log->dead = counter_table_new();
    log->sizes = counter_table_new();
    Status status = open_files(log);
    if (status != OK) {
        log_close(log);
        return status;
    }
    *out_log = log;
    return OK;
}

Status log_open(const LogOptions *options, LogVisitor *visit, void *cookie, LogReport *out_report,
                Log **out_log) {
    Log *log;
    Status status = log_open_dir(options, &log);
    if (status != OK)
        return status;
    LogReport report;
    status = log_recover(log, 0, visit, NULL, cookie, &report);
    if (status != OK) {
        log_report_done(&report);
        log_close(log);
        return status;
    }
    *out_report = report;
    *out_log = log;
    return OK;
}

void log_report_done(LogReport *report) {
    buf_done(&report->text);
}

/* A store that was closed in order says which block is certainly there: damage to the last one can
 * then not be mistaken for an unfinished write. */
static void close_super(Log *log) {
    if (log->file == NULL || !log->is_recovered || log_is_failed(log))
        return;
    if (log->options.sync_interval_ns && disk_sync(log->file) == OK)
        log->durable = log->number_next - 1;
    if (log->durable + 1 != log->number_next || log->super.durable == log->durable)
        return;
    log->super.durable = log->durable;
    log->super.durable_end = place_of(log_head_segment(log)->number, log->offset);
    if (super_write(log->dir, &log->super, false) != OK ||
        super_write(log->dir, &log->super, false) != OK)
        LOG_WARNING("store closed without its last position", "dir=%s", log->dir);
}

void log_close(Log *log) {
    if (log == NULL)
        return;
    ASSERT(!log->is_threaded);
    log_take_mail(log);
    close_super(log);
    if (log->file)
        disk_close(log->file);
    if (log->lock)
        disk_unlock(log->lock);
    if (log->box)
        mailbox_close(log->box);
    log_cipher_close(log);
    baton_free(log->baton);
    vec_done(&log->segments);
    vec_done(&log->spares);
    counter_table_free(log->live);
    counter_table_free(log->dead);
    counter_table_free(log->sizes);
    io_memory_free(log->block, log->block_cap);
    mem_free(log->bad_dir);
    mem_free(log->log_dir);
    mem_free(log->dir);
    mem_free(log);
}

Status log_start(Log *log) {
    Status status = mailbox_open(&log->helper_box);
    if (status != OK)
        return status;
    log->is_threaded = true;
    status = thread_start("log-helper", log_helper_run, log, &log->helper);
    if (status == OK)
        status = thread_start("log", log_run, log, &log->thread);
    if (status != OK) {
        log_helper_stop(log);
        log->is_threaded = false;
    }
    return status;
}

static void on_stop(Worker *here, Mail *mail) {
    (void)here;
    WakeMail *stop = (WakeMail *)mail;
    stop->log->is_stopping = true;
    mem_free(stop);
}

void log_stop(Log *log) {
    if (log->thread == NULL)
        return;
    WakeMail *stop = mem_zalloc(sizeof *stop);
    stop->mail.arrive = on_stop;
    stop->log = log;
    mailbox_post(log->box, &stop->mail);
    thread_join(log->thread);
    log->thread = NULL;
    log->is_threaded = false;
}

/* --- any thread --- */

static void on_chunk(Worker *here, Mail *mail) {
    (void)here;
    Log *log = ((LogChunk *)mail)->log;
    mail->next = NULL;
    if (log->pending_first == NULL)
        log->pending_first = mail;
    else
        log->pending_last->next = mail;
    log->pending_last = mail;
}

void log_submit(Log *log, LogChunk *chunk) {
    ASSERT(chunk->len > 0 && chunk->len % 8 == 0);
    chunk->log = log;
    chunk->mail.arrive = on_chunk;
    mailbox_post(log->box, &chunk->mail);
}

bool log_is_full(const Log *log) {
    return counter_get(&log->is_full) != 0;
}

bool log_is_failed(const Log *log) {
    return counter_get(&log->is_failed) != 0;
}

const char *log_failure_text(const Log *log) {
    static const char *const texts[] = {"nothing", "write", "sync", "next segment",
                                        "what was acknowledged is not on the disk"};
    return texts[counter_get(&log->is_failed)];
}

const char *log_dir(const Log *log) {
    return log->dir;
}

Place log_head(const Log *log) {
    return counter_observe(&log->head);
}

uint64_t log_bytes_used(const Log *log) {
    return counter_get(&log->bytes_used);
}

static void on_wake(Worker *here, Mail *mail) {
    (void)here;
    WakeMail *wake = (WakeMail *)mail;
    Log *log = wake->log;
    mem_free(wake);
    counter_publish(&log->wakes, 0);
    log_recycle(log);
}

void log_wake(Log *log) {
    if (counter_get(&log->wakes) != 0 || counter_add(&log->wakes, 1) != 1)
        return;
    WakeMail *wake = mem_zalloc(sizeof *wake);
    wake->mail.arrive = on_wake;
    wake->log = log;
    mailbox_post(log->box, &wake->mail);
}

void log_set_floor(Log *log, Place floor) {
    if (counter_raise(&log->floor, floor))
        log_wake(log);
}

void log_keep_all(Log *log) {
    log->is_keeping_all = true;
}

void log_add_live(Log *log, Place place, uint64_t bytes) {
    Counter *live = counter_table_find(log->live, place_segment(place) - log->base);
    if (live != NULL)
        (void)counter_add(live, bytes);
}

void log_drop_live(Log *log, Place place, uint64_t bytes) {
    uint64_t segment = place_segment(place);
    Counter *live = counter_table_find(log->live, segment - log->base);
    if (live == NULL)
        return;
    if (counter_sub(live, bytes) == 0 && segment < place_segment(counter_get(&log->floor)))
        log_wake(log);
}

const uint8_t *log_store_id(const Log *log) {
    return log->super.store_id;
}

bool log_is_complete(const Log *log) {
    for (size_t i = 0; i < log->segments.len; i++)
        if (log->segments.at[i].number != i + 1)
            return false;
    return log->segments.len != 0;
}

Place log_floor(const Log *log) {
    return counter_get(&log->floor);
}

uint64_t log_segment_bytes(const Log *log) {
    return log->options.segment_bytes;
}

uint64_t log_size_of(const Log *log, uint64_t segment) {
    const Counter *size = counter_table_find(log->sizes, segment - log->base);
    return size ? counter_get(size) : 0;
}

uint64_t log_live_bytes(const Log *log, uint64_t segment) {
    const Counter *live = counter_table_find(log->live, segment - log->base);
    return live ? counter_get(live) : 0;
}

uint64_t log_records(const Log *log) {
    return counter_get(&log->records);
}

uint64_t log_bytes_after(const Log *log, Place after) {
    Place head = log_head(log);
    uint64_t bytes = 0;
    uint64_t segment = place_segment(after);
    for (segment = segment < log->base ? log->base : segment; segment < place_segment(head);
         segment++) {
        const Counter *size = counter_table_find(log->sizes, segment - log->base);
        if (size != NULL)
            bytes += counter_get(size);
    }
    bytes += place_offset(head);
    uint64_t skipped = place_segment(after) < log->base ? 0 : place_offset(after);
    return bytes > skipped ? bytes - skipped : 0;
}

/* --- files at start --- */

typedef struct Listing {
    Log *log;
    VEC(uint64_t) numbers;
    VEC(uint64_t) spares;
    VEC(char *) strangers;
} Listing;

static void on_name(void *cookie, const char *name, bool is_dir) {
    Listing *listing = cookie;
    uint64_t number;
    if (!is_dir && path_number_of(name, "", ".log", &number) && number > 0 &&
        number < UINT64_C(1) << (64 - PLACE_OFFSET_BITS))
        vec_push(&listing->numbers, number);
    else if (!is_dir && path_number_of(name, "spare.", "", &number))
        vec_push(&listing->spares, number);
    else
        vec_push(&listing->strangers, mem_copy(name, strlen(name)));
}

static Status file_bytes(const char *path, uint64_t *out_bytes) {
    DiskFile *file;
    Status status = disk_open(path, DISK_READ, &file);
    if (status != OK)
        return status;
    status = disk_size(file, out_bytes);
    disk_close(file);
    return status;
}

static void move_to_bad(Log *log, const char *name) {
    CLEANUP(path_free) char *from = path_join(log->log_dir, name);
    CLEANUP(path_free) char *to = path_join(log->bad_dir, name);
    if (disk_rename(from, to) == OK)
        LOG_WARNING("unknown file set aside", "from=%s to=%s", from, to);
}

static Status add_spare(Log *log, uint64_t number) {
    CLEANUP(path_free) char *path = path_numbered(log->log_dir, "spare.", number, "");
    uint64_t bytes;
    Status status = file_bytes(path, &bytes);
    if (status != OK)
        return status;
    if (number > log->spare_number_last)
        log->spare_number_last = number;
    Segment spare = {number, bytes & ~(uint64_t)(BLOCK_ALIGN - 1)};
    vec_push(&log->spares, spare);
    return OK;
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static Status add_files(Log *log, Listing *listing) {
    if (listing->numbers.len > 1)
        qsort(listing->numbers.at, listing->numbers.len, sizeof(uint64_t), compare_numbers);
    uint64_t floor_segment = place_segment(log->super.floor);
    log->base = listing->numbers.len ? listing->numbers.at[0] : floor_segment ? floor_segment : 1;
    for (size_t i = 0; i < listing->numbers.len; i++) {
        CLEANUP(path_free)
        char *path = path_numbered(log->log_dir, "", listing->numbers.at[i], ".log");
        uint64_t bytes;
        Status status = file_bytes(path, &bytes);
        if (status != OK)
            return status;
        log_add_segment(log, listing->numbers.at[i], bytes & ~(uint64_t)(BLOCK_ALIGN - 1));
    }
    for (size_t i = 0; i < listing->spares.len; i++) {
        Status status = add_spare(log, listing->spares.at[i]);
        if (status != OK)
            return status;
    }
    for (size_t i = 0; i < listing->strangers.len; i++)
        move_to_bad(log, listing->strangers.at[i]);
    return OK;
}

static Status list_files(Log *log) {
    Listing listing = {.log = log};
    Status status = disk_list(log->log_dir, on_name, &listing);
    if (status == OK)
        status = add_files(log, &listing);
    for (size_t i = 0; i < listing.strangers.len; i++)
        mem_free(listing.strangers.at[i]);
    vec_done(&listing.strangers);
    vec_done(&listing.numbers);
    vec_done(&listing.spares);
    return status;
}

static Status open_files(Log *log) {
    Status status = mailbox_open(&log->box);
    if (status != OK)
        return status;
    status = disk_make_dirs(log->dir);
    if (status != OK)
        return status;
    CLEANUP(path_free) char *lock = path_join(log->dir, "LOCK");
    status = disk_lock(lock, &log->lock);
    if (status != OK)
        return status;
    status = super_read(log->dir, &log->super, &log->is_super_half);
    if (status == ERR_NOT_FOUND || status == ERR_CORRUPT)
        log->is_super_lost = true;
    else if (status != OK)
        return status;
    status = log_cipher_open(log);
    log->options.cipher = (CipherOptions){0}; /* the keys are the caller's */
    if (status == OK)
        status = disk_make_dirs(log->log_dir);
    if (status == OK)
        status = disk_make_dirs(log->bad_dir);
    if (status == OK)
        status = list_files(log);
    if (status != OK)
        return status;
    log->is_new = log->is_super_lost && log->segments.len == 0;
    counter_set(&log->floor, log->super.floor);
    return OK;
}
