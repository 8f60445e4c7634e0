#include "base/hash.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* Set once before threads exist. */
static uint64_t seed;

__attribute__((constructor)) static void choose_seed(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    seed = XXH3_64bits(&now, sizeof now) ^ (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
}

uint64_t hash_slice(Slice slice) {
    return XXH3_64bits_withSeed(slice.ptr, slice.len, seed);
}

uint64_t hash_u64(uint64_t value) {
    uint64_t x = (value ^ seed) * 0x9e3779b97f4a7c15u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

uint64_t hash_checksum(const void *bytes, size_t len) {
    return XXH3_64bits(bytes, len);
}

static uint32_t crc_table[256];

__attribute__((constructor)) static void fill_crc_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
        crc_table[i] = crc;
    }
}

static uint32_t crc32c_by_table(uint32_t crc, const unsigned char *at, size_t len) {
    for (; len; len--)
        crc = crc_table[(crc ^ *at++) & 0xff] ^ crc >> 8;
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
crc32c_by_sse(uint32_t crc, const unsigned char *at, size_t len) {
    uint64_t wide = crc;
    for (; len >= 8; len -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len; len--)
        crc = _mm_crc32_u8(crc, *at++);
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_by_sse(~crc, bytes, len);
#endif
    return ~crc32c_by_table(~crc, bytes, len);
}
