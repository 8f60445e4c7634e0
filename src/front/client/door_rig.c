#include "front/client/door_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "bus/bus.h"
#include "io/clock.h"

void rig_prepare(DoorRig *rig) {
    *rig = (DoorRig){.options = client_options_default()};
    rig->options.server_id = LIT("ID");
    rig->options.server_name = LIT("name");
    rig->options.version = LIT("2.15.1");
    rig->options.go = LIT("go1.24");
    rig->options.host = LIT("127.0.0.1");
    rig->options.port = 4222;
}

static void on_accept(Listener *listener, int fd) {
    DoorRig *rig = listener_cookie(listener);
    clients_accept(rig->main, fd);
}

void rig_open(DoorRig *rig) {
    const Slice accounts[RIG_ACCOUNTS] = {LIT("$G"), LIT("$SYS"), LIT("A"), LIT("B")};
    assert_int_equal(workers_new(RIG_WORKERS, &rig->all), OK);
    assert_int_equal(offload_start(1, &rig->offload), OK);
    for (unsigned i = 0; i <= RIG_WORKERS; i++) {
        Worker *worker = rig->all[i];
        if (i < RIG_WORKERS)
            worker->bus = bus_new(worker, accounts, RIG_ACCOUNTS);
        assert_int_equal(
            clients_new(worker, rig->offload, &rig->options, &rig->auth, NULL, &worker->clients),
            OK);
    }
    rig->main = rig->all[RIG_WORKERS]->clients;
    assert_int_equal(
        listener_open(rig->all[RIG_WORKERS], "127.0.0.1", -1, on_accept, rig, &rig->listener), OK);
}

void rig_step(DoorRig *rig) {
    for (unsigned i = 0; i <= RIG_WORKERS; i++)
        worker_turn(rig->all[i], false);
}

void rig_close(DoorRig *rig) {
    listener_close(rig->listener);
    offload_stop(rig->offload);
    workers_drain(rig->all);
    for (unsigned i = 0; i <= RIG_WORKERS; i++)
        clients_free(rig->all[i]->clients);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        bus_free(rig->all[i]->bus);
    workers_free(rig->all);
}

void rig_on_done(void *cookie) {
    DoorRig *rig = cookie;
    rig->is_ended = true;
}

ClientsStats rig_stats(DoorRig *rig) {
    ClientsStats sum = {0}, one;
    for (unsigned i = 0; i <= RIG_WORKERS; i++) {
        clients_stats(rig->all[i]->clients, &one);
        clients_stats_add(&sum, &one);
    }
    return sum;
}

uint64_t rig_deadline(void) {
    return clock_mono_ns() + (uint64_t)10 * NS_PER_S;
}

void rig_check_deadline(uint64_t end, const char *condition, const char *file, int line) {
    if (clock_mono_ns() > end)
        fail_msg("%s:%d: never came true: %s", file, line, condition);
}

Peer *peer_open(DoorRig *rig, Buf *info) {
    Peer *peer = mem_zalloc(sizeof *peer);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(listener_port(rig->listener)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    peer->rig = rig;
    peer->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(peer->fd, (struct sockaddr *)&address, sizeof address), 0);
    size_t line = 0;
    RIG_UNTIL(rig,
              (peer_pump(peer), (line = slice_find(buf_slice(&peer->got), '\n')) < peer->got.len));
    if (info)
        buf_append(info, slice_first(buf_slice(&peer->got), line + 1));
    buf_consume(&peer->got, line + 1);
    return peer;
}

void peer_close(Peer *peer) {
    (void)close(peer->fd);
    buf_done(&peer->got);
    mem_free(peer);
}

void peer_pump(Peer *peer) {
    while (!peer->is_ended) {
        char *to = buf_reserve(&peer->got, 65536);
        ssize_t n = recv(peer->fd, to, 65536, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            peer->is_ended = true;
        else
            peer->got.len += (size_t)n;
    }
}

void peer_send_bytes(Peer *peer, Slice bytes, size_t step) {
    while (bytes.len) {
        size_t len = bytes.len < step ? bytes.len : step;
        ssize_t n = send(peer->fd, bytes.ptr, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return; /* closed by the server: the test sees that when it reads */
        if (n > 0)
            bytes = slice_from_at(bytes, (size_t)n);
        rig_step(peer->rig);
        peer_pump(peer);
    }
}

void peer_send(Peer *peer, const char *text) {
    peer_send_bytes(peer, slice_of_text(text), 65536);
}

static void check(const Peer *peer, const char *text) {
    Buf got = {0};
    buf_append(&got, buf_slice(&peer->got));
    if (strcmp(buf_text(&got), text) != 0)
        print_error("got:  %s\nwant: %s\n", buf_text(&got), text);
    assert_string_equal(buf_text(&got), text);
    buf_done(&got);
}

void peer_expect(Peer *peer, const char *text) {
    RIG_UNTIL(peer->rig, (peer_pump(peer), peer->got.len >= strlen(text) || peer->is_ended));
    check(peer, text);
    buf_clear(&peer->got);
}

void peer_expect_end(Peer *peer, const char *text) {
    RIG_UNTIL(peer->rig, (peer_pump(peer), peer->is_ended));
    check(peer, text);
}

static bool ends_with_pong(Peer *peer) {
    peer_pump(peer);
    return peer->is_ended || slice_ends_with(buf_slice(&peer->got), LIT("PONG\r\n"));
}

void peer_expect_before_pong(Peer *peer, const char *text) {
    peer_send(peer, "PING\r\n");
    RIG_UNTIL(peer->rig, ends_with_pong(peer));
    assert_false(peer->is_ended);
    peer->got.len -= 6;
    check(peer, text);
    buf_clear(&peer->got);
}

Slice peer_take_until_pong(Peer *peer) {
    peer_send(peer, "PING\r\n");
    RIG_UNTIL(peer->rig, ends_with_pong(peer));
    return buf_slice(&peer->got);
}
