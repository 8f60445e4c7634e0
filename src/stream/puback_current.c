#include "stream/puback_current.h"

#include <string.h>

#include "base/mem.h"
#include "proto/base64.h"
#include "proto/headers.h"
#include "proto/json.h"
#include "proto/timefmt.h"
#include "stream/stream_parts.h"

enum {
    /* Answers of one stream that wait for the disk; over it they go without the value. */
    CURRENT_WAITS_MAX = 1000,

    /* A larger value is not sent along. */
    CURRENT_VALUE_BYTES_MAX = 512 * 1024,

    FETCH_TRIES_MAX = 8,
};

typedef struct CurrentWait {
    StreamWait wait;
    Link link; /* in StreamParts.current_waits */
    Stream *stream;
    uint64_t seq;
    unsigned tries;
    size_t error_len, reply_len;
    ApiError error;
    char bytes[]; /* text of the error, reply */
} CurrentWait;

static void write_current(Buf *out, uint64_t seq, const StoredMsg *msg) {
    buf_append_lit(out, ",\"current\":{\"seq\":");
    buf_append_u64(out, seq);
    if (msg) {
        buf_append_lit(out, ",\"time\":\"");
        time_write(out, msg->time_ns);
        buf_append_lit(out, "\",\"subject\":");
        json_write_string(out, msg->subject);
        if (msg->headers.len) {
            buf_append_lit(out, ",\"hdrs\":\"");
            base64_write(out, msg->headers);
            buf_append_char(out, '"');
        }
        buf_append_lit(out, ",\"data\":\"");
        base64_write(out, msg->payload);
        buf_append_char(out, '"');
    }
    buf_append_char(out, '}');
}

/* has_current: the object is in the answer, with the message when there is one. */
static void send(Stream *stream, Slice reply, ApiError error, uint64_t seq, bool has_current,
                 const StoredMsg *msg) {
    Buf headers = {0}, text = {0};

    header_begin(&headers, (Slice){0});
    header_append_u64(&headers, LIT("HW-Last-Sequence"), seq);
    header_end(&headers);
    puback_write_error(&text, stream, error);
    if (has_current) {
        text.len--; /* the closing brace */
        write_current(&text, seq, msg);
        buf_append_char(&text, '}');
    }
    puback_send_bytes(stream, reply, buf_slice(&headers), buf_slice(&text));
    buf_done(&headers);
    buf_done(&text);
}

static void on_ready(StreamWait *wait);

/* waiting: the earlier wait, or NULL; taken. */
static void send_with_value(Stream *stream, Slice reply, ApiError error, uint64_t seq,
                            CurrentWait *waiting) {
    StreamParts *parts = stream->parts;
    StoredMsg msg;
    Status status = stream_read(stream, seq, &msg);
    bool may_wait =
        waiting ? waiting->tries < FETCH_TRIES_MAX : parts->current_count < CURRENT_WAITS_MAX;

    if (status == ERR_AGAIN && may_wait) {
        if (!waiting) {
            waiting = mem_zalloc(sizeof *waiting + error.text.len + reply.len);
            *waiting = (CurrentWait){.wait = {.ready = on_ready},
                                     .stream = stream,
                                     .seq = seq,
                                     .error_len = error.text.len,
                                     .reply_len = reply.len,
                                     .error = error};
            memcpy(waiting->bytes, error.text.ptr, error.text.len);
            memcpy(waiting->bytes + error.text.len, reply.ptr, reply.len);
            waiting->error.text = slice_from(waiting->bytes, error.text.len);
            list_push_back(&parts->current_waits, &waiting->link);
            parts->current_count++;
        }
        waiting->tries++;
        stream_fetch(stream, seq, &waiting->wait);
        return;
    }
    bool is_sent = status == OK && msg.payload.len + msg.headers.len <= CURRENT_VALUE_BYTES_MAX;
    send(stream, reply, error, seq, true, is_sent ? &msg : NULL);
    if (status == OK)
        stored_msg_done(&msg);
    if (waiting) {
        list_remove(&waiting->link);
        parts->current_count--;
        mem_free(waiting);
    }
}

static void on_ready(StreamWait *wait) {
    CurrentWait *waiting = CONTAINER_OF(wait, CurrentWait, wait);
    send_with_value(waiting->stream,
                    slice_from(waiting->bytes + waiting->error_len, waiting->reply_len),
                    waiting->error, waiting->seq, waiting);
}

void puback_refuse_current(Stream *stream, Slice reply, ApiError error, uint64_t current,
                           Slice want) {
    if (!reply.len || stream->config->no_ack)
        return;
    if (current && slice_equal_ignoring_case(want, LIT("value")))
        send_with_value(stream, reply, error, current, NULL);
    else
        send(stream, reply, error, current, false, NULL);
}

void puback_current_init(Stream *stream) {
    list_init(&stream->parts->current_waits);
}

void puback_current_done(Stream *stream) {
    StreamParts *parts = stream->parts;
    for (Link *link; (link = list_pop_front(&parts->current_waits));) {
        CurrentWait *waiting = CONTAINER_OF(link, CurrentWait, link);
        stream_cancel_wait(&waiting->wait);
        mem_free(waiting);
    }
    parts->current_count = 0;
}
