/* What is random in the server is the same in each run of a seed: the order of maps, ids, keys. */
#pragma once

#include <stdint.h>

/* Before anything else of a seed. */
void random_sim_reset(uint64_t seed);
