/* Any file: offsets are those of a zone, and every local time has a moment. */
#include <assert.h>
#include <stddef.h>

#include "proto/time_zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    TimeZone *zone;

    if (time_zone_parse(slice_from(data, size), &zone))
        return 0;
    for (int64_t at = -3000000000; at < 8000000000; at += 400000001) {
        int64_t offset = time_zone_offset(zone, at);
        assert(offset > -200 * 3600 && offset < 200 * 3600);
        (void)time_zone_to_unix(zone, at + offset);
    }
    time_zone_free(zone);
    return 0;
}
