/* Rand: xoshiro256**, fast, not for secrets. One per worker or simulation, so a seed repeats a run.
 */
#pragma once

#include <stdint.h>

typedef struct Rand {
    uint64_t state[4];
} Rand;

void rand_init(Rand *rand, uint64_t seed);
uint64_t rand_u64(Rand *rand);

/* 0 .. below-1; below > 0. */
uint64_t rand_below(Rand *rand, uint64_t below);
