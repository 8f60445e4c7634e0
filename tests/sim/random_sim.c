#include "random_sim.h"

#include <openssl/rand.h>

#include "base/hash.h"
#include "base/rand.h"

enum { HASH_SEED = 1 };

static Rand random_bytes;

void random_sim_reset(uint64_t seed) {
    hash_set_seed(HASH_SEED);
    rand_init(&random_bytes, seed);
}

/* In the place of the library's. */
int RAND_bytes(unsigned char *to, int len) {
    for (int i = 0; i < len; i++)
        to[i] = (unsigned char)rand_u64(&random_bytes);
    return 1;
}
