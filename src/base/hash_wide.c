/* Built for AVX2, alone: nothing here may run where the processor was not asked first. */
#include "base/hash_wide.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_AVX2
#include <xxhash.h>

uint64_t hash_checksum_wide(const void *bytes, size_t len) {
    return XXH3_64bits(bytes, len);
}

void hash_under_secret_wide(const uint8_t *secret, size_t secret_len, const void *bytes, size_t len,
                            uint8_t *out_hash) {
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits_withSecret(bytes, len, secret, secret_len));
    memcpy(out_hash, hash.digest, sizeof hash.digest);
}
#endif
