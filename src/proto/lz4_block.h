/* Lz4Block: one block of LZ4, without a frame around it: who has it knows its lengths. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* Writes to `to`; returns how long it is, 0 when it takes more than to_max. from is shorter than
 * 2 GiB. */
size_t lz4_block_write(Slice from, char *to, size_t to_max);

/* Fills to[0, to_len). False: block is not that of so many bytes. */
bool lz4_block_read(Slice block, char *to, size_t to_len);
