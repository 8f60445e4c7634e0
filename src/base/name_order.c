#include "base/name_order.h"

#include "base/assert.h"

enum { CHUNK_ITEMS = 256 };

struct NameChunk {
    size_t len;
    void *items[CHUNK_ITEMS];
};

void name_order_init(NameOrder *order, Slice (*name)(const void *item)) {
    *order = (NameOrder){.name = name};
}

void name_order_done(NameOrder *order) {
    for (size_t i = 0; i < order->chunks.len; i++)
        mem_free(order->chunks.at[i]);
    vec_done(&order->chunks);
    order->len = 0;
}

/* Of the chunk where name is, or belongs: the last that begins at or before it. */
static size_t find_chunk(const NameOrder *order, Slice name) {
    size_t low = 0, high = order->chunks.len;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(order->name(order->chunks.at[middle]->items[0]), name) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first place in chunk that is not before name. */
static size_t find_place(const NameOrder *order, const NameChunk *chunk, Slice name) {
    size_t low = 0, high = chunk->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(order->name(chunk->items[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static NameChunk *insert_chunk(NameOrder *order, size_t at) {
    NameChunk *chunk = mem_alloc(sizeof *chunk);
    chunk->len = 0;
    vec_push(&order->chunks, chunk);
    memmove(&order->chunks.at[at + 1], &order->chunks.at[at],
            (order->chunks.len - 1 - at) * sizeof(NameChunk *));
    order->chunks.at[at] = chunk;
    return chunk;
}

/* Items from a place on go to a new chunk behind. Names that come in order leave full chunks. */
static void split(NameOrder *order, size_t at, size_t keep) {
    NameChunk *chunk = order->chunks.at[at], *next = insert_chunk(order, at + 1);
    next->len = chunk->len - keep;
    memcpy(next->items, chunk->items + keep, next->len * sizeof(void *));
    chunk->len = keep;
}

void name_order_add(NameOrder *order, void *item) {
    Slice name = order->name(item);
    if (order->chunks.len == 0)
        insert_chunk(order, 0);
    size_t at = find_chunk(order, name);
    NameChunk *chunk = order->chunks.at[at];
    size_t place = find_place(order, chunk, name);
    if (chunk->len == CHUNK_ITEMS) {
        size_t keep = place == CHUNK_ITEMS ? CHUNK_ITEMS : CHUNK_ITEMS / 2;
        split(order, at, keep);
        if (place >= keep) {
            chunk = order->chunks.at[at + 1];
            place -= keep;
        }
    }
    memmove(chunk->items + place + 1, chunk->items + place, (chunk->len - place) * sizeof(void *));
    chunk->items[place] = item;
    chunk->len++;
    order->len++;
}

static void drop_chunk(NameOrder *order, size_t at) {
    mem_free(order->chunks.at[at]);
    vec_remove_ordered(&order->chunks, at);
}

/* A chunk that fits into half of one together with its successor takes it in. */
static void merge(NameOrder *order, size_t at) {
    if (at + 1 >= order->chunks.len)
        return;
    NameChunk *chunk = order->chunks.at[at], *next = order->chunks.at[at + 1];
    if (chunk->len + next->len > CHUNK_ITEMS / 2)
        return;
    memcpy(chunk->items + chunk->len, next->items, next->len * sizeof(void *));
    chunk->len += next->len;
    drop_chunk(order, at + 1);
}

void name_order_remove(NameOrder *order, const void *item) {
    Slice name = order->name(item);
    ASSERT(order->len > 0);
    size_t at = find_chunk(order, name);
    NameChunk *chunk = order->chunks.at[at];
    size_t place = find_place(order, chunk, name);
    ASSERT(place < chunk->len && chunk->items[place] == item);
    chunk->len--;
    memmove(chunk->items + place, chunk->items + place + 1, (chunk->len - place) * sizeof(void *));
    order->len--;
    if (chunk->len == 0) {
        drop_chunk(order, at);
        return;
    }
    merge(order, at);
    if (at > 0)
        merge(order, at - 1);
}

size_t name_order_page(const NameOrder *order, size_t from, size_t max, void **out_items) {
    size_t count = 0;
    for (size_t i = 0; i < order->chunks.len && count < max; i++) {
        const NameChunk *chunk = order->chunks.at[i];
        if (from >= chunk->len) {
            from -= chunk->len;
            continue;
        }
        size_t take = chunk->len - from < max - count ? chunk->len - from : max - count;
        memcpy(out_items + count, chunk->items + from, take * sizeof(void *));
        count += take;
        from = 0;
    }
    return count;
}
