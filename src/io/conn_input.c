/* Reading. The worker lends one buffer; what on_data leaves over is kept by the connection and put
 * in front of the next input: by a copy into the head room of the lent buffer when it is small, or
 * by reading behind it when it is large, so that large payloads land in place. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/conn_private.h"

enum {
    HEAD_ROOM = 16 * 1024,      /* kept input up to here is copied in front of new input */
    GROW_AT_ONCE = 1024 * 1024, /* room for a payload up to here is made in one step */
};

char *loop_lent(WorkerLoop *loop) {
    if (loop->lent == NULL)
        loop->lent = mem_alloc(HEAD_ROOM + LIMIT_READ_BYTES_PER_TURN);
    return loop->lent + HEAD_ROOM;
}

void loop_free_lent(WorkerLoop *loop) {
    mem_free(loop->lent);
    loop->lent = NULL;
}

void conn_want(Conn *conn, size_t n) {
    ASSERT_HOME(conn);
    conn->want = n;
}

void conn_pause_reading(Conn *conn) {
    ASSERT_HOME(conn);
    conn->is_reading_paused = true;
    list_remove(&conn->read_link);
}

void conn_resume_reading(Conn *conn) {
    ASSERT_HOME(conn);
    if (!conn->is_reading_paused)
        return;
    conn->is_reading_paused = false;
    if (conn->state == CONN_OPEN && (conn->is_readable || conn->is_kept_due))
        conn_read_later(conn);
}

void conn_read_later(Conn *conn) {
    if (!link_is_listed(&conn->read_link))
        list_push_back(&conn->home->loop->readable, &conn->read_link);
}

/* Calls on_data while it can use something; returns how much it used. */
static size_t offer(Conn *conn, char *data, size_t len) {
    size_t used = 0;
    while (used < len && conn_takes_input(conn) && len - used >= conn->want) {
        conn->want = 0;
        size_t n = conn->ops->on_data(conn, data + used, len - used);
        ASSERT(n <= len - used);
        used += n;
        if (n == 0 || conn->want == 0)
            break;
    }
    if (used == 0 && conn->want <= len)
        conn->want = 0; /* it has that many and used none: any more will do */
    return used;
}

/* Makes kept hold cap bytes. The size comes from the peer, so it may fail. */
static Status grow_kept(Conn *conn, size_t cap) {
    if (cap <= conn->kept.cap)
        return OK;
    char *grown = mem_try_alloc(cap);
    if (grown == NULL)
        return ERR_MEMORY;
    if (conn->kept.len)
        memcpy(grown, conn->kept.ptr, conn->kept.len);
    mem_free(conn->kept.ptr);
    conn->kept.ptr = grown;
    conn->kept.cap = cap;
    return OK;
}

static Status keep(Conn *conn, const char *data, size_t len) {
    if (len == 0)
        return OK;
    Status status = grow_kept(conn, conn->kept.len + len);
    if (status != OK)
        return status;
    memcpy(conn->kept.ptr + conn->kept.len, data, len);
    conn->kept.len += len;
    return OK;
}

/* A little that is left of much must not hold the memory of much. */
static void shrink_kept(Conn *conn) {
    size_t len = conn->kept.len, cap = conn->kept.cap;
    if (len == 0) {
        buf_done(&conn->kept);
    } else if (cap > HEAD_ROOM && len < cap / 4) {
        conn->kept.ptr = mem_realloc(conn->kept.ptr, len);
        conn->kept.cap = len;
    }
}

/* Offers kept, drops what was used. */
void conn_offer_kept(Conn *conn) {
    conn->is_kept_due = false;
    size_t used = offer(conn, conn->kept.ptr, conn->kept.len);
    if (used == 0)
        return;
    buf_consume(&conn->kept, used);
    shrink_kept(conn);
}

/* Acts on n bytes in the lent buffer, with what was kept copied before them. */
static Status act_on_lent(Conn *conn, char *lent, size_t n) {
    char *data = lent - conn->kept.len;
    size_t len = n + conn->kept.len;
    if (conn->kept.len)
        memcpy(data, conn->kept.ptr, conn->kept.len);
    size_t used = offer(conn, data, len);
    conn->kept.len = 0;
    Status status = keep(conn, data + used, len - used);
    shrink_kept(conn);
    return status;
}

/* Acts on n bytes of which the first were read behind kept, the rest into the lent buffer. */
static Status act_in_place(Conn *conn, char *lent, size_t n, size_t room) {
    size_t in_place = n < room ? n : room;
    conn->kept.len += in_place;
    conn_offer_kept(conn);
    size_t rest = n - in_place;
    if (rest == 0)
        return OK;
    if (conn->kept.len == 0)
        return act_on_lent(conn, lent, rest);
    Status status = keep(conn, lent, rest);
    if (status == OK)
        conn_offer_kept(conn);
    return status;
}

/* How much room kept shall have before the next read, to hold what is wanted or to grow. */
static size_t kept_goal(const Conn *conn) {
    size_t have = conn->kept.len;
    size_t grown = have + (have > GROW_AT_ONCE ? have : GROW_AT_ONCE);
    if (conn->want > have)
        return conn->want < grown ? conn->want : grown;
    return have + (have > LIMIT_READ_BYTES_PER_TURN ? have : LIMIT_READ_BYTES_PER_TURN);
}

/* With fan-out, a little input makes much output: then less is read at once, so that a turn stays
 * short and its output small. */
static void adapt_read_bytes(WorkerLoop *loop, size_t input, uint64_t output) {
    size_t fits = LIMIT_READ_BYTES_PER_TURN;
    if (output > LOOP_OUTPUT_BYTES_PER_TURN / 4)
        fits = (size_t)((uint64_t)input * (LOOP_OUTPUT_BYTES_PER_TURN / 4) / output);
    else if (output > LOOP_OUTPUT_BYTES_PER_TURN / 16)
        return;
    else if (input * 2 >= loop->read_bytes)
        fits = loop->read_bytes * 2;
    else
        return;
    if (fits < 4096)
        fits = 4096;
    loop->read_bytes = fits < LIMIT_READ_BYTES_PER_TURN ? fits : LIMIT_READ_BYTES_PER_TURN;
}

/* Mail is taken between the read and acting on what was read: whatever the sender of these bytes
 * can have learnt was posted before. */
static void act(Conn *conn, char *lent, size_t n, size_t room) {
    Worker *worker = conn->home;
    WorkerLoop *loop = worker->loop;
    if (loop->input_bytes != 0)
        worker->now_ns = clock_mono_ns();
    conn->last_input_ns = worker->now_ns;
    loop->input_bytes += n;
    (void)loop_take_mail(loop);

    if (conn->state != CONN_OPEN)
        return;
    uint64_t before = loop->out.appended;
    Status status = conn->codec ? conn_act_on_coded(conn, slice_from(lent, n))
                    : room      ? act_in_place(conn, lent, n, room)
                                : act_on_lent(conn, lent, n);
    adapt_read_bytes(loop, n, loop->out.appended - before);

    if (conn->is_reading_paused && conn->kept.len)
        conn->is_kept_due = true;
    if (status != OK || conn->kept.len > CONN_KEPT_BYTES_MAX)
        conn_close(conn, CONN_END_READ_ERROR);
}

static ssize_t read_parts(int fd, struct iovec *parts, int count) {
    ssize_t n;
    do {
        n = count == 1 ? recv(fd, parts[0].iov_base, parts[0].iov_len, 0) : readv(fd, parts, count);
    } while (n < 0 && errno == EINTR);
    return n;
}

static void on_no_input(Conn *conn, ssize_t n) {
    conn->is_readable = false;
    if (n == 0)
        conn_end_by_peer(conn);
    else if (errno != EAGAIN)
        conn_close(conn, CONN_END_READ_ERROR);
}

void conn_read(Conn *conn) {
    WorkerLoop *loop = conn->home->loop;
    list_remove(&conn->read_link);
    if (conn->is_kept_due) { /* a pause came between */
        (void)loop_take_mail(loop);
        if (conn_takes_input(conn))
            conn_offer_kept(conn);
        if (conn->is_reading_paused && conn->kept.len)
            conn->is_kept_due = true;
        if (conn_takes_input(conn) && conn->is_readable)
            conn_read_later(conn);
        return;
    }

    char *lent = loop_lent(loop);
    size_t room = 0;
    struct iovec parts[2];
    int count = 0;
    bool is_coded = conn->codec != NULL; /* then what is kept is plain */
    if (!is_coded && (conn->kept.len > HEAD_ROOM || (conn->kept.len && conn->want > HEAD_ROOM))) {
        size_t goal = kept_goal(conn);
        if (grow_kept(conn, goal) != OK) {
            conn_close(conn, CONN_END_READ_ERROR);
            return;
        }
        room = goal - conn->kept.len;
        parts[count++] = (struct iovec){conn->kept.ptr + conn->kept.len, room};
    }
    size_t cap = LIMIT_READ_BYTES_PER_TURN;
    if (room < LIMIT_READ_BYTES_PER_TURN) {
        size_t rest = LIMIT_READ_BYTES_PER_TURN - room;
        if (room > HEAD_ROOM && rest > HEAD_ROOM)
            rest = HEAD_ROOM; /* another large payload may follow: no more of it is copied */
        parts[count].iov_base = lent;
        parts[count].iov_len = rest < loop->read_bytes ? rest : loop->read_bytes;
        cap = room + parts[count++].iov_len;
    } else {
        parts[0].iov_len = cap;
    }

    ssize_t n = read_parts(conn->watch.fd, parts, count);
    if (n <= 0) {
        on_no_input(conn, n);
        return;
    }
    /* A short read has emptied the socket; a new arrival makes a new event. The end of input was
     * announced once only, so it is read until it is met. */
    conn->is_readable = (size_t)n == cap || conn->is_hung_up;
    act(conn, lent, (size_t)n, room);
    if (conn->is_readable && conn_takes_input(conn))
        conn_read_later(conn);
}

void conns_read_again(WorkerLoop *loop, List *due) {
    while (!loop_is_input_spent(loop)) {
        Link *link = list_pop_front(due);
        if (link == NULL)
            return;
        conn_read(CONTAINER_OF(link, Conn, read_link));
    }
}
