/* Delete and purge: proposed by the API, decided when applied. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "stream/api.h"
#include "stream/stream_parts.h"

enum { DELETE_BYTES = 9, PURGE_BYTES = 16 };

static ApiError error_with(const Stream *stream, unsigned code, Slice text) {
    return api_error_with(stream->group.home->turn, code, text);
}

static ApiError check_delete(const Stream *stream) {
    if (stream->config->sealed)
        return api_error(JSStreamSealedErr);
    if (stream->config->deny_delete)
        return error_with(stream, JSStreamMsgDeleteFailedF, LIT("message delete not permitted"));
    return API_OK;
}

static ApiError check_purge(const Stream *stream) {
    if (stream->config->sealed)
        return api_error(JSStreamSealedErr);
    if (stream->config->deny_purge)
        return error_with(stream, JSStreamPurgeFailedF, LIT("stream purge not permitted"));
    return API_OK;
}

static void append(Stream *stream, const Record *draft, ApiCall *call) {
    Ticket ticket = {.kind = TICKET_CALL, .pointer = call};
    journal_append(stream->js->journal, &stream->group, draft, &ticket, true);
}

void stream_propose_delete(Stream *stream, uint64_t seq, bool erase, ApiCall *call) {
    ASSERT_HOME(&stream->group);
    ApiError error = check_delete(stream);
    if (api_failed(error)) {
        api_reply_error(call, error);
        return;
    }
    char payload[DELETE_BYTES];
    bytes_put_u64(payload, seq);
    payload[8] = erase;
    append(stream,
           &(Record){.type = RECORD_DELETE,
                     .time_ns = stream_clock(stream),
                     .payload = slice_from(payload, sizeof payload)},
           call);
}

void stream_propose_purge(Stream *stream, Slice filter, uint64_t below_seq, uint64_t keep,
                          ApiCall *call) {
    ASSERT_HOME(&stream->group);
    ApiError error = check_purge(stream);
    if (api_failed(error)) {
        api_reply_error(call, error);
        return;
    }
    char payload[PURGE_BYTES];
    bytes_put_u64(payload, below_seq);
    bytes_put_u64(payload + 8, keep);
    append(stream,
           &(Record){.type = RECORD_PURGE,
                     .time_ns = stream_clock(stream),
                     .subject = filter,
                     .payload = slice_from(payload, sizeof payload)},
           call);
}

static ApiError delete_one(Stream *stream, uint64_t seq) {
    ApiError error = check_delete(stream);
    if (api_failed(error))
        return error;
    bool tells_where = stream_is_file(stream); /* the original's memory streams do not */
    if (tells_where && seq > stream->state.last_seq)
        return error_with(stream, JSStreamMsgDeleteFailedF, LIT("stream store EOF"));
    if (tells_where && (seq == 0 || seq < stream->state.first_seq))
        return error_with(stream, JSStreamMsgDeleteFailedF, LIT("no message found"));
    if (!msg_index_get(stream->index, seq))
        return api_error_with_u64(stream->group.home->turn, JSSequenceNotFoundErrF, seq);
    stream_drop(stream, seq, true);
    return API_OK;
}

void stream_apply_delete(Stream *stream, const Record *record, ApiCall *call) {
    ApiError error = record->payload.len == DELETE_BYTES
                         ? delete_one(stream, bytes_get_u64(record->payload.ptr))
                         : api_error(JSBadRequestErr);
    if (!call)
        return;
    if (api_failed(error))
        api_reply_error(call, error);
    else
        api_reply_success(call);
}

/* Everything below seq; beyond the last one the next message gets seq. */
static uint64_t purge_below(Stream *stream, uint64_t seq) {
    StreamState *state = &stream->state;
    uint64_t before = state->messages;
    if (seq > state->last_seq) {
        stream_drop_all(stream, seq);
        return before;
    }
    uint64_t first;
    while ((first = msg_index_next(stream->index, 0)) && first < seq)
        stream_drop(stream, first, false);
    return before - state->messages;
}

static uint64_t purge_whole(Stream *stream, uint64_t below_seq, uint64_t keep) {
    StreamState *state = &stream->state;
    if (below_seq)
        return purge_below(stream, below_seq);
    if (!keep)
        return purge_below(stream, state->last_seq + 1);
    uint64_t purged = 0;
    for (; state->messages > keep; purged++)
        stream_drop(stream, state->first_seq, false);
    return purged;
}

typedef struct Seqs {
    Stream *stream;
    uint64_t below;
    uint64_t *at;
    size_t len, cap;
} Seqs;

static bool collect(void *cookie, SubjectId id, SubjectEntry *entry) {
    (void)id;
    Seqs *seqs = cookie;
    const MsgIndex *index = seqs->stream->index;
    for (uint64_t seq = entry->first; seq && seq < seqs->below;
         seq = subject_chain_next(index, seq, msg_index_get(index, seq))) {
        if (seqs->len == seqs->cap) {
            seqs->cap = seqs->cap ? seqs->cap * 2 : 64;
            seqs->at = mem_realloc(seqs->at, seqs->cap * sizeof *seqs->at);
        }
        seqs->at[seqs->len++] = seq;
    }
    return true;
}

static int by_seq(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* In order of sequence, all but the newest `keep`. */
static uint64_t purge_matching(Stream *stream, Slice filter, uint64_t below_seq, uint64_t keep) {
    Seqs seqs = {.stream = stream, .below = below_seq ? below_seq : UINT64_MAX};
    subject_index_scan(&stream->parts->subjects, filter, collect, &seqs);
    uint64_t purged = seqs.len > keep ? seqs.len - keep : 0;
    if (purged)
        qsort(seqs.at, seqs.len, sizeof *seqs.at, by_seq);
    for (uint64_t i = 0; i < purged; i++)
        stream_drop(stream, seqs.at[i], false);
    mem_free(seqs.at);
    return purged;
}

void stream_apply_purge(Stream *stream, const Record *record, ApiCall *call) {
    ApiError error = check_purge(stream);
    uint64_t purged = 0;
    if (!api_failed(error) && record->payload.len != PURGE_BYTES)
        error = api_error(JSBadRequestErr);
    if (!api_failed(error)) {
        uint64_t below_seq = bytes_get_u64(record->payload.ptr),
                 keep = bytes_get_u64(record->payload.ptr + 8);
        purged = stream_all_filter(record->subject)
                     ? purge_whole(stream, below_seq, keep)
                     : purge_matching(stream, record->subject, below_seq, keep);
        consumer_set_on_purged(stream->consumers, record->subject);
    }
    if (!call)
        return;
    if (api_failed(error)) {
        api_reply_error(call, error);
        return;
    }
    Buf out = {0};
    api_begin(call, &out);
    buf_append_lit(&out, ",\"success\":true,\"purged\":");
    buf_append_u64(&out, purged);
    api_finish(call, &out);
}
