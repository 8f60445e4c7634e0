/* Outbox: what a connection has to write, as a queue of chunks. Private to io/.
 *
 * A chunk is a view: of a block that the worker lends (encoded bytes), or of a Shared (payloads by
 * reference). Blocks are small for a connection with little to say and grow to 64 KiB. A block
 * belongs to the last chunk that looks into it; chunks leave in order, so it is free when that one
 * is. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/shared.h"
#include "base/slice.h"

typedef struct Conn Conn;
typedef struct OutBlock OutBlock;
typedef struct OutChunk OutChunk;

enum {
    OUT_BLOCK_SIZES = 3,
    OUT_PARTS_MAX = 128, /* of one writev */

    /* Parts of a Shared up to here are copied: cheaper than counting and an iovec of its own. */
    OUT_COPY_BYTES_MAX = 1024,

    /* Smaller changes of the sum are not worth telling other workers. */
    OUT_PUBLISH_STEP_BYTES = 256 * 1024,
};

struct OutChunk {
    OutChunk *next;
    char *ptr;
    size_t len;
    uint32_t room;   /* free bytes behind ptr + len */
    uint32_t spare;  /* free bytes at the end of block that the next chunk may use */
    OutBlock *block; /* owned; NULL when a later chunk owns it */
    Shared *shared;  /* a reference, or NULL */
};

/* Of one worker: recycled chunks and blocks, and its sums. */
typedef struct OutPool {
    OutChunk *chunks;
    size_t chunk_count;
    OutBlock *blocks[OUT_BLOCK_SIZES];
    size_t block_count[OUT_BLOCK_SIZES];
    Buf scratch;             /* where connections that are closed write to */
    size_t pending;          /* in all outboxes */
    uint64_t appended;       /* ever */
    atomic_size_t published; /* pending as other threads see it, brought up to date now and then */
} OutPool;

void out_pool_done(OutPool *pool);

/* Afterwards the last chunk has room for n. */
void out_add_room(OutPool *pool, Conn *conn, size_t n);
/* Takes a reference of its own. */
void out_add_shared(OutPool *pool, Conn *conn, Shared *shared, Slice part);
/* The first bytes to write; returns how many these are. */
size_t out_parts(const Conn *conn, struct iovec parts[OUT_PARTS_MAX], int *out_count);
/* n bytes were written. */
void out_consume(OutPool *pool, Conn *conn, size_t n);
void out_drop_all(OutPool *pool, Conn *conn);

/* Tells other workers about pending when it has changed by step_bytes, or to 0. */
void out_publish(OutPool *pool, size_t step_bytes);
/* Any thread. */
size_t out_published(const OutPool *pool);
bool out_is_over_limit(void);
void out_set_limit(size_t bytes);
/* Sets it only when it was never set. */
void out_set_default_limit(size_t bytes);
