#include "mutants.h"
#include "stream/stream_parts.h"

#define stream_index_forget(...)                                                                   \
    (mutant_strikes(FORGET_DELETED) ? (void)0 : (void)stream_index_forget(__VA_ARGS__))
#define ttl_queue_push(...) (is_mutant(FORGET_TIME_TO_LIVE) ? (void)0 : ttl_queue_push(__VA_ARGS__))
#include "stream/stream_run.c"
