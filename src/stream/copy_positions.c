#include "stream/copy_positions.h"

#include <string.h>

#include "base/mem.h"
#include "stream/packed.h"

void copy_positions_done(CopyPositions *positions) {
    mem_free(positions->at);
    *positions = (CopyPositions){0};
}

static CopyPosition *find(const CopyPositions *positions, uint64_t key) {
    for (size_t i = 0; i < positions->len; i++)
        if (positions->at[i].key == key)
            return &positions->at[i];
    return NULL;
}

const CopyPosition *copy_positions_find(const CopyPositions *positions, uint64_t key) {
    return find(positions, key);
}

static CopyPosition *add(CopyPositions *positions, uint64_t key) {
    if (positions->len == COPY_POSITIONS_MAX) {
        memmove(positions->at, positions->at + 1, (positions->len - 1) * sizeof *positions->at);
        positions->len--;
    }
    if (positions->len == positions->cap) {
        positions->cap = positions->cap ? positions->cap * 2 : 4;
        positions->at = mem_realloc(positions->at, positions->cap * sizeof *positions->at);
    }
    positions->at[positions->len] = (CopyPosition){.key = key};
    return &positions->at[positions->len++];
}

void copy_positions_set(CopyPositions *positions, const CopyEntry *entry) {
    CopyPosition *position = find(positions, entry->key);
    if (!position)
        position = add(positions, entry->key);
    position->seq = entry->seq;
    memcpy(position->identity, entry->identity, COPY_IDENTITY_LEN);
}

void copy_positions_save(const CopyPositions *positions, Buf *out) {
    if (!positions->len)
        return;
    packed_write_u64(out, positions->len);
    for (size_t i = 0; i < positions->len; i++) {
        const CopyPosition *position = &positions->at[i];
        for (int k = 0; k < 8; k++)
            buf_append_char(out, (char)(position->key >> (8 * k)));
        packed_write_u64(out, position->seq);
        buf_append_bytes(out, position->identity, COPY_IDENTITY_LEN);
    }
}

Status copy_positions_load(CopyPositions *positions, Slice bytes) {
    uint64_t count, seq;
    copy_positions_done(positions);
    if (!packed_read_u64(&bytes, &count) || count > COPY_POSITIONS_MAX)
        return ERR_CORRUPT;
    for (; count; count--) {
        uint64_t key = 0;
        if (bytes.len < sizeof key)
            return ERR_CORRUPT;
        for (unsigned k = 0; k < 8; k++)
            key |= (uint64_t)(uint8_t)bytes.ptr[k] << (8 * k);
        bytes = slice_from_at(bytes, sizeof key);
        if (!packed_read_u64(&bytes, &seq) || bytes.len < COPY_IDENTITY_LEN || find(positions, key))
            return ERR_CORRUPT;
        CopyPosition *position = add(positions, key);
        position->seq = seq;
        memcpy(position->identity, bytes.ptr, COPY_IDENTITY_LEN);
        bytes = slice_from_at(bytes, COPY_IDENTITY_LEN);
    }
    return bytes.len ? ERR_CORRUPT : OK;
}
