/* LeafOptions: the leafnodes block of the configuration, as plain data. Slices are borrowed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/slice.h"

typedef struct LeafUrl {
    Slice host, user, password; /* user empty = none */
    uint16_t port;
    bool has_password;
} LeafUrl;

/* A server that this one connects to. */
typedef struct LeafRemoteOptions {
    const LeafUrl *urls;
    size_t url_count;
    Slice account_name; /* ours; empty = the global one */
    size_t account;     /* its index */
    const Slice *deny_imports, *deny_exports;
    size_t deny_import_count, deny_export_count;
    bool is_hub;      /* we play the hub although we connect */
    bool is_in_order; /* urls are tried as they stand */
    bool is_disabled;
    bool ignores_discovered; /* urls that the other side tells of */
    bool is_isolated;        /* it does not hear of the interest of other leafs */
    bool asks_isolation;     /* we do not want to hear of that */
    int64_t dial_timeout_ns, first_info_timeout_ns; /* 0 = default */
} LeafRemoteOptions;

typedef struct LeafOptions {
    Slice host, advertise;
    int64_t port; /* 0 = no listener, -1 = any */
    bool no_advertise, is_isolated;
    /* Who may connect; none of it: as clients may. */
    Slice user, password;
    Slice account_name; /* of user, empty = the global one */
    size_t account;
    const UserOptions *users;
    size_t user_count;
    double auth_timeout_s; /* 0 = 2 */
    Slice min_version;
    int64_t reconnect_ns, dial_timeout_ns, write_deadline_ns; /* 0 = default */
    const LeafRemoteOptions *remotes;
    size_t remote_count;
} LeafOptions;
