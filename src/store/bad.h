/* Bad: copies of damaged bytes in the store's folder bad/, for who wants to look at them later.
 * Private to store/. */
#pragma once

#include <stddef.h>

#include "store/record.h"

/* bad/log-<segment>-<offset>.block. One that is there already, of an earlier start mostly, stays.
 * Failing is only logged. Blocking. */
void bad_keep_block(const char *bad_dir, Place at, const char *bytes, size_t len);
/* bad/<name>. The same. */
void bad_keep(const char *bad_dir, const char *name, const char *bytes, size_t len);
