#include "base/nuid.h"

void nuid_write(Rand *rand, char *out, size_t len) {
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < len; i++)
        out[i] = digits[rand_below(rand, 62)];
}
