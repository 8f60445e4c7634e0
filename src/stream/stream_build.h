/* StreamBuild: writes a large stream's index as of one moment into a run (store/run.h) while the
 * stream goes on, then lets the stream stand on it: what lies on the heap afterwards is what
 * changed since. Private to stream*.c.
 *
 * Three phases, none of which holds up a turn for long: copying what is on the heap, slice by slice
 * (what is removed before its turn came is copied as it goes); writing, by an offload thread, from
 * the old run and the copies; catching up, slice by slice, until the new index knows all that
 * happened meanwhile. */
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

/* While there is a build: seq is about to be removed, its flags are about to change, all are about
 * to be removed. */
void stream_build_on_drop(Stream *stream, uint64_t seq, const MsgSlot *slot, Slice subject);
void stream_build_on_flags(Stream *stream, uint64_t seq);
void stream_build_on_drop_all(Stream *stream);
/* The stream goes. */
void stream_build_leave(Stream *stream);
