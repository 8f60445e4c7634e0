/* RECORD_TOUCH: subject: the key; payload, little endian: u64 seq, i64 ttl in ns (-1: never; 0: a
 * lease's own), then what a lease is bound to from now on. */
#include "stream/stream_touch.h"

#include <string.h>

#include "base/bytes.h"
#include "stream/api.h"
#include "stream/packed.h"
#include "stream/stream_parts.h"

enum { TOUCH_BYTES = 16 };

void stream_propose_touch(Stream *stream, const TouchRequest *request, ApiCall *call) {
    ASSERT_HOME(&stream->group);
    char numbers[TOUCH_BYTES];
    Buf payload = {0};
    bytes_put_u64(numbers, request->seq);
    bytes_put_u64(numbers + 8, (uint64_t)request->ttl_ns);
    buf_append_bytes(&payload, numbers, sizeof numbers);
    buf_append(&payload, request->bind);
    Record draft = {.type = RECORD_TOUCH,
                    .time_ns = stream_clock(stream),
                    .subject = request->subject,
                    .payload = buf_slice(&payload)};
    Ticket ticket = {.kind = TICKET_CALL, .pointer = call};
    journal_append(stream->js->journal, &stream->group, &draft, &ticket, true);
    buf_done(&payload);
}

static void set_flags(uint32_t *size, int64_t due_ns) {
    *size &= ~(uint32_t)(MSG_HAS_TTL | MSG_NEVER);
    *size |= due_ns == INT64_MAX ? MSG_NEVER : MSG_HAS_TTL;
}

static void set_due(Stream *stream, uint64_t seq, MsgSlot *slot, int64_t due_ns) {
    StreamParts *parts = stream->parts;
    if (slot->size & MSG_HAS_TTL)
        parts->ttl_live--;
    set_flags(&slot->size, due_ns);
    if (due_ns == INT64_MAX)
        return;
    parts->ttl_live++;
    ttl_queue_push(&parts->ttls, due_ns, seq);
}

static void remember(Stream *stream, uint64_t seq, int64_t due_ns) {
    map64_put(&stream->parts->touched, seq, (void *)(intptr_t)due_ns);
}

static ApiError check(Stream *stream, const Record *record, uint64_t *out_seq) {
    Arena *arena = stream->group.home->turn;
    StreamParts *parts = stream->parts;
    SubjectId id = subject_index_find(&parts->subjects, record->subject);
    const SubjectEntry *entry = id ? subject_index_entry(&parts->subjects, id) : NULL;
    uint64_t seq = entry && entry->count ? entry->last : 0;
    const MsgSlot *slot = seq ? msg_index_get(stream->index, seq) : NULL;

    if (stream->config->sealed)
        return api_error(JSStreamSealedErr);
    if (record->payload.len < TOUCH_BYTES)
        return api_error(JSBadRequestErr);
    uint64_t expected = bytes_get_u64(record->payload.ptr);
    if (expected && expected != seq)
        return parts->is_replaying ? api_error(JSStreamWrongLastSequenceErrF)
                                   : api_error_with_u64(arena, JSStreamWrongLastSequenceErrF, seq);
    if (!slot || slot->is_tombstone)
        return api_error(JSNoMessageFoundErr);
    int64_t ttl_ns = (int64_t)bytes_get_u64(record->payload.ptr + 8);
    bool is_lease = lease_find(stream, seq) != NULL;
    bool has_bind = record->payload.len > TOUCH_BYTES;
    if (is_lease ? ttl_ns < 0 : has_bind || ttl_ns == TOUCH_AS_BEFORE)
        return api_error(JSMessageTTLInvalidErr);
    if (!is_lease && !stream->config->allow_msg_ttl)
        return api_error(JSMessageTTLDisabledErr);
    *out_seq = seq;
    return API_OK;
}

static void answer(Stream *stream, ApiCall *call, uint64_t seq, int64_t due_ns) {
    const MsgSlot *slot = msg_index_get(stream->index, seq);
    int64_t max_age_ns = stream->config->max_age_ns;
    if (!(slot->size & MSG_NEVER) && max_age_ns > 0 && slot->time_ns <= INT64_MAX - max_age_ns &&
        slot->time_ns + max_age_ns < due_ns)
        due_ns = slot->time_ns + max_age_ns;
    Buf out;
    api_begin(call, &out);
    buf_append_lit(&out, ",\"success\":true,\"seq\":");
    buf_append_u64(&out, seq);
    if (due_ns != INT64_MAX) {
        buf_append_lit(&out, ",\"expires\":\"");
        time_write(&out, due_ns);
        buf_append_char(&out, '"');
    }
    api_finish(call, &out);
}

void stream_apply_touch(Stream *stream, const Record *record, ApiCall *call) {
    uint64_t seq = 0;
    ApiError error = check(stream, record, &seq);
    if (api_failed(error)) {
        if (call)
            api_reply_error(call, error);
        return;
    }
    int64_t ttl_ns = (int64_t)bytes_get_u64(record->payload.ptr + 8);
    Lease *lease = lease_find(stream, seq);
    if (lease) {
        lease_refresh(lease, record->time_ns, ttl_ns, slice_from_at(record->payload, TOUCH_BYTES));
        if (call)
            answer(stream, call, seq, lease->bind.len ? INT64_MAX : lease->due_ns);
        return;
    }
    int64_t due_ns = ttl_ns < 0 || ttl_ns > INT64_MAX - 1 - record->time_ns
                         ? INT64_MAX
                         : record->time_ns + ttl_ns;
    set_due(stream, seq, msg_index_edit(stream->index, seq), due_ns);
    remember(stream, seq, due_ns);
    if (seq < stream->parts->age_seq)
        stream->parts->age_seq = seq; /* it may have been passed as one that never goes */
    if (call)
        answer(stream, call, seq, due_ns);
}

int64_t stream_touched_due(const Stream *stream, uint64_t seq, int64_t due_ns, uint32_t *size) {
    const Map64 *touched = &stream->parts->touched;
    void *given = touched->len ? map64_get(touched, seq) : NULL;
    if (!given)
        return due_ns;
    due_ns = (int64_t)(intptr_t)given;
    set_flags(size, due_ns);
    return due_ns;
}

bool stream_due_is_current(const Stream *stream, uint64_t seq, int64_t due_ns) {
    const Map64 *touched = &stream->parts->touched;
    void *given = touched->len ? map64_get(touched, seq) : NULL;
    return !given || (int64_t)(intptr_t)given == due_ns;
}

void stream_touch_forget(Stream *stream, uint64_t seq) {
    (void)map64_remove(&stream->parts->touched, seq);
}

void stream_touch_save(Stream *stream, Buf *out) {
    uint64_t seq;
    void *due;
    if (!stream->parts->touched.len)
        return;
    packed_write_u64(out, stream->parts->touched.len);
    for (size_t at = 0; map64_next(&stream->parts->touched, &at, &seq, &due);) {
        packed_write_u64(out, seq);
        packed_write_i64(out, (int64_t)(intptr_t)due);
    }
}

Status stream_touch_load(Stream *stream, Slice bytes) {
    uint64_t count, seq;
    int64_t due_ns;
    if (!packed_read_u64(&bytes, &count))
        return ERR_CORRUPT;
    for (; count; count--) {
        if (!packed_read_u64(&bytes, &seq) || !packed_read_i64(&bytes, &due_ns) || due_ns <= 0)
            return ERR_CORRUPT;
        if (!msg_index_get(stream->index, seq))
            return ERR_CORRUPT;
        remember(stream, seq, due_ns); /* the queue has it, or gets it when the record comes */
    }
    return OK;
}
