/* Any pattern: what is accepted comes true in time order, or never. */
#include <assert.h>
#include <stddef.h>

#include "proto/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Cron cron;
    int64_t at = 1700000000, next;

    if (cron_parse(slice_from(data, size), &cron))
        return 0;
    for (unsigned i = 0; i < 8 && cron_next(&cron, NULL, at, &next) == OK; i++) {
        assert(next > at);
        at = next;
    }
    return 0;
}
