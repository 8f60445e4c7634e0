#include "stream/push.h"

#include "base/nuid.h"
#include "proto/headers.h"

/* Flow control window: where it starts, and how far answers double it. */
enum { WINDOW_BYTES_FIRST = 2 * 1024 * 1024, WINDOW_BYTES_MAX = 32 * 1024 * 1024 };
enum { FLOW_SUBJECT_BYTES_MAX = 8 + 2 * 255 + 2 + 8 };

static void interest_changed(InterestWatch *watch);
static void drained(DrainWait *wait);
static void ask(Consumer *consumer);

void push_new(Consumer *consumer, Slice subject, Slice queue) {
    ASSERT(consumer->push == NULL);
    Push *push = mem_zalloc(sizeof *push + subject.len + queue.len);
    push->consumer = consumer;
    push->subject_len = (uint16_t)subject.len;
    push->queue_len = (uint16_t)queue.len;
    memcpy(push->text, subject.ptr, subject.len);
    if (queue.len)
        memcpy(push->text + subject.len, queue.ptr, queue.len);
    push->watch.subject = slice_from(push->text, subject.len);
    push->watch.queue = slice_from(push->text + subject.len, queue.len);
    push->watch.changed = interest_changed;
    push->drain.drained = drained;
    link_init(&push->drain.link);
    consumer->push = push;
}

void push_stop(Consumer *consumer) {
    Push *push = consumer->push;
    if (push->is_watching)
        interest_watch_remove(consumer_stream(consumer)->account, &push->watch);
    if (push->is_draining)
        bus_cancel_wait(&push->drain);
    push->is_watching = push->is_draining = push->is_active = false;
}

void push_free(Consumer *consumer) {
    if (consumer->push == NULL)
        return;
    push_stop(consumer);
    consumer_retire(consumer, consumer->push);
    consumer->push = NULL;
}

static void set_active(Consumer *consumer) {
    Push *push = consumer->push;
    push->is_active = push->watch.count > 0;
    push->window_bytes = consumer_config(consumer)->flow_control ? WINDOW_BYTES_FIRST : 0;
    push->out_bytes = push->asked_bytes = 0;
    push->is_asking = false;
    consumer_set_active(consumer, push->is_active);
}

void push_start(Consumer *consumer) {
    Push *push = consumer->push;
    interest_watch_add(consumer_stream(consumer)->account, &push->watch);
    push->is_watching = true;
    push->sent_ns = consumer->home->now_ns;
    set_active(consumer);
    int64_t heartbeat_ns = consumer_config(consumer)->idle_heartbeat_ns;
    if (heartbeat_ns > 0)
        consumer_arm(consumer, push->sent_ns + (uint64_t)heartbeat_ns);
}

static void interest_changed(InterestWatch *watch) {
    Consumer *consumer = CONTAINER_OF(watch, Push, watch)->consumer;
    set_active(consumer);
    consumer_pump(consumer);
}

static void drained(DrainWait *wait) {
    Push *push = CONTAINER_OF(wait, Push, drain);
    push->is_draining = false;
    consumer_pump(push->consumer);
}

bool push_may_send(Consumer *consumer) {
    Push *push = consumer->push;
    if (!push->is_active || push->is_draining)
        return false;
    if (push->window_bytes && push->out_bytes > push->window_bytes)
        return false;
    Account *account = consumer_stream(consumer)->account;
    if (bus_is_congested(account, push_subject(consumer))) {
        push->is_draining = true;
        bus_wait_for_drain(account_bus(account), &push->drain);
        return false;
    }
    return true;
}

/* $JS.FC.<stream>.<consumer>.<token> */
static Slice flow_subject(const Consumer *consumer, char *text) {
    static const Slice start = LIT("$JS.FC.");
    Slice names = slice_from_at(consumer_ack_prefix(consumer), sizeof "$JS.ACK." - 1);
    memcpy(text, start.ptr, start.len);
    memcpy(text + start.len, names.ptr, names.len);
    memcpy(text + start.len + names.len, consumer->push->token, sizeof consumer->push->token);
    return slice_from(text, start.len + names.len + sizeof consumer->push->token);
}

void push_sent(Consumer *consumer, size_t bytes) {
    Push *push = consumer->push;
    if (push == NULL)
        return;
    push->sent_ns = consumer->home->now_ns;
    if (push->window_bytes == 0)
        return;
    push->out_bytes += bytes;
    int64_t max_pending = consumer_config(consumer)->max_ack_pending;
    bool is_half = consumer->ack_policy == ACK_FLOW_CONTROL &&
                   consumer_pending_count(consumer) * 2 > (uint64_t)max_pending;
    if (push->out_bytes > push->window_bytes / 2 || is_half)
        ask(consumer);
}

static void ask(Consumer *consumer) {
    Push *push = consumer->push;
    char text[FLOW_SUBJECT_BYTES_MAX];
    if (push->is_asking)
        return;
    push->is_asking = true;
    push->asked_bytes = push->out_bytes;
    nuid_write(&consumer->home->rand, push->token, sizeof push->token);
    consumer_send_status(consumer, push_subject(consumer), flow_subject(consumer, text),
                         LIT("100 FlowControl Request"), (Slice){0});
}

static bool header_u64(Slice headers, Slice name, uint64_t *out_value) {
    Slice text;
    return headers.len && header_get(headers, name, &text) &&
           slice_parse_u64(text, out_value) == OK;
}

bool consumer_has_flow_control(const Consumer *consumer) {
    return consumer->push && consumer->push->window_bytes > 0;
}

void consumer_on_flow_reply(Consumer *consumer, Slice token, const Message *message) {
    ASSERT_HOME(consumer);
    Push *push = consumer->push;
    if (push == NULL || !push->is_asking ||
        !slice_equal(token, slice_from(push->token, sizeof push->token)))
        return;
    if (push->window_bytes < WINDOW_BYTES_MAX)
        push->window_bytes *= 2;
    push->out_bytes -= push->asked_bytes;
    push->asked_bytes = 0;
    push->is_asking = false;
    uint64_t dseq, sseq;
    if (consumer->ack_policy == ACK_FLOW_CONTROL &&
        header_u64(message->headers, LIT("Nats-Last-Consumer"), &dseq) &&
        header_u64(message->headers, LIT("Nats-Last-Stream"), &sseq))
        consumer_ack_up_to(consumer, dseq, sseq, (Slice){0});
    consumer_pump(consumer);
}

static void send_heartbeat(Consumer *consumer) {
    Push *push = consumer->push;
    char text[FLOW_SUBJECT_BYTES_MAX];
    Buf lines = {0};
    consumer_heartbeat_lines(consumer, &lines);
    if (push->is_asking)
        header_append(&lines, LIT("Nats-Consumer-Stalled"), flow_subject(consumer, text));
    consumer_send_status(consumer, push_subject(consumer), (Slice){0}, LIT("100 Idle Heartbeat"),
                         buf_slice(&lines));
    buf_done(&lines);
}

uint64_t push_tick(Consumer *consumer, uint64_t now_ns) {
    Push *push = consumer->push;
    uint64_t heartbeat_ns = (uint64_t)consumer_config(consumer)->idle_heartbeat_ns;
    if (heartbeat_ns == 0 || !push->is_watching)
        return 0;
    if (now_ns >= push->sent_ns + heartbeat_ns) {
        if (push->is_active)
            send_heartbeat(consumer);
        if (push->is_active && consumer->ack_policy == ACK_FLOW_CONTROL &&
            consumer_pending_count(consumer) > 0)
            ask(consumer);
        push->sent_ns = now_ns;
    }
    return push->sent_ns + heartbeat_ns;
}
