/* Cipher: encryption of a store at rest. Private to store/, but for what its options are.
 *
 * A store has one random data key. SUPER holds it wrapped: encrypted and authenticated (AES-256-GCM
 * or ChaCha20-Poly1305) with a key that HKDF-SHA-256 derives from what the operator gave and a
 * salt. Another key of the operator's only wraps it anew.
 *
 * What is stored is encrypted with seekable key streams (AES-256 in counter mode, ChaCha20): the
 * byte at an offset depends on nothing but the stream and the offset, so that any range can be read
 * by itself, and damage stays where it is. A stream's key is derived from the data key and the
 * random salt in its CipherHead, which stands in clear beside what it encrypts. Two different texts
 * must never be encrypted at the same offset of one stream. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

typedef enum CipherKind { CIPHER_NONE, CIPHER_AES, CIPHER_CHACHA } CipherKind;

/* What the operator says. */
typedef struct CipherOptions {
    CipherKind kind;  /* of what is new */
    Slice key;        /* empty: nothing is encrypted */
    Slice key_before; /* empty, or tried when key does not fit: the store takes key from now on */
} CipherOptions;

/* Overwrites the keys, which must be the caller's own bytes. */
void cipher_options_forget(CipherOptions *options);

enum { CIPHER_KEY_BYTES = 32, CIPHER_SALT_BYTES = 16, CIPHER_HEAD_BYTES = 32 };

/* On disk, in SUPER: the data key. All zeros: none. */
typedef struct WrappedKey {
    uint32_t kind; /* CipherKind: what wrapped it, and what encrypts what is new */
    uint32_t zero;
    uint8_t id[16]; /* of the data key, random */
    uint8_t salt[32];
    uint8_t nonce[12], more_zeros[4];
    uint8_t key[CIPHER_KEY_BYTES]; /* encrypted */
    uint8_t tag[16];               /* over it, kind and id */
} WrappedKey;
_Static_assert(sizeof(WrappedKey) == 120, "a wrapped key is 120 bytes on disk");

typedef struct Cipher Cipher;

/* A new data key. ERR_IO: no random bytes to be had. */
MUST_CHECK Status cipher_new(CipherKind kind, Cipher **out_cipher);
/* ERR_DENIED: not the key it was wrapped with; ERR_VERSION: of a kind that is not known. */
MUST_CHECK Status cipher_unwrap(const WrappedKey *wrapped, Slice key, Cipher **out_cipher);
/* NULL-safe; leaves no key in memory. */
void cipher_free(Cipher *cipher);
/* What is new is encrypted so. */
void cipher_set_kind(Cipher *cipher, CipherKind kind);
CipherKind cipher_kind(const Cipher *cipher);
/* ERR_IO: no random bytes. */
MUST_CHECK Status cipher_wrap(const Cipher *cipher, Slice key, WrappedKey *out_wrapped);

/* On disk, in clear, beside what it encrypts:
 *
 *   offset  size  field
 *        0    16  salt, random
 *       16     4  kind of cipher
 *       20     4  first bytes of the data key's id
 *       24     8  XXH3-64 of the 24 bytes before and the owner (8 bytes), a number that tells what
 *                 it belongs to
 */
typedef struct CipherHead {
    uint8_t salt[CIPHER_SALT_BYTES];
    uint32_t kind;
    uint32_t key_id;
    uint64_t checksum;
} CipherHead;
_Static_assert(sizeof(CipherHead) == CIPHER_HEAD_BYTES, "a cipher's head is 32 bytes on disk");

/* For a new stream. ERR_IO: no random bytes. */
MUST_CHECK Status cipher_head_new(const Cipher *cipher, uint64_t owner, CipherHead *out_head);
/* at has CIPHER_HEAD_BYTES. False: damaged, or of another owner. */
bool cipher_head_parse(const char *at, uint64_t owner, CipherHead *out_head);

typedef enum CipherUse { CIPHER_LOG, CIPHER_CHECKPOINT, CIPHER_RUN } CipherUse;

/* A key stream. One thread at a time. */
typedef struct CipherStream CipherStream;
/* cipher may be NULL and may be freed before the stream. ERR_DENIED: it has not this key;
 * ERR_VERSION: of a kind that is not known. Some microseconds. */
MUST_CHECK Status cipher_stream_open(const Cipher *cipher, CipherUse use, const CipherHead *head,
                                     CipherStream **out_stream);
/* NULL-safe. */
void cipher_stream_free(CipherStream *stream);
/* to = from, encrypted or decrypted; they may be the same. offset: of from in the stream, below
 * 256 GiB. To go on where the last call ended is cheapest. */
void cipher_stream_apply(CipherStream *stream, uint64_t offset, char *to, const char *from,
                         size_t len);
