/* What the files of the connection share with the loop. Private to io/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "io/conn.h"
#include "io/loop.h"

enum { CONN_CLOSED, CONN_OPEN, CONN_FLUSHING, CONN_CLOSING };

/* The worker's read buffer of LIMIT_READ_BYTES_PER_TURN, made when first needed. */
char *loop_lent(WorkerLoop *loop);

/* True when on_data may be called. */
static inline bool conn_takes_input(const Conn *conn) {
    return conn->state == CONN_OPEN && !conn->is_reading_paused;
}

/* conn_coded.c. The outbox begins with coded bytes afterwards, unless nothing is pending. */
void conn_encode(Conn *conn);
/* True when conn_encode would add something although nothing is pending. */
bool conn_has_replies(const Conn *conn);
void conn_drop_codec(Conn *conn);
/* n bytes of the lent buffer: acts on what they carry. */
Status conn_act_on_coded(Conn *conn, Slice coded);
/* Offers what is kept to the owner (conn_input.c). */
void conn_offer_kept(Conn *conn);
/* Lists it for a flush at the end of the turn (conn.c). */
void conn_flush_later(Conn *conn);
/* Closes when what is pending was written (conn.c). */
void conn_end_after_flush(Conn *conn, ConnEnd end);

/* Lists it for a read in the next turn. */
void conn_read_later(Conn *conn);
/* Reads once, takes mail, acts. */
void conn_read(Conn *conn);
/* The peer said it will send no more: writes what goes at once, then closes. */
void conn_end_by_peer(Conn *conn);

/* Steps of the turn. */
void conns_read_again(WorkerLoop *loop, List *due);
void conns_flush_all(WorkerLoop *loop);
/* Calls on_closed for what was closed; true when there was any. */
bool conns_finish_closing(WorkerLoop *loop);
/* Over the process-wide limit: closes the fullest here, or wakes the worker that holds most. */
void conns_relieve(WorkerLoop *loop);
