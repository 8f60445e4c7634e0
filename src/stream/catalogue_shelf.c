/* The assets of each account: in the order of their names, and by the subjects they take. */
#include <stdlib.h>

#include "journal/progress.h"
#include "proto/subject.h"
#include "stream/catalogue_private.h"

/* What is looked for among the owners of a filter. */
typedef struct Search {
    Slice but; /* the stream of this name does not count */
    VEC(Asset *) found;
} Search;

static bool has_another(void *cookie, FilterNode *node) {
    const Search *search = cookie;
    for (size_t i = 0; i < node->slots.len; i++) {
        const Asset *asset = node->slots.at[i].owner;
        if (!slice_equal(asset->config->name, search->but))
            return true;
    }
    return false;
}

bool catalogue_overlaps(const Catalogue *catalogue, Slice account, const StreamConfig *config) {
    Shelf *shelf = map_get(&catalogue->shelves, account);
    Search search = {.but = config->name};
    for (size_t i = 0; shelf && i < config->subject_count; i++)
        if (filter_index_visit_overlaps(&shelf->subjects, config->subjects[i], has_another,
                                        &search))
            return true;
    return false;
}

static bool collect(void *cookie, FilterNode *node) {
    Search *search = cookie;
    for (size_t i = 0; i < node->slots.len; i++)
        vec_push(&search->found, node->slots.at[i].owner);
    return false;
}

static int by_name(const void *a, const void *b) {
    const Asset *const *left = a, *const *right = b;
    return slice_compare((*left)->config->name, (*right)->config->name);
}

/* Those that overlap filter, each once. */
static void find_overlapping(Shelf *shelf, Slice filter, Search *search) {
    if (subject_is_valid(filter))
        (void)filter_index_visit_overlaps(&shelf->subjects, filter, collect, search);
    if (search->found.len == 0)
        return;
    qsort(search->found.at, search->found.len, sizeof(Asset *), by_name);
    size_t n = 1;
    for (size_t i = 1; i < search->found.len; i++)
        if (search->found.at[i] != search->found.at[n - 1])
            search->found.at[n++] = search->found.at[i];
    search->found.len = n;
}

void catalogue_page(const Catalogue *catalogue, const Account *account, Slice filter, size_t max,
                    Arena *arena, AssetPage *page) {
    Shelf *shelf = map_get(&catalogue->shelves, account_name(account));
    Search search = {0};
    if (shelf && filter.len)
        find_overlapping(shelf, filter, &search);
    page->total = filter.len ? search.found.len : shelf ? shelf->order.len : 0;
    page->offset = page->offset < page->total ? page->offset : page->total;
    max = max < page->total - page->offset ? max : page->total - page->offset;
    page->count = max;
    page->assets = arena_alloc(arena, (max + 1) * sizeof *page->assets);
    if (max > 0 && filter.len)
        memcpy(page->assets, search.found.at + page->offset, max * sizeof *page->assets);
    else if (max > 0)
        page->count = name_order_page(&shelf->order, page->offset, max, (void **)page->assets);
    vec_done(&search.found);
}

static Slice asset_name(const void *asset) {
    return ((const Asset *)asset)->config->name;
}

static Shelf *need_shelf(Catalogue *catalogue, Slice account) {
    Shelf *shelf = map_get(&catalogue->shelves, account);
    if (shelf)
        return shelf;
    shelf = mem_zalloc(sizeof *shelf + account.len);
    name_order_init(&shelf->order, asset_name);
    shelf->name_len = account.len;
    memcpy(shelf->name, account.ptr, account.len);
    map_put(&catalogue->shelves, slice_from(shelf->name, shelf->name_len), shelf);
    return shelf;
}

static void reserve(Reserves *reserves, const StreamConfig *config, int64_t sign) {
    int64_t bytes = sign * (int64_t)stream_config_reserves(config);
    *(config->storage == STORAGE_MEMORY ? &reserves->memory : &reserves->file) += bytes;
}

/* What other streams and the limits must know of a config. */
static void index_config(Catalogue *catalogue, Asset *asset) {
    const StreamConfig *config = asset->config;
    asset->links = mem_zalloc((config->subject_count + 1) * sizeof *asset->links);
    for (size_t i = 0; i < config->subject_count; i++)
        filter_index_add(&asset->shelf->subjects, config->subjects[i], asset, &asset->links[i]);
    reserve(&asset->shelf->reserves, config, 1);
    reserve(&catalogue->reserves, config, 1);
}

static void unindex_config(Catalogue *catalogue, Asset *asset) {
    for (size_t i = 0; i < asset->config->subject_count; i++)
        filter_index_remove(&asset->shelf->subjects, &asset->links[i]);
    mem_free(asset->links);
    asset->links = NULL;
    reserve(&asset->shelf->reserves, asset->config, -1);
    reserve(&catalogue->reserves, asset->config, -1);
}

void catalogue_shelve(Catalogue *catalogue, Asset *asset) {
    map_put(&catalogue->assets, asset_key(asset), asset);
    asset->shelf = need_shelf(catalogue, asset_account(asset));
    name_order_add(&asset->shelf->order, asset);
    index_config(catalogue, asset);
    if (!catalogue->is_started && asset->account && asset->config->storage == STORAGE_FILE)
        journal_progress_expect(catalogue->js->options->progress, asset_key(asset));
}

void catalogue_unshelve(Catalogue *catalogue, Asset *asset) {
    unindex_config(catalogue, asset);
    name_order_remove(&asset->shelf->order, asset);
    asset->shelf = NULL;
    if (!catalogue->is_started)
        journal_progress_drop(catalogue->js->options->progress, asset_key(asset));
    map_remove(&catalogue->assets, asset_key(asset));
}

void catalogue_note_ready(Catalogue *catalogue, const Asset *asset) {
    journal_progress_drop(catalogue->js->options->progress, asset_key(asset));
}

void catalogue_change_config(Catalogue *catalogue, Asset *asset, StreamConfig *config) {
    unindex_config(catalogue, asset);
    stream_config_free(asset->config);
    asset->config = config;
    index_config(catalogue, asset);
}

void catalogue_free_shelves(Catalogue *catalogue) {
    Slice key;
    void *value;
    for (size_t at = 0; map_next(&catalogue->shelves, &at, &key, &value);) {
        Shelf *shelf = value;
        name_order_done(&shelf->order);
        filter_index_done(&shelf->subjects);
        mem_free(shelf);
    }
    map_done(&catalogue->shelves);
}
