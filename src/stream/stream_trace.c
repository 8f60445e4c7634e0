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

/* The original's words for what the client is told in others. */
static void write_reason(Buf *out, const PubHeaders *ask, const PubVerdict *verdict) {
    if (verdict->is_duplicate) {
        buf_append_lit(out, "msgid is duplicate");
        return;
    }
    switch (verdict->error.code) {
    case JSStreamWrongLastSequenceErrF:
        if (!ask)
            break;
        buf_printf(out, "last sequence%s mismatch: %.*s vs %llu",
                   ask->expected_subject_seq.len ? " by subject" : "",
                   SLICE_ARG(ask->expected_subject_seq.len ? ask->expected_subject_seq
                                                           : ask->expected_last_seq),
                   (unsigned long long)verdict->current_seq);
        break;
    case JSMessageTTLDisabledErr:
        buf_append_lit(out, "message TTL disabled");
        break;
    case JSStreamMessageExceedsMaximumErr:
        buf_append_lit(out, "maximum payload exceeded");
        break;
    default:
        buf_append(out, verdict->error.text);
    }
}

void stream_trace_refused(Stream *stream, Trace *trace, const PubHeaders *ask,
                          const PubVerdict *verdict) {
    Buf reason = {0};
    Buf *out = begin(stream, trace);
    write_reason(&reason, ask, verdict);
    buf_append_lit(out, ",\"error\":");
    json_write_string(out, buf_slice(&reason));
    buf_append_char(out, '}');
    buf_done(&reason);
}

Slice stream_trace_headers(Stream *stream, Slice headers) {
    Buf text = {0};
    Slice dest;
    if (!header_get(headers, dest_name, &dest))
        return headers;
    buf_append_bytes(&text, headers.ptr, (size_t)(dest.ptr - headers.ptr));
    buf_append_lit(&text, "trace disabled");
    buf_append(&text, slice_from_at(headers, (size_t)(dest.ptr - headers.ptr) + dest.len));
    Slice stored = arena_copy(stream->group.home->turn, buf_slice(&text));
    buf_done(&text);
    return stored;
}
