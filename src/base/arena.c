#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

enum { ARENA_BLOCK_BYTES = 32 * 1024, ARENA_SMALL_BYTES = 192, ARENA_ALIGN = 16 };

typedef struct Block Block;
struct Block {
    Block *older;
    size_t cap;
    _Alignas(ARENA_ALIGN) char bytes[];
};

struct Arena {
    Block *newest;
    size_t used; /* of newest */
};

static Block *block_new(Block *older, size_t cap) {
    Block *block = mem_alloc(sizeof *block + cap);
    block->older = older;
    block->cap = cap;
    return block;
}

static Arena *new_with(size_t first_bytes) {
    Arena *arena = mem_zalloc(sizeof *arena);
    arena->newest = block_new(NULL, first_bytes);
    return arena;
}

Arena *arena_new(void) {
    return new_with(ARENA_BLOCK_BYTES);
}

Arena *arena_new_small(void) {
    return new_with(ARENA_SMALL_BYTES);
}

void arena_free(Arena *arena) {
    if (arena == NULL)
        return;
    for (Block *block = arena->newest, *older; block; block = older) {
        older = block->older;
        mem_free(block);
    }
    mem_free(arena);
}

void *arena_alloc(Arena *arena, size_t size) {
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (rounded > arena->newest->cap - arena->used) {
        size_t cap = arena->newest->cap * 2;
        cap = cap < ARENA_BLOCK_BYTES ? cap : ARENA_BLOCK_BYTES;
        arena->newest = block_new(arena->newest, rounded > cap ? rounded : cap);
        arena->used = 0;
    }
    void *ptr = arena->newest->bytes + arena->used;
    arena->used += rounded;
    return ptr;
}

void *arena_zalloc(Arena *arena, size_t size) {
    return memset(arena_alloc(arena, size), 0, size);
}

Slice arena_copy(Arena *arena, Slice slice) {
    char *copy = arena_alloc(arena, slice.len + 1);
    if (slice.len)
        memcpy(copy, slice.ptr, slice.len);
    copy[slice.len] = '\0';
    return (Slice){copy, slice.len};
}

void arena_reset(Arena *arena) {
    while (arena->newest->older) {
        Block *newest = arena->newest;
        arena->newest = newest->older;
        mem_free(newest);
    }
    arena->used = 0;
}
