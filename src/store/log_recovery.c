/* Recovery: reads the segments, tells a torn write from rot, delivers every record that can be
 * read.
 *
 * A block that is bad and followed by a good one, or whose number is known to be durable, was
 * acknowledged: it is rot; its readable records are delivered, the rest is reported, nothing of it
 * is overwritten. Only bad blocks at the very end were never acknowledged and are cut: the next
 * block is written over them. */
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "io/clock.h"
#include "store/bad.h"
#include "store/log_private.h"
#include "store/path.h"
#include "store/salvage.h"

typedef struct FoundBlock {
    BlockHead head;
    bool is_body_good, are_heads_good;
} FoundBlock;

typedef VEC(FoundBlock) FoundBlocks;

typedef struct Recovery {
    Log *log;
    LogVisitor *visit;
    void *cookie;
    LogReport *report;
    char *bytes; /* the segment being read */
    uint64_t bytes_len;
    FoundBlocks found;
    size_t tail; /* index of the last segment with a good block; segments.len when there is none */
    bool has_last;    /* a block was met */
    BlockHead last;   /* the newest one met, good or rotten */
    Place last_end;   /* where it ends */
    uint64_t durable; /* the highest watermark seen */
    uint64_t epoch_max;
    uint64_t bad_bytes; /* copied to bad/ */
    uint64_t segment_last;
    bool is_end_rotten;
    Status status;        /* of repairs */
    CipherStream *stream; /* of the segment being read, when it is encrypted */
    Place from;           /* segments before its one are not read */
} Recovery;

static Status read_segment(Recovery *r, const Segment *segment);
static void find_blocks(Recovery *r, const Segment *segment);
static Status find_tail(Recovery *r);
static Status open_cipher(Recovery *r);
static void replay_segment(Recovery *r, size_t index);
static void judge_end(Recovery *r);
static void explain_hole(Recovery *r, const Segment *segment);
static Status continue_log(Recovery *r);

/* The newest block must be met in any case: what comes next continues it. */
static size_t first_to_read(const Recovery *r) {
    const Log *log = r->log;
    size_t first = 0;
    if (r->tail == log->segments.len)
        return 0;
    while (first < r->tail && log->segments.at[first].number < place_segment(r->from))
        first++;
    return first;
}

static Status recover(Recovery *r) {
    Log *log = r->log;
    if (log->is_super_half)
        buf_append_lit(&r->report->text, "one SUPER copy is damaged, the other one is good\n");
    Status status = find_tail(r);
    size_t first = first_to_read(r);
    for (size_t i = 0; i < first; i++)
        explain_hole(r, &log->segments.at[i]);
    if (log->options.to_recover)
        counter_set(log->options.to_recover, log->segments.len - first);
    for (size_t i = first; i < log->segments.len && status == OK; i++) {
        status = read_segment(r, &log->segments.at[i]);
        if (status != OK)
            break;
        find_blocks(r, &log->segments.at[i]);
        status = open_cipher(r);
        if (status != OK)
            break;
        replay_segment(r, i);
        status = r->status;
        if (log->options.recovered)
            (void)counter_add(log->options.recovered, 1);
    }
    if (status == OK) {
        judge_end(r);
        status = continue_log(r);
    }
    return status;
}

Status log_recover(Log *log, Place from, LogVisitor *visit, void *cookie, LogReport *out_report) {
    memset(out_report, 0, sizeof *out_report);
    Recovery r = {.log = log, .visit = visit, .cookie = cookie, .report = out_report, .from = from};
    r.durable = super_durable(&log->super);
    r.epoch_max = log->super.epoch;
    r.segment_last = place_segment(log->super.floor) ? place_segment(log->super.floor) - 1 : 0;
    out_report->segments = log->segments.len;
    Status status = recover(&r);
    log->is_recovered = status == OK;
    cipher_stream_free(r.stream);
    mem_free(r.bytes);
    vec_done(&r.found);
    return status;
}

/* --- reading --- */

static Status read_segment(Recovery *r, const Segment *segment) {
    enum { PIECE = 4 * 1024 * 1024 };
    r->bytes_len = 0;
    if (r->bytes == NULL) {
        uint64_t largest = 0;
        for (size_t i = 0; i < r->log->segments.len; i++)
            if (r->log->segments.at[i].bytes > largest)
                largest = r->log->segments.at[i].bytes;
        if (largest > UINT64_C(1) << PLACE_OFFSET_BITS)
            return ERR_VERSION;
        r->bytes = mem_try_alloc(largest);
        if (r->bytes == NULL)
            return ERR_MEMORY;
    }
    CLEANUP(path_free)
    char *path = path_numbered(r->log->log_dir, "", segment->number, ".log");
    DiskFile *file;
    Status status = disk_open(path, DISK_READ, &file);
    if (status != OK)
        return status;
    if (r->log->options.sync_interval_ns)
        disk_forget(file); /* the last sync of the life before may have failed */
    for (uint64_t at = 0; at < segment->bytes && status == OK; at += PIECE) {
        uint64_t len = segment->bytes - at < PIECE ? segment->bytes - at : PIECE;
        status = disk_read(file, r->bytes + at, len, at);
        if (status == ERR_IO) {
            /* A sector that cannot be read is damage like any other: page by page, zeros for what
             * fails. */
            buf_printf(&r->report->text, "read error in segment %llu near %llu\n",
                       (unsigned long long)segment->number, (unsigned long long)at);
            for (uint64_t page = at; page < at + len; page += BLOCK_ALIGN)
                if (disk_read(file, r->bytes + page, BLOCK_ALIGN, page) != OK)
                    memset(r->bytes + page, 0, BLOCK_ALIGN);
            status = OK;
        }
    }
    disk_close(file);
    /* What was refused behind a seal is nobody's. */
    uint64_t sealed_at = super_sealed_at(&r->log->super, segment->number);
    if (status == OK)
        r->bytes_len = segment->bytes < sealed_at ? segment->bytes : sealed_at;
    return status;
}

/* With SUPER lost, the first good block tells whose store this is. */
static bool is_ours(Recovery *r, const BlockHead *head) {
    static const uint8_t nobody[STORE_ID_BYTES];
    Log *log = r->log;
    if (log->is_super_lost && memcmp(log->super.store_id, nobody, STORE_ID_BYTES) == 0) {
        memcpy(log->super.store_id, head->store_id, STORE_ID_BYTES);
        buf_append_lit(&r->report->text, "SUPER is lost: store id taken from the log\n");
    }
    return memcmp(log->super.store_id, head->store_id, STORE_ID_BYTES) == 0;
}

/* A block head that belongs where its block begins, and may follow `last` (NULL: anything may). */
static bool fits(Recovery *r, const Segment *segment, const BlockHead *head,
                 const BlockHead *last) {
    if (head->segment != segment->number || head->offset % BLOCK_ALIGN != 0 ||
        head->offset >= r->bytes_len || block_bytes(head->body_len) > r->bytes_len - head->offset ||
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
    return is_ours(r, head);
}

/* The first block that begins at or after `at`, by either of its heads. */
static bool find_next(Recovery *r, const Segment *segment, uint64_t at, const BlockHead *last,
                      FoundBlock *out_block) {
    for (uint64_t page = at; page + BLOCK_ALIGN <= r->bytes_len; page += BLOCK_ALIGN) {
        BlockHead head;
        if (block_head_parse(r->bytes + page, &head) && head.offset == page &&
            fits(r, segment, &head, last)) {
            const char *twin = r->bytes + page + block_bytes(head.body_len) - BLOCK_HEAD_BYTES;
            bool are_equal = memcmp(twin, &head, sizeof head) == 0;
            *out_block = (FoundBlock){.head = head, .are_heads_good = are_equal};
            return true;
        }
        uint64_t end = page + BLOCK_ALIGN;
        if (block_head_parse(r->bytes + end - BLOCK_HEAD_BYTES, &head) && head.offset >= at &&
            head.offset <= page && fits(r, segment, &head, last) &&
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
static void drop_refused(Recovery *r, const Segment *segment) {
    uint64_t number = log_number_after(r->log, segment), sealed_at = UINT64_MAX;
    while (number && r->found.len && r->found.at[r->found.len - 1].head.number >= number)
        sealed_at = vec_pop(&r->found).head.offset;
    if (sealed_at != UINT64_MAX && super_sealed_last(&r->log->super) < segment->number)
        super_seal(&r->log->super, place_of(segment->number, sealed_at), number,
                   r->log->segments.at[0].number);
}

/* Fills r->found. */
static void find_blocks(Recovery *r, const Segment *segment) {
    vec_clear(&r->found);
    FoundBlock block;
    const BlockHead *last = NULL;
    uint64_t at = 0;
    while (find_next(r, segment, at, last, &block)) {
        const char *body = r->bytes + block.head.offset + BLOCK_HEAD_BYTES;
        block.is_body_good = hash_checksum(body, block.head.body_len) == block.head.body_checksum;
        vec_push(&r->found, block);
        last = &r->found.at[r->found.len - 1].head;
        at = last->offset + block_bytes(last->body_len);
    }
    if (r->log->is_super_lost)
        drop_refused(r, segment);
}

/* The blocks of a segment have the same key: of the first one that tells. */
static Status open_cipher(Recovery *r) {
    cipher_stream_free(r->stream);
    r->stream = NULL;
    Status status = ERR_NOT_FOUND;
    for (size_t i = 0; i < r->found.len && status != OK; i++) {
        const BlockHead *head = &r->found.at[i].head;
        CipherHead cipher_head;
        status = block_find_cipher(head, r->bytes + head->offset, &cipher_head);
        if (status == OK)
            status =
                cipher_stream_open(r->log->cipher.cipher, CIPHER_LOG, &cipher_head, &r->stream);
        if (status == ERR_DENIED)
            LOG_ERR("store not opened: its encryption key is lost; put back SUPER.a, SUPER.b or "
                    "KEY of a "
                    "backup",
                    "dir=%s segment=%llu", r->log->dir, (unsigned long long)head->segment);
        if (status == ERR_DENIED || status == ERR_VERSION)
            return status;
    }
    return OK;
}

/* The block's records, decrypted in r->bytes: nothing of it may be written to disk any more. False:
 * it is not known how. */
static bool open_records(Recovery *r, const BlockHead *head, Slice *out_records, Place *out_start) {
    uint64_t at = head->offset + block_records_at(head);
    char *records = r->bytes + at;
    *out_records = slice_from(records, block_records_len(head));
    *out_start = place_of(head->segment, at);
    if (head->version != BLOCK_VERSION_ENCRYPTED)
        return true;
    if (r->stream == NULL || out_records->len == 0)
        return false;
    cipher_stream_apply(r->stream, at, records, records, out_records->len);
    return true;
}

/* Written by a later version of this program. */
static bool holds_newer_block(Recovery *r, const Segment *segment) {
    BlockHead head;
    for (uint64_t at = 0; at + BLOCK_HEAD_BYTES <= r->bytes_len; at += BLOCK_ALIGN)
        if (block_head_is_newer(r->bytes + at, &head) && head.segment == segment->number &&
            head.offset == at && !r->log->is_super_lost &&
            memcmp(head.store_id, r->log->super.store_id, STORE_ID_BYTES) == 0)
            return true;
    return false;
}

static Status find_tail(Recovery *r) {
    Log *log = r->log;
    r->tail = log->segments.len;
    for (size_t i = log->segments.len; i-- > 0 && r->tail == log->segments.len;) {
        const Segment *segment = &log->segments.at[i];
        Status status = read_segment(r, segment);
        if (status != OK)
            return status;
        if (holds_newer_block(r, segment))
            return ERR_VERSION;
        find_blocks(r, segment);
        status = open_cipher(r);
        if (status != OK)
            return status;
        for (size_t k = 0; k < r->found.len; k++)
            if (r->found.at[k].is_body_good) {
                r->tail = i;
                if (r->found.at[k].head.durable > r->durable)
                    r->durable = r->found.at[k].head.durable;
            }
    }
    return OK;
}

/* --- reporting --- */

static void keep_copy(Recovery *r, Place at, uint64_t len) {
    if (r->bad_bytes + len > LOG_BAD_BYTES_MAX || len == 0)
        return;
    r->bad_bytes += len;
    bad_keep_block(r->log->bad_dir, at, r->bytes + place_offset(at), len);
}

static void report_damage(Recovery *r, const Record *record, Place at, uint64_t bytes) {
    buf_printf(&r->report->text, "damaged: segment %llu offset %llu, %llu bytes\n",
               (unsigned long long)place_segment(at), (unsigned long long)place_offset(at),
               (unsigned long long)bytes);
    r->visit(r->cookie, record, at, bytes);
}

/* Where blocks should be and none can be made out. */
static void report_lost_blocks(Recovery *r, Place at, uint64_t bytes, uint64_t blocks) {
    r->report->damaged_records += blocks ? blocks : 1;
    /* Their place is gone too when a file is too short, but they did take a block's room. */
    report_damage(r, NULL, at, bytes ? bytes : BLOCK_ALIGN);
}

/* --- replay --- */

static void deliver(Recovery *r, const Record *record, Place at) {
    r->report->records++;
    r->visit(r->cookie, record, at, 0);
}

/* Brings what stands in r->bytes to disk. */
static void rewrite(Recovery *r, uint64_t segment, uint64_t offset, uint64_t len) {
    CLEANUP(path_free) char *path = path_numbered(r->log->log_dir, "", segment, ".log");
    DiskFile *file;
    Status status = disk_open(path, DISK_READ | DISK_WRITE, &file);
    if (status == OK) {
        struct iovec part = {r->bytes + offset, len};
        status = disk_write(file, &part, 1, offset);
        if (status == OK)
            status = disk_sync(file);
        disk_close(file);
    }
    if (status != OK)
        r->status = status;
}

/* The block is never found again. */
static void wipe(Recovery *r, const BlockHead *head) {
    char *start = r->bytes + head->offset;
    uint64_t len = block_bytes(head->body_len);
    memset(start, 0, BLOCK_HEAD_BYTES);
    memset(start + len - BLOCK_HEAD_BYTES, 0, BLOCK_HEAD_BYTES);
    rewrite(r, head->segment, head->offset, len);
}

/* One of the two heads is damaged, or the write was cut short after all that matters: without both,
 * the next flipped bit could cost the whole block. */
static void repair_heads(Recovery *r, const FoundBlock *block) {
    const BlockHead *head = &block->head;
    char *start = r->bytes + head->offset;
    uint64_t len = block_bytes(head->body_len);
    buf_printf(&r->report->text, "segment %llu offset %llu: block head repaired from its copy\n",
               (unsigned long long)head->segment, (unsigned long long)head->offset);
    memcpy(start, head, sizeof *head);
    memcpy(start + len - BLOCK_HEAD_BYTES, head, sizeof *head);
    rewrite(r, head->segment, head->offset, len);
}

static void replay_rotten(Recovery *r, const FoundBlock *block) {
    const BlockHead *head = &block->head;
    Slice body;
    Place start = place_of(head->segment, head->offset + BLOCK_HEAD_BYTES);
    keep_copy(r, place_of(head->segment, head->offset), block_bytes(head->body_len));

    if (head->number > r->durable) {
        /* Written without a sync (sync_interval) and lost in part: what stands there may be older
         * than the block. It must not be looked at again when later blocks say that everything
         * before them is durable. */
        report_lost_blocks(r, start, head->body_len, head->record_count);
        wipe(r, head);
        return;
    }
    if (!open_records(r, head, &body, &start)) {
        report_lost_blocks(r, start, head->body_len, head->record_count);
        return;
    }
    Pieces pieces;
    r->report->damaged_records += salvage(body, head->record_count, &pieces);
    for (size_t i = 0; i < pieces.len; i++) {
        const Piece *piece = &pieces.at[i];
        Record record;
        size_t used;
        bool is_one = record_parse_trusted(slice_from(body.ptr + piece->at, piece->len), &record,
                                           &used) == OK &&
                      used == piece->len;
        if (piece->is_readable && is_one)
            deliver(r, &record, start + piece->at);
        else
            report_damage(r, is_one ? &record : NULL, start + piece->at, piece->len);
    }
    vec_done(&pieces);
}

/* The body's checksum is good: no need to sum up each record. */
static void replay_good(Recovery *r, const FoundBlock *block) {
    const BlockHead *head = &block->head;
    Slice body;
    Place start;
    if (!block->are_heads_good)
        repair_heads(r, block);
    if (!open_records(r, head, &body, &start)) {
        report_lost_blocks(r, start, head->body_len, head->record_count);
        return;
    }
    for (size_t at = 0; at < body.len;) {
        Record record;
        size_t used;
        if (record_parse_trusted(slice_from_at(body, at), &record, &used) != OK) {
            r->report->damaged_records++;
            report_damage(r, NULL, start + at, body.len - at);
            return;
        }
        deliver(r, &record, start + at);
        at += used;
    }
}

/* Blocks are missing between the newest one met and a segment's first one. */
static void explain_jump(Recovery *r, const BlockHead *head) {
    if (!r->has_last)
        return;
    if (head->number == r->last.number + 1) {
        if (head->previous != r->last.head_checksum)
            buf_printf(&r->report->text,
                       "segment %llu offset %llu: does not continue the block before\n",
                       (unsigned long long)head->segment, (unsigned long long)head->offset);
        return;
    }
    /* The segment before was read just now: its rest is where they were. Any hole in the segments
     * was explained. */
    if (head->segment == place_segment(r->last_end) + 1) {
        const Segment *segments = r->log->segments.at;
        for (size_t i = 0; i < r->log->segments.len; i++)
            if (segments[i].number == r->last.segment) {
                uint64_t bytes = segments[i].bytes - place_offset(r->last_end);
                if (bytes > 0)
                    report_lost_blocks(r, r->last_end, bytes, head->number - r->last.number - 1);
            }
    }
}

/* Segment files may be missing before the floor (which is not known when SUPER was lost); after it
 * somebody took them. */
static void explain_hole(Recovery *r, const Segment *segment) {
    uint64_t floor_segment = place_segment(r->log->super.floor);
    uint64_t from = r->segment_last + 1;
    if (from < floor_segment)
        from = floor_segment;
    if (from < r->log->super.hole_end)
        from = r->log->super.hole_end;
    while (from < segment->number && super_sealed_at(&r->log->super, from) == 0)
        from++; /* a restored store lacks segments that never held anything */
    if (from < segment->number && !r->log->is_super_lost)
        report_lost_blocks(r, place_of(from, 0),
                           (segment->number - from) * r->log->options.segment_bytes, 0);
    r->segment_last = segment->number;
}

static void meet(Recovery *r, const FoundBlock *block) {
    r->has_last = true;
    r->last = block->head;
    r->last_end =
        place_of(block->head.segment, block->head.offset + block_bytes(block->head.body_len));
    if (block->head.epoch > r->epoch_max)
        r->epoch_max = block->head.epoch;
    if (block->head.durable > r->durable)
        r->durable = block->head.durable;
    r->report->blocks++;
}

/* Its heads are wiped: should the next block not come to lie exactly here, this one must not look
 * like rot later. A copy is kept, for the case that the very last acknowledged write rotted. */
static void cut(Recovery *r, const FoundBlock *block) {
    const BlockHead *head = &block->head;
    uint64_t len = block_bytes(head->body_len);
    if (head->epoch > r->epoch_max)
        r->epoch_max = head->epoch;
    r->report->torn_bytes += len;
    buf_printf(&r->report->text, "unfinished write cut: segment %llu offset %llu, %llu bytes\n",
               (unsigned long long)head->segment, (unsigned long long)head->offset,
               (unsigned long long)len);
    keep_copy(r, place_of(head->segment, head->offset), len);
    wipe(r, head);
}

/* All that was ever written there was refused: the numbers go on behind it. */
static bool is_sealed_empty(Recovery *r, const Segment *segment) {
    Super *super = &r->log->super;
    uint64_t number = (r->has_last ? r->last.number : 0) + 1;
    if (r->log->is_super_lost && super_sealed_last(super) < segment->number &&
        log_number_after(r->log, segment) == number)
        super_seal(super, place_of(segment->number, 0), number, r->log->segments.at[0].number);
    return super_sealed_at(super, segment->number) == 0;
}

static void replay_segment(Recovery *r, size_t index) {
    const Segment *segment = &r->log->segments.at[index];
    size_t last_good = SIZE_MAX;
    for (size_t i = 0; i < r->found.len; i++)
        if (r->found.at[i].is_body_good)
            last_good = i;
    bool is_before_tail = r->tail < r->log->segments.len && index < r->tail;
    explain_hole(r, segment);

    uint64_t at = 0;
    for (size_t i = 0; i < r->found.len; i++) {
        const FoundBlock *block = &r->found.at[i];
        bool is_followed = is_before_tail || (last_good != SIZE_MAX && i <= last_good);
        if (!is_followed && block->head.number > r->durable) {
            cut(r, block);
            continue;
        }
        if (block->head.offset > at) {
            keep_copy(r, place_of(segment->number, at), block->head.offset - at);
            bool is_near = r->has_last && segment->number <= place_segment(r->last_end) + 1;
            uint64_t known = is_near ? block->head.number - r->last.number - 1 : 1;
            report_lost_blocks(r, place_of(segment->number, at), block->head.offset - at, known);
        } else {
            explain_jump(r, &block->head);
        }
        meet(r, block);
        at = block->head.offset + block_bytes(block->head.body_len);
        if (block->is_body_good)
            replay_good(r, block);
        else
            replay_rotten(r, block);
        r->is_end_rotten = !block->is_body_good;
    }
    if (is_before_tail && r->found.len == 0 && !is_sealed_empty(r, segment)) {
        keep_copy(r, place_of(segment->number, 0), r->bytes_len);
        report_lost_blocks(r, place_of(segment->number, 0), segment->bytes, 0);
    }
}

/* Blocks known to be durable that are not there at all. */
static void judge_end(Recovery *r) {
    Log *log = r->log;
    uint64_t last = r->has_last ? r->last.number : 0;
    if (r->durable <= last)
        return;
    Place from = r->has_last ? r->last_end : place_of(log->base, 0);
    Place end = log->super.durable_end;
    if (place_segment(end) < place_segment(log->super.floor) && !r->has_last)
        return;
    uint64_t bytes =
        end > from && place_segment(end) == place_segment(from) ? end - from : BLOCK_ALIGN;
    report_lost_blocks(r, from, bytes, r->durable - last);
    r->is_end_rotten = true;
}

/* --- going on --- */

static void make_store_id(Log *log) {
    static const uint8_t nobody[STORE_ID_BYTES];
    if (memcmp(log->super.store_id, nobody, STORE_ID_BYTES) != 0)
        return;
    DiskFile *file;
    if (disk_open("/dev/urandom", DISK_READ, &file) == OK) {
        Status status = disk_read(file, log->super.store_id, STORE_ID_BYTES, 0);
        disk_close(file);
        if (status == OK)
            return;
    }
    Rand rand;
    rand_init(&rand, (uint64_t)clock_wall_ns() ^ hash_u64(clock_mono_ns()));
    for (size_t i = 0; i < STORE_ID_BYTES; i += 8) {
        uint64_t random = rand_u64(&rand);
        memcpy(log->super.store_id + i, &random, sizeof random);
    }
}

/* Before anything is written: from now on blocks of earlier lives cannot be taken for the
 * continuation. */
static Status begin_epoch(Recovery *r) {
    Log *log = r->log;
    make_store_id(log);
    log->super.epoch = r->epoch_max + 1;
    if (log->is_super_lost && log->segments.len)
        log->super.hole_end = log_head_segment(log)->number;
    /* A seal that was read may stand in one copy only, or in the system's memory only. */
    bool is_first = log->is_super_lost || log->is_super_half || log->super.seal_count > 0 ||
                    log->cipher.is_key_changed;
    Status status = super_write(log->dir, &log->super, is_first);
    return status == OK ? log_cipher_save_key(log) : status;
}

static Status continue_log(Recovery *r) {
    Log *log = r->log;
    Status status = begin_epoch(r);
    if (status != OK)
        return status;
    uint64_t last = r->has_last ? r->last.number : 0;
    log->number_next = (last > r->durable ? last : r->durable) + 1;
    log->previous = r->has_last ? r->last.head_checksum : 0;
    log->durable = log->number_next - 1;

    /* With damage at the end nothing is overwritten: the next block goes to a new segment. */
    size_t keep = r->is_end_rotten ? log->segments.len : 0;
    for (size_t i = 0; i < log->segments.len; i++)
        if ((r->has_last && log->segments.at[i].number <= r->last.segment) ||
            log->segments.at[i].number <= super_sealed_last(&log->super))
            keep = i + 1;
    status = log_retire_empty(log, keep);
    if (status != OK)
        return status;
    log->closed_bytes = 0;
    for (size_t i = 0; i + 1 < log->segments.len; i++)
        log->closed_bytes += log->segments.at[i].bytes;
    if (log->segments.len == 0) {
        status = log_make_room(log, BLOCK_ALIGN);
    } else {
        const Segment *head = log_head_segment(log);
        bool is_over = r->is_end_rotten || super_sealed_at(&log->super, head->number) != UINT64_MAX;
        status = log_open_head(log, &log->file);
        /* What is encrypted goes to a new segment, too: no offset of a key stream is used twice. */
        if (status == OK && !is_over && log->cipher.cipher)
            log_cut_head(log, place_offset(r->last_end));
        log->offset = is_over || log->cipher.cipher ? head->bytes : place_offset(r->last_end);
        /* What was read just now may have been only in memory: it must not be served and then lost.
         */
        if (status == OK)
            status = disk_sync(log->file);
    }
    if (status != OK)
        return status;
    log->life_from = place_of(log_head_segment(log)->number, log->offset);
    log->life_number = log->number_next;
    log_remove_spares(log);
    counter_set(&log->bytes_used, log->closed_bytes + log->offset);
    counter_publish(&log->head, place_of(log_head_segment(log)->number, log->offset));
    return OK;
}
