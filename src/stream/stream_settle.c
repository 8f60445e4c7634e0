#include "stream/api.h"
#include "stream/api_private.h"
#include "stream/stream_parts.h"

/* Calls that read the state wait for what was proposed before them, so that a client sees what it
 * did: it may not have asked for an acknowledgement. At first until the end of the turn's input
 * (consumers gather their entries until then), then for the entries in flight. */

enum { INDEX_NOT_KNOWN_YET = 0 };

static void run_first(Stream *stream, size_t count) {
    StreamParts *parts = stream->parts;
    for (size_t i = 0; i < count; i++) {
        ApiCall *call = parts->settling.at[i].call;
        call->endpoint->run(call);
    }
    memmove(parts->settling.at, parts->settling.at + count,
            (parts->settling.len - count) * sizeof parts->settling.at[0]);
    parts->settling.len -= count;
}

static void on_end_of_input(Task *task) {
    StreamParts *parts = CONTAINER_OF(task, StreamParts, settle_task);
    Stream *stream = parts->stream;
    for (size_t i = 0; i < parts->settling.len; i++)
        if (parts->settling.at[i].index == INDEX_NOT_KNOWN_YET)
            parts->settling.at[i].index = stream->group.index_last + stream->group.held;
    stream_settle(stream);
}

void stream_settle_init(Stream *stream) {
    task_init(&stream->parts->settle_task, on_end_of_input);
}

void stream_run_settled(Stream *stream, ApiCall *call) {
    StreamParts *parts = stream->parts;
    vec_push(&parts->settling, ((SettlingCall){call, INDEX_NOT_KNOWN_YET}));
    worker_soon(stream->group.home, &parts->settle_task);
}

void stream_settle(Stream *stream) {
    StreamParts *parts = stream->parts;
    const Group *group = &stream->group;
    size_t count = 0;
    while (count < parts->settling.len && !task_is_listed(&parts->settle_task) &&
           (group->in_flight == 0 || parts->settling.at[count].index <= group->index_applied))
        count++;
    if (count)
        run_first(stream, count);
}

void stream_settle_done(Stream *stream, bool has_answers) {
    StreamParts *parts = stream->parts;
    task_cancel(&parts->settle_task);
    for (size_t i = 0; i < parts->settling.len; i++) {
        if (has_answers)
            api_reply_error(parts->settling.at[i].call, api_error(JSStreamNotFoundErr));
        else
            api_drop(parts->settling.at[i].call);
    }
    vec_done(&parts->settling);
}
