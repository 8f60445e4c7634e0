#include "base/hash.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "base/assert.h"
#include "base/hash_wide.h"
#include "base/mem.h"

/* Set once before threads exist. */
static uint64_t seed;

__attribute__((constructor)) static void choose_seed(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    seed = XXH3_64bits(&now, sizeof now) ^ (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
}

void hash_set_seed(uint64_t value) {
    seed = value;
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

#if defined(__x86_64__)
/* Whether hash_wide.h may be used, and pays. */
static bool is_wide(size_t len) {
    return len >= HASH_WIDE_BYTES_MIN && __builtin_cpu_supports("avx2");
}
#endif

uint64_t hash_checksum(const void *bytes, size_t len) {
#if defined(__x86_64__)
    if (is_wide(len))
        return hash_checksum_wide(bytes, len);
#endif
    return XXH3_64bits(bytes, len);
}

void hash_under_secret(const uint8_t secret[HASH_SECRET_BYTES], const void *bytes, size_t len,
                       uint8_t out_hash[HASH_128_BYTES]) {
#if defined(__x86_64__)
    if (is_wide(len)) {
        hash_under_secret_wide(secret, HASH_SECRET_BYTES, bytes, len, out_hash);
        return;
    }
#endif
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits_withSecret(bytes, len, secret, HASH_SECRET_BYTES));
    memcpy(out_hash, hash.digest, HASH_128_BYTES);
}

struct HashSum {
    XXH3_state_t *state;
};

HashSum *hash_sum_new(void) {
    HashSum *sum = mem_alloc(sizeof *sum);
    sum->state = XXH3_createState();
    ASSERT(sum->state != NULL);
    hash_sum_begin(sum);
    return sum;
}

void hash_sum_free(HashSum *sum) {
    if (sum == NULL)
        return;
    (void)XXH3_freeState(sum->state);
    mem_free(sum);
}

void hash_sum_begin(HashSum *sum) {
    (void)XXH3_64bits_reset(sum->state);
}

void hash_sum_add(HashSum *sum, const void *bytes, size_t len) {
    (void)XXH3_64bits_update(sum->state, bytes, len);
}

uint64_t hash_sum_end(const HashSum *sum) {
    return XXH3_64bits_digest(sum->state);
}

/* Long inputs are cut into lanes of this length, three of which go through the pipeline at a time.
 */
enum { CRC_LANE_BYTES = 1024 };

static uint32_t crc_table[256];
static uint32_t crc_skip[4][256]; /* what a lane of zeros makes of each byte of a CRC */

__attribute__((constructor)) static void fill_crc_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
        crc_table[i] = crc;
    }
    /* CRCs are linear: one for each bit makes them all. */
    for (uint32_t bit = 0; bit < 32; bit++) {
        uint32_t crc = 1u << bit;
        for (int i = 0; i < CRC_LANE_BYTES; i++)
            crc = crc_table[crc & 0xff] ^ crc >> 8;
        for (uint32_t i = 0; i < 256; i++)
            if (i >> bit % 8 & 1)
                crc_skip[bit / 8][i] ^= crc;
    }
}

static uint32_t crc32c_by_table(uint32_t crc, const unsigned char *at, size_t len) {
    for (; len; len--)
        crc = crc_table[(crc ^ *at++) & 0xff] ^ crc >> 8;
    return crc;
}

#if defined(__x86_64__)
static uint32_t skip_lane(uint64_t crc) {
    return crc_skip[0][crc & 0xff] ^ crc_skip[1][crc >> 8 & 0xff] ^ crc_skip[2][crc >> 16 & 0xff] ^
           crc_skip[3][crc >> 24];
}

static uint64_t load_u64(const unsigned char *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

__attribute__((target("sse4.2"))) static uint64_t crc32c_of_lanes(uint64_t crc,
                                                                  const unsigned char *at) {
    uint64_t second = 0, third = 0;
    for (int i = 0; i < CRC_LANE_BYTES; i += 8) {
        if (i % 64 == 0)
            for (int lane = 3; lane < 6; lane++)
                _mm_prefetch((const char *)at + lane * CRC_LANE_BYTES + i, _MM_HINT_T0);
        crc = _mm_crc32_u64(crc, load_u64(at + i));
        second = _mm_crc32_u64(second, load_u64(at + CRC_LANE_BYTES + i));
        third = _mm_crc32_u64(third, load_u64(at + 2 * CRC_LANE_BYTES + i));
    }
    return skip_lane(skip_lane(crc) ^ second) ^ third;
}

__attribute__((target("sse4.2"))) static uint32_t
crc32c_by_sse(uint32_t crc, const unsigned char *at, size_t len) {
    uint64_t wide = crc;
    for (; len >= 3 * CRC_LANE_BYTES; len -= 3 * CRC_LANE_BYTES, at += 3 * CRC_LANE_BYTES)
        wide = crc32c_of_lanes(wide, at);
    for (; len >= 8; len -= 8, at += 8)
        wide = _mm_crc32_u64(wide, load_u64(at));
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
