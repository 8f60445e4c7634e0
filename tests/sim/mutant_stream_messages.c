#include "mutants.h"
#include "stream/stream_parts.h"

#define ttl_queue_push(...) (is_mutant(FORGET_TIME_TO_LIVE) ? (void)0 : ttl_queue_push(__VA_ARGS__))
#include "stream/stream_messages.c"
