#include "proto/headers.h"
#include "stream/api_private.h"

/* STREAM.* on the stream's home. */

typedef struct InfoRequest {
    int64_t offset;
    bool deleted_details, chunks;
    Slice subjects_filter;
} InfoRequest;

static const JsonField info_rows[] = {
    JSON_ROW(InfoRequest, offset, "offset", JSON_INT, .go_type = "int"),
    JSON_ROW(InfoRequest, deleted_details, "deleted_details", JSON_BOOL),
    JSON_ROW(InfoRequest, chunks, "hw_chunks", JSON_BOOL),
    JSON_ROW(InfoRequest, subjects_filter, "subjects_filter", JSON_STRING),
};
static const JsonSchema info_schema = JSON_SCHEMA("JSApiStreamInfoRequest", info_rows);

static void count_subject(void *cookie, const SubjectState *subject) {
    (void)subject;
    ++*(uint64_t *)cookie;
}

void api_on_stream_info(ApiCall *call) {
    InfoRequest request = {0};
    Slice kind;
    Buf out;

    if (json_looks_structured(call->body) &&
        !api_read_body(call, &info_schema, JSON_STRICT, &request))
        return;
    Stream *stream = api_call_stream(call);
    if (!stream) {
        api_reply_error(call, api_error(JSStreamNotFoundErr));
        return;
    }
    uint64_t subjects = 0;
    if (request.subjects_filter.len) {
        Filters filters = {&request.subjects_filter, 1};
        stream_each_subject(stream, &filters, count_subject, &subjects);
    }
    bool is_create = header_get(call->headers, LIT("Nats-Response-Type"), &kind) &&
                     slice_equal(kind, LIT("create"));
    api_begin_as(call, is_create ? LIT("stream_create_response") : call->endpoint->type, &out);
    uint64_t offset = request.offset > 0 ? (uint64_t)request.offset : 0;
    api_write_page(&out, subjects, subjects ? offset : 0,
                   subjects ? LIMIT_API_SUBJECTS_PER_PAGE : 0);
    StreamInfoOptions options = {
        .has_cluster = true,
        .has_domain = true,
        .deleted_details = request.deleted_details,
        .chunks = request.chunks,
        .subjects_filter = request.subjects_filter,
        .offset = offset,
    };
    stream_info_write(&out, stream, &options);
    api_finish(call, &out);
}

typedef struct PurgeRequest {
    uint64_t seq, keep;
    Slice filter;
} PurgeRequest;

static const JsonField purge_rows[] = {
    JSON_ROW(PurgeRequest, seq, "seq", JSON_UINT),
    JSON_ROW(PurgeRequest, filter, "filter", JSON_STRING),
    JSON_ROW(PurgeRequest, keep, "keep", JSON_UINT),
};
static const JsonSchema purge_schema = JSON_SCHEMA("JSApiStreamPurgeRequest", purge_rows);

void api_on_stream_purge(ApiCall *call) {
    PurgeRequest request = {0};

    if (json_looks_structured(call->body) &&
        !api_read_body(call, &purge_schema, JSON_STRICT, &request))
        return;
    Stream *stream = api_call_stream(call);
    if (request.seq > 0 && request.keep > 0)
        api_reply_error(call, api_error(JSBadRequestErr));
    else if (!stream)
        api_reply_error(call, api_error(JSStreamNotFoundErr));
    else
        stream_propose_purge(stream, request.filter, request.seq, request.keep, call);
}

typedef struct DeleteRequest {
    uint64_t seq;
    bool no_erase;
} DeleteRequest;

static const JsonField delete_rows[] = {
    JSON_ROW(DeleteRequest, seq, "seq", JSON_UINT),
    JSON_ROW(DeleteRequest, no_erase, "no_erase", JSON_BOOL),
};
static const JsonSchema delete_schema = JSON_SCHEMA("JSApiMsgDeleteRequest", delete_rows);

void api_on_stream_msg_delete(ApiCall *call) {
    DeleteRequest request = {0};

    if (!api_read_body(call, &delete_schema, JSON_STRICT, &request))
        return;
    Stream *stream = api_call_stream(call);
    if (!stream)
        api_reply_error(call, api_error(JSStreamNotFoundErr));
    else
        stream_propose_delete(stream, request.seq, !request.no_erase, call);
}
