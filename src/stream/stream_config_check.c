#include <string.h>

#include "base/limits.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "proto/transform.h"
#include "stream/stream_config_private.h"

/* The original's checks in the original's order, since the first one that fails is what the client
 * sees. */

enum { REPLICAS_MAX = 5 };
static const int64_t window_min_ns = 100000000, window_default_ns = 120000000000,
                     marker_ttl_min_ns = 1000000000;

ApiError config_refuse(const Check *check, unsigned code, const char *format, ...) {
    Buf text = {0};
    va_list args;

    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    ApiError error = api_error_with(check->arena, code, buf_slice(&text));
    buf_done(&text);
    return error;
}

static ApiError check_names(Check *check) {
    const StreamConfig *config = check->config;
    size_t metadata_bytes = 0;

    if (!asset_name_is_valid(config->name))
        return INVALID("stream name is required and can not contain '.', '*', '>', '\\', '/'");
    if (config->name.len > LIMIT_NAME_BYTES)
        return INVALID("stream name is too long, maximum allowed is %d", LIMIT_NAME_BYTES);
    if (config->description.len > LIMIT_DESCRIPTION_BYTES)
        return INVALID("stream description is too long, maximum allowed is %d",
                       LIMIT_DESCRIPTION_BYTES);
    for (size_t i = 0; i < config->metadata_count; i++)
        metadata_bytes += config->metadata[i].key.len + config->metadata[i].value.len;
    if (metadata_bytes > LIMIT_METADATA_BYTES)
        return INVALID("stream metadata exceeds maximum size of %d bytes", LIMIT_METADATA_BYTES);
    return API_OK;
}

static ApiError check_replicas(Check *check) {
    StreamConfig *config = check->config;

    if (config->num_replicas == 0)
        config->num_replicas = 1;
    if (config->num_replicas > REPLICAS_MAX)
        return INVALID("maximum replicas is %d", REPLICAS_MAX);
    if (config->num_replicas < 0)
        return api_error(JSReplicasCountCannotBeNegative);
    return API_OK;
}

/* Limits of which 0 and everything below -1 mean none. */
static ApiError check_unlimited(Check *check) {
    StreamConfig *config = check->config;
    const struct {
        int64_t *value;
        const char *name;
    } limits[] = {
        {&config->max_msgs, "max_msgs"},   {&config->max_msgs_per_subject, "max_msgs_per_subject"},
        {&config->max_bytes, "max_bytes"}, {&config->max_msg_size, "max_msg_size"},
        {&config->max_consumers, NULL},
    };

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (*limits[i].value < -1 && check->is_pedantic && limits[i].name)
            return PEDANTIC("%s must be set to -1", limits[i].name);
        if (*limits[i].value == 0 || *limits[i].value < -1)
            *limits[i].value = -1;
    }
    if (config->object_value_size_max < 0)
        config->object_value_size_max = 0;
    return API_OK;
}

static ApiError check_age(Check *check) {
    StreamConfig *config = check->config;
    int64_t limit_ns = check->limits->duplicate_window_max_ns;

    if (config->max_age_ns < 0)
        return INVALID("max age can not be negative");
    if (config->max_age_ns > 0 && config->max_age_ns < window_min_ns)
        return INVALID("max age needs to be >= 100ms");
    if (config->duplicate_window_ns == 0 && !config->has_mirror && !config->source_count) {
        int64_t window_ns = window_default_ns;
        if (limit_ns > 0 && window_ns > limit_ns)
            window_ns = limit_ns;
        if (config->max_age_ns != 0 && config->max_age_ns < window_ns) {
            if (check->is_pedantic)
                return PEDANTIC("duplicate window cannot be bigger than max age");
            window_ns = config->max_age_ns;
        }
        config->duplicate_window_ns = window_ns;
    }
    if (config->duplicate_window_ns < 0)
        return INVALID("duplicates window can not be negative");
    if (config->max_age_ns != 0 && config->duplicate_window_ns > config->max_age_ns)
        return INVALID("duplicates window can not be larger then max age");
    if (limit_ns > 0 && config->duplicate_window_ns > limit_ns) {
        Buf text = {0};
        duration_write(&text, limit_ns);
        ApiError error =
            INVALID("duplicates window can not be larger then server limit of %s", buf_text(&text));
        buf_done(&text);
        return error;
    }
    if (config->duplicate_window_ns > 0 && config->duplicate_window_ns < window_min_ns)
        return INVALID("duplicates window needs to be >= 100ms");
    return API_OK;
}

static ApiError check_rollups(Check *check) {
    if (check->config->deny_purge && check->config->allow_rollup_hdrs)
        return INVALID("roll-ups require the purge permission");
    return API_OK;
}

static ApiError check_discard(Check *check) {
    const StreamConfig *config = check->config;

    if (config->discard_new_per_subject) {
        if (config->discard != DISCARD_NEW)
            return INVALID("discard new per subject requires discard new policy to be set");
        if (config->max_msgs_per_subject <= 0)
            return INVALID("discard new per subject requires max msgs per subject > 0");
    }
    return API_OK;
}

static ApiError check_persist(Check *check) {
    const StreamConfig *config = check->config;

    if (config->persist_async && config->storage == STORAGE_MEMORY)
        return INVALID("async persist mode is only supported on file storage");
    if (config->persist_async && config->num_replicas > 1)
        return INVALID("async persist mode is not supported on replicated streams");
    if (config->persist_async && config->allow_atomic)
        return INVALID("async persist mode is not supported with atomic batch publish");
    return API_OK;
}

static ApiError check_markers(Check *check) {
    StreamConfig *config = check->config;
    int64_t ttl_ns = config->subject_delete_marker_ttl_ns;

    if (ttl_ns < 0)
        return INVALID("subject delete marker TTL must not be negative");
    if (ttl_ns == 0)
        return API_OK;
    if (ttl_ns < marker_ttl_min_ns)
        return INVALID("subject delete marker TTL must be at least 1 second");
    if (!config->allow_msg_ttl && check->is_pedantic)
        return INVALID("subject delete marker cannot be set if message TTLs are disabled");
    config->allow_msg_ttl = true;
    if (!config->allow_rollup_hdrs) {
        if (check->is_pedantic)
            return INVALID("subject delete marker cannot be set if roll-ups are disabled");
        config->allow_rollup_hdrs = true;
        config->deny_purge = false;
    }
    return API_OK;
}

/* Before the markers, which may switch message TTLs on: the original lets that pass. */
static ApiError check_counter(Check *check) {
    const StreamConfig *config = check->config;

    if (!config->allow_msg_counter)
        return API_OK;
    if (config->discard == DISCARD_NEW)
        return INVALID("counter stream cannot use discard new");
    if (config->allow_msg_ttl)
        return INVALID("counter stream cannot use message TTLs");
    if (config->allow_msg_schedules)
        return INVALID("counter stream cannot use message schedules");
    if (config->retention != RETENTION_LIMITS)
        return INVALID("counter stream can only use limits retention");
    return API_OK;
}

static ApiError check_schedules(Check *check) {
    StreamConfig *config = check->config;

    if (!config->allow_msg_schedules)
        return API_OK;
    if (config->discard == DISCARD_NEW)
        return INVALID("message scheduling cannot use discard new");
    if (!config->allow_rollup_hdrs) {
        if (check->is_pedantic)
            return INVALID("message scheduling cannot be set if roll-ups are disabled");
        config->allow_rollup_hdrs = true;
        config->deny_purge = false;
    }
    return API_OK;
}

static ApiError check_reserved(Check *check, Slice subject) {
    const StreamConfig *config = check->config;

    if (config->no_ack)
        return API_OK;
    bool is_api = subject_overlaps(subject, LIT("$JS.>")) ||
                  subject_overlaps(subject, LIT("$JSC.>")) ||
                  subject_overlaps(subject, LIT("$NRG.>"));
    if (is_api && !subject_is_subset(subject, LIT("$JS.EVENT.>")))
        return INVALID("subjects that overlap with jetstream api require no-ack to be true");
    if (subject_overlaps(subject, LIT("$SYS.>")) &&
        !subject_is_subset(subject, LIT("$SYS.ACCOUNT.>")))
        return INVALID("subjects that overlap with system api require no-ack to be true");
    return API_OK;
}

/* "a" or "a." at the front: subjects that differ in a literal first token cannot overlap, so most
 * pairs need no full comparison. */
static bool may_overlap(Slice a, Slice b) {
    Slice first = slice_first(a, slice_find(a, '.')), second = slice_first(b, slice_find(b, '.'));

    return subject_has_wildcard(first) || subject_has_wildcard(second) ||
           slice_equal(first, second);
}

static ApiError check_subjects(Check *check) {
    StreamConfig *config = check->config;

    if (config->subject_count == 0 && !config->has_mirror && !config->source_count) {
        config->subjects = arena_alloc(config->arena, sizeof *config->subjects);
        config->subjects[0] = config->name;
        config->subject_count = 1;
    }
    for (size_t i = 0; i < config->subject_count; i++) {
        Slice subject = config->subjects[i];
        if (!subject_is_valid(subject))
            return INVALID("invalid subject");
        for (size_t k = 0; k < i; k++)
            if (may_overlap(config->subjects[k], subject) &&
                subject_overlaps(config->subjects[k], subject))
                return INVALID("subject \"%.*s\" overlaps with \"%.*s\"",
                               SLICE_ARG(config->subjects[k]), SLICE_ARG(subject));
        if (slice_equal(subject, LIT(">"))) {
            if (!config->no_ack)
                return INVALID("capturing all subjects requires no-ack to be true");
            if (config->num_replicas > 1)
                return INVALID("capturing all subjects requires replicas of 1");
        }
        ApiError error = check_reserved(check, subject);
        if (api_failed(error))
            return error;
    }
    return API_OK;
}

static ApiError check_max_bytes(Check *check) {
    const ConfigLimits *limits = check->limits;

    if (limits->max_bytes_required && check->config->max_bytes <= 0)
        return api_error(JSStreamMaxBytesRequired);
    if (limits->max_stream_bytes > 0 && check->config->max_bytes > limits->max_stream_bytes)
        return api_error(JSStreamMaxStreamBytesExceeded);
    return API_OK;
}

static ApiError check_republish(Check *check) {
    StreamConfig *config = check->config;
    Transform *transform = NULL;

    if (!config->has_republish)
        return API_OK;
    if (config->republish.src.len == 0)
        config->republish.src = LIT(">");
    for (size_t i = 0; i < config->subject_count; i++)
        if (config->republish.dest.len &&
            subject_overlaps(config->republish.dest, config->subjects[i]))
            return INVALID("stream configuration for republish destination forms a cycle");
    if (transform_new(config->republish.src, config->republish.dest, false, NULL, &transform) != OK)
        return INVALID(
            "stream configuration for republish with transform from '%.*s' to '%.*s' not valid",
            SLICE_ARG(config->republish.src), SLICE_ARG(config->republish.dest));
    transform_free(transform);
    return API_OK;
}

static ApiError check_transform(Check *check) {
    const SubjectTransformConfig *wanted = &check->config->subject_transform;
    Transform *transform = NULL;
    Buf why = {0};
    ApiError error = API_OK;

    if (!check->config->has_subject_transform)
        return API_OK;
    if (wanted->src.len && !subject_is_valid(wanted->src))
        return config_refuse(check, JSStreamTransformInvalidSource, "invalid subject %.*s",
                             SLICE_ARG(wanted->src));
    if (transform_new(wanted->src, wanted->dest, false, &why, &transform) != OK)
        error = config_refuse(check, JSStreamTransformInvalidDestination, "%s", buf_text(&why));
    else
        transform_free(transform);
    buf_done(&why);
    return error;
}

static ApiError check_placement(Check *check) {
    StreamConfig *config = check->config;

    if (config->placement_preferred.len)
        return INVALID("preferred server not permitted in placement");
    if (!config->placement_cluster.len && !config->placement_tags) /* tags: [] keeps it */
        config->has_placement = false;
    return API_OK;
}

static ApiError check_single_server(Check *check) {
    return check->config->num_replicas > 1 ? api_error(JSStreamReplicasNotSupportedErr) : API_OK;
}

static ApiError check_all(Check *check) {
    static ApiError (*const checks[])(Check *) = {
        check_names,     check_replicas,  check_unlimited, check_age,       check_rollups,
        check_counter,   check_discard,   check_markers,   check_schedules, check_persist,
        check_mirror,    check_sources,   check_externals, check_cycle,     check_subjects,
        check_max_bytes, check_transform, check_republish, check_placement,
    };

    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        ApiError error = checks[i](check);
        if (api_failed(error))
            return error;
    }
    return API_OK;
}

static void set_level(StreamConfig *config) {
    unsigned level = config->allow_msg_ttl || config->subject_delete_marker_ttl_ns > 0;
    if (config->persist_async || config->allow_msg_counter || config->allow_atomic ||
        config->allow_msg_schedules)
        level = 2;
    if (config->allow_batched)
        level = 4;

    config->metadata = metadata_with_level(config->metadata, config->metadata_count, level,
                                           config->arena, &config->metadata_count);
}

ApiError stream_config_check_create(StreamConfig *config, const ConfigLimits *limits,
                                    bool is_pedantic, Arena *error_arena) {
    Check shared = {config, limits, is_pedantic, error_arena}, *check = &shared;

    if (config->sealed)
        return INVALID("stream configuration for create can not be sealed");
    if (config->mirror_direct && !config->has_mirror)
        return INVALID("stream has no mirror but does have mirror direct");
    ApiError error = check_all(check);
    if (!api_failed(error))
        error = check_single_server(check);
    if (!api_failed(error))
        error = check_filters(check);
    if (api_failed(error))
        return error;
    set_level(config);
    return API_OK;
}

static ApiError check_one_way(Check *check, const StreamConfig *old) {
    const StreamConfig *config = check->config;

    if (old->sealed && !config->sealed)
        return INVALID("stream configuration update can not unseal a sealed stream");
    if (old->deny_delete && !config->deny_delete)
        return INVALID("stream configuration update can not cancel deny message deletes");
    if (old->deny_purge && !config->deny_purge)
        return INVALID("stream configuration update can not cancel deny purge");
    if (config->has_mirror &&
        !(old->has_mirror && source_config_equal(&config->mirror, &old->mirror)))
        return api_error(JSStreamMirrorNotUpdatableErr); /* removal makes it a stream of its own */
    if (old->allow_msg_ttl && !config->allow_msg_ttl)
        return INVALID("message TTL status can not be disabled");
    if (config->allow_msg_counter != old->allow_msg_counter)
        return INVALID("stream configuration update can not change message counter setting");
    if (old->allow_msg_schedules && !config->allow_msg_schedules)
        return INVALID("message schedules can not be disabled");
    if (config->persist_async != old->persist_async)
        return INVALID("stream configuration update can not change persist mode");
    return API_OK;
}

ApiError stream_config_check_update(StreamConfig *config, const StreamConfig *old,
                                    const ConfigLimits *limits, bool is_pedantic,
                                    Arena *error_arena) {
    Check shared = {config, limits, is_pedantic, error_arena}, *check = &shared;
    ApiError error = check_all(check);

    if (api_failed(error))
        return error;
    if (old == NULL)
        return API_OK;
    if (!slice_equal(config->name, old->name))
        return api_error(JSStreamMismatchErr);
    if (api_failed(error = check_single_server(check)))
        return error;
    if (config->storage != old->storage)
        return INVALID("stream configuration update can not change storage type");
    if (config->retention != old->retention &&
        (config->retention == RETENTION_WORKQUEUE || old->retention == RETENTION_WORKQUEUE))
        return INVALID(
            "stream configuration update can not change retention policy to/from workqueue");
    if (api_failed(error = check_one_way(check, old)))
        return error;
    if (config->sealed) {
        config->max_age_ns = 0;
        config->discard = DISCARD_NEW;
        config->deny_delete = config->deny_purge = true;
        config->allow_rollup_hdrs = false;
    }
    set_level(config);
    return API_OK;
}
