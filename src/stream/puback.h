/* PubAck: the answer to a publish. Built on the stack; bytes are exactly the original's. */
#pragma once

#include "stream/api_error.h"
#include "stream/stream.h"

/* The part before the sequence, made once per stream: {"stream":"S","seq":  or with the domain.
 * Owned by the caller. */
char *puback_prefix(Slice stream, Slice domain, size_t *out_len);

/* To reply when it is not empty and the stream acks. */
void puback_send(Stream *stream, Slice reply, uint64_t seq, bool is_duplicate);
/* Of a counter: with the total that payload says. */
void puback_send_counted(Stream *stream, Slice reply, uint64_t seq, Slice payload);
void puback_refuse(Stream *stream, Slice reply, ApiError error);
/* The parts of an answer: the refusal's JSON; sending. */
void puback_write_error(Buf *out, Stream *stream, ApiError error);
void puback_send_bytes(Stream *stream, Slice reply, Slice headers, Slice payload);
/* For a whole batch: seq is the last one's. */
void puback_batch(Stream *stream, Slice reply, uint64_t seq, Slice batch, uint64_t count);
/* Any text, also an empty one. */
void puback_text(Stream *stream, Slice reply, Slice text);
/* {"code":..,"err_code":..,"description":".."} */
void puback_write_api_error(Buf *out, ApiError error);
/* Status 429 with error 10167. */
void puback_too_many(Stream *stream, Slice reply);
