#include "stream/get_wait.h"

#include <string.h>

#include "base/mem.h"
#include "proto/headers.h"
#include "proto/timefmt.h"
#include "stream/stream_await.h"

static const Slice not_reached = LIT("408 Sequence Not Reached"),
                   not_settled = LIT("408 Not Settled"), too_many = LIT("429 Too Many Waiting"),
                   not_found = LIT("404 Message Not Found");

void get_refuse_header(Api *api, Account *account, Slice reply, Slice header_name) {
    Buf *headers = &api->headers;

    buf_clear(headers);
    header_begin(headers, LIT("408 Bad Request"));
    header_append(headers, LIT("HW-Error"), header_name);
    header_end(headers);
    api_send(api, account, reply, buf_slice(headers), (Slice){0});
}

static void send_late(Api *api, Stream *stream, Slice reply, Slice status) {
    Buf *headers = &api->headers;

    buf_clear(headers);
    header_begin(headers, status);
    header_append_u64(headers, LIT("Nats-Last-Sequence"), stream->state.last_seq);
    header_end(headers);
    api_send(api, stream->account, reply, buf_slice(headers), (Slice){0});
}

void get_send_not_modified(Api *api, Stream *stream, Slice reply, uint64_t seq) {
    Buf *headers = &api->headers;
    Slice subject;

    buf_clear(headers);
    header_begin(headers, LIT("304 Not Modified"));
    header_append(headers, LIT("Nats-Stream"), stream_name(stream));
    if (stream_subject_of(stream, seq, &subject) == OK)
        header_append(headers, LIT("Nats-Subject"), subject);
    header_append_u64(headers, LIT("Nats-Sequence"), seq);
    header_end(headers);
    api_send(api, stream->account, reply, buf_slice(headers), (Slice){0});
}

/* ---- DIRECT.GET ---- */

typedef struct DirectWait {
    StreamAwait await;
    Api *api;
    GetOptions options;
    Slice rest;
    Message message;
    char bytes[];
} DirectWait;

static void direct_ended(StreamAwait *await, AwaitEnd end) {
    DirectWait *waiting = CONTAINER_OF(await, DirectWait, await);
    Stream *stream = await->stream;

    if (!stream->js->api) { /* closing */
        mem_free(waiting);
        return;
    }
    if (end == AWAIT_REACHED)
        api_direct_get_now(waiting->api, stream, waiting->rest, &waiting->message,
                           &waiting->options);
    else if (end == AWAIT_GONE)
        api_send_status(waiting->api, stream->account, waiting->message.reply, not_found);
    else
        send_late(waiting->api, stream, waiting->message.reply,
                  await->is_settling ? not_settled : not_reached);
    mem_free(waiting);
}

static Slice keep(char **at, Slice slice) {
    char *to = *at;
    if (slice.len)
        memcpy(to, slice.ptr, slice.len);
    *at += slice.len;
    return slice_from(to, slice.len);
}

bool get_wait_direct(Api *api, Stream *stream, Slice rest, const Message *message,
                     const GetOptions *options) {
    if (stream_await_is_reached(stream, options->min_seq, options->is_linearizable))
        return false;
    DirectWait *waiting =
        mem_zalloc(sizeof *waiting + rest.len + message->reply.len + message->payload.len);
    char *at = waiting->bytes;
    waiting->api = api;
    waiting->options = *options;
    waiting->rest = keep(&at, rest);
    waiting->message.reply = keep(&at, message->reply);
    waiting->message.payload = keep(&at, message->payload);
    waiting->await.seq = options->min_seq;
    waiting->await.is_settling = options->is_linearizable;
    waiting->await.wait_ns = options->wait_ns;
    waiting->await.ended = direct_ended;
    if (stream_await(stream, &waiting->await)) {
        api_send_status(api, stream->account, message->reply, too_many);
        mem_free(waiting);
    }
    return true;
}

/* ---- STREAM.MSG.GET ---- */

typedef struct CallWait {
    StreamAwait await;
    ApiCall *call;
    void (*then)(ApiCall *call, Stream *stream);
} CallWait;

static void call_ended(StreamAwait *await, AwaitEnd end) {
    CallWait *waiting = CONTAINER_OF(await, CallWait, await);
    ApiCall *call = waiting->call;

    if (end == AWAIT_REACHED)
        waiting->then(call, await->stream);
    else if (end == AWAIT_GONE)
        api_reply_error(call, api_error(JSStreamNotFoundErr));
    else
        api_reply_error(call, api_error_with_u64(api_arena(call), HWSequenceNotReachedF,
                                                 await->stream->state.last_seq));
    mem_free(waiting);
}

bool get_wait_call(ApiCall *call, Stream *stream, const GetOptions *options,
                   void (*then)(ApiCall *call, Stream *stream)) {
    if (stream_await_is_reached(stream, options->min_seq, options->is_linearizable))
        return false;
    CallWait *waiting = mem_zalloc(sizeof *waiting);
    waiting->call = call;
    waiting->then = then;
    waiting->await.seq = options->min_seq;
    waiting->await.is_settling = options->is_linearizable;
    waiting->await.wait_ns = options->wait_ns;
    waiting->await.ended = call_ended;
    if (stream_await(stream, &waiting->await)) {
        mem_free(waiting);
        api_reply_error(call, api_error(HWTooManyWaitingErr));
    }
    return true;
}
