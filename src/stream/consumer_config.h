/* ConsumerConfig: what a consumer was asked to be (reference/consumers.md section 1). Plain data,
 * owns its strings. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "stream/api_error.h"
#include "stream/stream_config.h"

typedef enum DeliverPolicy {
    DELIVER_ALL,
    DELIVER_LAST,
    DELIVER_NEW,
    DELIVER_BY_START_SEQUENCE,
    DELIVER_BY_START_TIME,
    DELIVER_LAST_PER_SUBJECT,
} DeliverPolicy;
typedef enum AckPolicy { ACK_NONE, ACK_ALL, ACK_EXPLICIT, ACK_FLOW_CONTROL } AckPolicy;
typedef enum ReplayPolicy { REPLAY_INSTANT, REPLAY_ORIGINAL } ReplayPolicy;
typedef enum PriorityPolicy {
    PRIORITY_NONE,
    PRIORITY_OVERFLOW,
    PRIORITY_PINNED,
    PRIORITY_PRIORITIZED
} PriorityPolicy;

typedef struct ConsumerConfig {
    Arena *arena;
    Slice durable_name, name, description;
    DeliverPolicy deliver_policy;
    uint64_t opt_start_seq;
    bool has_opt_start_time;
    int64_t opt_start_time_ns;
    Slice opt_start_time_text; /* as given, echoed */
    AckPolicy ack_policy;
    int64_t ack_wait_ns, max_deliver;
    int64_t *backoff_ns;
    size_t backoff_count;
    Slice *filters; /* filter_subject or filter_subjects; empty = all */
    size_t filter_count;
    bool filters_are_plural; /* echoed as filter_subjects */
    Slice filter_beside; /* filter_subject, when filter_subjects was given too: refused by the check
                          */
    ReplayPolicy replay_policy;
    uint64_t rate_limit_bps;
    Slice sample_freq;
    int64_t max_waiting, max_ack_pending;
    bool flow_control, headers_only;
    int64_t max_batch, max_expires_ns, max_bytes;
    Slice deliver_subject, deliver_group;
    int64_t idle_heartbeat_ns, inactive_threshold_ns, num_replicas;
    bool mem_storage, direct, sourcing;
    MetaPair *metadata;
    size_t metadata_count;
    bool has_pause_until;
    int64_t pause_until_ns; /* TIME_ZERO is echoed too */
    Slice *priority_groups;
    size_t priority_group_count;
    PriorityPolicy priority_policy;
    int64_t priority_timeout_ns;
} ConsumerConfig;

typedef enum ConsumerAction {
    CONSUMER_CREATE_OR_UPDATE,
    CONSUMER_CREATE,
    CONSUMER_UPDATE
} ConsumerAction;

typedef struct ConsumerRequest {
    Slice stream_name;
    ConsumerConfig *config; /* never NULL after a good parse */
    ConsumerAction action;
    bool is_pedantic;
} ConsumerRequest;

/* Body of a create request: 10025 with Go's texts, as stream_config_parse. config is freed by the
 * caller. */
ApiError consumer_request_parse(Slice json, const ConfigLimits *limits, Arena *arena,
                                ConsumerRequest *out_request);

/* Parses a config that this server wrote (log, checkpoint). */
MUST_CHECK Status consumer_config_parse_stored(Slice json, ConsumerConfig **out_config);
MUST_CHECK Status stream_config_parse_stored(Slice json, StreamConfig **out_config);

/* 10127, 10052 or 10012 when a consumer may not be called so. */
ApiError consumer_name_check(Slice name, Arena *error_arena);

/* NULL-safe. */
void consumer_config_free(ConsumerConfig *config);
ConsumerConfig *consumer_config_copy(const ConsumerConfig *config);

/* Defaults and every check that needs only the stream's config, in the original's order. */
ApiError consumer_config_check(ConsumerConfig *config, const StreamConfig *stream,
                               const ConfigLimits *limits, bool is_pedantic, Arena *error_arena);

/* Writes the API level that the config needs into its metadata, which is then allocated in arena.
 */
void consumer_config_set_level(ConsumerConfig *config, Arena *arena);

/* Whether the update old -> config is allowed (10012 texts); 10013 is the caller's. */
ApiError consumer_config_check_update(const ConsumerConfig *config, const ConsumerConfig *old,
                                      Arena *error_arena);

bool consumer_config_equal(const ConsumerConfig *a, const ConsumerConfig *b);
void consumer_config_write(Buf *out, const ConsumerConfig *config, bool has_dynamic_metadata);
