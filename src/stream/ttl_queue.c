#include "stream/ttl_queue.h"

#include "base/mem.h"

static bool is_before(TtlDue a, TtlDue b) {
    return a.due_ns != b.due_ns ? a.due_ns < b.due_ns : a.seq < b.seq;
}

static void sift_up(TtlQueue *queue, size_t i) {
    TtlDue moved = queue->heap[i];
    while (i > 0 && is_before(moved, queue->heap[(i - 1) / 2])) {
        queue->heap[i] = queue->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    queue->heap[i] = moved;
}

static void sift_down(TtlQueue *queue, size_t i) {
    TtlDue moved = queue->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= queue->len)
            break;
        if (child + 1 < queue->len && is_before(queue->heap[child + 1], queue->heap[child]))
            child++;
        if (!is_before(queue->heap[child], moved))
            break;
        queue->heap[i] = queue->heap[child];
        i = child;
    }
    queue->heap[i] = moved;
}

void ttl_queue_done(TtlQueue *queue) {
    mem_free(queue->heap);
    *queue = (TtlQueue){0};
}

void ttl_queue_push(TtlQueue *queue, int64_t due_ns, uint64_t seq) {
    if (queue->len == queue->cap) {
        queue->cap = queue->cap ? queue->cap + queue->cap / 2 : 16;
        queue->heap = mem_realloc(queue->heap, queue->cap * sizeof *queue->heap);
    }
    queue->heap[queue->len++] = (TtlDue){due_ns, seq};
    sift_up(queue, queue->len - 1);
}

void ttl_queue_pop(TtlQueue *queue) {
    queue->heap[0] = queue->heap[--queue->len];
    if (queue->len)
        sift_down(queue, 0);
}

void ttl_queue_keep(TtlQueue *queue, bool (*is_live)(void *cookie, TtlDue due), void *cookie) {
    size_t kept = 0;
    for (size_t i = 0; i < queue->len; i++)
        if (is_live(cookie, queue->heap[i]))
            queue->heap[kept++] = queue->heap[i];
    queue->len = kept;
    for (size_t i = kept / 2; i-- > 0;)
        sift_down(queue, i);
}
