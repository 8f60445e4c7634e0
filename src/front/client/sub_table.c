#include "front/client/sub_table.h"

#include "base/hash.h"
#include "base/mem.h"

enum { CAP_MIN = 4 };

void sub_table_done(SubTable *table) {
    mem_free(table->slots);
    *table = (SubTable){0};
}

static uint32_t home_of(const SubTable *table, Slice sid) {
    return (uint32_t)hash_slice(sid) & (table->cap - 1);
}

Sub *sub_table_get(const SubTable *table, Slice sid) {
    if (table->len == 0)
        return NULL;
    for (uint32_t i = home_of(table, sid);; i = (i + 1) & (table->cap - 1)) {
        Sub *sub = table->slots[i];
        if (!sub || slice_equal(sub_sid(sub), sid))
            return sub;
    }
}

static void place(SubTable *table, Sub *sub) {
    uint32_t i = home_of(table, sub_sid(sub));
    while (table->slots[i])
        i = (i + 1) & (table->cap - 1);
    table->slots[i] = sub;
}

static void resize(SubTable *table, uint32_t cap) {
    SubTable old = *table;
    table->slots = mem_zalloc(cap * sizeof(Sub *));
    table->cap = cap;
    for (uint32_t i = 0; i < old.cap; i++) {
        if (old.slots[i])
            place(table, old.slots[i]);
    }
    mem_free(old.slots);
}

void sub_table_add(SubTable *table, Sub *sub) {
    if ((table->len + 1) * 4 > table->cap * 3)
        resize(table, table->cap ? table->cap * 2 : CAP_MIN);
    place(table, sub);
    table->len++;
}

void sub_table_remove(SubTable *table, Sub *sub) {
    uint32_t mask = table->cap - 1, hole = home_of(table, sub_sid(sub));

    while (table->slots[hole] != sub)
        hole = (hole + 1) & mask;
    /* Close the gap: whoever could stand in the hole moves there. */
    for (uint32_t i = (hole + 1) & mask; table->slots[i]; i = (i + 1) & mask) {
        uint32_t home = home_of(table, sub_sid(table->slots[i]));
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole] = NULL;
    table->len--;
    if (table->len == 0)
        sub_table_done(table);
    else if (table->cap > 64 && table->len < table->cap / 8)
        resize(table, table->cap / 4);
}

Sub *sub_table_next(const SubTable *table, uint32_t *at) {
    while (*at < table->cap) {
        Sub *sub = table->slots[(*at)++];
        if (sub)
            return sub;
    }
    return NULL;
}
