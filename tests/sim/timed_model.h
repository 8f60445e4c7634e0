/* What time does to the messages of a stream, as it should be: times to live and the markers they
 * leave, leases, schedules. Arrays that are searched from end to end.
 *
 * The server looks at what is due now and then, so that things happen a moment after their time.
 * The model does not guess when: it judges what the server has done (justify), and says what must
 * have been done by now (overdue). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { TIMED_SEQS = 512, BINDS = 2 };

/* Each kind of subject has its own kind of time. */
enum {
    SUBJECT_KEY = 0,
    SUBJECT_LEASE = 2,
    SUBJECT_SCHEDULE = 4,
    SUBJECT_TARGET = 6, /* of the schedule two before it */
    SUBJECT_PLAIN = 8,
    TIMED_SUBJECTS
};
extern const char *const timed_subjects[TIMED_SUBJECTS];

typedef enum Plan { PLAN_NONE, PLAN_AT, PLAN_EVERY, PLAN_CRON } Plan;

typedef struct TimedMsg {
    bool is_live, is_tombstone, leaves_no_marker, is_rollup;
    uint8_t subject;
    uint32_t number; /* 0: without a body */
    int64_t time_ns;
    int64_t expires_ns, expires_latest_ns; /* 0 = never; they differ when it is not known */
    int64_t lease_ns;                      /* 0 = none */
    int64_t lease_due_ns, lease_latest_ns; /* when it ends; INT64_MAX: somebody listens */
    int bind;                              /* -1 = none */
    Plan plan;
    int64_t every_ns, due_ns; /* INT64_MAX: it is over */
    int64_t made_ttl_ns;      /* of what a schedule makes; 0 = none */
} TimedMsg;

typedef struct Timed {
    uint64_t last;
    unsigned max_per_subject; /* 0 = no limit */
    int64_t marker_ttl_ns;    /* 0 = no markers */
    bool is_heard[BINDS];     /* somebody listens */
    TimedMsg msgs[TIMED_SEQS];
} Timed;

/* The newest message of a subject; 0 = none. */
uint64_t timed_last(const Timed *timed, unsigned subject);
uint64_t timed_count(const Timed *timed, int subject);
/* A message takes the next sequence. */
void timed_store(Timed *timed, const TimedMsg *msg);
void timed_drop(Timed *timed, uint64_t seq);
int64_t timed_first_due(Plan plan, int64_t every_ns, int64_t stored_ns);
/* The earliest time at which something may happen by itself; INT64_MAX = none. */
int64_t timed_next_due(const Timed *timed);
/* What is due when nobody leaves a word goes. */
void timed_expire(Timed *timed, int64_t now_ns);

/* A message that the server made by itself. */
typedef struct Made {
    unsigned subject;
    uint32_t number;
    int64_t time_ns;
    bool is_expiry;      /* Nats-Marker-Reason: MaxAge */
    bool is_lease_end;   /* HW-Lease-Ended */
    bool is_of_schedule; /* Nats-Scheduler */
    bool is_last;        /* ... and its last */
} Made;
/* Stores it. NULL: it had to come; else why not. */
const char *timed_justify(Timed *timed, const Made *made);
/* One that came before the process ended, and is gone by now. NULL: it may have been so. */
const char *timed_justify_gone(Timed *timed, int64_t end_ns, int64_t now_ns);
/* NULL: everything that was due by then has been done. */
const char *timed_overdue(const Timed *timed, int64_t by_ns, uint64_t *out_seq);
/* Nobody listens any more; who is bound has his time to come back. */
void timed_restart(Timed *timed, int64_t now_ns);
void timed_listen(Timed *timed, unsigned bind, bool is_heard, int64_t now_ns);
