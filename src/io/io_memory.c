#include "io/io_memory.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/assert.h"

enum { HUGE_PAGE_BYTES = 2 * 1024 * 1024, PAGE_BYTES = 4096 };

static size_t align_of(size_t bytes) {
    return bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : PAGE_BYTES;
}

static size_t round_up(size_t bytes) {
    size_t align = align_of(bytes);
    return (bytes + align - 1) & ~(align - 1);
}

static void unmap(char *at, size_t bytes) {
    if (bytes == 0)
        return;
    int failed = munmap(at, bytes);
    ASSERT(failed == 0);
}

char *io_memory_new(size_t bytes) {
    size_t align = align_of(bytes), len = round_up(bytes), more = align - PAGE_BYTES;
    ASSERT(bytes > 0);
    char *mapped =
        mmap(NULL, len + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(mapped != MAP_FAILED);
    size_t before = -(uintptr_t)mapped & (align - 1);
    char *pages = mapped + before;
    unmap(mapped, before);
    unmap(pages + len, more - before);
    if (align == HUGE_PAGE_BYTES)
        (void)madvise(pages, len, MADV_HUGEPAGE); /* a wish */
    return pages;
}

void io_memory_free(char *pages, size_t bytes) {
    if (pages != NULL)
        unmap(pages, round_up(bytes));
}
