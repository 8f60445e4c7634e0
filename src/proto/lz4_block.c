#include "proto/lz4_block.h"

#include <limits.h>

#include <lz4.h>

#include "base/assert.h"

size_t lz4_block_write(Slice from, char *to, size_t to_max) {
    ASSERT(from.len < INT_MAX);
    if (to_max > INT_MAX)
        to_max = INT_MAX;
    int len = LZ4_compress_default(from.ptr, to, (int)from.len, (int)to_max);
    return len > 0 ? (size_t)len : 0;
}

bool lz4_block_read(Slice block, char *to, size_t to_len) {
    if (block.len > INT_MAX || to_len > INT_MAX)
        return false;
    return LZ4_decompress_safe(block.ptr, to, (int)block.len, (int)to_len) == (int)to_len;
}
