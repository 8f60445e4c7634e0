/* Touch: gives the newest message of a subject another time to live, without writing it again
 * (docs/EXTENSIONS.md). Changed times are kept beside the messages, by sequence. */
#pragma once

#include "stream/stream.h"

typedef struct TouchRequest {
    Slice subject;
    uint64_t seq;   /* that the message must have; 0 = whichever */
    int64_t ttl_ns; /* TOUCH_NEVER: it never expires; TOUCH_AS_BEFORE: a lease's own */
    Slice bind;     /* a lease's new one; empty = as before */
} TouchRequest;
enum { TOUCH_NEVER = -1, TOUCH_AS_BEFORE = 0 };

/* The call is answered when the entry is applied. Takes call. */
void stream_propose_touch(Stream *stream, const TouchRequest *request, ApiCall *call);
void stream_apply_touch(Stream *stream, const Record *record, ApiCall *call);

/* When a message that was just placed is due: as its headers say, or as it was told since. */
int64_t stream_touched_due(const Stream *stream, uint64_t seq, int64_t due_ns, uint32_t *size);
/* False: another time was given to the message after this one was queued. */
bool stream_due_is_current(const Stream *stream, uint64_t seq, int64_t due_ns);
void stream_touch_forget(Stream *stream, uint64_t seq);

/* Checkpoints: after the messages. */
void stream_touch_save(Stream *stream, Buf *out);
MUST_CHECK Status stream_touch_load(Stream *stream, Slice bytes);
