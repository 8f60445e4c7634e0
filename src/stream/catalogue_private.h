/* The parts of the catalogue's files: assets, proposals, and the news that goes to the workers.
 * Private to catalogue*.c. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/name_order.h"
#include "stream/api_private.h"
#include "stream/catalogue.h"
#include "stream/filter_index.h"

/* Bytes reserved by max_bytes, by storage. */
typedef struct Reserves {
    int64_t memory, file;
} Reserves;

/* The assets of one account. Made with its first, kept until the end. */
typedef struct Shelf {
    NameOrder order;
    FilterIndex subjects; /* owners are Asset */
    Reserves reserves;
    size_t name_len;
    char name[]; /* of the account */
} Shelf;

/* A stream that exists. */
typedef struct Asset {
    Account *account;  /* of worker 0; NULL: an account that is not configured now, or has no
                          JetStream: its stream is kept and not served */
    Shelf *shelf;      /* NULL while it is hidden */
    FilterLink *links; /* in shelf->subjects, one for each of config's */
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
    Map shelves;         /* account name -> Shelf */
    Reserves reserves;   /* of all of them */
    Map64 hidden;        /* group -> Asset: being restored; their names are free */
    uint32_t group_last; /* newest group given to a stream */
    List proposals;      /* Proposal: appended, not applied yet */
    List deferred;       /* Deferred: wait for those (catalogue_settle.c) */
    bool is_started;
    struct Txns *txns; /* txn.c; NULL until the first */
};

/* An entry on its way, and what it will take from the limits when it is accepted. */
typedef struct Deferred Deferred;
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
    bool is_hidden; /* a stream that is going to be restored */
    bool is_reveal; /* the hidden stream of that group is whole: it gets its name, or goes */
    Slice config;
} AssetFacts;
/* config of facts is ignored. */
void asset_facts_write(Buf *out, const AssetFacts *facts, const StreamConfig *config);
MUST_CHECK Status asset_facts_read(Slice json, Arena *arena, AssetFacts *out_facts);

/* An asset that is in no map yet. Takes config. */
Asset *asset_new(Catalogue *catalogue, Slice key, uint32_t group, int64_t created_ns,
                 StreamConfig *config);
void asset_free(Asset *asset);
/* Recovery: the stream of an asset; NULL when it is in memory. */
Stream *catalogue_make_stream(Catalogue *catalogue, const Asset *asset);
/* The stream of a group, in set-up. */
Stream *catalogue_stream_of(const Catalogue *catalogue, uint32_t group);

/* catalogue_change.c */
/* Whether the account's limits and the server's allow config (old: what it replaces, or NULL). */
ApiError catalogue_check_limits(const ApiCall *call, const StreamConfig *config,
                                const StreamConfig *old);
/* Whether call (NULL: no) deletes all streams of the account and has more to do after this one. */
bool catalogue_purge_goes_on(const Asset *asset, const ApiCall *call);
/* Takes call. */
void catalogue_propose(ApiCall *call, RecordType type, Slice payload, const StreamConfig *config,
                       const StreamConfig *old);

/* catalogue_restore.c: streams that are being restored. The applied entries take config; call may
 * be NULL. */
void catalogue_apply_hidden(Catalogue *catalogue, Slice key, const AssetFacts *facts,
                            StreamConfig *config, ApiCall *call);
void catalogue_apply_reveal(Catalogue *catalogue, Slice key, const AssetFacts *facts,
                            ApiCall *call);
/* False: there is no hidden stream of that group. */
bool catalogue_apply_drop_hidden(Catalogue *catalogue, uint32_t group, ApiCall *call);
/* At the start: what a crash left half restored goes. */
void catalogue_forget_hidden(Catalogue *catalogue);
void catalogue_hidden_done(Catalogue *catalogue);

/* catalogue_shelf.c */
/* Into the maps and out of them. */
void catalogue_shelve(Catalogue *catalogue, Asset *asset);
void catalogue_unshelve(Catalogue *catalogue, Asset *asset);
/* At the start: its stream is ready. */
void catalogue_note_ready(Catalogue *catalogue, const Asset *asset);
/* Takes config; frees the old one, which had the same name. */
void catalogue_change_config(Catalogue *catalogue, Asset *asset, StreamConfig *config);
/* Before the assets are freed. */
void catalogue_free_shelves(Catalogue *catalogue);

Asset *catalogue_find(const Catalogue *catalogue, Slice account, Slice stream);
/* Another stream of the account has a subject that overlaps one of config's. */
bool catalogue_overlaps(const Catalogue *catalogue, Slice account, const StreamConfig *config);

/* Assets in the order of their names. */
typedef struct AssetPage {
    Asset **assets; /* in the arena */
    size_t count, total, offset;
} AssetPage;
/* Up to max from page->offset on (made total when it is beyond) of those of an account whose
 * subjects overlap filter (empty = all). O(page), or of all that overlap. */
void catalogue_page(const Catalogue *catalogue, const Account *account, Slice filter, size_t max,
                    Arena *arena, AssetPage *page);

/* True: took call, which cannot be done as things are, yet something of that account is on its way:
 * it runs again when that is there. Once, so that others who go on cannot keep it waiting. */
bool catalogue_wait(Catalogue *catalogue, size_t account, ApiCall *call);
/* After an entry was applied or refused: runs the calls that waited for it. */
void catalogue_settle(Catalogue *catalogue);
/* Nobody is answered any more. */
void catalogue_settle_done(Catalogue *catalogue);

/* News for the workers. Each takes call (may be NULL), which the stream's home answers. */
void catalogue_tell_added(Catalogue *catalogue, const Asset *asset, ApiCall *call);
void catalogue_tell_removed(Catalogue *catalogue, const Asset *asset, ApiCall *call);
void catalogue_tell_config(Catalogue *catalogue, const Asset *asset, ApiCall *call);
/* Takes config and call: asks the home whether the stream's consumers fit config's limits. It
 * answers, or the call comes back with is_checked. */
void catalogue_ask_home(Catalogue *catalogue, const Asset *asset, StreamConfig *config,
                        ApiCall *call);
/* A hidden stream: is to be made, is whole and has its name, is to go (code: why; 0 = no word). */
void catalogue_tell_hidden(Catalogue *catalogue, const Asset *asset, ApiCall *call);
void catalogue_tell_revealed(Catalogue *catalogue, const Asset *asset, ApiCall *call);
void catalogue_tell_dropped(Catalogue *catalogue, const Asset *asset, unsigned code, ApiCall *call);
/* The stream was there already: only the answer to a create. */
void catalogue_tell_shown(Catalogue *catalogue, const Asset *asset, ApiCall *call);
