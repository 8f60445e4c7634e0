/* DirectBatch: several messages as the answer to one DIRECT.GET, closed by "204 EOB". Sent in
 * slices, so that a turn stays short and a slow receiver slows it down. */
#pragma once

#include "stream/api_private.h"

typedef struct DirectBatch {
    /* Set by the caller. */
    Slice filter;         /* empty = all */
    uint64_t next;        /* first sequence that may be sent; not multi */
    const uint64_t *seqs; /* multi: which ones, ascending */
    size_t seq_count;
    uint64_t pending; /* matching messages not sent yet */
    uint64_t up_to;   /* multi: said at the end */
    bool is_multi, no_hdr;
    int64_t batch;     /* how many at most; multi: 0 and below = no limit; else below 0 = none */
    int64_t max_bytes; /* 0 = default */

    /* Private. */
    Api *api;
    Stream *stream;
    Account *account;
    Slice reply;
    ApiWait wait;
    Task task;
    DrainWait drain;
    bool is_on_heap;
    size_t seq_at;
    uint64_t last_sent;
    uint64_t sent, sent_bytes;
    unsigned tries;
} DirectBatch;

/* Sends what it can, copies *batch when it must go on later. */
void direct_batch_start(Api *api, Stream *stream, const DirectBatch *batch, Slice reply);

/* The stored headers followed by Nats-Stream, -Subject, -Sequence, -Time-Stamp; not closed.
 * Replaces out. */
void direct_write_headers(Buf *out, const Stream *stream, const StoredMsg *msg);
