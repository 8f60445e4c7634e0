#include "store/cipher.h"

#include <stddef.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum {
    HASH_BYTES = 32,
    TAG_BYTES = 16,
    /* A multiple of the blocks of both ciphers: 16 and 64 bytes. */
    STEP_BYTES = 64,
    PIECE_BYTES = 1 << 30, /* lengths are ints there */
};

struct Cipher {
    CipherKind kind;
    uint8_t id[16];
    uint8_t key[CIPHER_KEY_BYTES];
};

struct CipherStream {
    EVP_CIPHER_CTX *context;
    CipherKind kind;
    uint64_t at; /* offset that comes next; UINT64_MAX: not begun */
};

static bool fill_random(void *to, size_t len) {
    return RAND_bytes(to, (int)len) == 1;
}

/* HKDF-SHA-256 (RFC 5869), for as many bytes as one hash has. */
static void derive(Slice secret, Slice salt, Slice info, uint8_t out_key[CIPHER_KEY_BYTES]) {
    uint8_t secret_hash[HASH_BYTES];
    uint8_t last[64 + 1];
    unsigned len = 0;
    ASSERT(info.len < sizeof last);
    const unsigned char *extracted =
        HMAC(EVP_sha256(), salt.ptr, (int)salt.len, (const unsigned char *)secret.ptr, secret.len,
             secret_hash, &len);
    ASSERT(extracted != NULL && len == HASH_BYTES);
    memcpy(last, info.ptr, info.len);
    last[info.len] = 1;
    const unsigned char *expanded =
        HMAC(EVP_sha256(), secret_hash, HASH_BYTES, last, info.len + 1, out_key, &len);
    ASSERT(expanded != NULL && len == CIPHER_KEY_BYTES);
    OPENSSL_cleanse(secret_hash, sizeof secret_hash);
}

static bool is_known(uint32_t kind) {
    return kind == CIPHER_AES || kind == CIPHER_CHACHA;
}

static void forget(Slice *key) {
    if (key->len)
        OPENSSL_cleanse((void *)(uintptr_t)key->ptr, key->len);
    *key = (Slice){0};
}

void cipher_options_forget(CipherOptions *options) {
    forget(&options->key);
    forget(&options->key_before);
}

/* --- the data key --- */

Status cipher_new(CipherKind kind, Cipher **out_cipher) {
    ASSERT(is_known(kind));
    Cipher *cipher = mem_zalloc(sizeof *cipher);
    cipher->kind = kind;
    if (!fill_random(cipher->id, sizeof cipher->id) ||
        !fill_random(cipher->key, sizeof cipher->key)) {
        cipher_free(cipher);
        return ERR_IO;
    }
    *out_cipher = cipher;
    return OK;
}

void cipher_free(Cipher *cipher) {
    if (cipher == NULL)
        return;
    OPENSSL_cleanse(cipher, sizeof *cipher);
    mem_free(cipher);
}

void cipher_set_kind(Cipher *cipher, CipherKind kind) {
    ASSERT(is_known(kind));
    cipher->kind = kind;
}

CipherKind cipher_kind(const Cipher *cipher) {
    return cipher->kind;
}

/* --- wrapping --- */

static const EVP_CIPHER *wrapper_of(uint32_t kind) {
    return kind == CIPHER_AES ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
}

/* What wraps and unwraps with the operator's key; the caller frees it. */
static EVP_CIPHER_CTX *open_wrapper(const WrappedKey *wrapped, Slice key, bool is_wrapping) {
    uint8_t wrapping[CIPHER_KEY_BYTES];
    int len = 0;
    derive(key, slice_from((const char *)wrapped->salt, sizeof wrapped->salt),
           LIT("holdwater wrapped key"), wrapping);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    ASSERT(context != NULL);
    int is_set = EVP_CipherInit_ex(context, wrapper_of(wrapped->kind), NULL, wrapping,
                                   wrapped->nonce, is_wrapping);
    ASSERT(is_set == 1);
    OPENSSL_cleanse(wrapping, sizeof wrapping);
    /* kind, zero, id */
    int is_bound = EVP_CipherUpdate(context, NULL, &len, (const unsigned char *)wrapped,
                                    (int)offsetof(WrappedKey, salt));
    ASSERT(is_bound == 1);
    return context;
}

Status cipher_wrap(const Cipher *cipher, Slice key, WrappedKey *out_wrapped) {
    WrappedKey wrapped = {.kind = cipher->kind};
    int len = 0;
    memcpy(wrapped.id, cipher->id, sizeof wrapped.id);
    if (!fill_random(wrapped.salt, sizeof wrapped.salt) ||
        !fill_random(wrapped.nonce, sizeof wrapped.nonce))
        return ERR_IO;
    EVP_CIPHER_CTX *context = open_wrapper(&wrapped, key, true);
    int is_done = EVP_CipherUpdate(context, wrapped.key, &len, cipher->key, CIPHER_KEY_BYTES) == 1;
    ASSERT(is_done && len == CIPHER_KEY_BYTES);
    is_done = EVP_CipherFinal_ex(context, wrapped.key + len, &len) == 1 &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, wrapped.tag) == 1;
    ASSERT(is_done);
    EVP_CIPHER_CTX_free(context);
    *out_wrapped = wrapped;
    return OK;
}

Status cipher_unwrap(const WrappedKey *wrapped, Slice key, Cipher **out_cipher) {
    if (!is_known(wrapped->kind))
        return ERR_VERSION;
    Cipher *cipher = mem_zalloc(sizeof *cipher);
    uint8_t tag[TAG_BYTES];
    int len = 0;
    cipher->kind = wrapped->kind;
    memcpy(cipher->id, wrapped->id, sizeof cipher->id);
    memcpy(tag, wrapped->tag, sizeof tag);
    EVP_CIPHER_CTX *context = open_wrapper(wrapped, key, false);
    bool is_good =
        EVP_CipherUpdate(context, cipher->key, &len, wrapped->key, CIPHER_KEY_BYTES) == 1 &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
        EVP_CipherFinal_ex(context, cipher->key + len, &len) == 1;
    EVP_CIPHER_CTX_free(context);
    if (!is_good) {
        cipher_free(cipher);
        return ERR_DENIED;
    }
    *out_cipher = cipher;
    return OK;
}

/* --- heads --- */

static uint32_t key_id_of(const Cipher *cipher) {
    uint32_t id;
    memcpy(&id, cipher->id, sizeof id);
    return id;
}

static uint64_t head_checksum(const CipherHead *head, uint64_t owner) {
    char bytes[offsetof(CipherHead, checksum) + sizeof owner];
    memcpy(bytes, head, offsetof(CipherHead, checksum));
    memcpy(bytes + offsetof(CipherHead, checksum), &owner, sizeof owner);
    return hash_checksum(bytes, sizeof bytes);
}

Status cipher_head_new(const Cipher *cipher, uint64_t owner, CipherHead *out_head) {
    CipherHead head = {.kind = cipher->kind, .key_id = key_id_of(cipher)};
    if (!fill_random(head.salt, sizeof head.salt))
        return ERR_IO;
    head.checksum = head_checksum(&head, owner);
    *out_head = head;
    return OK;
}

bool cipher_head_parse(const char *at, uint64_t owner, CipherHead *out_head) {
    CipherHead head;
    memcpy(&head, at, sizeof head);
    if (head.kind == CIPHER_NONE || head.checksum != head_checksum(&head, owner))
        return false;
    *out_head = head;
    return true;
}

/* --- streams --- */

Status cipher_stream_open(const Cipher *cipher, CipherUse use, const CipherHead *head,
                          CipherStream **out_stream) {
    static const Slice uses[] = {LIT("holdwater log"), LIT("holdwater checkpoint"),
                                 LIT("holdwater run")};
    uint8_t key[CIPHER_KEY_BYTES];
    if (cipher == NULL || head->key_id != key_id_of(cipher))
        return ERR_DENIED;
    if (!is_known(head->kind))
        return ERR_VERSION;
    derive(slice_from((const char *)cipher->key, sizeof cipher->key),
           slice_from((const char *)head->salt, sizeof head->salt), uses[use], key);
    CipherStream *stream = mem_zalloc(sizeof *stream);
    stream->kind = head->kind;
    stream->at = UINT64_MAX;
    stream->context = EVP_CIPHER_CTX_new();
    ASSERT(stream->context != NULL);
    int is_set = EVP_EncryptInit_ex(stream->context,
                                    head->kind == CIPHER_AES ? EVP_aes_256_ctr() : EVP_chacha20(),
                                    NULL, key, NULL);
    ASSERT(is_set == 1);
    OPENSSL_cleanse(key, sizeof key);
    *out_stream = stream;
    return OK;
}

void cipher_stream_free(CipherStream *stream) {
    if (stream == NULL)
        return;
    EVP_CIPHER_CTX_free(stream->context); /* cleanses */
    mem_free(stream);
}

/* AES counts blocks of 16 bytes in the last bytes, big endian; ChaCha20 blocks of 64 bytes in the
 * first four, little endian. The nonce is zero: no two streams have the same key. */
static void seek(CipherStream *stream, uint64_t offset) {
    uint8_t counter[16] = {0}, skipped[STEP_BYTES] = {0};
    uint64_t blocks = offset / STEP_BYTES;
    int skip = (int)(offset % STEP_BYTES), len = 0;
    ASSERT(blocks <= UINT32_MAX);
    if (stream->kind == CIPHER_AES) {
        uint64_t number = blocks * (STEP_BYTES / 16);
        for (unsigned i = 0; i < 8; i++)
            counter[15 - i] = (uint8_t)(number >> (8 * i));
    } else {
        for (unsigned i = 0; i < 4; i++)
            counter[i] = (uint8_t)(blocks >> (8 * i));
    }
    int is_done = EVP_EncryptInit_ex(stream->context, NULL, NULL, NULL, counter);
    if (is_done == 1 && skip)
        is_done = EVP_EncryptUpdate(stream->context, skipped, &len, skipped, skip);
    ASSERT(is_done == 1);
    OPENSSL_cleanse(skipped, sizeof skipped);
    stream->at = offset;
}

void cipher_stream_apply(CipherStream *stream, uint64_t offset, char *to, const char *from,
                         size_t len) {
    if (stream->at != offset)
        seek(stream, offset);
    for (size_t done = 0; done < len;) {
        int n = len - done < PIECE_BYTES ? (int)(len - done) : PIECE_BYTES, written = 0;
        int is_done = EVP_EncryptUpdate(stream->context, (unsigned char *)to + done, &written,
                                        (const unsigned char *)from + done, n);
        ASSERT(is_done == 1 && written == n);
        done += (size_t)n;
    }
    stream->at = offset + len;
}
