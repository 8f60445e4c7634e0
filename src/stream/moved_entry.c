#include "stream/moved_entry.h"

#include "stream/packed.h"

void moved_writer_add(MovedWriter *writer, uint64_t seq, Place from, Slice raw) {
    packed_write_i64(&writer->heads, (int64_t)(seq - writer->seq));
    packed_write_i64(&writer->heads, (int64_t)(from - writer->from));
    buf_append(&writer->records, raw);
    writer->seq = seq;
    writer->from = from;
    writer->count++;
}

void moved_writer_clear(MovedWriter *writer) {
    buf_clear(&writer->heads);
    buf_clear(&writer->records);
    writer->seq = writer->from = writer->count = 0;
}

void moved_writer_done(MovedWriter *writer) {
    buf_done(&writer->heads);
    buf_done(&writer->records);
}

void moved_scan(MovedScan *scan, const Record *entry, Place place) {
    *scan =
        (MovedScan){.heads = entry->headers,
                    .records = entry->payload,
                    .place = place + RECORD_HEADER_BYTES + entry->subject.len + entry->headers.len};
}

bool moved_next(MovedScan *scan, bool is_checking, MovedMember *out_member) {
    int64_t seq, from;
    size_t used;
    Record *record = &out_member->record;
    if (!packed_read_i64(&scan->heads, &seq) || !packed_read_i64(&scan->heads, &from))
        return false;
    Status status = is_checking ? record_parse(scan->records, record, &used)
                                : record_parse_trusted(scan->records, record, &used);
    if (status)
        return false;
    scan->seq += (uint64_t)seq;
    scan->from += (uint64_t)from;
    out_member->seq = scan->seq;
    out_member->from = scan->from;
    out_member->place = scan->place;
    out_member->bytes = used;
    scan->records = slice_from_at(scan->records, used);
    scan->place += used;
    return true;
}
