/* In pieces or at once: the same sum. */
#include "base/assert.h"
#include "proto/highway.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    Highway once, pieces;
    if (len < 33)
        return 0;
    highway_init(&once, bytes);
    highway_init(&pieces, bytes);
    Slice rest = slice_from(bytes + 33, len - 33);
    highway_add(&once, rest);
    size_t step = (size_t)bytes[32] % 70 + 1;
    for (size_t at = 0; at < rest.len; at += step)
        highway_add(&pieces, slice_first(slice_from_at(rest, at), step));
    ASSERT(highway_finish(&once) == highway_finish(&pieces));
    return 0;
}
