/* Record: one entry of the log: the stored message, or a change of a stream's, consumer's or the
 * catalogue's state.
 *
 * On disk, little endian, padded to 8 bytes:
 *   u32 len (header, subject, headers and payload; without padding)
 *   u32 crc32c (of everything else in the record, the length included)
 *   u32 group | u8 type | u8 flags | u16 subject_len | u64 index | u32 term | u32 headers_len | i64
 * time_ns subject | headers | payload */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

enum { RECORD_HEADER_BYTES = 40, RECORD_BYTES_MAX = 48 * 1024 * 1024 };

typedef enum RecordType {
    RECORD_PUBLISH = 1, /* group: stream. subject, headers, payload as published */
    RECORD_EXPIRE = 2,  /* group: stream. time_ns: everything due by then goes, markers are made */
    RECORD_DELETE = 3,  /* payload: u64 seq, u8 erase */
    RECORD_PURGE = 4,   /* subject: filter; payload: u64 seq, u64 keep */
    RECORD_CONSUMER_PUT = 5, /* subject: name; payload: JSON of config and creation facts */
    RECORD_CONSUMER_DELETE = 6,
    RECORD_CONSUMER_STATE = 7, /* subject: name; payload: deltas of deliveries and acks */
    RECORD_STREAM_PUT = 8,     /* group 0 (catalogue). subject: "<account> <stream>"; payload: JSON
                                  {group, created, config} */
    RECORD_STREAM_DELETE = 9,
    RECORD_STREAM_CONFIG =
        10, /* group: stream. A change of its config, in order with its messages; payload: JSON */
    RECORD_COPY = 11, /* group: stream. A message of another stream (mirror, source), or a restored
                         one: subject, headers; payload: prefix (stream/copy_entry.h), the
                         message's */
    RECORD_SKIP = 12, /* group: stream. Sequences that hold nothing; payload: u64 the last of them,
                         i64 time_ns of that one */
    RECORD_CONSUMER_RESTORE = 13, /* group: stream. One consumer with its state; payload as in a
                                     checkpoint (consumer_state.c) */
    RECORD_COUNTER_BASE =
        20, /* group: stream. subject; payload: last seq, total and sources of its counter */
    RECORD_BATCH = 30, /* group: stream. payload: RECORD_PUBLISH records with index 0, one behind
                          the other, stored all or none. Each can be read by its own place */
    RECORD_TOUCH = 21, /* group: stream. Another time to live (stream_touch.c) */
    RECORD_TRANSACTION =
        31, /* group 0. payload: parts, each u32 group, u32 0, u64 length, and so many bytes of
               RECORD_PUBLISH records as in RECORD_BATCH. Nothing of a part's group lies in flight
               around it. Not applied again where a checkpoint has it: place sees it too */
    RECORD_CHUNK = 34, /* group: the stream that brought it. headers: its id. What RECORD_PUBLISH
                          entries with RECORD_REF refer to, of any stream of the account */
    RECORD_MOVED = 32, /* group: stream. Records of its messages as they stood elsewhere in the log,
                          one behind the other; headers: which and where (stream/moved_entry.h).
                          Each can be read by its own place. Type and group of a record that nobody
                          reads (RECORD_FILLER_GROUP) too */
    RECORD_FRAME = 33, /* group: stream. As RECORD_MOVED, the records compressed
                          (stream/frame_entry.h). A place in it has PLACE_FRAME */
    RECORD_SCHEDULE_FIRE = 22, /* group: stream. payload: seq of a schedule, i64 when it is due
                                  next; the next entry is its message (RECORD_FIRED) */
} RecordType;

/* A type that this version knows. */
bool record_type_is_known(uint8_t type);

/* Record.flags of RECORD_PUBLISH. */
enum {
    RECORD_FAST = 0x01,      /* of a fast batch: Nats-Batch-* headers mean nothing */
    RECORD_COUNTED = 0x10,   /* a counter's increment; the payload is the total */
    RECORD_SCHEDULED = 0x20, /* its schedule was checked */
    RECORD_FIRED = 0x40,     /* what a schedule makes */
    RECORD_REF = 0x80,       /* the payload is a chunk; here stands which one (RecordRef). Of
                                RECORD_COPY too */
};

/* Record.flags of RECORD_CHUNK. */
enum { RECORD_CHUNK_INSTEAD = 0x01 }; /* of one that lies elsewhere: it moves */
/* No group has this id. */
#define RECORD_FILLER_GROUP UINT32_MAX

typedef struct Record {
    RecordType type;
    uint8_t flags;
    uint32_t group, term;
    uint64_t index;
    int64_t time_ns;
    Slice subject, headers, payload;
} Record;

/* Place: where a record lies: log segment number and offset, 0 = nowhere. Ordered like the log. */
typedef uint64_t Place;
enum { PLACE_OFFSET_BITS = 28 };

/* A Place in an index with this bit: the record is in the RECORD_FRAME entry that lies there, found
 * by its sequence. Entries lie at multiples of 8: the lowest bits say what it counts as
 * (stream/frame_entry.h). */
#define PLACE_FRAME (1ull << 61)
enum { PLACE_SHARE_MASK = 7 };
static inline Place place_of(uint64_t segment, uint64_t offset) {
    return segment << PLACE_OFFSET_BITS | offset;
}
static inline uint64_t place_segment(Place place) {
    return (place & (PLACE_FRAME - 1)) >> PLACE_OFFSET_BITS;
}
static inline uint64_t place_offset(Place place) {
    return place & ((1u << PLACE_OFFSET_BITS) - 1);
}

/* Where the frame lies. */
static inline Place place_of_frame(Place place) {
    return place & ~(PLACE_FRAME | PLACE_SHARE_MASK);
}

/* A Place in an index with this bit: its record has RECORD_REF. */
#define PLACE_REF (1ull << 62)

/* What a chunk is known by: u8 hash[16], which says where to look for a payload's like, and a
 * random u64, as two payloads may have the same hash. */
enum { RECORD_SIEVE_BYTES = 16, RECORD_CHUNK_ID_BYTES = RECORD_SIEVE_BYTES + 8 };

/* Payload of a record with RECORD_REF, behind a copy's prefix: u8 id[24] | u64 length | u64 place
 * of the chunk's record; 0: it is the group's entry before. */
enum { RECORD_REF_BYTES = RECORD_CHUNK_ID_BYTES + 16 };
typedef struct RecordRef {
    uint8_t id[RECORD_CHUNK_ID_BYTES];
    uint32_t len;
    Place place;
} RecordRef;
void record_ref_write(const RecordRef *ref, char *to);
static inline bool record_refers(const Record *record) {
    return (record->type == RECORD_PUBLISH || record->type == RECORD_COPY) &&
           record->flags & RECORD_REF;
}
/* False: it is not one. */
bool record_ref_read(const Record *record, RecordRef *out_ref);
/* Bytes of a chunk's record in the log. */
static inline size_t record_chunk_bytes(size_t len) {
    return (RECORD_HEADER_BYTES + RECORD_CHUNK_ID_BYTES + len + 7) & ~(size_t)7;
}

/* Bytes in the log, padding included. */
static inline size_t record_bytes(const Record *record) {
    size_t len =
        RECORD_HEADER_BYTES + record->subject.len + record->headers.len + record->payload.len;
    return (len + 7) & ~(size_t)7;
}

/* A record that was parsed, as it lies there. */
static inline Slice record_raw(const Record *parsed) {
    return (Slice){parsed->subject.ptr - RECORD_HEADER_BYTES, record_bytes(parsed)};
}

/* Writes record_bytes(record) to `to`. */
void record_write(const Record *record, char *to);

/* bytes begins with a record; *out_record borrows from it; *out_used includes padding.
 * ERR_CORRUPT when a length or the checksum does not fit, ERR_RANGE when bytes end before it does.
 */
MUST_CHECK Status record_parse(Slice bytes, Record *out_record, size_t *out_used);
/* The same without the checksum, for bytes that were written or checked by this process. */
MUST_CHECK Status record_parse_trusted(Slice bytes, Record *out_record, size_t *out_used);
