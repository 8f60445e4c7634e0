#include "stream/direct_queue.h"

#include "base/mem.h"
#include "stream/stream_ahead.h"

enum { FEW = 3 }; /* are not worth the looking ahead */

static void run_task(Task *task) {
    direct_queue_run(CONTAINER_OF(task, DirectQueue, task));
}

DirectQueue *direct_queue_new(Worker *home) {
    DirectQueue *queue = mem_zalloc(sizeof *queue);
    queue->home = home;
    task_init(&queue->task, run_task);
    return queue;
}

void direct_queue_free(DirectQueue *queue) {
    if (queue == NULL)
        return;
    task_cancel(&queue->task);
    mem_free(queue);
}

bool direct_queue_takes(const Message *message, Slice names) {
    return message->payload.len == 0 && message->headers.len == 0 && message->reply.len != 0 &&
           message->trace == NULL && slice_find(names, '.') + 1 < names.len;
}

void direct_queue_add(DirectQueue *queue, ApiPort *port, const Message *message, Slice names) {
    if (queue->count == 0)
        worker_soon(queue->home, &queue->task);
    queue->gets[queue->count++] = (DirectGet){
        .port = port,
        .subject = arena_copy(queue->home->turn, message->subject),
        .reply = arena_copy(queue->home->turn, message->reply),
        .names_at = (size_t)(names.ptr - message->subject.ptr),
    };
    if (queue->count == DIRECT_QUEUE_MAX)
        direct_queue_run(queue);
}

static Slice names_of(const DirectGet *get) {
    return slice_from_at(get->subject, get->names_at);
}

/* NULL unless it lives here and may be asked. */
static Stream *stream_of(const DirectGet *get, Slice name) {
    JetStream *js = get->port->api->js;
    StreamRef *ref = jetstream_find(js, get->port->account, name);
    Stream *stream = ref && ref->home == js->home ? ref->stream : NULL;
    return stream && stream->config->allow_direct ? stream : NULL;
}

static void look_ahead(const DirectQueue *queue, StreamAhead *aheads) {
    const ApiPort *port = NULL;
    Stream *stream = NULL;
    Slice last = {0};
    for (unsigned i = 0; i < queue->count; i++) {
        const DirectGet *get = &queue->gets[i];
        Slice names = names_of(get);
        size_t dot = slice_find(names, '.');
        Slice name = slice_first(names, dot);
        if (get->port != port || !slice_equal(name, last)) {
            stream = stream_of(get, name);
            port = get->port;
            last = name;
        }
        aheads[i] = (StreamAhead){.stream = stream, .subject = slice_from_at(names, dot + 1)};
    }
    for (unsigned step = 0; step < STREAM_AHEAD_STEPS; step++)
        for (unsigned i = 0; i < queue->count; i++)
            stream_ahead(&aheads[i], step);
}

void direct_queue_run(DirectQueue *queue) {
    task_cancel(&queue->task);
    StreamAhead aheads[DIRECT_QUEUE_MAX];
    bool is_known = queue->count > FEW;
    if (is_known)
        look_ahead(queue, aheads);
    for (unsigned i = 0; i < queue->count; i++) {
        const DirectGet *get = &queue->gets[i];
        if (is_known && aheads[i].seq) {
            api_direct_get_seq(get->port->api, aheads[i].stream, aheads[i].seq, get->reply);
            continue;
        }
        Message message = {.subject = get->subject, .reply = get->reply};
        api_direct(get->port, names_of(get), &message);
    }
    queue->count = 0;
}
