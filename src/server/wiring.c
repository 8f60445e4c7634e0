#include "server/wiring.h"

#include "base/mem.h"
#include "io/clock.h"
#include "server/version.h"

static uint64_t limit_of(int64_t value) {
    return value > 0 ? (uint64_t)value : 0;
}

static const AccountLimits *account_limits(const Options *options, Arena *arena) {
    AccountLimits *limits = arena_zalloc(arena, options->accounts.len * sizeof *limits);
    for (size_t i = 0; i < options->accounts.len; i++) {
        const AccountOptions *account = &options->accounts.at[i];
        limits[i] = (AccountLimits){limit_of(account->max_connections), limit_of(account->max_subs),
                                    limit_of(account->max_payload)};
    }
    return limits;
}

void wiring_client_options(const Options *options, const ServerFacts *facts, Arena *arena,
                           ClientOptions *out) {
    *out = client_options_default();
    out->max_payload = (uint64_t)options->max_payload;
    out->max_control_line = (size_t)options->max_control_line;
    out->max_pending = (size_t)options->max_pending;
    out->max_connections = limit_of(options->max_connections);
    out->max_subs = limit_of(options->max_subs);
    out->max_sub_tokens = (unsigned)options->max_sub_tokens;
    out->ping_interval_ns = (uint64_t)options->ping_interval_ns;
    out->ping_max = (unsigned)options->ping_max;
    out->write_deadline_ns = (uint64_t)options->write_deadline_ns;
    out->auth_timeout_ns = (uint64_t)(options->authorization.timeout_s * NS_PER_S);
    out->max_closed_clients = (size_t)options->max_closed_clients;
    out->max_traced_bytes = (size_t)limit_of(options->max_traced_bytes);
    out->no_header_support = options->no_header_support;
    out->no_fast_producer_stall = options->no_fast_producer_stall;
    out->no_short_first_ping = options->no_short_first_ping;
    out->trace_payloads = options->trace && !options->trace_headers;
    out->server_id = facts->id;
    out->server_name = facts->name;
    out->version = LIT(VERSION_PROTOCOL);
    out->go = LIT("C17");
    out->host = options->host;
    out->port = facts->port;
    out->websocket_host = options->websocket.host;
    out->websocket_port = facts->websocket_port;
    out->websocket_ping_interval_ns = (uint64_t)options->websocket.ping_interval_ns;
    out->jetstream = options->jetstream.is_enabled;
    out->cluster = facts->cluster;
    out->domain = options->jetstream.is_enabled ? options->jetstream.domain : (Slice){0};
    out->api_level = VERSION_API_LEVEL;
    out->tags = options->tags.at;
    out->tag_count = options->tags.count;
    out->metadata = options->metadata.at;
    out->metadata_count = options->metadata.count;
    out->system_account = ACCOUNT_SYSTEM;
    out->account_limits = account_limits(options, arena);
    out->account_limit_count = options->accounts.len;
}

void wiring_auth_options(const Options *options, AuthOptions *out) {
    *out = (AuthOptions){
        .users = options->authorization.users.at,
        .user_count = options->authorization.users.len,
        .token = options->authorization.token,
        .no_auth_user = options->no_auth_user,
    };
}

/* Whole pages, within what the log can do. */
static uint64_t segment_bytes_of(const JetStreamServerOptions *js) {
    enum { LEAST = 64 * 1024, MOST = 256 * 1024 * 1024, PAGE = 4096 };
    if (js->segment_bytes <= 0)
        return 0;
    uint64_t bytes = (uint64_t)js->segment_bytes;
    bytes = bytes < LEAST ? LEAST : bytes > MOST ? MOST : bytes;
    return bytes / PAGE * PAGE;
}

void wiring_jetstream_options(const Options *options, const ServerFacts *facts, Arena *arena,
                              JetStreamOptions *out) {
    const JetStreamServerOptions *js = &options->jetstream;
    const JetStreamLimitsOptions *limits = &js->limits;
    size_t count = options->accounts.len;
    bool *is_enabled = arena_zalloc(arena, count * sizeof *is_enabled);
    JetStreamAccountLimits *account_limits_now =
        arena_zalloc(arena, count * sizeof *account_limits_now);

    for (size_t i = 0; i < count; i++) {
        const AccountJetStreamOptions *account = &options->accounts.at[i].jetstream;
        is_enabled[i] = options->accounts.at[i].has_jetstream;
        account_limits_now[i] = (JetStreamAccountLimits){
            .max_memory = account->max_memory,
            .max_file = account->max_file,
            .max_streams = account->max_streams,
            .max_consumers = account->max_consumers,
            .max_ack_pending = account->max_ack_pending,
            .max_memory_stream_bytes = account->memory_stream_max,
            .max_file_stream_bytes = account->file_stream_max,
            .max_bytes_required = account->max_bytes_required,
            .is_dedup_off = !account->dedup,
        };
    }
    out->is_enabled = true;
    out->max_memory = js->max_memory;
    out->max_file = js->max_file;
    out->sync_interval_ns = (uint64_t)js->sync_interval_ns;
    out->checkpoint_bytes = js->checkpoint_bytes > 0 ? (uint64_t)js->checkpoint_bytes : 0;
    out->scrub_interval_ns = (uint64_t)js->scrub_interval_ns;
    out->scrub_rate = js->scrub_rate > 0 ? (uint64_t)js->scrub_rate : 0;
    out->is_dedup_off = !js->dedup;
    out->max_in_flight = (uint64_t)js->max_buffered_msgs;
    out->max_in_flight_bytes = (uint64_t)js->max_buffered_bytes;
    out->cipher = (CipherOptions){
        .kind = slice_equal(js->cipher, CIPHER_NAME_AES) ? CIPHER_AES : CIPHER_CHACHA,
        .key = arena_copy(arena, js->key),
        .key_before = arena_copy(arena, js->key_before),
    };
    out->segment_bytes = segment_bytes_of(js);
    out->is_not_cleaned = !js->clean;
    out->domain = arena_copy(arena, js->domain);
    out->server_name = facts->name;
    out->server_id = facts->id;
    out->version = LIT(VERSION_PROTOCOL);
    out->limits = (ConfigLimits){
        .max_stream_bytes = -1,
        .duplicate_window_max_ns =
            limits->duplicate_window_ns > 0 ? limits->duplicate_window_ns : 0,
        .max_ack_pending = limits->max_ack_pending > 0 ? limits->max_ack_pending : 0,
        .max_request_batch = limits->max_request_batch > 0 ? limits->max_request_batch : 0,
        .is_strict = !js->is_not_strict,
    };
    out->batch =
        (BatchLimits){limits->batch.max_inflight_per_stream, limits->batch.max_inflight_total,
                      limits->batch.max_msgs, limits->batch.timeout_ns};
    out->max_consumers_default =
        limits->max_consumers_default > 0 ? limits->max_consumers_default : -1;
    out->account_is_enabled = is_enabled;
    out->account_limits = account_limits_now;
}

void wiring_trace(Account *account, const AccountOptions *options) {
    unsigned percent = options->trace_percent ? (unsigned)options->trace_percent : 100;
    account_set_trace(account, options->trace_dest, percent);
}

Mapping **wiring_mappings(const AccountOptions *account) {
    size_t count = account->mappings.len;
    if (count == 0)
        return NULL;
    Mapping **all = mem_alloc(count * sizeof(Mapping *));
    for (size_t i = 0; i < count; i++) {
        const MappingOptions *mapping = &account->mappings.at[i];
        Status status = mapping_new(mapping->from, mapping->dests, mapping->count, NULL, &all[i]);
        ASSERT(status == OK); /* was checked when it was read */
    }
    return all;
}
