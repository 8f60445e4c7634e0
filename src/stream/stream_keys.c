#include "stream/stream_keys.h"

#include "io/clock.h"
#include "stream/stream_parts.h"
#include "stream/subject_order.h"

enum { BUILD_PER_TURN = 2000 };
static const uint64_t idle_ns = 600ull * 1000000000; /* then the order is dropped */

static void wake(StreamParts *parts) {
    List due;
    list_init(&due);
    for (Link *link; (link = list_pop_front(&parts->key_waits));)
        list_push_back(&due, link);
    for (Link *link; (link = list_pop_front(&due));) {
        StreamWait *wait = CONTAINER_OF(link, StreamWait, link);
        wait->ready(wait);
    }
}

static void build_some(Task *task) {
    StreamParts *parts = CONTAINER_OF(task, StreamParts, key_task);
    SubjectIndex *subjects = &parts->subjects;
    if (!subjects->order)
        subject_order_begin(subjects);
    if (subject_order_build(subjects->order, BUILD_PER_TURN))
        wake(parts);
    else
        worker_ready(parts->stream->group.home, task);
}

static void on_idle(Timer *timer) {
    StreamParts *parts = CONTAINER_OF(timer, StreamParts, key_idle);
    if (!list_is_empty(&parts->key_waits) || task_is_listed(&parts->key_task)) {
        timer_set(parts->stream->group.home, timer, clock_mono_ns() + idle_ns);
        return;
    }
    subject_order_free(parts->subjects.order);
    parts->subjects.order = NULL;
}

bool stream_keys_are_ordered(Stream *stream, StreamWait *wait) {
    StreamParts *parts = stream->parts;
    const SubjectOrder *order = parts->subjects.order;
    timer_set(stream->group.home, &parts->key_idle, clock_mono_ns() + idle_ns);
    if (order && subject_order_is_built(order))
        return true;
    list_push_back(&parts->key_waits, &wait->link);
    worker_ready(stream->group.home, &parts->key_task);
    return false;
}

void stream_keys_init(Stream *stream) {
    StreamParts *parts = stream->parts;
    list_init(&parts->key_waits);
    task_init(&parts->key_task, build_some);
    timer_init(&parts->key_idle, on_idle);
}

void stream_keys_done(Stream *stream) {
    StreamParts *parts = stream->parts;
    task_cancel(&parts->key_task);
    timer_cancel(stream->group.home, &parts->key_idle);
    while (list_pop_front(&parts->key_waits)) {
    }
}
