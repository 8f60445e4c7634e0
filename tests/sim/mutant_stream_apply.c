#include "mutants.h"
#include "store/log.h"

#define log_add_live(log, place, bytes)                                                            \
    (is_mutant(FORGET_ADD) ? (void)0 : log_add_live(log, place, bytes))
#include "stream/stream_apply.c"
