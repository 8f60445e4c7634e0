#include "stream/stream_txn.h"

#include "proto/subject.h"
#include "stream/stream_batch.h"
#include "stream/usage.h"

static Stream *stream_of(const Worker *here, const TxnPart *part) {
    return map64_get(&((JetStream *)here->jetstream)->streams, part->group);
}

static void came_back(Worker *here, Mail *mail) {
    TxnPart *part = (TxnPart *)mail;
    (void)here;
    part->back(part);
}

static void send_back(TxnPart *part) {
    part->mail.arrive = came_back;
    worker_post(part->home, part->from, &part->mail);
}

/* --- hold --- */

static void fail(TxnPart *part, const TxnOp *op, ApiError error, uint64_t current_seq) {
    part->error_code = error.code;
    part->error_http = error.http;
    buf_append(&part->error_text, error.text);
    part->failed_number = op->number;
    part->current_seq = current_seq;
}

static bool takes_subject(const Stream *stream, Slice subject) {
    for (size_t i = 0; i < stream->config->subject_count; i++)
        if (subject_matches(stream->config->subjects[i], subject))
            return true;
    return false;
}

static uint64_t last_of(Stream *stream, Slice subject) {
    SubjectId id = subject_index_find(&stream->parts->subjects, subject);
    const SubjectEntry *entry = id ? subject_index_entry(&stream->parts->subjects, id) : NULL;
    return entry && entry->count ? entry->last : 0;
}

static ApiError check_op(Stream *stream, const TxnOp *op, uint64_t *out_current) {
    const StreamConfig *config = stream->config;
    Arena *turn = stream->group.home->turn;
    char text[20];
    *out_current = last_of(stream, op->subject);
    if (!takes_subject(stream, op->subject))
        return api_error_with(turn, HWTransactionInvalidErrF, LIT("no subject of the stream"));
    if (op->is_write && config->allow_msg_counter)
        return api_error_with(turn, HWTransactionInvalidErrF, LIT("the stream has counters"));
    if (op->has_expected && op->expected != *out_current)
        return api_error_with(turn, HWTransactionSequenceErrF,
                              slice_from(text, u64_to_decimal(*out_current, text)));
    return API_OK;
}

static ApiError add_member(Stream *stream, TxnPart *part, const TxnOp *op, BatchView *view) {
    Message message = {.subject = op->subject, .headers = op->headers, .payload = op->payload};
    PubHeaders headers = {0}, *ask = NULL;
    PubVerdict verdict;
    if (op->headers.len) {
        pub_headers_parse(op->headers, &headers);
        ask = &headers;
    }
    Record member = stream_draft(stream, &message, ask);
    member.group = stream->group.id;
    member.time_ns = part->time_ns;
    ApiError error = stream_check_alone(stream, &message);
    if (!api_failed(error)) {
        stream_decide(stream, &member, ask, view, &verdict);
        error = verdict.error;
    }
    if (api_failed(error))
        return error;
    /* What the stream's transform made of the subject. */
    if (member.subject.len > UINT16_MAX || record_bytes(&member) > RECORD_BYTES_MAX)
        return api_error_with(stream->group.home->turn, JSStreamStoreFailedF,
                              LIT("message too large"));
    batch_view_note(stream, view, &member, ask, verdict.is_unwanted);
    part->is_memory = stream->group.is_memory;
    part->bytes += verdict.is_unwanted ? 0 : usage_of_record(stream, &member);
    size_t bytes = record_bytes(&member);
    record_write(&member, buf_reserve(&part->members, bytes));
    part->members.len += bytes;
    return API_OK;
}

/* Nothing is in flight and nothing can come in: the state is what it will be when it is stored. */
static void agree(Group *group, void *cookie) {
    Stream *stream = (Stream *)group;
    TxnPart *part = cookie;
    BatchView view;
    uint64_t current;

    stream_expire_quietly(stream, part->time_ns);
    batch_view_init(&view, part->op_count);
    for (size_t i = 0; i < part->op_count && !part->error_code; i++) {
        TxnOp *op = &part->ops[i];
        ApiError error = check_op(stream, op, &current);
        op->seq = current;
        if (!api_failed(error) && op->is_write)
            error = add_member(stream, part, op, &view);
        if (api_failed(error))
            fail(part, op, error, current);
    }
    if (!part->error_code && part->members.len) {
        const Record entry = {.payload = buf_slice(&part->members)};
        ApiError error = stream_check_server(stream, &entry);
        if (api_failed(error))
            fail(part, &part->ops[0], error, 0);
    }
    batch_view_done(&view);
    send_back(part);
}

static void on_hold(Worker *here, Mail *mail) {
    TxnPart *part = (TxnPart *)mail;
    Stream *stream = stream_of(here, part);
    if (!stream || journal_is_held(&stream->group) || !stream->parts->is_started) {
        fail(part, &part->ops[0], api_error(JSStreamNotFoundErr), 0);
        send_back(part);
        return;
    }
    part->is_held = true;
    part->time_ns = stream_clock(stream);
    journal_hold(stream->js->journal, &stream->group, agree, part);
}

void txn_part_hold(TxnPart *part) {
    part->mail.arrive = on_hold;
    worker_post(part->from, part->home, &part->mail);
}

/* --- let go --- */

static void release(Worker *here, TxnPart *part) {
    Stream *stream = part->is_held ? stream_of(here, part) : NULL;
    part->is_held = false;
    if (!stream)
        return;
    journal_release(stream->js->journal, &stream->group);
    stream_settle(stream);
    stream_expiry_arm(stream);
}

static void on_let_go(Worker *here, Mail *mail) {
    TxnPart *part = (TxnPart *)mail;
    release(here, part);
    send_back(part);
}

void txn_part_let_go(TxnPart *part) {
    part->mail.arrive = on_let_go;
    worker_post(part->from, part->home, &part->mail);
}

/* --- store --- */

static void store_part(Worker *here, TxnPart *part) {
    Stream *stream = stream_of(here, part);
    if (stream)
        stream_txn_store(stream, part->index, part->stored, part->place + part->members_at,
                         part->hold, part);
    release(here, part);
}

static void on_store(Worker *here, Mail *mail) {
    TxnPart *part = (TxnPart *)mail;
    store_part(here, part);
    send_back(part);
}

void txn_part_store(TxnPart *part) {
    if (part->home == part->from) {
        store_part(part->home, part);
        part->back(part);
        return;
    }
    part->mail.arrive = on_store;
    worker_post(part->from, part->home, &part->mail);
}
