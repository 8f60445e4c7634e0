#include "stream/pull_request.h"

#include "proto/json.h"

enum { PRIORITY_MAX = 9 };

static const JsonField body_fields[] = {
    JSON_ROW(PullBody, expires_ns, "expires", JSON_DURATION),
    JSON_ROW(PullBody, batch, "batch", JSON_INT, .go_type = "int"),
    JSON_ROW(PullBody, max_bytes, "max_bytes", JSON_INT, .go_type = "int"),
    JSON_ROW(PullBody, no_wait, "no_wait", JSON_BOOL),
    JSON_ROW(PullBody, heartbeat_ns, "idle_heartbeat", JSON_DURATION),
    JSON_ROW(PullBody, group, "group", JSON_STRING),
    JSON_ROW(PullBody, min_pending, "min_pending", JSON_INT),
    JSON_ROW(PullBody, min_ack_pending, "min_ack_pending", JSON_INT),
    JSON_ROW(PullBody, id, "id", JSON_STRING),
    JSON_ROW(PullBody, priority, "priority", JSON_INT, .go_type = "int"),
};
static const JsonSchema body_schema = JSON_SCHEMA("", body_fields);

static Status refuse(Buf *out_error, Slice text) {
    buf_append(out_error, text);
    return ERR_SYNTAX;
}

Status pull_body_parse(Slice body, Arena *arena, PullBody *out_body, Buf *out_error) {
    PullBody parsed = {0};
    body = slice_trim(body);
    if (body.len && body.ptr[0] == '{') {
        parsed.is_formal = true;
        if (json_read(body, &body_schema, JSON_LOOSE, arena, &parsed, out_error) != OK)
            return ERR_SYNTAX;
        if (parsed.priority < 0 || parsed.priority > PRIORITY_MAX)
            return refuse(out_error, LIT("Priority must be between 0 and 9"));
        if (parsed.heartbeat_ns > 0 && parsed.heartbeat_ns > parsed.expires_ns / 2)
            return refuse(out_error, LIT("heartbeat value too large"));
    } else {
        uint64_t number;
        if (slice_parse_u64(body, &number) == OK && number <= INT64_MAX)
            parsed.batch = (int64_t)number;
    }
    parsed.has_no_batch = parsed.is_formal && parsed.batch <= 0;
    if (parsed.batch <= 0)
        parsed.batch = 1;
    if (parsed.max_bytes < 0)
        parsed.max_bytes = 0;
    *out_body = parsed;
    return OK;
}
