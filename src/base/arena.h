/* Arena: memory with one lifetime, mostly one worker's turn. Nothing is freed singly. */
#pragma once

#include <stddef.h>

#include "base/slice.h"

typedef struct Arena Arena;

Arena *arena_new(void);
/* The same for what is kept long and is mostly small: takes 1 KB at first. */
Arena *arena_new_small(void);
void arena_free(Arena *arena);

/* Aligned to 16. Aborts when memory is out. Valid until arena_reset. */
void *arena_alloc(Arena *arena, size_t size)
    __attribute__((malloc, alloc_size(2), returns_nonnull));
void *arena_zalloc(Arena *arena, size_t size)
    __attribute__((malloc, alloc_size(2), returns_nonnull));

/* A copy with a zero byte behind it. */
Slice arena_copy(Arena *arena, Slice slice);

/* Invalidates everything; keeps one block of memory for reuse and gives the rest back. */
void arena_reset(Arena *arena);
