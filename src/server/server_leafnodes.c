/* The door for leafnodes, and the servers this one is a leafnode of. */
#include <errno.h>

#include "base/log.h"
#include "server/server_private.h"
#include "server/version.h"

static uint64_t next_id(void *cookie) {
    const Server *server = cookie;
    return clients_next_id(server->main->clients);
}

static void on_accept(Listener *listener, int fd) {
    const Server *server = listener_cookie(listener);
    leafnodes_accept(server->main->leafnodes, fd);
}

static Status open_listener(Server *server) {
    const LeafOptions *options = &server->options->leafnodes;
    Slice host = arena_copy(server->arena, options->host);
    char reason[128];
    if (options->port == 0)
        return OK;
    Status status = listener_open(server->main, host.ptr, (int)options->port, on_accept, server,
                                  &server->leaf_listener);
    if (status != OK) {
        FATAL("Error listening on leafnode port:", "%lld - listen tcp %s:%lld: %s%s",
              (long long)options->port, host.ptr, (long long)options->port,
              status == ERR_NOT_FOUND ? "" : "bind: ",
              status == ERR_NOT_FOUND ? "no such host" : server_os_error(reason));
        return status;
    }
    server->varz.leaf_port = server->facts.leaf_port = listener_port(server->leaf_listener);
    LOG_INFO("Listening for leafnode connections on", "%s:%u", host.ptr, server->facts.leaf_port);
    return OK;
}

static void gather_facts(Server *server) {
    const Options *options = server->options;
    const size_t count = options->accounts.len;
    bool *has_jetstream = arena_zalloc(server->arena, (count + 1) * sizeof *has_jetstream);
    uint64_t *max_leafs = arena_zalloc(server->arena, (count + 1) * sizeof *max_leafs);
    for (size_t i = 0; i < count; i++) {
        const AccountOptions *account = &options->accounts.at[i];
        has_jetstream[i] = options->jetstream.is_enabled && account->has_jetstream;
        max_leafs[i] = account->max_leafs > 0 ? (uint64_t)account->max_leafs : 0;
    }
    server->leaf_facts = (LeafFacts){
        .server_id = server->facts.id,
        .server_name = server->facts.name,
        .version = LIT(VERSION_PROTOCOL),
        .go = LIT("C17"),
        .cluster = server->facts.cluster,
        .domain = options->jetstream.is_enabled
                      ? arena_copy(server->arena, options->jetstream.domain)
                      : (Slice){0},
        .has_jetstream = options->jetstream.is_enabled,
        .no_header_support = options->no_header_support,
        .account_has_jetstream = has_jetstream,
        .account_count = count,
        .system_account = ACCOUNT_SYSTEM,
        .api_level = VERSION_API_LEVEL,
        .max_payload = (uint64_t)options->max_payload,
        .max_control_line = (size_t)options->max_control_line,
        .max_pending = (size_t)options->max_pending,
        .ping_interval_ns = (uint64_t)options->ping_interval_ns,
        .write_deadline_ns = (uint64_t)options->write_deadline_ns,
        .ping_max = (unsigned)options->ping_max,
        .host = arena_copy(server->arena, options->leafnodes.host),
        .port = server->facts.leaf_port,
        .max_leafs = max_leafs,
        .max_subs = options->max_subs > 0 ? (uint64_t)options->max_subs : 0,
        .next_id = next_id,
        .cookie = server,
        .offload = server->offload,
    };
}

static bool has_leafnodes(const Options *options) {
    return options->leafnodes.port != 0 || options->leafnodes.remote_count > 0;
}

Status server_configure_leafnodes(Server *server, const Options *options, Buf *error) {
    AuthOptions users;
    if (server->main->leafnodes == NULL)
        return OK;
    wiring_auth_options(options, &users);
    return leafnodes_configure(server->main->leafnodes, &options->leafnodes, &users, error);
}

Status server_open_leafnodes(Server *server) {
    Buf error = {0};
    if (!has_leafnodes(server->options))
        return OK;
    Status status = open_listener(server);
    if (status != OK)
        return status;
    gather_facts(server);
    for (unsigned i = 0; i <= server->main->count; i++)
        server->all[i]->leafnodes = leafnodes_new(server->all[i], &server->leaf_facts);
    status = server_configure_leafnodes(server, server->options, &error);
    if (status != OK)
        FATAL("Can't accept leafnodes:", "%s", buf_text(&error));
    buf_done(&error);
    return status;
}

Status server_compare_leafnodes(const Server *server, const Options *now, Buf *error) {
    if (has_leafnodes(now) && server->main->leafnodes == NULL) {
        buf_append_lit(error, "config reload not supported for LeafNode: the block is read at a "
                              "start, after which its parts may change");
        return ERR_UNSUPPORTED;
    }
    return OK;
}

void server_close_leafnode_door(Server *server) {
    listener_close(server->leaf_listener);
    server->leaf_listener = NULL;
    if (server->main != NULL && server->main->leafnodes != NULL)
        leafnodes_stop_dialling(server->main->leafnodes);
}
