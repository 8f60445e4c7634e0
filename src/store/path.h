/* Paths of the store's files. Private to store/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/slice.h"

/* Owned; path_free. */
char *path_join(const char *dir, const char *name);
/* "<dir>/<prefix><number><suffix>". */
char *path_numbered(const char *dir, const char *prefix, uint64_t number, const char *suffix);
void path_free(char *path);
DEFINE_CLEANUP(char, path_free)

/* True when name is prefix, a decimal number without needless zeros, suffix. */
bool path_number_of(const char *name, const char *prefix, const char *suffix, uint64_t *out_number);
