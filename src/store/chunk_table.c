#include "store/chunk_table.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/lock.h"
#include "store/sha256.h"

/* What chunks of like content have in common; without holes. */
typedef struct SieveKey {
    uint8_t hash[RECORD_SIEVE_BYTES];
    uint32_t account, len;
} SieveKey;
_Static_assert(sizeof(SieveKey) == RECORD_SIEVE_BYTES + 8, "keys are compared as bytes");

struct Chunk {
    SieveKey key;
    uint8_t id[RECORD_CHUNK_ID_BYTES];
    Chunk *like; /* the next older one with the same key */
    uint64_t refs;
    Place place;
    bool is_damaged, is_suspect;
    bool is_forgotten; /* its live bytes were dropped too early */
};

struct ChunkTable {
    Lock lock;
    Log *log;
    Map chunks; /* SieveKey -> the newest Chunk, which has the key */
    uint8_t secret[HASH_SECRET_BYTES];
    bool is_forgetting, is_blind;
    ChunkTotals totals; /* of those with a place */
};

static Slice key_of(const SieveKey *key) {
    return slice_from(key, sizeof *key);
}

static SieveKey make_key(uint32_t account, const uint8_t *hash, uint32_t len) {
    SieveKey key = {.account = account, .len = len};
    memcpy(key.hash, hash, sizeof key.hash);
    return key;
}

ChunkTable *chunk_table_new(Log *log) {
    ChunkTable *table = mem_zalloc(sizeof *table);
    lock_init(&table->lock);
    table->log = log;
    return table;
}

/* Of another purpose than whatever else is made of the store's id. */
void chunk_table_set_key(ChunkTable *table, const uint8_t *key) {
    uint8_t from[16 + 16] = "chunk sieve 1:";
    memcpy(from + 16, key, 16);
    for (uint8_t i = 0; i < HASH_SECRET_BYTES / SHA256_BYTES; i++) {
        from[15] = i;
        sha256(slice_from(from, sizeof from), table->secret + i * SHA256_BYTES);
    }
}

void chunk_table_forget(ChunkTable *table) {
    table->is_forgetting = true;
}

void chunk_table_blind(ChunkTable *table) {
    table->is_blind = true;
}

void chunk_table_free(ChunkTable *table) {
    Slice key;
    void *newest;
    if (!table)
        return;
    for (size_t at = 0; map_next(&table->chunks, &at, &key, &newest);)
        for (Chunk *chunk = newest, *next; chunk; chunk = next) {
            next = chunk->like;
            mem_free(chunk);
        }
    map_done(&table->chunks);
    lock_done(&table->lock);
    mem_free(table);
}

/* ---- by content ---- */

void chunk_sieve(const ChunkTable *table, Slice payload, uint8_t out_hash[RECORD_SIEVE_BYTES]) {
    if (table->is_blind)
        memset(out_hash, 0, RECORD_SIEVE_BYTES);
    else
        hash_under_secret(table->secret, payload.ptr, payload.len, out_hash);
}

unsigned chunk_candidates(ChunkTable *table, uint32_t account, const uint8_t *hash, uint32_t len,
                          Chunk *out_chunks[CHUNK_CANDIDATES_MAX]) {
    SieveKey key = make_key(account, hash, len);
    unsigned count = 0;
    lock_take(&table->lock);
    for (Chunk *chunk = map_get(&table->chunks, key_of(&key));
         chunk && count < CHUNK_CANDIDATES_MAX; chunk = chunk->like) {
        if (!chunk->place || chunk->is_damaged)
            continue;
        chunk->refs++;
        out_chunks[count++] = chunk;
    }
    lock_give(&table->lock);
    return count;
}

static Chunk *find(const ChunkTable *table, const SieveKey *key, const uint8_t *id) {
    Chunk *chunk = map_get(&table->chunks, key_of(key));
    while (chunk && memcmp(chunk->id, id, sizeof chunk->id) != 0)
        chunk = chunk->like;
    return chunk;
}

static Chunk *add(ChunkTable *table, const SieveKey *key, const uint8_t *id) {
    Chunk *chunk = mem_zalloc(sizeof *chunk);
    chunk->key = *key;
    memcpy(chunk->id, id, sizeof chunk->id);
    chunk->like = map_put(&table->chunks, key_of(&chunk->key), chunk);
    return chunk;
}

static void take_out(ChunkTable *table, Chunk *chunk) {
    Chunk *newest = map_get(&table->chunks, key_of(&chunk->key));
    if (newest != chunk) {
        while (newest->like != chunk)
            newest = newest->like;
        newest->like = chunk->like;
    } else if (chunk->like) {
        (void)map_put(&table->chunks, key_of(&chunk->like->key), chunk->like);
    } else {
        (void)map_remove(&table->chunks, key_of(&chunk->key));
    }
}

Chunk *chunk_add(ChunkTable *table, uint32_t account, const uint8_t *hash, uint32_t len,
                 uint64_t random) {
    SieveKey key = make_key(account, hash, len);
    uint8_t id[RECORD_CHUNK_ID_BYTES];
    memcpy(id, hash, RECORD_SIEVE_BYTES);
    lock_take(&table->lock);
    do {
        memcpy(id + RECORD_SIEVE_BYTES, &random, sizeof random);
        random++;
    } while (find(table, &key, id));
    Chunk *chunk = add(table, &key, id);
    chunk->refs = 1;
    lock_give(&table->lock);
    return chunk;
}

/* ---- by id ---- */

Chunk *chunk_take(ChunkTable *table, uint32_t account, const uint8_t *id, uint32_t len) {
    SieveKey key = make_key(account, id, len);
    lock_take(&table->lock);
    Chunk *chunk = find(table, &key, id);
    if (!chunk)
        chunk = add(table, &key, id);
    chunk->refs++;
    lock_give(&table->lock);
    return chunk;
}

Chunk *chunk_find(ChunkTable *table, uint32_t account, const uint8_t *id, uint32_t len) {
    SieveKey key = make_key(account, id, len);
    lock_take(&table->lock);
    Chunk *chunk = find(table, &key, id);
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
        take_out(table, chunk);
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

const uint8_t *chunk_id(const Chunk *chunk) {
    return chunk->id;
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
