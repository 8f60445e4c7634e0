/* ClientOptions: everything the client door needs to know from the configuration. Plain data;
 * slices are borrowed for the call that takes it (each worker makes a copy). All of it may change
 * by reload except where noted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* 0 = none. */
typedef struct AccountLimits {
    uint64_t max_connections, max_subs, max_payload;
} AccountLimits;

typedef struct ClientOptions {
    uint64_t max_payload;     /* header and payload together */
    size_t max_control_line;  /* bytes of the arguments of a line */
    size_t max_pending;       /* outbox of a client: over it, closed as a slow consumer */
    uint64_t max_connections; /* over all workers; 0 = none */
    uint64_t max_subs;        /* per client; 0 = none */
    unsigned max_sub_tokens;  /* tokens of a subscription's subject; 0 = none */
    uint64_t ping_interval_ns;
    uint64_t websocket_ping_interval_ns; /* 0 = the same */
    unsigned ping_max;                   /* unanswered PINGs */
    uint64_t write_deadline_ns;
    uint64_t auth_timeout_ns;  /* only used when authentication is required */
    size_t max_closed_clients; /* remembered for monitoring; not changed by reload */
    size_t max_traced_bytes;   /* of a payload in a trace line; 0 = all */
    bool no_header_support;
    bool no_fast_producer_stall;
    bool no_short_first_ping;
    bool trace_payloads; /* trace_verbose: MSG_PAYLOAD lines too */

    /* INFO, in the order of the wire. Empty ones are left out where the protocol says so. */
    Slice server_id, server_name, version, git_commit, go, host, websocket_host;
    uint16_t port, websocket_port;
    bool jetstream;
    Slice cluster, domain;
    const Slice *connect_urls;
    size_t connect_url_count;
    unsigned api_level; /* 0 = left out */

    /* The "server" object of answers to $SYS.REQ.USER.INFO. */
    const Slice *tags;
    size_t tag_count;
    const Slice *metadata; /* key, value, key, value */
    size_t metadata_count; /* slices, twice the pairs */

    size_t system_account; /* index; 1 ("$SYS") unless configured otherwise */

    /* By account index; accounts beyond have none. */
    const AccountLimits *account_limits;
    size_t account_limit_count;
} ClientOptions;

/* What nats-server does without configuration; the INFO part is zero except api_level. */
ClientOptions client_options_default(void);
