/* A publish on its way to the journal, and the rules that decide whether it is stored. */
#include <string.h>

#include "bus/trace.h"
#include "io/clock.h"
#include "proto/subject.h"
#include "stream/puback.h"
#include "stream/puback_current.h"
#include "stream/stream_batch.h"
#include "stream/stream_fast.h"
#include "stream/stream_parts.h"
#include "stream/usage.h"

enum { CHUNK_PREFIX_TOKENS = 3, NS_PER_SECOND = 1000000000 };

static Arena *turn_of(const Stream *stream) {
    return stream->group.home->turn;
}

/* In recovery nobody reads the text, and no turn ends that would free it. */
static ApiError error_with(const Stream *stream, unsigned code, Slice text) {
    return stream->parts->is_replaying ? api_error(code)
                                       : api_error_with(turn_of(stream), code, text);
}

/* What needs nothing but the config; first in the original's order too. */
static unsigned check_alone(const Stream *stream, Slice subject, Slice headers, Slice payload) {
    const StreamConfig *config = stream->config;
    size_t size = headers.len + payload.len;
    if (config->sealed)
        return JSStreamSealedErr;
    if (config->max_msg_size >= 0 && size > (uint64_t)config->max_msg_size)
        return JSStreamMessageExceedsMaximumErr;
    if (headers.len > LIMIT_STORED_HEADER_BYTES)
        return JSStreamHeaderExceedsMaximumErr;
    if (subject.len + size > STREAM_MESSAGE_BYTES_MAX || subject.len > UINT16_MAX)
        return JSStreamStoreFailedF;
    return 0;
}

bool stream_fits(const Stream *stream, const Record *message) {
    return check_alone(stream, message->subject, message->headers, message->payload) == 0;
}

static ApiError alone_error(const Stream *stream, unsigned code) {
    if (code == JSStreamStoreFailedF)
        return error_with(stream, code, LIT("message too large"));
    return api_error(code);
}

static uint64_t last_of_subject(Stream *stream, Slice subject) {
    SubjectId id = subject_index_find(&stream->parts->subjects, subject);
    if (!id)
        return 0;
    const SubjectEntry *entry = subject_index_entry(&stream->parts->subjects, id);
    return entry->count ? entry->last : 0;
}

static uint64_t last_of_pattern(Stream *stream, Slice pattern) {
    if (!subject_is_valid(pattern))
        return 0;
    return stream_last(stream, &(Filters){&pattern, 1}, 0);
}

static bool is_number(Slice text, uint64_t value) {
    uint64_t number;
    return slice_parse_u64(text, &number) == OK && number == value;
}

static ApiError wrong_last(const Stream *stream, uint64_t actual) {
    char text[20];
    return error_with(stream, JSStreamWrongLastSequenceErrF,
                      slice_from(text, u64_to_decimal(actual, text)));
}

/* In a batch only its first message can expect a last sequence, and a subject's only when the batch
 * has not written to it yet. */
static ApiError check_expected_in_batch(const Stream *stream, const Record *message,
                                        const PubHeaders *ask, const BatchView *view,
                                        PubVerdict *verdict) {
    uint64_t last = verdict->current_seq = stream->state.last_seq + view->count;
    if (ask->expected_last_seq.len && !is_number(ask->expected_last_seq, last))
        return wrong_last(stream, last);
    if (ask->expected_last_seq.len && view->count)
        return api_error(JSStreamWrongLastSequenceConstantErr);
    Slice subject = ask->expected_subject.len ? ask->expected_subject : message->subject;
    verdict->is_of_subject = ask->expected_subject_seq.len && batch_view_find(view, subject);
    return verdict->is_of_subject ? api_error(JSStreamWrongLastSequenceConstantErr) : API_OK;
}

static ApiError check_expected(Stream *stream, const Record *message, const PubHeaders *ask,
                               PubVerdict *verdict) {
    uint64_t *out_current = &verdict->current_seq;
    if (ask->expected_subject_seq.len) {
        uint64_t last = ask->expected_subject.len ? last_of_pattern(stream, ask->expected_subject)
                                                  : last_of_subject(stream, message->subject);
        *out_current = last;
        verdict->is_of_subject = !is_number(ask->expected_subject_seq, last);
        if (verdict->is_of_subject)
            return wrong_last(stream, last);
    } else if (ask->expected_subject.len) {
        return api_error(JSStreamExpectedLastSeqPerSubjectInvalid);
    }
    *out_current = stream->state.last_seq;
    if (ask->expected_last_seq.len && !is_number(ask->expected_last_seq, stream->state.last_seq))
        return wrong_last(stream, stream->state.last_seq);
    return API_OK;
}

/* What was not found good at the door is refused, in the order it came in. */
static unsigned check_schedule(Stream *stream, const Record *message, const PubHeaders *ask) {
    if (ask->schedule.len && !(message->flags & RECORD_SCHEDULED)) {
        unsigned code = schedules_check(stream, message->subject, message->headers);
        return code ? code : JSMessageSchedulesPatternInvalidErr;
    }
    return schedules_check_request(stream, message->subject, ask);
}

static bool is_rollup_subject(Slice value) {
    return slice_equal_ignoring_case(value, LIT("sub"));
}

static ApiError check_rollup_in_batch(const Stream *stream, Slice subject, const PubHeaders *ask,
                                      const BatchView *view) {
    if (is_rollup_subject(ask->rollup))
        return batch_view_find(view, subject)
                   ? error_with(stream, JSStreamRollupFailedF, LIT("batch rollup sub invalid"))
                   : API_OK;
    return view->count ? error_with(stream, JSStreamRollupFailedF, LIT("batch rollup all invalid"))
                       : API_OK;
}

static ApiError check_rollup(const Stream *stream, Slice subject, const PubHeaders *ask,
                             const BatchView *view) {
    if (!ask->rollup.len)
        return API_OK;
    if (!stream->config->allow_rollup_hdrs)
        return error_with(stream, JSStreamRollupFailedF, LIT("rollup not permitted"));
    if (is_rollup_subject(ask->rollup) || slice_equal_ignoring_case(ask->rollup, LIT("all")))
        return view ? check_rollup_in_batch(stream, subject, ask, view) : API_OK;
    Buf text = {0};
    buf_append_lit(&text, "rollup value invalid: \"");
    for (size_t i = 0; i < ask->rollup.len; i++) { /* quoted as Go does */
        char c = ask->rollup.ptr[i];
        if (c == '"' || c == '\\')
            buf_append_char(&text, '\\');
        buf_append_char(&text, c);
    }
    buf_append_char(&text, '"');
    ApiError error = error_with(stream, JSStreamRollupFailedF, buf_slice(&text));
    buf_done(&text);
    return error;
}

/* A known id makes a single message a duplicate, and a batch invalid. */
static ApiError check_msg_id(Stream *stream, const Record *message, const PubHeaders *ask,
                             const BatchView *view, PubVerdict *verdict) {
    int64_t window_ns = stream->config->duplicate_window_ns;
    if (!ask->msg_id.len || window_ns <= 0)
        return API_OK;
    bool is_known = dup_window_find(&stream->parts->duplicates, ask->msg_id,
                                    message->time_ns - window_ns, &verdict->duplicate_seq);
    if (view)
        return is_known || map_get(&view->ids, ask->msg_id)
                   ? api_error(JSAtomicPublishContainsDuplicateMessageErr)
                   : API_OK;
    verdict->is_duplicate = is_known;
    return API_OK;
}

static ApiError check_counter(const Stream *stream, const Record *message, const PubHeaders *ask) {
    bool has_payload = message->payload.len && !(message->flags & RECORD_COUNTED);
    if (!ask->increment.len)
        return API_OK;
    unsigned code = counter_check(ask, stream->config->allow_msg_counter, has_payload);
    return code ? api_error(code) : API_OK;
}

/* What comes first; in batches also a time to live that cannot be read. */
static ApiError check_first(const Stream *stream, const Record *message, const PubHeaders *ask,
                            bool is_in_batch) {
    const StreamConfig *config = stream->config;
    ApiError error = check_counter(stream, message, ask);
    if (api_failed(error))
        return error;
    if (ask->expected_stream.len && !slice_equal(ask->expected_stream, config->name))
        return api_error(JSStreamNotMatchErr);
    bool is_invalid = is_in_batch && ask->ttl_kind == TTL_INVALID;
    bool has_ttl = ask->ttl_kind == TTL_SOME || ask->ttl_kind == TTL_FOREVER || is_invalid;
    if (has_ttl && !config->allow_msg_ttl)
        return api_error(JSMessageTTLDisabledErr);
    return is_invalid ? api_error(JSMessageTTLInvalidErr) : API_OK;
}

static ApiError check_expectations(Stream *stream, const Record *message, const PubHeaders *ask,
                                   const BatchView *view, PubVerdict *verdict) {
    ApiError error = view ? check_expected_in_batch(stream, message, ask, view, verdict) : API_OK;
    if (!api_failed(error))
        error = check_expected(stream, message, ask, verdict);
    if (!api_failed(error) && (ask->lease.len || ask->lease_ended.len))
        error = lease_check(stream, message, ask, view != NULL, &verdict->current_seq);
    if (api_failed(error))
        return error;
    unsigned code = check_schedule(stream, message, ask);
    return code ? api_error(code) : API_OK;
}

static ApiError check_headers_in_batch(Stream *stream, const Record *message, const PubHeaders *ask,
                                       const BatchView *view, PubVerdict *verdict) {
    if (ask->expected_last_msg_id.len)
        return error_with(stream, JSAtomicPublishUnsupportedHeaderBatchErr,
                          LIT("Nats-Expected-Last-Msg-Id"));
    ApiError error = check_first(stream, message, ask, true);
    if (!api_failed(error))
        error = check_msg_id(stream, message, ask, view, verdict);
    if (!api_failed(error) && ask->stream_source.len)
        error = api_error(JSMessageSourceHdrNotAllowedErr);
    if (!api_failed(error) && stream->config->allow_msg_counter && !ask->increment.len)
        error = api_error(JSMessageIncrMissingErr);
    if (!api_failed(error))
        error = check_expectations(stream, message, ask, view, verdict);
    return api_failed(error) ? error : check_rollup(stream, message->subject, ask, view);
}

static ApiError check_headers(Stream *stream, const Record *message, const PubHeaders *ask,
                              PubVerdict *verdict) {
    if (ask->batch_id.len && !(message->flags & RECORD_FAST))
        return api_error(JSAtomicPublishDisabledErr);
    ApiError error = check_first(stream, message, ask, false);
    if (!api_failed(error))
        error = check_expectations(stream, message, ask, NULL, verdict);
    if (!api_failed(error) && ask->stream_source.len)
        error = api_error(JSMessageSourceHdrNotAllowedErr);
    if (!api_failed(error))
        error = check_msg_id(stream, message, ask, NULL, verdict);
    if (api_failed(error) || verdict->is_duplicate)
        return error;
    Slice last_id = buf_slice(&stream->parts->last_msg_id);
    if (ask->expected_last_msg_id.len && !slice_equal(ask->expected_last_msg_id, last_id))
        return error_with(stream, JSStreamWrongLastMsgIDErrF, last_id);
    return check_rollup(stream, message->subject, ask, NULL);
}

/* "$O.<bucket>.C.<nuid>" */
static bool is_object_chunk(Slice subject) {
    if (!slice_starts_with(subject, LIT("$O.")))
        return false;
    return slice_equal(subject_token(subject, CHUNK_PREFIX_TOKENS - 1), LIT("C"));
}

/* Bytes of the subject's live messages. Remembered for the objects that are being written, so that
 * a chunk costs O(1). */
static uint64_t subject_bytes(Stream *stream, Slice subject) {
    StreamParts *parts = stream->parts;
    SubjectId id = subject_index_find(&parts->subjects, subject);
    const SubjectEntry *entry = id ? subject_index_entry(&parts->subjects, id) : NULL;
    if (!entry || !entry->count)
        return 0;

    if (!parts->objects)
        parts->objects = mem_zalloc(OBJECT_SIZES * sizeof *parts->objects);
    ObjectSize *known = NULL;
    for (unsigned i = 0; i < OBJECT_SIZES && !known; i++)
        if (parts->objects[i].subject == id)
            known = &parts->objects[i];
    if (!known) {
        known = &parts->objects[parts->object_at++ % OBJECT_SIZES];
        *known = (ObjectSize){.subject = id};
    }
    uint64_t seq = known->last
                       ? subject_chain_seek(stream->index, &parts->subjects, id, known->last + 1)
                       : entry->first;
    while (seq) {
        const MsgSlot *slot = msg_index_get(stream->index, seq);
        known->bytes += slot->size & MSG_LEN_MASK;
        known->last = seq;
        seq = subject_chain_next(stream->index, seq, slot);
    }
    return known->bytes;
}

/* Bytes of the subject's oldest message, as accounted; it is what a full subject pushes out. */
static uint64_t oldest_bytes(Stream *stream, const SubjectEntry *entry, size_t subject_len) {
    const MsgSlot *slot = msg_index_get(stream->index, entry->first);
    return slot ? stream_accounted_bytes(stream, subject_len, slot->size) : 0;
}

/* Limits under discard new. A subject that is full is pushed out even when max_msgs is reached, and
 * when max_bytes is, if the message is no larger than what it pushes out; but not by a batch. */
const char *stream_check_discard_new(Stream *stream, const Record *message, const BatchView *view) {
    const StreamConfig *config = stream->config;
    const StreamState *state = &stream->state;
    const SubjectEntry *entry = NULL;

    if (config->max_msgs_per_subject > 0) {
        SubjectId id = subject_index_find(&stream->parts->subjects, message->subject);
        entry = id ? subject_index_entry(&stream->parts->subjects, id) : NULL;
    }
    const BatchSubject *earlier = view ? batch_view_find(view, message->subject) : NULL;
    uint64_t of_subject = (entry ? entry->count : 0) + (earlier ? earlier->count : 0);
    bool is_full =
        config->max_msgs_per_subject > 0 && of_subject >= (uint64_t)config->max_msgs_per_subject;
    uint64_t messages = state->messages + (view ? view->messages : 0);
    uint64_t used = state->bytes + (view ? view->bytes : 0);
    if (is_full && config->discard_new_per_subject)
        return "maximum messages per subject exceeded";
    if (view)
        is_full = false;
    if (config->max_msgs > 0 && messages >= (uint64_t)config->max_msgs && !is_full)
        return "maximum messages exceeded";
    uint32_t size = (uint32_t)(message->headers.len + message->payload.len);
    if (message->headers.len)
        size |= MSG_HAS_HEADERS;
    uint64_t bytes = stream_accounted_bytes(stream, message->subject.len, size);
    if (config->max_bytes > 0 && used + bytes > (uint64_t)config->max_bytes &&
        (!is_full || !entry || !entry->count ||
         bytes > oldest_bytes(stream, entry, message->subject.len)))
        return "maximum bytes exceeded";
    return NULL;
}

static bool is_object_too_large(Stream *stream, const Record *message, const BatchView *view) {
    const StreamConfig *config = stream->config;
    if (config->object_value_size_max <= 0 || !is_object_chunk(message->subject))
        return false;
    const BatchSubject *earlier = view ? batch_view_find(view, message->subject) : NULL;
    return subject_bytes(stream, message->subject) + (earlier ? earlier->bytes : 0) +
               message->headers.len + message->payload.len >
           (uint64_t)config->object_value_size_max;
}

void stream_decide(Stream *stream, const Record *message, const PubHeaders *ask,
                   const BatchView *view, PubVerdict *out_verdict) {
    const StreamConfig *config = stream->config;
    *out_verdict = (PubVerdict){0};

    unsigned code = check_alone(stream, message->subject, message->headers, message->payload);
    if (code) {
        out_verdict->error = alone_error(stream, code);
        return;
    }
    if (ask) {
        out_verdict->error = view ? check_headers_in_batch(stream, message, ask, view, out_verdict)
                                  : check_headers(stream, message, ask, out_verdict);
        if (api_failed(out_verdict->error) || out_verdict->is_duplicate)
            return;
    }
    if (config->allow_msg_counter && !(ask && ask->increment.len)) {
        out_verdict->error = api_error(JSMessageIncrMissingErr);
        return;
    }
    if (is_object_too_large(stream, message, view)) {
        out_verdict->error = api_error(JSStreamMessageExceedsMaximumErr);
        return;
    }
    if (config->retention == RETENTION_INTEREST &&
        !consumer_set_wants(stream->consumers, message->subject)) {
        out_verdict->is_unwanted = true;
        return;
    }
    if (ask && ask->ttl_kind == TTL_INVALID) {
        out_verdict->error = api_error(JSMessageTTLInvalidErr);
        return;
    }
    const char *text =
        config->discard == DISCARD_NEW ? stream_check_discard_new(stream, message, view) : NULL;
    if (text)
        out_verdict->error = error_with(stream, JSStreamStoreFailedF, slice_of_text(text));
}

/* What depends on more than this stream's entries can only be refused at the door. */
ApiError stream_check_server(Stream *stream, const Record *entry) {
    Status health = stream_is_file(stream) ? journal_health(stream->js->journal) : OK;
    if (health == ERR_FULL)
        return api_error(JSStorageResourcesExceededErr);
    if (health)
        return error_with(stream, JSStreamStoreFailedF, LIT("write error on the log"));
    return usage_check(stream, entry);
}

/* What the original looks at behind the limits of server and account. */
static bool is_late_verdict(const PubVerdict *verdict) {
    return verdict->error.code == JSStreamStoreFailedF ||
           verdict->error.code == JSMessageTTLInvalidErr;
}

/* Headers as they are stored; the result may lie in the turn's arena. */
static Slice stored_headers(const Stream *stream, Slice block, const PubHeaders *ask) {
    int64_t marker_ns = stream->config->subject_delete_marker_ttl_ns;
    int64_t seconds = 0;
    if (ask->ttl_kind == TTL_SOME && ask->ttl_ns < marker_ns &&
        stream->config->max_msgs_per_subject != 1)
        seconds = marker_ns / NS_PER_SECOND;
    if (!seconds && !ask->has_request_info && !pub_headers_have_status(block))
        return block;
    Buf text = {0};
    pub_headers_rewrite(&text, block, seconds);
    Slice stored = arena_copy(turn_of(stream), buf_slice(&text));
    buf_done(&text);
    return stored;
}

Slice stream_transformed(Stream *stream, Slice subject) {
    if (!stream->parts->transform)
        return subject;
    Buf text = {0};
    bool applies =
        transform_apply(stream->parts->transform, subject, &stream->group.home->rand, &text);
    Slice result = applies ? arena_copy(turn_of(stream), buf_slice(&text)) : subject;
    buf_done(&text);
    return result;
}

void stream_refuse(Stream *stream, Slice reply, const PubHeaders *ask, const PubVerdict *verdict) {
    if (ask && ask->want_current.len && verdict->error.code == JSStreamWrongLastSequenceErrF)
        puback_refuse_current(stream, reply, verdict->error, verdict->current_seq,
                              ask->want_current);
    else
        puback_refuse(stream, reply, verdict->error);
}

ApiError stream_check_alone(const Stream *stream, const Message *message) {
    unsigned code = check_alone(stream, message->subject, message->headers, message->payload);
    return code ? alone_error(stream, code) : API_OK;
}

bool stream_is_crowded(const Stream *stream) {
    return stream->group.in_flight >= stream->parts->in_flight_max ||
           stream->parts->in_flight_bytes >= stream->parts->in_flight_bytes_max;
}

Record stream_draft(Stream *stream, const Message *message, const PubHeaders *ask) {
    Record draft = {.type = RECORD_PUBLISH,
                    .time_ns = stream_clock(stream),
                    .subject = stream_transformed(stream, message->subject),
                    .headers =
                        ask ? stored_headers(stream, message->headers, ask) : message->headers,
                    .payload = message->payload};
    if (ask && ask->schedule.len && !schedules_check(stream, draft.subject, draft.headers)) {
        draft.flags = RECORD_SCHEDULED;
        draft.headers = schedules_stored_headers(stream, draft.headers, ask);
    }
    if (__builtin_expect(message->trace != NULL, 0))
        draft.headers = stream_trace_headers(stream, draft.headers);
    return draft;
}

/* Nothing is in flight: what the applied state refuses now, it would refuse then. */
static void decide_early(Stream *stream, const Record *draft, const PubHeaders *ask,
                         PubVerdict *out_verdict) {
    stream_expire_quietly(stream, draft->time_ns);
    if (ask || stream->config->discard != DISCARD_OLD || stream->config->object_value_size_max)
        stream_decide(stream, draft, ask, NULL, out_verdict);
}

bool stream_admit(Stream *stream, const Record *draft, const PubHeaders *ask,
                  PubVerdict *out_verdict) {
    *out_verdict = (PubVerdict){0};
    if (stream->group.in_flight == 0)
        decide_early(stream, draft, ask, out_verdict);
    if (out_verdict->is_duplicate ||
        (api_failed(out_verdict->error) && !is_late_verdict(out_verdict)))
        return false;
    ApiError error = stream_check_server(stream, draft);
    if (api_failed(error))
        out_verdict->error = error;
    return !api_failed(out_verdict->error);
}

void stream_submit(Stream *stream, const Record *draft, const Ticket *ticket) {
    stream_note_flight(stream, draft);
    if (draft->payload.len >= stream->parts->chunks.bytes_min &&
        stream_chunk_submit(stream, draft, ticket))
        return;
    journal_append(stream->js->journal, &stream->group, draft, ticket, false);
}

void stream_propose(Stream *stream, const Record *draft, const PubHeaders *ask,
                    const Ticket *ticket) {
    if (stream->config->allow_msg_counter && !counter_check(ask, true, draft->payload.len > 0))
        counters_publish(stream, draft, ticket);
    else
        stream_submit(stream, draft, ticket);
}

static bool is_fast_batch(Slice reply) {
    return reply.len > 4 && memcmp(reply.ptr + reply.len - 4, ".$FI", 4) == 0;
}

static void refuse_one(Stream *stream, const Message *message, Slice subject, const PubHeaders *ask,
                       const PubVerdict *verdict) {
    if (message->trace)
        stream_trace_refused(stream, message->trace, subject, ask, verdict);
    if (verdict->is_duplicate)
        puback_send(stream, message->reply, verdict->duplicate_seq, true);
    else
        stream_refuse(stream, message->reply, ask, verdict);
}

/* Nats-Trace-Only: what would become of it, as far as it is known before it is stored. */
static void decide_one(Stream *stream, const Message *message, const Record *draft,
                       const PubHeaders *ask) {
    PubVerdict verdict;
    if (stream->group.in_flight == 0)
        stream_expire_quietly(stream, draft->time_ns);
    stream_decide(stream, draft, ask, NULL, &verdict);
    bool is_late = api_failed(verdict.error) && is_late_verdict(&verdict);
    if (!verdict.is_duplicate && (is_late || !api_failed(verdict.error)))
        verdict.error = stream_check_server(stream, NULL);
    if (verdict.is_duplicate || api_failed(verdict.error))
        refuse_one(stream, message, (Slice){0}, ask, &verdict);
    else
        stream_trace_stored(stream, message->trace, draft->subject, verdict.is_unwanted);
}

static void publish_one(Stream *stream, const Message *message, const PubHeaders *ask) {
    Slice reply = message->reply;
    PubVerdict verdict;
    unsigned code = check_alone(stream, message->subject, message->headers, message->payload);
    if (code) {
        verdict = (PubVerdict){.error = alone_error(stream, code)};
        refuse_one(stream, message, (Slice){0}, NULL, &verdict);
        return;
    }
    if (stream_is_crowded(stream)) {
        puback_too_many(stream, reply);
        return;
    }
    Record draft = stream_draft(stream, message, ask);
    if (__builtin_expect(message->trace != NULL, 0) && message->trace->is_only) {
        decide_one(stream, message, &draft, ask);
        return;
    }
    if (!stream_admit(stream, &draft, ask, &verdict)) {
        refuse_one(stream, message, draft.subject, ask, &verdict);
        return;
    }
    Ticket ticket = {.kind = TICKET_PUBLISH, .data = stream->config->no_ack ? (Slice){0} : reply};
    if (__builtin_expect(message->trace != NULL, 0)) {
        trace_hold(message->trace);
        ticket.pointer = message->trace;
    }
    stream_propose(stream, &draft, ask, &ticket);
}

void stream_on_publish(Port *port, Sub *sub, const Message *message) {
    Stream *stream = CONTAINER_OF(port, StreamParts, port)->stream;
    PubHeaders headers, *ask = NULL;
    (void)sub;

    if (message->headers.len) {
        pub_headers_parse(message->headers, &headers);
        ask = &headers;
    }
    if (is_fast_batch(message->reply))
        stream_fast_on_publish(stream, message, ask);
    else if (ask && ask->batch_id.len)
        stream_batch_on_publish(stream, message, ask);
    else
        publish_one(stream, message, ask);
}
