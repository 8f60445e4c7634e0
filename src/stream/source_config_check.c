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

/* A mirror's transforms may not meet at all, a source's may cross. An empty src meets nothing, as
 * in the original. */
static bool overlaps_another(const SourceConfig *source, size_t i, bool may_cross) {
    Slice one = source->transforms[i].src;

    for (size_t k = 0; one.len && k < source->transform_count; k++) {
        Slice two = source->transforms[k].src;
        if (k != i && two.len &&
            (may_cross ? subject_is_subset(one, two) : subject_overlaps(one, two)))
            return true;
    }
    return false;
}

static ApiError check_transform(const Check *check, const SubjectTransformConfig *wanted,
                                const Words *words) {
    Transform *transform = NULL;
    Buf why = {0};
    ApiError error = API_OK;

    if (wanted->src.len && !subject_is_valid(wanted->src))
        return config_refuse(check, words->bad_src, "invalid subject %.*s", SLICE_ARG(wanted->src));
    if (transform_new(wanted->src, wanted->dest, false, &why, &transform) != OK)
        error = config_refuse(check, words->bad_dest, "%s", buf_text(&why));
    else
        transform_free(transform);
    buf_done(&why);
    return error;
}

/* Which of several faults is named depends on the order: a mirror's transforms are looked at one
 * after the other, a source's first for themselves and then together. */
static ApiError check_transforms(const Check *check, const SourceConfig *source,
                                 const Words *words) {
    bool is_mirror = words == &mirror_words;

    for (size_t i = 0; i < source->transform_count; i++) {
        ApiError error = check_transform(check, &source->transforms[i], words);
        if (api_failed(error))
            return error;
        if (is_mirror && overlaps_another(source, i, false))
            return api_error(words->overlap);
    }
    for (size_t i = 0; !is_mirror && i < source->transform_count; i++)
        if (overlaps_another(source, i, true))
            return api_error(words->overlap);
    return API_OK;
}

/* Somebody else made the consumer: where it begins and what it filters was said there. */
static bool consumer_is_good(const SourceConfig *source) {
    return asset_name_is_valid(source->consumer_name) && is_literal(source->consumer_deliver) &&
           !source->opt_start_seq && !source->has_opt_start_time && !source->filter_subject.len;
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
    if (source->has_consumer && !consumer_is_good(source))
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
    if (config->subject_delete_marker_ttl_ns)
        return INVALID("subject delete markers forbidden on mirrors");
    if (!config->mirror.has_external && !asset_name_is_valid(config->mirror.name))
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

static bool shares_consumer(const SourceConfig *a, const SourceConfig *b) {
    return a->has_consumer && b->has_consumer && slice_equal(a->name, b->name) &&
           slice_equal(a->consumer_name, b->consumer_name) && a->has_external == b->has_external &&
           slice_equal(a->external_api, b->external_api);
}

ApiError check_sources(Check *check) {
    StreamConfig *config = check->config;

    if (config->source_count && config->allow_msg_schedules)
        return api_error(JSSourceWithMsgSchedulesErr);
    for (size_t i = 0; i < config->source_count; i++) {
        const SourceConfig *source = &config->sources[i];
        if (!asset_name_is_valid(source->name))
            return api_error(JSSourceInvalidStreamName);
        for (size_t k = 0; k < i; k++) {
            if (source_config_is_same(source, &config->sources[k]))
                return api_error(JSSourceDuplicateDetected);
            if (shares_consumer(source, &config->sources[k]))
                return api_error(JSSourceDurableConsumerDuplicateDetected);
        }
        ApiError error = check_one(check, source, &source_words);
        if (api_failed(error))
            return error;
    }
    return API_OK;
}

/* Messages that come under the prefix would look like ones of an origin that is here. */
static ApiError check_prefix(const Check *check, Slice prefix, const SourceConfig *source) {
    const StreamConfig *origin = find_origin(check, source);
    ApiError error = API_OK;
    Buf under = {0};
    for (size_t i = 0; origin && i < origin->subject_count && !api_failed(error); i++) {
        buf_clear(&under);
        buf_append(&under, prefix);
        buf_append_char(&under, '.');
        buf_append(&under, origin->subjects[i]);
        if (subject_overlaps(origin->subjects[i], buf_slice(&under)))
            error = api_error_with_both(check->arena, JSStreamExternalDelPrefixOverlapsErrF, prefix,
                                        origin->subjects[i]);
    }
    buf_done(&under);
    return error;
}

static ApiError check_delivery(Check *check, Slice prefix) {
    const StreamConfig *config = check->config;
    ApiError error = API_OK;
    if (!is_literal(prefix))
        return config_refuse(check, JSStreamInvalidExternalDeliverySubjErrF, "%.*s",
                             SLICE_ARG(prefix));
    if (config->has_mirror)
        error = check_prefix(check, prefix, &config->mirror);
    for (size_t i = 0; i < config->source_count && !api_failed(error); i++)
        error = check_prefix(check, prefix, &config->sources[i]);
    return error;
}

static ApiError check_external(Check *check, const SourceConfig *source) {
    if (source->external_deliver.len) {
        ApiError error = check_delivery(check, source->external_deliver);
        if (api_failed(error))
            return error;
    }
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

ApiError check_filters(Check *check) {
    const StreamConfig *config = check->config;
    Slice filter = config->mirror.filter_subject;

    if (config->has_mirror && filter.len && !subject_is_valid(filter))
        return config_refuse(check, JSStreamCreateErrF,
                             "subject filter '%.*s' for the mirror invalid subject",
                             SLICE_ARG(filter));
    for (size_t i = 0; i < config->source_count; i++) {
        filter = config->sources[i].filter_subject;
        if (filter.len && !subject_is_valid(filter))
            return config_refuse(check, JSStreamCreateErrF,
                                 "subject filter '%.*s' for the source: invalid subject",
                                 SLICE_ARG(filter));
    }
    return API_OK;
}

/* Cycles. As the original looks for them, breadth first: a stream that was looked at may not be a
 * source of a later one, which also refuses some configs without a real cycle. */

enum { CYCLE_STREAMS_MAX = 4096 }; /* to look at; more are taken for a cycle */

typedef struct Walk {
    const Check *check;
    VEC(const StreamConfig *) streams; /* those before next were looked at */
    size_t next;
} Walk;

static bool was_visited(const Walk *walk, Slice name) {
    for (size_t i = 0; i <= walk->next; i++)
        if (slice_equal(walk->streams.at[i]->name, name))
            return true;
    return false;
}

static void visit_later(Walk *walk, const SourceConfig *source) {
    const StreamConfig *origin = find_origin(walk->check, source);

    if (origin)
        vec_push(&walk->streams, origin);
}

static bool takes_from(const StreamConfig *config, Slice filter) {
    for (size_t i = 0; filter.len && i < config->subject_count; i++)
        if (subject_overlaps(config->subjects[i], filter))
            return true;
    return filter.len == 0;
}

/* True when config closes a cycle. */
static bool visit(Walk *walk, const StreamConfig *config) {
    for (size_t i = 0; i < config->source_count; i++) {
        const SourceConfig *source = &config->sources[i];
        if (source->has_external)
            continue;
        if (!was_visited(walk, source->name))
            visit_later(walk, source);
        else if (takes_from(config, source->filter_subject))
            return true;
    }
    if (!config->has_mirror || config->mirror.has_external)
        return false;
    if (was_visited(walk, config->mirror.name))
        return true;
    visit_later(walk, &config->mirror);
    return false;
}

ApiError check_cycle(Check *check) {
    Walk walk = {.check = check};
    bool is_cycle = false;

    vec_push(&walk.streams, check->config);
    for (; !is_cycle && walk.next < walk.streams.len; walk.next++)
        is_cycle = walk.next == CYCLE_STREAMS_MAX || visit(&walk, walk.streams.at[walk.next]);
    vec_done(&walk.streams);
    return is_cycle ? INVALID("detected cycle") : API_OK;
}
