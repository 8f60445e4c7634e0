#include "stream/batch_view.h"

#include "base/assert.h"
#include "base/mem.h"

void batch_view_init(BatchView *view, size_t messages_max) {
    *view = (BatchView){.pool = mem_alloc((messages_max + 1) * sizeof(BatchSubject)),
                        .pool_cap = messages_max};
}

void batch_view_done(BatchView *view) {
    map_done(&view->subjects);
    map_done(&view->ids);
    mem_free(view->pool);
    *view = (BatchView){0};
}

const BatchSubject *batch_view_find(const BatchView *view, Slice subject) {
    return map_get(&view->subjects, subject);
}

void batch_view_add(BatchView *view, Slice subject, Slice id, uint64_t bytes, uint64_t accounted) {
    view->count++;
    if (id.len)
        map_put(&view->ids, id, view);
    if (!accounted)
        return;
    BatchSubject *of = map_get(&view->subjects, subject);
    if (!of) {
        ASSERT(view->pool_len < view->pool_cap);
        of = &view->pool[view->pool_len++];
        *of = (BatchSubject){0};
        map_put(&view->subjects, subject, of);
    }
    of->count++;
    of->bytes += bytes;
    view->messages++;
    view->bytes += accounted;
}
