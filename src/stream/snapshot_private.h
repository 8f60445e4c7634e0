/* What snapshot*.c share. */
#pragma once

#include "base/vec.h"
#include "io/timer.h"
#include "stream/api_private.h"
#include "stream/snapshot.h"
#include "stream/stream_parts.h"

/* Removed after the snapshot began. */
typedef struct RemovedMsg {
    uint64_t seq;
    uint64_t place; /* or, with MSG_IN_HEAP, a Shared that is held */
    int64_t time_ns;
    uint32_t bytes; /* of the record */
    ChunkUse use;   /* chunk NULL: it has none */
} RemovedMsg;

/* A read of the disk for a removed one; outlives the snapshot when that goes first. */
typedef struct RemovedFetch {
    Snapshot *snapshot; /* NULL: it is gone */
} RemovedFetch;

struct Snapshot {
    Link link; /* in StreamParts.snapshots */
    Stream *stream;
    Port port;
    Sub *ack_sub;
    InterestWatch watch;
    Timer timer;
    Task task;
    Buf deliver, ack_prefix; /* "$JS.SNAPSHOT.ACK.<stream>.<nuid>." */
    size_t chunk_bytes, window_bytes;
    size_t in_flight; /* bytes */
    uint64_t chunks;
    bool is_started, is_written, is_over;
    uint64_t cursor, upto;   /* next to be read, last */
    VEC(RemovedMsg) removed; /* a heap, the lowest sequence first */
    StreamWait wait;
    bool is_waiting;
    RemovedFetch *fetch;
    Buf plain, packed; /* before and after S2; packed from packed_at on is not sent yet */
    size_t packed_at;
    uint64_t damaged;
    int64_t start_ns;
    Buf client; /* who asked, a JSON object */
};

/* snapshot_read.c */
/* Appends the next message to plain. ERR_NOT_FOUND: that was all; ERR_AGAIN: task runs when it
 * came. */
MUST_CHECK Status snapshot_read_next(Snapshot *snapshot);
/* What stands before the messages: state and consumers. */
void snapshot_write_start(Snapshot *snapshot, bool has_consumers);
void snapshot_read_done(Snapshot *snapshot);
