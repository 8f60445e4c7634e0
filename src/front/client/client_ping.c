#include "base/log.h"
#include "front/client/client_private.h"

/* The first PING comes early: round trip times are known soon, dead peers too. */
#define FIRST_PING_NS ((uint64_t)2 * NS_PER_S)
/* An idle connection's round trip time is measured anew after this. */
#define RTT_INTERVAL_NS ((uint64_t)3600 * NS_PER_S)

static void on_timer(Timer *timer);

static uint64_t interval_of(const Client *client) {
    const ClientOptions *options = client->clients->options;
    return client_is_websocket(client) && options->websocket_ping_interval_ns
               ? options->websocket_ping_interval_ns
               : options->ping_interval_ns;
}

/* Everybody who must authenticate has only so long. */
void client_start_timer(Client *client) {
    Clients *clients = client->clients;
    bool must_authenticate = !client->user && !auth_anonymous(clients->credentials);

    timer_init(&client->timer, on_timer);
    if (must_authenticate)
        timer_set(clients->home, &client->timer,
                  clients->home->now_ns + clients->options->auth_timeout_ns);
    else
        client_start_pings(client);
}

void client_start_pings(Client *client) {
    Clients *clients = client->clients;
    const ClientOptions *options = clients->options;
    uint64_t delay_ns = interval_of(client);

    if (client->rtt_start_ns) /* another CONNECT: they are going already */
        return;
    if (!options->no_short_first_ping && delay_ns > FIRST_PING_NS)
        delay_ns = FIRST_PING_NS + rand_below(&clients->home->rand, FIRST_PING_NS / 5);
    timer_set(clients->home, &client->timer, clients->home->now_ns + delay_ns);
}

static void send_ping(Client *client) {
    client->pings_out++;
    client->rtt_start_ns = client->clients->home->now_ns;
    if (log_wants(LOG_TRACE_LEVEL))
        client_trace_out(client, LIT("PING"));
    conn_append(&client->conn, LIT("PING\r\n"));
}

static void on_timer(Timer *timer) {
    Client *client = CONTAINER_OF(timer, Client, timer);
    Clients *clients = client->clients;
    const ClientOptions *options = clients->options;
    uint64_t now_ns = clients->home->now_ns;

    if (client->is_waiting) { /* our delay, not theirs */
        timer_set(clients->home, timer, now_ns + NS_PER_S);
        return;
    }
    if (!client->user && !auth_anonymous(clients->credentials)) {
        CLIENT_LOG(client, LOG_DEBUG_LEVEL, "Authorization Timeout");
        client_close(client, CLOSE_AUTH_TIMEOUT, "Authentication Timeout");
        return;
    }
    bool is_quiet = now_ns - client->conn.last_input_ns >= interval_of(client);
    bool needs_rtt = client->rtt_start_ns == 0 || now_ns - client->rtt_start_ns > RTT_INTERVAL_NS;
    if (is_quiet || needs_rtt) {
        if (client->pings_out + 1u > options->ping_max) {
            CLIENT_LOG(client, LOG_DEBUG_LEVEL, "Stale Client Connection - Closing");
            clients->stats.stale_connections++;
            client_close(client, CLOSE_STALE, "Stale Connection");
            return;
        }
        send_ping(client);
    }
    timer_set(clients->home, timer, now_ns + interval_of(client));
}

void client_on_ping(Client *client) {
    if (log_wants(LOG_TRACE_LEVEL))
        client_trace_out(client, LIT("PONG"));
    conn_append(&client->conn, LIT("PONG\r\n"));
    if (client->is_connect_received && !client->is_first_pong_sent) {
        client->is_first_pong_sent = true;
        if (client->protocol >= 1)
            client_send_info(client, INFO_CONNECTED);
    }
}

void client_on_pong(Client *client) {
    if (client->pings_out) {
        uint64_t now_ns = client->clients->home->now_ns;
        client->rtt_ns = now_ns > client->rtt_start_ns ? now_ns - client->rtt_start_ns : 1;
    }
    client->pings_out = 0;
}
