#include "mutants.h"
#include "stream/priority.h"
#include "stream/pull.h"

#define priority_admits(consumer, request)                                                         \
    (is_mutant(SHARE_PIN) || priority_admits(consumer, request))
#include "stream/pull.c"
