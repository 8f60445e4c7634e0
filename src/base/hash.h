/* Hashes: fast and not secret, except that hash_seed differs in each process (no flooding of maps
 * by peers). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Seeded; for maps in memory only. */
uint64_t hash_slice(Slice slice);
uint64_t hash_u64(uint64_t value);

/* Before any map is made: for tests that must take the same course again. */
void hash_set_seed(uint64_t seed);

/* XXH3-64, the same everywhere: for checksums on disk. */
uint64_t hash_checksum(const void *bytes, size_t len);

/* The same of bytes that come piece by piece. */
typedef struct HashSum HashSum;
HashSum *hash_sum_new(void);
/* NULL-safe. */
void hash_sum_free(HashSum *sum);
void hash_sum_begin(HashSum *sum);
void hash_sum_add(HashSum *sum, const void *bytes, size_t len);
uint64_t hash_sum_end(const HashSum *sum);

/* CRC32C (Castagnoli), in hardware where there is one. Start with crc 0; feed the result back to go
 * on. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
