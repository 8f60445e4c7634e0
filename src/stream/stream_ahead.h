/* StreamAhead: a message on its way into the processor's caches, before it is read.
 *
 * To find and read one misses the caches several times, each of which must be waited for before the
 * next is known. So whoever has many to read takes each step for all of them before the next step:
 * then they wait together. Steps only look; a message that lies elsewhere is left alone. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

typedef struct Stream Stream;

enum { STREAM_AHEAD_STEPS = 4 };

typedef struct StreamAhead {
    Stream *stream; /* NULL: nothing is looked at */
    Slice subject;  /* whose last message is wanted */
    uint64_t hash;  /* private */
    uint64_t seq;   /* after the last step: that message's sequence; 0 = not known */
} StreamAhead;

/* Steps 0, 1, .. with the stream unchanged between them. */
void stream_ahead(StreamAhead *ahead, unsigned step);
