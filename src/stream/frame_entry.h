/* FrameEntry: what RECORD_FRAME says: records of the stream's messages as they stood elsewhere in
 * the log, as in a MovedEntry, but compressed: its payload is one LZ4 block of them, one behind the
 * other. Its headers:
 *   u32 length of the records | u32 count | u64 XXH3-64 of the records
 *   for each of them, ascending by sequence (packed.h): distance of its sequence and of its old
 *   place to those of the one before (signed), bytes of its record | share
 *
 * A record in a frame has no place of its own: PLACE_FRAME, place of the frame, share. What the
 * entry takes in the log is shared out among its records: one with share s counts as
 * FRAME_SHARES[s] / 64 of its bytes there, which anybody can say who knows its length and its
 * place. Who makes the entry chooses shares so that the sum is what the entry takes. */
#pragma once

#include "base/buf.h"
#include "base/shared.h"
#include "base/vec.h"
#include "store/record.h"

enum {
    FRAME_RAW_MAX = 64 * 1024, /* of the records */
    FRAME_HEAD_BYTES = 16,
    FRAME_RECORDS_MAX = FRAME_RAW_MAX / RECORD_HEADER_BYTES,
    /* It must save so many eighths. */
    FRAME_SAVED_EIGHTHS = 1,
    /* The whole entry. */
    FRAME_ENTRY_MAX = FRAME_RAW_MAX / 8 * (8 - FRAME_SAVED_EIGHTHS),
};

/* What a record of so many bytes counts as, at a place in a frame. */
size_t frame_share_bytes(size_t record_bytes, Place place);

typedef struct FrameMember {
    uint64_t seq;
    Place from, place;
    size_t bytes; /* of its record */
} FrameMember;

/* Zero-initialised is empty. */
typedef struct FrameWriter {
    VEC(FrameMember) members;
    Buf records;
    Buf heads, block; /* of the entry that was made last */
} FrameWriter;

/* Whether a record of so many bytes can be in a frame at all; whether it can be added. */
static inline bool frame_takes(size_t record_bytes) {
    return record_bytes <= FRAME_RAW_MAX;
}
static inline bool frame_writer_has_room(const FrameWriter *writer, size_t record_bytes) {
    return writer->records.len + record_bytes <= FRAME_RAW_MAX;
}
/* raw: the record, padding included. seq is above the one before. */
void frame_writer_add(FrameWriter *writer, uint64_t seq, Place from, Slice raw);
/* The entry, but for its group and time; borrowed until the next change. False: it would save too
 * little. */
bool frame_writer_make(FrameWriter *writer, Record *out_draft);
/* For the next entry; keeps memory. */
void frame_writer_clear(FrameWriter *writer);
void frame_writer_done(FrameWriter *writer);

/* Its heads alone: without the records. */
typedef struct FrameScan {
    Slice heads;
    Place place, from;
    uint64_t seq;
    size_t raw_len, at; /* of the next record */
    uint32_t count, done;
    uint64_t checksum;
} FrameScan;

/* place: of the entry. False: bytes are not understood. */
bool frame_scan(FrameScan *scan, const Record *entry, Place place);
/* False at the end, or where bytes are not understood: then done is not count. */
bool frame_next(FrameScan *scan, FrameMember *out_member);

/* A frame with its records. */
typedef struct FrameRecord {
    uint64_t seq;
    uint32_t at, bytes;
} FrameRecord;
typedef struct Frame {
    Shared *raw; /* a reference */
    FrameRecord *records;
    uint32_t count;
} Frame;

/* ERR_CORRUPT: what stands there is not what was written. */
MUST_CHECK Status frame_open(const Record *entry, Frame *out_frame);
void frame_done(Frame *frame);
/* NULL: it is not there. */
const FrameRecord *frame_find(const Frame *frame, uint64_t seq);
/* Borrows from frame->raw. False: no record stands there. */
bool frame_record(const Frame *frame, const FrameRecord *at, Record *out_record);
