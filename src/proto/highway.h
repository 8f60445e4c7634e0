/* HighwayHash-64: the checksum of nats-server's files, in archives of its older versions. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

typedef struct Highway {
    uint64_t v0[4], v1[4], mul0[4], mul1[4];
    uint8_t packet[32]; /* not mixed in yet */
    size_t held;
} Highway;

/* key: 32 bytes. */
void highway_init(Highway *hash, const uint8_t *key);
void highway_add(Highway *hash, Slice bytes);
/* Ends it. */
uint64_t highway_finish(Highway *hash);
