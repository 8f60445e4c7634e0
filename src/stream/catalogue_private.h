/* The parts of the catalogue's files: assets, proposals, and the news that goes to the workers.
 * Private to catalogue*.c. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "stream/api_private.h"
#include "stream/catalogue.h"

/* A stream that exists. */
typedef struct Asset {
    Account *account; /* of worker 0; NULL: an account that is not configured now: its stream is
                         kept and not served */
    uint32_t group;
    int64_t created_ns;
    StreamConfig *config; /* the catalogue's own copy */
    size_t account_len, key_len;
    char key[]; /* "<account> <stream>": stream names hold no blank */
} Asset;

static inline Slice asset_key(const Asset *asset) {
    return slice_from(asset->key, asset->key_len);
}
static inline Slice asset_account(const Asset *asset) {
    return slice_from(asset->key, asset->account_len);
}

struct Catalogue {
    Group group; /* first */
    JetStream *js;
    Map assets;          /* key -> Asset */
    uint32_t group_last; /* newest group given to a stream */
    List proposals;      /* Proposal: appended, not applied yet */
    bool is_started;
};

/* An entry on its way, and what it will take from the limits when it is accepted. */
typedef struct Proposal {
    Link link;
    ApiCall *call; /* may be NULL */
    size_t account;
    bool is_new;
    Storage storage;
    int64_t reserve; /* bytes more */
} Proposal;

/* The payload of RECORD_STREAM_PUT. */
typedef struct AssetFacts {
    uint64_t group;
    int64_t created_ns;
    bool is_update;
    Slice config;
} AssetFacts;
void asset_facts_write(Buf *out, uint32_t group, int64_t created_ns, bool is_update,
                       const StreamConfig *config);
MUST_CHECK Status asset_facts_read(Slice json, Arena *arena, AssetFacts *out_facts);

Asset *catalogue_find(const Catalogue *catalogue, Slice account, Slice stream);
/* Another stream of the account has a subject that overlaps one of config's. */
bool catalogue_overlaps(const Catalogue *catalogue, Slice account, const StreamConfig *config);

/* Sorted by name, in arena: those of an account whose subjects overlap filter (empty = all). */
size_t catalogue_sorted(const Catalogue *catalogue, const Account *account, Slice filter,
                        Arena *arena, Asset ***out_assets);

/* News for the workers. Each takes call (may be NULL), which the stream's home answers. */
void catalogue_tell_added(Catalogue *catalogue, const Asset *asset, ApiCall *call);
void catalogue_tell_removed(Catalogue *catalogue, const Asset *asset, ApiCall *call);
void catalogue_tell_config(Catalogue *catalogue, const Asset *asset, ApiCall *call);
/* Takes config and call: asks the home whether the stream's consumers fit config's limits. It
 * answers, or the call comes back with is_checked. */
void catalogue_ask_home(Catalogue *catalogue, const Asset *asset, StreamConfig *config,
                        ApiCall *call);
/* The stream was there already: only the answer to a create. */
void catalogue_tell_shown(Catalogue *catalogue, const Asset *asset, ApiCall *call);
