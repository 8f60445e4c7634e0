#include "proto/digest.h"

#include <openssl/evp.h>

#include "base/assert.h"

void digest_sha256(Slice bytes, uint8_t out[SHA256_BYTES]) {
    unsigned len = 0;
    int done = EVP_Digest(bytes.ptr ? bytes.ptr : "", bytes.len, out, &len, EVP_sha256(), NULL);

    ASSERT(done == 1 && len == SHA256_BYTES);
}
