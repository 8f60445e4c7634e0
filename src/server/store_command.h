/* StoreCommand: what is done with a store without a server:
 *   backup DIR TARGET [--json]
 *   restore TARGET DIR [--at TIME | --seq BLOCK] [--key-file FILE] [--json]
 *   check-store DIR [--key-file FILE] [--json]
 * The key of an encrypted store is the text in FILE, without a line's end behind it, or that of the
 * environment variable HOLDWATER_KEY.
 * Exit codes: 0 done, and whole; 1 done, and something is damaged; 2 not done. */
#pragma once

#include <stdbool.h>

bool store_command_is(const char *word);
int store_command_run(int argc, char **argv);
