/* Nkey: Ed25519 public keys as text: base32 of a prefix byte that says whose key it is, the 32
 * bytes, and a CRC16. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

/* The first letter of the text. */
typedef enum NkeyKind {
    NKEY_SERVER = 13 << 3,   /* N */
    NKEY_CLUSTER = 2 << 3,   /* C */
    NKEY_OPERATOR = 14 << 3, /* O */
    NKEY_ACCOUNT = 0,        /* A */
    NKEY_USER = 20 << 3,     /* U */
} NkeyKind;

enum { NKEY_BYTES = 32, NKEY_TEXT_LEN = 56 };

/* The public key that belongs to 32 random bytes; out is zero-terminated. ERR_UNSUPPORTED when the
 * crypto library refuses. */
MUST_CHECK Status nkey_public_of_seed(NkeyKind kind, const uint8_t seed[NKEY_BYTES],
                                      char out[NKEY_TEXT_LEN + 1]);

void nkey_write_public(NkeyKind kind, const uint8_t key[NKEY_BYTES], char out[NKEY_TEXT_LEN + 1]);

/* ERR_SYNTAX: not such a text, another kind, or the checksum does not fit. */
MUST_CHECK Status nkey_parse_public(Slice text, NkeyKind kind, uint8_t out_key[NKEY_BYTES]);
