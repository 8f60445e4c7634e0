/* Pacing: a consumer's rate limit and its replay with the original gaps. Private to the consumer.
 */
#pragma once

#include "stream/consumer.h"

/* Makes or drops the part, as the config says. */
void pacing_refresh(Consumer *consumer);
void pacing_free(Consumer *consumer);
/* Whether the message may go now; else the consumer's timer is set. is_new: no redelivery. */
bool pacing_allows(Consumer *consumer, const StoredMsg *msg, size_t bytes, bool is_new);
/* It goes. */
void pacing_sent(Consumer *consumer, const StoredMsg *msg, size_t bytes, bool is_new);
