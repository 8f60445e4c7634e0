/* ChunkTable: where each chunk of the store lies (RECORD_CHUNK) and how many need it. One for all
 * workers, any of which may call; a lock is held for the look-up alone.
 *
 * A chunk is known by account, id and length. Whoever needs its bytes holds a reference: a message
 * that refers to it, one that a checkpoint may still ask for, an entry on its way to the log. The
 * record counts as live as long as there are references; then the chunk is forgotten.
 *
 * Half of the id is a hash of the payload, the sieve: chunks with the same one may have the same
 * content. Whether they have is for bytes to say. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/log.h"
#include "store/record.h"

typedef struct ChunkTable ChunkTable;
typedef struct Chunk Chunk;

/* The log must outlive it. */
ChunkTable *chunk_table_new(Log *log);
/* What hashes are made with, 16 bytes of the store's own; before chunk_sieve is called. */
void chunk_table_set_key(ChunkTable *table, const uint8_t *key);
/* The mutation that simulation must catch: the last reference but one counts as the last. */
void chunk_table_forget(ChunkTable *table);
/* For tests: all hashes are equal. */
void chunk_table_blind(ChunkTable *table);
/* NULL-safe. References that are still held mean nothing any more. */
void chunk_table_free(ChunkTable *table);

/* ---- by content ---- */

/* The hash of a payload. About 15 GB/s. */
void chunk_sieve(const ChunkTable *table, Slice payload, uint8_t out_hash[RECORD_SIEVE_BYTES]);
/* Chunks in the log that may have that content, not those that are damaged, newest first; each with
 * a reference. Of more than fit the oldest are not given. */
enum { CHUNK_CANDIDATES_MAX = 4 };
unsigned chunk_candidates(ChunkTable *table, uint32_t account, const uint8_t *hash, uint32_t len,
                          Chunk *out_chunks[CHUNK_CANDIDATES_MAX]);
/* A new chunk, with a reference and without a place. random: any number. */
Chunk *chunk_add(ChunkTable *table, uint32_t account, const uint8_t *hash, uint32_t len,
                 uint64_t random);

/* ---- by id ---- */

/* A reference to the chunk with that id; it is added, without a place, when it is not known. */
Chunk *chunk_take(ChunkTable *table, uint32_t account, const uint8_t *id, uint32_t len);
/* No reference: for who holds one already. NULL when it is not known. */
Chunk *chunk_find(ChunkTable *table, uint32_t account, const uint8_t *id, uint32_t len);
/* One more reference. */
Chunk *chunk_ref(ChunkTable *table, Chunk *chunk);
/* The last one drops the record's live bytes. */
void chunk_unref(ChunkTable *table, Chunk *chunk);

/* A whole record of the chunk lies at place. It is taken, and counts as live, when none is known,
 * or when it is newer than one that is damaged; with instead, than any. Returns the place of that
 * one, whose bytes still count as live: the caller drops them when no checkpoint needs them; 0 =
 * there is none. */
Place chunk_offer(ChunkTable *table, Chunk *chunk, Place place, bool instead);
/* Recovery: a message says that it lies there, for when nothing else is known. */
void chunk_suggest(ChunkTable *table, Chunk *chunk, Place place);

/* The disk does not give the record at place. */
void chunk_mark_damaged(ChunkTable *table, Chunk *chunk, Place place);
/* Recovery: a record of the chunk was lost, it is not known which one. Whatever place is suggested
 * may be read, which shows whether it is whole. */
void chunk_suspect(ChunkTable *table, Chunk *chunk);
void chunk_mark_whole(ChunkTable *table, Chunk *chunk, Place place);

typedef struct ChunkState {
    Place place; /* 0 = not in the log (yet) */
    bool is_damaged, is_suspect;
} ChunkState;
ChunkState chunk_state(ChunkTable *table, const Chunk *chunk);
/* A new message may refer to it. */
static inline bool chunk_state_is_good(const ChunkState *state) {
    return state->place && !state->is_damaged && !state->is_suspect;
}

/* They never change. */
const uint8_t *chunk_id(const Chunk *chunk);
uint32_t chunk_len(const Chunk *chunk);

/* Chunks in the log. */
typedef struct ChunkTotals {
    uint64_t chunks, bytes; /* bytes: of payloads */
    uint64_t damaged;
} ChunkTotals;
ChunkTotals chunk_table_totals(ChunkTable *table);
