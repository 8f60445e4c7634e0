/* Conn: a TCP (later TLS) connection on its home worker. Embedded as the first field of its owner.
 *
 * Input: bytes are read into a buffer lent by the worker for the turn; the owner's on_data parses
 * in place and says how much it used. What is left over is kept by the Conn (only then does it own
 * memory) and comes again, with what arrived after it. Output: conn_reserve/conn_commit encode
 * straight into the outbox; large payloads go by reference. Sockets are flushed once, at the end of
 * the turn. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/shared.h"
#include "io/timer.h"
#include "io/worker.h"

typedef struct Conn Conn;

typedef enum ConnEnd {
    CONN_END_PEER, /* the peer closed it */
    CONN_END_READ_ERROR,
    CONN_END_WRITE_ERROR,
    CONN_END_PENDING_BYTES,  /* outbox over pending_max */
    CONN_END_WRITE_DEADLINE, /* the peer does not take what was written */
    CONN_END_OURS,           /* conn_close, conn_close_after_flush */
} ConnEnd;

typedef struct ConnOps {
    /* data: every byte not yet used. Returns how many were used (<= len). May call conn_want. The
     * bytes may be changed in place. Not called while reading is paused or after a close. */
    size_t (*on_data)(Conn *conn, char *data, size_t len);

    /* The outbox fell below half of congested_bytes after conn_is_congested had turned true. */
    void (*on_drained)(Conn *conn);

    /* Last call, never from inside another conn_* call of the owner: the owner frees itself here.
     */
    void (*on_closed)(Conn *conn, ConnEnd end);
} ConnOps;

typedef struct ConnCodec ConnCodec;
typedef struct OutChunk OutChunk; /* private */

struct Conn {
    Worker *home;
    const ConnOps *ops;
    Watch watch;
    Buf kept;    /* input left over from the last on_data */
    size_t want; /* on_data is called again only with this many bytes (0 = any) */
    OutChunk *out_first, *out_last;
    size_t pending_bytes;       /* in the outbox */
    size_t pending_max;         /* above: closed with CONN_END_PENDING_BYTES; 0 = no limit */
    size_t congested_bytes;     /* above: conn_is_congested; 0 = never */
    uint64_t write_deadline_ns; /* 0 = none */
    uint64_t last_input_ns;     /* monotonic */
    uint64_t blocked_since_ns;  /* 0 = the socket takes data */
    Timer write_timer;
    ConnCodec *codec;      /* owned; NULL = none. See conn_codec.h */
    size_t coded_bytes;    /* private: of the outbox, as they go to the socket */
    size_t deadline_bytes; /* private: must be taken before write_timer is set anew */
    Link flush_link; /* private: in the worker's list to flush, of the blocked or of the closing */
    Link read_link;  /* private: in the worker's list to read again */
    uint8_t state;   /* private */
    bool is_reading_paused, is_congested;
    bool is_readable;   /* private: the socket may hold more input */
    bool is_hung_up;    /* private: the peer has shut down its side */
    bool is_kept_due;   /* private: kept was not offered to on_data yet */
    bool is_last_flush; /* private: what does not go at once is dropped */
    bool is_lingering;  /* private: closed by us after its last words were written */
    bool is_resetting;  /* private: by conn_reset_after_flush */
    bool is_drain_due;  /* private: on_drained is to be called */
    bool is_ended;      /* private: the codec's last words were said */
    ConnEnd end;
};

/* Input bytes above which a connection whose owner uses none of them is closed
 * (CONN_END_READ_ERROR). */
enum { CONN_KEPT_BYTES_MAX = LIMIT_PAYLOAD_BYTES + 1024 * 1024 };

/* Takes fd (non-blocking, close-on-exec is set here). ERR_IO when epoll refuses; fd is then closed.
 * Sets every field: limits are set by the owner afterwards. */
MUST_CHECK Status conn_open(Conn *conn, Worker *home, int fd, const ConnOps *ops);

/* Right after conn_open: from now on bytes go through codec, which conn owns. */
void conn_set_codec(Conn *conn, ConnCodec *codec);

/* Takes the socket out of the loop and out of conn, which ends as by conn_close(CONN_END_OURS): for
 * who hands the connection on to another worker. Nothing may be pending. */
int conn_detach(Conn *conn);

/* Room for n bytes at the end of the outbox; borrowed until the next call on conn. After a close
 * the bytes go nowhere. */
char *conn_reserve(Conn *conn, size_t n);
/* n <= what was reserved. Puts conn on the flush list. */
void conn_commit(Conn *conn, size_t n);
void conn_append(Conn *conn, Slice bytes);
/* By reference (small parts are copied); part lies inside shared. Takes a reference of its own. */
void conn_append_shared(Conn *conn, Shared *shared, Slice part);

/* Tells how many bytes, counted from the first unused one, the next complete thing needs, so that
 * large payloads are read straight into place. */
void conn_want(Conn *conn, size_t n);

void conn_pause_reading(Conn *conn);
void conn_resume_reading(Conn *conn);

/* Pending output is dropped. on_closed comes later in this or the next turn. Harmless when closed
 * already. */
void conn_close(Conn *conn, ConnEnd end);
/* What is pending is written first, for write_deadline at most (5 s when there is none). No more
 * on_data; what is appended afterwards is dropped. */
void conn_close_after_flush(Conn *conn);
/* The same for a peer that is cut off in the middle of what it sends: it has a moment to read why,
 * then the connection is reset, so that a write of it fails instead of going nowhere. */
void conn_reset_after_flush(Conn *conn);

static inline bool conn_is_congested(const Conn *conn) {
    return conn->is_congested;
}
bool conn_is_open(const Conn *conn);

/* "127.0.0.1" and its port. ERR_IO when the OS does not tell. out_ip has 46 bytes. */
MUST_CHECK Status conn_peer(const Conn *conn, char *out_ip, uint16_t *out_port);

/* Without a loop (after workers_join): frees what conn holds and closes its socket. No on_closed.
 */
void conn_done(Conn *conn);

/* Bytes that all outboxes of this worker hold together. Any thread; from others it is approximate.
 */
size_t conn_pending_total(const Worker *worker);

/* Any thread. The most that all outboxes of the process may hold together; above, the fullest
 * connection of the worker that holds most is closed with CONN_END_PENDING_BYTES. A quarter of the
 * memory by default; 0 is ignored. */
void conn_set_pending_total_max(size_t bytes);
