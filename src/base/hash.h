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

/* XXH3-128 under a secret. It tells bytes apart in general, not against who knows the secret or may
 * try for long: equal hashes are no more than a reason to compare. */
enum { HASH_SECRET_BYTES = 192, HASH_128_BYTES = 16 };
void hash_under_secret(const uint8_t secret[HASH_SECRET_BYTES], const void *bytes, size_t len,
                       uint8_t out_hash[HASH_128_BYTES]);

/* CRC32C (Castagnoli), in hardware where there is one. Start with crc 0; feed the result back to go
 * on. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
