/* Leases: messages that are deleted when nobody refreshes them, or when nobody listens any more on
 * a subject that they name (docs/EXTENSIONS.md).
 *
 * Which leases there are, their time and what they are bound to follows from the entries alone. The
 * end of one is an ordinary publish of a delete marker that the server makes, on the condition that
 * the lease is still what it was: a refresh that came before it wins. Whether somebody listens is
 * looked at by the home; after a start who was bound has its time to come back. */
#pragma once

#include "bus/bus.h"
#include "stream/api_error.h"
#include "stream/pub_headers.h"
#include "stream/stream.h"
#include "stream/ttl_queue.h"

enum { LEASES_MAX = 1000000, LEASE_BIND_BYTES_MAX = 1024 };

typedef struct Lease {
    uint64_t seq; /* the message's: the fencing number */
    int64_t ttl_ns;
    int64_t due_ns;     /* when it ends; not for those that are bound */
    int64_t unbound_ns; /* bound and nobody listens: when it ends; INT64_MAX = somebody does */
    Stream *stream;
    InterestWatch watch;
    bool is_watched;
    Slice bind; /* empty = not bound; owned */
} Lease;

/* Embedded in StreamParts. */
typedef struct Leases {
    Map64 by_seq;
    TtlQueue dues; /* with some that are no longer so */
    Timer timer;
} Leases;

void leases_init(Stream *stream);
void leases_done(Stream *stream);
/* After recovery: looks who listens, sets the timer. */
void leases_start(Stream *stream);

/* What headers ask of a lease, decided from the state. *out_current: set with
 * JSStreamWrongLastSequenceErrF. */
ApiError lease_check(Stream *stream, const Record *message, const PubHeaders *ask, bool is_batch,
                     uint64_t *out_current);
/* A message was stored as seq; before: the one that was the subject's last. */
void lease_on_stored(Stream *stream, const Record *message, const PubHeaders *ask, uint64_t before,
                     uint64_t seq);
/* The message is gone. NULL-safe in that there need be no lease. */
void lease_forget(Stream *stream, uint64_t seq);
void lease_forget_all(Stream *stream);

/* NULL when there is none. */
Lease *lease_find(const Stream *stream, uint64_t seq);
/* ttl_ns 0: as before; bind empty: as before. */
void lease_refresh(Lease *lease, int64_t now_ns, int64_t ttl_ns, Slice bind);

void leases_save(Stream *stream, Buf *out);
MUST_CHECK Status leases_load(Stream *stream, Slice bytes);
