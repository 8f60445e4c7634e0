#include "mutants.h"
#include "stream/consumer.h"

static Status parse_unpaused(Slice json, ConsumerConfig **out_config) {
    Status status = consumer_config_parse_stored(json, out_config);
    if (status == OK && is_mutant(FORGET_PAUSE))
        (*out_config)->has_pause_until = false;
    return status;
}

#define consumer_config_parse_stored(json, out_config) parse_unpaused(json, out_config)
#define pending_add(pending, sseq, dseq, deliveries, due_ns)                                       \
    pending_add(pending, sseq, dseq, is_mutant(FORGET_DELIVERIES) ? 1 : (deliveries), due_ns)
#define pending_set_due(pending, entry, due_ns)                                                    \
    (is_mutant(FORGET_DELAY) ? (void)0 : pending_set_due(pending, entry, due_ns))
#include "stream/consumer_state.c"
