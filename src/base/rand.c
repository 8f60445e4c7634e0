#include "base/rand.h"

#include "base/assert.h"

static uint64_t split_mix(uint64_t *x) {
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t rotate(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

void rand_init(Rand *rand, uint64_t seed) {
    for (int i = 0; i < 4; i++)
        rand->state[i] = split_mix(&seed);
}

uint64_t rand_u64(Rand *rand) {
    uint64_t *s = rand->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t rand_below(Rand *rand, uint64_t below) {
    ASSERT(below > 0);
    return (uint64_t)(((unsigned __int128)rand_u64(rand) * below) >> 64);
}
