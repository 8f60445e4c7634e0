/* CopySource: one origin of a mirror or sourcing stream, and the consumer there. Private to
 * copy*.c. */
#pragma once

#include "base/vec.h"
#include "io/timer.h"
#include "proto/transform.h"
#include "stream/copy.h"
#include "stream/stream_parts.h"

enum {
    COPY_NAME_MAX = 32,
    COPY_TOKEN_LEN = 8,
};

typedef enum CopyState {
    COPY_STOPPED, /* the stream has not started */
    COPY_WAITING, /* for the next try, or for entries in flight */
    COPY_ASKING,  /* the consumer is asked for */
    COPY_RUNNING,
} CopyState;

/* Entries are applied first, then the origin's question is answered. */
typedef struct CopyFlow {
    Buf reply; /* empty = none waits */
    uint64_t appended_at;
    uint64_t dseq, sseq;
} CopyFlow;

struct CopySource {
    Port port; /* first */
    Copies *copies;
    const SourceConfig *config; /* in the stream's config */
    bool is_mirror;
    Buf origin; /* as the header names it: the stream, and the API when that is another one's */
    Buf filters, dests; /* as the header shows them */
    uint64_t key;
    Transform **transforms;
    size_t transform_count;
    char name[COPY_NAME_MAX]; /* of the consumer that is asked for */

    CopyState state;
    Timer timer;
    Sub *reply_sub, *deliver_sub;
    Buf consumer; /* as the origin has named it; given up with the next try, as that is no moment
                     in which it may be sending */
    bool acks_by_flow;
    bool has_missed;    /* a message came before the answer */
    bool has_forgotten; /* the origin is another incarnation: from its beginning */
    uint64_t tried_ns;  /* mono; 0 = never */
    unsigned failures;  /* in a row */
    uint64_t heard_ns;  /* mono; 0 = never */
    uint64_t lag;
    uint64_t dseq; /* of the last message; with has_dseq */
    bool has_dseq;
    char identity[COPY_IDENTITY_LEN];
    uint64_t taken_seq; /* position with what is in flight */
    uint64_t in_flight, appended, applied;
    CopyFlow flow;
    StreamWait counter_wait;
    uint16_t error_http, error_code;
    Buf error; /* text; empty = none */
};

struct Copies {
    Stream *stream;
    CopySource **at;
    size_t len;
    bool is_started;
    CopyPositions positions;
    Buf subject, headers, payload; /* of the entry being made */
};

static inline Slice copy_name(const CopySource *source) {
    return slice_of_text(source->name);
}
static inline Worker *copy_home(const CopySource *source) {
    return source->port.home;
}
static inline Stream *copy_stream(const CopySource *source) {
    return source->copies->stream;
}

/* The last sequence of the origin that is applied. */
uint64_t copy_position(const CopySource *source);

/* copy_source.c */
CopySource *copy_source_new(Copies *copies, const SourceConfig *config, bool is_mirror);
/* After copy_source_stop, or when the bus goes too. */
void copy_source_free(CopySource *source);
uint64_t copy_key(const SourceConfig *config);
/* First try, now. */
void copy_source_start(CopySource *source);
/* No more from this consumer; the next one not before two seconds after the last try. */
void copy_source_restart(CopySource *source);
/* For good. */
void copy_source_stop(CopySource *source);
/* Something in flight came back. */
void copy_source_settled(CopySource *source);

/* copy_request.c */
/* Subscribes and asks the origin for a consumer behind the position. */
void copy_ask(CopySource *source);
/* The answer. */
void copy_on_answer(CopySource *source, const Message *message);
void copy_unsubscribe(CopySource *source);
/* Tells the origin that its consumer is not needed any more. */
void copy_give_up_consumer(CopySource *source);

/* copy_message.c */
void copy_on_message(CopySource *source, const Message *message);
/* Answers the origin's question when all that came before it is applied. */
void copy_answer_flow(CopySource *source);
