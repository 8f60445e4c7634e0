/* Numbers as bytes, low ones first, at any address. */
#pragma once

#include <stdint.h>

static inline void bytes_put_u32(void *to, uint32_t value) {
    unsigned char *at = to;
    for (unsigned i = 0; i < sizeof value; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static inline uint32_t bytes_get_u32(const void *from) {
    const unsigned char *at = from;
    uint32_t value = 0;
    for (unsigned i = 0; i < sizeof value; i++)
        value |= (uint32_t)at[i] << (8 * i);
    return value;
}

static inline void bytes_put_u64(void *to, uint64_t value) {
    bytes_put_u32(to, (uint32_t)value);
    bytes_put_u32((char *)to + 4, (uint32_t)(value >> 32));
}

static inline uint64_t bytes_get_u64(const void *from) {
    return bytes_get_u32(from) | (uint64_t)bytes_get_u32((const char *)from + 4) << 32;
}
