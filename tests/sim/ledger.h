/* What streams should hold, with everything that publishes, configs and time do to messages: arrays
 * that are searched from end to end. Plain data, copied as a whole. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { LEDGER_STREAMS = 4, LEDGER_SUBJECTS = 6, LEDGER_SEQS = 480, LEDGER_IDS = 6, PUB_TEXT = 256 };

/* Streams publish to themselves, or take what others have. */
typedef enum LedgerKind { LEDGER_PLAIN, LEDGER_COUNTER, LEDGER_MIRROR, LEDGER_SOURCED } LedgerKind;

extern const char *const ledger_names[LEDGER_STREAMS];
/* Behind the stream's name: "A.a.x". */
extern const char *const ledger_subjects[LEDGER_SUBJECTS];

typedef struct LedgerConfig { /* 0 = none */
    uint32_t max_msgs, max_bytes, max_per_subject, max_age_s, marker_ttl_s, first_seq;
    bool is_new, is_new_per_subject, has_ttl, is_compressed;
} LedgerConfig;

typedef struct LedgerMsg {
    bool is_live, is_never, is_without_marker;
    bool is_maybe;   /* live or not: the time of day was set back meanwhile */
    bool is_expired; /* gone by time alone */
    bool is_guessed; /* its time, and with it when it is due */
    uint8_t subject;
    uint32_t number; /* in the payload; no two have the same. Markers have none: 0 */
    uint32_t bytes;  /* as accounted */
    int64_t time_ns, due_ns;
} LedgerMsg;

typedef struct LedgerId {
    uint64_t seq; /* 0 = not seen */
    int64_t time_ns;
} LedgerId;

typedef struct LedgerStream {
    bool exists, was_purged;
    LedgerKind kind;
    LedgerConfig config;
    uint64_t last;
    LedgerMsg msgs[LEDGER_SEQS];
    LedgerId ids[LEDGER_IDS];
    int64_t totals[LEDGER_SUBJECTS]; /* of counters, as their last message says */
} LedgerStream;

typedef struct Ledger {
    LedgerStream streams[LEDGER_STREAMS];
} Ledger;

/* A message on its way. */
typedef struct LedgerPub {
    uint8_t subject;
    uint32_t number;
    unsigned id; /* LEDGER_IDS = none */
    uint32_t ttl_s;
    bool is_never, is_purge;
    char rollup; /* 0, 's'ubject, 'a'll */
    int increment;
    char headers[PUB_TEXT], payload[PUB_TEXT];
} LedgerPub;

/* What only the server knows is taken from it: a message that may be there or not, its time. */
void ledger_learn(LedgerMsg *msg, bool is_there, int64_t time_ns);
/* It was accepted at that time: takes a sequence, pushes others out, rolls up. */
void ledger_store(LedgerStream *stream, unsigned name, const LedgerPub *pub, int64_t time_ns);
void ledger_drop(LedgerStream *stream, uint64_t seq);
/* Everything that is due is gone; markers come. */
void ledger_expire(LedgerStream *stream, unsigned name, int64_t now_ns);
/* When a message goes by itself; INT64_MAX: never. */
int64_t ledger_due_ns(const LedgerStream *stream, uint64_t seq);
/* The config took effect. */
void ledger_trim(LedgerStream *stream);

/* Live messages of a subject, -1 = any; 0 and 0 when there is none. */
uint64_t ledger_count(const LedgerStream *stream, int subject, uint64_t *out_first,
                      uint64_t *out_last);
uint64_t ledger_bytes(const LedgerStream *stream);
/* Whether discard new has reason to refuse it. */
bool ledger_is_full_for(const LedgerStream *stream, unsigned name, const LedgerPub *pub);
uint32_t ledger_accounted(unsigned name, const LedgerPub *pub);
/* A pattern of tokens behind the stream's name. */
bool ledger_covers(const char *pattern, unsigned subject);
