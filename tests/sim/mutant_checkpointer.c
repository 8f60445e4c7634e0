#include "mutants.h"
#include "store/log.h"

#define log_set_floor(log, floor)                                                                  \
    log_set_floor(log, is_mutant(RECYCLE_EARLY) ? log_head(log) : (floor))
#include "journal/checkpointer.c"
