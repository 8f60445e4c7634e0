/* Any bytes are read without harm, whatever length is said; what is written is read back. */
#include "base/assert.h"
#include "base/mem.h"
#include "proto/lz4_block.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    Slice all = slice_from(bytes, len);
    size_t told = len ? bytes[0] * 17u : 0, room = len + len / 128 + 64;
    char *to = mem_alloc(room > told ? room : told + 1);
    (void)lz4_block_read(all, to, told);
    size_t packed = lz4_block_write(all, to, room);
    ASSERT(packed > 0);
    char *back = mem_alloc(len + 1);
    ASSERT(lz4_block_read(slice_from(to, packed), back, len));
    ASSERT(len == 0 || memcmp(bytes, back, len) == 0);
    if (packed > 1)
        ASSERT(lz4_block_write(all, to, packed - 1) == 0);
    mem_free(back);
    mem_free(to);
    return 0;
}
