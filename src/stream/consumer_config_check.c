#include <string.h>

#include "base/limits.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "stream/consumer_config.h"

/* The original's defaults and checks in the original's order, since the first one that fails is
 * what the client sees. */

enum { MAX_WAITING_DEFAULT = 512, MAX_ACK_PENDING_DEFAULT = 1000, GROUP_NAME_MAX = 16 };
static const int64_t ack_wait_default_ns = 30000000000, pinned_timeout_ns = 120000000000,
                     heartbeat_min_ns = 100000000, flow_heartbeat_ns = 1000000000,
                     expires_min_ns = 1000000;

typedef struct Check {
    ConsumerConfig *config;
    const StreamConfig *stream;
    const ConfigLimits *limits;
    bool is_pedantic;
    Arena *arena; /* for texts */
} Check;

static bool is_pull(const ConsumerConfig *config) {
    return config->deliver_subject.len == 0;
}

static ApiError pedantic(const Check *check, const char *text) {
    return api_error_with(check->arena, JSPedanticErrF, slice_of_text(text));
}

/* 0 = none. */
static int64_t smaller_limit(int64_t a, int64_t b) {
    if (a <= 0)
        return b;
    return b > 0 && b < a ? b : a;
}

static ApiError default_negatives(Check *check) {
    ConsumerConfig *config = check->config;
    const struct {
        int64_t *value;
        const char *text;
    } values[] = {
        {&config->max_batch, "max_batch must not be negative"},
        {&config->max_expires_ns, "max_expires must not be negative"},
        {&config->max_bytes, "max_bytes must not be negative"},
        {&config->idle_heartbeat_ns, "idle_heartbeat must not be negative"},
        {&config->inactive_threshold_ns, "inactive_threshold must not be negative"},
        {&config->priority_timeout_ns, "priority_timeout must not be negative"},
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (*values[i].value >= 0)
            continue;
        if (check->is_pedantic)
            return pedantic(check, values[i].text);
        *values[i].value = 0;
    }
    return API_OK;
}

static ApiError default_from_stream(Check *check) {
    ConsumerConfig *config = check->config;

    if (check->stream->limit_max_ack_pending > 0 && config->max_ack_pending == 0) {
        if (check->is_pedantic)
            return pedantic(check,
                            "max_ack_pending must be set if it's configured in stream limits");
        config->max_ack_pending = check->stream->limit_max_ack_pending;
    }
    if (check->stream->limit_inactive_threshold_ns > 0 && config->inactive_threshold_ns == 0) {
        if (check->is_pedantic)
            return pedantic(check,
                            "inactive_threshold must be set if it's configured in stream limits");
        config->inactive_threshold_ns = check->stream->limit_inactive_threshold_ns;
    }
    return API_OK;
}

static ApiError default_redelivery(Check *check) {
    ConsumerConfig *config = check->config;

    if (config->max_deliver < -1 && check->is_pedantic)
        return pedantic(check, "max_deliver must be set to -1");
    if (config->max_deliver == 0 || config->max_deliver < -1)
        config->max_deliver = -1;
    if (config->backoff_count) {
        if (check->is_pedantic && config->ack_wait_ns != config->backoff_ns[0])
            return pedantic(check, "first backoff value has to equal batch AckWait");
        config->ack_wait_ns = config->backoff_ns[0];
    }
    if (config->ack_wait_ns == 0 &&
        (config->ack_policy == ACK_EXPLICIT || config->ack_policy == ACK_ALL))
        config->ack_wait_ns = ack_wait_default_ns;
    if (config->max_ack_pending < -1) {
        if (check->is_pedantic)
            return pedantic(check, "max_ack_pending must be set to -1");
        if (config->ack_policy != ACK_FLOW_CONTROL)
            config->max_ack_pending = -1;
    }
    return API_OK;
}

static ApiError default_from_server(Check *check) {
    ConsumerConfig *config = check->config;

    if (config->max_ack_pending == 0 && config->ack_policy != ACK_NONE)
        config->max_ack_pending =
            smaller_limit(MAX_ACK_PENDING_DEFAULT, check->limits->max_ack_pending);
    if (is_pull(config) && config->max_batch == 0 && check->limits->max_request_batch > 0) {
        if (check->is_pedantic)
            return pedantic(check,
                            "max_request_batch must be set if it's JetStream limits are set");
        config->max_batch = check->limits->max_request_batch;
    }
    if (config->priority_policy == PRIORITY_PINNED && config->priority_timeout_ns == 0)
        config->priority_timeout_ns = pinned_timeout_ns;
    return API_OK;
}

static ApiError set_defaults(Check *check) {
    ConsumerConfig *config = check->config;
    ApiError error;

    if (config->max_waiting < 0) {
        if (check->is_pedantic)
            return pedantic(check, "max_waiting must not be negative");
        config->max_waiting = 0;
    }
    if (is_pull(config) && config->max_waiting == 0)
        config->max_waiting = MAX_WAITING_DEFAULT;
    if (api_failed(error = default_negatives(check)) ||
        api_failed(error = default_redelivery(check)) ||
        api_failed(error = default_from_stream(check)))
        return error;
    return default_from_server(check);
}

static ApiError check_flow_control_acks(Check *check) {
    ConsumerConfig *config = check->config;

    if (config->ack_policy != ACK_FLOW_CONTROL)
        return API_OK;
    if (is_pull(config))
        return api_error(JSConsumerAckFCRequiresPushErr);
    if (config->max_ack_pending <= 0)
        return api_error(JSConsumerAckFCRequiresMaxAckPendingErr);
    if (config->ack_wait_ns != 0 || config->backoff_count)
        return api_error(JSConsumerAckFCRequiresNoAckWaitErr);
    if (config->max_deliver > 0)
        return api_error(JSConsumerAckFCRequiresNoMaxDeliverErr);
    config->flow_control = true;
    config->idle_heartbeat_ns = flow_heartbeat_ns;
    return API_OK;
}

/* First of all, before defaults. */
static ApiError check_server_alone(Check *check) {
    return check->config->num_replicas > 1 ? api_error(JSStreamReplicasNotSupportedErr) : API_OK;
}

static ApiError check_replicas(Check *check) {
    int64_t replicas = check->config->num_replicas;

    if (replicas < 0)
        return api_error(JSReplicasCountCannotBeNegative);
    if (check->stream->retention != RETENTION_LIMITS && replicas != 0 &&
        replicas != check->stream->num_replicas)
        return api_error(JSConsumerReplicasShouldMatchStream);
    return API_OK;
}

static ApiError check_waits(Check *check) {
    const ConsumerConfig *config = check->config;

    for (size_t i = 0; i < config->backoff_count; i++)
        if (config->backoff_ns[i] < 0)
            return api_error(JSConsumerBackOffNegativeErr);
    if (config->ack_wait_ns < 0)
        return api_error(JSConsumerAckWaitNegativeErr);
    return API_OK;
}

static ApiError check_deliveries(Check *check) {
    const ConsumerConfig *config = check->config;

    if (config->backoff_count && config->max_deliver != -1 &&
        (uint64_t)config->max_deliver < config->backoff_count)
        return api_error(JSConsumerMaxDeliverBackoffErr);
    if (config->description.len > LIMIT_DESCRIPTION_BYTES)
        return api_error_with_u64(check->arena, JSConsumerDescriptionTooLongErrF,
                                  LIMIT_DESCRIPTION_BYTES);
    return API_OK;
}

static ApiError check_push(Check *check) {
    const ConsumerConfig *config = check->config;
    Slice deliver = config->deliver_subject;

    if (subject_has_wildcard(deliver))
        return api_error(JSConsumerDeliverToWildcardsErr);
    if (!subject_is_valid(deliver))
        return api_error(JSConsumerInvalidDeliverSubject);
    for (size_t i = 0; i < check->stream->subject_count; i++)
        if (subject_matches(check->stream->subjects[i], deliver))
            return api_error(JSConsumerDeliverCycleErr);
    if (config->max_waiting != 0)
        return api_error(JSConsumerPushMaxWaitingErr);
    if (config->max_ack_pending > 0 && config->ack_policy == ACK_NONE)
        return api_error(JSConsumerMaxPendingAckPolicyRequiredErr);
    if (config->idle_heartbeat_ns > 0 && config->idle_heartbeat_ns < heartbeat_min_ns)
        return api_error(JSConsumerSmallHeartbeatErr);
    return API_OK;
}

static ApiError check_pull(Check *check) {
    const ConsumerConfig *config = check->config;

    if (config->ack_policy == ACK_NONE && check->stream->retention == RETENTION_WORKQUEUE)
        return api_error(JSConsumerPullRequiresAckErr);
    if (config->rate_limit_bps > 0)
        return api_error(JSConsumerPullWithRateLimitErr);
    if (config->idle_heartbeat_ns > 0)
        return api_error(JSConsumerHBRequiresPushErr);
    if (config->flow_control)
        return api_error(JSConsumerFCRequiresPushErr);
    if (config->max_expires_ns != 0 && config->max_expires_ns < expires_min_ns)
        return api_error(JSConsumerMaxRequestExpiresTooSmall);
    if (check->limits->max_request_batch > 0 &&
        config->max_batch > check->limits->max_request_batch)
        return api_error_with_u64(check->arena, JSConsumerMaxRequestBatchExceededF,
                                  (uint64_t)check->limits->max_request_batch);
    return API_OK;
}

static ApiError check_ceilings(Check *check) {
    const ConsumerConfig *config = check->config;
    int64_t pending_max =
        smaller_limit(check->limits->max_ack_pending, check->stream->limit_max_ack_pending);
    int64_t threshold_max = check->stream->limit_inactive_threshold_ns;

    if (pending_max > 0 && config->max_ack_pending > pending_max)
        return api_error_with_u64(check->arena, JSConsumerMaxPendingAckExcessErrF,
                                  (uint64_t)pending_max);
    if (threshold_max > 0 && config->inactive_threshold_ns > threshold_max) {
        Buf text = {0};
        duration_write(&text, threshold_max);
        ApiError error =
            api_error_with(check->arena, JSConsumerInactiveThresholdExcess, buf_slice(&text));
        buf_done(&text);
        return error;
    }
    if (config->direct && is_pull(config))
        return api_error(JSConsumerDirectRequiresPushErr);
    if (config->direct && config->durable_name.len && !config->sourcing)
        return api_error(JSConsumerDirectRequiresEphemeralErr);
    return API_OK;
}

static ApiError check_filters(Check *check) {
    const ConsumerConfig *config = check->config;

    if (config->filter_beside.len)
        return api_error(JSConsumerDuplicateFilterSubjects);
    for (size_t i = 0; i < config->filter_count; i++)
        if (config->filters[i].len == 0)
            return api_error(JSConsumerEmptyFilter);
    for (size_t i = 0; i < config->filter_count; i++) {
        if (!subject_is_valid(config->filters[i]))
            return api_error_with(check->arena, JSStreamInvalidConfigF, LIT("invalid subject"));
        for (size_t k = 0; k < i; k++)
            if (subject_overlaps(config->filters[i], config->filters[k]))
                return api_error(JSConsumerOverlappingSubjectFilters);
    }
    return API_OK;
}

static ApiError bad_start(const Check *check, const char *policy, const char *what) {
    Buf text = {0};
    buf_printf(&text, "consumer delivery policy is deliver %s, but optional %s", policy, what);
    ApiError error = api_error_with(check->arena, JSConsumerInvalidPolicyErrF, buf_slice(&text));
    buf_done(&text);
    return error;
}

static ApiError check_start(Check *check) {
    const ConsumerConfig *config = check->config;
    static const char *const words[] = {
        "all", "last", "new", "by start sequence", "by start time", "last per subject"};
    const char *policy = words[config->deliver_policy];
    bool has_seq = config->opt_start_seq > 0, has_time = config->has_opt_start_time;

    switch (config->deliver_policy) {
    case DELIVER_BY_START_SEQUENCE:
        if (!has_seq)
            return bad_start(check, policy, "start sequence is not set");
        if (has_time)
            return bad_start(check, policy, "start time is also set");
        return API_OK;
    case DELIVER_BY_START_TIME:
        if (!has_time)
            return bad_start(check, policy, "start time is not set");
        if (has_seq)
            return bad_start(check, policy, "start start sequence is also set");
        return API_OK;
    default:
        if (has_seq)
            return bad_start(check, policy, "start sequence is also set");
        if (has_time)
            return bad_start(check, policy, "start time is also set");
        if (config->deliver_policy == DELIVER_LAST_PER_SUBJECT && config->filter_count == 0)
            return bad_start(check, policy, "filter subject is not set");
        return API_OK;
    }
}

static ApiError check_sampling(Check *check) {
    Slice number = check->config->sample_freq;
    int64_t value;
    Buf text = {0};

    if (number.len == 0)
        return API_OK;
    if (number.ptr[number.len - 1] == '%')
        number.len--;
    Status status = slice_parse_i64(number, &value);
    if (status == OK && value >= 0)
        return API_OK;
    if (status == OK)
        buf_append_lit(&text, "<nil>");
    else {
        buf_append_lit(&text, "strconv.Atoi: parsing ");
        json_go_quote(&text, number);
        buf_append(&text,
                   status == ERR_RANGE ? LIT(": value out of range") : LIT(": invalid syntax"));
    }
    ApiError error = api_error_with(check->arena, JSConsumerInvalidSamplingErrF, buf_slice(&text));
    buf_done(&text);
    return error;
}

static ApiError check_rest(Check *check) {
    const ConsumerConfig *config = check->config;
    size_t metadata_bytes = 0;

    if (config->flow_control && config->idle_heartbeat_ns == 0)
        return api_error(JSConsumerWithFlowControlNeedsHeartbeats);
    if (config->durable_name.len && config->name.len &&
        !slice_equal(config->durable_name, config->name))
        return api_error(JSConsumerCreateDurableAndNameMismatch);
    for (size_t i = 0; i < config->metadata_count; i++)
        metadata_bytes += config->metadata[i].key.len + config->metadata[i].value.len;
    if (metadata_bytes > LIMIT_METADATA_BYTES)
        return api_error_with(check->arena, JSConsumerMetadataLengthErrF, LIT("128KB"));
    return API_OK;
}

static bool is_group_name(Slice name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i], lower = (char)(c | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && !memchr("/_=-", c, 4))
            return false;
    }
    return name.len > 0 && name.len <= GROUP_NAME_MAX;
}

static ApiError check_priority(Check *check) {
    const ConsumerConfig *config = check->config;

    if (config->priority_policy == PRIORITY_NONE) {
        if (config->priority_group_count)
            return api_error(JSConsumerPriorityGroupWithPolicyNone);
        if (config->priority_timeout_ns > 0)
            return api_error(JSConsumerPinnedTTLWithoutPriorityPolicyNone);
        return API_OK;
    }
    if (!is_pull(config))
        return api_error(JSConsumerPushWithPriorityGroupErr);
    if (config->priority_group_count == 0)
        return api_error(JSConsumerPriorityPolicyWithoutGroup);
    for (size_t i = 0; i < config->priority_group_count; i++) {
        if (config->priority_groups[i].len == 0)
            return api_error(JSConsumerEmptyGroupName);
        if (!is_group_name(config->priority_groups[i]))
            return api_error(JSConsumerInvalidGroupNameErr);
    }
    return API_OK;
}

/* What a work queue asks of any consumer; its neighbours are the set's business. */
static ApiError check_work_queue(Check *check) {
    const ConsumerConfig *config = check->config;

    if (check->stream->retention != RETENTION_WORKQUEUE || config->direct || config->sourcing)
        return API_OK;
    if (config->ack_policy != ACK_EXPLICIT && config->ack_policy != ACK_FLOW_CONTROL)
        return api_error(JSConsumerWQRequiresExplicitAckErr);
    if (config->deliver_policy != DELIVER_ALL)
        return api_error(JSConsumerWQConsumerNotDeliverAllErr);
    return API_OK;
}

static ApiError check_mode(Check *check) {
    return is_pull(check->config) ? check_pull(check) : check_push(check);
}

void consumer_config_set_level(ConsumerConfig *config, Arena *arena) {
    unsigned level = 0;
    if ((config->has_pause_until && config->pause_until_ns != TIME_ZERO) ||
        config->priority_policy != PRIORITY_NONE || config->priority_timeout_ns != 0)
        level = 1;
    if (config->ack_policy == ACK_FLOW_CONTROL)
        level = 4;
    config->metadata = metadata_with_level(config->metadata, config->metadata_count, level, arena,
                                           &config->metadata_count);
}

ApiError consumer_config_check(ConsumerConfig *config, const StreamConfig *stream,
                               const ConfigLimits *limits, bool is_pedantic, Arena *error_arena) {
    static ApiError (*const checks[])(Check *) = {
        check_server_alone, set_defaults, check_replicas, check_waits,      check_flow_control_acks,
        check_deliveries,   check_mode,   check_ceilings, check_filters,    check_start,
        check_sampling,     check_rest,   check_priority, check_work_queue,
    };
    Check check = {config, stream, limits, is_pedantic, error_arena};

    /* By what was asked for, before defaults. */
    consumer_config_set_level(config, config->arena);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        ApiError error = checks[i](&check);
        if (api_failed(error))
            return error;
    }
    return API_OK;
}

static bool same_start_time(const ConsumerConfig *a, const ConsumerConfig *b) {
    return a->has_opt_start_time == b->has_opt_start_time &&
           (!a->has_opt_start_time || a->opt_start_time_ns == b->opt_start_time_ns);
}

ApiError consumer_config_check_update(const ConsumerConfig *config, const ConsumerConfig *old,
                                      Arena *error_arena) {
    const struct {
        bool is_changed;
        Slice text;
    } rules[] = {
        {config->deliver_policy != old->deliver_policy && !config->sourcing,
         LIT("deliver policy can not be updated")},
        {config->mem_storage != old->mem_storage, LIT("storage type can not be updated")},
        {config->opt_start_seq != old->opt_start_seq && !config->sourcing,
         LIT("start sequence can not be updated")},
        {!same_start_time(config, old) && !config->sourcing, LIT("start time can not be updated")},
        {config->sourcing != old->sourcing, LIT("sourcing can not be updated")},
        {config->ack_policy != old->ack_policy, LIT("ack policy can not be updated")},
        {config->replay_policy != old->replay_policy, LIT("replay policy can not be updated")},
        {config->idle_heartbeat_ns != old->idle_heartbeat_ns,
         LIT("heart beats can not be updated")},
        {config->flow_control != old->flow_control, LIT("flow control can not be updated")},
        {is_pull(config) && !is_pull(old), LIT("can not update push consumer to pull based")},
        {!is_pull(config) && is_pull(old), LIT("can not update pull consumer to push based")},
        {config->max_waiting != old->max_waiting, LIT("max waiting can not be updated")},
    };

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].is_changed)
            return api_error_with(error_arena, JSConsumerCreateErrF, rules[i].text);
    return API_OK;
}
