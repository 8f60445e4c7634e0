#include "io/outbox.h"

#include "base/assert.h"
#include "base/mem.h"
#include "io/conn.h"

enum {
    CHUNKS_KEPT_MAX = 4096,
    CLASS_NONE = OUT_BLOCK_SIZES, /* made to measure, not recycled */
    SPARE_BYTES_MIN = 64,         /* less at the end of a block is not worth a chunk */
};

struct OutBlock {
    OutBlock *next;
    uint32_t size_class;
    uint32_t cap;
    char bytes[];
};

static const struct {
    uint32_t cap;
    uint32_t kept_max;
} CLASSES[OUT_BLOCK_SIZES] = {
    {2 * 1024 - sizeof(OutBlock), 512},
    {16 * 1024 - sizeof(OutBlock), 32},
    {64 * 1024 - sizeof(OutBlock), 16},
};

static atomic_size_t process_pending;
static atomic_size_t process_limit; /* 0 = not set yet */

static OutBlock *block_get(OutPool *pool, uint32_t size_class, size_t n) {
    OutBlock *block;
    if (size_class < CLASS_NONE) {
        block = pool->blocks[size_class];
        if (block) {
            pool->blocks[size_class] = block->next;
            pool->block_count[size_class]--;
            return block;
        }
        n = CLASSES[size_class].cap;
    }
    ASSERT(n <= UINT32_MAX);
    block = mem_alloc(sizeof *block + n);
    block->size_class = size_class;
    block->cap = (uint32_t)n;
    return block;
}

static void block_put(OutPool *pool, OutBlock *block) {
    uint32_t size_class = block->size_class;
    if (size_class == CLASS_NONE || pool->block_count[size_class] >= CLASSES[size_class].kept_max) {
        mem_free(block);
        return;
    }
    block->next = pool->blocks[size_class];
    pool->blocks[size_class] = block;
    pool->block_count[size_class]++;
}

static OutChunk *chunk_get(OutPool *pool) {
    OutChunk *chunk = pool->chunks;
    if (chunk) {
        pool->chunks = chunk->next;
        pool->chunk_count--;
    } else {
        chunk = mem_alloc(sizeof *chunk);
    }
    *chunk = (OutChunk){0};
    return chunk;
}

static void chunk_put(OutPool *pool, OutChunk *chunk) {
    if (chunk->block)
        block_put(pool, chunk->block);
    shared_unref(chunk->shared);
    if (pool->chunk_count >= CHUNKS_KEPT_MAX) {
        mem_free(chunk);
        return;
    }
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    pool->chunk_count++;
}

static void push(Conn *conn, OutChunk *chunk) {
    if (conn->out_last)
        conn->out_last->next = chunk;
    else
        conn->out_first = chunk;
    conn->out_last = chunk;
}

/* The more is pending, the larger the next block. */
static uint32_t class_for(const Conn *conn, size_t n) {
    uint32_t size_class = conn->pending_bytes < 2 * 1024    ? 0
                          : conn->pending_bytes < 32 * 1024 ? 1
                                                            : 2;
    while (size_class < CLASS_NONE && CLASSES[size_class].cap < n)
        size_class++;
    return size_class;
}

/* Lets chunk go on behind what last has used of its block. */
static void take_spare(OutChunk *chunk, OutChunk *last) {
    uint32_t spare = last->shared ? last->spare : last->room;
    chunk->block = last->block;
    chunk->spare = spare;
    last->block = NULL;
    last->room = last->spare = 0;
}

void out_add_room(OutPool *pool, Conn *conn, size_t n) {
    OutChunk *last = conn->out_last;
    if (last && last->shared == NULL && last->room >= n)
        return;

    OutChunk *chunk;
    if (last && last->shared && last->spare >= n) {
        chunk = chunk_get(pool);
        take_spare(chunk, last);
        chunk->ptr = chunk->block->bytes + chunk->block->cap - chunk->spare;
        chunk->room = chunk->spare;
        push(conn, chunk);
        return;
    }
    OutBlock *block = block_get(pool, class_for(conn, n), n);
    if (last && last->block && last->len == 0 && last->ptr == last->block->bytes) {
        block_put(pool, last->block); /* reserved before, and nothing was written */
        chunk = last;
    } else {
        chunk = chunk_get(pool);
        push(conn, chunk);
    }
    chunk->block = block;
    chunk->ptr = block->bytes;
    chunk->room = block->cap;
}

void out_add_shared(OutPool *pool, Conn *conn, Shared *shared, Slice part) {
    OutChunk *last = conn->out_last;
    OutChunk *chunk = chunk_get(pool);
    if (last && last->block && (last->shared ? last->spare : last->room) >= SPARE_BYTES_MIN)
        take_spare(chunk, last);
    if (last)
        last->room = 0;
    chunk->shared = shared_ref(shared);
    chunk->ptr = (char *)part.ptr;
    chunk->len = part.len;
    push(conn, chunk);
}

size_t out_parts(const Conn *conn, struct iovec parts[OUT_PARTS_MAX], int *out_count) {
    size_t bytes = 0;
    int count = 0;
    for (OutChunk *chunk = conn->out_first; chunk && count < OUT_PARTS_MAX; chunk = chunk->next) {
        if (chunk->len == 0)
            continue;
        parts[count++] = (struct iovec){chunk->ptr, chunk->len};
        bytes += chunk->len;
    }
    *out_count = count;
    return bytes;
}

void out_consume(OutPool *pool, Conn *conn, size_t n) {
    ASSERT(n <= conn->pending_bytes);
    conn->pending_bytes -= n;
    pool->pending -= n;
    while (conn->out_first) {
        OutChunk *chunk = conn->out_first;
        if (n < chunk->len) {
            chunk->ptr += n;
            chunk->len -= n;
            return;
        }
        n -= chunk->len;
        conn->out_first = chunk->next;
        chunk_put(pool, chunk);
        if (n == 0 && conn->pending_bytes != 0)
            return;
    }
    ASSERT(n == 0);
    conn->out_last = NULL;
}

void out_drop_all(OutPool *pool, Conn *conn) {
    out_consume(pool, conn, conn->pending_bytes);
}

void out_pool_done(OutPool *pool) {
    for (OutChunk *chunk = pool->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        mem_free(chunk);
    }
    for (size_t i = 0; i < OUT_BLOCK_SIZES; i++)
        for (OutBlock *block = pool->blocks[i], *next; block; block = next) {
            next = block->next;
            mem_free(block);
        }
    buf_done(&pool->scratch);
    pool->pending = 0;
    out_publish(pool, 1);
    pool->chunks = NULL;
    for (size_t i = 0; i < OUT_BLOCK_SIZES; i++)
        pool->blocks[i] = NULL;
}

void out_publish(OutPool *pool, size_t step_bytes) {
    size_t known = out_published(pool);
    size_t change = pool->pending > known ? pool->pending - known : known - pool->pending;
    if (change == 0 || (change < step_bytes && pool->pending != 0))
        return;
    (void)atomic_fetch_add_explicit(&process_pending, pool->pending - known, memory_order_relaxed);
    atomic_store_explicit(&pool->published, pool->pending, memory_order_relaxed);
}

size_t out_published(const OutPool *pool) {
    return atomic_load_explicit(&pool->published, memory_order_relaxed);
}

bool out_is_over_limit(void) {
    size_t limit = atomic_load_explicit(&process_limit, memory_order_relaxed);
    return limit != 0 && atomic_load_explicit(&process_pending, memory_order_relaxed) > limit;
}

void out_set_limit(size_t bytes) {
    atomic_store_explicit(&process_limit, bytes, memory_order_relaxed);
}

void out_set_default_limit(size_t bytes) {
    size_t unset = 0;
    (void)atomic_compare_exchange_strong(&process_limit, &unset, bytes);
}
