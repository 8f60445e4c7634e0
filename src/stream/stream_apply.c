/* What an entry does. Decided from the entry and the state alone; the same in recovery, without
 * effects. */
#include <string.h>

#include "base/log.h"
#include "bus/trace.h"
#include "proto/headers.h"
#include "proto/subject.h"
#include "stream/api.h"
#include "stream/copy.h"
#include "stream/puback.h"
#include "stream/stream_await.h"
#include "stream/stream_batch.h"
#include "stream/stream_fast.h"
#include "stream/stream_move.h"
#include "stream/stream_parts.h"
#include "stream/stream_touch.h"

void stream_remember_msg_id(Stream *stream, const PubHeaders *ask, uint64_t seq, int64_t time_ns) {
    StreamParts *parts = stream->parts;
    int64_t window = stream->config->duplicate_window_ns;
    buf_clear(&parts->last_msg_id);
    if (window > 0 && parts->duplicates.len)
        dup_window_expire(&parts->duplicates, time_ns - window);
    if (!ask || !ask->msg_id.len)
        return;
    buf_append(&parts->last_msg_id, ask->msg_id);
    if (window > 0)
        dup_window_add(&parts->duplicates, ask->msg_id, seq, time_ns);
}

void stream_take_sequence(Stream *stream, int64_t time_ns) {
    StreamState *state = &stream->state;
    state->last_seq++;
    state->last_time_ns = time_ns;
    if (state->messages == 0) {
        state->first_seq = state->last_seq + 1;
        state->first_time_ns = TIME_ZERO;
    }
}

static bool is_unread(Slice payload) {
    return payload.len && !payload.ptr;
}

bool stream_store(Stream *stream, const StoreMsg *msg, StoredMsg *out_msg) {
    StreamParts *parts = stream->parts;
    StreamState *state = &stream->state;
    uint64_t seq = state->last_seq + 1;
    uint32_t size = (uint32_t)(msg->headers.len + msg->payload.len);
    if (msg->headers.len)
        size |= MSG_HAS_HEADERS;
    if (msg->is_copy && msg->place)
        size |= MSG_IS_COPY;
    int64_t due_ns = stream_ttl_flags(msg->ask, msg->time_ns, &size);

    *out_msg = (StoredMsg){.seq = seq,
                           .time_ns = msg->time_ns,
                           .subject = msg->subject,
                           .headers = msg->headers,
                           .payload = msg->payload,
                           .hold = msg->hold,
                           .is_unread = is_unread(msg->payload)};
    SubjectId id = subject_index_add(&parts->subjects, msg->subject);
    MsgSlot *slot = msg_index_add(stream->index, seq);
    slot->time_ns = msg->time_ns;
    slot->size = size;
    slot->is_tombstone = pub_headers_are_tombstone(msg->ask);
    if (msg->place) {
        slot->place = msg->place;
        log_add_live(journal_log(stream->js->journal), msg->place & ~MSG_REF,
                     stream_live_bytes(msg->subject.len, msg->place, size));
        if (msg->place & MSG_REF)
            stream_chunk_stored(stream, seq, msg->headers.len, msg->payload.len);
    } else {
        Shared *heap = heap_msg_new(msg->subject, msg->headers, msg->payload);
        slot->place = heap_place(heap);
        parts->heap_count++;
        heap_msg_get(heap, out_msg);
    }
    stream_link(stream, id, seq, slot);
    if (stream->config->allow_msg_counter)
        counters_on_stored(stream, msg->subject, seq, msg->headers, msg->payload);
    if (stream->config->allow_msg_schedules)
        schedules_on_stored(stream, seq, msg);
    stream_await_ttl(stream, seq, due_ns);
    stream_count_live(stream, msg->subject, size, 1);
    state->last_seq = seq;
    state->last_time_ns = msg->time_ns;
    if (state->messages == 1) {
        state->first_seq = seq;
        state->first_time_ns = msg->time_ns;
    }
    /* The heap copy must outlive its own eviction while the caller looks at it. */
    Shared *kept = msg->place ? NULL : shared_ref(out_msg->hold);
    stream_enforce_limits(stream, id);
    bool is_live = msg_index_get(stream->index, seq) != NULL;
    shared_unref(kept);
    return is_live;
}

/* As the original: a subject that was published with wildcards in it rolls up all that they cover.
 */
static void roll_up_pattern(Stream *stream, Slice pattern, uint64_t seq) {
    Filters filters = {&pattern, 1};
    uint64_t found = 0;
    while ((found = stream_next(stream, &filters, found + 1)) && found < seq)
        stream_drop(stream, found, false);
}

static void roll_up(Stream *stream, const PubHeaders *ask, Slice subject, uint64_t seq) {
    StreamParts *parts = stream->parts;
    if (!slice_equal_ignoring_case(ask->rollup, LIT("sub"))) {
        uint64_t first;
        while ((first = msg_index_next(stream->index, 0)) && first < seq)
            stream_drop(stream, first, false);
        return;
    }
    if (!subject_is_literal(subject)) {
        roll_up_pattern(stream, subject, seq);
        return;
    }
    SubjectId id = subject_index_find(&parts->subjects, subject);
    SubjectEntry *entry = id ? subject_index_entry(&parts->subjects, id) : NULL;
    while (entry && entry->count && entry->first < seq)
        stream_drop(stream, entry->first, false);
}

static void republish(Stream *stream, const StoredMsg *msg, uint64_t last_seq) {
    StreamParts *parts = stream->parts;
    Buf to = {0}, headers = {0}, time = {0};
    if (!transform_apply(parts->republish, msg->subject, &stream->group.home->rand, &to) ||
        to.len == 0 || slice_equal(buf_slice(&to), msg->subject)) {
        buf_done(&to);
        return;
    }
    if (msg->headers.len)
        buf_append(&headers, slice_first(msg->headers, msg->headers.len - 2));
    else
        header_begin(&headers, (Slice){0});
    time_write(&time, msg->time_ns);
    header_append(&headers, LIT("Nats-Stream"), stream_name(stream));
    header_append(&headers, LIT("Nats-Subject"), msg->subject);
    header_append_u64(&headers, LIT("Nats-Sequence"), msg->seq);
    header_append(&headers, LIT("Nats-Time-Stamp"), buf_slice(&time));
    header_append_u64(&headers, LIT("Nats-Last-Sequence"), last_seq);
    Slice payload = msg->payload;
    if (stream->config->republish_headers_only) {
        header_append_u64(&headers, LIT("Nats-Msg-Size"), payload.len);
        payload = (Slice){0};
    }
    header_end(&headers);
    /* The config changed while it was on its way as a chunk. */
    StoredMsg whole = {0};
    if (is_unread(payload) && stream_read_now(stream, msg->seq, &whole) == OK)
        payload = whole.payload;
    Message message = {
        .subject = buf_slice(&to), .headers = buf_slice(&headers), .payload = payload};
    if (!is_unread(payload))
        bus_publish(stream->account, message.subject, &message, NULL, BUS_NO_MAPPINGS);
    stored_msg_done(&whole);
    buf_done(&to);
    buf_done(&headers);
    buf_done(&time);
}

static uint64_t last_of(Stream *stream, Slice subject) {
    SubjectId id = subject_index_find(&stream->parts->subjects, subject);
    const SubjectEntry *entry = id ? subject_index_entry(&stream->parts->subjects, id) : NULL;
    return entry && entry->count ? entry->last : 0;
}

void stream_store_and_tell(Stream *stream, const StoreMsg *store, const Ticket *ticket) {
    StreamParts *parts = stream->parts;
    const PubHeaders *ask = store->ask;
    bool republishes = ticket && parts->republish;
    uint64_t before = republishes ? last_of(stream, store->subject) : 0;
    StoredMsg msg;
    uint64_t seq = stream->state.last_seq + 1;
    bool is_live = stream_store(stream, store, &msg);
    if (!is_live) /* the bytes of the entry, as a copy of it may be gone */
        msg = (StoredMsg){.seq = seq,
                          .time_ns = store->time_ns,
                          .subject = store->subject,
                          .headers = store->headers,
                          .payload = store->payload,
                          .hold = store->hold,
                          .is_unread = is_unread(store->payload)};
    if (is_live && ask && ask->rollup.len)
        roll_up(stream, ask, store->subject, seq);
    stream_remember_msg_id(stream, ask, seq, store->time_ns);
    if (!ticket)
        return;
    if (republishes)
        republish(stream, &msg, before);
    if (ticket->kind == TICKET_PUBLISH && stream->config->allow_msg_counter)
        puback_send_counted(stream, ticket->data, seq, store->payload);
    else if (ticket->kind == TICKET_PUBLISH)
        puback_send(stream, ticket->data, seq, false);
    if (is_live)
        consumer_set_on_stored(stream->consumers, &msg);
}

static void store_published(Stream *stream, const Record *record, const PubHeaders *ask,
                            Place place, Shared *hold, const Ticket *ticket) {
    StoreMsg store = {.subject = record->subject,
                      .headers = record->headers,
                      .payload = record->payload,
                      .ask = ask,
                      .time_ns = record->time_ns,
                      .place = place,
                      .hold = hold};
    bool has_leases = stream->parts->leases.by_seq.len || (ask && ask->lease.len);
    uint64_t before = has_leases ? last_of(stream, record->subject) : 0;
    stream_store_and_tell(stream, &store, ticket);
    if (has_leases)
        lease_on_stored(stream, record, ask, before, stream->state.last_seq);
}

/* Nats-Schedule-Next: purge. */
static void end_schedule(Stream *stream, const PubHeaders *ask) {
    SubjectId id = subject_index_find(&stream->parts->subjects, ask->scheduler);
    const SubjectEntry *entry = id ? subject_index_entry(&stream->parts->subjects, id) : NULL;
    while (slice_equal(ask->schedule_next, LIT("purge")) && entry && entry->count)
        stream_drop(stream, entry->first, false);
}

void stream_store_decided(Stream *stream, const Record *record, const PubHeaders *ask, Place place,
                          Shared *hold, const PubVerdict *verdict, const Ticket *ticket) {
    if (verdict->is_unwanted) {
        stream_take_sequence(stream, record->time_ns);
        stream_remember_msg_id(stream, ask, stream->state.last_seq, record->time_ns);
        if (ticket)
            puback_send(stream, ticket->data, stream->state.last_seq, false);
    } else {
        store_published(stream, record, ask, place, hold, ticket);
    }
    if (ask && ask->schedule_next.len && stream->config->allow_msg_schedules)
        end_schedule(stream, ask);
}

/* What a schedule makes; its headers were written by this server. */
static void apply_fired(Stream *stream, const Record *record, Place place, Shared *hold,
                        const Ticket *ticket) {
    PubHeaders ask;
    if (ticket)
        stream_note_landed(stream, record);
    if (schedules_take_fired(stream, record)) {
        pub_headers_parse(record->headers, &ask);
        PubVerdict verdict = {.is_unwanted =
                                  stream->config->retention == RETENTION_INTEREST &&
                                  !consumer_set_wants(stream->consumers, record->subject)};
        stream_store_decided(stream, record, &ask, place, hold, &verdict, ticket);
        schedules_on_fired(stream, &ask);
    }
    if (ticket)
        schedules_landed(stream, ticket->pointer);
}

void stream_tell_trace(Stream *stream, const Ticket *ticket, const Record *record,
                       const PubHeaders *ask, const PubVerdict *verdict) {
    Trace *trace = NULL;
    if (ticket && ticket->kind == TICKET_PUBLISH)
        trace = ticket->pointer;
    else if (ticket && ticket->kind == TICKET_FAST)
        trace = stream_fast_take_trace(ticket->pointer);
    if (__builtin_expect(!trace, 1))
        return;
    if (api_failed(verdict->error) || verdict->is_duplicate)
        stream_trace_refused(stream, trace, record->subject, ask, verdict);
    else
        stream_trace_stored(stream, trace, record->subject, verdict->is_unwanted);
    trace_release(trace);
}

/* What can be said before it is stored. */
static void answer_decided(Stream *stream, const Record *record, const PubHeaders *ask,
                           const PubVerdict *verdict, const Ticket *ticket) {
    if (ticket->kind == TICKET_FAST)
        stream_fast_applied(stream, ticket->pointer, verdict);
    else if (api_failed(verdict->error))
        stream_refuse(stream, ticket->data, ask, verdict);
    else if (verdict->is_duplicate)
        puback_send(stream, ticket->data, verdict->duplicate_seq, true);
    stream_tell_trace(stream, ticket, record, ask, verdict);
}

void stream_apply_publish(Stream *stream, const Record *record, Place place, Shared *hold,
                          const Ticket *ticket) {
    PubHeaders headers, *ask = NULL;
    PubVerdict verdict;

    if (record->headers.len) {
        pub_headers_parse(record->headers, &headers);
        ask = &headers;
    }
    if (ticket)
        stream_note_landed(stream, record);
    stream_decide(stream, record, ask, NULL, &verdict);
    bool is_stored = !api_failed(verdict.error) && !verdict.is_duplicate;
    if (is_stored && !verdict.is_unwanted && stream->config->allow_msg_counter &&
        !counters_fit(stream, record)) {
        if (ticket)
            counters_again(stream, record, ticket);
    } else {
        if (ticket)
            answer_decided(stream, record, ask, &verdict, ticket);
        if (is_stored)
            stream_store_decided(stream, record, ask, place, hold, &verdict, ticket);
    }
    if (ticket && record->flags & RECORD_COUNTED)
        counters_landed(stream, record);
    if (ticket && ticket->kind == TICKET_FAST)
        stream_fast_drain(stream);
}

static uint64_t *reserved_of(Stream *stream) {
    JetStreamUsage *usage = stream->parts->usage;
    return stream_is_file(stream) ? &usage->reserved_storage : &usage->reserved_memory;
}

static void apply_config(Stream *stream, const Record *record, const Ticket *ticket) {
    ApiCall *call = ticket ? ticket->pointer : NULL;
    if (ticket)
        stream_config_landed(stream);
    StreamConfig *config, *old = stream->config;
    if (stream_config_parse_stored(record->payload, &config)) {
        LOG_ERR("stream config unreadable", "stream=%.*s index=%llu",
                SLICE_ARG(stream_name(stream)), (unsigned long long)record->index);
        if (call)
            api_reply_error(call, api_error_with(stream->group.home->turn, JSStreamUpdateErrF,
                                                 LIT("stored configuration is unreadable")));
        return;
    }
    stream->config = config;
    *reserved_of(stream) += stream_config_reserves(config);
    *reserved_of(stream) -= stream_config_reserves(old);
    stream_config_took_effect(stream);
    if (config->compression_s2 && !old->compression_s2 && stream_is_file(stream)) {
        stream->parts->is_unpackable = false;
        journal_ask_pack(stream->js->journal, true);
    }
    if (!stream_has_markers(stream))
        stream_expire(stream, record->time_ns, UINT64_MAX);
    stream_trim(stream);
    consumer_set_on_config(stream->consumers);
    stream_config_free(old);
    if (!call)
        return;
    Buf out = {0};
    api_begin(call, &out);
    stream_info_write(&out, stream, &(StreamInfoOptions){.has_domain = true});
    api_finish(call, &out);
}

static void apply_by_type(Stream *stream, const Record *record, Place place, Shared *hold,
                          const Ticket *ticket) {
    ApiCall *call = ticket ? ticket->pointer : NULL;
    switch (record->type) {
    case RECORD_PUBLISH:
        if (record->flags & RECORD_FIRED)
            apply_fired(stream, record, place, hold, ticket);
        else if (record->flags & RECORD_REF)
            stream_apply_ref(stream, record, place, hold, ticket);
        else
            stream_apply_publish(stream, record, place, hold, ticket);
        break;
    case RECORD_COPY:
        if (record->flags & RECORD_REF)
            stream_apply_ref(stream, record, place, hold, ticket);
        else
            stream_apply_copy(stream, record, place, hold, ticket);
        break;
    case RECORD_CHUNK:
        stream_apply_chunk(stream, record, place, hold, ticket);
        if (ticket && ticket->kind == TICKET_MOVED) {
            stream_chunk_forget_fresh(stream);
            stream_move_landed(stream, OK);
        }
        break;
    case RECORD_SKIP:
        stream_apply_skip(stream, record);
        break;
    case RECORD_BATCH:
        stream_apply_batch(stream, record, place, hold, ticket);
        break;
    case RECORD_MOVED:
        stream_apply_moved(stream, record, place);
        if (ticket)
            stream_move_landed(stream, OK);
        break;
    case RECORD_FRAME:
        stream_apply_frame(stream, record, place);
        if (ticket)
            stream_move_landed(stream, OK);
        break;
    case RECORD_EXPIRE:
        stream->parts->is_expire_in_flight = false;
        break;
    case RECORD_DELETE:
        stream_apply_delete(stream, record, call);
        break;
    case RECORD_TOUCH:
        stream_apply_touch(stream, record, call);
        break;
    case RECORD_PURGE:
        stream_apply_purge(stream, record, call);
        break;
    case RECORD_SCHEDULE_FIRE:
        schedules_apply_fire(stream, record);
        break;
    case RECORD_COUNTER_BASE:
        counters_apply_base(stream, record);
        break;
    case RECORD_STREAM_CONFIG:
        apply_config(stream, record, ticket);
        break;
    case RECORD_CONSUMER_PUT:
    case RECORD_CONSUMER_DELETE:
    case RECORD_CONSUMER_STATE:
    case RECORD_CONSUMER_RESTORE:
        consumer_set_apply(stream->consumers, record, call, ticket ? ticket->data : (Slice){0},
                           !ticket);
        break;
    default: /* an entry of a later version does nothing here */
        LOG_WARNING("unknown entry of a stream", "stream=%.*s type=%d",
                    SLICE_ARG(stream_name(stream)), (int)record->type);
    }
}

static void on_apply(Group *group, const Record *record, Place place, Shared *hold,
                     const Ticket *ticket) {
    Stream *stream = (Stream *)group;
    StreamParts *parts = stream->parts;

    parts->is_replaying = !ticket;
    if (parts->unseen)
        stream_settle_places(stream);
    if (record->time_ns > parts->clock_ns)
        parts->clock_ns = record->time_ns;
    if (!stream_has_markers(stream) || record->type == RECORD_EXPIRE)
        stream_expire(stream, record->time_ns, UINT64_MAX);
    if (__builtin_expect(parts->chunks.fresh.chunk != NULL, 0) && !(record->flags & RECORD_REF))
        stream_chunk_forget_fresh(stream);
    apply_by_type(stream, record, place, hold, ticket);
    if (ticket && ticket->kind == TICKET_COPY &&
        !(record->flags & (COPY_OF_MIRROR | COPY_OF_SOURCE)))
        stream_copied(stream, record);
    parts->is_replaying = false;
    stream_expiry_arm(stream);
    if (parts->schedules)
        schedules_arm(stream);
    if (parts->settling.len)
        stream_settle(stream);
    if (parts->await_count)
        stream_awaits_check(stream);
}

/* Most of the time of a replay would be waited for memory. */
static void on_soon(const Group *group, const Record *record, unsigned step) {
    const Stream *stream = (const Stream *)group;
    if (record->type == RECORD_PUBLISH)
        subject_index_soon(&stream->parts->subjects, record->subject, step);
}

static ApiError refusal(Stream *stream, Status why) {
    if (why == ERR_FULL)
        return api_error(JSStorageResourcesExceededErr);
    if (why == ERR_CLOSED)
        return api_error(JSStreamNotFoundErr);
    return api_error_with(stream->group.home->turn, JSStreamStoreFailedF,
                          LIT("write error on the log"));
}

static void on_refused(Group *group, const Record *record, const Ticket *ticket, Status why) {
    Stream *stream = (Stream *)group;
    Record whole;
    switch (ticket->kind) {
    case TICKET_PUBLISH:
        stream_chunk_refused(stream, record);
        stream_note_landed(stream, stream_unwrap_ref(record, &whole) ? &whole : record);
        if (record->flags & RECORD_COUNTED)
            counters_landed(stream, record);
        if (why != ERR_CLOSED)
            puback_refuse(stream, ticket->data, refusal(stream, why));
        stream_tell_trace(stream, ticket, record, NULL,
                          &(PubVerdict){.error = refusal(stream, why)});
        break;
    case TICKET_BATCH:
        stream_note_landed(stream, record);
        counters_landed_batch(stream, record);
        if (why != ERR_CLOSED)
            puback_refuse(stream, ticket->data, refusal(stream, why));
        stream_tell_batch_trace(stream, ticket->pointer,
                                &(BatchVerdict){.verdict.error = refusal(stream, why)});
        break;
    case TICKET_FAST:
        stream_note_landed(stream, record);
        if (record->flags & RECORD_COUNTED)
            counters_landed(stream, record);
        stream_tell_trace(stream, ticket, record, NULL,
                          &(PubVerdict){.error = refusal(stream, why)});
        stream_fast_applied(stream, ticket->pointer, &(PubVerdict){.error = refusal(stream, why)});
        if (why != ERR_CLOSED)
            stream_fast_drain(stream);
        break;
    case TICKET_CALL:
        if (ticket->pointer)
            api_reply_error(ticket->pointer, refusal(stream, why));
        if (record->type == RECORD_STREAM_CONFIG && why != ERR_CLOSED)
            stream_owe_config(stream, record->payload);
        break;
    case TICKET_CONSUMER:
        consumer_set_refused(stream->consumers, record, ticket->pointer, why);
        break;
    case TICKET_COPY:
        stream_copy_refused(stream, record, why);
        break;
    case TICKET_FIRED:
        stream_note_landed(stream, record);
        schedules_landed(stream, ticket->pointer);
        schedules_arm(stream);
        break;
    case TICKET_EXPIRE:
        stream->parts->is_expire_in_flight = false;
        stream_expiry_arm(stream);
        break;
    case TICKET_CHUNK: /* its message, the next entry, tells */
        stream_chunk_landed(stream, record);
        break;
    case TICKET_MOVED:
        stream_move_landed(stream, why);
        break;
    }
    if (stream->parts->settling.len)
        stream_settle(stream);
    if (stream->parts->await_count)
        stream_awaits_check(stream);
}

const GroupOps stream_group_ops = {
    .apply = on_apply,
    .refused = on_refused,
    .soon = on_soon,
    .place = stream_place,
    .place_damaged = stream_place_damaged,
    .lost = stream_lost,
    .save = stream_save,
    .freeze = stream_freeze,
    .move = stream_move,
    .load = stream_load,
};
