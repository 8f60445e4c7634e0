/* Clients: the client door. One Clients per worker (worker->clients), the main worker's too: that
 * one accepts, counts connections over all workers and remembers closed clients.
 *
 * Set-up, before workers_start:  for every worker incl. the main one: worker->clients =
 * clients_new(...). Running: the listener's on_accept on the main worker calls
 * clients_accept(main->clients, fd). End: clients_shutdown(main->clients, ...); when done was
 * called: worker_quit. After workers_join: clients_free each. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/slice.h"
#include "front/client/client_options.h"
#include "io/conn_codec.h"
#include "io/offload.h"
#include "io/worker.h"

typedef struct Clients Clients;
typedef struct Client Client;

/* Copies options and auth. offload checks password hashes. home->bus must be set (not on the main
 * worker). ERR_SYNTAX, ERR_NOT_FOUND as credentials_new, text in out_error. */
MUST_CHECK Status clients_new(Worker *home, Offload *offload, const ClientOptions *options,
                              const AuthOptions *auth, Buf *out_error, Clients **out_clients);
/* After workers_join (and workers_drain), before bus_free. NULL-safe; ends what is still connected.
 */
void clients_free(Clients *clients);

/* The following eight: on the main worker, with its Clients. */

/* The number of the next connection, for connections of other kinds: all are numbered together. */
uint64_t clients_next_id(Clients *main);

/* Takes fd, gives it to the worker with the fewest clients. */
void clients_accept(Clients *main, int fd);
/* The same for a connection that became a WebSocket; takes codec too. */
void clients_accept_websocket(Clients *main, int fd, ConnCodec *codec);

/* Copies. Clients whose user is gone or changed are closed, and as many as are too many for lowered
 * limits on connections; subscriptions that lost permission are dropped with an -ERR. Nothing
 * changes when it fails. */
MUST_CHECK Status clients_reload(Clients *main, const ClientOptions *options,
                                 const AuthOptions *auth, Buf *out_error);

/* Sends INFO ldm:true to all, waits grace_ns, then closes clients spread over duration_ns. Then
 * done runs, on the main worker. The listener is closed by the caller, before. */
void clients_lame_duck(Clients *main, uint64_t grace_ns, uint64_t duration_ns,
                       void (*done)(void *cookie), void *cookie);

/* Closes all; what is pending is flushed for at most flush_ns. Then done runs, on the main worker.
 * Ends a lame duck too. */
void clients_shutdown(Clients *main, uint64_t flush_ns, void (*done)(void *cookie), void *cookie);

/* Closes the client ("Kicked"). No effect when there is none. */
void clients_kick(Clients *main, uint64_t cid);

/* Sends INFO ldm:true to that client. */
void clients_send_lame_duck(Clients *main, uint64_t cid);

/* A client for monitoring: all borrowed for the call. */
typedef struct ClientInfo {
    uint64_t cid;
    Slice ip;
    uint16_t port;
    int64_t start_ns, last_activity_ns; /* wall */
    int64_t stop_ns;                    /* wall; 0 = still open */
    const char *reason;                 /* NULL = still open */
    uint64_t rtt_ns;                    /* 0 = not known yet */
    uint64_t pending_bytes;
    uint64_t in_msgs, out_msgs, in_bytes, out_bytes, stalls;
    uint64_t subscriptions;
    Slice name, lang, version;
    bool is_websocket;
    Slice user; /* empty = none; "[REDACTED]" for a token */
    Slice account;
    size_t account_index;
} ClientInfo;

typedef struct ClientSubInfo {
    Slice subject, queue, sid;
    uint64_t msgs, max;
} ClientSubInfo;

/* On clients' worker. In no order. client may be asked by client_each_sub during the call. */
void clients_each(Clients *clients,
                  void (*each)(void *cookie, const ClientInfo *info, const Client *client),
                  void *cookie);
void client_each_sub(const Client *client, void (*each)(void *cookie, const ClientSubInfo *sub),
                     void *cookie);
/* NULL when this worker has none of that cid. */
const Client *clients_find(const Clients *clients, uint64_t cid);
void client_info(const Client *client, ClientInfo *out);

/* Main worker. Oldest first; at most max_closed_clients. Of a closed client's subscriptions only
 * the first ones are remembered (CLOSED_SUBS_MAX). */
typedef struct ClosedClient ClosedClient;
void clients_each_closed(Clients *main,
                         void (*each)(void *cookie, const ClientInfo *info,
                                      const ClosedClient *closed),
                         void *cookie);
void closed_client_each_sub(const ClosedClient *closed,
                            void (*each)(void *cookie, const ClientSubInfo *sub), void *cookie);

/* Figures of one worker; add them up over all (the main worker's are zero except total). */
typedef struct ClientsStats {
    uint64_t open;  /* now */
    uint64_t total; /* ever; on the main worker only, others say 0 */
    uint64_t subscriptions;
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes; /* since start */
    uint64_t slow_consumers, stale_connections, stalled_clients;
} ClientsStats;
void clients_stats(const Clients *clients, ClientsStats *out);
void clients_stats_add(ClientsStats *sum, const ClientsStats *more);

/* The same for one account. O(clients). */
void clients_account_stats(const Clients *clients, size_t account_index, ClientsStats *out);

/* Advisories: called on the client's worker, when a client was authenticated, was closed after
 * that, or failed to authenticate. Set before workers_start; any may be NULL. */
typedef struct ClientsEvents {
    void *cookie;
    void (*on_connect)(void *cookie, Worker *here, const ClientInfo *info);
    void (*on_disconnect)(void *cookie, Worker *here, const ClientInfo *info);
    void (*on_auth_error)(void *cookie, Worker *here, const ClientInfo *info);
} ClientsEvents;
void clients_set_events(Clients *clients, const ClientsEvents *events);
