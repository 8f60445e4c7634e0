#include "mutants.h"
#include "store/log.h"

static void drop(Log *log, Place place, uint64_t bytes) {
    if (!mutant_strikes(FORGET_DROP))
        log_drop_dead(log, place, bytes);
}

#define log_drop_dead(log, place, bytes) drop(log, place, bytes)
#include "stream/stream_limits.c"
