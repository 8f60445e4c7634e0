#include "stream/account_hash.h"

#include <openssl/evp.h>

#include "base/assert.h"

enum { SHA256_BYTES = 32 };

void account_hash_write(Slice account, char out[ACCOUNT_HASH_LEN]) {
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    int done =
        EVP_Digest(account.ptr ? account.ptr : "", account.len, sum, &len, EVP_sha256(), NULL);
    ASSERT(done == 1 && len == SHA256_BYTES);
    for (size_t i = 0; i < ACCOUNT_HASH_LEN; i++)
        out[i] = digits[sum[i] % 62];
}
