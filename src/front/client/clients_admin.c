#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "front/client/client_private.h"

/* An order from the main worker to the clients of one worker. */
typedef struct Order Order;
struct Order {
    Mail mail; /* first */
    void (*obey)(Clients *clients, Order *order);
    OwnedOptions *owned;      /* reload; taken by who obeys */
    Credentials *credentials; /* reload; taken */
    uint64_t cid;
    uint64_t grace_ns, duration_ns;
    uint64_t excess; /* so many are to be closed */
    size_t account;  /* of this one, or ANY_ACCOUNT */
};

static const size_t ANY_ACCOUNT = SIZE_MAX;

/* Lame duck closes this often, a few each time. */
enum { CLOSING_STEP_MS = 50 };
/* After the time to flush, workers get this long to tell that all is closed. */
enum { END_SLACK_MS = 1000 };

static void order_arrives(Worker *here, Mail *mail) {
    Order *order = CONTAINER_OF(mail, Order, mail);
    order->obey(here->clients, order);
    mem_free(order);
}

static Order *order_new(void (*obey)(Clients *clients, Order *order)) {
    Order *order = mem_zalloc(sizeof *order);
    order->mail.arrive = order_arrives;
    order->obey = obey;
    return order;
}

static void send_order(Clients *main, unsigned to, Order *order) {
    worker_post(main->home, main->home->all[to], &order->mail);
}

static void send_info_update(Client *client) {
    if (client_is_open(client) && client->protocol == 1)
        client_send_info(client, INFO_UPDATE);
}

static void keep_or_close(Client *client, const AuthUser *user) {
    if (!client_is_open(client))
        return;
    if (!client->user) { /* not authenticated yet */
        client_apply_limits(client);
        return;
    }
    const uint64_t payload_max = client->payload_max;
    if (!user) {
        CLIENT_LOG(client, LOG_INFO_LEVEL, "no longer authorized");
        client_refuse(client);
        return;
    }
    client_rebind(client, user);
    client_recheck_subs(client);
    if (client->payload_max != payload_max)
        send_info_update(client);
}

static void obey_reload(Clients *clients, Order *order) {
    Credentials *old = clients->credentials;
    OwnedOptions *old_options = clients->owned;
    VEC(Client *) all = {0};
    uint64_t cid;
    void *client;

    clients->owned = order->owned;
    clients->options = &order->owned->options;
    clients->credentials = order->credentials;
    for (size_t i = 0; map64_next(&clients->by_cid, &i, &cid, &client);)
        vec_push(&all, client);
    for (size_t i = 0; i < all.len; i++)
        keep_or_close(all.at[i], all.at[i]->user
                                     ? auth_same_user(clients->credentials, all.at[i]->user)
                                     : NULL);
    vec_done(&all);
    credentials_free(old);
    owned_options_free(old_options);
}

static bool is_in(const Client *client, size_t account) {
    return client_is_open(client) &&
           (account == ANY_ACCOUNT ||
            (client->account && account_index(client->account) == account));
}

static void obey_close_excess(Clients *clients, Order *order) {
    bool is_any = order->account == ANY_ACCOUNT;
    uint64_t cid, left = order->excess;
    void *client;

    for (size_t i = 0; left > 0 && map64_next(&clients->by_cid, &i, &cid, &client);) {
        if (!is_in(client, order->account))
            continue;
        client_close(client, is_any ? CLOSE_MAX_CONNECTIONS : CLOSE_MAX_ACCOUNT_CONNECTIONS,
                     is_any ? "maximum connections exceeded"
                            : "maximum account active connections exceeded");
        left--;
    }
}

/* open: on each worker; overwritten. Takes from those that have most. */
static void close_excess(Clients *main, uint64_t *open, uint64_t max, size_t account) {
    unsigned count = main->home->count;
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += open[i];
    for (; max > 0 && sum > max;) {
        unsigned most = 0;
        uint64_t second = 0;
        for (unsigned i = 1; i < count; i++)
            most = open[i] > open[most] ? i : most;
        for (unsigned i = 0; i < count; i++)
            second = i != most && open[i] > second ? open[i] : second;
        uint64_t share = open[most] > second ? open[most] - second : 1;
        Order *order = order_new(obey_close_excess);
        order->excess = share < sum - max ? share : sum - max;
        order->account = account;
        open[most] -= order->excess;
        sum -= order->excess;
        send_order(main, most, order);
    }
}

/* A client that leaves just now still counts, so that one more may have to go. */
static void enforce_max_connections(Clients *main, const ClientOptions *options) {
    unsigned count = main->home->count;
    uint64_t *open = mem_alloc(count * sizeof *open);

    memcpy(open, main->main->open_by_worker, count * sizeof *open);
    close_excess(main, open, options->max_connections, ANY_ACCOUNT);
    for (size_t account = 0; account < options->account_limit_count; account++) {
        for (unsigned i = 0; i < count; i++)
            open[i] = *clients_open_of_account(main, account, i);
        close_excess(main, open, options->account_limits[account].max_connections, account);
    }
    mem_free(open);
}

Status clients_reload(Clients *main, const ClientOptions *options, const AuthOptions *auth,
                      Buf *out_error) {
    ASSERT_HOME(main);
    Credentials *credentials;

    Status status = credentials_new(auth, out_error, &credentials);
    if (status != OK)
        return status;
    for (unsigned i = 0; i <= main->home->count; i++) {
        Order *order = order_new(obey_reload);
        if (credentials) {
            order->credentials = credentials;
            credentials = NULL;
        } else {
            status = credentials_new(auth, NULL, &order->credentials);
            ASSERT(status == OK); /* the same input as just before */
        }
        order->owned = owned_options_new(options);
        send_order(main, i, order);
    }
    enforce_max_connections(main, options);
    return OK;
}

static void obey_lame_duck(Clients *clients, Order *order) {
    uint64_t cid, now_ns = clients->home->now_ns;
    void *client;

    clients->is_lame_duck = true;
    for (size_t i = 0; map64_next(&clients->by_cid, &i, &cid, &client);)
        send_info_update(client);
    clients->closing_at = 0;
    clients->closing_until_ns = now_ns + order->grace_ns + order->duration_ns;
    timer_set(clients->home, &clients->closing_timer, now_ns + order->grace_ns);
}

static Client *next_to_close(Clients *clients) {
    uint64_t cid;
    void *client;
    while (map64_next(&clients->by_cid, &clients->closing_at, &cid, &client)) {
        if (client_is_open(client))
            return client;
    }
    return NULL;
}

/* Closes the share of this step; at the end of the time all the rest. */
void clients_on_closing_timer(Timer *timer) {
    Clients *clients = CONTAINER_OF(timer, Clients, closing_timer);
    const uint64_t step_ns = (uint64_t)CLOSING_STEP_MS * NS_PER_MS, now_ns = clients->home->now_ns;
    uint64_t left_ns = clients->closing_until_ns > now_ns ? clients->closing_until_ns - now_ns : 0;
    uint64_t steps = left_ns / step_ns + 1;
    uint64_t share = (clients->stats.open + steps - 1) / steps;

    while (share > 0 && clients->stats.open > 0) {
        Client *client = next_to_close(clients);
        if (!client) {
            clients->closing_at = 0; /* some moved while others left */
            continue;
        }
        client_close(client, CLOSE_SHUTDOWN, NULL);
        share--;
    }
    if (clients->stats.open > 0)
        timer_set(clients->home, timer, now_ns + step_ns);
}

static void set_done(Clients *main, void (*done)(void *cookie), void *cookie) {
    main->main->done = done;
    main->main->cookie = cookie;
}

void clients_check_end(Clients *main) {
    ClientsMain *own = main->main;
    if (!own->done || own->open > 0)
        return;
    void (*done)(void *cookie) = own->done;
    own->done = NULL;
    timer_cancel(main->home, &own->end_timer);
    done(own->cookie);
}

void clients_on_end_timer(Timer *timer) {
    ClientsMain *own = CONTAINER_OF(timer, ClientsMain, end_timer);
    void (*done)(void *cookie) = own->done;
    own->done = NULL;
    if (done) {
        LOG_WARNING("clients did not close in time", "open=%llu", (unsigned long long)own->open);
        done(own->cookie);
    }
}

void clients_lame_duck(Clients *main, uint64_t grace_ns, uint64_t duration_ns,
                       void (*done)(void *cookie), void *cookie) {
    ASSERT_HOME(main);
    main->is_lame_duck = true;
    set_done(main, done, cookie);
    for (unsigned i = 0; i < main->home->count; i++) {
        Order *order = order_new(obey_lame_duck);
        order->grace_ns = grace_ns;
        order->duration_ns = duration_ns;
        send_order(main, i, order);
    }
    clients_check_end(main);
}

static void obey_shutdown(Clients *clients, Order *order) {
    uint64_t cid;
    void *client;

    timer_cancel(clients->home, &clients->closing_timer);
    for (size_t i = 0; map64_next(&clients->by_cid, &i, &cid, &client);) {
        Client *each = client;
        each->conn.write_deadline_ns = order->grace_ns;
        client_close(each, CLOSE_SHUTDOWN, NULL);
    }
}

void clients_shutdown(Clients *main, uint64_t flush_ns, void (*done)(void *cookie), void *cookie) {
    ASSERT_HOME(main);
    set_done(main, done, cookie);
    for (unsigned i = 0; i < main->home->count; i++) {
        Order *order = order_new(obey_shutdown);
        order->grace_ns = flush_ns > 0 ? flush_ns : NS_PER_MS;
        send_order(main, i, order);
    }
    timer_set(main->home, &main->main->end_timer,
              main->home->now_ns + flush_ns + (uint64_t)END_SLACK_MS * NS_PER_MS);
    clients_check_end(main);
}

static void obey_kick(Clients *clients, Order *order) {
    Client *client = map64_get(&clients->by_cid, order->cid);
    if (client)
        client_close(client, CLOSE_KICKED, NULL);
}

static void obey_send_lame_duck(Clients *clients, Order *order) {
    Client *client = map64_get(&clients->by_cid, order->cid);
    bool was_lame_duck = clients->is_lame_duck;
    if (!client)
        return;
    clients->is_lame_duck = true;
    send_info_update(client);
    clients->is_lame_duck = was_lame_duck;
}

static void send_order_about(Clients *main, uint64_t cid,
                             void (*obey)(Clients *clients, Order *order)) {
    ASSERT_HOME(main);
    for (unsigned i = 0; i < main->home->count; i++) {
        Order *order = order_new(obey);
        order->cid = cid;
        send_order(main, i, order);
    }
}

void clients_kick(Clients *main, uint64_t cid) {
    send_order_about(main, cid, obey_kick);
}

void clients_send_lame_duck(Clients *main, uint64_t cid) {
    send_order_about(main, cid, obey_send_lame_duck);
}
