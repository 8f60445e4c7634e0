#include "front/client/client_private.h"
#include "front/client/clients.h"

void client_info(const Client *client, ClientInfo *out) {
    uint64_t now_ns = client->clients->home->now_ns;
    int64_t wall_ns = clock_wall_ns();

    *out = (ClientInfo){
        .cid = client->cid,
        .ip = client_ip(client),
        .port = client->peer_port,
        .start_ns = wall_ns - (int64_t)(now_ns - client->start_ns),
        .last_activity_ns = wall_ns - (int64_t)(now_ns - client->last_ns),
        .rtt_ns = client->rtt_ns,
        .pending_bytes = client->conn.pending_bytes,
        .in_msgs = client->in_msgs,
        .out_msgs = client->out_msgs,
        .in_bytes = client->in_bytes,
        .out_bytes = client->out_bytes,
        .stalls = client->stalls,
        .subscriptions = client->subs.len,
        .is_websocket = client_is_websocket(client),
        .name = client_name(client),
        .lang = client_lang(client),
        .version = client_version(client),
        .user = client_user_name(client),
    };
    if (client->account) {
        out->account = account_name(client->account);
        out->account_index = account_index(client->account);
    }
}

void clients_each(Clients *clients,
                  void (*each)(void *cookie, const ClientInfo *info, const Client *client),
                  void *cookie) {
    ASSERT_HOME(clients);
    uint64_t cid;
    void *at;

    for (size_t i = 0; map64_next(&clients->by_cid, &i, &cid, &at);) {
        const Client *client = at;
        ClientInfo info;
        if (!client_is_open(client))
            continue;
        client_info(client, &info);
        each(cookie, &info, client);
    }
}

void client_each_sub(const Client *client, void (*each)(void *cookie, const ClientSubInfo *sub),
                     void *cookie) {
    const Sub *sub;
    for (uint32_t i = 0; (sub = sub_table_next(&client->subs, &i));) {
        ClientSubInfo info = {sub_subject(sub), sub_queue(sub), sub_sid(sub), sub->delivered,
                              sub->max};
        each(cookie, &info);
    }
}

const Client *clients_find(const Clients *clients, uint64_t cid) {
    const Client *client = map64_get(&clients->by_cid, cid);
    return client && client_is_open(client) ? client : NULL;
}

void clients_stats(const Clients *clients, ClientsStats *out) {
    *out = clients->stats;
}

void clients_stats_add(ClientsStats *sum, const ClientsStats *more) {
    sum->open += more->open;
    sum->total += more->total;
    sum->subscriptions += more->subscriptions;
    sum->in_msgs += more->in_msgs;
    sum->in_bytes += more->in_bytes;
    sum->out_msgs += more->out_msgs;
    sum->out_bytes += more->out_bytes;
    sum->slow_consumers += more->slow_consumers;
    sum->stale_connections += more->stale_connections;
    sum->stalled_clients += more->stalled_clients;
}

void clients_account_stats(const Clients *clients, size_t account, ClientsStats *out) {
    uint64_t cid;
    void *at;

    *out = (ClientsStats){0};
    if (account >= clients->account_count)
        return;
    *out = clients->by_account[account];
    for (size_t i = 0; map64_next(&clients->by_cid, &i, &cid, &at);) {
        const Client *client = at;
        if (!client->account || account_index(client->account) != account)
            continue;
        out->subscriptions += client->subs.len;
        out->in_msgs += client->in_msgs;
        out->in_bytes += client->in_bytes;
        out->out_msgs += client->out_msgs;
        out->out_bytes += client->out_bytes;
    }
}
