#include "base/map.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

enum { FREE = 0, REMOVED = 1, CAP_MIN = 8 };

void map_done(Map *map) {
    mem_free(map->slots);
    *map = (Map){0};
}

static uint64_t key_hash(Slice key) {
    uint64_t hash = hash_slice(key);
    return hash > REMOVED ? hash : hash + 2;
}

static MapSlot *find(const Map *map, uint64_t hash, Slice key) {
    if (map->cap == 0)
        return NULL;
    for (size_t i = hash & (map->cap - 1);; i = (i + 1) & (map->cap - 1)) {
        MapSlot *slot = &map->slots[i];
        if (slot->hash == FREE)
            return NULL;
        if (slot->hash == hash && slice_equal(slot->key, key))
            return slot;
    }
}

static void insert_new(Map *map, uint64_t hash, Slice key, void *value) {
    size_t i = hash & (map->cap - 1);
    while (map->slots[i].hash > REMOVED)
        i = (i + 1) & (map->cap - 1);
    if (map->slots[i].hash == FREE)
        map->used++;
    map->slots[i] = (MapSlot){hash, key, value};
    map->len++;
}

static void grow(Map *map) {
    Map old = *map;
    size_t cap = CAP_MIN;
    while (cap * 3 < (old.len + 1) * 5) /* at most 60 % full afterwards */
        cap += cap;
    *map = (Map){.slots = mem_zalloc(cap * sizeof *map->slots), .cap = cap};
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].hash > REMOVED)
            insert_new(map, old.slots[i].hash, old.slots[i].key, old.slots[i].value);
    mem_free(old.slots);
}

void *map_get(const Map *map, Slice key) {
    MapSlot *slot = find(map, key_hash(key), key);
    return slot ? slot->value : NULL;
}

void *map_put(Map *map, Slice key, void *value) {
    ASSERT(value != NULL);
    uint64_t hash = key_hash(key);
    MapSlot *slot = find(map, hash, key);
    if (slot) {
        void *old = slot->value;
        slot->key = key;
        slot->value = value;
        return old;
    }
    if ((map->used + 1) * 4 > map->cap * 3)
        grow(map);
    insert_new(map, hash, key, value);
    return NULL;
}

void *map_remove(Map *map, Slice key) {
    MapSlot *slot = find(map, key_hash(key), key);
    if (slot == NULL)
        return NULL;
    void *value = slot->value;
    *slot = (MapSlot){.hash = REMOVED};
    map->len--;
    return value;
}

bool map_next(const Map *map, size_t *at, Slice *out_key, void **out_value) {
    for (; *at < map->cap; (*at)++) {
        const MapSlot *slot = &map->slots[*at];
        if (slot->hash <= REMOVED)
            continue;
        *out_key = slot->key;
        *out_value = slot->value;
        (*at)++;
        return true;
    }
    return false;
}

void map64_done(Map64 *map) {
    mem_free(map->slots);
    *map = (Map64){0};
}

static size_t find64(const Map64 *map, uint64_t key) {
    size_t i = hash_u64(key) & (map->cap - 1);
    while (map->slots[i].value && map->slots[i].key != key)
        i = (i + 1) & (map->cap - 1);
    return i;
}

void *map64_get(const Map64 *map, uint64_t key) {
    return map->cap ? map->slots[find64(map, key)].value : NULL;
}

static void grow64(Map64 *map) {
    Map64 old = *map;
    *map = (Map64){.cap = old.cap ? old.cap * 2 : CAP_MIN};
    map->slots = mem_zalloc(map->cap * sizeof *map->slots);
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].value)
            map->slots[find64(map, old.slots[i].key)] = old.slots[i];
    map->len = old.len;
    mem_free(old.slots);
}

void *map64_put(Map64 *map, uint64_t key, void *value) {
    ASSERT(value != NULL);
    if ((map->len + 1) * 4 > map->cap * 3)
        grow64(map);
    Map64Slot *slot = &map->slots[find64(map, key)];
    void *old = slot->value;
    *slot = (Map64Slot){key, value};
    if (old == NULL)
        map->len++;
    return old;
}

/* Later slots of the probe run move up, so no tombstones are needed. */
void *map64_remove(Map64 *map, uint64_t key) {
    if (map->cap == 0)
        return NULL;
    size_t hole = find64(map, key), mask = map->cap - 1;
    void *value = map->slots[hole].value;
    if (value == NULL)
        return NULL;
    map->len--;
    for (size_t i = (hole + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
        size_t home = hash_u64(map->slots[i].key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (Map64Slot){0};
    return value;
}

bool map64_next(const Map64 *map, size_t *at, uint64_t *out_key, void **out_value) {
    for (; *at < map->cap; (*at)++) {
        const Map64Slot *slot = &map->slots[*at];
        if (slot->value == NULL)
            continue;
        *out_key = slot->key;
        *out_value = slot->value;
        (*at)++;
        return true;
    }
    return false;
}
