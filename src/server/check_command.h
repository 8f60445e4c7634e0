/* CheckCommand: "holdwater check-store DIR": reads a whole store, also one in use, changes nothing,
 * and says what is damaged. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

/* Exit codes of the commands on stores. */
enum {
    STORE_WHOLE = 0,
    STORE_DAMAGED = 1, /* something is damaged; it was all the same looked at to the end */
    STORE_NOT_DONE =
        2, /* wrong words, no store there, of another program or version, not readable */
};

/* Prints to stdout; the exit code. key: empty, or of an encrypted store. */
int check_command_run(const char *dir, Slice key, bool is_json);
