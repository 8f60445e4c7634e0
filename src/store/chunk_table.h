/* ChunkTable: where each chunk of the store lies (RECORD_CHUNK) and how many need it. One for all
 * workers, any of which may call; a lock is held for the look-up alone.
 *
 * A chunk is known by account, hash and length. Whoever needs its bytes holds a reference: a
 * message that refers to it, one that a checkpoint may still ask for, an entry on its way to the
 * log. The record counts as live as long as there are references; then the chunk is forgotten. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/log.h"
#include "store/record.h"

typedef struct ChunkTable ChunkTable;
typedef struct Chunk Chunk;

/* The log must outlive it. */
ChunkTable *chunk_table_new(Log *log);
/* The mutation that simulation must catch: the last reference but one counts as the last. */
void chunk_table_forget(ChunkTable *table);
/* NULL-safe. References that are still held mean nothing any more. */
void chunk_table_free(ChunkTable *table);

/* A reference to the chunk with that content; it is added, without a place, when it is not known.
 */
Chunk *chunk_take(ChunkTable *table, uint32_t account, const uint8_t *hash, uint32_t len);
/* No reference: for who holds one already. NULL when it is not known. */
Chunk *chunk_find(ChunkTable *table, uint32_t account, const uint8_t *hash, uint32_t len);
/* One more reference. */
Chunk *chunk_ref(ChunkTable *table, Chunk *chunk);
/* The last one drops the record's live bytes. */
void chunk_unref(ChunkTable *table, Chunk *chunk);

/* A whole record with the content lies at place. It is taken, and counts as live, when none is
 * known, or when it is newer than one that is damaged; with instead, than any. Returns the place of
 * that one, whose bytes still count as live: the caller drops them when no checkpoint needs them; 0
 * = there is none. */
Place chunk_offer(ChunkTable *table, Chunk *chunk, Place place, bool instead);
/* Recovery: a message says that it lies there, for when nothing else is known. */
void chunk_suggest(ChunkTable *table, Chunk *chunk, Place place);

/* The disk does not give the record at place. */
void chunk_mark_damaged(ChunkTable *table, Chunk *chunk, Place place);
/* Recovery: a record with the content was lost, it is not known which one. Whatever place is
 * suggested may be read, which shows whether it is whole. */
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
const uint8_t *chunk_hash(const Chunk *chunk);
uint32_t chunk_len(const Chunk *chunk);

/* Chunks in the log. */
typedef struct ChunkTotals {
    uint64_t chunks, bytes; /* bytes: of payloads, each once */
    uint64_t damaged;
} ChunkTotals;
ChunkTotals chunk_table_totals(ChunkTable *table);
