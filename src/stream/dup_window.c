#include "stream/dup_window.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "stream/packed.h"

enum { UNIT = 8, CHUNK_BYTES = 128 * 1024, SLOTS_MIN = 16 };

/* A chunk's tail that is too short for the next id is marked by len END. */
typedef struct DupId {
    uint64_t seq;
    int64_t time_ns;
    uint32_t hash;
    uint32_t len;
    char text[];
} DupId;
enum { END = UINT32_MAX };

static size_t id_bytes(size_t len) {
    return (sizeof(DupId) + len + UNIT - 1) / UNIT * UNIT;
}

static DupId *id_at(const DupWindow *window, uint64_t position) {
    uint64_t chunk = position / CHUNK_BYTES - window->first_chunk;
    return (void *)(window->chunks[window->chunk_head + chunk] + position % CHUNK_BYTES);
}

/* Never 0, as a slot of 0 is free. */
static uint32_t hash_of(Slice id) {
    uint32_t hash = (uint32_t)hash_slice(id);
    return hash ? hash : 1;
}

static uint64_t slot_of(uint32_t hash, uint64_t position) {
    return (uint64_t)hash << 32 | (uint32_t)(position / UNIT);
}

/* The table holds the low bits; the window is never as long as they go. */
static uint64_t position_of(const DupWindow *window, uint64_t slot) {
    uint32_t begin = (uint32_t)(window->begin / UNIT);
    uint32_t distance = (uint32_t)slot - begin;
    return (window->begin / UNIT + distance) * UNIT;
}

static void slots_put(DupWindow *window, uint64_t slot) {
    size_t mask = window->slot_cap - 1, i = (slot >> 32) & mask;
    while (window->slots[i])
        i = (i + 1) & mask;
    window->slots[i] = slot;
}

static void slots_grow(DupWindow *window) {
    uint64_t *old = window->slots;
    size_t cap = window->slot_cap;
    window->slot_cap = cap ? cap * 2 : SLOTS_MIN;
    window->slots = mem_zalloc(window->slot_cap * sizeof *window->slots);
    for (size_t i = 0; i < cap; i++)
        if (old[i])
            slots_put(window, old[i]);
    mem_free(old);
}

/* Closes the gap by moving back what had been pushed on by it. */
static void slots_remove(DupWindow *window, uint64_t slot) {
    size_t mask = window->slot_cap - 1, i = (slot >> 32) & mask;
    while (window->slots[i] != slot) {
        ASSERT(window->slots[i]);
        i = (i + 1) & mask;
    }
    for (size_t next = (i + 1) & mask; window->slots[next]; next = (next + 1) & mask) {
        size_t home = (window->slots[next] >> 32) & mask;
        if (((next - home) & mask) >= ((next - i) & mask)) {
            window->slots[i] = window->slots[next];
            i = next;
        }
    }
    window->slots[i] = 0;
}

void dup_window_done(DupWindow *window) {
    for (size_t i = window->chunk_head; i < window->chunk_len; i++)
        mem_free(window->chunks[i]);
    mem_free(window->chunks);
    mem_free(window->slots);
    *window = (DupWindow){0};
}

static void drop_front_chunk(DupWindow *window) {
    mem_free(window->chunks[window->chunk_head++]);
    window->first_chunk++;
    if (window->chunk_head > 16 && window->chunk_head > window->chunk_len / 2) {
        memmove(window->chunks, window->chunks + window->chunk_head,
                (window->chunk_len - window->chunk_head) * sizeof *window->chunks);
        window->chunk_len -= window->chunk_head;
        window->chunk_head = 0;
    }
}

/* Moves begin over what a chunk's end left unused, and frees chunks it has left. */
static void settle_begin(DupWindow *window) {
    size_t left = CHUNK_BYTES - window->begin % CHUNK_BYTES;
    if (left < CHUNK_BYTES && window->begin < window->end &&
        (left < sizeof(DupId) || id_at(window, window->begin)->len == END))
        window->begin += left;
    while (window->first_chunk < window->begin / CHUNK_BYTES &&
           window->chunk_head < window->chunk_len)
        drop_front_chunk(window);
}

void dup_window_expire(DupWindow *window, int64_t oldest_ns) {
    while (window->len) {
        DupId *id = id_at(window, window->begin);
        if (id->time_ns >= oldest_ns)
            return;
        slots_remove(window, slot_of(id->hash, window->begin));
        window->begin += id_bytes(id->len);
        window->len--;
        settle_begin(window);
    }
    if (window->end)
        dup_window_done(window);
}

bool dup_window_find(const DupWindow *window, Slice id, int64_t oldest_ns, uint64_t *out_seq) {
    if (!window->len)
        return false;
    uint32_t hash = hash_of(id);
    size_t mask = window->slot_cap - 1;
    const DupId *found = NULL;

    for (size_t i = hash & mask; window->slots[i]; i = (i + 1) & mask) {
        if (window->slots[i] >> 32 != hash)
            continue;
        const DupId *known = id_at(window, position_of(window, window->slots[i]));
        if (known->time_ns >= oldest_ns && slice_equal(slice_from(known->text, known->len), id) &&
            (!found || known->seq > found->seq))
            found = known;
    }
    if (found)
        *out_seq = found->seq;
    return found != NULL;
}

void dup_window_add(DupWindow *window, Slice id, uint64_t seq, int64_t time_ns) {
    size_t need = id_bytes(id.len), left = CHUNK_BYTES - window->end % CHUNK_BYTES;
    ASSERT(need <= CHUNK_BYTES);

    bool is_fresh = window->end % CHUNK_BYTES == 0;
    if (!is_fresh && left < need) {
        if (left >= sizeof(DupId))
            id_at(window, window->end)->len = END;
        window->end += left;
        is_fresh = true;
    }
    if (is_fresh) {
        if (window->chunk_len == window->chunk_cap) {
            window->chunk_cap = window->chunk_cap ? window->chunk_cap * 2 : 4;
            window->chunks =
                mem_realloc(window->chunks, window->chunk_cap * sizeof *window->chunks);
        }
        window->chunks[window->chunk_len++] = mem_alloc(CHUNK_BYTES);
    }
    DupId *entry = id_at(window, window->end);
    *entry = (DupId){.seq = seq, .time_ns = time_ns, .hash = hash_of(id), .len = (uint32_t)id.len};
    memcpy(entry->text, id.ptr, id.len);
    if ((window->len + 1) * 4 > window->slot_cap * 3)
        slots_grow(window);
    slots_put(window, slot_of(entry->hash, window->end));
    window->end += need;
    window->len++;
}

void dup_window_save(const DupWindow *window, Buf *out) {
    uint64_t at = window->begin;
    packed_write_u64(out, window->len);
    for (size_t i = 0; i < window->len;) {
        const DupId *id = NULL;
        if (CHUNK_BYTES - at % CHUNK_BYTES >= sizeof(DupId))
            id = id_at(window, at);
        if (!id || id->len == END) {
            at = (at / CHUNK_BYTES + 1) * CHUNK_BYTES;
            continue;
        }
        packed_write_u64(out, id->seq);
        packed_write_i64(out, id->time_ns);
        packed_write_slice(out, slice_from(id->text, id->len));
        at += id_bytes(id->len);
        i++;
    }
}

Status dup_window_load(DupWindow *window, Slice *saved) {
    uint64_t count, seq;
    int64_t time_ns, last_ns = INT64_MIN;
    Slice id;

    if (!packed_read_u64(saved, &count))
        return ERR_CORRUPT;
    for (; count; count--) {
        if (!packed_read_u64(saved, &seq) || !packed_read_i64(saved, &time_ns) ||
            !packed_read_slice(saved, &id) || id.len > UINT16_MAX || time_ns < last_ns)
            return ERR_CORRUPT;
        dup_window_add(window, id, seq, time_ns);
        last_ns = time_ns;
    }
    return OK;
}
