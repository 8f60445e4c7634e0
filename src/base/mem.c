#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void *mem_alloc(size_t size) {
    void *ptr = malloc(size ? size : 1);
    ASSERT(ptr != NULL);
    return ptr;
}

void *mem_zalloc(size_t size) {
    void *ptr = calloc(1, size ? size : 1);
    ASSERT(ptr != NULL);
    return ptr;
}

void *mem_realloc(void *ptr, size_t size) {
    void *grown = realloc(ptr, size ? size : 1);
    ASSERT(grown != NULL);
    return grown;
}

void *mem_try_alloc(size_t size) {
    return malloc(size ? size : 1);
}

char *mem_copy(const void *bytes, size_t len) {
    char *copy = mem_alloc(len + 1);
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

void mem_free(void *ptr) {
    free(ptr);
}
