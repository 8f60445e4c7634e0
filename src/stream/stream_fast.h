/* Fast batches of a stream: messages stored as they come, numbered and paced by what their reply
 * subjects say: <prefix>.<batch id>.<flow>.<gap>.<seq>.<op>.$FI. Answers go out in the order of the
 * messages, after their entries were applied.
 *
 * Private to stream*.c. */
#pragma once

#include "stream/stream_parts.h"

typedef struct FastEvent FastEvent;

/* A message whose reply subject ends in .$FI. */
void stream_fast_on_publish(Stream *stream, const Message *message, const PubHeaders *ask);

/* The entry of event was applied or refused, with that verdict. Answers nothing yet: the message is
 * stored between this and drain. */
void stream_fast_applied(Stream *stream, FastEvent *event, const PubVerdict *verdict);
void stream_fast_drain(Stream *stream);
/* Its trace, which is handed over; NULL: none. */
Trace *stream_fast_take_trace(FastEvent *event);

/* No batch is open any more; what is in flight is still answered. */
void stream_fast_close_all(Stream *stream);
/* With the stream. */
void stream_fast_free(Stream *stream);
