/* The ordered view of a stream's subjects, made for who lists keys and dropped when nobody has
 * listed for a while. Building goes over many turns. */
#pragma once

#include "stream/stream.h"

/* True: parts->subjects.order is complete now. Else wait->ready is called when it is; it may have
 * been lost again by then. */
bool stream_keys_are_ordered(Stream *stream, StreamWait *wait);

void stream_keys_init(Stream *stream);
void stream_keys_done(Stream *stream);
