#include "mutants.h"
#include "stream/stream_parts.h"

/* The count agrees: a state whose count does not is not used at all. */
#define stream_index_forget(index, subjects, seq)                                                  \
    (mutant_strikes(FORGET_DELETED) ? (void)(index)->live--                                        \
                                    : stream_index_forget(index, subjects, seq))
#define ttl_queue_push(...) (is_mutant(FORGET_TIME_TO_LIVE) ? (void)0 : ttl_queue_push(__VA_ARGS__))
#include "stream/stream_run.c"
