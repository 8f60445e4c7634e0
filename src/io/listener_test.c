#include "io/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "io/conn.h"

static Worker **all;
static int accepted[100], accepted_count;

static int set_up(void **state) {
    (void)state;
    accepted_count = 0;
    return workers_new(1, &all) == OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < accepted_count; i++)
        (void)close(accepted[i]);
    workers_free(all);
    return 0;
}

static void on_accept(Listener *listener, int fd) {
    assert_string_equal(listener_cookie(listener), "cookie");
    accepted[accepted_count++] = fd;
}

static Listener *listen_on(const char *host) {
    Listener *listener = NULL;
    assert_int_equal(listener_open(all[0], host, -1, on_accept, (void *)"cookie", &listener), OK);
    return listener;
}

static int connect_to(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void it_accepts_on_every_kind_of_address(void **state) {
    (void)state;
    static const struct {
        const char *host, *want_host;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"localhost", "127.0.0.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"", "0.0.0.0"},
        {"::", "::"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Listener *listener = listen_on(cases[i].host);
        assert_string_equal(listener_host(listener), cases[i].want_host);
        assert_int_not_equal(listener_port(listener), 0);
        int before = accepted_count;
        int fd = connect_to(listener_port(listener));
        while (accepted_count == before)
            worker_turn(all[0], true);
        int no_delay = 0;
        socklen_t len = sizeof no_delay;
        assert_int_equal(getsockopt(accepted[before], IPPROTO_TCP, TCP_NODELAY, &no_delay, &len),
                         0);
        assert_true(no_delay);
        (void)close(fd);
        listener_close(listener);
    }
}

static void a_port_in_use_and_a_host_unknown_are_told_apart(void **state) {
    (void)state;
    Listener *first = listen_on("127.0.0.1"), *second = NULL;
    int port = listener_port(first);
    assert_int_equal(listener_open(all[0], "127.0.0.1", port, on_accept, NULL, &second), ERR_IO);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(listener_open(all[0], "192.0.2.1", 0, on_accept, NULL, &second), ERR_IO);
    assert_int_equal(errno, EADDRNOTAVAIL);
    assert_int_equal(listener_open(all[0], "..", 0, on_accept, NULL, &second), ERR_NOT_FOUND);
    assert_int_equal(listener_open(all[0], "127.0.0.1", 70000, on_accept, NULL, &second),
                     ERR_RANGE);
    assert_null(second);
    listener_close(first);
    listener_close(NULL);
}

static int held_fd;

static void let_go(int signal) {
    (void)signal;
    (void)close(held_fd);
}

static void a_port_that_is_let_go_is_waited_for(void **state) {
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    held_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(held_fd >= 0);
    assert_int_equal(bind(held_fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(held_fd, 1), 0);
    assert_int_equal(getsockname(held_fd, (struct sockaddr *)&address, &len), 0);

    struct sigaction action = {.sa_handler = let_go}, before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    struct itimerval soon = {.it_value.tv_usec = 30000};
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    Listener *listener = NULL;
    assert_int_equal(
        listener_open(all[0], "0.0.0.0", ntohs(address.sin_port), on_accept, NULL, &listener), OK);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    listener_close(listener);
}

static void without_descriptors_it_pauses_and_goes_on_later(void **state) {
    (void)state;
    Listener *listener = listen_on("127.0.0.1");
    int fd = connect_to(listener_port(listener));
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    (void)close(next);
    none = before;
    none.rlim_cur = (rlim_t)next; /* not one more */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 3; i++)
        worker_turn(all[0], false);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(accepted_count, 0);

    int turns = 0;
    for (; accepted_count == 0; turns++)
        worker_turn(all[0], true);
    assert_true(turns <= 4); /* it slept meanwhile */
    (void)close(fd);
    listener_close(listener);
}

static size_t on_data(Conn *conn, char *data, size_t len) {
    (void)data;
    conn_append(conn, LIT("why"));
    conn_close_after_flush(conn);
    return len;
}

static bool is_closed;

static void on_closed(Conn *conn, ConnEnd end) {
    (void)conn;
    (void)end;
    is_closed = true;
}

static void a_peer_reads_our_last_words_though_it_sent_more(void **state) {
    (void)state;
    static const ConnOps ops = {on_data, NULL, on_closed};
    Listener *listener = listen_on("0.0.0.0");
    int fd = connect_to(listener_port(listener));
    while (accepted_count == 0)
        worker_turn(all[0], true);
    Conn conn;
    assert_int_equal(conn_open(&conn, all[0], accepted[0], &ops), OK);
    accepted_count = 0;

    char ip[46];
    uint16_t port;
    struct sockaddr_in self;
    socklen_t len = sizeof self;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &len), 0);
    assert_int_equal(conn_peer(&conn, ip, &port), OK);
    assert_string_equal(ip, "127.0.0.1"); /* also on a socket for both families */
    assert_int_equal(port, ntohs(self.sin_port));

    static char more[64 * 1024];
    is_closed = false;
    assert_int_equal(send(fd, "x", 1, 0), 1);
    worker_turn(all[0], true);
    while (!is_closed) {
        (void)send(fd, more, sizeof more, MSG_DONTWAIT | MSG_NOSIGNAL);
        worker_turn(all[0], false);
    }
    for (int i = 0; i < 10; i++) {
        (void)send(fd, more, sizeof more, MSG_DONTWAIT | MSG_NOSIGNAL);
        worker_turn(all[0], false);
    }
    char got[8];
    assert_int_equal(recv(fd, got, sizeof got, 0), 3);
    assert_memory_equal(got, "why", 3);
    assert_int_equal(recv(fd, got, sizeof got, 0), 0);
    (void)close(fd);
    worker_turn(all[0], true);
    listener_close(listener);
}

static size_t on_data_too_much(Conn *conn, char *data, size_t len) {
    (void)data;
    conn_append(conn, LIT("why"));
    conn_reset_after_flush(conn);
    return len;
}

static void a_peer_that_is_cut_off_reads_why_before_the_reset(void **state) {
    (void)state;
    static const ConnOps ops = {on_data_too_much, NULL, on_closed};
    Listener *listener = listen_on("127.0.0.1");
    int fd = connect_to(listener_port(listener));
    while (accepted_count == 0)
        worker_turn(all[0], true);
    Conn conn;
    assert_int_equal(conn_open(&conn, all[0], accepted[0], &ops), OK);
    accepted_count = 0;

    static char more[64 * 1024];
    is_closed = false;
    assert_int_equal(send(fd, "x", 1, 0), 1);
    worker_turn(all[0], true);
    while (!is_closed)
        worker_turn(all[0], true);
    for (int i = 0; i < 10; i++) {
        assert_true(send(fd, more, sizeof more, MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
        worker_turn(all[0], false);
    }
    char got[8];
    assert_int_equal(recv(fd, got, sizeof got, 0), 3);
    assert_memory_equal(got, "why", 3);
    ssize_t n;
    while ((n = recv(fd, got, sizeof got, MSG_DONTWAIT)) < 0 && errno == EAGAIN)
        worker_turn(all[0], true);
    assert_int_equal(n, -1);
    assert_int_equal(errno, ECONNRESET);
    (void)close(fd);
    listener_close(listener);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_accepts_on_every_kind_of_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_port_in_use_and_a_host_unknown_are_told_apart, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_port_that_is_let_go_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_descriptors_it_pauses_and_goes_on_later, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_is_cut_off_reads_why_before_the_reset, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_peer_reads_our_last_words_though_it_sent_more, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
