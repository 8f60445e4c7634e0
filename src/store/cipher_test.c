#include "store/cipher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "base/hash.h"

/* HKDF as OpenSSL has it, not as the code under test does it. */
static void hkdf(const void *secret, size_t secret_len, const void *salt, size_t salt_len,
                 const char *info, uint8_t out_key[32]) {
    size_t len = 32;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    assert_true(
        EVP_PKEY_derive_init(context) == 1 &&
        EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) == 1 &&
        EVP_PKEY_CTX_set1_hkdf_salt(context, salt, (int)salt_len) == 1 &&
        EVP_PKEY_CTX_set1_hkdf_key(context, secret, (int)secret_len) == 1 &&
        EVP_PKEY_CTX_add1_hkdf_info(context, (const unsigned char *)info, (int)strlen(info)) == 1 &&
        EVP_PKEY_derive(context, out_key, &len) == 1);
    EVP_PKEY_CTX_free(context);
}

static const char data_key[] = "0123456789abcdef0123456789ABCDEF"; /* 32 bytes */

/* As the format says, of known bytes. */
static WrappedKey wrap_known(CipherKind kind, const char *key) {
    WrappedKey wrapped = {.kind = kind, .id = "the id of it...", .salt = "some salt"};
    uint8_t wrapping[32];
    int len;
    memcpy(wrapped.nonce, "twelve bytes", sizeof wrapped.nonce);
    hkdf(key, strlen(key), wrapped.salt, sizeof wrapped.salt, "holdwater wrapped key", wrapping);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *cipher = kind == CIPHER_AES ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
    assert_true(
        EVP_EncryptInit_ex(context, cipher, NULL, wrapping, wrapped.nonce) == 1 &&
        EVP_EncryptUpdate(context, NULL, &len, (unsigned char *)&wrapped, 24) == 1 &&
        EVP_EncryptUpdate(context, wrapped.key, &len, (const unsigned char *)data_key, 32) == 1 &&
        EVP_EncryptFinal_ex(context, wrapped.key, &len) == 1 &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, wrapped.tag) == 1);
    EVP_CIPHER_CTX_free(context);
    return wrapped;
}

static uint32_t rotate(uint32_t value, int by) {
    return value << by | value >> (32 - by);
}

static void quarter(uint32_t *x, int a, int b, int c, int d) {
    x[d] = rotate(x[d] ^ (x[a] += x[b]), 16);
    x[b] = rotate(x[b] ^ (x[c] += x[d]), 12);
    x[d] = rotate(x[d] ^ (x[a] += x[b]), 8);
    x[b] = rotate(x[b] ^ (x[c] += x[d]), 7);
}

/* RFC 8439, with a nonce of zeros. */
static void chacha_block(const uint8_t key[32], uint32_t number, uint8_t out[64]) {
    uint32_t state[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x[16];
    memcpy(state + 4, key, 32);
    state[12] = number;
    memcpy(x, state, sizeof x);
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 4; k++)
            quarter(x, k, 4 + k, 8 + k, 12 + k);
        for (int k = 0; k < 4; k++)
            quarter(x, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4);
    }
    for (int i = 0; i < 16; i++)
        x[i] += state[i];
    memcpy(out, x, 64);
}

/* AES of a big-endian counter. */
static void aes_block(const uint8_t key[32], uint64_t number, uint8_t out[16]) {
    uint8_t counter[16] = {0};
    int len;
    for (int i = 0; i < 8; i++)
        counter[15 - i] = (uint8_t)(number >> (8 * i));
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    assert_true(EVP_EncryptInit_ex(context, EVP_aes_256_ecb(), NULL, key, NULL) == 1 &&
                EVP_EncryptUpdate(context, out, &len, counter, 16) == 1);
    EVP_CIPHER_CTX_free(context);
}

static uint8_t stream_byte(CipherKind kind, const uint8_t key[32], uint64_t offset) {
    uint8_t block[64];
    if (kind == CIPHER_AES)
        aes_block(key, offset / 16, block);
    else
        chacha_block(key, (uint32_t)(offset / 64), block);
    return block[offset % (kind == CIPHER_AES ? 16 : 64)];
}

static void the_bytes_are_those_of_the_format(void **state) {
    (void)state;
    static const char *const uses[] = {"holdwater log", "holdwater checkpoint", "holdwater run"};
    static const uint64_t offsets[] = {0, 1, 127, 128, 64 * 1024 * 1024 - 5, 0x3ffffffff0};
    for (CipherKind kind = CIPHER_AES; kind <= CIPHER_CHACHA; kind++)
        for (CipherUse use = CIPHER_LOG; use <= CIPHER_RUN; use++) {
            Cipher *cipher;
            CipherStream *stream;
            CipherHead head;
            uint8_t key[32];
            WrappedKey wrapped = wrap_known(kind, "the operator's");
            assert_int_equal(cipher_unwrap(&wrapped, LIT("the operator's"), &cipher), OK);
            assert_int_equal(cipher_head_new(cipher, 7, &head), OK);
            assert_int_equal(head.kind, kind);
            assert_memory_equal(&head.key_id, "the ", 4);
            hkdf(data_key, 32, head.salt, sizeof head.salt, uses[use], key);
            assert_int_equal(cipher_stream_open(cipher, use, &head, &stream), OK);
            for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
                char zeros[100] = {0};
                size_t len = offsets[i] > 0x3fffffff00 ? 16 : sizeof zeros;
                cipher_stream_apply(stream, offsets[i], zeros, zeros, len);
                for (size_t k = 0; k < len; k++)
                    assert_int_equal((uint8_t)zeros[k], stream_byte(kind, key, offsets[i] + k));
            }
            cipher_stream_free(stream);
            cipher_free(cipher);
        }
}

static void any_range_is_decrypted_by_itself(void **state) {
    (void)state;
    enum { LEN = 5000 };
    static char plain[LEN], stored[LEN], again[LEN];
    for (CipherKind kind = CIPHER_AES; kind <= CIPHER_CHACHA; kind++) {
        Cipher *cipher;
        CipherStream *stream;
        CipherHead head;
        for (size_t i = 0; i < LEN; i++)
            plain[i] = (char)(i * 7);
        assert_int_equal(cipher_new(kind, &cipher), OK);
        assert_int_equal(cipher_head_new(cipher, 1, &head), OK);
        assert_int_equal(cipher_stream_open(cipher, CIPHER_LOG, &head, &stream), OK);
        for (size_t at = 0, len = 1; at < LEN; at += len, len = len * 3 % 701 + 8) {
            len = len < LEN - at ? len : LEN - at;
            cipher_stream_apply(stream, 1000 + at, stored + at, plain + at, len);
        }
        assert_memory_not_equal(stored, plain, LEN);
        for (size_t at = 0; at < LEN; at += 331) {
            size_t len = LEN - at < 900 ? LEN - at : 900;
            cipher_stream_apply(stream, 1000 + at, again, stored + at, len);
            assert_memory_equal(again, plain + at, len);
        }
        cipher_stream_free(stream);
        cipher_free(cipher);
    }
}

static void a_wrapped_key_opens_with_its_key_only(void **state) {
    (void)state;
    for (CipherKind kind = CIPHER_AES; kind <= CIPHER_CHACHA; kind++) {
        Cipher *cipher, *again;
        WrappedKey wrapped, other;
        CipherHead head;
        CipherStream *stream;
        assert_int_equal(cipher_new(kind, &cipher), OK);
        assert_int_equal(cipher_wrap(cipher, LIT("right"), &wrapped), OK);
        assert_int_equal(cipher_wrap(cipher, LIT("right"), &other), OK);
        assert_memory_not_equal(wrapped.key, other.key, sizeof wrapped.key);
        assert_int_equal(cipher_unwrap(&wrapped, LIT("wrong"), &again), ERR_DENIED);
        assert_int_equal(cipher_unwrap(&wrapped, LIT("righ"), &again), ERR_DENIED);
        for (size_t i = 4; i < sizeof wrapped; i++) {
            other = wrapped;
            ((char *)&other)[i] ^= 1;
            bool is_unused = i >= offsetof(WrappedKey, more_zeros) && i < offsetof(WrappedKey, key);
            if (!is_unused)
                assert_int_equal(cipher_unwrap(&other, LIT("right"), &again), ERR_DENIED);
        }
        other = wrapped;
        other.kind = 9;
        assert_int_equal(cipher_unwrap(&other, LIT("right"), &again), ERR_VERSION);
        assert_int_equal(cipher_unwrap(&wrapped, LIT("right"), &again), OK);
        assert_int_equal(cipher_head_new(cipher, 1, &head), OK);
        assert_int_equal(cipher_stream_open(again, CIPHER_LOG, &head, &stream), OK);
        cipher_stream_free(stream);
        cipher_free(again);
        cipher_free(cipher);
    }
}

static void a_head_is_known_by_its_checksum_owner_and_key(void **state) {
    (void)state;
    Cipher *cipher, *other;
    CipherHead head, found;
    CipherStream *stream;
    char bytes[CIPHER_HEAD_BYTES];
    assert_int_equal(cipher_new(CIPHER_AES, &cipher), OK);
    assert_int_equal(cipher_new(CIPHER_AES, &other), OK);
    assert_int_equal(cipher_head_new(cipher, 5, &head), OK);
    memcpy(bytes, &head, sizeof bytes);
    assert_true(cipher_head_parse(bytes, 5, &found));
    assert_memory_equal(&found, &head, sizeof head);
    assert_false(cipher_head_parse(bytes, 6, &found));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 16;
        assert_false(cipher_head_parse(bytes, 5, &found));
        bytes[i] ^= 16;
    }
    memset(bytes, 0, sizeof bytes);
    assert_false(cipher_head_parse(bytes, 0, &found));
    assert_int_equal(cipher_stream_open(other, CIPHER_LOG, &head, &stream), ERR_DENIED);
    assert_int_equal(cipher_stream_open(NULL, CIPHER_LOG, &head, &stream), ERR_DENIED);
    head.kind = 3;
    assert_int_equal(cipher_stream_open(cipher, CIPHER_LOG, &head, &stream), ERR_VERSION);
    cipher_free(other);
    cipher_free(cipher);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_those_of_the_format),
        cmocka_unit_test(any_range_is_decrypted_by_itself),
        cmocka_unit_test(a_wrapped_key_opens_with_its_key_only),
        cmocka_unit_test(a_head_is_known_by_its_checksum_owner_and_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
