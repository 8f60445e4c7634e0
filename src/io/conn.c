#include "io/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/conn_private.h"

enum {
    /* Written for one connection in one turn; the rest in the next. */
    FLUSH_BYTES_PER_TURN = 4 * 1024 * 1024,

    /* A peer must take this much, or all there was, within each write deadline. */
    DEADLINE_BYTES = 1024 * 1024,

    /* So many connections to flush are written to with one system call. */
    WIDE_MIN = 16,
    WIDE_BYTES_MAX = 8 * 1024, /* of those that have no more to say: then the way counts */
};

static const uint64_t CLOSE_FLUSH_NS = 5ull * NS_PER_S;

static void on_event(Watch *watch, uint32_t events);
static void on_write_deadline(Timer *timer);

/* Edge-triggered for both directions at once: one epoll_ctl in a connection's life. */
Status conn_open(Conn *conn, Worker *home, int fd, const ConnOps *ops) {
    *conn = (Conn){
        .home = home,
        .ops = ops,
        .watch = {.fd = fd, .fire = on_event},
        .state = CONN_OPEN,
        .last_input_ns = home->now_ns,
    };
    ASSERT_HOME(conn);
    timer_init(&conn->write_timer, on_write_deadline);
    link_init(&conn->flush_link);
    link_init(&conn->read_link);

    int on = 1;
    if (ioctl(fd, FIONBIO, &on) != 0 || ioctl(fd, FIOCLEX) != 0 ||
        watch_add(home, &conn->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) != OK) {
        int why = errno;
        (void)close(fd);
        errno = why;
        conn->state = CONN_CLOSED;
        return ERR_IO;
    }
    return OK;
}

int conn_detach(Conn *conn) {
    ASSERT_HOME(conn);
    ASSERT(conn->state == CONN_OPEN && conn->pending_bytes == 0);
    int fd = conn->watch.fd;
    loop_forget_events(conn->home->loop, &conn->watch);
    watch_remove(conn->home, &conn->watch);
    conn->watch.fd = -1;
    conn_close(conn, CONN_END_OURS);
    return fd;
}

bool conn_is_open(const Conn *conn) {
    return conn->state == CONN_OPEN;
}

/* Output. */

static inline OutPool *pool_of(const Conn *conn) {
    return &conn->home->loop->out;
}

static char *reserve_slow(Conn *conn, size_t n) {
    OutPool *pool = pool_of(conn);
    ASSERT_HOME(conn);
    if (conn->state != CONN_OPEN) {
        buf_clear(&pool->scratch);
        return buf_reserve(&pool->scratch, n);
    }
    out_add_room(pool, conn, n);
    return conn->out_last->ptr + conn->out_last->len;
}

char *conn_reserve(Conn *conn, size_t n) {
    OutChunk *last = conn->out_last;
    if (__builtin_expect(last != NULL && last->room >= n, 1))
        return last->ptr + last->len;
    return reserve_slow(conn, n);
}

/* n bytes were added to the last chunk. A blocked connection is in another list, so it is not
 * listed here. */
static inline void added(Conn *conn, size_t n) {
    WorkerLoop *loop = conn->home->loop;
    conn->pending_bytes += n;
    loop->out.pending += n;
    loop->out.appended += n;
    if (!link_is_listed(&conn->flush_link))
        list_push_back(&loop->flush, &conn->flush_link);
    if (conn->congested_bytes != 0 && conn->pending_bytes > conn->congested_bytes)
        conn->is_congested = true;
    /* While the socket takes data only the end of the turn can tell what is really pending. */
    if (conn->blocked_since_ns != 0 && conn->pending_max != 0 &&
        conn->pending_bytes > conn->pending_max)
        conn_close(conn, CONN_END_PENDING_BYTES);
}

void conn_commit(Conn *conn, size_t n) {
    ASSERT_HOME(conn);
    if (conn->state != CONN_OPEN || n == 0)
        return;
    OutChunk *last = conn->out_last;
    ASSERT(last != NULL && n <= last->room);
    last->len += n;
    last->room -= (uint32_t)n;
    added(conn, n);
}

void conn_append(Conn *conn, Slice bytes) {
    if (bytes.len == 0 || conn->state != CONN_OPEN)
        return;
    /* Large ones fill what is left of a chunk first, and never need one made to measure. */
    while (bytes.len > OUT_COPY_BYTES_MAX && conn->state == CONN_OPEN) {
        (void)conn_reserve(conn, 1);
        OutChunk *last = conn->out_last;
        size_t n = bytes.len < last->room ? bytes.len : last->room;
        memcpy(last->ptr + last->len, bytes.ptr, n);
        conn_commit(conn, n);
        bytes = slice_from_at(bytes, n);
    }
    if (bytes.len != 0) {
        memcpy(conn_reserve(conn, bytes.len), bytes.ptr, bytes.len);
        conn_commit(conn, bytes.len);
    }
}

void conn_append_shared(Conn *conn, Shared *shared, Slice part) {
    ASSERT_HOME(conn);
    if (part.len <= OUT_COPY_BYTES_MAX) {
        conn_append(conn, part);
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    out_add_shared(pool_of(conn), conn, shared, part);
    added(conn, part.len);
}

/* Writing. */

static void set_deadline(Conn *conn) {
    if (conn->state != CONN_OPEN || conn->write_deadline_ns == 0)
        return;
    conn->deadline_bytes =
        conn->pending_bytes < DEADLINE_BYTES ? conn->pending_bytes : DEADLINE_BYTES;
    timer_set(conn->home, &conn->write_timer, conn->home->now_ns + conn->write_deadline_ns);
}

static void set_blocked(Conn *conn, size_t written) {
    WorkerLoop *loop = conn->home->loop;
    list_remove(&conn->flush_link);
    if (conn->is_last_flush) {
        conn_close(conn, conn->end);
        return;
    }
    list_push_back(&loop->blocked, &conn->flush_link);
    if (conn->blocked_since_ns == 0) {
        conn->blocked_since_ns = conn->home->now_ns;
        set_deadline(conn);
    } else if (written >= conn->deadline_bytes) {
        set_deadline(conn);
    } else {
        conn->deadline_bytes -= written;
    }
    if (conn->pending_max != 0 && conn->pending_bytes > conn->pending_max)
        conn_close(conn, CONN_END_PENDING_BYTES);
}

static void set_unblocked(Conn *conn) {
    if (conn->blocked_since_ns == 0)
        return;
    conn->blocked_since_ns = 0;
    if (conn->state == CONN_OPEN)
        timer_cancel(conn->home, &conn->write_timer);
}

static ssize_t write_parts(int fd, struct iovec *parts, int count) {
    if (count == 1)
        return send(fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* What goes to the socket next. */
static size_t parts_of(const Conn *conn, struct iovec parts[OUT_PARTS_MAX], int *out_count) {
    size_t bytes = out_parts(conn, parts, out_count);
    if (conn->codec == NULL)
        return bytes;
    while (bytes > conn->coded_bytes) {
        struct iovec *last = &parts[*out_count - 1];
        size_t plain = bytes - conn->coded_bytes;
        if (plain < last->iov_len) {
            last->iov_len -= plain;
            return conn->coded_bytes;
        }
        bytes -= last->iov_len;
        (*out_count)--;
    }
    return bytes;
}

static void consume(Conn *conn, size_t n) {
    out_consume(pool_of(conn), conn, n);
    if (conn->codec)
        conn->coded_bytes -= n;
}

static bool has_output(const Conn *conn) {
    return conn->pending_bytes != 0 || (conn->codec && conn_has_replies(conn));
}

/* Of bytes that were to go n went, or none because of why (errno). False: that is all for now, and
 * conn is in the list where it belongs. */
static bool note_written(Conn *conn, ssize_t n, int why, size_t bytes, size_t *written) {
    if (n < 0 && why == EINTR)
        return true;
    if (n < 0 && why != EAGAIN) {
        conn_close(conn, conn->state == CONN_FLUSHING ? conn->end : CONN_END_WRITE_ERROR);
        return false;
    }
    if (n > 0) {
        consume(conn, (size_t)n);
        *written += (size_t)n;
    }
    if (n >= 0 && (size_t)n == bytes)
        return true;
    set_blocked(conn, *written);
    return false;
}

/* Leaves conn in the list where it belongs: to flush when its share of the turn is used up,
 * blocked, closing, or none. written: in this flush before. */
static void write_out(Conn *conn, size_t written) {
    struct iovec parts[OUT_PARTS_MAX];

    list_remove(&conn->flush_link);
    while (has_output(conn)) {
        if (conn->codec && conn->coded_bytes == 0)
            conn_encode(conn);
        if (written >= FLUSH_BYTES_PER_TURN) {
            set_unblocked(conn);
            list_push_back(&conn->home->loop->flush, &conn->flush_link);
            return;
        }
        int count;
        size_t bytes = parts_of(conn, parts, &count);
        ssize_t n = write_parts(conn->watch.fd, parts, count);
        if (!note_written(conn, n, errno, bytes, &written))
            return;
    }
    set_unblocked(conn);
}

/* on_drained is due when it has become less; the closing state has none. */
static void note_drained(Conn *conn) {
    if (conn->is_congested && conn->pending_bytes <= conn->congested_bytes / 2) {
        conn->is_congested = false;
        conn->is_drain_due = true;
    }
}

void conn_flush_later(Conn *conn) {
    if (!link_is_listed(&conn->flush_link))
        list_push_back(&conn->home->loop->flush, &conn->flush_link);
}

static void finish_flush(Conn *conn) {
    if (conn->state == CONN_FLUSHING && conn->pending_bytes == 0) {
        conn_close(conn, conn->end);
        return;
    }
    note_drained(conn);
    if (conn->is_drain_due && conn->state == CONN_OPEN) {
        conn->is_drain_due = false;
        conn->home->loop->is_restless = true;
        if (conn->ops->on_drained)
            conn->ops->on_drained(conn);
    }
}

/* Many at once. */

/* Little, and in one piece. */
static bool is_simple(const Conn *conn) {
    return conn->codec == NULL && conn->pending_bytes != 0 &&
           conn->pending_bytes <= WIDE_BYTES_MAX && conn->out_first->len == conn->pending_bytes;
}

static bool is_wide(const List *due) {
    const Link *link = due->next;
    for (unsigned i = 0; i < WIDE_MIN; i++, link = link->next)
        if (link == due)
            return false;
    return true;
}

static SendRing *ring_of(WorkerLoop *loop) {
    if (loop->ring == NULL && !loop->is_ringless) {
        loop->ring = send_ring_new();
        loop->is_ringless = loop->ring == NULL;
    }
    return loop->ring;
}

static void drop_ring(WorkerLoop *loop) {
    send_ring_free(loop->ring);
    loop->ring = NULL;
    loop->is_ringless = true;
}

/* All have been written to before the owner of any is told. */
static void flush_together(WorkerLoop *loop, Conn **conns, SendJob *jobs, unsigned count) {
    if (!send_ring_run(loop->ring, jobs, count))
        drop_ring(loop);
    for (unsigned i = 0; i < count; i++) {
        size_t written = 0;
        ssize_t n = jobs[i].sent < 0 ? -1 : jobs[i].sent;
        if (note_written(conns[i], n, (int)-jobs[i].sent, jobs[i].len, &written))
            write_out(conns[i], written);
    }
    for (unsigned i = 0; i < count; i++)
        finish_flush(conns[i]);
}

static void flush_wide(WorkerLoop *loop, List *due) {
    Conn *conns[SEND_RING_JOBS_MAX];
    SendJob jobs[SEND_RING_JOBS_MAX];
    unsigned count = 0;
    List rest;

    list_init(&rest);
    for (Link *link; count < SEND_RING_JOBS_MAX && (link = list_pop_front(due));) {
        Conn *conn = CONTAINER_OF(link, Conn, flush_link);
        if (!is_simple(conn)) {
            list_push_back(&rest, link);
            continue;
        }
        conns[count] = conn;
        jobs[count++] = (SendJob){
            .fd = conn->watch.fd, .bytes = conn->out_first->ptr, .len = conn->out_first->len};
    }
    flush_together(loop, conns, jobs, count);
    for (Link *link; (link = list_pop_front(&rest));) {
        Conn *conn = CONTAINER_OF(link, Conn, flush_link);
        write_out(conn, 0);
        finish_flush(conn);
    }
}

/* What callbacks append now is flushed in the next turn, after its mail. */
void conns_flush_all(WorkerLoop *loop) {
    List due;
    loop_move_list(&due, &loop->flush);
    while (is_wide(&due) && ring_of(loop) != NULL)
        flush_wide(loop, &due);
    for (Link *link; (link = list_pop_front(&due));) {
        Conn *conn = CONTAINER_OF(link, Conn, flush_link);
        write_out(conn, 0);
        finish_flush(conn);
    }
}

static void on_write_deadline(Timer *timer) {
    Conn *conn = CONTAINER_OF(timer, Conn, write_timer);
    conn_close(conn, conn->state == CONN_FLUSHING ? conn->end : CONN_END_WRITE_DEADLINE);
}

/* Events. */

static void on_event(Watch *watch, uint32_t events) {
    Conn *conn = CONTAINER_OF(watch, Conn, watch);
    if (conn->state != CONN_OPEN && conn->state != CONN_FLUSHING)
        return;

    if ((events & EPOLLOUT) && conn->blocked_since_ns != 0) {
        list_remove(&conn->flush_link);
        list_push_back(&conn->home->loop->flush, &conn->flush_link);
    }
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->is_hung_up = true;
    if ((events & (EPOLLHUP | EPOLLERR)) && !conn_takes_input(conn)) {
        /* Gone in both directions, and nobody wants what it sent before. */
        conn_close(conn, conn->state == CONN_FLUSHING ? conn->end : CONN_END_PEER);
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT) {
        conn->is_readable = true;
        if (conn_takes_input(conn))
            conn_read(conn);
    }
}

/* Closing. */

void conn_close(Conn *conn, ConnEnd end) {
    ASSERT_HOME(conn);
    if (conn->state != CONN_OPEN && conn->state != CONN_FLUSHING)
        return;
    conn->is_lingering =
        conn->state == CONN_FLUSHING && conn->pending_bytes == 0 && !conn->is_hung_up;
    conn->state = CONN_CLOSING;
    conn->end = end;
    conn->coded_bytes = 0;
    out_drop_all(pool_of(conn), conn);
    timer_cancel(conn->home, &conn->write_timer);
    list_remove(&conn->read_link);
    list_remove(&conn->flush_link);
    list_push_back(&conn->home->loop->closing, &conn->flush_link);
}

void conn_end_after_flush(Conn *conn, ConnEnd end) {
    conn->state = CONN_FLUSHING;
    conn->end = end;
    list_remove(&conn->read_link);
    if (conn->out_last)
        conn->out_last->room = 0; /* nothing more is appended */
    conn_flush_later(conn);
    uint64_t wait_ns = conn->write_deadline_ns ? conn->write_deadline_ns : CLOSE_FLUSH_NS;
    timer_set(conn->home, &conn->write_timer, clock_mono_ns() + wait_ns);
}

void conn_close_after_flush(Conn *conn) {
    ASSERT_HOME(conn);
    if (conn->state == CONN_OPEN)
        conn_end_after_flush(conn, CONN_END_OURS);
}

void conn_reset_after_flush(Conn *conn) {
    if (conn->state == CONN_OPEN)
        conn->is_resetting = true;
    conn_close_after_flush(conn);
}

void conn_end_by_peer(Conn *conn) {
    if (!has_output(conn) || conn->blocked_since_ns != 0) {
        conn_close(conn, CONN_END_PEER);
        return;
    }
    conn->is_last_flush = true;
    conn_end_after_flush(conn, CONN_END_PEER);
}

static void release(Conn *conn) {
    loop_forget_events(conn->home->loop, &conn->watch);
    buf_done(&conn->kept);
    conn->state = CONN_CLOSED;
    conn_drop_codec(conn);
    if (conn->watch.fd < 0)
        return; /* detached */
    if (conn->is_lingering) {
        watch_remove(conn->home, &conn->watch);
        linger_start(conn->home, conn->watch.fd, conn->is_resetting);
    } else {
        (void)close(conn->watch.fd); /* leaves epoll by itself */
    }
    conn->watch.fd = -1;
}

bool conns_finish_closing(WorkerLoop *loop) {
    bool has_any = false;
    for (Link *link; (link = list_pop_front(&loop->closing));) {
        Conn *conn = CONTAINER_OF(link, Conn, flush_link);
        release(conn);
        has_any = true;
        conn->ops->on_closed(conn, conn->end);
    }
    return has_any;
}

void conn_done(Conn *conn) {
    if (conn->state == CONN_CLOSED)
        return;
    conn_close(conn, CONN_END_OURS);
    list_remove(&conn->flush_link);
    conn->is_lingering = false;
    release(conn);
}

/* The process-wide limit. */

size_t conn_pending_total(const Worker *worker) {
    return worker_is_current(worker) ? worker->loop->out.pending
                                     : out_published(&worker->loop->out);
}

void conn_set_pending_total_max(size_t bytes) {
    if (bytes != 0)
        out_set_limit(bytes);
}

static Conn *fullest_of(WorkerLoop *loop) {
    Conn *fullest = NULL;
    LIST_FOR_EACH(link, &loop->blocked) {
        Conn *conn = CONTAINER_OF(link, Conn, flush_link);
        if (fullest == NULL || conn->pending_bytes > fullest->pending_bytes)
            fullest = conn;
    }
    return fullest;
}

void conns_relieve(WorkerLoop *loop) {
    Worker *worker = loop->worker, *most = worker->all[0];
    for (unsigned i = 1; i <= worker->count; i++)
        if (out_published(&worker->all[i]->loop->out) > out_published(&most->loop->out))
            most = worker->all[i];
    if (most != worker) {
        loop_nudge(most->loop);
        return;
    }
    for (Conn *conn; out_is_over_limit() && (conn = fullest_of(loop));) {
        conn_close(conn, CONN_END_PENDING_BYTES);
        out_publish(&loop->out, 1);
    }
}

/* Names. */

Status conn_peer(const Conn *conn, char *out_ip, uint16_t *out_port) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage storage;
    } address;
    socklen_t len = sizeof address;
    if (getpeername(conn->watch.fd, &address.any, &len) != 0)
        return ERR_IO;

    const void *bytes;
    int family = address.any.sa_family;
    if (family == AF_INET) {
        bytes = &address.v4.sin_addr;
        *out_port = ntohs(address.v4.sin_port);
    } else if (family == AF_INET6) {
        bytes = &address.v6.sin6_addr;
        *out_port = ntohs(address.v6.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr)) { /* an IPv4 peer of a socket for both */
            family = AF_INET;
            bytes = &address.v6.sin6_addr.s6_addr[12];
        }
    } else {
        return ERR_IO;
    }
    return inet_ntop(family, bytes, out_ip, INET6_ADDRSTRLEN) ? OK : ERR_IO;
}
