#include "io/disk.h"
#include "mutants.h"
#include "store/log_private.h"

static uint64_t get_or_head(const Log *log, const Counter *counter) {
    bool is_wrong = is_mutant(RECYCLE_EARLY) && counter == &log->floor;
    return is_wrong ? log_head(log) : counter_get(counter);
}

#define disk_sync_dir(path)  (is_mutant(SYNC_NO_NAMES) ? OK : disk_sync_dir(path))
#define counter_get(counter) get_or_head(log, counter)
#include "store/log_segment.c"
