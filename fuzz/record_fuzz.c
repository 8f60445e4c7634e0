/* Parsing any bytes is harmless; what parses stays inside them, and is written back the same. */
#include "base/assert.h"
#include "base/mem.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool is_inside(Slice part, const char *start, size_t len) {
    return part.ptr >= start && part.ptr + part.len <= start + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    char *copy = mem_copy(bytes, len);
    for (size_t at = 0; at < len;) {
        Record record;
        size_t used;
        Slice rest = slice_from(copy + at, len - at);
        if (record_parse_trusted(rest, &record, &used) != OK)
            break;
        ASSERT(used <= rest.len && used >= RECORD_HEADER_BYTES && used % 8 == 0);
        ASSERT(used == record_bytes(&record));
        ASSERT(is_inside(record.subject, rest.ptr, used));
        ASSERT(is_inside(record.headers, rest.ptr, used));
        ASSERT(is_inside(record.payload, rest.ptr, used));
        char *again = mem_alloc(used);
        record_write(&record, again);
        Record checked;
        Status status = record_parse(slice_from(again, used), &checked, &used);
        ASSERT(status == OK);
        ASSERT(slice_equal(checked.payload, record.payload));
        mem_free(again);
        at += used;
    }
    mem_free(copy);
    return 0;
}
