#include "proto/nkey.h"

#include <string.h>

#include <openssl/evp.h>

/* prefix, key, CRC16 with the low byte first */
enum { RAW_BYTES = 1 + NKEY_BYTES + 2 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* CRC-16/XMODEM */
static uint16_t crc16(const uint8_t *bytes, size_t len) {
    unsigned crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0);
        crc &= 0xFFFF;
    }
    return (uint16_t)crc;
}

void nkey_write_public(NkeyKind kind, const uint8_t key[NKEY_BYTES], char out[NKEY_TEXT_LEN + 1]) {
    uint8_t raw[RAW_BYTES];
    uint64_t bits = 0;
    unsigned held = 0;
    size_t n = 0;

    raw[0] = (uint8_t)kind;
    memcpy(raw + 1, key, NKEY_BYTES);
    uint16_t crc = crc16(raw, 1 + NKEY_BYTES);
    raw[RAW_BYTES - 2] = (uint8_t)crc;
    raw[RAW_BYTES - 1] = (uint8_t)(crc >> 8);
    for (size_t i = 0; i < RAW_BYTES; i++) {
        bits = bits << 8 | raw[i];
        for (held += 8; held >= 5; held -= 5)
            out[n++] = alphabet[bits >> (held - 5) & 31];
    }
    out[n] = '\0';
}

Status nkey_public_of_seed(NkeyKind kind, const uint8_t seed[NKEY_BYTES],
                           char out[NKEY_TEXT_LEN + 1]) {
    uint8_t key[NKEY_BYTES];
    size_t len = sizeof key;
    EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, NKEY_BYTES);
    bool is_good =
        pair != NULL && EVP_PKEY_get_raw_public_key(pair, key, &len) == 1 && len == sizeof key;

    EVP_PKEY_free(pair);
    if (!is_good)
        return ERR_UNSUPPORTED;
    nkey_write_public(kind, key, out);
    return OK;
}

Status nkey_parse_public(Slice text, NkeyKind kind, uint8_t out_key[NKEY_BYTES]) {
    uint8_t raw[RAW_BYTES];
    uint64_t bits = 0;
    unsigned held = 0;
    size_t n = 0;

    if (text.len != NKEY_TEXT_LEN)
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        const char *digit = text.ptr[i] != '\0' ? strchr(alphabet, text.ptr[i]) : NULL;
        if (digit == NULL)
            return ERR_SYNTAX;
        bits = bits << 5 | (uint64_t)(digit - alphabet);
        held += 5;
        if (held >= 8) {
            held -= 8;
            raw[n++] = (uint8_t)(bits >> held);
        }
    }
    uint16_t crc = crc16(raw, 1 + NKEY_BYTES);
    if (raw[0] != kind || raw[RAW_BYTES - 2] != (crc & 255) || raw[RAW_BYTES - 1] != crc >> 8)
        return ERR_SYNTAX;
    memcpy(out_key, raw + 1, NKEY_BYTES);
    return OK;
}
