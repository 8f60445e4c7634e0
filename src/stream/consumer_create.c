/* Creation and change of consumers, from the request to the applied entry.
 *
 * The payload of RECORD_CONSUMER_PUT is {"op":"create"|"update"|"pause","created":<unix
 * ns>,"config":{...}}. A creation is decided when it is requested. Where another one in flight
 * could change the verdict (the same name, a limit on consumers, a work queue), it waits until that
 * one is applied. */
#include "base/limits.h"
#include "base/log.h"
#include "base/nuid.h"
#include "io/clock.h"
#include "proto/json.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "stream/consumer.h"

enum { GENERATED_NAME_LEN = 8 };
#define CONSUMER_EPHEMERAL_THRESHOLD_NS INT64_C(5000000000)

/* A checked request. */
typedef struct ConsumerDraft {
    Link link; /* in set->drafts while it waits */
    ConsumerConfig *config;
    ConsumerAction action;
    ApiCall *call;
    uint16_t name_len;
    char name[];
} ConsumerDraft;

/* A name whose creation is in flight: key and value of set->creating. */
typedef struct Creating {
    ConsumerFilters *filters; /* NULL = everything */
    FilterLink *links;        /* in set->in_flight, on a work queue */
    uint16_t name_len;
    char name[];
} Creating;

typedef enum PutKind { PUT_CREATE, PUT_UPDATE, PUT_PAUSE } PutKind;
static const Slice put_words[] = {LIT("create"), LIT("update"), LIT("pause")};

static Slice draft_name(const ConsumerDraft *draft) {
    return slice_from(draft->name, draft->name_len);
}

static void draft_free(ConsumerDraft *draft) {
    consumer_config_free(draft->config);
    mem_free(draft);
}

static void draft_fail(ConsumerDraft *draft, ApiError error) {
    api_reply_error(draft->call, error);
    draft_free(draft);
}

/* Kept in the log: work queues and interest streams depend on what their consumers acknowledged,
 * whatever mem_storage says. */
bool consumer_set_logs(const ConsumerSet *set, const ConsumerConfig *config) {
    const Stream *stream = set->stream;
    return !stream->group.is_memory && !config->direct &&
           (!config->mem_storage || stream->config->retention != RETENTION_LIMITS);
}

static void propose_put(ConsumerSet *set, PutKind kind, Slice name, const ConsumerConfig *config,
                        int64_t created_ns, ApiCall *call) {
    Buf payload = {0};
    buf_printf(&payload,
               "{\"op\":\"%.*s\",\"created\":%lld,\"config\":", SLICE_ARG(put_words[kind]),
               (long long)created_ns);
    consumer_config_write(&payload, config, false);
    buf_append_char(&payload, '}');
    ConsumerProposal proposal = {
        .type = RECORD_CONSUMER_PUT, .name = name, .payload = buf_slice(&payload), .call = call};
    stream_propose_consumer(set->stream, &proposal);
    buf_done(&payload);
}

/* A consumer begins: answers call (may be NULL). */
static void install(ConsumerSet *set, const ConsumerConfig *config, const ConsumerBirth *birth,
                    ApiCall *call) {
    Consumer *consumer = consumer_new(set, config, birth);
    if (!set->is_started)
        return;
    consumer_start(consumer);
    if (call)
        consumer_reply_info(consumer, call);
    consumer_advise_action(consumer, true);
    if (consumer->is_paused)
        consumer_advise_pause(consumer);
}

/* cookie is a consumer that does not count, or NULL. */
static bool has_other(void *cookie, FilterNode *node) {
    for (size_t i = 0; i < node->slots.len; i++) {
        const Consumer *other = node->slots.at[i].owner;
        if (other && other != cookie && !consumer_config(other)->direct)
            return true;
    }
    return false;
}

/* On a work queue: 10099, 10100. */
static ApiError check_unique(ConsumerSet *set, Consumer *self, const ConsumerConfig *config) {
    if (config->filter_count == 0 && self == NULL && consumer_set_visible_count(set) > 0)
        return api_error(JSConsumerWQMultipleUnfilteredErr);
    for (size_t i = 0; i < config->filter_count; i++)
        if (filter_index_visit_overlaps(&set->index, config->filters[i], has_other, self))
            return api_error(JSConsumerWQConsumerNotUniqueErr);
    return API_OK;
}

/* How many the stream may have, 0 = any number: the smaller of its own limit (or the server's for
 * streams without) and the account's, which counts by stream too. */
static int64_t consumers_max(const Stream *stream) {
    const JetStreamOptions *options = stream->js->options;
    int64_t own = stream->config->max_consumers;
    int64_t account = jetstream_limits(options, account_index(stream->account))->max_consumers;

    if (own <= 0 || (account > 0 && account < own))
        own = account > 0 ? account : options->max_consumers_default;
    return own > 0 ? own : 0;
}

static ApiError check_new(ConsumerSet *set, const ConsumerDraft *draft) {
    const StreamConfig *stream = set->stream->config;
    int64_t max = consumers_max(set->stream);
    if (draft->action == CONSUMER_UPDATE)
        return api_error(JSConsumerDoesNotExist);
    if (draft->config->direct)
        return API_OK;
    if (max > 0 && consumer_set_visible_count(set) >= (size_t)max)
        return api_error(JSMaximumConsumersLimitErr);
    return stream->retention == RETENTION_WORKQUEUE ? check_unique(set, NULL, draft->config)
                                                    : API_OK;
}

static ApiError check_existing(ConsumerSet *set, Consumer *consumer, const ConsumerDraft *draft,
                               const ConsumerConfig *old) {
    const ConsumerConfig *config = draft->config;
    if (draft->action == CONSUMER_CREATE && !consumer_config_equal(config, old))
        return api_error(JSConsumerAlreadyExists);
    if (set->stream->config->retention == RETENTION_WORKQUEUE) {
        ApiError error = check_unique(set, consumer, config);
        if (api_failed(error))
            return error;
    }
    ApiError error = consumer_config_check_update(config, old, set->home->turn);
    if (api_failed(error))
        return error;
    if (!slice_equal(config->deliver_subject, old->deliver_subject) &&
        bus_has_interest(set->stream->account, old->deliver_subject))
        return api_error(JSConsumerNameExistErr);
    return API_OK;
}

/* Ephemerals have one; given behind the comparison, so that a create never finds an ephemeral
 * without one of its own identical. */
static void set_threshold(ConsumerConfig *config, bool is_durable) {
    if (!is_durable && config->inactive_threshold_ns == 0)
        config->inactive_threshold_ns = CONSUMER_EPHEMERAL_THRESHOLD_NS;
}

/* A copier begins anew behind what it acknowledged, and must have the answer before the first
 * message. */
static void take_change(Consumer *consumer, const ConsumerConfig *config) {
    if (!config->sourcing) {
        consumer_change(consumer, config);
        return;
    }
    consumer->is_pumping = true;
    consumer_change(consumer, config);
    consumer_reset(consumer, consumer->floor.sseq + 1);
    consumer->is_pumping = false;
}

/* Takes draft. */
static void put_existing(ConsumerSet *set, Consumer *consumer, ConsumerDraft *draft) {
    ConsumerConfig old = consumer_whole_config(consumer), *config = draft->config;
    config->has_pause_until = old.has_pause_until; /* changed by PAUSE only */
    config->pause_until_ns = old.pause_until_ns;
    consumer_config_set_level(config, config->arena);
    if (config->name.len == 0) /* as it was created */
        config->name = old.name;
    ApiError error = check_existing(set, consumer, draft, &old);
    if (api_failed(error)) {
        draft_fail(draft, error);
        return;
    }
    set_threshold(config, consumer->is_durable);
    bool is_same = consumer_config_equal(config, &old);
    if (!is_same && consumer->is_logged) {
        consumer_log_flush(consumer);
        propose_put(set, PUT_UPDATE, consumer_name(consumer), config, consumer->created_ns,
                    draft->call);
        draft_free(draft);
        return;
    }
    if (!is_same)
        take_change(consumer, config);
    if (consumer->is_paused)
        consumer_advise_pause(consumer);
    consumer_reply_info(consumer, draft->call);
    draft_free(draft);
}

static size_t creating_links(const Creating *creating) {
    return creating->filters ? creating->filters->count : 1;
}

static void note_creating(ConsumerSet *set, const ConsumerDraft *draft) {
    Creating *creating = mem_zalloc(sizeof *creating + draft->name_len);
    creating->name_len = draft->name_len;
    memcpy(creating->name, draft->name, draft->name_len);
    if (set->stream->config->retention == RETENTION_WORKQUEUE) {
        ConsumerFilters *filters = creating->filters = consumer_filters_new(draft->config);
        creating->links = mem_zalloc(creating_links(creating) * sizeof(FilterLink));
        for (size_t i = 0; i < creating_links(creating); i++)
            filter_index_add(&set->in_flight, filters ? filters->patterns[i] : (Slice){0}, creating,
                             &creating->links[i]);
    }
    map_put(&set->creating, slice_from(creating->name, creating->name_len), creating);
}

static void creating_free(ConsumerSet *set, Creating *creating) {
    if (creating == NULL)
        return;
    for (size_t i = 0; creating->links && i < creating_links(creating); i++)
        filter_index_remove(&set->in_flight, &creating->links[i]);
    mem_free(creating->links);
    mem_free(creating->filters);
    mem_free(creating);
}

/* Takes draft. */
static void put_new(ConsumerSet *set, ConsumerDraft *draft) {
    ApiError error = check_new(set, draft);
    if (api_failed(error)) {
        draft_fail(draft, error);
        return;
    }
    set_threshold(draft->config, draft->config->durable_name.len > 0);
    ConsumerBirth birth = {draft_name(draft), consumer_set_logs(set, draft->config),
                           clock_wall_ns()};
    if (!birth.is_logged) {
        install(set, draft->config, &birth, draft->call);
    } else {
        note_creating(set, draft);
        propose_put(set, PUT_CREATE, draft_name(draft), draft->config, birth.created_ns,
                    draft->call);
    }
    draft_free(draft);
}

static bool is_there(void *cookie, FilterNode *node) {
    (void)cookie;
    return node->slots.len > 0;
}

static bool overlaps_one_in_flight(ConsumerSet *set, const ConsumerConfig *config) {
    if (config->filter_count == 0)
        return set->in_flight.links > 0;
    for (size_t i = 0; i < config->filter_count; i++)
        if (filter_index_visit_overlaps(&set->in_flight, config->filters[i], is_there, NULL))
            return true;
    return false;
}

/* The limit on consumers is not reached, but would be with those in flight. */
static bool is_on_the_brink(const ConsumerSet *set) {
    int64_t max = consumers_max(set->stream);
    size_t count = consumer_set_visible_count(set);
    return max > 0 && count < (size_t)max && count + set->creating.len >= (size_t)max;
}

/* Whether what is in flight may change what to say to the draft. */
static bool must_wait(ConsumerSet *set, const ConsumerDraft *draft, const Consumer *existing) {
    const StreamConfig *stream = set->stream->config;
    if (existing)
        return existing->is_deleting;
    if (set->creating.len == 0)
        return false;
    return map_get(&set->creating, draft_name(draft)) || is_on_the_brink(set) ||
           (stream->retention == RETENTION_WORKQUEUE && overlaps_one_in_flight(set, draft->config));
}

/* Takes draft. */
static void decide(ConsumerSet *set, ConsumerDraft *draft) {
    Consumer *existing = consumer_set_find(set, draft_name(draft));
    if (must_wait(set, draft, existing))
        list_push_back(&set->drafts, &draft->link);
    else if (existing)
        put_existing(set, existing, draft);
    else
        put_new(set, draft);
}

void consumer_set_run_drafts(ConsumerSet *set) {
    List waiting;
    list_init(&waiting);
    for (Link *link; (link = list_pop_front(&set->drafts)) != NULL;)
        list_push_back(&waiting, link);
    for (Link *link; (link = list_pop_front(&waiting)) != NULL;)
        decide(set, CONTAINER_OF(link, ConsumerDraft, link));
}

void consumer_set_forget_draft(ConsumerSet *set, Slice name) {
    creating_free(set, map_remove(&set->creating, name));
    if (set->creating.len == 0)
        map_done(&set->creating); /* most streams have few consumers, made once */
}

void consumer_set_drop_drafts(ConsumerSet *set) {
    Slice name;
    void *creating;
    for (Link *link; (link = list_pop_front(&set->drafts)) != NULL;)
        draft_fail(CONTAINER_OF(link, ConsumerDraft, link), api_error(JSStreamNotFoundErr));
    for (size_t at = 0; map_next(&set->creating, &at, &name, &creating);)
        creating_free(set, creating);
    map_done(&set->creating);
}

/* Eight characters that nobody here has. */
static Slice generate_name(ConsumerSet *set, char *text) {
    Slice name = slice_from(text, GENERATED_NAME_LEN);
    do
        nuid_write(&set->home->rand, text, GENERATED_NAME_LEN);
    while (consumer_set_find(set, name) || map_get(&set->creating, name));
    return name;
}

/* What another server copies from, or this one. Where messages go with their acknowledgement it is
 * a durable consumer that acknowledges by flow control, else each has its own name. */
static Slice prepare_copier(ConsumerSet *set, ConsumerConfig *config, Slice name) {
    char suffix[1 + GENERATED_NAME_LEN] = {'-'};
    if (!config->direct || !config->sourcing || !name.len)
        return name;
    if (set->stream->config->retention == RETENTION_LIMITS) {
        nuid_write(&set->home->rand, suffix + 1, GENERATED_NAME_LEN);
        Buf text = {0};
        buf_append(&text, name);
        buf_append_bytes(&text, suffix, sizeof suffix);
        name = arena_copy(config->arena, buf_slice(&text));
        buf_done(&text);
        return name;
    }
    config->direct = false;
    config->durable_name = name;
    config->ack_policy = ACK_FLOW_CONTROL;
    config->ack_wait_ns = config->max_deliver = config->inactive_threshold_ns = 0;
    config->deliver_policy = DELIVER_ALL;
    config->opt_start_seq = 0;
    config->has_opt_start_time = false;
    return name;
}

void consumer_set_create(ConsumerSet *set, ConsumerRequest *request, Slice name, ApiCall *call) {
    ASSERT_HOME(set);
    ConsumerConfig *config = request->config;
    const Stream *stream = set->stream;
    ConfigLimits limits = jetstream_config_limits(
        stream->js->options, account_index(stream->account), stream->config->storage);
    char generated[GENERATED_NAME_LEN];
    request->config = NULL;
    name = prepare_copier(set, config, name);
    if (name.len)
        config->name = arena_copy(config->arena, name);
    ApiError error = config->sourcing ? consumer_check_identity(set, call) : API_OK;
    if (!api_failed(error) && name.len)
        error = consumer_name_check(name, set->home->turn);
    if (!api_failed(error))
        error = consumer_config_check(config, stream->config, &limits, request->is_pedantic,
                                      set->home->turn);
    if (api_failed(error)) {
        consumer_config_free(config);
        api_reply_error(call, error);
        return;
    }
    if (name.len == 0)
        name = generate_name(set, generated);
    ConsumerDraft *draft = mem_zalloc(sizeof *draft + name.len);
    link_init(&draft->link);
    draft->config = config;
    draft->action = request->action;
    draft->call = call;
    draft->name_len = (uint16_t)name.len;
    memcpy(draft->name, name.ptr, name.len);
    consumer_set_note_time(set);
    decide(set, draft);
}

void consumer_set_pause(ConsumerSet *set, Slice name, int64_t until_ns, ApiCall *call) {
    ASSERT_HOME(set);
    Consumer *consumer = consumer_set_find(set, name);
    if (consumer == NULL) {
        api_reply_error(call, api_error(JSConsumerNotFoundErr));
        return;
    }
    ConsumerConfig config = consumer_whole_config(consumer);
    config.has_pause_until = until_ns != TIME_ZERO;
    config.pause_until_ns = until_ns;
    if (consumer->is_logged) {
        propose_put(set, PUT_PAUSE, name, &config, consumer->created_ns, call);
        return;
    }
    consumer_take_pause(consumer, &config);
    consumer_reply_pause(consumer, call);
}

void consumer_take_pause(Consumer *consumer, const ConsumerConfig *with) {
    ConsumerConfig config = consumer_whole_config(consumer);
    ConsumerOptions *old = consumer->options;
    config.has_pause_until = with->has_pause_until;
    config.pause_until_ns = with->pause_until_ns;
    consumer_config_set_level(&config, consumer->home->turn);
    consumer->options = consumer_options_take(&consumer->set->options, &config);
    consumer_options_release(&consumer->set->options, old);
    if (!consumer->is_started)
        return;
    consumer_refresh_pause(consumer);
    consumer_advise_pause(consumer);
    consumer_pump_soon(consumer);
}

/* What RECORD_CONSUMER_PUT says. */
typedef struct Put {
    PutKind kind;
    int64_t created_ns;
    ConsumerConfig *config;
} Put;

static Status parse_kind(Slice value, PutKind *out_kind) {
    for (size_t i = 0; i < sizeof put_words / sizeof put_words[0]; i++)
        if (value.len == put_words[i].len + 2 &&
            slice_equal(slice_from(value.ptr + 1, value.len - 2), put_words[i])) {
            *out_kind = (PutKind)i;
            return OK;
        }
    return ERR_CORRUPT;
}

static Status parse_put(Slice payload, Put *out_put) {
    Put put = {0};
    Slice key, value;
    Status status = json_check(payload, &(size_t){0}, false, NULL);
    for (size_t at = 0; status == OK && json_next_member(payload, &at, &key, &value);) {
        if (slice_equal(key, LIT("op")))
            status = parse_kind(value, &put.kind);
        else if (slice_equal(key, LIT("created")))
            status = slice_parse_i64(value, &put.created_ns);
        else if (slice_equal(key, LIT("config")) && put.config == NULL)
            status = consumer_config_parse_stored(value, &put.config);
    }
    if (status == OK && put.config == NULL)
        status = ERR_CORRUPT;
    if (status != OK) {
        consumer_config_free(put.config);
        return status;
    }
    *out_put = put;
    return OK;
}

/* Every case answers call, which is NULL in recovery. */
static void apply_put(ConsumerSet *set, Slice name, const Put *put, ApiCall *call,
                      bool is_recovery) {
    Consumer *consumer = consumer_set_find(set, name);
    if (put->kind == PUT_CREATE) {
        ConsumerBirth birth = {name, consumer_set_logs(set, put->config), put->created_ns};
        if (consumer == NULL && (birth.is_logged || !is_recovery))
            install(set, put->config, &birth, call);
        else if (call && consumer)
            consumer_reply_info(consumer, call);
        return;
    }
    if (consumer == NULL) {
        if (call)
            api_reply_error(call, api_error(JSConsumerNotFoundErr));
        return;
    }
    if (put->kind == PUT_PAUSE) {
        consumer_take_pause(consumer, put->config);
        if (call)
            consumer_reply_pause(consumer, call);
        return;
    }
    put->config->has_pause_until = consumer_config(consumer)->has_pause_until;
    put->config->pause_until_ns = consumer_config(consumer)->pause_until_ns;
    consumer_config_set_level(put->config, put->config->arena);
    take_change(consumer, put->config);
    if (consumer->is_paused)
        consumer_advise_pause(consumer);
    if (call)
        consumer_reply_info(consumer, call);
}

void consumer_set_apply_put(ConsumerSet *set, const Record *record, ApiCall *call,
                            bool is_recovery) {
    Put put;
    Status status = parse_put(record->payload, &put);
    if (status == OK && (record->subject.len == 0 || record->subject.len > LIMIT_NAME_BYTES)) {
        consumer_config_free(put.config);
        status = ERR_CORRUPT;
    }
    if (status != OK) {
        LOG_ERR("consumer entry not understood", "stream=%.*s consumer=%.*s status=%s",
                SLICE_ARG(stream_name(set->stream)), SLICE_ARG(record->subject),
                status_text(status));
        if (call)
            api_reply_error(call, api_error(JSInsufficientResourcesErr));
    } else {
        apply_put(set, record->subject, &put, call, is_recovery);
        consumer_config_free(put.config);
    }
    consumer_set_forget_draft(set, record->subject);
    consumer_set_run_drafts(set);
}
