#include "stream/copy_entry.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

static_assert(COPY_PREFIX_BYTES == 4 * sizeof(uint64_t) + COPY_IDENTITY_LEN, "nothing between");

void copy_entry_write(Buf *out, const CopyEntry *entry) {
    char *to = buf_reserve(out, COPY_PREFIX_BYTES);
    const uint64_t numbers[] = {entry->seq, (uint64_t)entry->time_ns, entry->before, entry->key};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++, to += sizeof numbers[0])
        bytes_put_u64(to, numbers[i]);
    memcpy(to, entry->identity, COPY_IDENTITY_LEN);
    out->len += COPY_PREFIX_BYTES;
}

Status copy_entry_read(const Record *record, CopyEntry *out_entry) {
    if (record->payload.len < COPY_PREFIX_BYTES)
        return ERR_CORRUPT;
    const char *at = record->payload.ptr;
    out_entry->seq = bytes_get_u64(at);
    out_entry->time_ns = (int64_t)bytes_get_u64(at + 8);
    out_entry->before = bytes_get_u64(at + 16);
    out_entry->key = bytes_get_u64(at + 24);
    memcpy(out_entry->identity, at + 32, COPY_IDENTITY_LEN);
    out_entry->is_mirror = record->flags & COPY_OF_MIRROR;
    return OK;
}
