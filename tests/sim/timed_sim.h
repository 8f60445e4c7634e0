/* One seed of what time does to the messages of a stream, under crashes, against timed_model.h. */
#pragma once

#include "base/rand.h"
#include "jetstream_sim.h"
#include "timed_model.h"

typedef struct TimedSim {
    uint64_t seed;
    Rand rand;
    bool is_telling;
    SimOptions options;
    Timed now;
    TimedMsg open; /* a message of which it is not known whether it is stored */
    bool has_open;
    uint64_t open_drop; /* the same of one that was to be deleted; 0 = none */
    uint32_t number_last;
    int64_t end_ns, start_ns; /* of the processes before and now */
} TimedSim;

extern TimedSim timed_sim;

/* False: *out_problem says what is wrong with the server. */
bool timed_seed(uint64_t seed, bool is_telling, char *out_problem, size_t problem_size);

_Noreturn void timed_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void timed_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
unsigned timed_pick(unsigned below);

/* ---- timed_look.c ---- */

/* What the server has stored since, against the model; the rest too when is_whole. Nothing may be
 * left undone that was due when the last moment began. */
void timed_look(bool is_whole);
/* Time passes; everything comes in its time and nothing before. */
void timed_wait_until(int64_t wall_ns);
/* After a restart. */
void timed_resolve(void);

/* ---- timed_ops.c ---- */

void timed_op_create_stream(void);
void timed_op_any(void);
/* The clock moves on to where a process may start. */
void timed_move_to_start(void);
/* What is not known of a time to live is said again. */
void timed_op_settle(void);
