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
#include "store/log_scan.h"
#include "store/path.h"
#include "store/salvage.h"

enum {
    SOON_MAX = 16, /* records told in advance; a power of two */
    SOON_NEAR = 8, /* and again, when so many are before them */
};

typedef struct Recovery {
    Log *log;
    LogVisitor *visit;
    LogPreview *soon; /* may be NULL */
    void *cookie;
    LogReport *report;
    LogScan scans[2];
    LogScan *scan, *ahead; /* the segment that is gone through; the next one, being read */
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

static Status take_segment(Recovery *r, size_t index);
static void read_ahead(Recovery *r, size_t index);
static Status find_tail(Recovery *r);
static Status open_cipher(Recovery *r);
static void replay_segment(Recovery *r, size_t index);
static void judge_end(Recovery *r);
static void explain_hole(Recovery *r, const Segment *segment);
static Status continue_log(Recovery *r);

static size_t first_from(const Recovery *r) {
    const Log *log = r->log;
    size_t first = 0;
    while (first < log->segments.len && log->segments.at[first].number < place_segment(r->from))
        first++;
    return first;
}

/* The newest block must be met in any case: what comes next continues it. */
static size_t first_to_read(const Recovery *r) {
    const Log *log = r->log;
    size_t first = first_from(r);
    if (r->tail == log->segments.len)
        return 0;
    return first < r->tail ? first : r->tail;
}

static Status recover(Recovery *r) {
    Log *log = r->log;
    if (log->is_super_half)
        buf_append_lit(&r->report->text, "one SUPER copy is damaged, the other one is good\n");
    if (first_from(r) + 1 < log->segments.len) /* find_tail reads the last one */
        read_ahead(r, first_from(r));
    Status status = find_tail(r);
    size_t first = first_to_read(r);
    for (size_t i = 0; i < first; i++)
        explain_hole(r, &log->segments.at[i]);
    if (log->options.to_recover)
        counter_set(log->options.to_recover, log->segments.len - first);
    for (size_t i = first; i < log->segments.len && status == OK; i++) {
        status = take_segment(r, i);
        if (status == OK)
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

Status log_recover(Log *log, Place from, LogVisitor *visit, LogPreview *soon, void *cookie,
                   LogReport *out_report) {
    memset(out_report, 0, sizeof *out_report);
    Recovery r = {.log = log,
                  .visit = visit,
                  .soon = soon,
                  .cookie = cookie,
                  .report = out_report,
                  .from = from};
    r.scan = &r.scans[0];
    r.ahead = &r.scans[1];
    r.durable = super_durable(&log->super);
    r.epoch_max = log->super.epoch;
    r.segment_last = place_segment(log->super.floor) ? place_segment(log->super.floor) - 1 : 0;
    out_report->segments = log->segments.len;
    Status status = log_scan_init(r.scan, log);
    if (status == OK)
        status = recover(&r);
    log->is_recovered = status == OK;
    counter_set(&log->records, out_report->records);
    cipher_stream_free(r.stream);
    log_scan_done(r.scan);
    log_scan_done(r.ahead);
    return status;
}

/* --- reading --- */

/* The next one is read meanwhile: it is large, and there is another processor in most places. */
static void read_ahead(Recovery *r, size_t index) {
    const Log *log = r->log;
    bool has_begun = r->ahead->bytes && r->ahead->index == index;
    if (index >= log->segments.len || !log->options.is_read_ahead || log->is_super_lost ||
        has_begun)
        return;
    if (r->ahead->bytes || log_scan_init(r->ahead, r->log) == OK)
        log_scan_begin(r->ahead, index);
}

/* r->scan is of that segment. */
static Status take_segment(Recovery *r, size_t index) {
    Status status = OK;
    if (r->scan->index == index && !r->log->is_super_lost) {
        read_ahead(r, index + 1); /* find_tail met it */
        return OK;
    }
    if (r->ahead->bytes && r->ahead->index == index) {
        LogScan *free = r->scan;
        r->scan = r->ahead;
        r->ahead = free;
        status = log_scan_wait(r->scan);
    } else {
        status = log_scan_read(r->scan, index);
    }
    buf_append(&r->report->text, buf_slice(&r->scan->text));
    if (status == OK)
        read_ahead(r, index + 1);
    return status;
}

/* The blocks of a segment have the same key: of the first one that tells. */
static Status open_cipher(Recovery *r) {
    cipher_stream_free(r->stream);
    r->stream = NULL;
    Status status = ERR_NOT_FOUND;
    for (size_t i = 0; i < r->scan->found.len && status != OK; i++) {
        const BlockHead *head = &r->scan->found.at[i].head;
        CipherHead cipher_head;
        status = block_find_cipher(head, r->scan->bytes + head->offset, &cipher_head);
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

/* The block's records, decrypted where they were read: nothing of it may be written to disk any
 * more. False: it is not known how. */
static bool open_records(Recovery *r, const BlockHead *head, Slice *out_records, Place *out_start) {
    uint64_t at = head->offset + block_records_at(head);
    char *records = r->scan->bytes + at;
    *out_records = slice_from(records, block_records_len(head));
    *out_start = place_of(head->segment, at);
    if (head->version != BLOCK_VERSION_ENCRYPTED)
        return true;
    if (r->stream == NULL || out_records->len == 0)
        return false;
    cipher_stream_apply(r->stream, at, records, records, out_records->len);
    return true;
}

static Status find_tail(Recovery *r) {
    Log *log = r->log;
    r->tail = log->segments.len;
    for (size_t i = log->segments.len; i-- > 0 && r->tail == log->segments.len;) {
        Status status = log_scan_read(r->scan, i);
        buf_append(&r->report->text, buf_slice(&r->scan->text));
        if (status == OK && log_scan_holds_newer(r->scan))
            status = ERR_VERSION;
        if (status == OK)
            status = open_cipher(r);
        if (status != OK)
            return status;
        for (size_t k = 0; k < r->scan->found.len; k++)
            if (r->scan->found.at[k].is_body_good) {
                r->tail = i;
                if (r->scan->found.at[k].head.durable > r->durable)
                    r->durable = r->scan->found.at[k].head.durable;
            }
    }
    return OK;
}

/* --- reporting --- */

static void keep_copy(Recovery *r, Place at, uint64_t len) {
    if (r->bad_bytes + len > LOG_BAD_BYTES_MAX || len == 0)
        return;
    r->bad_bytes += len;
    bad_keep_block(r->log->bad_dir, at, r->scan->bytes + place_offset(at), len);
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

/* Brings what stands in memory to disk. */
static void rewrite(Recovery *r, uint64_t segment, uint64_t offset, uint64_t len) {
    CLEANUP(path_free) char *path = path_numbered(r->log->log_dir, "", segment, ".log");
    DiskFile *file;
    Status status = disk_open(path, DISK_READ | DISK_WRITE, &file);
    if (status == OK) {
        struct iovec part = {r->scan->bytes + offset, len};
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
    char *start = r->scan->bytes + head->offset;
    uint64_t len = block_bytes(head->body_len);
    memset(start, 0, BLOCK_HEAD_BYTES);
    memset(start + len - BLOCK_HEAD_BYTES, 0, BLOCK_HEAD_BYTES);
    rewrite(r, head->segment, head->offset, len);
}

/* One of the two heads is damaged, or the write was cut short after all that matters: without both,
 * the next flipped bit could cost the whole block. */
static void repair_heads(Recovery *r, const FoundBlock *block) {
    const BlockHead *head = &block->head;
    char *start = r->scan->bytes + head->offset;
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

/* Records of a block, the next few of which are told in advance. */
typedef struct Coming {
    Slice body;
    Record records[SOON_MAX];
    size_t at[SOON_MAX];
    size_t parsed, told; /* records */
    size_t end;          /* of what was parsed */
    bool is_bad;         /* what lies there is no record */
} Coming;

/* False: all were told. */
static bool coming_next(Recovery *r, Coming *coming) {
    while (!coming->is_bad && coming->end < coming->body.len &&
           coming->parsed - coming->told < SOON_MAX) {
        Record *record = &coming->records[coming->parsed % SOON_MAX];
        size_t used;
        coming->is_bad =
            record_parse_trusted(slice_from_at(coming->body, coming->end), record, &used) != OK;
        if (coming->is_bad)
            break;
        coming->at[coming->parsed++ % SOON_MAX] = coming->end;
        coming->end += used;
        if (r->soon)
            r->soon(r->cookie, record, 0);
    }
    size_t near = coming->told + SOON_NEAR;
    if (r->soon && near < coming->parsed)
        r->soon(r->cookie, &coming->records[near % SOON_MAX], 1);
    return coming->told < coming->parsed;
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
    Coming coming = {.body = body};
    while (coming_next(r, &coming)) {
        const Record *record = &coming.records[coming.told % SOON_MAX];
        deliver(r, record, start + coming.at[coming.told++ % SOON_MAX]);
    }
    if (coming.is_bad) {
        r->report->damaged_records++;
        report_damage(r, NULL, start + coming.end, body.len - coming.end);
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
    for (size_t i = 0; i < r->scan->found.len; i++)
        if (r->scan->found.at[i].is_body_good)
            last_good = i;
    bool is_before_tail = r->tail < r->log->segments.len && index < r->tail;
    explain_hole(r, segment);

    uint64_t at = 0;
    for (size_t i = 0; i < r->scan->found.len; i++) {
        const FoundBlock *block = &r->scan->found.at[i];
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
    if (is_before_tail && r->scan->found.len == 0 && !is_sealed_empty(r, segment)) {
        keep_copy(r, place_of(segment->number, 0), r->scan->len);
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
