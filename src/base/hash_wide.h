/* The hashes of hash.h over long input, for processors with AVX2: twice as fast, the same result.
 * Private to hash.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
enum { HASH_WIDE_BYTES_MIN = 1024 }; /* from here on it pays to ask */

uint64_t hash_checksum_wide(const void *bytes, size_t len);
void hash_under_secret_wide(const uint8_t *secret, size_t secret_len, const void *bytes, size_t len,
                            uint8_t *out_hash);
#endif
