/* How acks of the second form name an account. */
#pragma once

#include "base/slice.h"

enum { ACCOUNT_HASH_LEN = 8 };

/* The first bytes of SHA-256 of the name, each as a base62 digit. */
void account_hash_write(Slice account, char out[ACCOUNT_HASH_LEN]);
