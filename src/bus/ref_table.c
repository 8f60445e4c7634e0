#include "bus/ref_table.h"

#include "base/assert.h"
#include "base/mem.h"

enum { CAP_MIN = 8 };

void ref_table_done(RefTable *table) {
    mem_free(table->slots);
    *table = (RefTable){0};
}

static void insert(RefTable *table, RefSlot slot) {
    uint32_t at = ref_table_home(table, slot.hash);
    while (table->slots[at].hash)
        at = ref_table_after(table, at);
    table->slots[at] = slot;
}

static void resize(RefTable *table, uint32_t cap) {
    RefTable old = *table;
    table->slots = mem_zalloc(cap * sizeof *table->slots);
    table->cap = cap;
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.slots[i].hash)
            insert(table, old.slots[i]);
    mem_free(old.slots);
}

void ref_table_add(RefTable *table, uint32_t hash, Ref ref) {
    ASSERT(hash != 0 && ref != 0);
    if ((uint64_t)(table->len + 1) * 5 > (uint64_t)table->cap * 4)
        resize(table, table->cap < CAP_MIN ? CAP_MIN : table->cap + table->cap / 2);
    RefSlot slot = {.hash = hash};
    memcpy(slot.ref, &ref, sizeof ref);
    insert(table, slot);
    table->len++;
}

/* Later slots of the run move up, so no tombstones are needed. A table much too large shrinks. */
void ref_table_remove_at(RefTable *table, uint32_t at) {
    uint32_t hole = at, cap = table->cap;
    for (uint32_t i = ref_table_after(table, at); table->slots[i].hash;
         i = ref_table_after(table, i)) {
        uint32_t home = ref_table_home(table, table->slots[i].hash);
        uint32_t from_home = i >= home ? i - home : i + cap - home;
        uint32_t from_hole = i >= hole ? i - hole : i + cap - hole;
        if (from_home >= from_hole) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole] = (RefSlot){0};
    table->len--;
    if (cap > 64 && table->len < cap / 8)
        resize(table, cap / 4);
}
