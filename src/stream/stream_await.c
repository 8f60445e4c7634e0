#include "stream/stream_await.h"

#include "io/clock.h"
#include "stream/stream_parts.h"

static bool is_settled(const Group *group, uint64_t index) {
    return group->in_flight == 0 || index <= group->index_applied;
}

bool stream_await_is_reached(const Stream *stream, uint64_t seq, bool is_settling) {
    return stream->state.last_seq >= seq && (!is_settling || stream->group.in_flight == 0);
}

static void end(StreamAwait *await, AwaitEnd how) {
    StreamParts *parts = await->stream->parts;
    list_remove(&await->link);
    timer_cancel(await->stream->group.home, &await->timer);
    parts->await_count--;
    await->ended(await, how);
}

static void on_timer(Timer *timer) {
    end(CONTAINER_OF(timer, StreamAwait, timer), AWAIT_TIMED_OUT);
}

/* Ascending: who settles by index, who waits for a sequence by that, once it has settled. */
static void enlist(StreamParts *parts, StreamAwait *await) {
    List *list = await->is_settling ? &parts->settle_awaits : &parts->seq_awaits;
    Link *at = list->prev;
    while (at != list && !await->is_settling &&
           CONTAINER_OF(at, StreamAwait, link)->seq > await->seq)
        at = at->prev;
    list_push_front(at, &await->link);
}

Status stream_await(Stream *stream, StreamAwait *await) {
    ASSERT_HOME(&stream->group);
    StreamParts *parts = stream->parts;
    if (parts->await_count >= STREAM_AWAITS_MAX)
        return ERR_FULL;
    await->stream = stream;
    await->index = stream->group.index_last;
    timer_init(&await->timer, on_timer);
    timer_set(stream->group.home, &await->timer, clock_mono_ns() + (uint64_t)await->wait_ns);
    parts->await_count++;
    enlist(parts, await);
    return OK;
}

static StreamAwait *first_of(List *list) {
    return list_is_empty(list) ? NULL : CONTAINER_OF(list->next, StreamAwait, link);
}

void stream_awaits_check(Stream *stream) {
    StreamParts *parts = stream->parts;
    StreamAwait *await;
    while ((await = first_of(&parts->settle_awaits)) && is_settled(&stream->group, await->index)) {
        if (await->seq <= stream->state.last_seq) {
            end(await, AWAIT_REACHED);
            continue;
        }
        list_remove(&await->link);
        await->is_settling = false;
        enlist(parts, await);
    }
    while ((await = first_of(&parts->seq_awaits)) && await->seq <= stream->state.last_seq)
        end(await, AWAIT_REACHED);
}

void stream_awaits_init(Stream *stream) {
    list_init(&stream->parts->settle_awaits);
    list_init(&stream->parts->seq_awaits);
}

void stream_awaits_end(Stream *stream) {
    StreamParts *parts = stream->parts;
    StreamAwait *await;
    while ((await = first_of(&parts->settle_awaits)) || (await = first_of(&parts->seq_awaits)))
        end(await, AWAIT_GONE);
}
