/* One seed of what consumers deliver: a stream, its consumers, their requests and the time that
 * passes, under crashes, against delivery_model.h. Each message, status and advisory must be the
 * one that the model expects, in its order, and nothing else may come.
 *
 * Where the process ends in the middle of an operation, each consumer is afterwards at one of the
 * steps that the model took: the log has a prefix of what happened. */
#pragma once

#include "base/rand.h"
#include "delivery_model.h"
#include "jetstream_sim.h"

enum { STEPS_KEPT = 96, EVENTS_MAX = 256, PINS_MAX = 256 };

typedef struct ChainLink { /* a step: the consumer as it was then */
    ModelConsumer consumer;
    unsigned stream_step;
} ChainLink;

typedef struct Chain {
    ChainLink links[STEPS_KEPT];
    unsigned len, min; /* those before min cannot be: what came behind was confirmed */
} Chain;

typedef struct DeliverySim {
    uint64_t seed;
    Rand rand;
    bool is_telling;
    SimOptions options;
    Model now;
    Chain chains[MODEL_CONSUMERS];
    ModelStream streams[2]; /* before and after the operation */
    unsigned stream_len, stream_min;
    ModelEvent expected[EVENTS_MAX], came[EVENTS_MAX];
    unsigned expected_len, came_len;
    bool is_resolving; /* steps are not kept */
    bool is_cold;      /* messages come from the disk first */
    unsigned request_last;
    uint32_t number_last;
    char pins[MODEL_CONSUMERS][PINS_MAX][MODEL_PIN_BYTES + 1];
    char pins_came[EVENTS_MAX][MODEL_PIN_BYTES + 1];
    uint32_t numbers_came[EVENTS_MAX];
    char answer[2048]; /* of the operation; empty: none */
} DeliverySim;

extern DeliverySim delivery;

/* False: *out_problem says what is wrong with the server. */
bool delivery_seed(uint64_t seed, bool is_telling, char *out_problem, size_t problem_size);

_Noreturn void delivery_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void delivery_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned delivery_pick(unsigned below);
ModelNow delivery_now(void);
/* What is now is where a crash may go back to. */
void delivery_begin(void);
/* The stream has made its step. */
void delivery_note_stream(void);

/* ---- delivery_hear.c ---- */

/* Runs, and holds everything that came against what is expected. */
void hear_run(void);
/* Tells, runs; the answer, or "". */
const char *hear_ask(const char *subject, const char *body);
/* The numbers of a consumer, against the model. NULL: they agree; else what differs. */
const char *hear_differs(Model *model, unsigned c);
/* Runs; whether what comes for c, and only for c, is what is expected now. */
bool hear_is_expected(unsigned c);
/* Holds what came against what is expected. */
void hear_judge(void);
/* After a restart: sets delivery.now to what fits. */
void hear_resolve(void);

/* ---- delivery_ops.c ---- */

void ops_create_stream(void);
void ops_any(void);
void ops_wait(uint64_t ns);
/* Acknowledges what is due at a time that is not known. */
void ops_settle(void);
