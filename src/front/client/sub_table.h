/* SubTable: a client's subscriptions by sid, open addressing. Zero-initialised is empty. Owns the
 * table, not the subs. */
#pragma once

#include <stdint.h>

#include "bus/bus.h"

typedef struct SubTable {
    Sub **slots;
    uint32_t len, cap; /* cap is a power of two or 0 */
} SubTable;

void sub_table_done(SubTable *table);

/* NULL when there is none. */
Sub *sub_table_get(const SubTable *table, Slice sid);

/* There must be none of that sid. */
void sub_table_add(SubTable *table, Sub *sub);

/* It must be there; before the sub is freed. */
void sub_table_remove(SubTable *table, Sub *sub);

/* for (uint32_t i = 0; (sub = sub_table_next(&table, &i));)  No changes while iterating. */
Sub *sub_table_next(const SubTable *table, uint32_t *at);
