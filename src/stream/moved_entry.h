/* MovedEntry: what RECORD_MOVED says. Its payload is records of the stream's messages as they stood
 * elsewhere in the log, one behind the other; its headers say for each of them the distance of its
 * sequence and of its old place to those of the one before (signed, packed.h). */
#pragma once

#include "base/buf.h"
#include "store/record.h"

typedef struct MovedWriter {
    Buf heads, records;
    uint64_t seq;
    Place from;
    size_t count;
} MovedWriter;

/* raw: the record, padding included. */
void moved_writer_add(MovedWriter *writer, uint64_t seq, Place from, Slice raw);
/* For the next entry; keeps memory. */
void moved_writer_clear(MovedWriter *writer);
void moved_writer_done(MovedWriter *writer);

typedef struct MovedMember {
    uint64_t seq;
    Place from, place;
    size_t bytes; /* of its record */
    Record record;
} MovedMember;

typedef struct MovedScan {
    Slice heads, records;
    Place place, from;
    uint64_t seq;
} MovedScan;

void moved_scan(MovedScan *scan, const Record *entry, Place place);
/* False at the end, or where bytes are not understood. Checks each record's own checksum when
 * is_checking. */
bool moved_next(MovedScan *scan, bool is_checking, MovedMember *out_member);
