/* Leafnodes: other servers that share interest and messages of one account with this one. Either
 * side may have connected: the one that did is the spoke, the other its hub, unless its
 * configuration says otherwise. What goes over the wire is in proto/leaf_parser.h.
 *
 * One Leafnodes per worker (worker->leafnodes), the main worker's too. The main one accepts and
 * checks who comes, and keeps dialling the remotes; a connection that is agreed upon lives on the
 * home of its account, where all leafnode connections of that account are: account index modulo the
 * number of workers. There its interest is entered into the bus as that of a port, and the interest
 * of everybody else, as the bus of that worker knows it, is told to the other side. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/buf.h"
#include "cluster/leaf_options.h"
#include "io/offload.h"
#include "io/worker.h"

typedef struct Leafnodes Leafnodes;
typedef struct LeafConn LeafConn;

/* The server, as other servers shall know it. Lives as long as the server. */
typedef struct LeafFacts {
    Slice server_id, server_name, version, git_commit, go;
    Slice cluster; /* empty = none: it connects to nobody */
    Slice domain;  /* of JetStream; empty = none */
    bool has_jetstream, no_header_support;
    const bool *account_has_jetstream; /* by index; NULL: none has */
    size_t account_count, system_account;
    unsigned api_level;
    uint64_t max_payload;
    size_t max_control_line, max_pending;
    uint64_t ping_interval_ns, write_deadline_ns;
    unsigned ping_max;
    Slice host;                /* where it listens for leafnodes; set before leafnodes_new */
    uint16_t port;             /* 0 = it does not */
    const uint64_t *max_leafs; /* by account index, 0 = none */
    uint64_t max_subs;         /* of a connection, 0 = none */
    /* Connections of all kinds are numbered together. On the main worker. */
    uint64_t (*next_id)(void *cookie);
    void *cookie;
    Offload *offload;
} LeafFacts;

/* Set-up, for every worker incl. the main one. facts must live on. */
Leafnodes *leafnodes_new(Worker *home, const LeafFacts *facts);
/* JetStream is open, the workers do not run yet: from now on its streams are told of. */
void leafnodes_attach(Leafnodes *leafnodes);
/* After workers_join, before bus_free. NULL-safe. */
void leafnodes_free(Leafnodes *leafnodes);

/* The following five: on the main worker, with its Leafnodes. */

/* Copies. users: who may connect as a client, for those that options name nobody for. At the start
 * and by each reload: connections whose user is gone are closed, remotes that are gone or disabled
 * are left, new ones dialled once leafnodes_start was called. ERR_SYNTAX, ERR_NOT_FOUND: as
 * credentials_new; nothing changes then. */
MUST_CHECK Status leafnodes_configure(Leafnodes *main, const LeafOptions *options,
                                      const AuthOptions *users, Buf *out_error);
/* Workers run: begins to dial. */
void leafnodes_start(Leafnodes *main);
/* Takes fd. */
void leafnodes_accept(Leafnodes *main, int fd);
/* No more dialling. */
void leafnodes_stop_dialling(Leafnodes *main);
/* No more dialling, nobody is let in any more. Then leafnodes_close_all on every worker, a turn at
 * least before it quits. */
void leafnodes_shutdown(Leafnodes *main);
/* On leafnodes' worker. */
void leafnodes_close_all(Leafnodes *leafnodes);

/* A connection for monitoring: all borrowed for the call. */
typedef struct LeafInfo {
    uint64_t id;
    Slice name, account, ip;
    size_t account_index;
    uint16_t port;
    bool is_spoke, is_isolated;
    uint64_t rtt_ns; /* 0 = not known yet */
    uint64_t in_msgs, out_msgs, in_bytes, out_bytes;
    size_t subscriptions;
} LeafInfo;

/* On leafnodes' worker. */
void leafnodes_each(const Leafnodes *leafnodes,
                    void (*each)(void *cookie, const LeafInfo *info, const LeafConn *leaf),
                    void *cookie);
void leaf_each_sub(const LeafConn *leaf, void (*each)(void *cookie, Slice subject), void *cookie);

/* Figures of one worker; add them up over all. */
typedef struct LeafStats {
    uint64_t open;
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes; /* since start */
    uint64_t slow_consumers, stale_connections;
} LeafStats;
void leafnodes_stats(const Leafnodes *leafnodes, LeafStats *out);
/* Adds. */
void leaf_stats_add(LeafStats *sum, const LeafStats *more);
/* The same for one account. */
void leafnodes_account_stats(const Leafnodes *leafnodes, size_t account, LeafStats *out);
/* How many remotes there are, connected or not; on the main worker. */
size_t leafnodes_remote_count(const Leafnodes *main);
