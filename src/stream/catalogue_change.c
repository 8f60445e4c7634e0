#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "stream/catalogue_private.h"

/* STREAM.CREATE, UPDATE and DELETE: checked against the applied state, proposed, decided in apply.
 */

static Catalogue *catalogue_of(const ApiCall *call) {
    ASSERT_HOME(call);
    return call->js->catalogue;
}

static Asset *find_asset(const ApiCall *call) {
    return catalogue_find(call->js->catalogue, account_name(call->account), call->stream);
}

/* Streams and reserved bytes of an account (NULL = of all), what is on its way included. */
typedef struct Taken {
    int64_t streams, reserved;
} Taken;

static void add_taken(Taken *taken, const Asset *asset, const Account *account, Storage storage) {
    if (account && asset->account != account)
        return;
    taken->streams++;
    if (asset->config->storage == storage)
        taken->reserved += (int64_t)stream_config_reserves(asset->config);
}

static Taken sum_taken(const Catalogue *catalogue, const Account *account, Storage storage) {
    const Shelf *shelf = account ? map_get(&catalogue->shelves, account_name(account)) : NULL;
    const Reserves *reserves = account ? (shelf ? &shelf->reserves : NULL) : &catalogue->reserves;
    Taken taken = {.streams =
                       (int64_t)(account ? (shelf ? shelf->order.len : 0) : catalogue->assets.len)};
    uint64_t group;
    void *value;

    if (reserves)
        taken.reserved = storage == STORAGE_MEMORY ? reserves->memory : reserves->file;
    for (size_t at = 0; map64_next(&catalogue->hidden, &at, &group, &value);)
        add_taken(&taken, value, account, storage);
    for (Link *link = catalogue->proposals.next; link != &catalogue->proposals; link = link->next) {
        const Proposal *proposal = CONTAINER_OF(link, Proposal, link);
        if (account && proposal->account != account_index(account))
            continue;
        taken.streams += proposal->is_new;
        if (proposal->storage == storage)
            taken.reserved += proposal->reserve;
    }
    return taken;
}

static bool is_over(int64_t taken, int64_t more, int64_t max) {
    return max >= 0 && more > 0 && (taken > max || more > max - taken);
}

ApiError catalogue_check_limits(const ApiCall *call, const StreamConfig *config,
                                const StreamConfig *old) {
    const JetStreamOptions *options = call->js->options;
    const JetStreamAccountLimits *mine = jetstream_limits(options, account_index(call->account));
    bool is_memory = config->storage == STORAGE_MEMORY;
    int64_t more =
        (int64_t)stream_config_reserves(config) - (old ? (int64_t)stream_config_reserves(old) : 0);
    bool is_counted = !old && mine->max_streams > 0;
    Taken account = {0};

    if (is_counted || more > 0)
        account = sum_taken(call->js->catalogue, call->account, config->storage);
    if (is_counted && account.streams >= mine->max_streams)
        return api_error(JSMaximumStreamsLimitErr);
    if (!old && mine->max_consumers > 0 && config->max_consumers > mine->max_consumers)
        return api_error(JSMaximumConsumersLimitErr);
    if (more <= 0)
        return API_OK;
    Taken all = sum_taken(call->js->catalogue, NULL, config->storage);
    if (is_over(account.reserved, more, is_memory ? mine->max_memory : mine->max_file) ||
        is_over(all.reserved, more, is_memory ? options->max_memory : options->max_file))
        return api_error(is_memory ? JSMemoryResourcesExceededErr : JSStorageResourcesExceededErr);
    return API_OK;
}

/* Takes call. */
void catalogue_propose(ApiCall *call, RecordType type, Slice payload, const StreamConfig *config,
                       const StreamConfig *old) {
    Catalogue *catalogue = catalogue_of(call);
    Proposal *proposal = mem_zalloc(sizeof *proposal);
    Buf key = {0};

    proposal->call = call;
    proposal->account = account_index(call->account);
    if (config) {
        proposal->is_new = !old;
        proposal->storage = config->storage;
        proposal->reserve = (int64_t)stream_config_reserves(config) -
                            (old ? (int64_t)stream_config_reserves(old) : 0);
    }
    list_push_back(&catalogue->proposals, &proposal->link);
    buf_append(&key, account_name(call->account));
    buf_append_char(&key, ' ');
    buf_append(&key, call->stream);
    Record draft = {
        .type = type, .time_ns = clock_wall_ns(), .subject = buf_slice(&key), .payload = payload};
    Ticket ticket = {.pointer = proposal};
    journal_append(catalogue->js->journal, &catalogue->group, &draft, &ticket,
                   type == RECORD_STREAM_DELETE);
    buf_done(&key);
}

/* Limits of config checks depend on the storage that the config asks for. */
static ApiError read_config(ApiCall *call, StreamConfig **out_config, bool *out_pedantic) {
    return stream_config_parse(call->body, &call->js->options->limits, api_arena(call), out_config,
                               out_pedantic);
}

static const StreamConfig *find_config(const void *cookie, Slice name) {
    const ApiCall *call = cookie;
    const Asset *asset = catalogue_find(call->js->catalogue, account_name(call->account), name);

    return asset ? asset->config : NULL;
}

/* Serves until call goes. */
static ConfigLimits limits_for(const ApiCall *call, const StreamConfig *config) {
    ConfigLimits limits =
        jetstream_config_limits(call->js->options, account_index(call->account), config->storage);
    limits.find = find_config;
    limits.cookie = call;
    return limits;
}

/* Unless what is on its way makes a difference: a client need not wait for its answers. */
static void refuse(ApiCall *call, ApiError error) {
    if (!catalogue_wait(call->js->catalogue, account_index(call->account), call))
        api_reply_error(call, error);
}

static bool has_separator(Slice name) {
    return slice_find(name, '/') < name.len || slice_find(name, '\\') < name.len;
}

static ApiError check_create(ApiCall *call, StreamConfig *config, bool is_pedantic,
                             const Asset *existing) {
    ConfigLimits limits = limits_for(call, config);
    ApiError error = API_OK;

    if (has_separator(call->stream))
        return api_error(JSStreamNameContainsPathSeparatorsErr);
    if (!slice_equal(config->name, call->stream))
        return api_error(JSStreamMismatchErr);
    if (api_failed(error =
                       stream_config_check_create(config, &limits, is_pedantic, api_arena(call))))
        return error;
    if (existing)
        return stream_config_equal(existing->config, config) ? API_OK
                                                             : api_error(JSStreamNameExistErr);
    if (api_failed(error = catalogue_check_limits(call, config, NULL)))
        return error;
    return catalogue_overlaps(call->js->catalogue, account_name(call->account), config)
               ? api_error(JSStreamSubjectOverlapErr)
               : API_OK;
}

void catalogue_on_stream_create(ApiCall *call) {
    Catalogue *catalogue = catalogue_of(call);
    StreamConfig *config;
    bool is_pedantic;
    ApiError error = read_config(call, &config, &is_pedantic);

    if (api_failed(error)) {
        api_reply_error(call, error);
        return;
    }
    Asset *existing = find_asset(call);
    error = check_create(call, config, is_pedantic, existing);
    if (api_failed(error)) {
        refuse(call, error);
    } else if (existing) {
        catalogue_tell_shown(catalogue, existing, call);
    } else {
        Buf facts = {0};
        AssetFacts is = {.group = ++catalogue->group_last, .created_ns = clock_wall_ns()};
        asset_facts_write(&facts, &is, config);
        catalogue_propose(call, RECORD_STREAM_PUT, buf_slice(&facts), config, NULL);
        buf_done(&facts);
    }
    stream_config_free(config);
}

static ApiError check_update(ApiCall *call, StreamConfig *config, bool is_pedantic,
                             const Asset *asset) {
    ConfigLimits limits = limits_for(call, config);
    ApiError error = API_OK;

    error = stream_config_check_update(config, asset ? asset->config : NULL, &limits, is_pedantic,
                                       api_arena(call));
    if (api_failed(error))
        return error;
    if (!asset)
        return api_error(slice_equal(config->name, call->stream) ? JSStreamNotFoundErr
                                                                 : JSStreamMismatchErr);
    return catalogue_check_limits(call, config, asset->config);
}

void catalogue_on_stream_update(ApiCall *call) {
    StreamConfig *config;
    bool is_pedantic;
    ApiError error = read_config(call, &config, &is_pedantic);

    if (api_failed(error)) {
        api_reply_error(call, error);
        return;
    }
    const Asset *asset = find_asset(call);
    error = check_update(call, config, is_pedantic, asset);
    bool has_limits = config->limit_max_ack_pending > 0 || config->limit_inactive_threshold_ns > 0;
    if (api_failed(error)) {
        refuse(call, error);
    } else if (has_limits && !call->is_checked) {
        catalogue_ask_home(call->js->catalogue, asset, config, call);
        return;
    } else if (catalogue_overlaps(call->js->catalogue, account_name(call->account), config)) {
        refuse(call, api_error(JSStreamSubjectOverlapErr));
    } else {
        Buf facts = {0};
        AssetFacts is = {.group = asset->group, .created_ns = asset->created_ns, .is_update = true};
        asset_facts_write(&facts, &is, config);
        catalogue_propose(call, RECORD_STREAM_PUT, buf_slice(&facts), config, asset->config);
        buf_done(&facts);
    }
    stream_config_free(config);
}

void catalogue_on_stream_delete(ApiCall *call) {
    const Asset *asset = find_asset(call);

    if (!asset) {
        api_reply_error(call, api_error(JSStreamNotFoundErr));
        return;
    }
    catalogue_propose(call, RECORD_STREAM_DELETE, slice_from(&asset->group, sizeof asset->group),
                      NULL, NULL);
}

enum {
    PURGED_AT_ONCE = 256, /* streams; the rest follows when these are gone */
};

/* Takes call, which may be NULL. */
static void propose_delete(Catalogue *catalogue, const Asset *asset, ApiCall *call) {
    Proposal *proposal = mem_zalloc(sizeof *proposal);

    proposal->call = call;
    proposal->account = account_index(asset->account);
    list_push_back(&catalogue->proposals, &proposal->link);
    Record draft = {.type = RECORD_STREAM_DELETE,
                    .time_ns = clock_wall_ns(),
                    .subject = asset_key(asset),
                    .payload = slice_from(&asset->group, sizeof asset->group)};
    Ticket ticket = {.pointer = proposal};
    journal_append(catalogue->js->journal, &catalogue->group, &draft, &ticket, true);
}

bool catalogue_purge_goes_on(const Asset *asset, const ApiCall *call) {
    return call && call->endpoint->run == catalogue_on_account_purge && asset->shelf->order.len > 1;
}

void catalogue_on_account_purge(ApiCall *call) {
    Catalogue *catalogue = catalogue_of(call);
    const Account *account = bus_account_by_name(call->home->bus, call->stream);
    AssetPage page = {0};

    if (account && catalogue_wait(catalogue, account_index(account), call))
        return;
    if (account)
        catalogue_page(catalogue, account, (Slice){0}, PURGED_AT_ONCE, api_arena(call), &page);
    if (page.count && !page.assets[0]->account) /* kept, since it has no JetStream now */
        page.count = 0;
    LOG_INFO("account purge asked for", "account=%.*s streams=%zu", SLICE_ARG(call->stream),
             page.count ? page.total : 0);
    for (size_t i = 0; i < page.count; i++) /* the last one answers, or goes on */
        propose_delete(catalogue, page.assets[i], i + 1 < page.count ? NULL : call);
    if (page.count == 0)
        api_reply_success(call);
}
