#include "stream/catalogue.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "proto/subject.h"
#include "stream/catalogue_private.h"
#include "stream/txn.h"

/* State of the group 0. Decisions are made in apply from the assets alone, so that a replay makes
 * the same ones. Streams in memory are part of that; after a restart they are gone, which is an
 * entry of its own (a delete), written before anything else. */

/* Saved state, little endian: u32 version | u32 group_last | u32 count | count x (u32 key_len | u32
 * facts_len | key | facts). */
/* Version 1 has no hidden streams. */
enum { SAVED_VERSION = 2, SAVED_HEAD_BYTES = 12, SAVED_ASSET_BYTES = 8, DELETE_BYTES = 4 };

static void apply(Group *group, const Record *record, Place place, Shared *hold,
                  const Ticket *ticket);
static void refused(Group *group, const Record *record, const Ticket *ticket, Status why);
static void place_entry(Group *group, const Record *record, Place place);
static void lost_entry(Group *group, const Record *record, Place place);
static void save(Group *group, Buf *out);
static Status load(Group *group, Slice state);

static const GroupOps group_ops = {
    .apply = apply,
    .refused = refused,
    .place = place_entry,
    .lost = lost_entry,
    .save = save,
    .load = load,
};

static const JsonField facts_rows[] = {
    JSON_ROW(AssetFacts, group, "group", JSON_UINT),
    JSON_ROW(AssetFacts, created_ns, "created", JSON_INT),
    JSON_ROW(AssetFacts, is_update, "update", JSON_BOOL, .flags = JSON_OMIT_EMPTY),
    JSON_ROW(AssetFacts, is_hidden, "hidden", JSON_BOOL, .flags = JSON_OMIT_EMPTY),
    JSON_ROW(AssetFacts, is_reveal, "reveal", JSON_BOOL, .flags = JSON_OMIT_EMPTY),
    JSON_ROW(AssetFacts, config, "config", JSON_RAW),
};
static const JsonSchema facts_schema = JSON_SCHEMA("Asset", facts_rows);

void asset_facts_write(Buf *out, const AssetFacts *facts, const StreamConfig *config) {
    Buf json = {0};
    AssetFacts whole = *facts;

    stream_config_write(&json, config, false);
    whole.config = buf_slice(&json);
    json_write(out, &facts_schema, &whole);
    buf_done(&json);
}

Status asset_facts_read(Slice json, Arena *arena, AssetFacts *out_facts) {
    AssetFacts facts = {0};

    if (json_read(json, &facts_schema, JSON_LOOSE, arena, &facts, NULL) != OK || facts.group == 0 ||
        facts.group > UINT32_MAX || facts.config.len == 0)
        return ERR_CORRUPT;
    *out_facts = facts;
    return OK;
}

Catalogue *catalogue_new(JetStream *js) {
    Catalogue *catalogue = mem_zalloc(sizeof *catalogue);

    catalogue->group = (Group){.home = js->home, .ops = &group_ops, .id = 0};
    link_init(&catalogue->group.link);
    catalogue->js = js;
    list_init(&catalogue->proposals);
    list_init(&catalogue->deferred);
    journal_add_group(js->journal, &catalogue->group);
    return catalogue;
}

void asset_free(Asset *asset) {
    stream_config_free(asset->config);
    mem_free(asset->links);
    mem_free(asset);
}

void catalogue_free(Catalogue *catalogue) {
    Slice key;
    void *value;

    if (!catalogue)
        return;
    journal_remove_group(catalogue->js->journal, &catalogue->group);
    catalogue_settle_done(catalogue);
    txns_free(catalogue);
    catalogue_free_shelves(catalogue);
    for (size_t at = 0; map_next(&catalogue->assets, &at, &key, &value);)
        asset_free(value);
    map_done(&catalogue->assets);
    catalogue_hidden_done(catalogue);
    mem_free(catalogue);
}

Group *catalogue_group(Catalogue *catalogue) {
    return &catalogue->group;
}

Asset *catalogue_find(const Catalogue *catalogue, Slice account, Slice stream) {
    Buf key = {0};

    buf_append(&key, account);
    buf_append_char(&key, ' ');
    buf_append(&key, stream);
    Asset *asset = map_get(&catalogue->assets, buf_slice(&key));
    buf_done(&key);
    return asset;
}

Asset *asset_new(Catalogue *catalogue, Slice key, uint32_t group, int64_t created_ns,
                 StreamConfig *config) {
    Asset *asset = mem_alloc(sizeof *asset + key.len);
    size_t account_len = key.len - config->name.len - 1;
    Account *account = bus_account_by_name(catalogue->js->home->bus, slice_first(key, account_len));

    if (account && !catalogue->js->options->account_is_enabled[account_index(account)])
        account = NULL;

    *asset = (Asset){
        .account = account,
        .group = group,
        .created_ns = created_ns,
        .config = config,
        .account_len = account_len,
        .key_len = key.len,
    };
    memcpy(asset->key, key.ptr, key.len);
    if (group > catalogue->group_last)
        catalogue->group_last = group;
    return asset;
}

/* Takes config. */
static Asset *add_asset(Catalogue *catalogue, Slice key, uint32_t group, int64_t created_ns,
                        StreamConfig *config) {
    Asset *asset = asset_new(catalogue, key, group, created_ns, config);

    catalogue_shelve(catalogue, asset);
    return asset;
}

static void remove_asset(Catalogue *catalogue, Asset *asset) {
    catalogue_unshelve(catalogue, asset);
    asset_free(asset);
}

/* Recovery: the stream of an asset, so that the journal finds its group. One whose account is not
 * configured gets a stream too, else its bytes would count as dead; it is parked in the system
 * account and never started. */
Stream *catalogue_make_stream(Catalogue *catalogue, const Asset *asset) {
    JetStream *js = jetstream_home_of(catalogue->js->home, asset->group)->jetstream;
    size_t index = asset->account ? account_index(asset->account) : 1;

    if (asset->config->storage == STORAGE_MEMORY)
        return NULL;
    return stream_new(js, bus_account(js->home->bus, index), asset->group,
                      stream_config_copy(asset->config), asset->created_ns);
}

Stream *catalogue_stream_of(const Catalogue *catalogue, uint32_t group) {
    JetStream *js = jetstream_home_of(catalogue->js->home, group)->jetstream;

    return map64_get(&js->streams, group);
}

/* Entries. */

typedef struct Applied {
    Catalogue *catalogue;
    const Record *record;
    ApiCall *call; /* NULL in recovery */
} Applied;

static void refuse(const Applied *applied, unsigned code) {
    if (applied->call)
        api_reply_error(applied->call, api_error(code));
}

static void apply_create(const Applied *applied, Asset *asset, const AssetFacts *facts,
                         StreamConfig *config) {
    Catalogue *catalogue = applied->catalogue;
    Slice key = applied->record->subject;

    if (asset && stream_config_equal(asset->config, config)) { /* asked twice at the same time */
        stream_config_free(config);
        if (applied->call)
            catalogue_tell_shown(catalogue, asset, applied->call);
        return;
    }
    unsigned refusal = 0;
    if (asset)
        refusal = JSStreamNameExistErr;
    else if (catalogue_overlaps(catalogue, slice_first(key, key.len - config->name.len - 1),
                                config))
        refusal = JSStreamSubjectOverlapErr;
    if (refusal) {
        stream_config_free(config);
        refuse(applied, refusal);
        return;
    }
    asset = add_asset(catalogue, key, (uint32_t)facts->group, facts->created_ns, config);
    if (catalogue->is_started)
        catalogue_tell_added(catalogue, asset, applied->call);
    else
        (void)catalogue_make_stream(catalogue, asset);
}

static void apply_update(const Applied *applied, Asset *asset, const AssetFacts *facts,
                         StreamConfig *config) {
    Catalogue *catalogue = applied->catalogue;
    unsigned refusal = 0;

    if (!asset || asset->group != facts->group)
        refusal = JSStreamNotFoundErr;
    else if (catalogue_overlaps(catalogue, asset_account(asset), config))
        refusal = JSStreamSubjectOverlapErr;
    if (refusal) {
        stream_config_free(config);
        refuse(applied, refusal);
        return;
    }
    catalogue_change_config(catalogue, asset, config);
    if (catalogue->is_started)
        catalogue_tell_config(catalogue, asset, applied->call);
}

/* Takes config. */
static void apply_restore(const Applied *applied, const AssetFacts *facts, StreamConfig *config) {
    Catalogue *catalogue = applied->catalogue;
    Slice key = applied->record->subject;

    if (facts->is_hidden) {
        catalogue_apply_hidden(catalogue, key, facts, config, applied->call);
        return;
    }
    stream_config_free(config);
    catalogue_apply_reveal(catalogue, key, facts, applied->call);
}

static bool key_fits(Slice key, const StreamConfig *config) {
    return key.len > config->name.len + 1 && config->name.len &&
           slice_ends_with(key, config->name) && key.ptr[key.len - config->name.len - 1] == ' ';
}

static void apply_put(const Applied *applied) {
    Arena *arena = arena_new();
    AssetFacts facts;
    StreamConfig *config = NULL;
    Status status = asset_facts_read(applied->record->payload, arena, &facts);

    if (status == OK)
        status = stream_config_parse_stored(facts.config, &config);
    if (status == OK && !key_fits(applied->record->subject, config)) {
        stream_config_free(config);
        status = ERR_CORRUPT;
    }
    if (status != OK) {
        LOG_ERR("catalogue entry not understood", "index=%llu",
                (unsigned long long)applied->record->index);
        refuse(applied, JSStreamInvalidErr);
    } else {
        Asset *asset = map_get(&applied->catalogue->assets, applied->record->subject);
        if (facts.group > applied->catalogue->group_last)
            applied->catalogue->group_last =
                (uint32_t)facts.group; /* refused ones are not used again either */
        if (facts.is_hidden || facts.is_reveal)
            apply_restore(applied, &facts, config);
        else if (facts.is_update)
            apply_update(applied, asset, &facts, config);
        else
            apply_create(applied, asset, &facts, config);
    }
    arena_free(arena);
}

static void apply_delete(const Applied *applied) {
    Catalogue *catalogue = applied->catalogue;
    Asset *asset = map_get(&catalogue->assets, applied->record->subject);
    uint32_t group = 0;

    if (applied->record->payload.len == DELETE_BYTES)
        memcpy(&group, applied->record->payload.ptr, sizeof group);
    if (!asset || asset->group != group) {
        if (!catalogue_apply_drop_hidden(catalogue, group, applied->call))
            refuse(applied, JSStreamNotFoundErr);
        return;
    }
    bool goes_on = catalogue_purge_goes_on(asset, applied->call);
    if (catalogue->is_started) {
        catalogue_tell_removed(catalogue, asset, goes_on ? NULL : applied->call);
    } else {
        Stream *stream = catalogue_stream_of(catalogue, group);
        if (stream)
            stream_delete(stream);
    }
    remove_asset(catalogue, asset);
    if (goes_on)
        catalogue_on_account_purge(applied->call);
}

/* The call of an entry that came back; its reservation ends. */
static ApiCall *end_proposal(const Ticket *ticket) {
    Proposal *proposal = ticket ? ticket->pointer : NULL;

    if (!proposal)
        return NULL;
    ApiCall *call = proposal->call;
    list_remove(&proposal->link);
    mem_free(proposal);
    return call;
}

static void apply(Group *group, const Record *record, Place place, Shared *hold,
                  const Ticket *ticket) {
    if (record->type == RECORD_TRANSACTION) {
        txn_apply(CONTAINER_OF(group, Catalogue, group), record, place, hold, ticket);
        if (ticket)
            catalogue_settle(CONTAINER_OF(group, Catalogue, group));
        return;
    }
    Applied applied = {CONTAINER_OF(group, Catalogue, group), record, end_proposal(ticket)};

    (void)place;
    (void)hold;
    if (record->type == RECORD_STREAM_PUT)
        apply_put(&applied);
    else if (record->type == RECORD_STREAM_DELETE)
        apply_delete(&applied);
    else
        refuse(&applied, JSStreamInvalidErr);
    if (ticket)
        catalogue_settle(applied.catalogue);
}

static void refused(Group *group, const Record *record, const Ticket *ticket, Status why) {
    if (record->type == RECORD_TRANSACTION) {
        txn_refused(ticket->pointer, why);
        return;
    }
    ApiCall *call = end_proposal(ticket);

    (void)record;
    if (call && why == ERR_CLOSED)
        api_drop(call);
    else if (call)
        api_reply_error(call, api_error_of_status(api_arena(call), why));
    if (why != ERR_CLOSED)
        catalogue_settle(CONTAINER_OF(group, Catalogue, group));
}

static void place_entry(Group *group, const Record *record, Place place) {
    if (record->type == RECORD_TRANSACTION)
        txn_replay(CONTAINER_OF(group, Catalogue, group), record, place, NULL);
}

static void lost_entry(Group *group, const Record *record, Place place) {
    if (record->type == RECORD_TRANSACTION && place)
        txn_lost(CONTAINER_OF(group, Catalogue, group), record, place);
}

/* Saved state. */

static void append_u32(Buf *out, uint32_t value) {
    buf_append_bytes(out, &value, sizeof value);
}

static bool cut_u32(Slice *from, uint32_t *out_value) {
    if (from->len < sizeof *out_value)
        return false;
    memcpy(out_value, from->ptr, sizeof *out_value);
    *from = slice_from_at(*from, sizeof *out_value);
    return true;
}

static void save_asset(const Asset *asset, bool is_hidden, Buf *facts, Buf *out) {
    AssetFacts is = {
        .group = asset->group, .created_ns = asset->created_ns, .is_hidden = is_hidden};

    buf_clear(facts);
    asset_facts_write(facts, &is, asset->config);
    append_u32(out, (uint32_t)asset->key_len);
    append_u32(out, (uint32_t)facts->len);
    buf_append(out, asset_key(asset));
    buf_append(out, buf_slice(facts));
}

static void save(Group *group, Buf *out) {
    Catalogue *catalogue = CONTAINER_OF(group, Catalogue, group);
    uint64_t hidden;
    Slice key;
    void *value;
    Buf facts = {0};

    append_u32(out, catalogue->hidden.len ? SAVED_VERSION : 1);
    append_u32(out, catalogue->group_last);
    append_u32(out, (uint32_t)(catalogue->assets.len + catalogue->hidden.len));
    for (size_t at = 0; map_next(&catalogue->assets, &at, &key, &value);)
        save_asset(value, false, &facts, out);
    for (size_t at = 0; map64_next(&catalogue->hidden, &at, &hidden, &value);)
        save_asset(value, true, &facts, out);
    buf_done(&facts);
}

static Status load_asset(Catalogue *catalogue, Slice key, Slice json, Arena *arena) {
    AssetFacts facts;
    StreamConfig *config;

    if (asset_facts_read(json, arena, &facts) != OK ||
        stream_config_parse_stored(facts.config, &config) != OK)
        return ERR_CORRUPT;
    bool is_known = facts.is_hidden ? map64_get(&catalogue->hidden, facts.group) != NULL
                                    : map_get(&catalogue->assets, key) != NULL;
    if (!key_fits(key, config) || is_known) {
        stream_config_free(config);
        return ERR_CORRUPT;
    }
    if (facts.is_hidden)
        catalogue_apply_hidden(catalogue, key, &facts, config, NULL);
    else
        (void)catalogue_make_stream(
            catalogue, add_asset(catalogue, key, (uint32_t)facts.group, facts.created_ns, config));
    return OK;
}

static Status load(Group *group, Slice state) {
    Catalogue *catalogue = CONTAINER_OF(group, Catalogue, group);
    uint32_t version, count, group_last;

    if (!cut_u32(&state, &version))
        return ERR_CORRUPT;
    if (version == 0 || version > SAVED_VERSION)
        return ERR_VERSION;
    if (!cut_u32(&state, &group_last) || !cut_u32(&state, &count))
        return ERR_CORRUPT;
    Arena *arena = arena_new();
    Status status = OK;
    for (uint32_t i = 0; status == OK && i < count; i++) {
        uint32_t key_len, json_len;
        if (!cut_u32(&state, &key_len) || !cut_u32(&state, &json_len) ||
            (uint64_t)key_len + json_len > state.len) {
            status = ERR_CORRUPT;
            break;
        }
        status = load_asset(catalogue, slice_first(state, key_len),
                            slice_first(slice_from_at(state, key_len), json_len), arena);
        state = slice_from_at(state, (size_t)key_len + json_len);
        arena_reset(arena);
    }
    arena_free(arena);
    if (group_last > catalogue->group_last)
        catalogue->group_last = group_last;
    return status;
}

/* Start. */

/* Streams in memory did not survive; said in the log, so that every later replay knows. */
static void forget_memory_streams(Catalogue *catalogue) {
    Slice key;
    void *value;

    for (size_t at = 0; map_next(&catalogue->assets, &at, &key, &value);) {
        Asset *asset = value;
        if (asset->config->storage != STORAGE_MEMORY)
            continue;
        Record draft = {
            .type = RECORD_STREAM_DELETE,
            .time_ns = clock_wall_ns(),
            .subject = key,
            .payload = slice_from(&asset->group, DELETE_BYTES),
        };
        Ticket ticket = {0};
        journal_append(catalogue->js->journal, &catalogue->group, &draft, &ticket, true);
        remove_asset(catalogue, asset);
    }
}

static void start_stream(Catalogue *catalogue, const Asset *asset) {
    Worker *first = catalogue->js->home;
    Stream *stream = catalogue_stream_of(catalogue, asset->group);

    ASSERT(stream != NULL);
    if (!asset->account) {
        LOG_WARNING("stream of an account without JetStream is kept and not served",
                    "account=%.*s name=%.*s", SLICE_ARG(asset_account(asset)),
                    SLICE_ARG(asset->config->name));
        return;
    }
    for (unsigned i = 0; i < first->count; i++) {
        JetStream *js = first->all[i]->jetstream;
        jetstream_add_ref(js, bus_account(js->home->bus, account_index(asset->account)),
                          asset->config->name, asset->group);
    }
    jetstream_find(stream->js, stream->account, asset->config->name)->stream = stream;
    stream_start(stream);
    if (!stream_config_equal(stream->config, asset->config))
        stream_propose_config(stream, stream_config_copy(asset->config), NULL);
}

const StreamConfig *catalogue_config_of(const Catalogue *catalogue, Slice account, Slice stream) {
    const Asset *asset = catalogue_find(catalogue, account, stream);
    return asset ? asset->config : NULL;
}

void catalogue_start(Catalogue *catalogue) {
    Slice key;
    void *value;

    forget_memory_streams(catalogue);
    catalogue_forget_hidden(catalogue);
    for (size_t at = 0; map_next(&catalogue->assets, &at, &key, &value);) {
        start_stream(catalogue, value);
        catalogue_note_ready(catalogue, value);
    }
    catalogue->is_started = true;
}
