/* StreamAwait: waits until a stream has applied what a reader wants to see, for a bounded time. */
#pragma once

#include "io/timer.h"
#include "stream/stream.h"

enum {
    /* Readers that wait for one stream; over it, the next ones are refused. */
    STREAM_AWAITS_MAX = 10000,
};

typedef enum AwaitEnd {
    AWAIT_REACHED,
    AWAIT_TIMED_OUT,
    AWAIT_GONE, /* the stream is being deleted */
} AwaitEnd;

/* Embedded in a heap object. */
typedef struct StreamAwait StreamAwait;
struct StreamAwait {
    uint64_t seq;     /* last_seq must have reached it; 0 = not asked */
    uint64_t index;   /* private: entries up to here must be applied */
    int64_t wait_ns;  /* for how long at most */
    bool is_settling; /* everything that was appended before must be applied */
    Stream *stream;
    Link link;
    Timer timer;
    void (*ended)(StreamAwait *await, AwaitEnd end); /* once; the owner may free it */
};

/* True: there is nothing to wait for, as things stand now. */
bool stream_await_is_reached(const Stream *stream, uint64_t seq, bool is_settling);
/* seq, wait_ns, is_settling and ended are set. ended is called later, never from here. ERR_FULL:
 * too many wait. */
MUST_CHECK Status stream_await(Stream *stream, StreamAwait *await);

/* For stream*.c: an entry was applied or refused. O(those that are reached). */
void stream_awaits_check(Stream *stream);
void stream_awaits_init(Stream *stream);
void stream_awaits_end(Stream *stream);
