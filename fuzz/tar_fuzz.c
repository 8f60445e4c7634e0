/* Heads and PAX bodies of any bytes. */
#include "base/assert.h"
#include "base/mem.h"
#include "proto/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    char *copy = mem_copy(bytes, len);
    Slice rest = slice_from(copy, len), key, value;
    TarHead head;
    if (tar_parse_head(slice_first(rest, TAR_BLOCK_BYTES), &head) == OK)
        ASSERT(head.name_len < sizeof head.name);
    while (tar_pax_next(&rest, &key, &value) == OK)
        ASSERT(value.ptr + value.len < rest.ptr || rest.len == 0);
    mem_free(copy);
    return 0;
}
