/* StreamConfig: what a stream was asked to be (reference/jetstream-api.md section 3). Plain data,
 * owns its strings. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "proto/json.h"
#include "stream/api_error.h"
#include "stream/source_config.h"

/* What the server tells clients about itself in metadata and account info. */
#define SERVER_PROTOCOL_VERSION "2.15.1"
enum { SERVER_API_LEVEL = 5 };

typedef enum Retention { RETENTION_LIMITS, RETENTION_INTEREST, RETENTION_WORKQUEUE } Retention;
typedef enum Discard { DISCARD_OLD, DISCARD_NEW } Discard;
typedef enum Storage { STORAGE_FILE, STORAGE_MEMORY } Storage;

typedef JsonPair MetaPair;

/* All slices lie in memory owned by the config (one arena). */
typedef struct StreamConfig {
    Arena *arena;
    Slice name, description;
    Slice *subjects;
    size_t subject_count;
    Retention retention;
    int64_t max_consumers, max_msgs, max_bytes, max_age_ns, max_msgs_per_subject, max_msg_size;
    Discard discard;
    Storage storage;
    int64_t num_replicas;
    bool no_ack;
    int64_t duplicate_window_ns;
    bool has_placement;
    Slice placement_cluster, placement_preferred;
    Slice *placement_tags;
    size_t placement_tag_count;
    bool has_mirror;
    SourceConfig mirror;
    SourceConfig *sources;
    size_t source_count;
    bool compression_s2;
    uint64_t first_seq;
    bool has_subject_transform;
    SubjectTransformConfig subject_transform;
    bool has_republish, republish_headers_only;
    SubjectTransformConfig republish;
    bool allow_direct, mirror_direct, discard_new_per_subject, sealed, deny_delete, deny_purge,
        allow_rollup_hdrs;
    int64_t limit_inactive_threshold_ns, limit_max_ack_pending; /* consumer_limits */
    bool allow_msg_ttl;
    int64_t subject_delete_marker_ttl_ns;
    bool allow_msg_counter, allow_atomic, allow_msg_schedules, persist_async, allow_batched;
    MetaPair *metadata; /* sorted by key; without _nats.ver and _nats.level; _nats.req.level is in
                           it once checked */
    size_t metadata_count;
    int64_t object_value_size_max; /* ours, OBJ_ streams: "max_value_size" in JSON; 0 = none */
} StreamConfig;

/* What the server says about itself and its limits when checking a config. */
typedef struct ConfigLimits {
    int64_t max_stream_bytes;                   /* -1 = none */
    int64_t duplicate_window_max_ns;            /* 0 = none */
    int64_t max_ack_pending, max_request_batch; /* consumers; 0 = none */
    bool is_strict;                             /* unknown JSON fields are errors (default true) */
    bool max_bytes_required;
    /* The config of another stream of the account, NULL when there is none of that name: what a
     * mirror or source can be held against. NULL: no stream is known. */
    const StreamConfig *(*find)(const void *cookie, Slice name);
    const void *cookie;
} ConfigLimits;

/* Parses a create/update request body (config plus "pedantic"). On error *out_config is untouched.
 * Gives exactly the original's errors for bad JSON: 10025 with Go's decoder texts. On OBJ_ names
 * also takes replicas, max_bucket_size, max_value_size. Free with stream_config_free. */
ApiError stream_config_parse(Slice json, const ConfigLimits *limits, Arena *error_arena,
                             StreamConfig **out_config, bool *out_pedantic);
/* Parses a config that this server wrote (log, checkpoint). */
MUST_CHECK Status stream_config_parse_stored(Slice json, StreamConfig **out_config);
/* NULL-safe. */
void stream_config_free(StreamConfig *config);
StreamConfig *stream_config_copy(const StreamConfig *config);

/* Fills defaults and checks for create all but the overlap of subjects with other streams: names,
 * subjects, limits, transforms, flags, origins, cycles... Async persist mode is taken: it allows
 * less durability, and gets more. */
ApiError stream_config_check_create(StreamConfig *config, const ConfigLimits *limits,
                                    bool is_pedantic, Arena *error_arena);

/* The same for an update of `old`; NULL: there is none, which the caller answers when nothing is
 * wrong with config itself. */
ApiError stream_config_check_update(StreamConfig *config, const StreamConfig *old,
                                    const ConfigLimits *limits, bool is_pedantic,
                                    Arena *error_arena);

/* Equal after defaults, metadata keys beginning "_nats." ignored. */
bool stream_config_equal(const StreamConfig *a, const StreamConfig *b);

/* JSON object in the API's field order. has_dynamic_metadata: adds _nats.ver and _nats.level. */
void stream_config_write(Buf *out, const StreamConfig *config, bool has_dynamic_metadata);

/* The part of metadata that is written into answers: with _nats.ver and _nats.level (dynamic) or as
 * stored. In arena. */
MetaPair *metadata_with_server(const MetaPair *pairs, size_t count, Arena *arena,
                               size_t *out_count);
/* Drops what a client may not set and puts _nats.req.level in; keeps the order by key. */
MetaPair *metadata_with_level(const MetaPair *pairs, size_t count, unsigned level, Arena *arena,
                              size_t *out_count);
/* Without the keys beginning "_nats.". */
MetaPair *metadata_of_user(const MetaPair *pairs, size_t count, Arena *arena, size_t *out_count);

/* The rule for names of streams and consumers: no blank, '.', '*', '>', '\\', '/', not empty. */
bool asset_name_is_valid(Slice name);

/* Bytes of the account's storage that the stream reserves. An object store's max_bucket_size (which
 * comes with a max_value_size) is a bound and reserves nothing. */
uint64_t stream_config_reserves(const StreamConfig *config);

/* True when a subject of a overlaps a subject of b. */
bool stream_config_overlaps(const StreamConfig *a, const StreamConfig *b);
