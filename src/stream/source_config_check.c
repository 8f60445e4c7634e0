#include "base/vec.h"
#include "proto/subject.h"
#include "proto/transform.h"
#include "stream/stream_config_private.h"

/* Checks of what a stream copies from. What is local is held against the origin, if there is one;
 * an origin that does not exist yet is no error. */

/* Mirrors and sources have the same rules and errors of their own. */
typedef struct Words {
    unsigned name, filter_and_transforms, bad_src, bad_dest, overlap, size, consumer;
} Words;

static const Words mirror_words = {
    JSMirrorInvalidStreamName,         JSMirrorMultipleFiltersNotAllowed,
    JSMirrorInvalidSubjectFilter,      JSMirrorInvalidTransformDestination,
    JSMirrorOverlappingSubjectFilters, JSMirrorMaxMessageSizeTooBigErr,
    JSMirrorDurableConsumerCfgInvalid,
};
static const Words source_words = {
    JSSourceInvalidStreamName,         JSSourceMultipleFiltersNotAllowed,
    JSSourceInvalidSubjectFilter,      JSSourceInvalidTransformDestination,
    JSSourceOverlappingSubjectFilters, JSSourceMaxMessageSizeTooBigErr,
    JSSourceDurableConsumerCfgInvalid,
};

static const StreamConfig *find_origin(const Check *check, const SourceConfig *source) {
    if (source->has_external || !check->limits->find)
        return NULL;
    return check->limits->find(check->limits->cookie, source->name);
}

static bool is_literal(Slice subject) {
    return subject_is_valid(subject) && !subject_has_wildcard(subject);
}

static bool transforms_overlap(const SourceConfig *source) {
    for (size_t i = 0; i < source->transform_count; i++)
        for (size_t k = 0; k < i; k++)
            if (subject_overlaps(
                    source->transforms[i].src.len ? source->transforms[i].src : LIT(">"),
                    source->transforms[k].src.len ? source->transforms[k].src : LIT(">")))
                return true;
    return false;
}

static ApiError check_transforms(const Check *check, const SourceConfig *source,
                                 const Words *words) {
    for (size_t i = 0; i < source->transform_count; i++) {
        const SubjectTransformConfig *wanted = &source->transforms[i];
        Transform *transform = NULL;
        Buf why = {0};
        ApiError error = API_OK;

        if (wanted->src.len && !subject_is_valid(wanted->src))
            return config_refuse(check, words->bad_src, "invalid subject %.*s",
                                 SLICE_ARG(wanted->src));
        if (transform_new(wanted->src, wanted->dest, false, &why, &transform) != OK)
            error = config_refuse(check, words->bad_dest, "%s", buf_text(&why));
        else
            transform_free(transform);
        buf_done(&why);
        if (api_failed(error))
            return error;
    }
    return transforms_overlap(source) ? api_error(words->overlap) : API_OK;
}

static ApiError check_origin(const Check *check, const SourceConfig *source, const Words *words) {
    const StreamConfig *origin = find_origin(check, source);
    int64_t size = check->config->max_msg_size;

    if (origin && size > 0 && origin->max_msg_size > 0 && size < origin->max_msg_size)
        return api_error(words->size);
    return API_OK;
}

static ApiError check_one(const Check *check, const SourceConfig *source, const Words *words) {
    ApiError error = API_OK;

    if (source->filter_subject.len && source->transform_count)
        return api_error(words->filter_and_transforms);
    if (api_failed(error = check_transforms(check, source, words)))
        return error;
    if (source->has_consumer &&
        (!asset_name_is_valid(source->consumer_name) || !is_literal(source->consumer_deliver)))
        return api_error(words->consumer);
    return check_origin(check, source, words);
}

ApiError check_mirror(Check *check) {
    StreamConfig *config = check->config;
    const struct {
        bool is_asked;
        unsigned refusal;
    } excluded[] = {
        {config->first_seq > 0, JSMirrorWithFirstSeqErr},
        {config->subject_count > 0, JSMirrorWithSubjectsErr},
        {config->source_count > 0, JSMirrorWithSourcesErr},
        {config->allow_msg_counter, JSMirrorWithCountersErr},
        {config->allow_atomic, JSMirrorWithAtomicPublishErr},
        {config->allow_batched, JSMirrorWithBatchPublishErr},
        {config->allow_msg_schedules, JSMirrorWithMsgSchedulesErr},
    };

    if (!config->has_mirror)
        return API_OK;
    for (size_t i = 0; i < sizeof excluded / sizeof excluded[0]; i++)
        if (excluded[i].is_asked)
            return api_error(excluded[i].refusal);
    if (!asset_name_is_valid(config->mirror.name))
        return api_error(JSMirrorInvalidStreamName);
    ApiError error = check_one(check, &config->mirror, &mirror_words);
    if (api_failed(error))
        return error;
    /* The origin decides whether its mirrors answer for it. */
    const StreamConfig *origin = find_origin(check, &config->mirror);
    if (!origin)
        return API_OK;
    if (check->is_pedantic && config->mirror_direct != origin->allow_direct)
        return PEDANTIC("origin stream has direct get set, mirror has it disabled");
    config->mirror_direct = origin->allow_direct;
    return API_OK;
}

ApiError check_sources(Check *check) {
    StreamConfig *config = check->config;

    if (config->source_count && config->allow_msg_schedules)
        return api_error(JSSourceWithMsgSchedulesErr);
    for (size_t i = 0; i < config->source_count; i++) {
        const SourceConfig *source = &config->sources[i];
        if (!asset_name_is_valid(source->name))
            return api_error(JSSourceInvalidStreamName);
        for (size_t k = 0; k < i; k++)
            if (source_config_is_same(source, &config->sources[k]))
                return api_error(JSSourceDuplicateDetected);
        ApiError error = check_one(check, source, &source_words);
        if (api_failed(error))
            return error;
    }
    return API_OK;
}

static ApiError check_external(Check *check, const SourceConfig *source) {
    if (source->external_deliver.len && !is_literal(source->external_deliver))
        return config_refuse(check, JSStreamInvalidExternalDeliverySubjErrF, "%.*s",
                             SLICE_ARG(source->external_deliver));
    if (source->external_api.len == 0)
        return API_OK;
    if (!is_literal(source->external_api)) {
        Buf quoted = {0};
        json_go_quote(&quoted, source->external_api);
        ApiError error =
            INVALID("stream external api prefix %s must be a valid subject without wildcards",
                    buf_text(&quoted));
        buf_done(&quoted);
        return error;
    }
    if (subject_overlaps(source->external_api, LIT("$JS.API")))
        return api_error_with_both(check->arena, JSStreamExternalApiOverlapErrF,
                                   source->external_api, LIT("$JS.API"));
    return API_OK;
}

ApiError check_externals(Check *check) {
    StreamConfig *config = check->config;
    ApiError error = API_OK;

    if (config->has_mirror && config->mirror.has_external)
        error = check_external(check, &config->mirror);
    for (size_t i = 0; !api_failed(error) && i < config->source_count; i++)
        if (config->sources[i].has_external)
            error = check_external(check, &config->sources[i]);
    return error;
}

/* Cycles. */

typedef struct Walk {
    const Check *check;
    VEC(const StreamConfig *) seen; /* reached; those before next were looked at */
    size_t next;
} Walk;

/* True when source leads back to the stream that is being checked. */
static bool leads_back(Walk *walk, const SourceConfig *source) {
    if (source->has_external)
        return false;
    if (slice_equal(source->name, walk->check->config->name))
        return true;
    const StreamConfig *origin = find_origin(walk->check, source);
    for (size_t i = 0; origin && i < walk->seen.len; i++)
        if (walk->seen.at[i] == origin)
            origin = NULL;
    if (origin)
        vec_push(&walk->seen, origin);
    return false;
}

ApiError check_cycle(Check *check) {
    Walk walk = {.check = check};
    bool is_cycle = false;

    vec_push(&walk.seen, check->config);
    for (; !is_cycle && walk.next < walk.seen.len; walk.next++) {
        const StreamConfig *config = walk.seen.at[walk.next];
        is_cycle = config->has_mirror && leads_back(&walk, &config->mirror);
        for (size_t i = 0; !is_cycle && i < config->source_count; i++)
            is_cycle = leads_back(&walk, &config->sources[i]);
    }
    vec_done(&walk.seen);
    return is_cycle ? INVALID("detected cycle") : API_OK;
}
