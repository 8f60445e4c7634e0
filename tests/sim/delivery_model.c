#include "delivery_model.h"

#include <string.h>

bool model_covers(const ModelConsumer *consumer, unsigned subject) {
    return consumer->filter < 0 || (unsigned)consumer->filter == subject;
}

static uint64_t next_new(const Model *model, const ModelConsumer *consumer, uint64_t above) {
    for (uint64_t seq = above + 1; seq <= model->stream.last; seq++)
        if (model->stream.msgs[seq].is_live &&
            model_covers(consumer, model->stream.msgs[seq].subject))
            return seq;
    return 0;
}

uint64_t model_new(const Model *model, unsigned c) {
    const ModelConsumer *consumer = &model->consumers[c];
    uint64_t n = 0;
    for (uint64_t seq = consumer->delivered_sseq; (seq = next_new(model, consumer, seq));)
        n++;
    return n;
}

static bool is_pending(const Take *take) {
    return take->state == TAKE_PENDING || take->state == TAKE_QUEUED || take->state == TAKE_ACKING;
}

uint64_t model_pending(const ModelConsumer *consumer) {
    uint64_t n = 0;
    for (unsigned seq = 1; seq < MODEL_SEQS; seq++)
        n += is_pending(&consumer->takes[seq]);
    return n;
}

uint64_t model_redelivered(const ModelConsumer *consumer) {
    uint64_t n = 0;
    for (unsigned seq = 1; seq < MODEL_SEQS; seq++)
        n += consumer->takes[seq].state == TAKE_GIVEN_UP ||
             (is_pending(&consumer->takes[seq]) && consumer->takes[seq].deliveries > 1);
    return consumer->max_deliver == 1 ? 0 : n;
}

static void sooner(uint64_t *due_ns, uint64_t other_ns, uint64_t now_ns) {
    if (other_ns > now_ns && other_ns < *due_ns)
        *due_ns = other_ns;
}

uint64_t model_next_due(const ModelConsumer *consumer, ModelNow now) {
    uint64_t due_ns = UINT64_MAX;
    if (!consumer->exists)
        return due_ns;
    for (unsigned seq = 1; seq < MODEL_SEQS; seq++)
        if (consumer->takes[seq].state == TAKE_PENDING)
            sooner(&due_ns, consumer->takes[seq].due_ns, now.mono_ns);
    for (unsigned i = 0; i < consumer->request_count; i++)
        if (consumer->requests[i].expires_ns)
            sooner(&due_ns, consumer->requests[i].expires_ns, now.mono_ns);
    if (consumer->pin)
        sooner(&due_ns, consumer->pin_due_ns, now.mono_ns);
    if (consumer->is_paused)
        sooner(&due_ns, now.mono_ns + (uint64_t)(consumer->pause_until_ns - now.wall_ns),
               now.mono_ns);
    return due_ns;
}

static uint64_t wait_of(const ModelConsumer *consumer, uint32_t deliveries) {
    unsigned nth = deliveries - 1;
    return consumer->waits_ns[nth < consumer->wait_count ? nth : consumer->wait_count - 1];
}

/* ---- requests ---- */

static void put_request(ModelConsumer *consumer, Request request) {
    unsigned at = consumer->request_count++;
    while (consumer->policy == POLICY_PRIORITIZED && at > 0 &&
           consumer->requests[at - 1].priority > request.priority) {
        consumer->requests[at] = consumer->requests[at - 1];
        at--;
    }
    consumer->requests[at] = request;
}

static Request cut_request(ModelConsumer *consumer, unsigned at) {
    Request request = consumer->requests[at];
    consumer->request_count--;
    memmove(&consumer->requests[at], &consumer->requests[at + 1],
            (consumer->request_count - at) * sizeof request);
    return request;
}

static void say(unsigned c, unsigned request, const char *status) {
    model_on_event(
        &(ModelEvent){.kind = EVENT_STATUS, .consumer = c, .request = request, .status = status});
}

static void end_request(ModelConsumer *consumer, unsigned c, unsigned at, const char *status) {
    say(c, cut_request(consumer, at).id, status);
}

static bool is_hasty(const Request *request) {
    return request->no_wait && (request->served || !request->expires_ns);
}

static void end_hasty(ModelConsumer *consumer, unsigned c) {
    for (unsigned i = 0; i < consumer->request_count;)
        if (is_hasty(&consumer->requests[i]))
            end_request(consumer, c, i, "404 No Messages");
        else
            i++;
}

static bool is_admitted(const Model *model, unsigned c, const Request *request) {
    const ModelConsumer *consumer = &model->consumers[c];
    switch (consumer->policy) {
    case POLICY_OVERFLOW:
        return (!request->min_pending && !request->min_ack_pending) ||
               (request->min_pending && model_new(model, c) >= request->min_pending) ||
               (request->min_ack_pending && model_pending(consumer) >= request->min_ack_pending);
    case POLICY_PINNED:
        return consumer->pin == request->pin;
    default:
        return true;
    }
}

/* The one that gets the next message; false: none. */
static bool take_request(Model *model, unsigned c, ModelNow now, Request *out_request) {
    ModelConsumer *consumer = &model->consumers[c];
    for (unsigned i = 0; i < consumer->request_count;) {
        const Request *request = &consumer->requests[i];
        if (request->expires_ns && request->expires_ns <= now.mono_ns) {
            end_request(consumer, c, i, "408 Request Timeout");
        } else if (is_admitted(model, c, request)) {
            *out_request = cut_request(consumer, i);
            return true;
        } else if (request->pin && request->pin != consumer->pin) {
            end_request(consumer, c, i, "423 Nats-Wrong-Pin-Id");
        } else {
            i++;
        }
    }
    return false;
}

static bool is_refused(Model *model, unsigned c, const Request *request, bool is_pin_known) {
    ModelConsumer *consumer = &model->consumers[c];
    uint64_t available = model_new(model, c), asked = 0;
    if (consumer->pin && request->pin && !(is_pin_known && request->pin == consumer->pin)) {
        say(c, request->id, "423 Nats-Pin-Id mismatch");
        return true;
    }
    for (unsigned seq = 1; seq < MODEL_SEQS; seq++)
        available += consumer->takes[seq].state == TAKE_QUEUED;
    for (unsigned i = 0; i < consumer->request_count; i++)
        asked += consumer->requests[i].left;
    if (request->no_wait && !available && !request->expires_ns)
        say(c, request->id, "404 No Messages");
    else if (request->no_wait && available && available < asked)
        say(c, request->id, "408 Requests Pending");
    else
        return false;
    return true;
}

void model_request(Model *model, unsigned c, const Request *request, bool is_pin_known,
                   ModelNow now) {
    ModelConsumer *consumer = &model->consumers[c];
    if (consumer->pin && request->pin == consumer->pin && is_pin_known)
        consumer->pin_due_ns = now.mono_ns + consumer->pin_timeout_ns;
    if (is_refused(model, c, request, is_pin_known))
        return;
    put_request(consumer, *request);
    model_pump(model, c, now);
}

void model_unpin(ModelConsumer *consumer) {
    consumer->pin = 0;
}

/* ---- delivery ---- */

static void give_up(ModelConsumer *consumer, unsigned c, uint64_t seq) {
    consumer->takes[seq].state = TAKE_GIVEN_UP;
    model_on_event(&(ModelEvent){.kind = EVENT_MAX_DELIVERIES,
                                 .consumer = c,
                                 .seq = seq,
                                 .deliveries = consumer->takes[seq].deliveries});
    model_on_step(c);
}

static void queue(ModelConsumer *consumer, uint64_t seq) {
    if (consumer->takes[seq].state == TAKE_QUEUED)
        return;
    consumer->takes[seq].state = TAKE_QUEUED;
    consumer->queue[consumer->queue_len++] = (uint16_t)seq;
}

static void shift_queue(ModelConsumer *consumer) {
    consumer->queue_len--;
    memmove(consumer->queue, consumer->queue + 1, consumer->queue_len * sizeof *consumer->queue);
}

static bool has_queued(const ModelConsumer *consumer) {
    for (unsigned seq = 1; seq < MODEL_SEQS; seq++)
        if (consumer->takes[seq].state == TAKE_QUEUED)
            return true;
    return false;
}

/* The next one to be delivered again; 0 = none. Those delivered often enough are given up. One that
 * was in the queue, and was put off, has its old place when it is queued again before it was passed
 * over. */
static uint64_t next_again(ModelConsumer *consumer, unsigned c) {
    while (has_queued(consumer)) {
        uint64_t seq = consumer->queue[0];
        const Take *take = &consumer->takes[seq];
        bool is_over = consumer->max_deliver && take->deliveries >= consumer->max_deliver;
        if (take->state == TAKE_QUEUED && !is_over)
            return seq;
        shift_queue(consumer);
        if (take->state == TAKE_QUEUED)
            give_up(consumer, c, seq);
    }
    return 0;
}

static void pin(ModelConsumer *consumer, Request *request, ModelNow now) {
    if (consumer->policy != POLICY_PINNED || consumer->pin)
        return;
    consumer->pin = request->pin = ++consumer->pin_last;
    consumer->pin_due_ns = now.mono_ns + consumer->pin_timeout_ns;
}

static void deliver(Model *model, unsigned c, uint64_t seq, Request request, ModelNow now) {
    ModelConsumer *consumer = &model->consumers[c];
    Take *take = &consumer->takes[seq];
    bool is_new = take->state != TAKE_QUEUED;
    pin(consumer, &request, now);
    consumer->delivered_dseq++;
    if (is_new) {
        *take = (Take){.dseq = consumer->delivered_dseq};
        consumer->delivered_sseq = seq;
    } else {
        shift_queue(consumer);
    }
    take->state = TAKE_PENDING;
    take->deliveries++;
    take->delay_ns = 0;
    take->due_ns = now.mono_ns + wait_of(consumer, take->deliveries);
    model_on_event(&(ModelEvent){.kind = EVENT_MESSAGE,
                                 .consumer = c,
                                 .request = request.id,
                                 .seq = seq,
                                 .deliveries = take->deliveries,
                                 .dseq = consumer->delivered_dseq,
                                 .pending = model_new(model, c),
                                 .pin = consumer->pin});
    model_on_step(c);
    request.served++;
    if (--request.left)
        put_request(consumer, request);
}

static bool is_stalled(const ModelConsumer *consumer) {
    uint64_t n = 0;
    for (unsigned seq = 1; seq < MODEL_SEQS; seq++)
        n += is_pending(&consumer->takes[seq]) && consumer->takes[seq].state != TAKE_ACKING;
    return consumer->max_ack_pending && n >= consumer->max_ack_pending;
}

void model_pump(Model *model, unsigned c, ModelNow now) {
    ModelConsumer *consumer = &model->consumers[c];
    bool is_empty = consumer->is_paused;
    Request request;
    while (!consumer->is_paused && consumer->request_count) {
        uint64_t seq = next_again(consumer, c);
        uint64_t next = next_new(model, consumer, consumer->delivered_sseq);
        if (!seq && next && is_stalled(consumer))
            return; /* who would not wait waits for that all the same */
        is_empty = true;
        seq = seq ? seq : next;
        if (!seq || !take_request(model, c, now, &request))
            break;
        is_empty = false;
        deliver(model, c, seq, request, now);
    }
    if (is_empty)
        end_hasty(consumer, c);
}

/* ---- acknowledgements ---- */

static void forget(ModelConsumer *consumer, uint64_t seq) {
    Take was = consumer->takes[seq];
    consumer->takes[seq] = (Take){0};
    if (model_pending(consumer) == 0) {
        consumer->floor_dseq = consumer->delivered_dseq;
        consumer->floor_sseq = consumer->delivered_sseq;
    } else if (was.dseq == consumer->floor_dseq + 1) {
        consumer->floor_dseq = was.dseq;
        consumer->floor_sseq = seq;
        for (uint64_t next = seq + 1; next < MODEL_SEQS; next++)
            if (is_pending(&consumer->takes[next])) {
                consumer->floor_dseq = consumer->takes[next].dseq - 1;
                consumer->floor_sseq = next - 1;
                break;
            }
    }
}

void model_ack(Model *model, unsigned c, uint64_t seq, bool is_early, ModelNow now) {
    ModelConsumer *consumer = &model->consumers[c];
    if (is_pending(&consumer->takes[seq]))
        consumer->takes[seq].state = TAKE_ACKING;
    if (is_early)
        model_pump(model, c, now);
    forget(consumer, seq);
    model_on_step(c);
    model_pump(model, c, now);
}

void model_nak(ModelConsumer *consumer, uint64_t seq, uint64_t delay_ns, ModelNow now) {
    Take *take = &consumer->takes[seq];
    if (!delay_ns) {
        queue(consumer, seq);
        return;
    }
    take->state = TAKE_PENDING;
    take->due_ns = now.mono_ns + delay_ns;
    take->delay_ns = now.wall_ns + (int64_t)delay_ns;
}

void model_progress(ModelConsumer *consumer, uint64_t seq, ModelNow now) {
    Take *take = &consumer->takes[seq];
    if (take->state == TAKE_PENDING)
        take->due_ns = now.mono_ns + wait_of(consumer, take->deliveries);
}

void model_pause(Model *model, unsigned c, int64_t until_ns, ModelNow now) {
    ModelConsumer *consumer = &model->consumers[c];
    consumer->pause_until_ns = until_ns;
    consumer->is_paused = until_ns > now.wall_ns;
    model_on_step(c);
    model_on_event(&(ModelEvent){.kind = EVENT_PAUSE, .consumer = c, .seq = consumer->is_paused});
    model_pump(model, c, now);
}

void model_reset(ModelConsumer *consumer, uint64_t seq) {
    memset(consumer->takes, 0, sizeof consumer->takes);
    consumer->queue_len = 0;
    consumer->delivered_dseq = consumer->floor_dseq = 0;
    consumer->delivered_sseq = consumer->floor_sseq = seq - 1;
}

/* ---- the stream ---- */

void model_publish(Model *model, unsigned subject, uint32_t number) {
    model->stream.msgs[++model->stream.last] =
        (ModelMsg){.is_live = true, .subject = (uint8_t)subject, .number = number};
}

void model_remove(Model *model, unsigned c, uint64_t seq) {
    ModelConsumer *consumer = &model->consumers[c];
    if (consumer->takes[seq].state != TAKE_NONE)
        forget(consumer, seq);
}

void model_purge(Model *model, unsigned c) {
    ModelConsumer *consumer = &model->consumers[c];
    memset(consumer->takes, 0, sizeof consumer->takes);
    consumer->queue_len = 0;
    if (consumer->delivered_sseq < model->stream.last)
        consumer->delivered_sseq = model->stream.last;
    consumer->floor_dseq = consumer->delivered_dseq;
    consumer->floor_sseq = consumer->delivered_sseq;
}

/* ---- time ---- */

static void expire_requests(ModelConsumer *consumer, unsigned c, ModelNow now) {
    bool has_expired = false;
    for (unsigned i = 0; i < consumer->request_count;)
        if (consumer->requests[i].expires_ns && consumer->requests[i].expires_ns <= now.mono_ns) {
            end_request(consumer, c, i, "408 Request Timeout");
            has_expired = true;
        } else {
            i++;
        }
    if (has_expired)
        end_hasty(consumer, c);
}

void model_tick(Model *model, unsigned c, ModelNow now) {
    ModelConsumer *consumer = &model->consumers[c];
    if (!consumer->exists)
        return;
    expire_requests(consumer, c, now);
    if (consumer->is_paused && consumer->pause_until_ns <= now.wall_ns) {
        consumer->is_paused = false;
        model_on_event(&(ModelEvent){.kind = EVENT_PAUSE, .consumer = c});
    }
    for (uint64_t seq = 1; seq < MODEL_SEQS; seq++) {
        const Take *take = &consumer->takes[seq];
        if (take->state != TAKE_PENDING || take->due_ns > now.mono_ns)
            continue;
        if (consumer->max_deliver && take->deliveries >= consumer->max_deliver)
            give_up(consumer, c, seq);
        else
            queue(consumer, seq);
    }
    if (consumer->pin && consumer->pin_due_ns <= now.mono_ns)
        consumer->pin = 0;
    model_pump(model, c, now);
}

void model_restart(Model *model, unsigned c, ModelNow now) {
    ModelConsumer *consumer = &model->consumers[c];
    consumer->request_count = consumer->queue_len = 0;
    consumer->pin = 0;
    consumer->is_paused = consumer->pause_until_ns > now.wall_ns;
    for (uint64_t seq = 1; seq < MODEL_SEQS; seq++) {
        Take *take = &consumer->takes[seq];
        if (!is_pending(take))
            continue;
        int64_t left_ns = take->delay_ns - now.wall_ns;
        take->state = TAKE_PENDING;
        take->due_ns = now.mono_ns + (!take->delay_ns ? wait_of(consumer, take->deliveries)
                                      : left_ns > 0   ? (uint64_t)left_ns
                                                      : 0);
    }
}
