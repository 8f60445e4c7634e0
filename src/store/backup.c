#include "store/backup.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/disk.h"
#include "store/checkpoint.h"
#include "store/path.h"
#include "store/store_scan.h"

enum { ATTEMPTS = 5, SMALL_FILE_BYTES_MAX = 1 << 30 };

typedef struct Backup {
    StoreScan scan;
    const char *target;
    BackupReport *report;
    ScanNumbers checkpoints; /* copied, or there already */
    bool has_strange_dir;
} Backup;

static Status fail(Backup *backup, Status status, const char *why) {
    if (!backup->report->why)
        backup->report->why = why;
    return status;
}

static bool exists(const char *path) {
    DiskFile *file;
    if (disk_open(path, DISK_READ, &file) != OK)
        return false;
    disk_close(file);
    return true;
}

/* Replaces; by a temporary file. */
static Status copy_small(Backup *backup, const char *name) {
    CLEANUP(path_free) char *from = path_join(backup->scan.dir, name);
    CLEANUP(path_free) char *to = path_join(backup->target, name);
    char *text;
    size_t len;
    Status status = disk_read_file(from, SMALL_FILE_BYTES_MAX, &text, &len);
    if (status != OK)
        return status;
    status = disk_write_file(to, slice_from(text, len), 0600);
    mem_free(text);
    if (status == OK)
        backup->report->bytes_written += len;
    return status;
}

static Status copy_checkpoints(Backup *backup) {
    vec_clear(&backup->checkpoints);
    for (size_t i = 0; i < backup->scan.checkpoints.len; i++) {
        char name[40];
        uint64_t generation = backup->scan.checkpoints.at[i];
        (void)snprintf(name, sizeof name, "checkpoint.%llu", (unsigned long long)generation);
        CLEANUP(path_free) char *to = path_join(backup->target, name);
        Status status =
            exists(to) && checkpoint_read(backup->target, generation, NULL, NULL, NULL, NULL) == OK
                ? OK
                : copy_small(backup, name);
        if (status == ERR_NOT_FOUND)
            continue; /* a newer one came */
        if (status != OK)
            return fail(backup, status, "checkpoint not copied");
        vec_push(&backup->checkpoints, generation);
    }
    return OK;
}

/* Where the blocks of the segment end; blocks that are being written are left out. */
static uint64_t end_of_blocks(Backup *backup, bool is_last) {
    ScanBlock block;
    BlockHead previous;
    uint64_t at = 0, end = 0, bad = 0;
    for (bool is_first = true;
         store_scan_next(&backup->scan, at, is_first ? NULL : &previous, &block);
         is_first = false) {
        previous = block.head;
        at = scan_block_end(&block);
        if (!block.is_body_good) {
            bad++;
            continue;
        }
        backup->report->damaged_blocks += bad; /* followed by a good one */
        bad = 0;
        end = at;
        if (block.head.number > backup->report->last_block)
            backup->report->last_block = block.head.number;
    }
    if (is_last || !bad)
        return end;
    backup->report->damaged_blocks += bad;
    return at;
}

/* The target's file is the beginning of ours: its last block is the same. */
static uint64_t shared_bytes_of(const Backup *backup, DiskFile *to, uint64_t end) {
    char tail[BLOCK_HEAD_BYTES];
    uint64_t size = 0;
    if (disk_size(to, &size) != OK || size < BLOCK_ALIGN || size > end || size % BLOCK_ALIGN ||
        disk_read(to, tail, sizeof tail, size - sizeof tail) != OK ||
        memcmp(tail, backup->scan.bytes + size - sizeof tail, sizeof tail) != 0)
        return 0;
    return size;
}

static Status write_rest(Backup *backup, const char *path, uint64_t end) {
    DiskFile *to;
    Status status = disk_open(path, DISK_READ | DISK_WRITE | DISK_CREATE, &to);
    if (status != OK)
        return status;
    uint64_t from = shared_bytes_of(backup, to, end), size = 0;
    if (from == 0 && disk_size(to, &size) == OK && size) { /* something else: begun anew */
        disk_close(to);
        status = disk_open(path, DISK_READ | DISK_WRITE | DISK_TRUNCATE, &to);
        if (status != OK)
            return status;
    }
    if (from < end) {
        struct iovec part = {backup->scan.bytes + from, end - from};
        status = disk_write(to, &part, 1, from);
        if (status == OK)
            status = disk_sync(to);
        backup->report->bytes_written += end - from;
        backup->report->segments_written++;
    }
    disk_close(to);
    return status;
}

static Status copy_segment(Backup *backup, uint64_t number, bool is_last) {
    CLEANUP(path_free) char *log = path_join(backup->target, "log");
    CLEANUP(path_free) char *path = path_numbered(log, "", number, ".log");
    Status status = store_scan_read(&backup->scan, number);
    if (status == ERR_NOT_FOUND)
        return OK; /* given up meanwhile: nothing needs it, or it is done again */
    if (status != OK)
        return fail(backup, status, "log not read");
    uint64_t end = end_of_blocks(backup, is_last);
    if (end == 0)
        return OK;
    /* Recycled while it was read: what was read may be of the next life. */
    CLEANUP(path_free) char *source = store_scan_path(&backup->scan, number);
    if (!exists(source))
        return OK;
    backup->report->segments++;
    status = write_rest(backup, path, end);
    return status == OK ? OK : fail(backup, status, "log not written");
}

static Status copy_log(Backup *backup) {
    for (size_t i = 0; i < backup->scan.segments.len; i++) {
        bool is_last = i + 1 == backup->scan.segments.len;
        Status status = copy_segment(backup, backup->scan.segments.at[i], is_last);
        if (status != OK)
            return status;
    }
    return OK;
}

/* Whether the newest checkpoint copied is still one of the store's: what it needs was there all the
 * time. */
static bool is_consistent(Backup *backup) {
    if (store_scan_list(&backup->scan) != OK)
        return false;
    if (backup->checkpoints.len == 0)
        return backup->scan.checkpoints.len == 0;
    uint64_t newest = backup->checkpoints.at[backup->checkpoints.len - 1];
    for (size_t i = 0; i < backup->scan.checkpoints.len; i++)
        if (backup->scan.checkpoints.at[i] == newest)
            return true;
    return false;
}

static void on_name(void *cookie, const char *name, bool is_dir) {
    Backup *backup = cookie;
    if (is_dir && strcmp(name, "log") != 0 && strcmp(name, "bad") != 0 && strcmp(name, "idx") != 0)
        backup->has_strange_dir = true;
}

static Status copy_all(Backup *backup) {
    for (int i = 0; i < ATTEMPTS; i++) {
        BackupReport *report = backup->report;
        report->segments = report->damaged_blocks = 0;
        Status status = copy_checkpoints(backup);
        if (status == OK)
            status = store_scan_copy_folder(&backup->scan, "idx", backup->target,
                                            &report->bytes_written);
        if (status == OK)
            status = copy_log(backup);
        if (status != OK)
            return status;
        if (is_consistent(backup)) {
            report->checkpoints = (unsigned)backup->checkpoints.len;
            return OK;
        }
    }
    return fail(backup, ERR_BUSY, "the store changes too fast");
}

static Status write_super(Backup *backup) {
    Super super;
    bool is_half;
    Status status = super_read(backup->scan.dir, &super, &is_half);
    if (status == ERR_CORRUPT)
        return fail(backup, status, "SUPER is damaged: start the server once to mend it");
    if (status != OK)
        return status;
    super.durable = 0;
    super.durable_end = 0;
    return super_write(backup->target, &super, true);
}

static Status write_mark(Backup *backup) {
    CLEANUP(path_free) char *path = path_join(backup->target, "BACKUP");
    Buf text = {0};
    buf_printf(&text, "{\"version\":1,\"last_block\":%llu,\"checkpoint\":%llu}\n",
               (unsigned long long)backup->report->last_block,
               (unsigned long long)(backup->checkpoints.len
                                        ? backup->checkpoints.at[backup->checkpoints.len - 1]
                                        : 0));
    Status status = disk_write_file(path, buf_slice(&text), 0600);
    buf_done(&text);
    return status;
}

/* A backup of this store, or nothing. */
static Status check_target(Backup *backup) {
    CLEANUP(path_free) char *mark = path_join(backup->target, "BACKUP");
    CLEANUP(path_free) char *begun = path_join(backup->target, "BACKUP.lock");
    Super super;
    bool is_half;
    Status status = super_read(backup->target, &super, &is_half);
    if (status == OK && memcmp(super.store_id, backup->scan.super.store_id, STORE_ID_BYTES) != 0)
        return fail(backup, ERR_EXISTS, "the target is a backup of another store");
    if (status == OK && !exists(mark) && !exists(begun))
        return fail(backup, ERR_EXISTS, "the target is a store");
    return OK;
}

static Status run(Backup *backup) {
    CLEANUP(path_free) char *log = path_join(backup->target, "log");
    Status status = disk_list(backup->scan.dir, on_name, backup);
    if (status == OK && backup->has_strange_dir)
        return fail(backup, ERR_VERSION, "the store has a directory that is not known");
    if (status == OK)
        status = check_target(backup);
    if (status == OK)
        status = disk_make_dirs(log);
    if (status != OK)
        return status;
    CLEANUP(path_free) char *lock_path = path_join(backup->target, "BACKUP.lock");
    DiskFile *lock;
    status = disk_lock(lock_path, &lock);
    if (status != OK)
        return fail(backup, status, "another backup writes there");
    status = copy_all(backup);
    if (status == OK)
        status = write_super(backup);
    if (status == OK)
        status = disk_sync_dir(log);
    if (status == OK)
        status = write_mark(backup);
    if (status == OK)
        status = disk_sync_dir(backup->target);
    disk_unlock(lock);
    return status;
}

Status backup_run(const char *dir, const char *target, BackupReport *out_report) {
    Backup backup = {.target = target, .report = out_report};
    *out_report = (BackupReport){0};
    Status status = store_scan_open(dir, &backup.scan);
    if (status == ERR_NOT_FOUND)
        out_report->why = "no store there";
    if (status != OK)
        return status;
    status = backup.scan.is_super_lost
                 ? fail(&backup, ERR_CORRUPT, "SUPER is damaged: start the server once to mend it")
                 : run(&backup);
    store_scan_done(&backup.scan);
    vec_done(&backup.checkpoints);
    return status;
}
