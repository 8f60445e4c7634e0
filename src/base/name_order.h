/* NameOrder: items in the order of their names, found by place too. Chunks of pointers: a change
 * costs O(log n) comparisons and moves 2 KB at most, an item takes 8 to 16 bytes. */
#pragma once

#include <stddef.h>

#include "base/slice.h"
#include "base/vec.h"

typedef struct NameChunk NameChunk;
typedef struct NameOrder {
    Slice (*name)(const void *item); /* does not change while the item is in */
    VEC(NameChunk *) chunks;         /* none is empty */
    size_t len;
} NameOrder;

void name_order_init(NameOrder *order, Slice (*name)(const void *item));
/* The items stay. */
void name_order_done(NameOrder *order);

/* No other item has its name. */
void name_order_add(NameOrder *order, void *item);
/* It must be there. */
void name_order_remove(NameOrder *order, const void *item);

/* Copies up to max items from a place on; how many. O(n / 128 + what is copied). */
size_t name_order_page(const NameOrder *order, size_t from, size_t max, void **out_items);
