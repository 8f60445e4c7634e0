/* KeyFile: a third copy of the wrapped data key, in the file KEY. SUPER is written often, and both
 * of its copies may be lost; what they say can be found in the log, but not the key. KEY is only
 * written when the key changes. Private to store/.
 *
 *   offset  size  field
 *        0     8  magic "HWSTOKEY"
 *        8     4  version (1)
 *       12     4  zero
 *       16   120  the wrapped key (store/cipher.h)
 *      136     8  XXH3-64 of the 136 bytes before
 */
#pragma once

#include "base/status.h"
#include "store/cipher.h"

/* ERR_NOT_FOUND; ERR_CORRUPT; ERR_VERSION; ERR_IO. Blocking. */
MUST_CHECK Status key_file_read(const char *dir, WrappedKey *out_key);
/* Replaces it, unless it says the same. Durable after it. Blocking. */
MUST_CHECK Status key_file_write(const char *dir, const WrappedKey *key);
