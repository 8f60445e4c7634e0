/* The tables of options: top level and JetStream. */
#include "base/limits.h"
#include "proto/json.h"
#include "server/directive.h"

#define ROW(name, kind, member, ...)                                                               \
    { name, DIRECTIVE_##kind, offsetof(Options, member), __VA_ARGS__ }
#define READ(name, handler_, member)                                                               \
    { name, DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(Options, member), 0, 0, handler_, NULL, 0 }
#define READ_FIXED(name, handler_, member, field, held)                                            \
    {                                                                                              \
        name, DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(Options, member), 0, 0, handler_, field,       \
            DIRECTIVE_##held                                                                       \
    }
#define REFUSED(name)                                                                              \
    { name, DIRECTIVE_REFUSED, 0, 0, 0, NULL, NULL }
#define IGNORED(name)                                                                              \
    { name, DIRECTIVE_IGNORED, 0, 0, 0, NULL, NULL }
#define HARMLESS(name)                                                                             \
    { name, DIRECTIVE_HARMLESS, 0, 0, 0, NULL, NULL }
#define INT_MAX_32 INT64_C(2147483647)

static DirectiveHandler read_listen, read_http, read_server_name, read_jetstream,
    read_write_timeout, read_lame_duck, read_grace, read_metadata, read_feature_flags,
    read_max_connections, read_store_dir, read_sync, read_js_limits, read_js_batch, read_strict,
    read_scrub, read_days, read_cipher, read_key;

static const Directive top_rows[] = {
    READ_FIXED("server_name", read_server_name, server_name, "ServerName", TEXT),
    READ_FIXED("listen", read_listen, host, "Host", TEXT),
    ROW("host|net", TEXT, host, 0, 0, NULL, "Host"),
    ROW("port", INT, port, -1, 65535, NULL, "Port"),
    ROW("client_advertise", TEXT, client_advertise, 0, 0, NULL, NULL),
    ROW("workers", INT, workers, 1, LIMIT_WORKERS, NULL, "Workers"),

    READ_FIXED("http", read_http, http_host, "HTTPHost", TEXT),
    ROW("http_port|monitor_port", INT, http_port, -1, 65535, NULL, "HTTPPort"),
    ROW("http_base_path", TEXT, http_base_path, 0, 0, NULL, "HTTPBasePath"),
    REFUSED("https"),
    REFUSED("https_port"),
    IGNORED("prof_port"),
    HARMLESS("prof_block_rate"),

    ROW("debug", BOOL, debug, 0, 0, NULL, NULL),
    ROW("trace", BOOL, trace, 0, 0, NULL, NULL),
    ROW("trace_verbose", BOOL, trace_verbose, 0, 0, NULL, NULL),
    ROW("trace_headers", BOOL, trace_headers, 0, 0, NULL, NULL),
    ROW("logtime", BOOL, logtime, 0, 0, NULL, NULL),
    ROW("logtime_utc", BOOL, logtime_utc, 0, 0, NULL, NULL),
    ROW("log_file|logfile", TEXT, log_file, 0, 0, NULL, NULL),
    ROW("log_size_limit|logfile_size_limit", INT, log_size_limit, 0, 0, NULL, NULL),
    ROW("log_max_num|logfile_max_num", INT, log_max_num, 0, 0, NULL, NULL),
    ROW("max_traced_msg_len", INT, max_traced_bytes, 0, INT_MAX_32, NULL, NULL),
    REFUSED("syslog"),
    REFUSED("remote_syslog"),
    ROW("pid_file|pidfile", TEXT, pid_file, 0, 0, NULL, NULL),
    ROW("ports_file_dir", TEXT, ports_file_dir, 0, 0, NULL, NULL),

    READ("max_connections|max_conn", read_max_connections, max_connections),
    ROW("max_control_line", INT, max_control_line, 1, INT_MAX_32, NULL, NULL),
    ROW("max_payload", INT, max_payload, 1, INT_MAX_32, NULL, NULL),
    ROW("max_pending", INT, max_pending, 1, INT64_MAX, NULL, "MaxPending"),
    ROW("max_subscriptions|max_subs", INT, max_subs, 0, INT_MAX_32, NULL, "MaxSubs"),
    ROW("max_subscription_tokens|max_sub_tokens", INT, max_sub_tokens, 1, 255, NULL,
        "MaxSubTokens"),
    ROW("max_closed_clients", INT, max_closed_clients, 0, INT_MAX_32, NULL, "MaxClosedClients"),
    ROW("ping_interval", DURATION, ping_interval_ns, 0, 0, NULL, NULL),
    ROW("ping_max", INT, ping_max, 0, INT_MAX_32, NULL, NULL),
    ROW("write_deadline", DURATION, write_deadline_ns, 0, 0, NULL, NULL),
    READ("write_timeout", read_write_timeout, write_deadline_ns),
    READ("lame_duck_duration", read_lame_duck, lame_duck_duration_ns),
    READ("lame_duck_grace_period", read_grace, lame_duck_grace_ns),
    ROW("no_header_support", BOOL, no_header_support, 0, 0, NULL, "NoHeaderSupport"),
    ROW("no_fast_producer_stall", BOOL, no_fast_producer_stall, 0, 0, NULL, NULL),
    ROW("disable_short_first_ping", BOOL, no_short_first_ping, 0, 0, NULL, NULL),
    HARMLESS("disable_sublist_cache|no_sublist_cache"),
    HARMLESS("connect_error_reports"),
    HARMLESS("reconnect_error_reports"),
    HARMLESS("allow_non_tls"),

    READ("authorization", read_authorization, authorization),
    READ("accounts", read_accounts, accounts),
    READ("mappings|maps", read_global_mappings, accounts),
    ROW("no_auth_user", TEXT, no_auth_user, 0, 0, NULL, NULL),
    ROW("system_account|system", TEXT, system_account, 0, 0, NULL, "SystemAccount"),
    REFUSED("no_system_account|no_system|no_sys_acc"),
    REFUSED("default_sentinel"),
    REFUSED("operator|operators|roots|root|root_operators|root_operator"),
    REFUSED("resolver|account_resolver|accounts_resolver"),
    REFUSED("resolver_preload"),
    REFUSED("resolver_tls"),
    REFUSED("resolver_pinned_accounts"),
    REFUSED("trusted_keys|trusted"),

    READ("jetstream", read_jetstream, jetstream),
    READ_FIXED("store_dir|storedir", read_store_dir, jetstream.store_dir, "StoreDir", TEXT),
    REFUSED("default_js_domain"),

    ROW("server_tags", TEXTS, tags, 0, 0, NULL, "Tags"),
    READ("server_metadata", read_metadata, metadata),
    READ("feature_flags", read_feature_flags, feature_flags),

    REFUSED("tls"),
    REFUSED("ocsp"),
    REFUSED("ocsp_cache"),
    REFUSED("proxies"),
    REFUSED("proxy_protocol"),
    REFUSED("cluster"),
    REFUSED("gateway"),
    READ("leafnodes|leaf", read_leafnodes, leafnodes),
    READ("websocket|ws", read_websocket, websocket),
    REFUSED("mqtt"),
};

#undef ROW
#undef READ_FIXED
#define ROW(name, kind, member, ...)                                                               \
    { name, DIRECTIVE_##kind, offsetof(JetStreamServerOptions, member), __VA_ARGS__ }
#define READ_FIXED(name, handler_, member, field, held)                                            \
    {                                                                                              \
        name, DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(JetStreamServerOptions, member), 0, 0,         \
            handler_, field, DIRECTIVE_##held                                                      \
    }

static const Directive jetstream_rows[] = {
    ROW("enabled|enable", BOOL, is_enabled, 0, 0, NULL, "JetStream"),
    READ_FIXED("strict", read_strict, is_not_strict, "NoJetStreamStrict", BOOL),
    READ_FIXED("store_dir|store|storedir", read_store_dir, store_dir, "StoreDir", TEXT),
    READ_FIXED("sync_interval|sync", read_sync, sync_interval_ns, "SyncInterval", DURATION),
    ROW("checkpoint_bytes", SIZE, checkpoint_bytes, 0, 0, NULL, "CheckpointBytes"),
    READ_FIXED("scrub", read_scrub, scrub_interval_ns, "ScrubInterval", DURATION),
    ROW("dedup", BOOL, dedup, 0, 0, NULL, "Dedup"),
    ROW("scrub_rate", SIZE, scrub_rate, 0, 0, NULL, "ScrubRate"),
    ROW("segment_bytes", SIZE, segment_bytes, 0, 0, NULL, "SegmentBytes"),
    ROW("clean", BOOL, clean, 0, 0, NULL, "Clean"),
    ROW("max_memory_store|max_mem_store|max_mem", SIZE, max_memory, 0, 0, NULL,
        "JetStreamMaxMemory"),
    ROW("max_file_store|max_file", SIZE, max_file, 0, 0, NULL, "JetStreamMaxStore"),
    ROW("domain", TEXT, domain, 0, 0, NULL, "JetStreamDomain"),
    READ_FIXED("limits", read_js_limits, limits, NULL, BOOL),
    READ_FIXED("cipher", read_cipher, cipher, "JetStreamCipher", TEXT),
    /* options_compare knows which changes of them a reload may make. */
    READ_FIXED("encryption_key|key|ek", read_key, key, NULL, TEXT),
    READ_FIXED("prev_encryption_key|prev_key|prev_ek", read_key, key_before, NULL, TEXT),
    REFUSED("tpm"),
    HARMLESS("extension_hint"),
    HARMLESS("unique_tag"),
    HARMLESS("max_outstanding_catchup"),
    ROW("max_buffered_size", SIZE, max_buffered_bytes, 0, INT64_MAX, NULL, "StreamMaxBufferedSize"),
    ROW("max_buffered_msgs", INT, max_buffered_msgs, 0, INT64_MAX, NULL, "StreamMaxBufferedMsgs"),
    HARMLESS("request_queue_limit"),
    HARMLESS("info_queue_limit"),
    HARMLESS("meta_compact"),
    HARMLESS("meta_compact_size"),
    HARMLESS("meta_compact_sync"),
    HARMLESS("max_concurrent_io"),
};

#undef ROW
#undef READ_FIXED
#define ROW(name, kind, member, ...)                                                               \
    { name, DIRECTIVE_##kind, offsetof(JetStreamLimitsOptions, member), __VA_ARGS__ }

static const Directive scrub_rows[] = {
    {"interval", DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(JetStreamServerOptions, scrub_interval_ns),
     0, 0, read_days, NULL},
    {"rate", DIRECTIVE_SIZE, offsetof(JetStreamServerOptions, scrub_rate), 0, 0, NULL, NULL},
};

static const Directive limits_rows[] = {
    ROW("default_max_consumers", INT, max_consumers_default, -1, INT64_MAX, NULL, NULL),
    ROW("max_ack_pending", INT, max_ack_pending, -1, INT64_MAX, NULL, NULL),
    ROW("max_ha_assets", INT, max_ha_assets, -1, INT64_MAX, NULL, NULL),
    ROW("max_request_batch", INT, max_request_batch, -1, INT64_MAX, NULL, NULL),
    ROW("duplicate_window", DURATION_TEXT, duplicate_window_ns, 0, 0, NULL, NULL),
    {"batch", DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(JetStreamLimitsOptions, batch), 0, 0,
     read_js_batch, NULL},
};

#undef ROW
#define ROW(name, kind, member, ...)                                                               \
    { name, DIRECTIVE_##kind, offsetof(JetStreamBatchOptions, member), __VA_ARGS__ }

static const Directive batch_rows[] = {
    ROW("max_inflight_per_stream", INT, max_inflight_per_stream, 0, INT64_MAX, NULL, NULL),
    ROW("max_inflight_total", INT, max_inflight_total, 0, INT64_MAX, NULL, NULL),
    ROW("max_msgs", INT, max_msgs, 0, INT64_MAX, NULL, NULL),
    ROW("timeout", DURATION_TEXT, timeout_ns, 0, 0, NULL, NULL),
};

DirectiveTable options_top_table(void) {
    return DIRECTIVE_TABLE(top_rows);
}

DirectiveTable options_jetstream_table(void) {
    return DIRECTIVE_TABLE(jetstream_rows);
}

bool reader_address(OptionsReader *reader, const ConfValue *value, Slice *out_host,
                    int64_t *out_port) {
    if (value->type == CONF_INT) {
        *out_host = (Slice){0};
        *out_port = value->integer;
        return true;
    }
    if (value->type != CONF_STRING) {
        reader_fail(reader, value, "expected port or host:port, got %s",
                    conf_type_name(value->type));
        return false;
    }
    Slice text = value->text, host = text;
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon > 0)
        host = slice_first(text, colon - 1);
    bool is_bracketed = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (is_bracketed)
        host = slice_from(host.ptr + 1, host.len - 2);
    Buf quoted = {0};
    if (colon == 0 || (!is_bracketed && slice_find(host, ':') < host.len)) {
        json_go_quote(&quoted, text);
        reader_fail(reader, value, "could not parse address string %s", buf_text(&quoted));
    } else if (slice_parse_i64(slice_from_at(text, colon), out_port) != OK) {
        json_go_quote(&quoted, slice_from_at(text, colon));
        reader_fail(reader, value, "could not parse port %s", buf_text(&quoted));
    } else if (*out_port < -1 || *out_port > 65535) {
        reader_fail(reader, value, "port %lld is out of range", (long long)*out_port);
    } else {
        *out_host = host;
        return true;
    }
    buf_done(&quoted);
    return false;
}

static void read_listen(OptionsReader *reader, const ConfValue *value, void *target) {
    Slice host;
    int64_t port;
    if (!reader_address(reader, value, &host, &port))
        return;
    reader->options->host = host;
    reader->options->port = port;
}

static void read_http(OptionsReader *reader, const ConfValue *value, void *target) {
    Slice host;
    int64_t port;
    if (!reader_address(reader, value, &host, &port))
        return;
    reader->options->http_host = host;
    reader->options->http_port = port;
}

static void read_server_name(OptionsReader *reader, const ConfValue *value, void *target) {
    if (!reader_want(reader, value, CONF_STRING))
        return;
    if (slice_find(value->text, ' ') < value->text.len)
        reader_fail(reader, value, "server name cannot contain spaces");
    else
        *(Slice *)target = value->text;
}

static void read_max_connections(OptionsReader *reader, const ConfValue *value, void *target) {
    if (reader_want(reader, value, CONF_INT))
        *(int64_t *)target = value->integer == 0 ? -1 : value->integer;
}

static void read_write_timeout(OptionsReader *reader, const ConfValue *value, void *target) {
    if (!reader_want(reader, value, CONF_STRING))
        return;
    if (slice_equal(value->text, LIT("retry")))
        reader_fail(reader, value, "option \"write_timeout: retry\" is not supported yet");
    else if (!slice_equal(value->text, LIT("default")) && !slice_equal(value->text, LIT("close")))
        reader_fail(reader, value, "write_timeout must be 'default', 'close' or 'retry'");
}

static void read_lame_duck(OptionsReader *reader, const ConfValue *value, void *target) {
    int64_t ns;
    if (!reader_duration(reader, value, false, &ns))
        return;
    if (ns < 30 * INT64_C(1000000000))
        reader_fail(reader, value, "invalid lame_duck_duration of %.*s, minimum is 30 seconds",
                    SLICE_ARG(value->text));
    else
        *(int64_t *)target = ns;
}

static void read_grace(OptionsReader *reader, const ConfValue *value, void *target) {
    int64_t ns;
    if (!reader_duration(reader, value, false, &ns))
        return;
    if (ns < 0)
        reader_fail(reader, value, "invalid lame_duck_grace_period, needs to be positive");
    else
        *(int64_t *)target = ns;
}

bool reader_pairs(OptionsReader *reader, const ConfValue *value, TextPairs *pairs) {
    if (!reader_want(reader, value, CONF_MAP))
        return false;
    pairs->at =
        arena_alloc(reader->options->arena, (value->list.count * 2 + 1) * sizeof *pairs->at);
    pairs->count = 0;
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        if (!reader_want(reader, one, CONF_STRING))
            return false;
        pairs->at[pairs->count++] = one->key;
        pairs->at[pairs->count++] = one->text;
    }
    return true;
}

static void read_metadata(OptionsReader *reader, const ConfValue *value, void *target) {
    (void)reader_pairs(reader, value, target);
}

static void read_feature_flags(OptionsReader *reader, const ConfValue *value, void *target) {
    if (!reader_want(reader, value, CONF_MAP))
        return;
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        if (one->type == CONF_BOOL)
            vec_push(&reader->options->feature_flags, ((FlagPair){one->key, one->flag}));
        else
            reader_fail(reader, one, "error parsing feature flag \"%.*s\": expected bool, got %s",
                        SLICE_ARG(one->key), conf_type_name(one->type));
    }
}

static void read_store_dir(OptionsReader *reader, const ConfValue *value, void *target) {
    Slice *place = target;
    if (!reader_want(reader, value, CONF_STRING))
        return;
    if (place->len > 0)
        reader_fail(reader, value, "Duplicate 'store_dir' configuration");
    else
        *place = value->text;
}

static void read_strict(OptionsReader *reader, const ConfValue *value, void *target) {
    if (reader_want(reader, value, CONF_BOOL))
        *(bool *)target = !value->flag;
}

static void read_sync(OptionsReader *reader, const ConfValue *value, void *target) {
    int64_t *place = target;
    if (value->type == CONF_STRING && slice_equal_ignoring_case(value->text, LIT("always")))
        *place = 0;
    else if (reader_duration(reader, value, true, place) && *place < 0)
        reader_fail(reader, value, "sync_interval can not be negative");
}

/* A duration that may be given in days. */
static void read_days(OptionsReader *reader, const ConfValue *value, void *target) {
    int64_t *place = target, ns;
    uint64_t days;
    Slice text = value->type == CONF_STRING ? value->text : (Slice){0};
    bool is_days = text.len > 1 && text.ptr[text.len - 1] == 'd' &&
                   slice_parse_u64(slice_first(text, text.len - 1), &days) == OK;
    if (is_days)
        ns = days > 36500 ? -1 : (int64_t)days * 24 * INT64_C(3600000000000);
    else if (!reader_duration(reader, value, true, &ns))
        return;
    if (ns < INT64_C(1000000000))
        reader_fail(reader, value, "scrub interval must be at least a second");
    else
        *place = ns;
}

static void read_cipher(OptionsReader *reader, const ConfValue *value, void *target) {
    Slice *place = target;
    if (!reader_want(reader, value, CONF_STRING))
        return;
    if (slice_equal_ignoring_case(value->text, LIT("chacha")) ||
        slice_equal_ignoring_case(value->text, LIT("chachapoly")))
        *place = CIPHER_NAME_CHACHA;
    else if (slice_equal_ignoring_case(value->text, LIT("aes")))
        *place = CIPHER_NAME_AES;
    else
        reader_fail(reader, value, "Unknown cipher type: \"%.*s\"", SLICE_ARG(value->text));
}

static void read_key(OptionsReader *reader, const ConfValue *value, void *target) {
    if (reader_want(reader, value, CONF_STRING))
        *(Slice *)target = value->text;
}

/* off, a duration, or { interval, rate }. */
static void read_scrub(OptionsReader *reader, const ConfValue *value, void *target) {
    char *options = (char *)target - offsetof(JetStreamServerOptions, scrub_interval_ns);
    if (value->type == CONF_MAP)
        directives_read(reader, DIRECTIVE_TABLE(scrub_rows), value, options);
    else if (value_asks_nothing(value) ||
             (value->type == CONF_STRING && slice_equal_ignoring_case(value->text, LIT("off"))))
        *(int64_t *)target = 0;
    else
        read_days(reader, value, target);
}

static void read_js_limits(OptionsReader *reader, const ConfValue *value, void *target) {
    directives_read(reader, DIRECTIVE_TABLE(limits_rows), value, target);
}

static void read_js_batch(OptionsReader *reader, const ConfValue *value, void *target) {
    directives_read(reader, DIRECTIVE_TABLE(batch_rows), value, target);
}

static void read_jetstream(OptionsReader *reader, const ConfValue *value, void *target) {
    JetStreamServerOptions *jetstream = target;

    if (value->type == CONF_BOOL) {
        jetstream->is_enabled = value->flag;
    } else if (value->type == CONF_MAP) {
        jetstream->is_enabled = true;
        directives_read(reader, DIRECTIVE_TABLE(jetstream_rows), value, jetstream);
    } else if (value->type != CONF_STRING) {
        reader_fail(reader, value, "Expected map, bool or string to define JetStream, got %s",
                    conf_type_name(value->type));
    } else if (slice_equal_ignoring_case(value->text, LIT("enabled")) ||
               slice_equal_ignoring_case(value->text, LIT("enable"))) {
        jetstream->is_enabled = true;
    } else if (value_asks_nothing(value) && value->text.len > 0) {
        jetstream->is_enabled = false;
    } else {
        reader_fail(reader, value, "Expected 'enabled' or 'disabled' for string value, got '%.*s'",
                    SLICE_ARG(value->text));
    }
}
