/* The rule that workers live by: mail posted before a socket is flushed is taken before input that
 * depends on it.
 *
 * Tokens run round three workers, from one to the next over a socket. Before it writes token t with
 * hop k, a worker mails (t, k) to both others. Whoever reads hop k must have taken that mail: the
 * receiver at once, and the third one by the time the token reaches it. There are several sockets
 * between two workers, so that news also comes while a turn is at work on others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "io/conn.h"
#include "io/worker.h"

enum { WORKERS = 3, LINKS = 8, TOKENS = 24, HOPS_PER_TOKEN = 12600 }; /* more than 300 000 in all */

typedef struct Token {
    uint32_t token, hop;
} Token;

typedef struct News {
    Mail mail;
    Token said;
} News;

typedef struct Node {
    Conn in[LINKS], out[LINKS];
    uint32_t seen[TOKENS]; /* the newest hop by mail or of our own */
    uint64_t received, too_early, out_of_order;
    unsigned ended;
} Node;

static Node nodes[WORKERS];

static void news_arrive(Worker *here, Mail *mail) {
    News *news = CONTAINER_OF(mail, News, mail);
    Node *node = &nodes[here->index];
    if (news->said.hop <= node->seen[news->said.token])
        node->out_of_order++;
    node->seen[news->said.token] = news->said.hop;
    mem_free(news);
}

static void send_on(Worker *here, Token token) {
    for (unsigned i = 1; i < WORKERS; i++) {
        News *news = mem_alloc(sizeof *news);
        *news = (News){.mail.arrive = news_arrive, .said = token};
        worker_post(here, here->all[(here->index + i) % WORKERS], &news->mail);
    }
    nodes[here->index].seen[token.token] = token.hop;
    conn_append(&nodes[here->index].out[token.token % LINKS], slice_from(&token, sizeof token));
}

static void ended_arrive(Worker *here, Mail *mail) {
    mem_free(mail);
    if (++nodes[0].ended == TOKENS)
        worker_quit(here);
}

static size_t on_token(Conn *conn, char *data, size_t len) {
    Worker *here = conn->home;
    Node *node = &nodes[here->index];
    size_t used = 0;
    for (; len - used >= sizeof(Token); used += sizeof(Token)) {
        Token token;
        memcpy(&token, data + used, sizeof token);
        node->received++;
        if (node->seen[token.token] != token.hop)
            node->too_early++;
        token.hop++;
        if (token.hop <= HOPS_PER_TOKEN) {
            send_on(here, token);
            continue;
        }
        Mail *mail = mem_alloc(sizeof *mail);
        mail->arrive = ended_arrive;
        worker_post(here, here->all[WORKERS], mail);
    }
    return used;
}

static void start_arrive(Worker *here, Mail *mail) {
    (void)mail;
    for (uint32_t token = here->index; token < TOKENS; token += WORKERS)
        send_on(here, (Token){token, 1});
}

static void on_closed(Conn *conn, ConnEnd end) {
    (void)conn;
    (void)end;
}

static void mail_is_known_before_what_depends_on_it(void **state) {
    (void)state;
    static const ConnOps ops = {on_token, NULL, on_closed};
    Worker **all;
    Mail start[WORKERS];
    assert_int_equal(workers_new(WORKERS, &all), OK);
    for (unsigned i = 0; i < WORKERS * LINKS; i++) {
        int ends[2];
        unsigned link = i % LINKS, from = i / LINKS, to = (from + 1) % WORKERS;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        assert_int_equal(conn_open(&nodes[from].out[link], all[from], ends[0], &ops), OK);
        assert_int_equal(conn_open(&nodes[to].in[link], all[to], ends[1], &ops), OK);
    }
    assert_int_equal(workers_start(all), OK);
    for (unsigned i = 0; i < WORKERS; i++) {
        start[i].arrive = start_arrive;
        worker_post_now(all[i], &start[i]);
    }
    worker_run(all[WORKERS]);
    workers_join(all);
    workers_drain(all);

    uint64_t received = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        received += nodes[i].received;
        assert_int_equal(nodes[i].too_early, 0);
        assert_int_equal(nodes[i].out_of_order, 0);
        for (unsigned link = 0; link < LINKS; link++) {
            conn_done(&nodes[i].in[link]);
            conn_done(&nodes[i].out[link]);
        }
    }
    assert_int_equal(received, TOKENS * HOPS_PER_TOKEN);
    workers_free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_is_known_before_what_depends_on_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
