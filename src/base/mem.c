#include "base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* Buffers of large payloads come and go all the time: each would be taken from the system, page by
 * page, and given back. */
enum { KEPT_BYTES = 4 * 1024 * 1024, OWN_PAGES_BYTES = 2 * 1024 * 1024 };

__attribute__((constructor)) static void keep_free_memory(void) {
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    (void)mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
}

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
