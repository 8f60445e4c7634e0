/* Streams that are being restored. They have a group and a config, so that their entries can be in
 * the log, but no name that anybody could find; that comes with one entry at the end. A crash
 * before it leaves a hidden stream, which the next start deletes. */
#include <string.h>

#include "base/mem.h"
#include "io/clock.h"
#include "stream/catalogue_private.h"
#include "stream/restore.h"

enum {
    RESTORES_MAX = 64, /* at a time: over it, 10023 */
};

typedef struct RestoreRequest {
    Slice config, state;
} RestoreRequest;

static const JsonField request_rows[] = {
    JSON_ROW(RestoreRequest, config, "config", JSON_RAW),
    JSON_ROW(RestoreRequest, state, "state", JSON_RAW),
};
static const JsonSchema request_schema = JSON_SCHEMA("JSApiStreamRestoreRequest", request_rows);

/* As the original's decoder names the field. */
static ApiError in_request(ApiCall *call, ApiError error) {
    static const Slice inner = LIT("StreamConfigRequest."),
                       outer = LIT("JSApiStreamRestoreRequest.config.");
    size_t at = slice_find_slice(error.text, inner);
    Buf text = {0};

    if (at == error.text.len)
        return error;
    buf_append(&text, slice_first(error.text, at));
    buf_append(&text, outer);
    buf_append(&text, slice_from_at(error.text, at + inner.len));
    error.text = arena_copy(api_arena(call), buf_slice(&text));
    buf_done(&text);
    return error;
}

static size_t find_level(const StreamConfig *config) {
    size_t i = 0;

    while (i < config->metadata_count &&
           !slice_equal(config->metadata[i].key, LIT("_nats.req.level")))
        i++;
    return i;
}

/* What the config's features need is written down at a create only. */
static void drop_level(StreamConfig *config) {
    size_t i = find_level(config);

    if (i == config->metadata_count)
        return;
    memmove(config->metadata + i, config->metadata + i + 1,
            (config->metadata_count - i - 1) * sizeof *config->metadata);
    config->metadata_count--;
}

/* Restores whose entry is on its way. */
static size_t count_coming(const Catalogue *catalogue) {
    size_t count = 0;

    for (Link *link = catalogue->proposals.next; link != &catalogue->proposals; link = link->next) {
        const Proposal *proposal = CONTAINER_OF(link, Proposal, link);
        count += proposal->is_new && proposal->call &&
                 proposal->call->endpoint->run == catalogue_on_stream_restore;
    }
    return count;
}

static ApiError check(ApiCall *call, StreamConfig *config) {
    Catalogue *catalogue = call->js->catalogue;
    ConfigLimits limits =
        jetstream_config_limits(call->js->options, account_index(call->account), config->storage);

    if (config->name.len == 0)
        config->name = arena_copy(config->arena, call->stream);
    if (!slice_equal(config->name, call->stream))
        return api_error(JSStreamMismatchErr);
    bool has_level = find_level(config) < config->metadata_count;
    ApiError error = stream_config_check_create(config, &limits, false, api_arena(call));
    if (api_failed(error))
        return error;
    if (!has_level)
        drop_level(config);
    if (catalogue_find(catalogue, account_name(call->account), call->stream))
        return api_error(JSStreamNameExistRestoreFailedErr);
    if (catalogue->hidden.len + count_coming(catalogue) >= RESTORES_MAX)
        return api_error(JSInsufficientResourcesErr);
    return catalogue_check_limits(call, config, NULL);
}

void catalogue_on_stream_restore(ApiCall *call) {
    Catalogue *catalogue = call->js->catalogue;
    RestoreRequest request = {0};
    StreamConfig *config;
    bool is_pedantic;

    if (!api_read_body(call, &request_schema, JSON_STRICT, &request))
        return;
    ApiError error =
        stream_config_parse(request.config.len ? request.config : LIT("{}"),
                            &call->js->options->limits, api_arena(call), &config, &is_pedantic);
    if (api_failed(error)) {
        api_reply_error(call, in_request(call, error));
        return;
    }
    error = check(call, config);
    if (api_failed(error)) {
        if (!catalogue_wait(catalogue, account_index(call->account), call))
            api_reply_error(call, error);
    } else {
        Buf payload = {0};
        AssetFacts facts = {
            .group = ++catalogue->group_last, .created_ns = clock_wall_ns(), .is_hidden = true};
        asset_facts_write(&payload, &facts, config);
        catalogue_propose(call, RECORD_STREAM_PUT, buf_slice(&payload), config, NULL);
        buf_done(&payload);
    }
    stream_config_free(config);
}

/* What a stream's home says when the archive was read: the call's body. */

void catalogue_on_restored(ApiCall *call) {
    RestoreVerdict verdict;

    ASSERT(call->body.len == sizeof verdict);
    memcpy(&verdict, call->body.ptr, sizeof verdict);
    Asset *asset = map64_get(&call->js->catalogue->hidden, verdict.group);
    if (!asset) {
        api_reply_error(call, api_error(JSStreamNotFoundErr));
        return;
    }
    if (!verdict.is_whole) {
        catalogue_propose(call, RECORD_STREAM_DELETE,
                          slice_from(&asset->group, sizeof asset->group), NULL, NULL);
        return;
    }
    Buf payload = {0};
    AssetFacts facts = {
        .group = asset->group,
        .created_ns = verdict.created_ns ? verdict.created_ns : clock_wall_ns(),
        .is_reveal = true,
    };
    asset_facts_write(&payload, &facts, asset->config);
    catalogue_propose(call, RECORD_STREAM_PUT, buf_slice(&payload), NULL, NULL);
    buf_done(&payload);
}

/* Entries. */

void catalogue_apply_hidden(Catalogue *catalogue, Slice key, const AssetFacts *facts,
                            StreamConfig *config, ApiCall *call) {
    Asset *asset = asset_new(catalogue, key, (uint32_t)facts->group, facts->created_ns, config);

    map64_put(&catalogue->hidden, asset->group, asset);
    if (catalogue->is_started) {
        catalogue_tell_hidden(catalogue, asset, call);
        return;
    }
    Stream *stream = catalogue_make_stream(catalogue, asset);
    if (stream)
        stream_hide(stream);
}

static void drop(Catalogue *catalogue, Asset *asset, unsigned code, ApiCall *call) {
    map64_remove(&catalogue->hidden, asset->group);
    if (catalogue->is_started) {
        catalogue_tell_dropped(catalogue, asset, code, call);
    } else {
        Stream *stream = catalogue_stream_of(catalogue, asset->group);
        if (stream)
            stream_delete(stream);
    }
    asset_free(asset);
}

void catalogue_apply_reveal(Catalogue *catalogue, Slice key, const AssetFacts *facts,
                            ApiCall *call) {
    Asset *asset = map64_get(&catalogue->hidden, facts->group);

    if (!asset) {
        if (call)
            api_reply_error(call, api_error(JSStreamNotFoundErr));
        return;
    }
    if (map_get(&catalogue->assets, key)) {
        drop(catalogue, asset, JSStreamNameExistErr, call);
        return;
    }
    if (catalogue_overlaps(catalogue, asset_account(asset), asset->config)) {
        drop(catalogue, asset, JSStreamSubjectOverlapErr, call);
        return;
    }
    map64_remove(&catalogue->hidden, asset->group);
    asset->created_ns = facts->created_ns;
    catalogue_shelve(catalogue, asset);
    if (catalogue->is_started) {
        catalogue_tell_revealed(catalogue, asset, call);
        return;
    }
    Stream *stream = catalogue_stream_of(catalogue, asset->group);
    if (stream) {
        stream->created_ns = facts->created_ns;
        stream_reveal(stream);
    }
}

bool catalogue_apply_drop_hidden(Catalogue *catalogue, uint32_t group, ApiCall *call) {
    Asset *asset = map64_get(&catalogue->hidden, group);

    if (!asset)
        return false;
    drop(catalogue, asset, 0, call);
    return true;
}

void catalogue_forget_hidden(Catalogue *catalogue) {
    uint64_t group;
    void *value;

    for (size_t at = 0; map64_next(&catalogue->hidden, &at, &group, &value); at = 0) {
        const Asset *asset = value;
        Record draft = {
            .type = RECORD_STREAM_DELETE,
            .time_ns = clock_wall_ns(),
            .subject = asset_key(asset),
            .payload = slice_from(&asset->group, sizeof asset->group),
        };
        Ticket ticket = {0};
        journal_append(catalogue->js->journal, &catalogue->group, &draft, &ticket, true);
        drop(catalogue, value, 0, NULL);
    }
}

void catalogue_hidden_done(Catalogue *catalogue) {
    uint64_t group;
    void *value;

    for (size_t at = 0; map64_next(&catalogue->hidden, &at, &group, &value);)
        asset_free(value);
    map64_done(&catalogue->hidden);
}
