#include "stream/stream_config.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/subject.h"

/* What a request holds: the config, and how to check it. */
typedef struct StreamRequest {
    StreamConfig config; /* first: the rows' offsets are those of StreamConfig */
    bool is_pedantic;
} StreamRequest;

static const char *const retention_names[] = {"limits", "interest", "workqueue", NULL};
static const char *const discard_names[] = {"old", "new", NULL};
static const char *const storage_names[] = {"file", "memory", NULL};
static const char *const compression_names[] = {"none", "s2", NULL};
static const char *const persist_names[] = {"default", "async", NULL};
static const JsonChoices retentions = {.names = retention_names, .refusal = "can not unmarshal %q"};
static const JsonChoices discards = {.names = discard_names, .refusal = "can not unmarshal %q"};
static const JsonChoices storages = {.names = storage_names, .refusal = "can not unmarshal %q"};
static const JsonChoices persists = {
    .names = persist_names, .refusal = "can not unmarshal %q", .takes_empty = true};
static const JsonChoices compressions = {.names = compression_names,
                                         .refusal = "unknown compression algorithm",
                                         .is_plain_string = true};

#define ROW(member, json, kind, ...) JSON_ROW(StreamConfig, member, json, kind, __VA_ARGS__)
#define ROW_OE(member, json, kind, ...)                                                            \
    JSON_ROW(StreamConfig, member, json, kind, .flags = JSON_OMIT_EMPTY, __VA_ARGS__)
#define HAS(member) offsetof(StreamConfig, member), .flags = JSON_OMIT_EMPTY

static const JsonField placement_rows[] = {
    ROW_OE(placement_cluster, "cluster", JSON_STRING, ),
    JSON_LIST_ROW(StreamConfig, placement_tags, placement_tag_count, "tags", JSON_STRINGS,
                  .flags = JSON_OMIT_EMPTY),
    ROW_OE(placement_preferred, "preferred", JSON_STRING, ),
};
static const JsonSchema placement = JSON_SCHEMA("server.Placement", placement_rows);

static const JsonField transform_rows[] = {
    ROW(subject_transform.src, "src", JSON_STRING, ),
    ROW(subject_transform.dest, "dest", JSON_STRING, ),
};
static const JsonSchema transform = JSON_SCHEMA("server.SubjectTransformConfig", transform_rows);

static const JsonField republish_rows[] = {
    ROW_OE(republish.src, "src", JSON_STRING, ),
    ROW(republish.dest, "dest", JSON_STRING, ),
    ROW_OE(republish_headers_only, "headers_only", JSON_BOOL, ),
};
static const JsonSchema republish = JSON_SCHEMA("server.RePublish", republish_rows);

static const JsonField limit_rows[] = {
    ROW_OE(limit_inactive_threshold_ns, "inactive_threshold", JSON_DURATION, ),
    ROW_OE(limit_max_ack_pending, "max_ack_pending", JSON_INT, .go_type = "int"),
};
static const JsonSchema consumer_limits = JSON_SCHEMA("server.StreamConsumerLimits", limit_rows);

/* In the order in which the API shows them. */
#define STREAM_ROWS                                                                                \
    ROW(name, "name", JSON_STRING, ), ROW_OE(description, "description", JSON_STRING, ),           \
        JSON_LIST_ROW(StreamConfig, subjects, subject_count, "subjects", JSON_STRINGS,             \
                      .flags = JSON_OMIT_EMPTY),                                                   \
        ROW(retention, "retention", JSON_ENUM, .choices = &retentions),                            \
        ROW(max_consumers, "max_consumers", JSON_INT, .go_type = "int"),                           \
        ROW(max_msgs, "max_msgs", JSON_INT, ), ROW(max_bytes, "max_bytes", JSON_INT, ),            \
        ROW(max_age_ns, "max_age", JSON_DURATION, ),                                               \
        ROW(max_msgs_per_subject, "max_msgs_per_subject", JSON_INT, ),                             \
        ROW(max_msg_size, "max_msg_size", JSON_INT32, ),                                           \
        ROW(discard, "discard", JSON_ENUM, .choices = &discards),                                  \
        ROW(storage, "storage", JSON_ENUM, .choices = &storages),                                  \
        ROW(num_replicas, "num_replicas", JSON_INT, .go_type = "int"),                             \
        ROW_OE(no_ack, "no_ack", JSON_BOOL, ),                                                     \
        ROW_OE(duplicate_window_ns, "duplicate_window", JSON_DURATION, ),                          \
        JSON_OBJECT_ROW("placement", &placement, HAS(has_placement)),                              \
        JSON_STRUCT_ROW(StreamConfig, mirror, has_mirror, "mirror", &source_config_schema,         \
                        .flags = JSON_OMIT_EMPTY),                                                 \
        JSON_STRUCTS_ROW(StreamConfig, sources, source_count, SourceConfig, "sources",             \
                         &source_config_schema, "[]*server.StreamSource",                          \
                         .flags = JSON_OMIT_EMPTY),                                                \
        ROW(compression_s2, "compression", JSON_ENUM_BOOL, .choices = &compressions),              \
        ROW_OE(first_seq, "first_seq", JSON_UINT, ),                                               \
        JSON_OBJECT_ROW("subject_transform", &transform, HAS(has_subject_transform)),              \
        JSON_OBJECT_ROW("republish", &republish, HAS(has_republish)),                              \
        ROW(allow_direct, "allow_direct", JSON_BOOL, ),                                            \
        ROW(mirror_direct, "mirror_direct", JSON_BOOL, ),                                          \
        ROW_OE(discard_new_per_subject, "discard_new_per_subject", JSON_BOOL, ),                   \
        ROW(sealed, "sealed", JSON_BOOL, ), ROW(deny_delete, "deny_delete", JSON_BOOL, ),          \
        ROW(deny_purge, "deny_purge", JSON_BOOL, ),                                                \
        ROW(allow_rollup_hdrs, "allow_rollup_hdrs", JSON_BOOL, ),                                  \
        JSON_OBJECT_ROW("consumer_limits", &consumer_limits, JSON_NONE, ),                         \
        ROW(allow_msg_ttl, "allow_msg_ttl", JSON_BOOL, ),                                          \
        ROW_OE(subject_delete_marker_ttl_ns, "subject_delete_marker_ttl", JSON_DURATION, ),        \
        ROW_OE(allow_msg_counter, "allow_msg_counter", JSON_BOOL, ),                               \
        ROW_OE(allow_atomic, "allow_atomic", JSON_BOOL, ),                                         \
        ROW_OE(allow_msg_schedules, "allow_msg_schedules", JSON_BOOL, ),                           \
        ROW_OE(persist_async, "persist_mode", JSON_ENUM_BOOL, .choices = &persists),               \
        ROW_OE(allow_batched, "allow_batched", JSON_BOOL, ),                                       \
        JSON_LIST_ROW(StreamConfig, metadata, metadata_count, "metadata", JSON_MAP,                \
                      .flags = JSON_OMIT_EMPTY)

/* Names that streams of object stores ("OBJ_...") take too. */
#define OBJECT_ROWS                                                                                \
    ROW_OE(object_value_size_max, "max_value_size", JSON_INT, ),                                   \
        JSON_ROW(StreamConfig, num_replicas, "replicas", JSON_INT, .go_type = "int",               \
                 .flags = JSON_READ_ONLY),                                                         \
        JSON_ROW(StreamConfig, max_bytes, "max_bucket_size", JSON_INT, .flags = JSON_READ_ONLY)

#define PEDANTIC_ROW                                                                               \
    JSON_ROW(StreamRequest, is_pedantic, "pedantic", JSON_BOOL, .flags = JSON_READ_ONLY)

static const JsonField request_rows[] = {STREAM_ROWS, PEDANTIC_ROW};
static const JsonField object_request_rows[] = {STREAM_ROWS, OBJECT_ROWS, PEDANTIC_ROW};
static const JsonField stored_rows[] = {STREAM_ROWS, OBJECT_ROWS};
static const JsonField name_rows[] = {ROW(name, "name", JSON_STRING, )};
static const JsonSchema request_schema = JSON_SCHEMA("StreamConfigRequest", request_rows);
static const JsonSchema object_request_schema =
    JSON_SCHEMA("StreamConfigRequest", object_request_rows);
static const JsonSchema stored_schema = JSON_SCHEMA("StreamConfig", stored_rows);
static const JsonSchema name_schema = JSON_SCHEMA("StreamConfigRequest", name_rows);

static StreamConfig *config_of(const StreamConfig *from, Arena *arena) {
    StreamConfig *config = mem_alloc(sizeof *config);

    *config = *from;
    config->arena = arena;
    return config;
}

static bool is_object_store(Slice json, Arena *arena) {
    StreamConfig config = {0};

    return json_read(json, &name_schema, JSON_LOOSE, arena, &config, NULL) == OK &&
           slice_starts_with(config.name, LIT("OBJ_"));
}

ApiError stream_config_parse(Slice json, const ConfigLimits *limits, Arena *error_arena,
                             StreamConfig **out_config, bool *out_pedantic) {
    Arena *arena = arena_new_small();
    StreamRequest request = {0};
    Buf why = {0};
    const JsonSchema *schema =
        is_object_store(json, arena) ? &object_request_schema : &request_schema;
    JsonMode mode = limits->is_strict ? JSON_STRICT : JSON_LOOSE;
    ApiError error = API_OK;

    /* Without any bytes Go's decoder says nothing, and the missing name is found later. */
    if (json.len && json_read(json, schema, mode, arena, &request, &why) != OK)
        error = api_error_with(error_arena, JSInvalidJSONErr, buf_slice(&why));
    buf_done(&why);
    if (api_failed(error)) {
        arena_free(arena);
        return error;
    }
    *out_config = config_of(&request.config, arena);
    *out_pedantic = request.is_pedantic;
    return API_OK;
}

Status stream_config_parse_stored(Slice json, StreamConfig **out_config) {
    Arena *arena = arena_new_small();
    StreamConfig config = {0};

    if (json_read(json, &stored_schema, JSON_LOOSE, arena, &config, NULL) != OK) {
        arena_free(arena);
        return ERR_CORRUPT;
    }
    /* It stays as long as its stream: without what reading left beside it. */
    config.arena = arena;
    *out_config = stream_config_copy(&config);
    arena_free(arena);
    return OK;
}

void stream_config_free(StreamConfig *config) {
    if (!config)
        return;
    arena_free(config->arena);
    mem_free(config);
}

StreamConfig *stream_config_copy(const StreamConfig *config) {
    StreamConfig *copy = config_of(config, arena_new_small());

    json_own(&stored_schema, copy->arena, copy);
    return copy;
}

bool stream_config_equal(const StreamConfig *a, const StreamConfig *b) {
    Arena *arena = arena_new_small();
    StreamConfig left = *a, right = *b;
    Buf one = {0}, two = {0};

    left.metadata = metadata_of_user(a->metadata, a->metadata_count, arena, &left.metadata_count);
    right.metadata = metadata_of_user(b->metadata, b->metadata_count, arena, &right.metadata_count);
    json_write(&one, &stored_schema, &left);
    json_write(&two, &stored_schema, &right);
    bool is_equal = slice_equal(buf_slice(&one), buf_slice(&two));
    buf_done(&one);
    buf_done(&two);
    arena_free(arena);
    return is_equal;
}

void stream_config_write(Buf *out, const StreamConfig *config, bool has_dynamic_metadata) {
    if (!has_dynamic_metadata) {
        json_write(out, &stored_schema, config);
        return;
    }
    Arena *arena = arena_new_small();
    StreamConfig shown = *config;
    shown.metadata = metadata_with_server(config->metadata, config->metadata_count, arena,
                                          &shown.metadata_count);
    json_write(out, &stored_schema, &shown);
    arena_free(arena);
}

bool stream_config_overlaps(const StreamConfig *a, const StreamConfig *b) {
    for (size_t i = 0; i < a->subject_count; i++)
        for (size_t k = 0; k < b->subject_count; k++)
            if (subject_overlaps(a->subjects[i], b->subjects[k]))
                return true;
    return false;
}

bool asset_name_is_valid(Slice name) {
    for (size_t i = 0; i < name.len; i++)
        if (memchr(" \t\r\n\f.*>\\/", name.ptr[i], 10))
            return false;
    return name.len > 0;
}

/* Metadata. */

static const Slice version_key = LIT("_nats.ver"), level_key = LIT("_nats.level"),
                   required_key = LIT("_nats.req.level");

static size_t put_pair(MetaPair *pairs, size_t n, MetaPair pair) {
    size_t at = n;

    while (at > 0 && slice_compare(pairs[at - 1].key, pair.key) > 0)
        at--;
    memmove(pairs + at + 1, pairs + at, (n - at) * sizeof *pairs);
    pairs[at] = pair;
    return n + 1;
}

static MetaPair *copy_pairs(const MetaPair *pairs, size_t count, Arena *arena, size_t *out_count,
                            bool (*drop)(Slice key)) {
    MetaPair *copy = arena_alloc(arena, (count + 3) * sizeof *copy);
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        if (!drop(pairs[i].key))
            copy[n++] = pairs[i];
    *out_count = n;
    return copy;
}

static bool is_dynamic(Slice key) {
    return slice_equal(key, version_key) || slice_equal(key, level_key);
}

static bool is_servers(Slice key) {
    return is_dynamic(key) || slice_equal(key, required_key);
}

static bool is_reserved(Slice key) {
    return slice_starts_with(key, LIT("_nats."));
}

MetaPair *metadata_with_server(const MetaPair *pairs, size_t count, Arena *arena,
                               size_t *out_count) {
    static const Slice levels[] = {LIT("0"), LIT("1"), LIT("2"), LIT("3"), LIT("4"), LIT("5")};
    MetaPair *copy = copy_pairs(pairs, count, arena, out_count, is_dynamic);

    *out_count = put_pair(copy, *out_count, (MetaPair){level_key, levels[SERVER_API_LEVEL]});
    *out_count = put_pair(copy, *out_count, (MetaPair){version_key, LIT(SERVER_PROTOCOL_VERSION)});
    return copy;
}

MetaPair *metadata_with_level(const MetaPair *pairs, size_t count, unsigned level, Arena *arena,
                              size_t *out_count) {
    MetaPair *copy = copy_pairs(pairs, count, arena, out_count, is_servers);
    char digit = (char)('0' + level);

    ASSERT(level <= SERVER_API_LEVEL);
    *out_count = put_pair(copy, *out_count,
                          (MetaPair){required_key, arena_copy(arena, slice_from(&digit, 1))});
    return copy;
}

MetaPair *metadata_of_user(const MetaPair *pairs, size_t count, Arena *arena, size_t *out_count) {
    return copy_pairs(pairs, count, arena, out_count, is_reserved);
}

uint64_t stream_config_reserves(const StreamConfig *config) {
    return config->max_bytes > 0 && config->object_value_size_max == 0 ? (uint64_t)config->max_bytes
                                                                       : 0;
}
