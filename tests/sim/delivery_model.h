/* What consumers of one stream deliver, when, to whom and how often, as it should be: arrays that
 * are searched from end to end. Plain data, copied as a whole; whoever drives it is told of each
 * event that a client must see, and of each step that a crash may leave as the last one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    MODEL_CONSUMERS = 3,
    MODEL_SUBJECTS = 3,
    MODEL_SEQS = 320,
    MODEL_REQUESTS = 6,
    MODEL_QUEUE = 2048,
    MODEL_BACKOFFS = 3,
    MODEL_PIN_BYTES = 22,
};

typedef struct ModelMsg {
    bool is_live;
    uint8_t subject;
    uint32_t number;
} ModelMsg;

typedef struct ModelStream {
    uint64_t last;
    ModelMsg msgs[MODEL_SEQS];
} ModelStream;

typedef enum TakeState {
    TAKE_NONE,    /* not delivered, or done with: the consumer's position tells */
    TAKE_PENDING, /* until due_ns */
    TAKE_QUEUED,  /* due again */
    TAKE_ACKING,  /* done with, when the disk has it */
    TAKE_GIVEN_UP,
} TakeState;

typedef struct Take { /* of one message */
    TakeState state;
    uint32_t deliveries;
    uint64_t dseq, due_ns;
    int64_t delay_ns; /* wall time that a client has asked for, and that the log knows; 0 = none */
    bool is_vague;    /* after a crash: when it is due is not known */
} Take;

typedef struct Request {
    unsigned id; /* c * MODEL_REQUESTS and up */
    unsigned served, left;
    uint64_t expires_ns; /* 0 = never */
    bool no_wait;
    unsigned priority, min_pending, min_ack_pending;
    unsigned pin; /* which one it holds; 0 = none */
} Request;

typedef enum Policy {
    POLICY_NONE,
    POLICY_OVERFLOW,
    POLICY_PRIORITIZED,
    POLICY_PINNED,
    POLICIES
} Policy;

typedef struct ModelConsumer {
    bool exists, is_paused;
    int filter; /* a subject; -1 = all */
    Policy policy;
    unsigned max_deliver, max_ack_pending; /* 0 = no limit */
    unsigned wait_count;                   /* more than one: backoff */
    uint64_t waits_ns[MODEL_BACKOFFS], pin_timeout_ns;
    uint64_t delivered_dseq, delivered_sseq, floor_dseq, floor_sseq;
    int64_t pause_until_ns; /* wall; 0 = never paused */
    Take takes[MODEL_SEQS];
    uint16_t queue[MODEL_QUEUE]; /* due again, in order; those no longer queued are passed over */
    unsigned queue_len;
    Request requests[MODEL_REQUESTS];
    unsigned request_count;
    unsigned pin, pin_last; /* 0 = nobody is pinned */
    uint64_t pin_due_ns;
} ModelConsumer;

typedef enum EventKind { EVENT_MESSAGE, EVENT_STATUS, EVENT_MAX_DELIVERIES, EVENT_PAUSE } EventKind;

typedef struct ModelEvent {
    EventKind kind;
    unsigned consumer, request;
    uint64_t seq, deliveries, dseq, pending; /* EVENT_PAUSE: seq = it is paused */
    unsigned pin;                            /* of a message; 0 = none */
    const char *status;
} ModelEvent;

typedef struct Model {
    ModelStream stream;
    ModelConsumer consumers[MODEL_CONSUMERS];
} Model;

/* The two that the driver provides. */
void model_on_event(const ModelEvent *event);
void model_on_step(unsigned consumer);

typedef struct ModelNow {
    uint64_t mono_ns;
    int64_t wall_ns;
} ModelNow;

/* ---- figures ---- */
bool model_covers(const ModelConsumer *consumer, unsigned subject);
uint64_t model_new(const Model *model, unsigned c);
uint64_t model_pending(const ModelConsumer *consumer);
uint64_t model_redelivered(const ModelConsumer *consumer);
/* When the next thing happens by itself, after now; UINT64_MAX = never. */
uint64_t model_next_due(const ModelConsumer *consumer, ModelNow now);

/* ---- what happens ---- */
void model_publish(Model *model, unsigned subject, uint32_t number);
/* Of consumer c: the message is gone. */
void model_remove(Model *model, unsigned c, uint64_t seq);
void model_purge(Model *model, unsigned c);
void model_request(Model *model, unsigned c, const Request *request, bool is_pin_known,
                   ModelNow now);
/* is_early: it makes room for others before the disk has it; not when those are read first. */
void model_ack(Model *model, unsigned c, uint64_t seq, bool is_early, ModelNow now);
void model_nak(ModelConsumer *consumer, uint64_t seq, uint64_t delay_ns, ModelNow now);
void model_progress(ModelConsumer *consumer, uint64_t seq, ModelNow now);
void model_pause(Model *model, unsigned c, int64_t until_ns, ModelNow now);
void model_reset(ModelConsumer *consumer, uint64_t seq);
void model_unpin(ModelConsumer *consumer);
/* Everything that is due now. */
void model_tick(Model *model, unsigned c, ModelNow now);
/* Sends what can be sent. */
void model_pump(Model *model, unsigned c, ModelNow now);
/* What a restart makes of it. */
void model_restart(Model *model, unsigned c, ModelNow now);
