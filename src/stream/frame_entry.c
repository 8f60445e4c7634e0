#include "stream/frame_entry.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "proto/lz4_block.h"
#include "stream/packed.h"

/* In 64ths of a record's bytes; one of the least bytes counts for something still, so that what is
 * needed is never taken for nothing. */
static const uint8_t FRAME_SHARES[PLACE_SHARE_MASK + 1] = {2, 6, 12, 20, 28, 38, 48, 58};
enum { SHARE_WHOLE = 64 };
_Static_assert(RECORD_HEADER_BYTES * 2 / SHARE_WHOLE >= 1, "a record in a frame counts");

typedef struct FrameHead {
    uint32_t raw_len, count;
    uint64_t checksum;
} FrameHead;
_Static_assert(sizeof(FrameHead) == FRAME_HEAD_BYTES, "as drawn");

size_t frame_share_bytes(size_t record_bytes, Place place) {
    return record_bytes * FRAME_SHARES[place & PLACE_SHARE_MASK] / SHARE_WHOLE;
}

/* ---- writing ---- */

void frame_writer_add(FrameWriter *writer, uint64_t seq, Place from, Slice raw) {
    vec_push(&writer->members, ((FrameMember){.seq = seq, .from = from, .bytes = raw.len}));
    buf_append(&writer->records, raw);
}

void frame_writer_clear(FrameWriter *writer) {
    vec_clear(&writer->members);
    buf_clear(&writer->records);
}

void frame_writer_done(FrameWriter *writer) {
    vec_done(&writer->members);
    buf_done(&writer->records);
    buf_done(&writer->heads);
    buf_done(&writer->block);
}

/* Their length is the same whatever the shares: these are the low bits of a multiple of 8. */
static void write_heads(FrameWriter *writer, uint64_t checksum) {
    FrameHead head = {.raw_len = (uint32_t)writer->records.len,
                      .count = (uint32_t)writer->members.len,
                      .checksum = checksum};
    uint64_t seq = 0;
    Place from = 0;
    buf_clear(&writer->heads);
    buf_append(&writer->heads, slice_from(&head, sizeof head));
    for (size_t i = 0; i < writer->members.len; i++) {
        const FrameMember *member = &writer->members.at[i];
        packed_write_i64(&writer->heads, (int64_t)(member->seq - seq));
        packed_write_i64(&writer->heads, (int64_t)(member->from - from));
        packed_write_u64(&writer->heads, member->bytes | (member->place & PLACE_SHARE_MASK));
        seq = member->seq;
        from = member->from;
    }
}

/* The one that brings the sum nearest to its due. */
static unsigned nearest_share(size_t bytes, size_t counted, size_t due) {
    unsigned best = 0;
    size_t best_off = SIZE_MAX;
    for (unsigned share = 0; share <= PLACE_SHARE_MASK; share++) {
        size_t sum = counted + frame_share_bytes(bytes, share);
        size_t off = sum > due ? sum - due : due - sum;
        if (off < best_off) {
            best_off = off;
            best = share;
        }
    }
    return best;
}

static void share_out(FrameWriter *writer, size_t entry_bytes) {
    size_t counted = 0, seen = 0;
    for (size_t i = 0; i < writer->members.len; i++) {
        FrameMember *member = &writer->members.at[i];
        seen += member->bytes;
        member->place =
            nearest_share(member->bytes, counted, entry_bytes * seen / writer->records.len);
        counted += frame_share_bytes(member->bytes, member->place);
    }
}

bool frame_writer_make(FrameWriter *writer, Record *out_draft) {
    Slice raw = buf_slice(&writer->records);
    if (!raw.len)
        return false;
    size_t entry_max = raw.len / 8 * (8 - FRAME_SAVED_EIGHTHS);
    uint64_t checksum = hash_checksum(raw.ptr, raw.len);
    write_heads(writer, checksum);
    size_t around = RECORD_HEADER_BYTES + writer->heads.len;
    if (around >= entry_max)
        return false;
    buf_clear(&writer->block);
    char *to = buf_reserve(&writer->block, entry_max - around);
    writer->block.len = lz4_block_write(raw, to, entry_max - around);
    if (!writer->block.len)
        return false;
    share_out(writer, (around + writer->block.len + 7) & ~(size_t)7);
    write_heads(writer, checksum);
    *out_draft = (Record){.type = RECORD_FRAME,
                          .headers = buf_slice(&writer->heads),
                          .payload = buf_slice(&writer->block)};
    return true;
}

/* ---- reading ---- */

bool frame_scan(FrameScan *scan, const Record *entry, Place place) {
    FrameHead head;
    if (entry->subject.len || entry->headers.len < sizeof head || place & PLACE_SHARE_MASK)
        return false;
    memcpy(&head, entry->headers.ptr, sizeof head);
    if (head.raw_len > FRAME_RAW_MAX || !head.count || head.count > FRAME_RECORDS_MAX)
        return false;
    *scan = (FrameScan){.heads = slice_from_at(entry->headers, sizeof head),
                        .place = place | PLACE_FRAME,
                        .raw_len = head.raw_len,
                        .count = head.count,
                        .checksum = head.checksum};
    return true;
}

bool frame_next(FrameScan *scan, FrameMember *out_member) {
    int64_t seq, from;
    uint64_t bytes;
    Slice heads = scan->heads;
    if (scan->done == scan->count || !packed_read_i64(&heads, &seq) || seq <= 0 ||
        !packed_read_i64(&heads, &from) || !packed_read_u64(&heads, &bytes))
        return false;
    unsigned share = bytes & PLACE_SHARE_MASK;
    bytes -= share;
    if (bytes < RECORD_HEADER_BYTES || bytes > scan->raw_len - scan->at)
        return false;
    scan->heads = heads;
    scan->seq += (uint64_t)seq;
    scan->from += (uint64_t)from;
    scan->at += bytes;
    scan->done++;
    *out_member = (FrameMember){
        .seq = scan->seq, .from = scan->from, .place = scan->place | share, .bytes = bytes};
    return true;
}

static bool open_heads(FrameScan *scan, Frame *frame) {
    FrameMember member;
    for (uint32_t i = 0; i < scan->count; i++) {
        size_t at = scan->at;
        if (!frame_next(scan, &member))
            return false;
        frame->records[i] = (FrameRecord){member.seq, (uint32_t)at, (uint32_t)member.bytes};
    }
    return scan->at == scan->raw_len && !scan->heads.len;
}

Status frame_open(const Record *entry, Frame *out_frame) {
    FrameScan scan;
    if (entry->type != RECORD_FRAME || !frame_scan(&scan, entry, 0))
        return ERR_CORRUPT;
    Frame frame = {.raw = shared_new(scan.raw_len),
                   .records = mem_alloc(scan.count * sizeof *frame.records),
                   .count = scan.count};
    char *raw = shared_bytes(frame.raw);
    if (!lz4_block_read(entry->payload, raw, scan.raw_len) ||
        hash_checksum(raw, scan.raw_len) != scan.checksum || !open_heads(&scan, &frame)) {
        frame_done(&frame);
        return ERR_CORRUPT;
    }
    *out_frame = frame;
    return OK;
}

void frame_done(Frame *frame) {
    shared_unref(frame->raw);
    mem_free(frame->records);
    *frame = (Frame){0};
}

const FrameRecord *frame_find(const Frame *frame, uint64_t seq) {
    uint32_t low = 0, high = frame->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (frame->records[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < frame->count && frame->records[low].seq == seq ? &frame->records[low] : NULL;
}

bool frame_record(const Frame *frame, const FrameRecord *at, Record *out_record) {
    size_t used;
    Slice raw = slice_from(shared_bytes(frame->raw) + at->at, at->bytes);
    return record_parse_trusted(raw, out_record, &used) == OK && used == at->bytes;
}
