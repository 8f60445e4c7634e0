/* Priority: groups of pull requests: overflow, prioritized, pinned client. Private to the consumer.
 */
#pragma once

#include "stream/consumer.h"
#include "stream/pull_request.h"

typedef struct Pin {
    bool is_set;
    char id[PIN_BYTES];
    int64_t since_ns; /* wall */
    uint64_t due_ns;  /* mono: lapses unless its client asks again */
} Pin;

struct Priority {
    size_t count;
    Pin pins[]; /* by group */
};

/* Makes or drops the part, as the config says. Pins of a kept policy stay. */
void priority_refresh(Consumer *consumer);
void priority_free(Consumer *consumer);

/* Checks a new request; renews a pin. False: it was refused and answered. */
bool priority_on_request(Consumer *consumer, Slice inbox, const PullBody *body, int16_t *out_group);
/* Whether the request may have the next message. */
bool priority_admits(const Consumer *consumer, const PullRequest *request);
/* Not admitted, and never again: it carries another pin. */
bool priority_has_lost_pin(const Consumer *consumer, const PullRequest *request);
/* The request gets the next message: may become pinned. True: *out_pin (may be empty) goes into the
 * message's headers. */
bool priority_on_serve(Consumer *consumer, PullRequest *request, Slice *out_pin);
/* Lapsed pins; when the next lapses, 0 = none. */
uint64_t priority_tick(Consumer *consumer, uint64_t now_ns);
/* False when there is no such group. */
bool priority_unpin(Consumer *consumer, Slice group);
