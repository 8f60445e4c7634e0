#include "base/shared.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct Shared {
    _Atomic(uint32_t) refs;
    size_t len;
    char bytes[]; /* IS_OVER: behind len of them the one that lies under it */
};

static const size_t IS_OVER = (size_t)1 << (8 * sizeof(size_t) - 1);

static char *under_of(Shared *shared) {
    return shared->bytes + shared_len(shared);
}

Shared *shared_try_new(size_t len) {
    Shared *shared = mem_try_alloc(sizeof *shared + len);
    if (shared == NULL)
        return NULL;
    atomic_init(&shared->refs, 1);
    shared->len = len;
    return shared;
}

Shared *shared_new(size_t len) {
    Shared *shared = shared_try_new(len);
    ASSERT(shared != NULL);
    return shared;
}

Shared *shared_new_over(size_t len, Shared *under) {
    Shared *shared = shared_new(len + sizeof under);
    shared->len = len | IS_OVER;
    memcpy(under_of(shared), &under, sizeof under);
    return shared;
}

Shared *shared_shrink(Shared *shared, size_t len) {
    ASSERT(len <= shared->len); /* and nothing lies under it */
    shared = mem_realloc(shared, sizeof *shared + len);
    shared->len = len;
    return shared;
}

Shared *shared_ref(Shared *shared) {
    (void)atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void shared_unref(Shared *shared) {
    if (shared == NULL || atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) != 1)
        return;
    Shared *under = NULL;
    if (shared->len & IS_OVER)
        memcpy(&under, under_of(shared), sizeof under);
    mem_free(shared);
    shared_unref(under);
}

char *shared_bytes(Shared *shared) {
    return shared->bytes;
}

size_t shared_len(const Shared *shared) {
    return shared->len & ~IS_OVER;
}
