#include "proto/timefmt.h"
#include "stream/api_private.h"

/* CONSUMER.* on the stream's home. */

/* The account may not use JetStream: endpoints that look at the body before that say it here. */
static bool is_refused(ApiCall *call) {
    if (api_is_enabled(call))
        return false;
    api_reply_error(call, api_error(JSNotEnabledForAccountErr));
    return true;
}

/* The stream of the call; NULL: answered. */
static Stream *need_stream(ApiCall *call) {
    if (is_refused(call))
        return NULL;
    Stream *stream = api_call_stream(call);

    if (!stream)
        api_reply_error(call, api_error(JSStreamNotFoundErr));
    return stream;
}

/* Create: the three forms of the subject. */

typedef enum CreateForm { FORM_EPHEMERAL, FORM_NAMED, FORM_DURABLE } CreateForm;

static ApiError check_filter_tokens(const ConsumerConfig *config, Slice tokens) {
    if (tokens.len == 0)
        return API_OK;
    if (config->filters_are_plural)
        return api_error(JSConsumerMultipleFiltersNotAllowed);
    if (config->filter_count != 1 || !slice_equal(config->filters[0], tokens))
        return api_error(JSConsumerCreateFilterSubjectMismatchErr);
    return API_OK;
}

/* What the subject and the request must agree on; on success config.name is the asked name, or
 * empty for a generated one. */
static ApiError check_form(ApiCall *call, CreateForm form, const ConsumerRequest *request) {
    ConsumerConfig *config = request->config;

    if (!slice_equal(request->stream_name, call->stream))
        return api_error(JSStreamMismatchErr);
    if (form == FORM_EPHEMERAL && config->durable_name.len)
        return api_error(JSConsumerEphemeralWithDurableNameErr);
    if (form == FORM_DURABLE && config->durable_name.len == 0)
        return api_error(JSConsumerDurableNameNotSetErr);
    if (form != FORM_EPHEMERAL) {
        if (config->durable_name.len && !slice_equal(config->durable_name, call->consumer))
            return api_error(JSConsumerDurableNameNotMatchSubjectErr);
        config->name = arena_copy(config->arena, call->consumer);
    }
    ApiError error = check_filter_tokens(config, call->rest);
    if (form == FORM_DURABLE && !api_failed(error) && config->name.len > LIMIT_NAME_BYTES)
        error = api_error_with_u64(api_arena(call), JSConsumerNameTooLongErrF, LIMIT_NAME_BYTES);
    if (!api_failed(error) && config->name.len)
        error = consumer_name_check(config->name, api_arena(call));
    return error;
}

static void create(ApiCall *call, CreateForm form) {
    ConsumerRequest request;
    ApiError error =
        consumer_request_parse(call->body, &call->js->options->limits, api_arena(call), &request);

    if (api_failed(error)) {
        api_reply_error(call, error);
        return;
    }
    if (!api_is_enabled(call)) {
        consumer_config_free(request.config);
        api_reply_error(call, api_error(JSNotEnabledForAccountErr));
        return;
    }
    Stream *stream = NULL;
    error = check_form(call, form, &request);
    if (!api_failed(error) && !(stream = api_call_stream(call)))
        error = api_error(request.config->num_replicas > 1 ? JSStreamReplicasNotSupportedErr
                                                           : JSStreamNotFoundErr);
    if (api_failed(error)) {
        consumer_config_free(request.config);
        api_reply_error(call, error);
        return;
    }
    consumer_set_create(stream->consumers, &request, request.config->name, call);
}

void api_on_consumer_create(ApiCall *call) {
    create(call, call->consumer.len ? FORM_NAMED : FORM_EPHEMERAL);
}

void api_on_consumer_durable_create(ApiCall *call) {
    create(call, FORM_DURABLE);
}

/* Lists. */

typedef struct PagedRequest {
    int64_t offset;
} PagedRequest;

static const JsonField paged_rows[] = {
    JSON_ROW(PagedRequest, offset, "offset", JSON_INT, .go_type = "int")};
static const JsonSchema paged_schema = JSON_SCHEMA("JSApiConsumersRequest", paged_rows);

static void list(ApiCall *call, bool is_info) {
    PagedRequest request = {0};
    Buf out;

    if (json_looks_structured(call->body) &&
        !api_read_body(call, &paged_schema, JSON_STRICT, &request))
        return;
    Stream *stream = need_stream(call);
    if (!stream)
        return;

    Consumer **consumers;
    size_t total = consumer_set_visible_count(stream->consumers);
    size_t limit = is_info ? LIMIT_API_INFOS_PER_PAGE : LIMIT_API_NAMES_PER_PAGE;
    size_t offset = api_clamp_offset(request.offset, total);
    size_t count = consumer_set_page(stream->consumers, offset, limit, &consumers);

    api_begin(call, &out);
    api_write_page(&out, total, offset, limit);
    buf_append_lit(&out, ",\"consumers\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_append_char(&out, ',');
        if (is_info) {
            buf_append_char(&out, '{');
            consumer_info_write(&out, consumers[i], false);
            buf_append_char(&out, '}');
        } else {
            json_write_string(&out, consumer_name(consumers[i]));
        }
    }
    buf_append_char(&out, ']');
    api_finish(call, &out);
}

void api_on_consumer_names(ApiCall *call) {
    list(call, false);
}

void api_on_consumer_list(ApiCall *call) {
    list(call, true);
}

void api_on_consumer_info(ApiCall *call) {
    Buf out;
    Stream *stream = need_stream(call);

    if (!stream)
        return;
    Consumer *consumer = consumer_set_find(stream->consumers, call->consumer);
    if (!consumer) {
        api_reply_error(call, api_error(JSConsumerNotFoundErr));
        return;
    }
    api_begin(call, &out);
    consumer_info_write(&out, consumer, true);
    api_finish(call, &out);
}

void api_on_consumer_delete(ApiCall *call) {
    Stream *stream = need_stream(call);

    if (stream)
        consumer_set_delete(stream->consumers, call->consumer, call);
}

/* Pause, unpin, reset. */

typedef struct PauseRequest {
    bool has_until;
    int64_t until_ns;
} PauseRequest;

static const JsonField pause_rows[] = {
    JSON_TIME_ROW(PauseRequest, until_ns, has_until, JSON_NONE, "pause_until"),
};
static const JsonSchema pause_schema = JSON_SCHEMA("JSApiConsumerPauseRequest", pause_rows);

void api_on_consumer_pause(ApiCall *call) {
    PauseRequest request = {.until_ns = TIME_ZERO};

    if (json_looks_structured(call->body) &&
        !api_read_body(call, &pause_schema, JSON_STRICT, &request))
        return;
    Stream *stream = need_stream(call);
    if (stream)
        consumer_set_pause(stream->consumers, call->consumer, request.until_ns, call);
}

typedef struct UnpinRequest {
    Slice group;
} UnpinRequest;

static const JsonField unpin_rows[] = {JSON_ROW(UnpinRequest, group, "group", JSON_STRING)};
static const JsonSchema unpin_schema = JSON_SCHEMA("JSApiConsumerUnpinRequest", unpin_rows);

void api_on_consumer_unpin(ApiCall *call) {
    UnpinRequest request = {0};

    if (!api_read_body(call, &unpin_schema, JSON_LOOSE, &request))
        return;
    if (request.group.len == 0) {
        api_reply_error(call, api_error_with(api_arena(call), JSInvalidJSONErr,
                                             LIT("consumer group not specified")));
        return;
    }
    Stream *stream = need_stream(call);
    if (stream)
        consumer_set_unpin(stream->consumers, call->consumer, request.group, call);
}

typedef struct ResetRequest {
    uint64_t seq;
} ResetRequest;

static const JsonField reset_rows[] = {JSON_ROW(ResetRequest, seq, "seq", JSON_UINT)};
static const JsonSchema reset_schema = JSON_SCHEMA("JSApiConsumerResetRequest", reset_rows);

void api_on_consumer_reset(ApiCall *call) {
    ResetRequest request = {0};
    Stream *stream = api_call_stream(call);

    /* The original serves this by a subscription of the consumer: nobody answers for a missing one.
     */
    if (!stream || !consumer_set_find(stream->consumers, call->consumer)) {
        api_drop(call);
        return;
    }
    if (!api_level_is_met(call->headers)) {
        api_reply_error(call, api_error(JSRequiredApiLevelErr));
        return;
    }
    if (call->body.len && !api_read_body(call, &reset_schema, JSON_LOOSE, &request))
        return;
    consumer_set_reset(stream->consumers, call->consumer, request.seq, call);
}
