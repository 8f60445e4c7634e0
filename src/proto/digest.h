/* Digests of bytes. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

enum { SHA256_BYTES = 32 };

void digest_sha256(Slice bytes, uint8_t out[SHA256_BYTES]);
