#include "io/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/clock.h"
#include "io/thread.h"

enum {
    ACCEPTS_PER_TURN = 64,
    BACKLOG = 4096, /* cut to what the OS allows */
    PAUSE_NS = 100 * NS_PER_MS,
    PATIENCE_NS = 500 * NS_PER_MS, /* for a port in use */
    RETRY_NS = 10 * NS_PER_MS,
};

typedef union Address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
} Address;

struct Listener {
    Worker *home;
    Watch watch;
    Timer pause;
    void (*on_accept)(Listener *listener, int fd);
    void *cookie;
    uint16_t port;
    char host[INET6_ADDRSTRLEN];
};

static void on_ready(Watch *watch, uint32_t events);
static void on_pause_over(Timer *timer);

/* ERR_IO with errno set; nothing stays open. */
static Status bind_and_listen(const Address *address, socklen_t len, int *out_fd) {
    int family = address->any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    int on = 1, off = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, &address->any, len) == 0 && listen(fd, BACKLOG) == 0) {
        *out_fd = fd;
        return OK;
    }
    int why = errno;
    (void)close(fd);
    errno = why;
    return ERR_IO;
}

static bool is_any_address(const char *host) {
    return host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* One socket for both families; IPv4 alone where there is no IPv6. */
static Status open_any(uint16_t port, int *out_fd) {
    Address v6 = {
        .v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any}};
    Status status = bind_and_listen(&v6, sizeof v6.v6, out_fd);
    if (status == OK || errno == EADDRINUSE || errno == EACCES)
        return status;
    Address v4 = {.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
    return bind_and_listen(&v4, sizeof v4.v4, out_fd);
}

/* The first address of the name, IPv4 preferred. */
static Status open_named(const char *host, uint16_t port, int *out_fd) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return ERR_NOT_FOUND;

    struct addrinfo *best = NULL;
    for (struct addrinfo *info = list; info; info = info->ai_next)
        if (info->ai_family == AF_INET || (info->ai_family == AF_INET6 && best == NULL)) {
            best = info;
            if (info->ai_family == AF_INET)
                break;
        }
    Address address = {0};
    socklen_t len = 0;
    if (best && best->ai_addrlen <= sizeof address) {
        len = best->ai_addrlen;
        memcpy(&address, best->ai_addr, len);
    }
    freeaddrinfo(list);
    if (len == 0)
        return ERR_NOT_FOUND;
    if (address.any.sa_family == AF_INET)
        address.v4.sin_port = htons(port);
    else
        address.v6.sin6_port = htons(port);
    return bind_and_listen(&address, len, out_fd);
}

static void read_bound_address(Listener *listener, const char *host) {
    Address address = {0};
    socklen_t len = sizeof address;
    (void)getsockname(listener->watch.fd, &address.any, &len);
    bool is_v4 = address.any.sa_family == AF_INET;
    listener->port = ntohs(is_v4 ? address.v4.sin_port : address.v6.sin6_port);
    const void *bytes =
        is_v4 ? (const void *)&address.v4.sin_addr : (const void *)&address.v6.sin6_addr;
    if (is_any_address(host))
        (void)snprintf(listener->host, sizeof listener->host, "%s", host[0] ? host : "0.0.0.0");
    else
        (void)inet_ntop(address.any.sa_family, bytes, listener->host, sizeof listener->host);
}

static Status open_socket(const char *host, uint16_t port, int *out_fd) {
    return is_any_address(host) ? open_any(port, out_fd) : open_named(host, port, out_fd);
}

/* Whoever had the port may be just about to end. */
static Status open_socket_in_time(const char *host, uint16_t port, int *out_fd) {
    uint64_t until = clock_mono_ns() + PATIENCE_NS;
    for (;;) {
        Status status = open_socket(host, port, out_fd);
        if (status != ERR_IO || errno != EADDRINUSE || clock_mono_ns() >= until)
            return status;
        thread_sleep(RETRY_NS);
    }
}

Status listener_open(Worker *worker, const char *host, int port,
                     void (*on_accept)(Listener *, int fd), void *cookie, Listener **out_listener) {
    ASSERT(worker_is_current(worker));
    if (port > UINT16_MAX)
        return ERR_RANGE;
    uint16_t number = port > 0 ? (uint16_t)port : 0;
    int fd;
    Status status = open_socket_in_time(host, number, &fd);
    if (status != OK)
        return status;

    Listener *listener = mem_zalloc(sizeof *listener);
    listener->home = worker;
    listener->watch = (Watch){.fd = fd, .fire = on_ready};
    listener->on_accept = on_accept;
    listener->cookie = cookie;
    timer_init(&listener->pause, on_pause_over);
    read_bound_address(listener, host);
    status = watch_add(worker, &listener->watch, EPOLLIN);
    if (status != OK) {
        (void)close(fd);
        mem_free(listener);
        return status;
    }
    *out_listener = listener;
    return OK;
}

/* The waiting connection stays in the backlog, so the socket would report it without end. */
static void pause_accepting(Listener *listener) {
    if (watch_change(listener->home, &listener->watch, 0) == OK)
        timer_set(listener->home, &listener->pause, clock_mono_ns() + PAUSE_NS);
}

static void on_pause_over(Timer *timer) {
    Listener *listener = CONTAINER_OF(timer, Listener, pause);
    if (watch_change(listener->home, &listener->watch, EPOLLIN) != OK)
        timer_set(listener->home, &listener->pause, clock_mono_ns() + PAUSE_NS);
}

static void on_ready(Watch *watch, uint32_t events) {
    (void)events;
    Listener *listener = CONTAINER_OF(watch, Listener, watch);
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            int on = 1;
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            listener->on_accept(listener, fd);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(listener);
            return;
        }
        /* Otherwise it is the waiting connection that failed; the next one may be well. */
    }
}

void *listener_cookie(const Listener *listener) {
    return listener->cookie;
}

uint16_t listener_port(const Listener *listener) {
    return listener->port;
}

const char *listener_host(const Listener *listener) {
    return listener->host;
}

void listener_close(Listener *listener) {
    if (listener == NULL)
        return;
    ASSERT_HOME(listener);
    timer_cancel(listener->home, &listener->pause);
    watch_remove(listener->home, &listener->watch);
    (void)close(listener->watch.fd);
    mem_free(listener);
}
