#include "io/disk.h"
#include "mutants.h"

#define disk_sync_dir(path) (is_mutant(SYNC_NO_NAMES) ? OK : disk_sync_dir(path))
#include "store/checkpoint.c"
