/* One seed of everything that the streams of one server have, under faults, against the ledger.
 *
 * An operation changes the ledger step by step, each step in the chain; the server's answer
 * confirms the last one. When none came because a fault struck, what the server then holds must be
 * one of the steps, whole: before the operation, after it, or, where it is many entries, in
 * between. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"
#include "jetstream_sim.h"
#include "ledger.h"

enum {
    WHOLE_BURST_MAX = 6, /* publishes at once */
    CHAIN_MAX = 12,
    WATCHERS = SIM_WATCHERS
};

/* Payloads with a number up to SAME_NUMBERS are large, and equal when the number is. */
enum { SIM_CHUNK_BYTES_MIN = 100, SAME_NUMBERS = 5, NUMBERS_MAX = 16384 };

typedef struct Whole {
    uint64_t seed;
    Rand rand;
    bool is_telling;
    bool is_careful; /* everything is looked at after each operation */
    SimOptions options;
    bool has_chunks;         /* some payloads are large and equal */
    bool has_frames;         /* some streams want compression */
    uint64_t framed;         /* bytes of frames */
    Ledger now;              /* after all that was done */
    Ledger chain[CHAIN_MAX]; /* what may be instead, when an operation is open: chain[0] before */
    unsigned chain_len;
    bool is_refused;      /* the operation was answered with an error */
    bool is_owed;         /* what was refused may come by itself when the disk works again */
    bool is_apart;        /* streams may be at different steps of the chain */
    bool is_copy_settled; /* the copying stream has nothing to wait for */
    uint32_t number_last;
    /* Which numbers were sent to a stream since it was made, accepted or not: bits of subjects. */
    uint8_t sent[LEDGER_STREAMS][NUMBERS_MAX];
    int64_t wall_max_ns; /* the latest time of day there was */
    uint64_t watched[WATCHERS];
    uint64_t lines;       /* that the server logged as warnings and errors */
    bool has_fault;       /* operations may be refused */
    bool is_clock_moving; /* backwards too */
    uint64_t epoch;       /* batches get new names */
} Whole;

extern Whole whole;
/* A mutation. */
extern bool whole_forgets_chunks;

/* False: *out_problem says what is wrong with the server. */
bool whole_seed(uint64_t seed, bool is_telling, bool is_careful, char *out_problem,
                size_t problem_size);

/* Ends the seed. */
_Noreturn void whole_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void whole_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

unsigned pick(unsigned below);

/* ---- whole_look.c ---- */

typedef struct SeenMsg {
    bool is_there, is_damaged;
    uint8_t subject; /* LEDGER_SUBJECTS = none of ours */
    uint32_t number;
    int64_t time_ns;
    uint64_t origin_seq;
} SeenMsg;

typedef struct Seen {
    bool exists;
    uint64_t messages, bytes, first, last, subjects, of_subject[LEDGER_SUBJECTS];
    uint64_t max_msgs, max_bytes, max_per_subject, max_age_ns; /* 0 = none */
    bool is_new_per_subject;
    SeenMsg msgs[LEDGER_SEQS];
} Seen;

/* NULL: the disk was stopped meanwhile. Borrowed until the next call. */
const Seen *look_at(unsigned stream);
/* NULL: it holds what it should. Else what is different. */
/* Stream learns what only the server knows. */
const char *look_differs(LedgerStream *stream, const Seen *seen);
void look_check(unsigned stream);
/* Times that could not be known are asked for. */
void look_learn(void);
/* After a restart, or when an operation was not confirmed: sets whole.now to what fits; of several
 * steps to the last one, or, is_early, to the first. */
void look_resolve(bool is_early);
/* Everything that came to watchers, against the ledger. is_settled: nothing may be missing. */
void look_watched(bool is_settled);
void look_check_copy(bool is_settled);
/* Questions about a part of a stream. */
void look_ask_part(unsigned stream);

/* "$JS.API.<verb>.<stream>"; the answer, NULL: none. */
const char *ask(const char *verb, unsigned stream, const char *body);
bool has_succeeded(const char *answer);
uint64_t number_after(const char *text, const char *key);

/* ---- whole_ops.c: each returns whether the server has confirmed it ---- */

void op_create_streams(void);
void op_watch(unsigned first, unsigned count);
/* A new chain, of what is. */
void op_begin(void);
/* The touch of which one does not know whether it was. */
void op_touch_again(unsigned stream, unsigned subject);
/* A multiple of ten seconds passes; all that is due then goes. */
bool op_wait(int64_t ns);
bool op_any(void);
void op_push_chain(void);
bool op_judge(const char *answer);
void draw_pub(unsigned stream, LedgerPub *out_pub);
void draw_plain(unsigned stream, LedgerPub *out_pub);

/* ---- whole_damage.c: at the end of a seed ---- */

void damage_flip(void);
void damage_check_room(void);

/* ---- whole_batches.c ---- */

bool op_burst(void);
bool op_atomic(unsigned stream, unsigned members);
bool op_fast(unsigned stream);
bool op_transaction(void);
