#include "stream/consumer_config.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

/* A config as JSON has it, and around it the request. */
typedef struct ConsumerJson {
    ConsumerConfig config; /* first: the rows' offsets are those of ConsumerConfig */
    Slice filter_subject;
    Slice *filter_subjects;
    size_t filter_subject_count;
    Slice stream_name;
    ConsumerAction action;
    bool is_pedantic;
} ConsumerJson;

static const char *const deliver_names[] = {
    "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject", NULL};
static const char *const ack_names[] = {"none", "all", "explicit", "flow_control", NULL};
static const char *const replay_names[] = {"instant", "original", NULL};
static const char *const priority_names[] = {"none", "overflow", "pinned_client", "prioritized",
                                             NULL};
static const char *const action_names[] = {"", "create", "update", NULL};
static const JsonChoices delivers = {
    .names = deliver_names, .refusal = "can not unmarshal %q", .alias = "undefined"};
static const JsonChoices acks = {.names = ack_names, .refusal = "can not unmarshal %q"};
static const JsonChoices replays = {.names = replay_names, .refusal = "can not unmarshal %q"};
static const JsonChoices priorities = {.names = priority_names,
                                       .refusal = "unknown priority policy: %s"};
static const JsonChoices actions = {.names = action_names,
                                    .refusal = "unknown consumer action: %s"};

#define ROW(member, json, kind, ...) JSON_ROW(ConsumerConfig, member, json, kind, __VA_ARGS__)
#define ROW_OE(member, json, kind, ...)                                                            \
    JSON_ROW(ConsumerConfig, member, json, kind, .flags = JSON_OMIT_EMPTY, __VA_ARGS__)
#define LIST(member, count, json, kind)                                                            \
    JSON_LIST_ROW(ConsumerConfig, member, count, json, kind, .flags = JSON_OMIT_EMPTY)

/* In the order in which the API shows them. */
static const JsonField config_rows[] = {
    ROW_OE(durable_name, "durable_name", JSON_STRING, ),
    ROW_OE(name, "name", JSON_STRING, ),
    ROW_OE(description, "description", JSON_STRING, ),
    ROW(deliver_policy, "deliver_policy", JSON_ENUM, .choices = &delivers),
    ROW_OE(opt_start_seq, "opt_start_seq", JSON_UINT, ),
    JSON_TIME_ROW(ConsumerConfig, opt_start_time_ns, has_opt_start_time,
                  offsetof(ConsumerConfig, opt_start_time_text), "opt_start_time",
                  .flags = JSON_OMIT_EMPTY),
    ROW(ack_policy, "ack_policy", JSON_ENUM, .choices = &acks),
    ROW_OE(ack_wait_ns, "ack_wait", JSON_DURATION, ),
    ROW(max_deliver, "max_deliver", JSON_INT, .go_type = "int"),
    LIST(backoff_ns, backoff_count, "backoff", JSON_DURATIONS),
    JSON_ROW(ConsumerJson, filter_subject, "filter_subject", JSON_STRING, .flags = JSON_OMIT_EMPTY),
    JSON_LIST_ROW(ConsumerJson, filter_subjects, filter_subject_count, "filter_subjects",
                  JSON_STRINGS, .flags = JSON_OMIT_EMPTY),
    ROW(replay_policy, "replay_policy", JSON_ENUM, .choices = &replays),
    ROW_OE(rate_limit_bps, "rate_limit_bps", JSON_UINT, ),
    ROW_OE(sample_freq, "sample_freq", JSON_STRING, ),
    ROW_OE(max_waiting, "max_waiting", JSON_INT, .go_type = "int"),
    ROW_OE(max_ack_pending, "max_ack_pending", JSON_INT, .go_type = "int"),
    ROW_OE(flow_control, "flow_control", JSON_BOOL, ),
    ROW_OE(headers_only, "headers_only", JSON_BOOL, ),
    ROW_OE(max_batch, "max_batch", JSON_INT, .go_type = "int"),
    ROW_OE(max_expires_ns, "max_expires", JSON_DURATION, ),
    ROW_OE(max_bytes, "max_bytes", JSON_INT, .go_type = "int"),
    ROW_OE(deliver_subject, "deliver_subject", JSON_STRING, ),
    ROW_OE(deliver_group, "deliver_group", JSON_STRING, ),
    ROW_OE(idle_heartbeat_ns, "idle_heartbeat", JSON_DURATION, ),
    ROW_OE(inactive_threshold_ns, "inactive_threshold", JSON_DURATION, ),
    ROW(num_replicas, "num_replicas", JSON_INT, .go_type = "int"),
    ROW_OE(mem_storage, "mem_storage", JSON_BOOL, ),
    ROW_OE(direct, "direct", JSON_BOOL, ),
    ROW_OE(sourcing, "sourcing", JSON_BOOL, ),
    JSON_LIST_ROW(ConsumerConfig, metadata, metadata_count, "metadata", JSON_MAP, ),
    JSON_TIME_ROW(ConsumerConfig, pause_until_ns, has_pause_until, JSON_NONE, "pause_until",
                  .flags = JSON_OMIT_EMPTY),
    LIST(priority_groups, priority_group_count, "priority_groups", JSON_STRINGS),
    ROW_OE(priority_policy, "priority_policy", JSON_ENUM, .choices = &priorities),
    ROW_OE(priority_timeout_ns, "priority_timeout", JSON_DURATION, ),
};
static const JsonSchema config_schema = JSON_SCHEMA("server.ConsumerConfig", config_rows);

static const JsonField request_rows[] = {
    JSON_ROW(ConsumerJson, stream_name, "stream_name", JSON_STRING),
    JSON_OBJECT_ROW("config", &config_schema, JSON_NONE, ),
    JSON_ROW(ConsumerJson, action, "action", JSON_ENUM, .choices = &actions),
    JSON_ROW(ConsumerJson, is_pedantic, "pedantic", JSON_BOOL),
};
static const JsonSchema request_schema = JSON_SCHEMA("CreateConsumerRequest", request_rows);

static ConsumerConfig *config_of(const ConsumerJson *json, Arena *arena) {
    ConsumerConfig *config = mem_alloc(sizeof *config);

    *config = json->config;
    config->arena = arena;
    if (json->filter_subject_count) {
        config->filters = json->filter_subjects;
        config->filter_count = json->filter_subject_count;
        config->filters_are_plural = true;
        config->filter_beside = json->filter_subject;
    } else if (json->filter_subject.len) {
        config->filters = arena_alloc(arena, sizeof *config->filters);
        config->filters[0] = json->filter_subject;
        config->filter_count = 1;
    }
    return config;
}

/* The other way round; borrows from config. */
static ConsumerJson json_of(const ConsumerConfig *config) {
    ConsumerJson json = {.config = *config};

    if (config->filters_are_plural) {
        json.filter_subjects = config->filters;
        json.filter_subject_count = config->filter_count;
        json.filter_subject = config->filter_beside;
    } else if (config->filter_count) {
        json.filter_subject = config->filters[0];
    }
    return json;
}

ApiError consumer_request_parse(Slice text, const ConfigLimits *limits, Arena *arena,
                                ConsumerRequest *out_request) {
    Arena *owned = arena_new();
    ConsumerJson json = {0};
    Buf why = {0};
    JsonMode mode = limits->is_strict ? JSON_STRICT : JSON_LOOSE;
    ApiError error = API_OK;

    if (text.len && json_read(text, &request_schema, mode, owned, &json, &why) != OK)
        error = api_error_with(arena, JSInvalidJSONErr, buf_slice(&why));
    buf_done(&why);
    if (api_failed(error)) {
        arena_free(owned);
        return error;
    }
    *out_request = (ConsumerRequest){
        .stream_name = arena_copy(arena, json.stream_name),
        .config = config_of(&json, owned),
        .action = json.action,
        .is_pedantic = json.is_pedantic,
    };
    return API_OK;
}

Status consumer_config_parse_stored(Slice text, ConsumerConfig **out_config) {
    Arena *owned = arena_new();
    ConsumerJson json = {0};

    if (json_read(text, &config_schema, JSON_LOOSE, owned, &json, NULL) != OK) {
        arena_free(owned);
        return ERR_CORRUPT;
    }
    *out_config = config_of(&json, owned);
    return OK;
}

void consumer_config_free(ConsumerConfig *config) {
    if (!config)
        return;
    arena_free(config->arena);
    mem_free(config);
}

ConsumerConfig *consumer_config_copy(const ConsumerConfig *config) {
    Arena *owned = arena_new();
    ConsumerJson json = json_of(config);

    json_own(&config_schema, owned, &json);
    return config_of(&json, owned);
}

bool consumer_config_equal(const ConsumerConfig *a, const ConsumerConfig *b) {
    Arena *arena = arena_new();
    ConsumerJson left = json_of(a), right = json_of(b);
    Buf one = {0}, two = {0};

    /* Times are compared as instants. */
    left.config.opt_start_time_text = right.config.opt_start_time_text = (Slice){0};
    left.config.metadata =
        metadata_of_user(a->metadata, a->metadata_count, arena, &left.config.metadata_count);
    right.config.metadata =
        metadata_of_user(b->metadata, b->metadata_count, arena, &right.config.metadata_count);
    json_write(&one, &config_schema, &left);
    json_write(&two, &config_schema, &right);
    bool is_equal = slice_equal(buf_slice(&one), buf_slice(&two));
    buf_done(&one);
    buf_done(&two);
    arena_free(arena);
    return is_equal;
}

void consumer_config_write(Buf *out, const ConsumerConfig *config, bool has_dynamic_metadata) {
    ConsumerJson json = json_of(config);

    if (!has_dynamic_metadata) {
        json_write(out, &config_schema, &json);
        return;
    }
    Arena *arena = arena_new();
    json.config.metadata = metadata_with_server(config->metadata, config->metadata_count, arena,
                                                &json.config.metadata_count);
    json_write(out, &config_schema, &json);
    arena_free(arena);
}

ApiError consumer_name_check(Slice name, Arena *error_arena) {
    if (slice_find(name, '/') < name.len || slice_find(name, '\\') < name.len)
        return api_error(JSConsumerNameContainsPathSeparatorsErr);
    if (!asset_name_is_valid(name))
        return api_error_with(error_arena, JSStreamInvalidConfigF,
                              LIT("consumer name can not contain '.', '*', '>', '\\', '/'"));
    if (name.len > LIMIT_NAME_BYTES)
        return api_error_with(error_arena, JSConsumerCreateErrF,
                              LIT("error creating store for consumer"));
    return API_OK;
}
