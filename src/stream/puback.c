#include "stream/puback.h"

#include <string.h>

#include "base/mem.h"
#include "proto/json.h"
#include "stream/stream_parts.h"

enum { ACK_BYTES_MAX = 2 * LIMIT_NAME_BYTES + 96 };

char *puback_prefix(Slice stream, Slice domain, size_t *out_len) {
    Buf text = {0};
    buf_append_lit(&text, "{\"stream\":");
    json_write_string(&text, stream);
    if (domain.len) {
        buf_append_lit(&text, ",\"domain\":");
        json_write_string(&text, domain);
    }
    buf_append_lit(&text, ",\"seq\":");
    *out_len = text.len;
    return text.ptr;
}

void puback_send_bytes(Stream *stream, Slice reply, Slice headers, Slice payload) {
    Message message = {.subject = reply, .headers = headers, .payload = payload};
    bus_publish(stream->account, reply, &message, NULL, BUS_NO_MAPPINGS);
}

void puback_send(Stream *stream, Slice reply, uint64_t seq, bool is_duplicate) {
    char text[ACK_BYTES_MAX];
    StreamParts *parts = stream->parts;
    size_t len = parts->ack_prefix_len;

    if (!reply.len || stream->config->no_ack)
        return;
    if (len > sizeof text - 64) { /* a name of many escapes */
        Buf buf = {0};
        buf_append_bytes(&buf, parts->ack_prefix, len);
        buf_append_u64(&buf, seq);
        buf_append(&buf, is_duplicate ? LIT(",\"duplicate\": true}") : LIT("}"));
        puback_send_bytes(stream, reply, (Slice){0}, buf_slice(&buf));
        buf_done(&buf);
        return;
    }
    memcpy(text, parts->ack_prefix, len);
    len += u64_to_decimal(seq, text + len);
    Slice tail = is_duplicate ? LIT(",\"duplicate\": true}") : LIT("}");
    memcpy(text + len, tail.ptr, tail.len);
    puback_send_bytes(stream, reply, (Slice){0}, slice_from(text, len + tail.len));
}

void puback_send_counted(Stream *stream, Slice reply, uint64_t seq, Slice payload) {
    StreamParts *parts = stream->parts;
    CounterValue value;
    if (!reply.len || stream->config->no_ack || counter_read((Slice){0}, payload, &value))
        return;
    Buf text = {0};
    buf_append_bytes(&text, parts->ack_prefix, parts->ack_prefix_len);
    buf_append_u64(&text, seq);
    buf_append_lit(&text, ",\"val\":\"");
    buf_append(&text, value.total);
    buf_append_lit(&text, "\"}");
    puback_send_bytes(stream, reply, (Slice){0}, buf_slice(&text));
    buf_done(&text);
}

void puback_write_api_error(Buf *out, ApiError error) {
    buf_append_lit(out, "{\"code\":");
    buf_append_u64(out, error.http);
    buf_append_lit(out, ",\"err_code\":");
    buf_append_u64(out, error.code);
    buf_append_lit(out, ",\"description\":");
    json_write_string(out, error.text);
    buf_append_char(out, '}');
}

void puback_write_error(Buf *out, Stream *stream, ApiError error) {
    buf_append_lit(out, "{\"error\":");
    puback_write_api_error(out, error);
    buf_append_lit(out, ",\"stream\":");
    json_write_string(out, stream_name(stream));
    buf_append_lit(out, ",\"seq\":0}");
}

void puback_batch(Stream *stream, Slice reply, uint64_t seq, Slice batch, uint64_t count) {
    Buf text = {0};
    buf_append_bytes(&text, stream->parts->ack_prefix, stream->parts->ack_prefix_len);
    buf_append_u64(&text, seq);
    buf_append_lit(&text, ",\"batch\":");
    json_write_string(&text, batch);
    buf_append_lit(&text, ",\"count\":");
    buf_append_u64(&text, count);
    buf_append_char(&text, '}');
    puback_text(stream, reply, buf_slice(&text));
    buf_done(&text);
}

void puback_text(Stream *stream, Slice reply, Slice text) {
    if (reply.len && !stream->config->no_ack)
        puback_send_bytes(stream, reply, (Slice){0}, text);
}

void puback_refuse(Stream *stream, Slice reply, ApiError error) {
    if (!reply.len || stream->config->no_ack)
        return;
    Buf text = {0};
    puback_write_error(&text, stream, error);
    puback_send_bytes(stream, reply, (Slice){0}, buf_slice(&text));
    buf_done(&text);
}

void puback_too_many(Stream *stream, Slice reply) {
    if (!reply.len || stream->config->no_ack)
        return;
    Buf text = {0};
    puback_write_error(&text, stream, api_error(JSStreamTooManyRequests));
    puback_send_bytes(stream, reply, LIT("NATS/1.0 429 Too Many Requests\r\n\r\n"),
                      buf_slice(&text));
    buf_done(&text);
}
