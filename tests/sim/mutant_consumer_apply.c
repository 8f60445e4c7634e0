#include "mutants.h"
#include "stream/consumer.h"

#define consumer_apply_given_up(consumer, sseq)                                                    \
    (is_mutant(FORGET_GIVEN_UP) ? (void)0 : consumer_apply_given_up(consumer, sseq))
#define consumer_reset(consumer, seq)                                                              \
    (is_mutant(FORGET_RESET) && !(consumer)->is_started ? (void)0 : consumer_reset(consumer, seq))
#include "stream/consumer_apply.c"
