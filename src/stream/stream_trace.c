/* What becomes of a traced message (bus/trace.h) in a stream. */
#include "bus/trace.h"
#include "proto/headers.h"
#include "proto/json.h"
#include "stream/stream_parts.h"

static const Slice dest_name = LIT("Nats-Trace-Dest");

static Buf *begin(Stream *stream, Trace *trace) {
    Buf *out = trace_event(trace, "js");
    buf_append_lit(out, ",\"stream\":");
    json_write_string(out, stream_name(stream));
    return out;
}

void stream_trace_stored(Stream *stream, Trace *trace, Slice subject, bool is_unwanted) {
    Buf *out = begin(stream, trace);
    buf_append_lit(out, ",\"subject\":");
    json_write_string(out, subject);
    buf_append(out, is_unwanted ? LIT(",\"nointerest\":true}") : LIT("}"));
}

static void write_mismatch(Buf *out, const PubHeaders *ask, const PubVerdict *verdict) {
    Slice wanted = verdict->is_of_subject ? ask->expected_subject_seq : ask->expected_last_seq;
    uint64_t number;
    if (slice_parse_u64(wanted, &number))
        number = UINT64_MAX;
    buf_printf(out, ": %llu vs %llu", (unsigned long long)number,
               (unsigned long long)verdict->current_seq);
}

/* The original's words for what the client is told in others. */
static void write_reason(Buf *out, Stream *stream, const PubHeaders *ask, const PubVerdict *verdict,
                         bool is_batch) {
    ApiError error = verdict->error;
    switch (error.code) {
    case JSStreamWrongLastSequenceErrF:
    case JSStreamWrongLastSequenceConstantErr:
        buf_printf(out, "last sequence%s mismatch", verdict->is_of_subject ? " by subject" : "");
        if (ask && error.code == JSStreamWrongLastSequenceErrF)
            write_mismatch(out, ask, verdict);
        break;
    case JSStreamWrongLastMsgIDErrF:
        buf_printf(out, "last msgid mismatch: \"%.*s\" vs \"%.*s\"",
                   SLICE_ARG(ask ? ask->expected_last_msg_id : (Slice){0}),
                   SLICE_ARG(buf_slice(&stream->parts->last_msg_id)));
        break;
    case JSMessageTTLDisabledErr:
        buf_append_lit(out, "message TTL disabled");
        break;
    case JSAtomicPublishContainsDuplicateMessageErr:
        buf_append_lit(out, "msgid is duplicate");
        break;
    case JSStreamMessageExceedsMaximumErr:
    case JSStreamHeaderExceedsMaximumErr:
        if (is_batch)
            buf_printf(out, "JetStream %s size exceeds limits for '%.*s > %.*s'",
                       error.code == JSStreamMessageExceedsMaximumErr ? "message" : "header",
                       SLICE_ARG(account_name(stream->account)), SLICE_ARG(stream_name(stream)));
        else
            buf_append_lit(out, "maximum payload exceeded");
        break;
    case JSStreamNotMatchErr:
    case JSStreamRollupFailedF:
    case JSStreamStoreFailedF:
        buf_append(out, error.text);
        break;
    default:
        buf_append(out, error.text);
        buf_printf(out, " (%u)", error.code);
    }
}

/* What a single message is refused for when it is known where it would go. */
static bool is_late(const ApiError *error) {
    return error->code == JSStreamStoreFailedF || error->code == JSMessageTTLInvalidErr ||
           error->code == JSAccountResourcesExceededErr;
}

static void refused(Stream *stream, Trace *trace, const PubHeaders *ask, const PubVerdict *verdict,
                    Slice subject, bool is_batch) {
    Buf reason = {0};
    Buf *out = begin(stream, trace);
    if (verdict->is_duplicate)
        buf_append_lit(&reason, "msgid is duplicate");
    else
        write_reason(&reason, stream, ask, verdict, is_batch);
    if (subject.len && is_late(&verdict->error)) {
        buf_append_lit(out, ",\"subject\":");
        json_write_string(out, subject);
    }
    buf_append_lit(out, ",\"error\":");
    json_write_string(out, buf_slice(&reason));
    buf_append_char(out, '}');
    buf_done(&reason);
}

void stream_trace_refused(Stream *stream, Trace *trace, Slice subject, const PubHeaders *ask,
                          const PubVerdict *verdict) {
    refused(stream, trace, ask, verdict, subject, false);
}

void stream_trace_batch_refused(Stream *stream, Trace *trace, const PubHeaders *ask,
                                const PubVerdict *verdict) {
    refused(stream, trace, ask, verdict, (Slice){0}, true);
}

static bool is_dest(Slice name, void *cookie) {
    (void)cookie;
    return slice_equal(name, dest_name);
}

Slice stream_trace_headers(Stream *stream, Slice headers) {
    Buf text = {0};
    Slice dest;
    if (header_get(headers, dest_name, &dest)) {
        buf_append_bytes(&text, headers.ptr, (size_t)(dest.ptr - headers.ptr));
        buf_append_lit(&text, "trace disabled");
        buf_append(&text, slice_from_at(headers, (size_t)(dest.ptr - headers.ptr) + dest.len));
    } else { /* by its traceparent */
        header_copy_open(&text, headers, is_dest, NULL);
        header_append(&text, dest_name, LIT("trace disabled"));
        header_end(&text);
    }
    Slice stored = arena_copy(stream->group.home->turn, buf_slice(&text));
    buf_done(&text);
    return stored;
}
