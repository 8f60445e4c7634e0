/* Between a consumer's deeds and the journal: collects deltas, proposes them, applies entries. */
#include "base/log.h"
#include "stream/consumer.h"

static void run_soon(Task *task) {
    consumer_log_flush(CONTAINER_OF(task, Delta, soon)->consumer);
}

Delta *consumer_need_delta(Consumer *consumer) {
    if (consumer->delta == NULL) {
        consumer->delta = mem_zalloc(sizeof *consumer->delta);
        consumer->delta->consumer = consumer;
        consumer->delta->consumed_sseq = consumer->delivered.sseq;
        task_init(&consumer->delta->soon, run_soon);
    }
    return consumer->delta;
}

void consumer_delta_free(Consumer *consumer) {
    Delta *delta = consumer->delta;
    if (delta == NULL)
        return;
    task_cancel(&delta->soon);
    buf_done(&delta->writer.ops);
    buf_done(&delta->replies);
    mem_free(delta);
    consumer->delta = NULL;
}

/* Messages that an ack-none consumer got count as consumed when the entry that says so is applied.
 */
static void consume_up_to(Consumer *consumer, uint64_t sseq) {
    Stream *stream = consumer_stream(consumer);
    Delta *delta = consumer->delta;
    if (delta == NULL || sseq <= delta->consumed_sseq)
        return;
    Filters filters = consumer_filters(consumer);
    uint64_t from = delta->consumed_sseq + 1;
    delta->consumed_sseq = sseq;
    if (stream->config->retention == RETENTION_LIMITS)
        return;
    for (uint64_t seq; (seq = stream_next(stream, &filters, from)) != 0 && seq <= sseq;
         from = seq + 1)
        stream_on_consumed(stream, consumer, seq);
}

static void retell_one(DeltaWriter *writer, const Consumer *consumer, uint64_t sseq, uint64_t dseq,
                       uint64_t deliveries) {
    delta_add(writer, &(DeltaOp){DELTA_DELIVERED, dseq, sseq, 0});
    if (deliveries > 1)
        delta_add(writer,
                  &(DeltaOp){DELTA_REDELIVERED, consumer->delivered.dseq, sseq, deliveries});
}

static void tell_all(DeltaWriter *writer, const Consumer *consumer) {
    Acks *acks = consumer->acks;
    size_t i = 0, count = acks ? acks->given_up.len : 0;
    for (PendingEntry *entry = acks ? pending_above(&acks->pending, 0) : NULL;
         entry || i < count;) {
        if (entry && (i == count || entry->sseq < acks->given_up.at[i].sseq)) {
            retell_one(writer, consumer, entry->sseq, entry->dseq, entry->deliveries);
            entry = pending_above(&acks->pending, entry->sseq);
            continue;
        }
        const GivenUp *given_up = &acks->given_up.at[i++];
        retell_one(writer, consumer, given_up->sseq, given_up->dseq, 1);
        delta_add(writer, &(DeltaOp){DELTA_GIVEN_UP, 0, given_up->sseq, 0});
    }
}

/* Deliveries cannot be taken back when their entry is refused: what is awaited is told once more,
 * in order, before anything that builds on it, also before what was collected since. What the log
 * has already counts once. */
static void retell(Consumer *consumer) {
    DeltaWriter whole = {0}, *since = &consumer->delta->writer;
    DeltaOp op;
    consumer->is_untold = false;
    tell_all(&whole, consumer);
    if (!delta_is_empty(since)) {
        DeltaReader reader = delta_read(delta_finish(since));
        while (delta_next(&reader, &op))
            delta_add(&whole, &op);
    }
    delta_clear(since);
    buf_done(&since->ops);
    *since = whole;
}

void consumer_log_op(Consumer *consumer, DeltaKind kind, uint64_t dseq, uint64_t sseq,
                     uint64_t count) {
    if (consumer->is_gone || !consumer->is_started)
        return;
    if (!consumer->is_logged && (kind != DELTA_POSITION || consumer->delta == NULL))
        return;
    Delta *delta = consumer_need_delta(consumer);
    delta_add(&delta->writer, &(DeltaOp){kind, dseq, sseq, count});
    worker_soon(consumer->home, &delta->soon);
}

void consumer_log_reply(Consumer *consumer, Slice reply) {
    if (reply.len == 0 || consumer->delta == NULL)
        return;
    buf_append(&consumer->delta->replies, reply);
    buf_append_char(&consumer->delta->replies, 0);
}

static void refuse_ops(Consumer *consumer, Slice payload) {
    DeltaReader reader = delta_read(payload);
    DeltaOp op;
    while (delta_next(&reader, &op)) {
        if (op.kind == DELTA_RESET)
            consumer->is_resetting = false;
        else
            consumer_ack_refused(consumer, op.kind, op.sseq);
        consumer->is_untold |=
            op.kind == DELTA_DELIVERED || op.kind == DELTA_REDELIVERED || op.kind == DELTA_GIVEN_UP;
    }
}

void consumer_log_flush(Consumer *consumer) {
    Delta *delta = consumer->delta;
    if (delta == NULL || delta_is_empty(&delta->writer))
        return;
    task_cancel(&delta->soon);
    if (!consumer->is_logged) {
        delta_clear(&delta->writer);
        consume_up_to(consumer, consumer->delivered.sseq);
        return;
    }
    if (__builtin_expect(consumer->is_untold, 0)) {
        if (!stream_log_works(consumer_stream(consumer))) { /* the same will happen again */
            refuse_ops(consumer, delta_finish(&delta->writer));
            delta_clear(&delta->writer);
            buf_clear(&delta->replies);
            return;
        }
        retell(consumer);
    }
    ConsumerProposal proposal = {
        .type = RECORD_CONSUMER_STATE,
        .name = consumer_name(consumer),
        .payload = delta_finish(&delta->writer),
        .ack_replies = buf_slice(&delta->replies),
    };
    stream_propose_consumer(consumer_stream(consumer), &proposal);
    delta_clear(&delta->writer);
    buf_clear(&delta->replies);
}

/* What only it needed goes too. */
static void remove_for_good(Consumer *consumer) {
    uint64_t from = consumer_first_needed(consumer);
    consumer_remove(consumer);
    Filters filters = consumer_filters(consumer); /* freed later */
    stream_on_consumer_gone(consumer_stream(consumer), &filters, from);
}

void consumer_propose_delete(Consumer *consumer, ApiCall *call) {
    consumer_log_flush(consumer);
    if (!consumer->is_logged) {
        remove_for_good(consumer);
        if (call)
            api_reply_success(call);
        return;
    }
    consumer->is_deleting = true;
    ConsumerProposal proposal = {
        .type = RECORD_CONSUMER_DELETE, .name = consumer_name(consumer), .call = call};
    stream_propose_consumer(consumer_stream(consumer), &proposal);
}

void consumer_propose_reset(Consumer *consumer, uint64_t seq, ApiCall *call) {
    consumer_log_flush(consumer);
    if (!consumer->is_logged) {
        consumer_reset(consumer, seq);
        consumer_reply_reset(consumer, call);
        return;
    }
    DeltaWriter writer = {0};
    delta_add(&writer, &(DeltaOp){DELTA_RESET, 0, seq, 0});
    consumer->is_resetting = true; /* nothing is delivered until it is applied */
    ConsumerProposal proposal = {
        .type = RECORD_CONSUMER_STATE,
        .name = consumer_name(consumer),
        .payload = delta_finish(&writer),
        .call = call,
    };
    stream_propose_consumer(consumer_stream(consumer), &proposal);
    buf_done(&writer.ops);
}

static bool is_live(const Consumer *consumer, uint64_t sseq) {
    Slice subject;
    return stream_subject_of(consumer_stream(consumer), sseq, &subject) != ERR_NOT_FOUND;
}

/* The delivery is known already, from a checkpoint or since a purge passed it; the purge knew of
 * more deliveries than the log told. */
static void replay_known(Consumer *consumer, uint64_t sseq) {
    if (consumer_pending_count(consumer) == 0 &&
        (consumer->acks == NULL || consumer->acks->given_up.len == 0) && !is_live(consumer, sseq))
        consumer->floor = consumer->delivered;
}

static void replay_redelivered(Consumer *consumer, const DeltaOp *op) {
    PendingEntry *entry = consumer->acks ? pending_find(&consumer->acks->pending, op->sseq) : NULL;
    if (entry == NULL) {
        replay_known(consumer, op->sseq);
    } else if (op->count > entry->deliveries) {
        consumer->acks->redelivered += entry->deliveries == 1;
        entry->deliveries = (uint32_t)(op->count < UINT32_MAX ? op->count : UINT32_MAX);
    }
    if (entry && entry->flags & PENDING_DELAYED && op->count >= entry->deliveries)
        pending_set_due(&consumer->acks->pending, entry, 0);
}

static void replay_delay(Consumer *consumer, const DeltaOp *op) {
    PendingEntry *entry = consumer->acks ? pending_find(&consumer->acks->pending, op->sseq) : NULL;
    if (entry == NULL || op->count == 0)
        return;
    pending_set_due(&consumer->acks->pending, entry, op->count);
    entry->flags |= PENDING_DELAYED;
}

/* Recovery: a delivery as the log tells it, which may be later than the removal of its message. */
static void replay_delivery(Consumer *consumer, const DeltaOp *op) {
    if (op->dseq > consumer->delivered.dseq)
        consumer->delivered.dseq = op->dseq;
    if (op->kind == DELTA_REDELIVERED) {
        replay_redelivered(consumer, op);
        return;
    }
    if (op->sseq <= consumer->delivered.sseq) {
        replay_known(consumer, op->sseq);
        return;
    }
    consumer->delivered.sseq = op->sseq;
    if (op->kind != DELTA_DELIVERED ||
        op->sseq <= pending_last_sseq(&consumer_need_acks(consumer)->pending))
        return;
    pending_add(&consumer->acks->pending, op->sseq, op->dseq, 1, 0);
    consumer_note_behind(consumer);
    if (!is_live(consumer, op->sseq))
        consumer_drop_removed(consumer, op->sseq);
}

void consumer_apply_op(Consumer *consumer, const DeltaOp *op, bool is_recovery) {
    switch (op->kind) {
    case DELTA_DELIVERED:
    case DELTA_REDELIVERED:
        if (is_recovery)
            replay_delivery(consumer, op);
        break;
    case DELTA_POSITION:
        if (is_recovery)
            replay_delivery(consumer, op);
        consume_up_to(consumer, op->sseq);
        break;
    case DELTA_ACK:
        consumer_apply_ack(consumer, op->dseq, op->sseq);
        break;
    case DELTA_ACK_ALL:
        consumer_apply_ack_all(consumer, op->dseq, op->sseq);
        break;
    case DELTA_GIVEN_UP:
        if (is_recovery)
            consumer_apply_given_up(consumer, op->sseq);
        break;
    case DELTA_DELAY:
        if (is_recovery)
            replay_delay(consumer, op);
        break;
    case DELTA_RESET:
        if (op->sseq > 0)
            consumer_reset(consumer, op->sseq);
        break;
    }
}

static void answer_acks(ConsumerSet *set, Slice replies) {
    Slice reply;
    while (replies.len && slice_cut(&replies, 0, &reply)) {
        Message message = {.subject = reply};
        if (reply.len)
            (void)bus_publish(set->stream->account, reply, &message, NULL, BUS_NO_MAPPINGS);
    }
}

static void apply_state(ConsumerSet *set, const Record *record, ApiCall *call, bool is_recovery) {
    Consumer *consumer = consumer_set_find(set, record->subject);
    DeltaReader reader = delta_read(record->payload);
    DeltaOp op;
    if (consumer == NULL || !consumer->is_logged) {
        if (call)
            api_reply_error(call, api_error(JSConsumerNotFoundErr));
        return;
    }
    while (!consumer->is_gone && delta_next(&reader, &op))
        consumer_apply_op(consumer, &op, is_recovery);
    if (reader.status != OK)
        LOG_ERR("consumer entry not understood", "stream=%.*s consumer=%.*s status=%s",
                SLICE_ARG(stream_name(set->stream)), SLICE_ARG(record->subject),
                status_text(reader.status));
    if (call)
        consumer_reply_reset(consumer, call);
    if (!is_recovery && !consumer->is_gone)
        consumer_pump(consumer);
}

static void apply_delete(ConsumerSet *set, const Record *record, ApiCall *call) {
    Consumer *consumer = consumer_set_find(set, record->subject);
    if (consumer) {
        remove_for_good(consumer);
    }
    if (call && consumer)
        api_reply_success(call);
    else if (call)
        api_reply_error(call, api_error(JSConsumerNotFoundErr));
    consumer_set_run_drafts(set);
}

static void save_before(ConsumerSet *set, const Record *record) {
    Consumer *consumer = consumer_set_find(set, record->subject);
    if (consumer)
        consumer_save_early(consumer);
}

void consumer_set_apply(ConsumerSet *set, const Record *record, ApiCall *call, Slice ack_replies,
                        bool is_recovery) {
    ASSERT_HOME(set);
    if (is_recovery)
        set->wall_ns = 0; /* last_active is not kept */
    else
        consumer_set_note_time(set);
    if (set->saving)
        save_before(set, record);
    switch (record->type) {
    case RECORD_CONSUMER_PUT:
        consumer_set_apply_put(set, record, call, is_recovery);
        break;
    case RECORD_CONSUMER_DELETE:
        apply_delete(set, record, call);
        break;
    case RECORD_CONSUMER_STATE:
        apply_state(set, record, call, is_recovery);
        if (!is_recovery)
            answer_acks(set, ack_replies);
        break;
    case RECORD_CONSUMER_RESTORE:
        consumer_set_apply_restore(set, record, is_recovery);
        break;
    default:
        ASSERT(record->type == RECORD_CONSUMER_STATE);
    }
}

static ApiError refusal(Status why) {
    if (why == ERR_FULL)
        return api_error(JSStorageResourcesExceededErr);
    if (why == ERR_CLOSED)
        return api_error(JSStreamNotFoundErr);
    return api_error(JSInsufficientResourcesErr);
}

void consumer_set_refused(ConsumerSet *set, const Record *record, ApiCall *call, Status why) {
    ASSERT_HOME(set);
    Consumer *consumer = consumer_set_find(set, record->subject);
    if (record->type == RECORD_CONSUMER_STATE && consumer)
        refuse_ops(consumer, record->payload);
    else if (record->type == RECORD_CONSUMER_DELETE && consumer)
        consumer->is_deleting = false;
    if (call)
        api_reply_error(call, refusal(why));
    if (record->type == RECORD_CONSUMER_PUT)
        consumer_set_forget_draft(set, record->subject);
    if (why != ERR_CLOSED)
        consumer_set_run_drafts(set);
}
