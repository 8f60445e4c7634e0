#include "store/sha256.h"

#include <openssl/evp.h>

#include "base/assert.h"

void sha256(Slice bytes, uint8_t out_hash[SHA256_BYTES]) {
    unsigned len = 0;
    int is_done =
        EVP_Digest(bytes.len ? bytes.ptr : "", bytes.len, out_hash, &len, EVP_sha256(), NULL);
    ASSERT(is_done == 1 && len == SHA256_BYTES);
}
