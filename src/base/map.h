/* Map: bytes -> pointer, open addressing. Keys are borrowed: they must live, unchanged, as long as
 * their entry (mostly inside the value). Zero-initialised is an empty Map; map_done frees the table
 * only. Not ordered. Do not add or remove while iterating, except map_remove of the current entry's
 * key. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

typedef struct MapSlot {
    uint64_t hash; /* 0 = free, 1 = removed */
    Slice key;
    void *value;
} MapSlot;

typedef struct Map {
    MapSlot *slots;
    size_t len, used, cap; /* used counts removed ones too; cap is a power of two or 0 */
} Map;

void map_done(Map *map);

/* NULL when there is none. */
void *map_get(const Map *map, Slice key);

/* Returns the value it replaced, or NULL. The new key replaces the old one too. value is not NULL.
 */
void *map_put(Map *map, Slice key, void *value);

/* Returns the value removed, or NULL. */
void *map_remove(Map *map, Slice key);

/* for (size_t i = 0; map_next(&map, &i, &key, &value);) */
bool map_next(const Map *map, size_t *at, Slice *out_key, void **out_value);

/* Map64: u64 -> pointer, same rules; the key 0 is allowed. */
typedef struct Map64Slot {
    uint64_t key;
    void *value; /* NULL = free */
} Map64Slot;

typedef struct Map64 {
    Map64Slot *slots;
    size_t len, cap;
} Map64;

void map64_done(Map64 *map);
void *map64_get(const Map64 *map, uint64_t key);
void *map64_put(Map64 *map, uint64_t key, void *value);
void *map64_remove(Map64 *map, uint64_t key);
/* No removal while iterating. */
bool map64_next(const Map64 *map, size_t *at, uint64_t *out_key, void **out_value);
