#include "store/log_scan.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/path.h"

static Status read_segment(LogScan *scan, const Segment *segment);
static void find_blocks(LogScan *scan, const Segment *segment);

Status log_scan_init(LogScan *scan, Log *log) {
    uint64_t largest = 0;
    *scan = (LogScan){.log = log, .index = SIZE_MAX};
    for (size_t i = 0; i < log->segments.len; i++)
        if (log->segments.at[i].bytes > largest)
            largest = log->segments.at[i].bytes;
    if (largest > UINT64_C(1) << PLACE_OFFSET_BITS)
        return ERR_VERSION;
    scan->bytes = mem_try_alloc(largest + 1);
    return scan->bytes ? OK : ERR_MEMORY;
}

void log_scan_done(LogScan *scan) {
    thread_join(scan->thread);
    mem_free(scan->bytes);
    vec_done(&scan->found);
    buf_done(&scan->text);
    *scan = (LogScan){.index = SIZE_MAX};
}

/* index does not change: others look at it meanwhile. */
static Status read_blocks(LogScan *scan) {
    const Segment *segment = &scan->log->segments.at[scan->index];
    buf_clear(&scan->text);
    vec_clear(&scan->found);
    scan->status = read_segment(scan, segment);
    if (scan->status == OK)
        find_blocks(scan, segment);
    return scan->status;
}

Status log_scan_read(LogScan *scan, size_t index) {
    scan->index = index;
    return read_blocks(scan);
}

static void read_ahead(void *cookie) {
    LogScan *scan = cookie;
    Status status = read_blocks(scan);
    (void)status; /* log_scan_wait gives it */
}

void log_scan_begin(LogScan *scan, size_t index) {
    ASSERT(!scan->log->is_super_lost);
    thread_join(scan->thread); /* what it reads is not wanted any more */
    scan->thread = NULL;
    scan->index = index;
    if (thread_start("recovery-read", read_ahead, scan, &scan->thread) != OK)
        read_ahead(scan);
}

Status log_scan_wait(LogScan *scan) {
    thread_join(scan->thread);
    scan->thread = NULL;
    return scan->status;
}

static Status read_segment(LogScan *scan, const Segment *segment) {
    enum { PIECE = 4 * 1024 * 1024 };
    scan->len = 0;
    CLEANUP(path_free)
    char *path = path_numbered(scan->log->log_dir, "", segment->number, ".log");
    DiskFile *file;
    Status status = disk_open(path, DISK_READ, &file);
    if (status != OK)
        return status;
    if (scan->log->options.sync_interval_ns)
        disk_forget(file); /* the last sync of the life before may have failed */
    for (uint64_t at = 0; at < segment->bytes && status == OK; at += PIECE) {
        uint64_t len = segment->bytes - at < PIECE ? segment->bytes - at : PIECE;
        status = disk_read(file, scan->bytes + at, len, at);
        if (status == ERR_IO) {
            /* A sector that cannot be read is damage like any other: page by page, zeros for what
             * fails. */
            buf_printf(&scan->text, "read error in segment %llu near %llu\n",
                       (unsigned long long)segment->number, (unsigned long long)at);
            for (uint64_t page = at; page < at + len; page += BLOCK_ALIGN)
                if (disk_read(file, scan->bytes + page, BLOCK_ALIGN, page) != OK)
                    memset(scan->bytes + page, 0, BLOCK_ALIGN);
            status = OK;
        }
    }
    disk_close(file);
    /* What was refused behind a seal is nobody's. */
    uint64_t sealed_at = super_sealed_at(&scan->log->super, segment->number);
    if (status == OK)
        scan->len = segment->bytes < sealed_at ? segment->bytes : sealed_at;
    return status;
}

/* With SUPER lost, the first good block tells whose store this is. */
static bool is_ours(LogScan *scan, const BlockHead *head) {
    static const uint8_t nobody[STORE_ID_BYTES];
    Log *log = scan->log;
    if (log->is_super_lost && memcmp(log->super.store_id, nobody, STORE_ID_BYTES) == 0) {
        memcpy(log->super.store_id, head->store_id, STORE_ID_BYTES);
        buf_append_lit(&scan->text, "SUPER is lost: store id taken from the log\n");
    }
    return memcmp(log->super.store_id, head->store_id, STORE_ID_BYTES) == 0;
}

/* A block head that belongs where its block begins, and may follow `last` (NULL: anything may). */
static bool fits(LogScan *scan, const Segment *segment, const BlockHead *head,
                 const BlockHead *last) {
    if (head->segment != segment->number || head->offset % BLOCK_ALIGN != 0 ||
        head->offset >= scan->len || block_bytes(head->body_len) > scan->len - head->offset ||
        head->body_len == 0)
        return false;
    if (last != NULL) {
        /* Numbers rise by one per block, and there are no more blocks than pages between the two.
         */
        uint64_t pages = (head->offset - last->offset) / BLOCK_ALIGN;
        if (head->number <= last->number || head->number - last->number > pages ||
            head->epoch < last->epoch)
            return false;
    }
    return is_ours(scan, head);
}

/* The first block that begins at or after `at`, by either of its heads. */
static bool find_next(LogScan *scan, const Segment *segment, uint64_t at, const BlockHead *last,
                      FoundBlock *out_block) {
    for (uint64_t page = at; page + BLOCK_ALIGN <= scan->len; page += BLOCK_ALIGN) {
        BlockHead head;
        if (block_head_parse(scan->bytes + page, &head) && head.offset == page &&
            fits(scan, segment, &head, last)) {
            const char *twin = scan->bytes + page + block_bytes(head.body_len) - BLOCK_HEAD_BYTES;
            bool are_equal = memcmp(twin, &head, sizeof head) == 0;
            *out_block = (FoundBlock){.head = head, .are_heads_good = are_equal};
            return true;
        }
        uint64_t end = page + BLOCK_ALIGN;
        if (block_head_parse(scan->bytes + end - BLOCK_HEAD_BYTES, &head) && head.offset >= at &&
            head.offset <= page && fits(scan, segment, &head, last) &&
            head.offset + block_bytes(head.body_len) == end) {
            *out_block = (FoundBlock){.head = head};
            return true;
        }
    }
    return false;
}

/* The seals went with SUPER: the first block of a later segment tells which numbers were given
 * anew.
 */
static void drop_refused(LogScan *scan, const Segment *segment) {
    uint64_t number = log_number_after(scan->log, segment), sealed_at = UINT64_MAX;
    while (number && scan->found.len && scan->found.at[scan->found.len - 1].head.number >= number)
        sealed_at = vec_pop(&scan->found).head.offset;
    if (sealed_at != UINT64_MAX && super_sealed_last(&scan->log->super) < segment->number)
        super_seal(&scan->log->super, place_of(segment->number, sealed_at), number,
                   scan->log->segments.at[0].number);
}

static void find_blocks(LogScan *scan, const Segment *segment) {
    FoundBlock block;
    const BlockHead *last = NULL;
    uint64_t at = 0;
    while (find_next(scan, segment, at, last, &block)) {
        const char *body = scan->bytes + block.head.offset + BLOCK_HEAD_BYTES;
        block.is_body_good = hash_checksum(body, block.head.body_len) == block.head.body_checksum;
        vec_push(&scan->found, block);
        last = &scan->found.at[scan->found.len - 1].head;
        at = last->offset + block_bytes(last->body_len);
    }
    if (scan->log->is_super_lost)
        drop_refused(scan, segment);
}

bool log_scan_holds_newer(const LogScan *scan) {
    const Log *log = scan->log;
    BlockHead head;
    for (uint64_t at = 0; at + BLOCK_HEAD_BYTES <= scan->len; at += BLOCK_ALIGN)
        if (block_head_is_newer(scan->bytes + at, &head) &&
            head.segment == log->segments.at[scan->index].number && head.offset == at &&
            !log->is_super_lost && memcmp(head.store_id, log->super.store_id, STORE_ID_BYTES) == 0)
            return true;
    return false;
}
