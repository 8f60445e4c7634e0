/* Pull: the part of a consumer that answers requests for messages, round robin, one message per
 * request. Private to the consumer. */
#pragma once

#include "stream/consumer.h"
#include "stream/pull_request.h"

struct Pull {
    List waiting; /* PullRequest, whose turn comes first is first; by priority where the consumer
                     has some */
    size_t count;
    size_t hasty_count; /* of those: end when there is nothing to be had */
    uint64_t asked;     /* messages that they want */
    DrainWait drain;
    Consumer *consumer;
    bool is_draining;
};

void pull_new(Consumer *consumer);
/* Requests are dropped without a word. */
void pull_free(Consumer *consumer);

/* A request: it waits, or gets its status at once. */
void pull_on_request(Consumer *consumer, Slice inbox, Slice body);

/* The request that gets a message of that size, taken out of the queue; NULL when none qualifies.
 * Requests whose end is due end here. */
PullRequest *pull_take(Consumer *consumer, size_t bytes);
/* The message was sent: the request goes on waiting or is done. Takes request. */
void pull_served(Consumer *consumer, PullRequest *request, size_t bytes);

/* Nothing is to be had now: requests that do not want to wait end. */
void pull_on_nothing(Consumer *consumer);
/* Some who wait would not, had there not been something for them that is held up. */
static inline bool pull_has_hasty(const Consumer *consumer) {
    return consumer->pull && consumer->pull->hasty_count > 0;
}
/* Every request ends with status. */
void pull_end_all(Consumer *consumer, Slice status);
/* Every request of all consumers ends with status and what was left of it. */
void pull_end_everywhere(ConsumerSet *set, Slice status);
/* Requests whose inbox still has interest; drops the others. */
size_t pull_count(Consumer *consumer);
/* A request ends with status and what was left of it. Takes request, which may be in the queue. */
void pull_end(Consumer *consumer, PullRequest *request, Slice status, bool has_left);
