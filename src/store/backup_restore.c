/* From a backup's target to a store, as it was at a point of its log. */
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/disk.h"
#include "store/backup.h"
#include "store/checkpoint.h"
#include "store/path.h"
#include "store/store_scan.h"

/* Where the log is cut: everything from here on is left out. */
typedef struct Cut {
    bool is_there;
    uint64_t segment, offset; /* of the block */
    uint64_t block;           /* its number */
    size_t body_len;          /* bytes of its body that stay; 0 = nothing of it */
    uint32_t record_count;
} Cut;

typedef struct Run { /* of blocks without a gap, up to the last one before the cut */
    Place start;
    uint64_t first_number, last_number;
    Place end;
    BlockHead last;
} Run;

typedef struct Restoring {
    StoreScan scan;
    const char *dir;
    const RestorePoint *point;
    RestoreReport *report;
    Cut cut;
    Run run;
    bool has_run;
    Map64 after; /* group -> first index at or behind the cut */
    uint64_t checkpoint;
    Place floor;
    uint64_t epoch;
    CipherHead cipher_head;         /* of the segment of the cut, when it is encrypted */
    int64_t cut_ns, transaction_ns; /* of the first entry, the first transaction left out */
    bool has_transaction;
} Restoring;

/* No checkpoint takes longer to be made. */
static const int64_t CHECKPOINT_NS_MAX = 60ll * 1000000000;

static Status fail(Restoring *restoring, Status status, const char *why) {
    if (!restoring->report->why)
        restoring->report->why = why;
    return status;
}

static void note_after(Restoring *restoring, const Record *record) {
    if (restoring->after.len == 0)
        restoring->cut_ns = record->time_ns;
    if (record->type == RECORD_TRANSACTION && !restoring->has_transaction) {
        restoring->has_transaction = true;
        restoring->transaction_ns = record->time_ns;
    }
    if (!map64_get(&restoring->after, record->group))
        map64_put(&restoring->after, record->group, (void *)(uintptr_t)record->index);
}

/* Records before the cut are counted, those behind it tell what a checkpoint must not know. */
static Status walk_records(Restoring *restoring, const ScanBlock *block) {
    const RestorePoint *point = restoring->point;
    Slice rest, all;
    uint32_t count = 0;
    Record record;
    size_t used;
    Status status = store_scan_records(&restoring->scan, block, &all);
    if (status == ERR_DENIED && (restoring->cut.is_there || point->has_time))
        return fail(
            restoring, status,
            "the store was encrypted: its key is needed, in HOLDWATER_KEY or by --key-file");
    if (status != OK) { /* no key, and none needed; or damaged */
        restoring->report->records += status == ERR_DENIED ? block->head.record_count : 0;
        return status == ERR_MEMORY ? status : OK;
    }
    rest = all;
    while (rest.len && record_parse(rest, &record, &used) == OK) {
        if (!restoring->cut.is_there && point->has_time && record.time_ns > point->time_ns)
            restoring->cut = (Cut){true,
                                   block->head.segment,
                                   block->head.offset,
                                   block->head.number,
                                   all.len - rest.len,
                                   count};
        if (restoring->cut.is_there) {
            note_after(restoring, &record);
        } else {
            restoring->report->records++;
            if (record.time_ns > restoring->report->last_time_ns)
                restoring->report->last_time_ns = record.time_ns;
        }
        count++;
        rest = slice_from_at(rest, used);
    }
    return OK;
}

static void extend_run(Restoring *restoring, const ScanBlock *block) {
    Run *run = &restoring->run;
    const BlockHead *head = &block->head;
    if (!restoring->has_run || head->number != run->last_number + 1) {
        run->start = place_of(head->segment, head->offset);
        run->first_number = head->number;
        restoring->has_run = true;
    }
    run->last_number = head->number;
    run->last = *head;
    run->end = place_of(head->segment, scan_block_end(block));
}

static Status walk_block(Restoring *restoring, const ScanBlock *block) {
    const RestorePoint *point = restoring->point;
    bool was_cut = restoring->cut.is_there;
    if (block->head.epoch > restoring->epoch)
        restoring->epoch = block->head.epoch;
    if (!was_cut && point->last_block && block->head.number > point->last_block)
        restoring->cut =
            (Cut){true, block->head.segment, block->head.offset, block->head.number, 0, 0};
    if (!block->is_body_good)
        restoring->report->damaged_blocks += !was_cut;
    Status status = walk_records(restoring, block);
    if (!restoring->cut.is_there || (!was_cut && restoring->cut.body_len))
        extend_run(restoring, block);
    if (!was_cut)
        restoring->cipher_head = restoring->scan.cipher_head;
    return status;
}

static Status walk_log(Restoring *restoring) {
    StoreScan *scan = &restoring->scan;
    for (size_t i = 0; i < scan->segments.len; i++) {
        Status status = store_scan_read(scan, scan->segments.at[i]);
        if (status != OK)
            return fail(restoring, status, "log not read");
        ScanBlock block;
        BlockHead previous;
        uint64_t at = 0;
        for (bool is_first = true; store_scan_next(scan, at, is_first ? NULL : &previous, &block);
             is_first = false) {
            status = walk_block(restoring, &block);
            if (status != OK)
                return status;
            previous = block.head;
            at = scan_block_end(&block);
        }
    }
    return OK;
}

typedef struct Suits {
    Restoring *restoring;
    bool is_good;
} Suits;

static void on_state(void *cookie, uint32_t group, uint64_t index, Slice state) {
    Suits *suits = cookie;
    uint64_t after = (uintptr_t)map64_get(&suits->restoring->after, group);
    (void)state;
    if (after && index >= after)
        suits->is_good = false;
}

/* No block is missing from floor on: where the next block went when the checkpoint was made, or it
 * began the next segment. */
static bool reaches(const Restoring *restoring, Place floor) {
    Place start = restoring->run.start;
    return !restoring->has_run || start <= floor ||
           (place_segment(start) == place_segment(floor) + 1 && place_offset(start) == 0);
}

/* A transaction is an entry of the catalogue, and no index of a stream tells whether the stream's
 * state has it. Where one follows the cut closely, only a checkpoint that was finished before the
 * cut will do: one before another one that began before it. */
static bool must_be_finished(const Restoring *restoring) {
    return restoring->has_transaction &&
           restoring->transaction_ns - restoring->cut_ns < CHECKPOINT_NS_MAX;
}

/* The newest one that knows of nothing behind the cut, and from which on the log has no gap. */
static Status choose_checkpoint(Restoring *restoring) {
    const StoreScan *scan = &restoring->scan;
    Place cut = place_of(restoring->cut.segment, restoring->cut.offset);
    bool is_finished = !must_be_finished(restoring);
    for (size_t i = scan->checkpoints.len; i-- > 0;) {
        Suits suits = {restoring, true};
        Place floor = 0;
        bool is_cut = restoring->cut.is_there;
        if (checkpoint_read(scan->dir, scan->checkpoints.at[i], scan->cipher,
                            is_cut ? on_state : NULL, &suits, &floor) != OK)
            continue;
        bool was_finished = is_finished;
        is_finished |= floor <= cut;
        if (!suits.is_good || !was_finished)
            continue;
        if (reaches(restoring, floor)) {
            restoring->checkpoint = scan->checkpoints.at[i];
            restoring->floor = floor;
            return OK;
        }
    }
    if (!restoring->has_run || restoring->run.first_number == 1)
        return OK; /* all of the history is there */
    return fail(restoring, ERR_RANGE, "the backup's history does not reach back so far");
}

static Status write_segment(const char *path, Slice bytes, Slice last) {
    DiskFile *file;
    Status status = disk_open(path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file);
    if (status != OK)
        return status;
    struct iovec parts[] = {{(void *)(uintptr_t)bytes.ptr, bytes.len},
                            {(void *)(uintptr_t)last.ptr, last.len}};
    int first = bytes.len ? 0 : 1, count = (bytes.len != 0) + (last.len != 0);
    if (count)
        status = disk_write(file, parts + first, count, 0);
    if (status == OK)
        status = disk_sync(file);
    disk_close(file);
    return status;
}

/* The block of the cut, with the records before it. */
static void rebuild_block(const Restoring *restoring, Buf *out) {
    const Cut *cut = &restoring->cut;
    BlockHead head = restoring->run.last;
    uint64_t at = block_records_at(&head);
    head.body_len = (uint32_t)(cut->body_len + (head.body_len - block_records_len(&head)));
    head.record_count = cut->record_count;
    uint64_t bytes = block_bytes(head.body_len);
    char *to = buf_reserve(out, bytes);
    memset(to, 0, bytes);
    memcpy(to + at, restoring->scan.bytes + cut->offset + at, cut->body_len);
    if (head.version == BLOCK_VERSION_ENCRYPTED) {
        memcpy(to + BLOCK_HEAD_BYTES, &restoring->cipher_head, CIPHER_HEAD_BYTES);
        memcpy(to + at + cut->body_len, &restoring->cipher_head, CIPHER_HEAD_BYTES);
    }
    block_seal(&head, to);
    out->len = bytes;
}

static Status copy_segment(Restoring *restoring, const char *log, uint64_t number) {
    const Cut *cut = &restoring->cut;
    Buf last = {0};
    CLEANUP(path_free) char *path = path_numbered(log, "", number, ".log");
    Status status = store_scan_read(&restoring->scan, number);
    if (status != OK)
        return status;
    Slice bytes = slice_from(restoring->scan.bytes, restoring->scan.bytes_len);
    if (cut->is_there && number == cut->segment) {
        bytes = slice_first(bytes, cut->offset);
        if (cut->body_len)
            rebuild_block(restoring, &last);
        restoring->run.end = place_of(number, bytes.len + last.len);
    }
    if (bytes.len + last.len) {
        status = write_segment(path, bytes, buf_slice(&last));
        restoring->report->segments++;
    }
    buf_done(&last);
    return status;
}

static Status copy_log(Restoring *restoring) {
    const StoreScan *scan = &restoring->scan;
    CLEANUP(path_free) char *log = path_join(restoring->dir, "log");
    Status status = disk_make_dirs(log);
    for (size_t i = 0; status == OK && i < scan->segments.len; i++) {
        if (restoring->cut.is_there && scan->segments.at[i] > restoring->cut.segment)
            break;
        status = copy_segment(restoring, log, scan->segments.at[i]);
    }
    return status == OK ? disk_sync_dir(log) : status;
}

static Status copy_checkpoint(Restoring *restoring) {
    if (!restoring->checkpoint)
        return OK;
    CLEANUP(path_free)
    char *from = path_numbered(restoring->scan.dir, "checkpoint.", restoring->checkpoint, "");
    CLEANUP(path_free)
    char *to = path_numbered(restoring->dir, "checkpoint.", restoring->checkpoint, "");
    char *text;
    size_t len;
    Status status = disk_read_file(from, 1 << 30, &text, &len);
    if (status != OK)
        return status;
    status = disk_write_file(to, slice_from(text, len), 0600);
    mem_free(text);
    return status;
}

static void count_name(void *cookie, const char *name, bool is_dir) {
    (void)name;
    (void)is_dir;
    ++*(size_t *)cookie;
}

static Status check_dirs(Restoring *restoring) {
    CLEANUP(path_free) char *mark = path_join(restoring->scan.dir, "BACKUP");
    DiskFile *file;
    size_t names = 0;
    if (disk_open(mark, DISK_READ, &file) != OK)
        return fail(restoring, ERR_NOT_FOUND, "no finished backup there");
    disk_close(file);
    Status status = disk_list(restoring->dir, count_name, &names);
    if (status != OK && status != ERR_NOT_FOUND)
        return status;
    return names ? fail(restoring, ERR_EXISTS, "the directory is not empty") : OK;
}

static Status write_super(Restoring *restoring) {
    Super super = restoring->scan.super;
    super.floor = restoring->floor;
    if (restoring->epoch > super.epoch)
        super.epoch = restoring->epoch;
    super.durable = restoring->has_run ? restoring->run.last_number : 0;
    super.durable_end = restoring->has_run ? restoring->run.end : 0;
    super_unseal_after(&super, restoring->has_run ? restoring->run.last.segment - 1 : 0);
    return super_write(restoring->dir, &super, true);
}

static Status run(Restoring *restoring) {
    Status status = check_dirs(restoring);
    if (status == OK)
        status = walk_log(restoring);
    if (status == OK)
        status = choose_checkpoint(restoring);
    if (status == OK)
        status = disk_make_dirs(restoring->dir);
    if (status == OK)
        status = copy_log(restoring);
    uint64_t bytes = 0;
    if (status == OK && restoring->checkpoint)
        status = store_scan_copy_folder(&restoring->scan, "idx", restoring->dir, &bytes);
    if (status == OK)
        status = copy_checkpoint(restoring);
    if (status == OK)
        status = write_super(restoring); /* last: before it, there is no store */
    restoring->report->last_block = restoring->has_run ? restoring->run.last_number : 0;
    restoring->report->checkpoint = restoring->checkpoint;
    return status;
}

Status backup_restore(const char *target, const char *dir, const RestorePoint *point,
                      RestoreReport *out_report) {
    Restoring restoring = {.dir = dir, .point = point, .report = out_report};
    *out_report = (RestoreReport){0};
    Status status = store_scan_open(target, &restoring.scan);
    if (status == ERR_NOT_FOUND)
        out_report->why = "no backup there";
    if (status != OK)
        return status;
    if (point->key.len)
        status = store_scan_unlock(&restoring.scan, point->key);
    status =
        status == OK ? run(&restoring) : fail(&restoring, status, "the key is not the backup's");
    store_scan_done(&restoring.scan);
    map64_done(&restoring.after);
    return status;
}
