/* Push: the part of a consumer that sends to a fixed subject while somebody subscribes exactly
 * that. Private to the consumer. */
#pragma once

#include "stream/consumer.h"

struct Push {
    InterestWatch watch;
    DrainWait drain;
    Consumer *consumer;
    uint64_t sent_ns;      /* mono, of the last message or heartbeat */
    uint64_t window_bytes; /* flow control: 0 = none */
    uint64_t out_bytes;    /* sent and not credited, the asked ones included */
    uint64_t asked_bytes;  /* that the outstanding request covers */
    bool is_watching, is_active, is_asking, is_draining;
    char token[4]; /* of the outstanding request */
    uint16_t subject_len, queue_len;
    char text[]; /* subject, queue */
};

void push_new(Consumer *consumer, Slice subject, Slice queue);
void push_free(Consumer *consumer);
/* No more interest, no more waiting. */
void push_stop(Consumer *consumer);
/* Watches interest, starts heartbeats. */
void push_start(Consumer *consumer);

static inline bool push_is_active(const Consumer *consumer) {
    return consumer->push->is_active;
}
static inline Slice push_subject(const Consumer *consumer) {
    return slice_from(consumer->push->text, consumer->push->subject_len);
}

/* False: nobody listens, the window is full, or receivers are congested; pumped again when that
 * ends. */
bool push_may_send(Consumer *consumer);
/* After a message: asks for an answer when more than half of the window is out. */
void push_sent(Consumer *consumer, size_t bytes);
/* Heartbeat when due; when it is due next, 0 = never. */
uint64_t push_tick(Consumer *consumer, uint64_t now_ns);
