/* StreamBuild: writes a large stream's index as of one moment into a run (store/run.h) while the
 * stream goes on, then lets the stream stand on it: what lies on the heap afterwards is what
 * changed since. Private to stream*.c.
 *
 * At the moment what is on the heap is set aside (msg_index.h, subject_index.h): it does not change
 * any more, so that an offload thread can write it, merged with the old run, without a copy. What
 * happens meanwhile is kept apart, and in the end carried over to the new run slice by slice: which
 * of its messages went or changed, which of its subjects. When it could not be written, what was
 * set aside is taken back, slice by slice too. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "stream/msg_index.h"

typedef struct Stream Stream;
typedef struct StreamBuild StreamBuild;
typedef struct Group Group;
typedef struct GroupFreeze GroupFreeze;

/* GroupOps.freeze. */
bool stream_freeze(Group *group, GroupFreeze *freeze);

/* While there is a build: all messages are about to be removed. */
void stream_build_on_drop_all(Stream *stream);
/* The stream goes. */
void stream_build_leave(Stream *stream);
