/* Any bytes inside an S2 stream, and any bytes at all, are read without harm; version 1 and 2. */
#include "base/assert.h"
#include "base/mem.h"
#include "proto/archive.h"
#include "proto/s2.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t sum_of(Slice slice) {
    size_t sum = 0;
    for (size_t i = 0; i < slice.len; i++)
        sum += (uint8_t)slice.ptr[i];
    return sum;
}

static void read_all(Slice bytes, size_t step) {
    ArchiveReader *reader = archive_reader_new(LIT("S"));
    ArchiveItem item;
    Status status = ERR_AGAIN;
    size_t sum = 0, items = 0;
    for (size_t at = 0; at < bytes.len && status == ERR_AGAIN; at += step) {
        archive_reader_feed(reader, slice_first(slice_from_at(bytes, at), step));
        while ((status = archive_reader_next(reader, &item)) == OK && item.kind != ARCHIVE_END &&
               items++ < 10000) {
            sum += sum_of(item.name) + sum_of(item.json) + sum_of(item.subject) +
                   sum_of(item.headers) + sum_of(item.payload);
            for (size_t i = 0; i < item.consumer.pending_count; i++)
                ASSERT(i == 0 || item.consumer.pending[i].sseq > item.consumer.pending[i - 1].sseq);
        }
    }
    ASSERT(archive_reader_why(reader).len > 0 && sum + 1 > 0);
    archive_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    Buf packed = {0};
    if (len == 0)
        return 0;
    read_all(slice_from(bytes, len), 100);
    s2_write_magic(&packed);
    for (size_t at = 0; at < len; at += S2_WRITE_BYTES_MAX)
        s2_write_chunk(&packed, slice_first(slice_from(bytes + at, len - at), S2_WRITE_BYTES_MAX));
    read_all(buf_slice(&packed), packed.len);
    read_all(buf_slice(&packed), 11);
    buf_done(&packed);
    return 0;
}
