/* The part of StoreCheck that is not the log: index runs, files that are not the store's, bad/.
 * Private to store/. */
#pragma once

#include "store/store_check.h"

/* Adds to check. ERR_IO. */
MUST_CHECK Status store_check_files(const char *dir, StoreCheck *check);
