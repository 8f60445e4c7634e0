/* Counter: a number that several threads read and change; CounterTable: many of them, found by
 * index. Relaxed unless the name says otherwise: they count, they do not hand anything over. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

typedef struct Counter {
    _Atomic(uint64_t) value;
} Counter;

static inline uint64_t counter_get(const Counter *counter) {
    return atomic_load_explicit(&((Counter *)(uintptr_t)counter)->value, memory_order_relaxed);
}

static inline void counter_set(Counter *counter, uint64_t value) {
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

/* What was done before counter_publish is seen after counter_observe has returned its value. */
static inline void counter_publish(Counter *counter, uint64_t value) {
    atomic_store_explicit(&counter->value, value, memory_order_release);
}

static inline uint64_t counter_observe(const Counter *counter) {
    return atomic_load_explicit(&((Counter *)(uintptr_t)counter)->value, memory_order_acquire);
}

/* Both return the new value. */
static inline uint64_t counter_add(Counter *counter, uint64_t n) {
    return atomic_fetch_add_explicit(&counter->value, n, memory_order_acq_rel) + n;
}

static inline uint64_t counter_sub(Counter *counter, uint64_t n) {
    return atomic_fetch_sub_explicit(&counter->value, n, memory_order_acq_rel) - n;
}

/* Never falls. True when it rose. */
static inline bool counter_raise(Counter *counter, uint64_t value) {
    uint64_t now = counter_get(counter);
    while (now < value)
        if (atomic_compare_exchange_weak_explicit(&counter->value, &now, value,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return true;
    return false;
}

enum { COUNTER_PAGE_LEN = 4096, COUNTER_TABLE_PAGES = 64 * 1024 };

typedef struct CounterPage {
    Counter at[COUNTER_PAGE_LEN];
} CounterPage;

/* 512 KiB of addresses, of which only what is used takes memory. */
typedef struct CounterTable {
    _Atomic(CounterPage *) pages[COUNTER_TABLE_PAGES];
} CounterTable;

static inline CounterTable *counter_table_new(void) {
    return mem_zalloc(sizeof(CounterTable));
}

static inline void counter_table_free(CounterTable *table) {
    for (size_t i = 0; table != NULL && i < COUNTER_TABLE_PAGES; i++) {
        CounterPage *page = atomic_load_explicit(&table->pages[i], memory_order_relaxed);
        if (page == NULL)
            break; /* they are made in order */
        mem_free(page);
    }
    mem_free(table);
}

/* NULL when there is none yet, or index is out of range. Any thread. */
static inline Counter *counter_table_find(CounterTable *table, uint64_t index) {
    uint64_t page_index = index / COUNTER_PAGE_LEN;
    if (page_index >= COUNTER_TABLE_PAGES)
        return NULL;
    CounterPage *page = atomic_load_explicit(&table->pages[page_index], memory_order_acquire);
    return page ? &page->at[index % COUNTER_PAGE_LEN] : NULL;
}

/* One thread only: makes the pages up to index's. NULL when index is out of range. */
static inline Counter *counter_table_make(CounterTable *table, uint64_t index) {
    uint64_t page_index = index / COUNTER_PAGE_LEN;
    if (page_index >= COUNTER_TABLE_PAGES)
        return NULL;
    for (uint64_t i = page_index + 1; i-- > 0;) {
        if (atomic_load_explicit(&table->pages[i], memory_order_relaxed) != NULL)
            break;
        CounterPage *page = mem_zalloc(sizeof *page);
        atomic_store_explicit(&table->pages[i], page, memory_order_release);
    }
    return counter_table_find(table, index);
}
