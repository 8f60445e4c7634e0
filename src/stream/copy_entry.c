#include "stream/copy_entry.h"

#include <assert.h>
#include <string.h>

static_assert(COPY_PREFIX_BYTES == 4 * sizeof(uint64_t) + COPY_IDENTITY_LEN, "nothing between");

static char *put_u64(char *to, uint64_t value) {
    for (unsigned i = 0; i < sizeof value; i++)
        to[i] = (char)(value >> (8 * i));
    return to + sizeof value;
}

static uint64_t get_u64(const char **from) {
    uint64_t value = 0;
    for (unsigned i = 0; i < sizeof value; i++)
        value |= (uint64_t)(uint8_t)(*from)[i] << (8 * i);
    *from += sizeof value;
    return value;
}

void copy_entry_write(Buf *out, const CopyEntry *entry) {
    char *to = buf_reserve(out, COPY_PREFIX_BYTES);
    to = put_u64(to, entry->seq);
    to = put_u64(to, (uint64_t)entry->time_ns);
    to = put_u64(to, entry->before);
    to = put_u64(to, entry->key);
    memcpy(to, entry->identity, COPY_IDENTITY_LEN);
    out->len += COPY_PREFIX_BYTES;
}

Status copy_entry_read(const Record *record, CopyEntry *out_entry) {
    if (record->payload.len < COPY_PREFIX_BYTES)
        return ERR_CORRUPT;
    const char *at = record->payload.ptr;
    out_entry->seq = get_u64(&at);
    out_entry->time_ns = (int64_t)get_u64(&at);
    out_entry->before = get_u64(&at);
    out_entry->key = get_u64(&at);
    memcpy(out_entry->identity, at, COPY_IDENTITY_LEN);
    out_entry->is_mirror = record->flags & COPY_OF_MIRROR;
    return OK;
}
