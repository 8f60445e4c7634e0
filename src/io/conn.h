/* Conn: a TCP (later TLS) connection on its home worker. Embedded as the first field of its owner.
 *
 * Input: bytes are read into a buffer lent by the worker for the turn; the owner's on_data parses in place and
 * says how much it used. What is left over is kept by the Conn (only then does it own memory) and comes
 * again, with what arrived after it. Output: conn_reserve/conn_commit encode straight into the outbox; large payloads
 * go by reference. Sockets are flushed once, at the end of the turn. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/shared.h"
#include "io/timer.h"
#include "io/worker.h"

typedef struct Conn Conn;

typedef enum ConnEnd {
    CONN_END_PEER,           /* the peer closed it */
    CONN_END_READ_ERROR,
    CONN_END_WRITE_ERROR,
    CONN_END_PENDING_BYTES,  /* outbox over pending_max */
    CONN_END_WRITE_DEADLINE, /* the peer does not take what was written */
    CONN_END_OURS,           /* conn_close, conn_close_after_flush */
} ConnEnd;

typedef struct ConnOps {
    /* data: every byte not yet used. Returns how many were used (<= len). May call conn_want. The bytes may be
     * changed in place. Not called while reading is paused or after a close. */
    size_t (*on_data)(Conn *conn, char *data, size_t len);

    /* The outbox fell below half of what it was when conn_is_congested turned true. */
    void (*on_drained)(Conn *conn);

    /* Last call, never from inside another conn_* call of the owner: the owner frees itself here. */
    void (*on_closed)(Conn *conn, ConnEnd end);
} ConnOps;

typedef struct OutChunk OutChunk; /* private */

struct Conn {
    Worker *home;
    const ConnOps *ops;
    Watch watch;
    Buf kept;                   /* input left over from the last on_data */
    size_t want;                /* on_data is called again only with this many bytes (0 = any) */
    OutChunk *out_first, *out_last;
    size_t pending_bytes;       /* in the outbox */
    size_t pending_max;         /* above: closed with CONN_END_PENDING_BYTES; 0 = no limit */
    size_t congested_bytes;     /* above: conn_is_congested */
    uint64_t write_deadline_ns; /* 0 = none */
    uint64_t last_input_ns;     /* monotonic */
    uint64_t blocked_since_ns;  /* 0 = the socket takes data */
    Timer write_timer;
    Link flush_link;            /* in the worker's list of connections to flush */
    uint8_t state;              /* private */
    bool is_reading_paused, is_congested, is_write_watched;
    ConnEnd end;
};

/* Takes fd (non-blocking, close-on-exec is set here). ERR_IO when epoll refuses; fd is then closed. */
MUST_CHECK Status conn_open(Conn *conn, Worker *home, int fd, const ConnOps *ops);

/* Room for n bytes at the end of the outbox; borrowed until the next call on conn. */
char *conn_reserve(Conn *conn, size_t n);
/* n <= what was reserved. Puts conn on the flush list. */
void conn_commit(Conn *conn, size_t n);
void conn_append(Conn *conn, Slice bytes);
/* By reference; part lies inside shared. Takes a reference of its own. */
void conn_append_shared(Conn *conn, Shared *shared, Slice part);

/* Tells how many bytes, counted from the first unused one, the next complete thing needs, so that large payloads are
 * read straight into place. */
void conn_want(Conn *conn, size_t n);

void conn_pause_reading(Conn *conn);
void conn_resume_reading(Conn *conn);

/* Pending output is dropped. on_closed comes later in this or the next turn. */
void conn_close(Conn *conn, ConnEnd end);
/* What is pending is written first, for write_deadline at most. No more on_data. */
void conn_close_after_flush(Conn *conn);
/* Writes what the socket takes, now. */
void conn_flush(Conn *conn);

static inline bool conn_is_congested(const Conn *conn) {
    return conn->is_congested;
}
bool conn_is_open(const Conn *conn);

/* "127.0.0.1" and its port. ERR_IO when the OS does not tell. out_ip has 46 bytes. */
MUST_CHECK Status conn_peer(const Conn *conn, char *out_ip, uint16_t *out_port);

/* Bytes that all outboxes of this worker hold together; over the process-wide limit the fullest is closed. */
size_t conn_pending_total(const Worker *worker);
