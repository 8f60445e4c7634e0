/* Options: what the server was told by its configuration file and command line, as plain data.
 *
 * Filled by tables of directives (directive.h), not by code. Texts live in the options' own memory.
 * An Options is immutable after options_load: a reload builds another one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "base/vec.h"
#include "bus/bus.h"
#include "cluster/leaf_options.h"
#include "proto/conf.h"

typedef struct CommandLine CommandLine;

/* Which accounts[] are always there; the same indexes as in the bus. */
enum { ACCOUNT_GLOBAL = 0, ACCOUNT_SYSTEM = 1 };

typedef struct TextList {
    Slice *at;
    size_t count;
} TextList;

/* key, value, key, value: count is that of the slices. */
typedef TextList TextPairs;

typedef struct FlagPair {
    Slice name;
    bool is_on;
} FlagPair;

typedef struct MappingOptions {
    Slice from;
    MappingDest *dests;
    size_t count;
} MappingOptions;

typedef VEC(MappingOptions) MappingList;

/* -1 = no limit. */
typedef struct AccountJetStreamOptions {
    int64_t max_memory, max_file, max_streams, max_consumers, max_ack_pending;
    int64_t memory_stream_max, file_stream_max; /* bytes of one stream */
    bool max_bytes_required;
    bool dedup; /* large payloads that are equal are stored once */
} AccountJetStreamOptions;

typedef struct AccountOptions {
    Slice name;
    bool is_configured; /* the file names it */
    bool has_jetstream;
    AccountJetStreamOptions jetstream;
    int64_t max_connections, max_subs, max_payload, max_leafs; /* 0 or -1 = none of its own */
    PermissionsOptions default_permissions;
    MappingList mappings;
    Slice trace_dest;      /* empty: none */
    int64_t trace_percent; /* 0: not said */
} AccountOptions;

typedef struct AuthorizationOptions {
    Slice user, password, token;
    double timeout_s;
    PermissionsOptions default_permissions;
    VEC(UserOptions) users; /* of all accounts */
    bool is_configured;
} AuthorizationOptions;

typedef struct JetStreamBatchOptions {
    int64_t max_inflight_per_stream, max_inflight_total, max_msgs, timeout_ns;
} JetStreamBatchOptions;

typedef struct JetStreamLimitsOptions {
    int64_t max_consumers_default; /* 0 = ours: none */
    int64_t max_ack_pending, max_ha_assets, max_request_batch, duplicate_window_ns;
    JetStreamBatchOptions batch;
} JetStreamLimitsOptions;

/* port 0: no WebSockets. */
typedef struct WebSocketServerOptions {
    Slice host, advertise;
    int64_t port; /* -1 = any */
    bool is_without_tls, is_same_origin, is_compressed;
    TextList allowed_origins;
    TextPairs headers;
    int64_t handshake_timeout_ns, ping_interval_ns; /* 0 = default */
} WebSocketServerOptions;

/* As the log says it. */
#define CIPHER_NAME_CHACHA LIT("ChaCha20-Poly1305")
#define CIPHER_NAME_AES    LIT("AES-GCM")

typedef struct JetStreamServerOptions {
    bool is_enabled, is_not_strict;
    Slice store_dir; /* as configured; empty = the default */
    Slice domain;
    int64_t max_memory, max_file;    /* -1 = derived from the machine */
    int64_t sync_interval_ns;        /* 0 = always */
    int64_t checkpoint_bytes;        /* of log between two checkpoints; 0 = the store's default */
    int64_t scrub_interval_ns;       /* 0 = off */
    int64_t scrub_rate;              /* bytes a second */
    Slice cipher;                    /* CIPHER_NAME_CHACHA or CIPHER_NAME_AES */
    Slice key, key_before;           /* empty = none; only their lengths once they are forgotten */
    Slice key_mark, key_before_mark; /* what equal keys have in common */
    bool is_key_shared, is_key_before_shared; /* something else has the same bytes */
    bool dedup;                               /* large payloads that are equal are stored once */
    int64_t segment_bytes;                    /* of the log; 0 = the store's default */
    bool clean; /* what is live moves out of segments that hold little of it */
    int64_t max_buffered_msgs, max_buffered_bytes; /* of one stream; 0 = ours */
    JetStreamLimitsOptions limits;
} JetStreamServerOptions;

typedef struct Options {
    Arena *arena;
    Conf *conf;        /* NULL without a file */
    Slice config_file; /* empty = none */
    char digest[80];   /* "sha256:<hex>"; "" without a file */

    Slice server_name, host, client_advertise;
    int64_t port; /* -1 = any */
    int64_t workers;

    Slice http_host, http_base_path;
    int64_t http_port; /* 0 = none, -1 = any */

    bool debug, trace, trace_verbose, trace_headers, logtime, logtime_utc;
    Slice log_file;
    int64_t log_size_limit, log_max_num, max_traced_bytes;
    Slice pid_file, ports_file_dir;

    int64_t max_connections, max_control_line, max_payload, max_pending, max_subs, max_sub_tokens,
        max_closed_clients;
    int64_t ping_interval_ns, ping_max, write_deadline_ns;
    int64_t lame_duck_duration_ns, lame_duck_grace_ns;
    bool no_header_support, no_fast_producer_stall, no_short_first_ping, no_sublist_cache;

    AuthorizationOptions authorization;
    VEC(AccountOptions) accounts;
    Slice no_auth_user, system_account;
    bool has_accounts; /* the file configures accounts beyond the global one's mappings */
    bool has_plain_passwords;
    bool is_system_only; /* only the system account has users: others come in without any */

    JetStreamServerOptions jetstream;
    WebSocketServerOptions websocket;
    LeafOptions leafnodes;

    TextList tags;
    TextPairs metadata;
    VEC(FlagPair) feature_flags;
    VEC(Slice) ignored; /* options that were accepted without effect: said once at start */
} Options;

/* Reads the file the command line names, if any, applies the command line over it and the defaults
 * below it, and checks what depends on each other. ERR_SYNTAX: out_errors has one message a line.
 * out_warnings may get lines too, also on success. Touches nothing but the configuration files. */
MUST_CHECK Status options_load(const CommandLine *line, const Options *previous, Buf *out_errors,
                               Buf *out_warnings, Options **out_options);

/* The same for a text, without a command line when line is NULL; source gives includes and
 * environment. */
MUST_CHECK Status options_parse(const CommandLine *line, const Options *previous, Slice file_name,
                                Slice text, const ConfSource *source, Buf *out_errors,
                                Buf *out_warnings, Options **out_options);
void options_free(Options *options);
/* The keys of encryption were used: overwrites them. They are compared by their marks. */
void options_forget_keys(Options *options);
/* Part of building: from here on only key and key_before tell them. */
void options_hide_keys(Options *options);

/* What must hold for a start, beyond the syntax: -t does not ask. ERR_SYNTAX: text in out_error. */
MUST_CHECK Status options_check_start(const Options *options, Buf *out_error);

/* Part of options_check_start. */
MUST_CHECK Status options_check_leafnodes(const Options *options, Buf *out_error);

/* The first difference that a reload cannot apply: ERR_UNSUPPORTED, text in out_error. OK
 * otherwise; out_changed gets the names of what changed, one a line. */
MUST_CHECK Status options_compare(const Options *old, const Options *now, Buf *out_error,
                                  Buf *out_changed);

/* Index in accounts; SIZE_MAX when there is none. */
size_t options_find_account(const Options *options, Slice name);

DEFINE_CLEANUP(Options, options_free)
