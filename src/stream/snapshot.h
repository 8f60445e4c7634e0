/* Snapshot: sends an archive (proto/archive.h) of a stream to a subject, while the stream goes on.
 *
 * What is in it is what the stream held when it was asked for, no more and no less: consumers and
 * state are taken then, sequences above the last one of then are left out, and a message that is
 * removed before it was read stays readable for the snapshot (its bytes count as live in the log,
 * or are held in memory). Only removed ones cost memory, 40 bytes each.
 *
 * Chunks go out as a window of unanswered ones allows; reading the disk never blocks the turn. */
#pragma once

#include "stream/msg_index.h"
#include "stream/stream.h"

typedef struct Snapshot Snapshot;

/* A message leaves the stream, for those under way. */
void snapshot_on_removed(Stream *stream, uint64_t seq, const MsgSlot *slot, size_t subject_len);
/* All of the stream's. status: "500 ..." for those who listen; empty: without a word. */
void snapshot_end_all(Stream *stream, Slice status);
