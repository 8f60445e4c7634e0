#include "stream/pull.h"

#include "proto/headers.h"
#include "proto/timefmt.h"
#include "stream/priority.h"

static void drained(DrainWait *wait);
static void request_due(Timer *timer);

void pull_new(Consumer *consumer) {
    Pull *pull = mem_zalloc(sizeof *pull);
    list_init(&pull->waiting);
    link_init(&pull->drain.link);
    pull->drain.drained = drained;
    pull->consumer = consumer;
    consumer->pull = pull;
}

static PullRequest *request_at(Link *link) {
    return CONTAINER_OF(link, PullRequest, link);
}

/* Does not wait when there is nothing to be had. */
static bool is_hasty(const PullRequest *request) {
    return request->no_wait && (request->served > 0 || request->expires_ns == 0);
}

static void leave_queue(Pull *pull, PullRequest *request) {
    if (!link_is_listed(&request->link))
        return;
    list_remove(&request->link);
    pull->count--;
    pull->hasty_count -= is_hasty(request);
    pull->asked -= (uint64_t)request->batch_left;
}

static void request_free(PullRequest *request) {
    timer_cancel(request->consumer->home, &request->timer);
    mem_free(request);
}

static void drop(Pull *pull, PullRequest *request) {
    leave_queue(pull, request);
    request_free(request);
}

void pull_free(Consumer *consumer) {
    Pull *pull = consumer->pull;
    if (pull == NULL)
        return;
    LIST_FOR_EACH(link, &pull->waiting)
    drop(pull, request_at(link));
    if (pull->is_draining)
        bus_cancel_wait(&pull->drain);
    consumer->pull = NULL;
    mem_free(pull);
}

static void drained(DrainWait *wait) {
    Pull *pull = CONTAINER_OF(wait, Pull, drain);
    pull->is_draining = false;
    consumer_pump(pull->consumer);
}

/* Behind its equals; with priorities, before those that come later. */
static void enter_queue(Pull *pull, PullRequest *request, bool is_prioritized) {
    Link *before = &pull->waiting;
    while (is_prioritized && before->prev != &pull->waiting &&
           request_at(before->prev)->priority > request->priority)
        before = before->prev;
    list_push_back(before, &request->link);
    pull->count++;
    pull->hasty_count += is_hasty(request);
    pull->asked += (uint64_t)request->batch_left;
}

static bool has_interest(const Consumer *consumer, const PullRequest *request) {
    return request->inbox_len == 0 ||
           bus_has_interest(consumer_stream(consumer)->account, pull_request_inbox(request));
}

void pull_end(Consumer *consumer, PullRequest *request, Slice status, bool has_left) {
    Buf lines = {0};
    if (has_left) {
        header_append_u64(&lines, LIT("Nats-Pending-Messages"),
                          request->has_no_batch ? 0 : (uint64_t)request->batch_left);
        header_append_u64(&lines, LIT("Nats-Pending-Bytes"), (uint64_t)request->bytes_left);
    }
    leave_queue(consumer->pull, request);
    consumer_send_status(consumer, pull_request_inbox(request), (Slice){0}, status,
                         buf_slice(&lines));
    buf_done(&lines);
    request_free(request);
}

void pull_end_all(Consumer *consumer, Slice status) {
    Pull *pull = consumer->pull;
    while (!list_is_empty(&pull->waiting))
        pull_end(consumer, request_at(pull->waiting.next), status, false);
}

void pull_end_everywhere(ConsumerSet *set, Slice status) {
    ASSERT_HOME(set);
    for (size_t i = 0; i < set->all.len; i++) {
        Consumer *consumer = set->all.at[i];
        if (consumer->pull == NULL)
            continue;
        LIST_FOR_EACH(link, &consumer->pull->waiting)
        pull_end(consumer, request_at(link), status, true);
    }
}

size_t pull_count(Consumer *consumer) {
    LIST_FOR_EACH(link, &consumer->pull->waiting)
    if (!has_interest(consumer, request_at(link)))
        drop(consumer->pull, request_at(link));
    return consumer->pull->count;
}

static bool is_congested(Consumer *consumer, const PullRequest *request) {
    return request->inbox_len &&
           bus_is_congested(consumer_stream(consumer)->account, pull_request_inbox(request));
}

static void wait_for_drain(Consumer *consumer) {
    Pull *pull = consumer->pull;
    if (pull->is_draining)
        return;
    pull->is_draining = true;
    bus_wait_for_drain(account_bus(consumer_stream(consumer)->account), &pull->drain);
}

PullRequest *pull_take(Consumer *consumer, size_t bytes) {
    Pull *pull = consumer->pull;
    uint64_t now_ns = consumer->home->now_ns;
    bool has_congested = false;
    LIST_FOR_EACH(link, &pull->waiting) {
        PullRequest *request = request_at(link);
        if (request->expires_ns && request->expires_ns <= now_ns) {
            pull_end(consumer, request, LIT("408 Request Timeout"), true);
        } else if (!has_interest(consumer, request)) {
            drop(pull, request);
        } else if (!priority_admits(consumer, request)) {
            if (priority_has_lost_pin(consumer, request))
                pull_end(consumer, request, LIT("423 Nats-Wrong-Pin-Id"), true);
        } else if (request->bytes_left && bytes > (size_t)request->bytes_left) {
            pull_end(consumer, request, LIT("409 Message Size Exceeds MaxBytes"), true);
        } else if (is_congested(consumer, request)) {
            has_congested = true;
        } else {
            leave_queue(pull, request);
            return request;
        }
    }
    if (has_congested)
        wait_for_drain(consumer);
    return NULL;
}

void pull_served(Consumer *consumer, PullRequest *request, size_t bytes) {
    request->served++;
    request->batch_left--;
    bool is_done = request->batch_left <= 0;
    if (request->bytes_left) {
        request->bytes_left -= (int64_t)bytes;
        if (request->bytes_left <= 0)
            is_done = true;
        else if (is_done) {
            pull_end(consumer, request, LIT("409 Batch Completed"), true);
            return;
        }
    }
    if (is_done || consumer->is_gone) {
        request_free(request);
        return;
    }
    if (request->heartbeat_ns)
        request->beat_due_ns = consumer->home->now_ns + request->heartbeat_ns;
    enter_queue(consumer->pull, request,
                consumer_config(consumer)->priority_policy == PRIORITY_PRIORITIZED);
}

void pull_on_nothing(Consumer *consumer) {
    if (consumer->pull->hasty_count == 0)
        return;
    LIST_FOR_EACH(link, &consumer->pull->waiting) {
        PullRequest *request = request_at(link);
        if (is_hasty(request))
            pull_end(consumer, request, LIT("404 No Messages"), false);
    }
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    if (a == 0 || b == 0)
        return a ? a : b;
    return a < b ? a : b;
}

/* A heartbeat that moves away meanwhile is noticed when the timer fires. */
static void arm(PullRequest *request) {
    uint64_t due_ns = sooner(request->expires_ns, request->beat_due_ns);
    if (due_ns)
        timer_set(request->consumer->home, &request->timer, due_ns);
}

static void send_heartbeat(Consumer *consumer, const PullRequest *request) {
    Buf lines = {0};
    consumer_heartbeat_lines(consumer, &lines);
    consumer_send_status(consumer, pull_request_inbox(request), (Slice){0},
                         LIT("100 Idle Heartbeat"), buf_slice(&lines));
    buf_done(&lines);
}

/* request may be gone afterwards. */
static void tick(Consumer *consumer, PullRequest *request, uint64_t now_ns) {
    bool is_expired = request->expires_ns && request->expires_ns <= now_ns;
    bool is_beat = request->heartbeat_ns && request->beat_due_ns <= now_ns;
    if ((is_expired || is_beat) && !has_interest(consumer, request)) {
        drop(consumer->pull, request);
    } else if (is_expired) {
        pull_end(consumer, request, LIT("408 Request Timeout"), true);
    } else if (is_beat && is_hasty(request) && request->served > 0) {
        pull_end(consumer, request, LIT("404 No Messages"),
                 false); /* held up by unacknowledged ones */
    } else {
        if (is_beat)
            request->beat_due_ns = now_ns + request->heartbeat_ns;
        arm(request);
        if (is_beat)
            send_heartbeat(consumer, request);
    }
    if (is_expired) /* the next evaluation, for those that wait although they would not */
        pull_on_nothing(consumer);
}

static void request_due(Timer *timer) {
    PullRequest *request = CONTAINER_OF(timer, PullRequest, timer);
    Consumer *consumer = request->consumer;
    consumer_set_note_time(consumer->set);
    consumer->is_pumping = true; /* what it sends must not come back to it before the end */
    tick(consumer, request, consumer->home->now_ns);
    consumer->is_pumping = false;
    if (!consumer->is_gone)
        consumer_pump(consumer);
}

static void refuse(const Consumer *consumer, Slice inbox, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(const Consumer *consumer, Slice inbox, const char *format, ...) {
    Buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    consumer_send_status(consumer, inbox, (Slice){0}, buf_slice(&text), (Slice){0});
    buf_done(&text);
}

/* The ceilings of the config. True when the request is over one and was answered. */
static bool is_over_ceiling(const Consumer *consumer, Slice inbox, const PullBody *body) {
    const ConsumerConfig *config = consumer_config(consumer);
    if (config->max_batch > 0 && body->batch > config->max_batch) {
        refuse(consumer, inbox, "409 Exceeded MaxRequestBatch of %lld",
               (long long)config->max_batch);
        return true;
    }
    if (config->max_expires_ns > 0 && body->expires_ns > config->max_expires_ns) {
        Buf duration = {0};
        duration_write(&duration, config->max_expires_ns);
        refuse(consumer, inbox, "409 Exceeded MaxRequestExpires of %s", buf_text(&duration));
        buf_done(&duration);
        return true;
    }
    if (config->max_bytes > 0 && body->max_bytes > config->max_bytes) {
        refuse(consumer, inbox, "409 Exceeded MaxRequestMaxBytes of %lld",
               (long long)config->max_bytes);
        return true;
    }
    return false;
}

/* max_waiting, and requests that would not wait. True when the request was answered. */
static bool is_turned_away(Consumer *consumer, Slice inbox, const PullBody *body) {
    Pull *pull = consumer->pull;
    uint64_t available = consumer->num_pending + (consumer->acks ? consumer->acks->queued : 0);
    int64_t max_waiting = consumer_config(consumer)->max_waiting;
    if (max_waiting > 0 && pull->count >= (size_t)max_waiting) {
        if (body->no_wait)
            refuse(consumer, inbox, "404 No Messages");
        else if (body->heartbeat_ns <= 0)
            refuse(consumer, inbox, "409 Exceeded MaxWaiting");
        return true;
    }
    if (!body->no_wait)
        return false;
    if (available == 0 && body->expires_ns == 0) {
        refuse(consumer, inbox, "404 No Messages");
        return true;
    }
    if (available > 0 && available < pull->asked) {
        refuse(consumer, inbox, "408 Requests Pending");
        return true;
    }
    return false;
}

static PullRequest *request_new(Consumer *consumer, Slice inbox, const PullBody *body,
                                int16_t group) {
    uint64_t now_ns = consumer->home->now_ns;
    PullRequest *request = mem_zalloc(sizeof *request + inbox.len);
    link_init(&request->link);
    timer_init(&request->timer, request_due);
    request->consumer = consumer;
    request->expires_ns = body->expires_ns > 0 ? now_ns + (uint64_t)body->expires_ns : 0;
    request->heartbeat_ns = body->heartbeat_ns > 0 ? (uint64_t)body->heartbeat_ns : 0;
    request->beat_due_ns = request->heartbeat_ns ? now_ns + request->heartbeat_ns : 0;
    request->batch_left = body->batch;
    request->bytes_left = body->max_bytes;
    request->min_pending = body->min_pending;
    request->min_ack_pending = body->min_ack_pending;
    request->group = group;
    request->priority = (uint8_t)body->priority;
    request->no_wait = body->no_wait;
    request->has_no_batch = body->has_no_batch;
    request->has_pin = body->id.len > 0;
    if (body->id.len) /* a longer one cannot be ours: its first byte spoils it */
        memcpy(request->pin, body->id.ptr, body->id.len <= PIN_BYTES ? body->id.len : PIN_BYTES);
    if (body->id.len > PIN_BYTES)
        request->pin[0] = 0;
    request->inbox_len = (uint16_t)inbox.len;
    if (inbox.len)
        memcpy(request->inbox, inbox.ptr, inbox.len);
    return request;
}

void pull_on_request(Consumer *consumer, Slice inbox, Slice text) {
    PullBody body;
    Buf error = {0};
    int16_t group = GROUP_NONE;
    if (consumer->pull == NULL) {
        refuse(consumer, inbox, "409 Consumer is push based");
    } else if (pull_body_parse(text, consumer->home->turn, &body, &error) != OK) {
        refuse(consumer, inbox, "400 Bad Request - %s", buf_text(&error));
    } else if (is_over_ceiling(consumer, inbox, &body) ||
               !priority_on_request(consumer, inbox, &body, &group)) {
        consumer_set_active(consumer, false);
    } else {
        consumer_set_active(consumer, false); /* counts from the last request */
        if (body.expires_ns < 0 || inbox.len > UINT16_MAX) {
            PullRequest *over = request_new(consumer, slice_first(inbox, UINT16_MAX), &body, group);
            pull_end(consumer, over, LIT("408 Request Timeout"), true);
        } else if (!is_turned_away(consumer, inbox, &body)) {
            PullRequest *request = request_new(consumer, inbox, &body, group);
            bool is_prioritized =
                consumer_config(consumer)->priority_policy == PRIORITY_PRIORITIZED;
            enter_queue(consumer->pull, request, is_prioritized);
            arm(request);
            if (is_prioritized) /* one that comes with it may go before it */
                consumer_pump_after_input(consumer);
            else
                consumer_pump(consumer);
        }
    }
    buf_done(&error);
}

void consumer_on_pull(Consumer *consumer, const Message *request) {
    ASSERT_HOME(consumer);
    pull_on_request(consumer, request->reply, request->payload);
}
