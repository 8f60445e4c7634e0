#include "base/mem.h"
#include "proto/base64.h"
#include "proto/headers.h"
#include "proto/json.h"
#include "proto/subject.h"
#include "stream/api_private.h"
#include "stream/txn.h"

typedef struct OpRow {
    Slice stream, bucket, key, subject, op, value, text;
    Slice expected; /* the number as written; empty = none */
    JsonPair *headers;
    size_t header_count;
} OpRow;

static const JsonField op_rows[] = {
    JSON_ROW(OpRow, stream, "stream", JSON_STRING),
    JSON_ROW(OpRow, bucket, "bucket", JSON_STRING),
    JSON_ROW(OpRow, key, "key", JSON_STRING),
    JSON_ROW(OpRow, subject, "subject", JSON_STRING),
    JSON_ROW(OpRow, op, "op", JSON_STRING),
    JSON_ROW(OpRow, value, "value", JSON_STRING),
    JSON_ROW(OpRow, text, "text", JSON_STRING),
    JSON_ROW(OpRow, expected, "expected_seq", JSON_RAW),
    JSON_LIST_ROW(OpRow, headers, header_count, "headers", JSON_MAP),
};
static const JsonSchema op_schema = JSON_SCHEMA("TransactionOperation", op_rows);

typedef struct Body {
    OpRow *ops;
    size_t op_count;
} Body;
static const JsonField body_rows[] = {
    JSON_STRUCTS_ROW(Body, ops, op_count, OpRow, "ops", &op_schema,
                     "[]server.TransactionOperation"),
};
static const JsonSchema body_schema = JSON_SCHEMA("Transaction", body_rows);

void txn_refuse(ApiCall *call, size_t number, ApiError error, const uint64_t *current_seq) {
    Buf out;
    api_begin(call, &out);
    buf_printf(&out, ",\"error\":{\"code\":%u,\"err_code\":%u,\"description\":", error.http,
               error.code);
    json_write_string(&out, error.text);
    buf_printf(&out, "},\"failed\":{\"op\":%zu", number);
    if (current_seq)
        buf_printf(&out, ",\"current_seq\":%llu", (unsigned long long)*current_seq);
    buf_append_char(&out, '}');
    api_finish(call, &out);
}

static Slice joined(Arena *arena, const Slice *parts, size_t count) {
    Buf text = {0};
    for (size_t i = 0; i < count; i++)
        buf_append(&text, parts[i]);
    Slice copy = arena_copy(arena, buf_slice(&text));
    buf_done(&text);
    return copy;
}

static bool is_header(const JsonPair *pair) {
    for (size_t i = 0; i < pair->key.len; i++)
        if (pair->key.ptr[i] <= ' ' || pair->key.ptr[i] == ':' || pair->key.ptr[i] == 127)
            return false;
    for (size_t i = 0; i < pair->value.len; i++)
        if (pair->value.ptr[i] == '\r' || pair->value.ptr[i] == '\n')
            return false;
    return pair->key.len > 0;
}

static Slice stream_of(Arena *arena, const OpRow *row) {
    return row->bucket.len ? joined(arena, (const Slice[]){LIT("KV_"), row->bucket}, 2)
                           : arena_copy(arena, row->stream);
}

static Slice subject_of(Arena *arena, const OpRow *row) {
    return row->bucket.len
               ? joined(arena, (const Slice[]){LIT("$KV."), row->bucket, LIT("."), row->key}, 4)
               : arena_copy(arena, row->subject);
}

/* What is wrong, or NULL. */
static const char *read_headers(Arena *arena, const OpRow *row, TxnOp *op) {
    bool is_delete = slice_equal(row->op, LIT("delete")),
         is_purge = slice_equal(row->op, LIT("purge"));
    if (!row->header_count && !is_delete && !is_purge)
        return NULL;
    const char *wrong = NULL;
    Buf block = {0};
    header_begin(&block, (Slice){0});
    if (is_delete || is_purge)
        header_append(&block, LIT("KV-Operation"), is_delete ? LIT("DEL") : LIT("PURGE"));
    if (is_purge)
        header_append(&block, LIT("Nats-Rollup"), LIT("sub"));
    for (size_t i = 0; i < row->header_count && !wrong; i++) {
        if (!is_header(&row->headers[i]))
            wrong = "a header is not valid";
        else
            header_append(&block, row->headers[i].key, row->headers[i].value);
    }
    header_end(&block);
    op->headers = arena_copy(arena, buf_slice(&block));
    buf_done(&block);
    PubHeaders headers;
    pub_headers_parse(op->headers, &headers);
    return headers.batch_id.len ? "Nats-Batch-Id is not for transactions" : wrong;
}

static const char *read_value(Arena *arena, const OpRow *row, TxnOp *op) {
    if (!row->value.len) {
        op->payload = arena_copy(arena, row->text);
        return NULL;
    }
    Buf bytes = {0};
    Status status = base64_read(&bytes, row->value);
    op->payload = arena_copy(arena, buf_slice(&bytes));
    buf_done(&bytes);
    if (row->text.len)
        return "value and text exclude each other";
    return status ? "value is not base64" : NULL;
}

static const char *read_op(Arena *arena, const OpRow *row, TxnOp *op, Slice *out_stream) {
    if (row->bucket.len) {
        if (row->stream.len || row->subject.len || !row->key.len)
            return "a bucket goes with a key and nothing else";
    } else if (!row->stream.len || row->key.len) {
        return "stream and subject, or bucket and key are needed";
    }
    *out_stream = stream_of(arena, row);
    op->subject = subject_of(arena, row);
    if (!subject_is_literal(op->subject))
        return "the subject is not valid";
    bool is_check = slice_equal(row->op, LIT("check"));
    bool is_empty =
        is_check || slice_equal(row->op, LIT("delete")) || slice_equal(row->op, LIT("purge"));
    if (!is_empty && row->op.len && !slice_equal(row->op, LIT("put")))
        return "op is none of put, delete, purge, check";
    if (is_empty && (row->value.len || row->text.len))
        return "only put takes a value";
    op->is_write = !is_check;
    op->has_expected = row->expected.len > 0;
    if (op->has_expected && slice_parse_u64(row->expected, &op->expected))
        return "expected_seq is no sequence";
    if (is_check && !op->has_expected)
        return "check needs expected_seq";
    const char *wrong = read_headers(arena, row, op);
    return wrong ? wrong : read_value(arena, row, op);
}

static void refuse_invalid(ApiCall *call, size_t number, const char *why) {
    txn_refuse(call, number,
               api_error_with(api_arena(call), HWTransactionInvalidErrF, slice_of_text(why)), NULL);
}

bool txn_request_read(ApiCall *call, Arena *arena, TxnRequest *out_request) {
    Body body = {0};
    size_t bytes = 0;
    if (!api_read_body(call, &body_schema, JSON_LOOSE, &body))
        return false;
    if (!body.op_count || body.op_count > TXN_OPS_MAX) {
        refuse_invalid(call, 0, body.op_count ? "too many operations" : "no operations");
        return false;
    }
    TxnRequest request = {.ops = arena_alloc(arena, body.op_count * sizeof(TxnOp)),
                          .streams = arena_alloc(arena, body.op_count * sizeof(Slice)),
                          .count = body.op_count};
    for (size_t i = 0; i < body.op_count; i++) {
        TxnOp *op = &request.ops[i];
        *op = (TxnOp){.number = i};
        const char *wrong = read_op(arena, &body.ops[i], op, &request.streams[i]);
        bytes += op->subject.len + op->headers.len + op->payload.len + RECORD_HEADER_BYTES;
        if (!wrong && bytes > TXN_BYTES_MAX)
            wrong = "too many bytes";
        if (wrong) {
            refuse_invalid(call, i, wrong);
            return false;
        }
    }
    *out_request = request;
    return true;
}

/* With a domain the same requests have another name as well. */
static bool may_get(Arena *arena, Slice prefix, Slice stream, Slice subject, Port *from) {
    Slice get = joined(arena, (const Slice[]){prefix, LIT("STREAM.MSG.GET."), stream}, 3);
    Slice direct =
        joined(arena, (const Slice[]){prefix, LIT("DIRECT.GET."), stream, LIT("."), subject}, 5);
    return prefix.len && (from->ops->may_publish(from, get, false) ||
                          from->ops->may_publish(from, direct, false));
}

/* A check tells the last sequence of a subject, which its readers may know too. */
static bool may_check(const ApiCall *call, const OpRow *row, Port *from) {
    Arena *arena = api_arena(call);
    Slice stream = stream_of(arena, row), subject = subject_of(arena, row);
    return from->ops->may_publish(from, subject, false) ||
           may_get(arena, LIT("$JS.API."), stream, subject, from) ||
           may_get(arena, buf_slice(&call->js->api->domain), stream, subject, from);
}

bool txn_request_is_permitted(ApiCall *call, Port *from) {
    const PortOps *ops = from->ops;
    Arena *arena = api_arena(call);
    Body body = {0};
    Buf why = {0};
    Status status = json_read(call->body, &body_schema, JSON_LOOSE, arena, &body, &why);
    buf_done(&why);
    /* What cannot be read, or is too much, is refused as a whole later. */
    size_t count = status || body.op_count > TXN_OPS_MAX ? 0 : body.op_count;
    for (size_t i = 0; i < count; i++) {
        const OpRow *row = &body.ops[i];
        Slice subject = subject_of(arena, row);
        if ((slice_equal(row->op, LIT("check")) && may_check(call, row, from)) ||
            ops->may_publish(from, subject, true))
            continue;
        txn_refuse(call, i, api_error_with(arena, HWNotPermittedF, subject), NULL);
        return false;
    }
    return true;
}
