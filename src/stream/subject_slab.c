/* The memory of a subject index: pieces of a few sizes in chunks; a piece's number says where it
 * is, so that there is no table of pointers. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "stream/subject_index_private.h"

enum {
    FIRST_CHUNK_UNITS = 64,
    CHUNKS_MAX = 1 << (31 - SLAB_CHUNK_BITS), /* in use at a time */
    EXACT_UNITS =
        64, /* sizes with a free list of their own; larger ones are rounded to powers of two */
};

static uint32_t slab_units(size_t bytes, unsigned *out_list) {
    uint32_t units = (uint32_t)((bytes + SLAB_UNIT - 1) / SLAB_UNIT);
    if (units <= EXACT_UNITS) {
        *out_list = units - 1;
        return units;
    }
    uint32_t rounded = 2 * EXACT_UNITS;
    unsigned list = EXACT_UNITS;
    while (rounded < units) {
        rounded *= 2;
        list++;
    }
    *out_list = list;
    return rounded;
}

bool slab_is_below(const SubjectIndex *index, uint32_t chunk) {
    const SubjectIndex *below = index->below;
    return below && chunk < below->chunk_count && below->chunks[chunk];
}

/* A number for a new chunk; those of what was set aside are taken too, as ids must differ. */
static uint32_t free_chunk(SubjectIndex *index) {
    uint32_t chunk = 0;
    while ((chunk < index->chunk_count && index->chunks[chunk]) || slab_is_below(index, chunk))
        chunk++;
    ASSERT(chunk < CHUNKS_MAX); /* 16 GiB of subjects */
    if (chunk >= index->chunk_cap) {
        index->chunk_cap = chunk + chunk / 2 + 1;
        index->chunks = mem_realloc(index->chunks, index->chunk_cap * sizeof *index->chunks);
    }
    for (; index->chunk_count <= chunk; index->chunk_count++)
        index->chunks[index->chunk_count] = NULL;
    return chunk;
}

/* Room for `units` at the end of the last chunk, or a new chunk. The first one begins small and may
 * move. */
static void slab_grow(SubjectIndex *index, uint32_t units) {
    bool is_first = index->chunk_count <= 1 && !index->below;
    uint32_t want = index->units_cap ? index->units_cap : FIRST_CHUNK_UNITS;

    if (is_first && index->units_used + units <= SLAB_CHUNK_UNITS) {
        if (!index->chunks) {
            index->chunks = mem_alloc(sizeof *index->chunks);
            index->chunks[0] = NULL;
            index->chunk_cap = index->chunk_count = 1;
            index->units_used = 1; /* id 0 is none */
        }
        while (want < index->units_used + units)
            want *= 2;
        index->chunks[0] = mem_realloc(index->chunks[0], (size_t)want * SLAB_UNIT);
        index->units_cap = want;
        return;
    }
    index->chunk_at = free_chunk(index);
    index->chunks[index->chunk_at] = mem_alloc((size_t)SLAB_CHUNK_UNITS * SLAB_UNIT);
    index->units_used = index->chunk_at == 0; /* id 0 is none */
    index->units_cap = SLAB_CHUNK_UNITS;
}

uint32_t slab_alloc(SubjectIndex *index, size_t bytes) {
    unsigned list;
    uint32_t units = slab_units(bytes, &list);
    uint32_t id = index->free_lists[list];
    if (id) {
        memcpy(&index->free_lists[list], slab_at(index, id), sizeof id);
        return id;
    }
    if (index->chunk_count == 0 || index->units_used + units > index->units_cap)
        slab_grow(index, units);
    id = index->chunk_at << SLAB_CHUNK_BITS | index->units_used;
    index->units_used += units;
    return id;
}

void slab_free(SubjectIndex *index, uint32_t id, size_t bytes) {
    unsigned list;
    slab_units(bytes, &list);
    memcpy(slab_at(index, id), &index->free_lists[list], sizeof id);
    index->free_lists[list] = id;
}

size_t slab_units_held(const SubjectIndex *index) {
    size_t units = index->units_cap;
    for (size_t i = 0; i < index->chunk_count; i++)
        units += index->chunks[i] && i != index->chunk_at ? SLAB_CHUNK_UNITS : 0;
    return units;
}
