#include <string.h>

#include "base/mem.h"
#include "proto/base64.h"
#include "proto/timefmt.h"
#include "stream/api_private.h"
#include "stream/get_wait.h"

/* STREAM.MSG.GET: one message as JSON, from the stream's home. */

typedef struct GetRequest {
    uint64_t seq, up_to_seq;
    Slice last_by_subj, next_by_subj;
    int64_t batch, max_bytes, start_time_ns, up_to_time_ns;
    bool has_start_time, has_up_to_time, no_hdr;
    Slice *multi_last;
    size_t multi_last_count;
} GetRequest;

static const JsonField get_rows[] = {
    JSON_ROW(GetRequest, seq, "seq", JSON_UINT),
    JSON_ROW(GetRequest, last_by_subj, "last_by_subj", JSON_STRING),
    JSON_ROW(GetRequest, next_by_subj, "next_by_subj", JSON_STRING),
    JSON_ROW(GetRequest, batch, "batch", JSON_INT, .go_type = "int"),
    JSON_ROW(GetRequest, max_bytes, "max_bytes", JSON_INT, .go_type = "int"),
    JSON_TIME_ROW(GetRequest, start_time_ns, has_start_time, JSON_NONE, "start_time"),
    JSON_LIST_ROW(GetRequest, multi_last, multi_last_count, "multi_last", JSON_STRINGS),
    JSON_ROW(GetRequest, up_to_seq, "up_to_seq", JSON_UINT),
    JSON_TIME_ROW(GetRequest, up_to_time_ns, has_up_to_time, JSON_NONE, "up_to_time"),
    JSON_ROW(GetRequest, no_hdr, "no_hdr", JSON_BOOL),
};
static const JsonSchema get_schema = JSON_SCHEMA("JSApiMsgGetRequest", get_rows);

/* The call while its message comes from the disk. */
typedef struct GetWait {
    ApiWait wait;
    ApiCall *call;
    uint64_t seq;
    bool no_hdr;
    unsigned tries;
} GetWait;

enum { FETCH_TRIES_MAX = 8 };

static bool is_good_request(const GetRequest *request) {
    bool has_seq = request->seq > 0, has_time = request->has_start_time;
    bool has_last = request->last_by_subj.len > 0, has_next = request->next_by_subj.len > 0;

    if (request->batch > 0 || request->max_bytes > 0)
        return false;
    if (!has_seq && !has_last && !has_next && !has_time)
        return false;
    if ((has_seq && has_last) || (has_last && has_next) || (has_seq && has_time) ||
        (has_last && has_time))
        return false;
    return true;
}

static uint64_t find_seq(Stream *stream, const GetRequest *request) {
    if (request->last_by_subj.len) {
        Filters filters = {&request->last_by_subj, 1};
        return stream_last(stream, &filters, 0);
    }
    uint64_t from =
        request->has_start_time ? stream_seq_at_time(stream, request->start_time_ns) : request->seq;
    if (request->next_by_subj.len) {
        Filters filters = {&request->next_by_subj, 1};
        return stream_next(stream, &filters, from);
    }
    if (!request->has_start_time)
        return from;
    Filters all = {NULL, 0};
    return stream_next(stream, &all, from);
}

static void reply_message(ApiCall *call, const StoredMsg *msg, bool no_hdr) {
    Buf out;

    api_begin(call, &out);
    buf_append_lit(&out, ",\"message\":{\"subject\":");
    json_write_string(&out, msg->subject);
    buf_append_lit(&out, ",\"seq\":");
    buf_append_u64(&out, msg->seq);
    if (msg->headers.len && !no_hdr) {
        buf_append_lit(&out, ",\"hdrs\":\"");
        base64_write(&out, msg->headers);
        buf_append_char(&out, '"');
    }
    if (msg->payload.len) {
        buf_append_lit(&out, ",\"data\":\"");
        base64_write(&out, msg->payload);
        buf_append_char(&out, '"');
    }
    buf_append_lit(&out, ",\"time\":\"");
    time_write(&out, msg->time_ns);
    buf_append_lit(&out, "\"}");
    api_finish(call, &out);
}

static void get_ready(ApiWait *wait);
static void get_gone(ApiWait *wait);

/* Answers call now, or when the message was read; waiting is the earlier wait, or NULL. */
static void get(ApiCall *call, Stream *stream, uint64_t seq, bool no_hdr, GetWait *waiting) {
    StoredMsg msg;
    Status status = stream_read(stream, seq, &msg);

    if (status == ERR_AGAIN && (!waiting || waiting->tries < FETCH_TRIES_MAX)) {
        if (!waiting) {
            waiting = mem_zalloc(sizeof *waiting);
            *waiting = (GetWait){.wait = {.ready = get_ready, .gone = get_gone},
                                 .call = call,
                                 .seq = seq,
                                 .no_hdr = no_hdr};
        }
        waiting->tries++;
        api_wait(&waiting->wait, call->js->api, stream, seq);
        return;
    }
    mem_free(waiting);
    if (status == OK) {
        reply_message(call, &msg, no_hdr);
        stored_msg_done(&msg);
    } else if (status == ERR_NOT_FOUND) {
        api_reply_error(call, api_error(JSNoMessageFoundErr));
    } else {
        api_reply_error(call, api_error_with_u64(api_arena(call), JSStreamMsgDamagedErrF, seq));
    }
}

static void get_ready(ApiWait *wait) {
    GetWait *waiting = CONTAINER_OF(wait, GetWait, wait);

    get(waiting->call, wait->stream, waiting->seq, waiting->no_hdr, waiting);
}

static void get_gone(ApiWait *wait) {
    GetWait *waiting = CONTAINER_OF(wait, GetWait, wait);

    api_reply_error(waiting->call, api_error(JSStreamNotFoundErr));
    mem_free(waiting);
}

static void answer(ApiCall *call, Stream *stream, const GetRequest *request,
                   const GetOptions *options) {
    uint64_t seq = find_seq(stream, request);

    if (seq == 0)
        api_reply_error(call, api_error(JSNoMessageFoundErr));
    else if (options->has_if_not_seq && options->if_not_seq == seq)
        api_reply_error(call, api_error_with_u64(api_arena(call), HWNotModifiedF, seq));
    else
        get(call, stream, seq, request->no_hdr, NULL);
}

/* Again from the start, as the turn in which it was read is over. */
static void answer_late(ApiCall *call, Stream *stream) {
    GetRequest request = {0};
    GetOptions options;
    Slice bad;

    if (!api_read_body(call, &get_schema, JSON_STRICT, &request))
        return;
    if (get_options_parse(call->headers, &options, &bad))
        options = (GetOptions){0};
    answer(call, stream, &request, &options);
}

void api_on_stream_msg_get(ApiCall *call) {
    GetRequest request = {0};
    GetOptions options = {0};
    Slice bad;

    if (!api_read_body(call, &get_schema, JSON_STRICT, &request))
        return;
    Stream *stream = api_call_stream(call);
    if (!is_good_request(&request))
        api_reply_error(call, api_error(JSBadRequestErr));
    else if (!stream)
        api_reply_error(call, api_error(JSStreamNotFoundErr));
    else if (call->headers.len && get_options_parse(call->headers, &options, &bad))
        api_reply_error(call, api_error_with(api_arena(call), HWBadHeaderF, bad));
    else if (!get_options_must_wait(&options) ||
             !get_wait_call(call, stream, &options, answer_late))
        answer(call, stream, &request, &options);
}
