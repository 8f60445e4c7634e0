/* Salvage: finds the records that are still readable in a damaged block. Private to store/. */
#pragma once

#include <stdint.h>

#include "base/slice.h"
#include "base/vec.h"
#include "store/record.h"

/* A piece of a block's body: one readable record, or a stretch that is not. */
typedef struct Piece {
    uint32_t at, len;
    bool is_readable;
} Piece;

typedef VEC(Piece) Pieces;

/* body with record_count records, as its intact head says. The pieces cover body in order. Readable
 * ones have a good checksum. A payload may itself hold something that looks like records: those are
 * told apart by the count. Returns how many records are lost. */
uint64_t salvage(Slice body, uint32_t record_count, Pieces *out_pieces);
