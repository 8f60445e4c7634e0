#include <string.h>

#include "base/mem.h"
#include "proto/headers.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "stream/api_private.h"
#include "stream/direct_batch.h"
#include "stream/get_wait.h"
#include "stream/retained.h"

/* DIRECT.GET: messages without JSON, straight from the stream's home. */

typedef struct DirectRequest {
    uint64_t seq, up_to_seq;
    Slice last_by_subj, next_by_subj;
    int64_t batch, max_bytes, start_time_ns, up_to_time_ns;
    bool has_start_time, has_up_to_time, no_hdr;
    Slice *multi_last;
    size_t multi_last_count;
} DirectRequest;

static const JsonField direct_rows[] = {
    JSON_ROW(DirectRequest, seq, "seq", JSON_UINT),
    JSON_ROW(DirectRequest, last_by_subj, "last_by_subj", JSON_STRING),
    JSON_ROW(DirectRequest, next_by_subj, "next_by_subj", JSON_STRING),
    JSON_ROW(DirectRequest, batch, "batch", JSON_INT),
    JSON_ROW(DirectRequest, max_bytes, "max_bytes", JSON_INT),
    JSON_TIME_ROW(DirectRequest, start_time_ns, has_start_time, JSON_NONE, "start_time"),
    JSON_LIST_ROW(DirectRequest, multi_last, multi_last_count, "multi_last", JSON_STRINGS),
    JSON_ROW(DirectRequest, up_to_seq, "up_to_seq", JSON_UINT),
    JSON_TIME_ROW(DirectRequest, up_to_time_ns, has_up_to_time, JSON_NONE, "up_to_time"),
    JSON_ROW(DirectRequest, no_hdr, "no_hdr", JSON_BOOL),
};
static const JsonSchema direct_schema = JSON_SCHEMA("JSApiMsgGetRequest", direct_rows);

static const Slice not_found = LIT("404 Message Not Found"), no_results = LIT("404 No Results"),
                   empty_request = LIT("408 Empty Request"), bad_request = LIT("408 Bad Request"),
                   malformed = LIT("408 Malformed Request"), too_many = LIT("413 Too Many Results"),
                   damaged = LIT("500 Message Damaged"),
                   point_not_reached = LIT("408 Point Not Reached"),
                   not_retained = LIT("410 Not Retained");

enum { MULTI_LAST_MAX = 1024, FETCH_TRIES_MAX = 8 };

void direct_write_headers(Buf *out, const Stream *stream, const StoredMsg *msg) {
    buf_clear(out);
    if (msg->headers.len > 2)
        buf_append(out,
                   slice_first(msg->headers, msg->headers.len - 2)); /* all but the closing CRLF */
    else
        buf_append_lit(out, "NATS/1.0\r\n");
    buf_append_lit(out, "Nats-Stream: ");
    buf_append(out, stream_name(stream));
    buf_append_lit(out, "\r\nNats-Subject: ");
    buf_append(out, msg->subject);
    buf_append_lit(out, "\r\nNats-Sequence: ");
    buf_append_u64(out, msg->seq);
    buf_append_lit(out, "\r\nNats-Time-Stamp: ");
    time_write(out, msg->time_ns);
    buf_append_lit(out, "\r\n");
}

/* A look at the past: what stood at sequence upto; 0 = now. */
typedef struct AsOf {
    uint64_t upto;
    bool is_exact;
} AsOf;

static void append_as_of(Buf *headers, AsOf as_of) {
    if (!as_of.upto)
        return;
    header_append_u64(headers, LIT("HW-As-Of-Seq"), as_of.upto);
    header_append(headers, LIT("HW-As-Of-Exact"), as_of.is_exact ? LIT("1") : LIT("0"));
}

static void send_message(Api *api, Stream *stream, Slice reply, const StoredMsg *msg, bool no_hdr,
                         AsOf as_of) {
    Buf *headers = &api->headers;

    if (no_hdr) {
        api_send(api, stream->account, reply, (Slice){0}, msg->payload);
        return;
    }
    direct_write_headers(headers, stream, msg);
    append_as_of(headers, as_of);
    header_end(headers);
    api_send(api, stream->account, reply, buf_slice(headers), msg->payload);
}

/* A single message that comes from the disk. */
typedef struct SingleWait {
    ApiWait wait;
    Api *api;
    Account *account;
    uint64_t seq;
    AsOf as_of;
    unsigned tries;
    bool no_hdr;
    size_t reply_len;
    char reply[];
} SingleWait;

static void single_ready(ApiWait *wait);
static void single_gone(ApiWait *wait);

static void get_single(Api *api, Stream *stream, uint64_t seq, bool no_hdr, AsOf as_of, Slice reply,
                       SingleWait *waiting) {
    StoredMsg msg;
    Status status = seq ? stream_read(stream, seq, &msg) : ERR_NOT_FOUND;

    if (status == OK) {
        send_message(api, stream, reply, &msg, no_hdr, as_of);
        stored_msg_done(&msg);
    } else if (status == ERR_AGAIN && (!waiting || waiting->tries < FETCH_TRIES_MAX)) {
        if (!waiting) {
            waiting = mem_zalloc(sizeof *waiting + reply.len);
            *waiting = (SingleWait){.wait = {.ready = single_ready, .gone = single_gone},
                                    .api = api,
                                    .account = stream->account,
                                    .seq = seq,
                                    .as_of = as_of,
                                    .no_hdr = no_hdr,
                                    .reply_len = reply.len};
            memcpy(waiting->reply, reply.ptr, reply.len);
        }
        waiting->tries++;
        api_wait(&waiting->wait, api, stream, seq);
        return;
    } else {
        api_send_status(api, stream->account, reply, status == ERR_NOT_FOUND ? not_found : damaged);
    }
    mem_free(waiting);
}

void api_direct_get_seq(Api *api, Stream *stream, uint64_t seq, Slice reply) {
    get_single(api, stream, seq, false, (AsOf){0}, reply, NULL);
}

static void single_ready(ApiWait *wait) {
    SingleWait *waiting = CONTAINER_OF(wait, SingleWait, wait);

    get_single(waiting->api, wait->stream, waiting->seq, waiting->no_hdr, waiting->as_of,
               slice_from(waiting->reply, waiting->reply_len), waiting);
}

static void single_gone(ApiWait *wait) {
    SingleWait *waiting = CONTAINER_OF(wait, SingleWait, wait);

    api_send_status(waiting->api, waiting->account, slice_from(waiting->reply, waiting->reply_len),
                    not_found);
    mem_free(waiting);
}

static uint64_t start_seq(Stream *stream, const DirectRequest *request) {
    if (request->has_start_time)
        return stream_seq_at_time(stream, request->start_time_ns);
    return request->seq;
}

/* Patterns that can match something. */
static Filters good_filters(Api *api, const DirectRequest *request) {
    Slice *patterns =
        arena_alloc(api->js->home->turn, request->multi_last_count * sizeof *patterns);
    size_t count = 0;

    for (size_t i = 0; i < request->multi_last_count; i++)
        if (subject_is_valid(request->multi_last[i]))
            patterns[count++] = request->multi_last[i];
    return (Filters){patterns, count};
}

/* multi_last: the last message of each subject. */
static void get_multi(Api *api, Stream *stream, const DirectRequest *request, Slice reply) {
    Filters filters = good_filters(api, request);
    uint64_t last = stream->state.last_seq, upto = last, *seqs = NULL,
             from = start_seq(stream, request);

    if (request->up_to_seq && request->has_up_to_time) {
        api_send_status(api, stream->account, reply, bad_request);
        return;
    }
    if (request->up_to_seq)
        upto = request->up_to_seq;
    if (request->has_up_to_time)
        upto = stream_seq_at_time(stream, request->up_to_time_ns) - 1;
    size_t count = upto == 0 || upto > last || filters.count == 0
                       ? 0
                       : stream_last_per_subject(stream, &filters, upto, &seqs);
    size_t skip = 0;
    while (skip < count && seqs[skip] < from)
        skip++;
    if (count == 0)
        api_send_status(api, stream->account, reply, no_results);
    else if (count - skip > MULTI_LAST_MAX)
        api_send_status(api, stream->account, reply, too_many);
    else {
        DirectBatch batch = {
            .seqs = seqs + skip,
            .seq_count = count - skip,
            .pending = count - skip,
            .up_to = upto,
            .is_multi = true,
            .batch = request->batch,
            .max_bytes = request->max_bytes,
        };
        direct_batch_start(api, stream, &batch, reply);
    }
    mem_free(seqs);
}

static void get_batch(Api *api, Stream *stream, const DirectRequest *request, Slice reply) {
    Filters filters = {&request->next_by_subj, request->next_by_subj.len > 0};
    uint64_t first = stream_next(stream, &filters, start_seq(stream, request));

    if (first == 0) {
        api_send_status(api, stream->account, reply, not_found);
        return;
    }
    DirectBatch batch = {
        .filter = request->next_by_subj,
        .next = first,
        .pending = stream_count(stream, &filters, first),
        .batch = request->batch,
        .max_bytes = request->max_bytes,
        .no_hdr = request->no_hdr,
    };
    direct_batch_start(api, stream, &batch, reply);
}

/* Which selectors go together. */
static Slice check_request(const DirectRequest *request) {
    bool has_seq = request->seq > 0, has_time = request->has_start_time;
    bool has_last = request->last_by_subj.len > 0, has_next = request->next_by_subj.len > 0;
    bool has_multi = request->multi_last_count > 0;

    if (!has_seq && !has_time && !has_last && !has_next && !has_multi)
        return empty_request;
    if (has_seq && has_time)
        return bad_request;
    if (has_last && (has_seq || has_time || has_next || has_multi || request->batch > 0))
        return bad_request;
    if (has_next && has_multi)
        return bad_request;
    return (Slice){0};
}

/* The single message, unless the client has it. */
static void get_one(Api *api, Stream *stream, uint64_t seq, bool no_hdr, Slice reply,
                    const GetOptions *options, AsOf as_of) {
    if (seq && options->has_if_not_seq && options->if_not_seq == seq)
        get_send_not_modified(api, stream, reply, seq);
    else
        get_single(api, stream, seq, no_hdr, as_of, reply, NULL);
}

/* False: the point is not reached yet. */
static bool find_point(Stream *stream, const GetOptions *options, uint64_t *out_upto) {
    uint64_t upto = options->as_of_seq;

    if (options->has_as_of_time) {
        if (options->as_of_ns >= stream_clock_now(stream))
            return false;
        upto = stream_seq_at_time(stream, options->as_of_ns + 1) - 1;
    }
    if (upto > stream->state.last_seq)
        return false;
    *out_upto = upto;
    return true;
}

static void send_point(Api *api, Stream *stream, Slice reply, Slice status, AsOf as_of) {
    Buf *headers = &api->headers;

    buf_clear(headers);
    header_begin(headers, status);
    append_as_of(headers, as_of);
    header_end(headers);
    api_send(api, stream->account, reply, buf_slice(headers), (Slice){0});
}

/* The newest message of a subject as of a point of the past. */
static void get_past(Api *api, Stream *stream, Slice subject, bool no_hdr, Slice reply,
                     const GetOptions *options) {
    AsOf as_of = {0};
    SubjectState state = {0};

    if (!subject_is_literal(subject)) {
        api_send_status(api, stream->account, reply, bad_request);
        return;
    }
    if (!find_point(stream, options, &as_of.upto)) {
        api_send_status(api, stream->account, reply, point_not_reached);
        return;
    }
    Filters filters = {&subject, 1};
    uint64_t seq = as_of.upto ? stream_last(stream, &filters, as_of.upto) : 0;
    stream_subject_state(stream, subject, &state);
    as_of.is_exact = retained_is_exact(stream, seq, as_of.upto, state.count);
    if (seq)
        get_one(api, stream, seq, no_hdr, reply, options, as_of);
    else
        send_point(api, stream, reply, as_of.is_exact ? not_found : not_retained, as_of);
}

static bool is_past(const GetOptions *options) {
    return options->has_as_of_seq || options->has_as_of_time;
}

static uint64_t find_seq(Stream *stream, const DirectRequest *request) {
    if (request->last_by_subj.len) {
        Filters filters = {&request->last_by_subj, 1};
        return stream_last(stream, &filters, 0);
    }
    Filters filters = {&request->next_by_subj, request->next_by_subj.len > 0};
    uint64_t seq = start_seq(stream, request);
    if (request->next_by_subj.len || request->has_start_time)
        seq = stream_next(stream, &filters, seq);
    return seq;
}

static void get_by_request(Api *api, Stream *stream, const DirectRequest *request, Slice reply,
                           const GetOptions *options) {
    bool is_many = request->multi_last_count || request->batch != 0;
    Slice refusal = check_request(request);

    if (refusal.len == 0 && is_many && get_options_are_of_one_message(options))
        refusal = bad_request;
    if (refusal.len)
        api_send_status(api, stream->account, reply, refusal);
    else if (request->multi_last_count)
        get_multi(api, stream, request, reply);
    else if (is_many)
        get_batch(api, stream, request, reply);
    else if (is_past(options) && !request->last_by_subj.len)
        api_send_status(api, stream->account, reply, bad_request);
    else if (is_past(options))
        get_past(api, stream, request->last_by_subj, request->no_hdr, reply, options);
    else
        get_one(api, stream, find_seq(stream, request), request->no_hdr, reply, options, (AsOf){0});
}

void api_direct_get_now(Api *api, Stream *stream, Slice rest, const Message *message,
                        const GetOptions *options) {
    DirectRequest request = {0};

    if (rest.len == 0 && message->payload.len == 0) {
        api_send_status(api, stream->account, message->reply, empty_request);
        return;
    }
    if (message->payload.len && json_read(message->payload, &direct_schema, JSON_LOOSE,
                                          api->js->home->turn, &request, NULL) != OK) {
        api_send_status(api, stream->account, message->reply, malformed);
        return;
    }
    if (rest.len == 0) {
        get_by_request(api, stream, &request, message->reply, options);
        return;
    }
    if (request.seq || request.last_by_subj.len || request.next_by_subj.len || request.batch ||
        request.has_start_time || request.multi_last_count || request.up_to_seq ||
        request.has_up_to_time) {
        api_send_status(api, stream->account, message->reply, bad_request);
        return;
    }
    Filters filters = {&rest, 1};
    if (is_past(options))
        get_past(api, stream, rest, request.no_hdr, message->reply, options);
    else
        get_one(api, stream, stream_last(stream, &filters, 0), request.no_hdr, message->reply,
                options, (AsOf){0});
}

void api_direct_get(Api *api, Stream *stream, Slice rest, const Message *message) {
    GetOptions options = {0};
    Slice bad;

    if (message->reply.len == 0)
        return;
    if (message->headers.len && get_options_parse(message->headers, &options, &bad)) {
        get_refuse_header(api, stream->account, message->reply, bad);
        return;
    }
    if (get_options_must_wait(&options) && get_wait_direct(api, stream, rest, message, &options))
        return;
    api_direct_get_now(api, stream, rest, message, &options);
}
