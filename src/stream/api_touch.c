#include "proto/subject.h"
#include "stream/api_private.h"
#include "stream/lease.h"
#include "stream/pub_headers.h"
#include "stream/stream_touch.h"

/* HW.TOUCH: another time to live for a key. */

typedef struct TouchBody {
    Slice subject, ttl, bind;
    uint64_t seq;
    bool connection;
} TouchBody;

static const JsonField touch_rows[] = {
    JSON_ROW(TouchBody, subject, "subject", JSON_STRING),
    JSON_ROW(TouchBody, ttl, "ttl", JSON_STRING),
    JSON_ROW(TouchBody, bind, "bind", JSON_STRING),
    JSON_ROW(TouchBody, seq, "seq", JSON_UINT),
    JSON_ROW(TouchBody, connection, "connection", JSON_BOOL),
};
static const JsonSchema touch_schema = JSON_SCHEMA("TouchRequest", touch_rows);

Slice api_touched_subject(ApiCall *call) {
    TouchBody body = {0};
    Buf why = {0};
    Status status = json_read(call->body, &touch_schema, JSON_LOOSE, api_arena(call), &body, &why);
    buf_done(&why);
    return status ? (Slice){0} : body.subject;
}

void api_on_hw_touch(ApiCall *call) {
    TouchBody body = {0};
    TouchRequest request;

    if (!api_read_body(call, &touch_schema, JSON_STRICT, &body))
        return;
    Stream *stream = api_call_stream(call);
    if (!stream) {
        api_reply_error(call, api_error(JSStreamNotFoundErr));
        return;
    }
    if (body.connection) {
        if (body.bind.len || !call->presence.len) {
            api_reply_error(call, api_error(JSBadRequestErr));
            return;
        }
        body.bind = call->presence;
    }
    if (body.subject.len > UINT16_MAX || !subject_is_literal(body.subject) ||
        body.bind.len > LEASE_BIND_BYTES_MAX || (body.bind.len && !subject_is_valid(body.bind))) {
        api_reply_error(call, api_error(JSBadRequestErr));
        return;
    }
    request = (TouchRequest){.subject = body.subject, .bind = body.bind, .seq = body.seq};
    TtlKind kind = body.ttl.len ? ttl_parse(body.ttl, &request.ttl_ns) : TTL_NONE;
    if (kind == TTL_INVALID) {
        api_reply_error(call, api_error(JSMessageTTLInvalidErr));
        return;
    }
    if (kind == TTL_FOREVER)
        request.ttl_ns = TOUCH_NEVER;
    stream_propose_touch(stream, &request, call);
}
