#include "proto/highway.h"

#include <string.h>

enum { PACKET_BYTES = 32 };

static uint64_t load(const uint8_t *from) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

static uint64_t swap_halves(uint64_t value) {
    return value >> 32 | value << 32;
}

void highway_init(Highway *hash, const uint8_t *key) {
    static const uint64_t first[4] = {0xdbe6d5d5fe4cce2full, 0xa4093822299f31d0ull,
                                      0x13198a2e03707344ull, 0x243f6a8885a308d3ull};
    static const uint64_t second[4] = {0x3bd39e10cb0ef593ull, 0xc0acf169b5f18a8cull,
                                       0xbe5466cf34e90c6cull, 0x452821e638d01377ull};
    hash->held = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t part = load(key + 8 * i);
        hash->mul0[i] = first[i];
        hash->mul1[i] = second[i];
        hash->v0[i] = first[i] ^ part;
        hash->v1[i] = second[i] ^ swap_halves(part);
    }
}

/* Bytes of two lanes, shuffled so that the multiplications reach all of them. */
static void zipper(uint64_t b, uint64_t a, uint64_t *add_b, uint64_t *add_a) {
    *add_a += ((a & 0xff000000ull) | (b & 0xff00000000ull)) >> 24 |
              ((a & 0xff0000000000ull) | (b & 0xff000000000000ull)) >> 16 | (a & 0xff0000ull) |
              (a & 0xff00ull) << 32 | (b & 0xff00000000000000ull) >> 8 | a << 56;
    *add_b += ((b & 0xff000000ull) | (a & 0xff00000000ull)) >> 24 | (b & 0xff0000ull) |
              (b & 0xff0000000000ull) >> 16 | (b & 0xff00ull) << 24 |
              (a & 0xff000000000000ull) >> 8 | (b & 0xffull) << 48 | (a & 0xff00000000000000ull);
}

static void mix(Highway *hash, const uint64_t lanes[4]) {
    uint64_t *v0 = hash->v0, *v1 = hash->v1;
    for (unsigned i = 0; i < 4; i++) {
        v1[i] += hash->mul0[i] + lanes[i];
        hash->mul0[i] ^= (v1[i] & UINT32_MAX) * (v0[i] >> 32);
        v0[i] += hash->mul1[i];
        hash->mul1[i] ^= (v0[i] & UINT32_MAX) * (v1[i] >> 32);
    }
    zipper(v1[1], v1[0], &v0[1], &v0[0]);
    zipper(v1[3], v1[2], &v0[3], &v0[2]);
    zipper(v0[1], v0[0], &v1[1], &v1[0]);
    zipper(v0[3], v0[2], &v1[3], &v1[2]);
}

static void mix_packet(Highway *hash, const uint8_t *packet) {
    uint64_t lanes[4];
    for (unsigned i = 0; i < 4; i++)
        lanes[i] = load(packet + 8 * i);
    mix(hash, lanes);
}

void highway_add(Highway *hash, Slice bytes) {
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    size_t left = bytes.len;
    while (left > 0) {
        size_t n = PACKET_BYTES - hash->held < left ? PACKET_BYTES - hash->held : left;
        memcpy(hash->packet + hash->held, at, n);
        hash->held += n;
        at += n;
        left -= n;
        if (hash->held == PACKET_BYTES) {
            mix_packet(hash, hash->packet);
            hash->held = 0;
        }
    }
}

static uint32_t rotate(uint32_t value, unsigned by) {
    return value << by | value >> (32 - by);
}

static void mix_rest(Highway *hash) {
    uint8_t packet[PACKET_BYTES] = {0};
    size_t whole = hash->held & ~(size_t)3, rest = hash->held & 3;
    const uint8_t *tail = hash->packet + whole;
    for (unsigned i = 0; i < 4; i++) {
        hash->v0[i] += ((uint64_t)hash->held << 32) + hash->held;
        uint64_t v1 = hash->v1[i];
        hash->v1[i] = (uint64_t)rotate((uint32_t)(v1 >> 32), (unsigned)hash->held) << 32 |
                      rotate((uint32_t)v1, (unsigned)hash->held);
    }
    memcpy(packet, hash->packet, whole);
    if (hash->held & 16) {
        memcpy(packet + 28, hash->packet + hash->held - 4, 4);
    } else if (rest) {
        packet[16] = tail[0];
        packet[17] = tail[rest >> 1];
        packet[18] = tail[rest - 1];
    }
    mix_packet(hash, packet);
}

uint64_t highway_finish(Highway *hash) {
    if (hash->held)
        mix_rest(hash);
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t lanes[4] = {swap_halves(hash->v0[2]), swap_halves(hash->v0[3]),
                                   swap_halves(hash->v0[0]), swap_halves(hash->v0[1])};
        mix(hash, lanes);
    }
    return hash->v0[0] + hash->v1[0] + hash->mul0[0] + hash->mul1[0];
}
