/* Reading any bytes is harmless; what header_get finds, header_next finds too; a copy keeps every
 * header. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "proto/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t count(Slice block, Slice wanted, bool *out_found) {
    size_t n = 0;
    Slice name, value;
    for (size_t at = 0; header_next(block, &at, &name, &value); n++) {
        if (slice_equal(name, wanted))
            *out_found = true;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    char *copy = mem_copy(bytes, len);
    Slice block = slice_from(copy, len), value;
    bool found = false;
    Buf out = {0};

    size_t n = count(block, LIT("A"), &found);
    if (header_get(block, LIT("A"), &value))
        ASSERT(found && value.len > 0);
    header_copy_open(&out, block, NULL, NULL);
    header_end(&out);
    ASSERT(count(buf_slice(&out), LIT("A"), &found) == n);
    buf_done(&out);
    mem_free(copy);
    return 0;
}
