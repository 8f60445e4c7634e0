#include "mutants.h"
#include "store/log.h"

#define log_set_floor(log, floor)                                                                  \
    log_set_floor(log, is_mutant(RECYCLE_EARLY) ? place_of(UINT32_MAX, 0) : (floor))
#include "journal/checkpointer.c"
