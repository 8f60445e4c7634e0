#include "front/client/clients.h"

#include "base/log.h"
#include "base/mem.h"
#include "front/client/client_private.h"

/* A new connection on its way to its worker. */
typedef struct AcceptMail {
    Mail mail; /* first */
    int fd;
    ConnCodec *codec; /* NULL: none */
    bool is_over_limit;
    uint64_t cid;
} AcceptMail;

/* To the main worker and, for ACCOUNT_ASK, back. */
typedef struct AccountMail {
    Mail mail; /* first */
    AccountEvent event;
    bool is_admitted;
    uint64_t cid;
    size_t account;
    Worker *from;
} AccountMail;

static Worker *main_of(const Worker *worker) {
    return worker->all[worker->count];
}

static bool is_main(const Worker *worker) {
    return worker->index == worker->count;
}

static ClientsMain *main_new(const Worker *home, const ClientOptions *options) {
    ClientsMain *main = mem_zalloc(sizeof *main);
    main->open_by_worker = mem_zalloc((home->count + 1) * sizeof *main->open_by_worker);
    main->ring_cap = options->max_closed_clients;
    timer_init(&main->end_timer, clients_on_end_timer);
    return main;
}

Status clients_new(Worker *home, Offload *offload, const ClientOptions *options,
                   const AuthOptions *auth, Buf *out_error, Clients **out_clients) {
    Credentials *credentials;
    Status status = credentials_new(auth, out_error, &credentials);
    if (status != OK)
        return status;
    Clients *clients = mem_zalloc(sizeof *clients);
    clients->home = home;
    clients->offload = offload;
    clients->owned = owned_options_new(options);
    clients->options = &clients->owned->options;
    clients->credentials = credentials;
    if (home->bus)
        clients->account_count = bus_account_count(home->bus);
    clients->by_account = mem_zalloc((clients->account_count + 1) * sizeof *clients->by_account);
    list_init(&clients->stalled);
    timer_init(&clients->stall_timer, client_on_stall_timer);
    timer_init(&clients->closing_timer, clients_on_closing_timer);
    if (is_main(home))
        clients->main = main_new(home, options);
    *out_clients = clients;
    return OK;
}

static void main_free(Clients *clients) {
    clients_forget_closed(clients);
    vec_done(&clients->main->open_by_account);
    mem_free(clients->main->open_by_worker);
    mem_free(clients->main);
}

void clients_free(Clients *clients) {
    uint64_t cid;
    void *client;

    if (!clients)
        return;
    for (size_t i = 0; map64_next(&clients->by_cid, &i, &cid, &client);) {
        client_discard(client);
    }
    map64_done(&clients->by_cid);
    client_forget_presences(clients);
    if (clients->main)
        main_free(clients);
    credentials_free(clients->credentials);
    owned_options_free(clients->owned);
    mem_free(clients->by_account);
    mem_free(clients);
}

void clients_set_events(Clients *clients, const ClientsEvents *events) {
    clients->events = *events;
}

static void accept_arrives(Worker *here, Mail *mail) {
    AcceptMail *accepted = CONTAINER_OF(mail, AcceptMail, mail);
    client_open(here->clients, accepted->fd, accepted->codec, accepted->cid,
                accepted->is_over_limit);
    mem_free(accepted);
}

/* The one with the fewest; the first of them. */
static unsigned quietest_worker(const Clients *clients) {
    unsigned best = 0;
    for (unsigned i = 1; i < clients->home->count; i++) {
        if (clients->main->open_by_worker[i] < clients->main->open_by_worker[best])
            best = i;
    }
    return best;
}

static void accept_any(Clients *main, int fd, ConnCodec *codec) {
    ASSERT_HOME(main);
    ClientsMain *own = main->main;
    AcceptMail *accepted = mem_zalloc(sizeof *accepted);
    unsigned to = quietest_worker(main);

    accepted->mail.arrive = accept_arrives;
    accepted->fd = fd;
    accepted->codec = codec;
    accepted->cid = ++own->last_cid;
    accepted->is_over_limit =
        main->options->max_connections && own->open >= main->options->max_connections;
    own->open++;
    own->open_by_worker[to]++;
    main->stats.total++;
    worker_post(main->home, main->home->all[to], &accepted->mail);
}

uint64_t clients_next_id(Clients *main) {
    ASSERT_HOME(main);
    return ++main->main->last_cid;
}

void clients_accept(Clients *main, int fd) {
    accept_any(main, fd, NULL);
}

void clients_accept_websocket(Clients *main, int fd, ConnCodec *codec) {
    accept_any(main, fd, codec);
}

static void account_verdict_arrives(Worker *here, Mail *mail) {
    AccountMail *account = CONTAINER_OF(mail, AccountMail, mail);
    client_on_account_verdict(here->clients, account->cid, account->is_admitted);
    mem_free(account);
}

uint64_t *clients_open_of_account(Clients *main, size_t account, unsigned worker) {
    ClientsMain *own = main->main;
    size_t at = account * main->home->count + worker;
    while (own->open_by_account.len <= at)
        vec_push(&own->open_by_account, 0);
    return &own->open_by_account.at[at];
}

static uint64_t open_everywhere(Clients *main, size_t account) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < main->home->count; i++)
        sum += *clients_open_of_account(main, account, i);
    return sum;
}

static void account_arrives(Worker *here, Mail *mail) {
    AccountMail *account = CONTAINER_OF(mail, AccountMail, mail);
    Clients *clients = here->clients;
    const ClientOptions *options = clients->options;

    if (account->event == ACCOUNT_ASK) {
        uint64_t max = account->account < options->account_limit_count
                           ? options->account_limits[account->account].max_connections
                           : 0;
        account->is_admitted = max == 0 || open_everywhere(clients, account->account) <= max;
        account->mail.arrive = account_verdict_arrives;
        worker_post(here, account->from, &account->mail);
        return;
    }
    *clients_open_of_account(clients, account->account, account->from->index) +=
        account->event == ACCOUNT_JOIN ? 1 : (uint64_t)-1;
    mem_free(account);
}

void clients_post_account(Clients *clients, const Client *client, AccountEvent event) {
    AccountMail *account = mem_zalloc(sizeof *account);
    account->mail.arrive = account_arrives;
    account->event = event;
    account->cid = client->cid;
    account->account = account_index(client->account);
    account->from = clients->home;
    worker_post(clients->home, main_of(clients->home), &account->mail);
}
