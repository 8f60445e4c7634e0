#include "mutants.h"
#include "stream/stream_parts.h"

#define stream_store_decided(...)                                                                  \
    (mutant_strikes(HALF_BATCH) ? (void)0 : stream_store_decided(__VA_ARGS__))
#include "stream/stream_batch_apply.c"
