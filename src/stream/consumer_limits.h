/* What a stream's consumers say to new consumer_limits. */
#pragma once

#include "stream/consumer_set.h"

/* Appends the names, separated by ", ", of consumers whose config is above config's consumer
 * limits. */
void consumer_limits_find_above(ConsumerSet *set, const StreamConfig *config, Buf *out_names);
