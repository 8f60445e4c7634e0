/* Nuid: 22 base62 characters, unique with overwhelming odds. Also short base62 names. */
#pragma once

#include "base/rand.h"
#include "base/slice.h"

enum { NUID_LEN = 22 };

/* Writes len base62 characters to out; no zero behind them. */
void nuid_write(Rand *rand, char *out, size_t len);
