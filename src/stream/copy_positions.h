/* CopyPositions: how far a stream has copied each of its sources; state, saved with the stream.
 * Sources that were taken away keep theirs for when they come back, the newest
 * COPY_POSITIONS_MAX. */
#pragma once

#include "stream/copy_entry.h"

enum { COPY_POSITIONS_MAX = 1024 };

typedef struct CopyPosition {
    uint64_t key, seq; /* last sequence of the origin that was copied or passed over */
    char identity[COPY_IDENTITY_LEN];
} CopyPosition;

/* Zero-initialised is empty. */
typedef struct CopyPositions {
    CopyPosition *at; /* the last one is the one that moved last among those added */
    size_t len, cap;
} CopyPositions;

void copy_positions_done(CopyPositions *positions);
/* NULL when nothing was copied yet. */
const CopyPosition *copy_positions_find(const CopyPositions *positions, uint64_t key);
void copy_positions_set(CopyPositions *positions, const CopyEntry *entry);

/* Number, then key (8 bytes, little endian), packed seq and identity of each. Nothing when empty.
 */
void copy_positions_save(const CopyPositions *positions, Buf *out);
MUST_CHECK Status copy_positions_load(CopyPositions *positions, Slice bytes);
