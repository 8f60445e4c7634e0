/* The only sender of a consumer's messages. */
#include "base/limits.h"
#include "base/log.h"
#include "io/clock.h"
#include "stream/consumer.h"
#include "stream/pacing.h"
#include "stream/priority.h"
#include "stream/pull.h"
#include "stream/push.h"

typedef enum Sent {
    SENT_ONE,
    SENT_NOTHING, /* no request qualifies */
    SENT_NOT_YET, /* paced: the timer is set */
} Sent;

static void run_pump(Task *task) {
    consumer_pump(CONTAINER_OF(task, Consumer, pump_task));
}

static void need_task(Consumer *consumer) {
    if (consumer->pump_task.run == NULL)
        task_init(&consumer->pump_task, run_pump);
}

void consumer_pump_soon(Consumer *consumer) {
    if (consumer->is_gone)
        return;
    need_task(consumer);
    worker_ready(consumer->home, &consumer->pump_task);
}

void consumer_pump_after_input(Consumer *consumer) {
    if (consumer->is_gone)
        return;
    need_task(consumer);
    worker_soon(consumer->home, &consumer->pump_task);
}

/* Whether anything may go out, leaving aside what there is to send. */
static bool may_send(Consumer *consumer) {
    if (!consumer->is_started || consumer->is_paused || consumer->is_resetting ||
        consumer->is_fetching || consumer->is_gone)
        return false;
    if (consumer->pacing && consumer->pacing->due_ns > consumer->home->now_ns)
        return false;
    return consumer->push ? push_may_send(consumer) : consumer->pull->count > 0;
}

/* max_ack_pending: messages whose ack is on its way to the disk do not count. */
static bool is_stalled(const Consumer *consumer) {
    int64_t max = consumer_config(consumer)->max_ack_pending;
    return max > 0 && consumer->acks && consumer_tracks_acks(consumer) &&
           consumer->acks->pending.count - consumer->acks->acking >= (size_t)max;
}

/* The state after the delivery, before the message is handed over. */
static void note_delivered(Consumer *consumer, const StoredMsg *msg, PendingEntry *entry) {
    consumer_will_change(consumer);
    uint64_t dseq = ++consumer->delivered.dseq;
    consumer->delivered_at_ns = consumer->set->wall_ns;
    if (entry) {
        Acks *acks = consumer->acks;
        if (entry->flags & PENDING_QUEUED)
            acks->queued--;
        entry->flags &= ~(uint32_t)PENDING_QUEUED;
        if (++entry->deliveries == 2)
            acks->redelivered++;
        int64_t wait_ns = consumer_ack_wait(consumer, entry->deliveries);
        pending_set_due(&acks->pending, entry,
                        wait_ns > 0 ? consumer->home->now_ns + (uint64_t)wait_ns : 0);
        consumer_arm(consumer, entry->due_ns);
        consumer_log_op(consumer, DELTA_REDELIVERED, dseq, msg->seq, entry->deliveries);
        return;
    }
    consumer->num_pending--;
    if (msg->seq > consumer->delivered.sseq)
        consumer->delivered.sseq = msg->seq;
    if (!consumer_tracks_acks(consumer)) {
        consumer_log_op(consumer, DELTA_POSITION, dseq, msg->seq, 0);
        return;
    }
    int64_t wait_ns = consumer_ack_wait(consumer, 1);
    uint64_t due_ns = wait_ns > 0 ? consumer->home->now_ns + (uint64_t)wait_ns : 0;
    pending_add(&consumer_need_acks(consumer)->pending, msg->seq, dseq, 1, due_ns);
    consumer_arm(consumer, due_ns);
    consumer_log_op(consumer, DELTA_DELIVERED, dseq, msg->seq, 0);
}

/* entry: NULL for a new message. */
static Sent send_one(Consumer *consumer, const StoredMsg *msg, PendingEntry *entry,
                     size_t *out_bytes) {
    Delivery delivery;
    bool is_new = entry == NULL;
    delivery_prepare(&delivery, consumer, msg, is_new ? 1 : entry->deliveries + 1,
                     consumer->num_pending - is_new);
    if (consumer->pacing && !pacing_allows(consumer, msg, delivery.bytes, is_new))
        return SENT_NOT_YET;

    PullRequest *request = NULL;
    Slice pin;
    bool has_pin = false;
    if (consumer->pull) {
        request = pull_take(consumer, delivery.bytes);
        if (request == NULL)
            return SENT_NOTHING;
        has_pin = priority_on_serve(consumer, request, &pin);
    }
    pacing_sent(consumer, msg, delivery.bytes, is_new);
    note_delivered(consumer, msg, entry);
    *out_bytes += delivery.bytes;
    if (request) {
        delivery_send(&delivery, consumer, pull_request_inbox(request), has_pin ? &pin : NULL);
        pull_served(consumer, request, delivery.bytes);
    } else {
        delivery_send(&delivery, consumer, push_subject(consumer), NULL);
        push_sent(consumer, delivery.bytes);
    }
    return SENT_ONE;
}

enum { READ_AGAIN_MS = 1000 };

/* ERR_AGAIN: a fetch is under way. */
static Status read_message(Consumer *consumer, uint64_t seq, StoredMsg *out_msg) {
    Status status = stream_read(consumer_stream(consumer), seq, out_msg);
    if (status == ERR_AGAIN) {
        consumer->is_fetching = true;
        stream_fetch(consumer_stream(consumer), seq, &consumer->fetch);
    } else if (status == ERR_IO) { /* not damaged, as far as is known: a little later */
        consumer_arm(consumer, consumer->home->now_ns + (uint64_t)READ_AGAIN_MS * NS_PER_MS);
        return ERR_AGAIN;
    } else if (status != OK && status != ERR_NOT_FOUND) {
        if (!consumer->was_corrupt)
            LOG_ERR("damaged message skipped", "stream=%.*s consumer=%.*s seq=%llu status=%s",
                    SLICE_ARG(stream_name(consumer_stream(consumer))),
                    SLICE_ARG(consumer_name(consumer)), (unsigned long long)seq,
                    status_text(status));
        consumer->was_corrupt = true;
        consumer_advise_damaged(consumer, seq);
    }
    return status;
}

void consumer_on_fetched(StreamWait *wait) {
    Consumer *consumer = CONTAINER_OF(wait, Consumer, fetch);
    consumer->is_fetching = false;
    consumer_pump(consumer);
}

/* The next message due for redelivery; gives up those delivered often enough. ERR_NOT_FOUND: none.
 */
static Status next_again(Consumer *consumer, StoredMsg *out_msg, PendingEntry **out_entry) {
    Acks *acks = consumer->acks;
    int64_t max_deliver = consumer_config(consumer)->max_deliver;
    while (acks && acks->queued > 0 && acks->queue.len > 0) {
        uint64_t sseq = seq_queue_first(&acks->queue);
        PendingEntry *entry = pending_find(&acks->pending, sseq);
        if (entry == NULL || !(entry->flags & PENDING_QUEUED)) {
            seq_queue_pop(&acks->queue);
            continue;
        }
        if (max_deliver > 0 && entry->deliveries >= max_deliver) {
            seq_queue_pop(&acks->queue);
            consumer_give_up(consumer, entry);
            continue;
        }
        Status status = read_message(consumer, sseq, out_msg);
        if (status == OK)
            *out_entry = entry;
        if (status == OK || status == ERR_AGAIN)
            return status;
        seq_queue_pop(&acks->queue);
        consumer_drop_removed(consumer, sseq);
    }
    return ERR_NOT_FOUND;
}

static void end_initial(Consumer *consumer) {
    mem_free(consumer->initial->seqs);
    mem_free(consumer->initial);
    consumer->initial = NULL;
    consumer->is_initial = false;
}

/* What the filters cover is asked once in a pump: nothing is stored meanwhile. */
static uint64_t next_by_filters(Consumer *consumer) {
    Stream *stream = consumer_stream(consumer);
    Filters filters = consumer_filters(consumer);
    if (!consumer->knows_all) {
        consumer->knows_all = true;
        consumer->sees_all = stream_covers_all(stream, &filters);
    }
    return consumer->sees_all ? stream_next_of_all(stream, consumer->next_seq)
                              : stream_next(stream, &filters, consumer->next_seq);
}

/* The next sequence never delivered; 0 when there is none. */
static uint64_t next_new_seq(Consumer *consumer) {
    Initial *initial = consumer->initial;
    if (initial && initial->at < initial->len)
        return initial->seqs[initial->at];
    if (initial)
        end_initial(consumer);
    if (consumer->num_pending == 0)
        return 0;
    uint64_t seq = next_by_filters(consumer);
    if (seq)
        consumer->next_seq = seq;
    else
        consumer->num_pending = 0;
    return seq;
}

static void pass_new(Consumer *consumer, uint64_t seq) {
    if (consumer->initial)
        consumer->initial->at++;
    else
        consumer->next_seq = seq + 1;
}

static Status next_new(Consumer *consumer, StoredMsg *out_msg) {
    for (uint64_t seq; (seq = next_new_seq(consumer)) != 0;) {
        Status status = read_message(consumer, seq, out_msg);
        if (status == OK || status == ERR_AGAIN)
            return status;
        pass_new(consumer, seq); /* removed ones are no longer counted */
        if (status != ERR_NOT_FOUND)
            consumer->num_pending--;
    }
    return ERR_NOT_FOUND;
}

/* One message, if it may be. Returns false when the pump must stop; *is_empty when that is for want
 * of messages or requests. */
static bool pump_one(Consumer *consumer, size_t *bytes, bool *is_empty) {
    StoredMsg msg;
    PendingEntry *entry = NULL;
    Status status = next_again(consumer, &msg, &entry);
    if (status == ERR_NOT_FOUND) {
        if (consumer->num_pending > 0 && is_stalled(consumer))
            return false;
        status = next_new(consumer, &msg);
    }
    if (status != OK) {
        *is_empty = status == ERR_NOT_FOUND;
        return false;
    }
    uint64_t seq = msg.seq;
    if (entry)
        seq_queue_pop(&consumer->acks->queue);
    else
        pass_new(consumer, seq);
    Sent sent = send_one(consumer, &msg, entry, bytes);
    stored_msg_done(&msg);
    if (sent == SENT_ONE)
        return true;
    if (entry) { /* stays first in the queue */
        seq_queue_push_front(&consumer->acks->queue, seq);
    } else if (consumer->initial) {
        consumer->initial->at--;
    } else {
        consumer->next_seq = seq;
    }
    *is_empty = sent == SENT_NOTHING && !consumer->pull->is_draining;
    return false;
}

void consumer_pump(Consumer *consumer) {
    ASSERT_HOME(consumer);
    if (consumer->is_pumping) { /* its own message came back to it */
        consumer_pump_soon(consumer);
        return;
    }
    size_t messages = 0, bytes = 0;
    bool is_empty = consumer->is_paused;
    consumer->is_pumping = true;
    consumer->knows_all = false;
    while (may_send(consumer)) {
        if (messages == 0)
            consumer_set_note_time(consumer->set);
        if (messages >= LIMIT_PUMP_MESSAGES_PER_TURN || bytes >= LIMIT_PUMP_BYTES_PER_TURN) {
            consumer_pump_soon(consumer);
            break;
        }
        if (!pump_one(consumer, &bytes, &is_empty))
            break;
        messages++;
    }
    if (is_empty && consumer->pull && consumer->is_started)
        pull_on_nothing(consumer);
    consumer->is_pumping = false;
    consumer_note_behind(consumer);
}

void consumer_offer(Consumer *consumer, const StoredMsg *msg) {
    bool is_next = consumer->num_pending == 1 && consumer->initial == NULL &&
                   (consumer->acks == NULL || consumer->acks->queued == 0);
    if (msg->is_unread) {
        if (is_next)
            consumer->next_seq = msg->seq;
        consumer_pump_soon(consumer);
        consumer_note_behind(consumer);
        return;
    }
    if (!is_next) {
        consumer_note_behind(consumer);
        if (consumer->pull && consumer->pull->count > 0) /* it may reach a request's threshold */
            consumer_pump(consumer);
        return;
    }
    consumer->next_seq = msg->seq;
    if (consumer->is_pumping) {
        consumer_pump_soon(consumer);
    } else if (may_send(consumer) && !is_stalled(consumer)) {
        size_t bytes = 0;
        consumer->is_pumping = true;
        consumer->next_seq = msg->seq + 1;
        Sent sent = send_one(consumer, msg, NULL, &bytes);
        if (sent != SENT_ONE)
            consumer->next_seq = msg->seq;
        if (consumer->pull && sent != SENT_NOT_YET && !consumer->pull->is_draining)
            pull_on_nothing(consumer);
        consumer->is_pumping = false;
    }
    consumer_note_behind(consumer);
}
