/* Streams of the three retentions with their consumers, as they should be: arrays that are searched
 * from end to end. Plain data, copied as a whole. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { STREAMS = 3, SUBJECTS = 6, CONSUMERS = 3, SEQS = 512, IDS = 8, FILTERS = 4 };

typedef enum Kind { LIMITS, INTEREST, WORKQUEUE } Kind;

/* Behind the stream's name: "L.a.x". */
extern const char *const model_names[STREAMS];
extern const char *const model_subjects[SUBJECTS];
extern const char *const model_filters[FILTERS];

typedef struct ModelMsg {
    bool is_live;
    uint8_t subject;
    uint32_t payload;
} ModelMsg;

typedef struct ModelTake { /* of one message by one consumer */
    bool is_pending, is_acked, is_maybe_acked;
    uint32_t deliveries;
    uint64_t dseq, due_ns;
} ModelTake;

typedef struct ModelConsumer {
    bool exists;
    unsigned filter;
    uint64_t delivered;
    ModelTake takes[SEQS];
} ModelConsumer;

typedef struct ModelStream {
    Kind kind;
    uint64_t max_msgs, max_per_subject; /* 0 = none */
    uint64_t last;
    ModelMsg msgs[SEQS];
    uint64_t ids[IDS];
    ModelConsumer consumers[CONSUMERS];
} ModelStream;

typedef struct Model {
    ModelStream streams[STREAMS];
    uint32_t payload_last;
} Model;

bool model_covers(unsigned filter, unsigned subject);
/* The consumer is still to have it. */
bool model_wants(const ModelStream *stream, const ModelConsumer *consumer, uint64_t seq);
bool model_is_needed(const ModelStream *stream, uint64_t seq);
void model_drop(ModelStream *stream, uint64_t seq);
/* Live messages of a subject, -1 = any; 0 and 0 when there is none. */
uint64_t model_count(const ModelStream *stream, int subject, uint64_t *out_first,
                     uint64_t *out_last);
/* A message that was accepted: takes a sequence, is kept if it is wanted, pushes others out. */
void model_store(ModelStream *stream, unsigned subject, uint32_t payload);
/* The consumer has finished with it. */
void model_finish(ModelStream *stream, ModelConsumer *consumer, uint64_t seq);
