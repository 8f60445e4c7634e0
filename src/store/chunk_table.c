#include "store/chunk_table.h"

#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/lock.h"

/* What a chunk is known by; without holes. */
typedef struct ChunkKey {
    uint8_t hash[RECORD_HASH_BYTES];
    uint32_t account, len;
} ChunkKey;
_Static_assert(sizeof(ChunkKey) == RECORD_HASH_BYTES + 8, "keys are compared as bytes");

struct Chunk {
    ChunkKey key;
    uint64_t refs;
    Place place;
    bool is_damaged, is_suspect;
    bool is_forgotten; /* its live bytes were dropped too early */
};

struct ChunkTable {
    Lock lock;
    Log *log;
    Map chunks;
    bool is_forgetting;
    ChunkTotals totals; /* of those with a place */
};

static Slice key_of(const ChunkKey *key) {
    return slice_from(key, sizeof *key);
}

static ChunkKey make_key(uint32_t account, const uint8_t *hash, uint32_t len) {
    ChunkKey key = {.account = account, .len = len};
    memcpy(key.hash, hash, sizeof key.hash);
    return key;
}

ChunkTable *chunk_table_new(Log *log) {
    ChunkTable *table = mem_zalloc(sizeof *table);
    lock_init(&table->lock);
    table->log = log;
    return table;
}

void chunk_table_forget(ChunkTable *table) {
    table->is_forgetting = true;
}

void chunk_table_free(ChunkTable *table) {
    Slice key;
    void *chunk;
    if (!table)
        return;
    for (size_t at = 0; map_next(&table->chunks, &at, &key, &chunk);)
        mem_free(chunk);
    map_done(&table->chunks);
    lock_done(&table->lock);
    mem_free(table);
}

Chunk *chunk_take(ChunkTable *table, uint32_t account, const uint8_t *hash, uint32_t len) {
    ChunkKey key = make_key(account, hash, len);
    lock_take(&table->lock);
    Chunk *chunk = map_get(&table->chunks, key_of(&key));
    if (!chunk) {
        chunk = mem_zalloc(sizeof *chunk);
        chunk->key = key;
        map_put(&table->chunks, key_of(&chunk->key), chunk);
    }
    chunk->refs++;
    lock_give(&table->lock);
    return chunk;
}

Chunk *chunk_find(ChunkTable *table, uint32_t account, const uint8_t *hash, uint32_t len) {
    ChunkKey key = make_key(account, hash, len);
    lock_take(&table->lock);
    Chunk *chunk = map_get(&table->chunks, key_of(&key));
    lock_give(&table->lock);
    return chunk;
}

Chunk *chunk_ref(ChunkTable *table, Chunk *chunk) {
    lock_take(&table->lock);
    chunk->refs++;
    lock_give(&table->lock);
    return chunk;
}

void chunk_unref(ChunkTable *table, Chunk *chunk) {
    lock_take(&table->lock);
    ASSERT(chunk->refs > 0);
    bool is_last = --chunk->refs == 0;
    bool is_forgotten = chunk->is_forgotten;
    if (table->is_forgetting && !is_last && !is_forgotten && chunk->place) {
        log_drop_live(table->log, chunk->place, record_chunk_bytes(chunk->key.len));
        chunk->is_forgotten = true;
    }
    if (is_last) {
        map_remove(&table->chunks, key_of(&chunk->key));
        if (chunk->place) {
            table->totals.chunks--;
            table->totals.bytes -= chunk->key.len;
        }
        table->totals.damaged -= chunk->is_damaged;
    }
    lock_give(&table->lock);
    if (!is_last)
        return;
    if (chunk->place && !is_forgotten)
        log_drop_live(table->log, chunk->place, record_chunk_bytes(chunk->key.len));
    mem_free(chunk);
}

static void put_at(ChunkTable *table, Chunk *chunk, Place place) {
    log_add_live(table->log, place, record_chunk_bytes(chunk->key.len));
    if (!chunk->place) {
        table->totals.chunks++;
        table->totals.bytes += chunk->key.len;
    }
    chunk->place = place;
}

static void set_damaged(ChunkTable *table, Chunk *chunk, bool is_damaged) {
    table->totals.damaged += (uint64_t)is_damaged - chunk->is_damaged;
    chunk->is_damaged = is_damaged;
}

Place chunk_offer(ChunkTable *table, Chunk *chunk, Place place, bool instead) {
    lock_take(&table->lock);
    Place before = chunk->place;
    bool is_better = place > before && (instead || chunk->is_damaged || chunk->is_suspect);
    bool is_taken = !before || is_better;
    if (is_taken)
        put_at(table, chunk, place);
    if (is_taken || place == before) {
        set_damaged(table, chunk, false);
        chunk->is_suspect = false;
    }
    lock_give(&table->lock);
    return is_taken ? before : 0;
}

void chunk_suggest(ChunkTable *table, Chunk *chunk, Place place) {
    lock_take(&table->lock);
    if (!chunk->place)
        put_at(table, chunk, place);
    lock_give(&table->lock);
}

void chunk_mark_damaged(ChunkTable *table, Chunk *chunk, Place place) {
    lock_take(&table->lock);
    if (place && chunk->place == place)
        set_damaged(table, chunk, true);
    lock_give(&table->lock);
}

void chunk_suspect(ChunkTable *table, Chunk *chunk) {
    lock_take(&table->lock);
    chunk->is_suspect = true;
    lock_give(&table->lock);
}

void chunk_mark_whole(ChunkTable *table, Chunk *chunk, Place place) {
    lock_take(&table->lock);
    if (chunk->place == place)
        chunk->is_suspect = false;
    lock_give(&table->lock);
}

ChunkState chunk_state(ChunkTable *table, const Chunk *chunk) {
    lock_take(&table->lock);
    ChunkState state = {
        .place = chunk->place, .is_damaged = chunk->is_damaged, .is_suspect = chunk->is_suspect};
    lock_give(&table->lock);
    return state;
}

const uint8_t *chunk_hash(const Chunk *chunk) {
    return chunk->key.hash;
}

uint32_t chunk_len(const Chunk *chunk) {
    return chunk->key.len;
}

ChunkTotals chunk_table_totals(ChunkTable *table) {
    lock_take(&table->lock);
    ChunkTotals totals = table->totals;
    lock_give(&table->lock);
    return totals;
}
