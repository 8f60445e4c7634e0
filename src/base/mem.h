/* Memory: the four lifetimes of CONTRIBUTING.md. mem_alloc never returns NULL. */
#pragma once

#include <stddef.h>

/* Aborts when memory is out. Contents undefined. size 0 gives a unique pointer. */
void *mem_alloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));

/* Aborts when memory is out. Zeroed. */
void *mem_zalloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));

/* Aborts when memory is out; ptr may be NULL. */
void *mem_realloc(void *ptr, size_t size) __attribute__((alloc_size(2), returns_nonnull));

/* NULL when memory is out: for sizes that a peer chose, after they were checked against a limit. */
void *mem_try_alloc(size_t size) __attribute__((malloc, alloc_size(1)));

/* Owned copy of len bytes with a zero byte behind them. */
char *mem_copy(const void *bytes, size_t len) __attribute__((returns_nonnull));

/* NULL-safe. */
void mem_free(void *ptr);
