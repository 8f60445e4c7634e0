#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delivery_sim.h"
#include "disk_sim.h"

/* ---- what comes ---- */

/* The status, as the model writes it. */
static const char *status_of(const char *headers) {
    static const char *const known[] = {"404 No Messages",          "408 Request Timeout",
                                        "408 Requests Pending",     "409 Consumer Deleted",
                                        "423 Nats-Pin-Id mismatch", "423 Nats-Wrong-Pin-Id"};
    size_t len = strcspn(headers, "\r");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (len == strlen(known[i]) + 9 && memcmp(headers + 9, known[i], len - 9) == 0)
            return known[i];
    delivery_fail("unknown status: %s", headers);
}

static void show(char *to, size_t size, const ModelEvent *event) {
    static const char *const kinds[] = {"message", "status", "max deliveries", "pause"};
    (void)snprintf(to, size, "%s c%u request %u seq %llu deliveries %llu dseq %llu pending %llu %s",
                   kinds[event->kind], event->consumer, event->request,
                   (unsigned long long)event->seq, (unsigned long long)event->deliveries,
                   (unsigned long long)event->dseq, (unsigned long long)event->pending,
                   event->status ? event->status : "");
}

static uint64_t number_after(const char *text, const char *key) {
    const char *at = text ? strstr(text, key) : NULL;
    return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
}

/* Of consumer c; false: it is none of those that the model knows. */
static bool read_event(const SimMsg *msg, ModelEvent *out_event) {
    ModelEvent event = {0};
    unsigned long long seq, deliveries, dseq, pending;
    const char *advisory = strstr(msg->subject, "ADVISORY.CONSUMER.");
    if (msg->inbox) {
        event.request = msg->inbox - 1;
        event.consumer = event.request / MODEL_REQUESTS;
        event.kind = EVENT_STATUS;
        if (sscanf(msg->reply, "$JS.ACK.S.c%*u.%llu.%llu.%llu.%*u.%llu", &deliveries, &seq, &dseq,
                   &pending) == 4) {
            event.kind = EVENT_MESSAGE;
            event.seq = seq, event.deliveries = deliveries;
            event.dseq = dseq, event.pending = pending;
        } else {
            event.status = status_of(msg->headers);
        }
    } else if (advisory &&
               sscanf(advisory, "ADVISORY.CONSUMER.MAX_DELIVERIES.S.c%u", &event.consumer) == 1) {
        event.kind = EVENT_MAX_DELIVERIES;
        event.seq = number_after(msg->payload, "\"stream_seq\":");
        event.deliveries = number_after(msg->payload, "\"deliveries\":");
    } else if (advisory &&
               sscanf(advisory, "ADVISORY.CONSUMER.PAUSE.S.c%u", &event.consumer) == 1) {
        event.kind = EVENT_PAUSE;
        event.seq = strstr(msg->payload, "\"paused\":true") != NULL;
    } else {
        return false;
    }
    *out_event = event;
    return true;
}

static bool are_equal(const ModelEvent *a, const ModelEvent *b) {
    return a->kind == b->kind && a->request == b->request && a->seq == b->seq &&
           a->deliveries == b->deliveries && a->dseq == b->dseq && a->pending == b->pending &&
           (a->status == b->status || (a->status && b->status && !strcmp(a->status, b->status)));
}

/* The first one that the model expects of that consumer, taken out. */
static bool next_expected(unsigned c, ModelEvent *out_event) {
    for (unsigned i = 0; i < delivery.expected_len; i++)
        if (delivery.expected[i].consumer == c) {
            *out_event = delivery.expected[i];
            delivery.expected_len--;
            memmove(&delivery.expected[i], &delivery.expected[i + 1],
                    (delivery.expected_len - i) * sizeof *delivery.expected);
            return true;
        }
    return false;
}

static void check_message(unsigned at, const ModelEvent *want) {
    const char *id = delivery.pins_came[at];
    char *known = delivery.pins[want->consumer][want->pin % PINS_MAX];
    if (want->pin && !known[0])
        memcpy(known, id, MODEL_PIN_BYTES);
    if (strcmp(id, want->pin ? known : "") != 0)
        delivery_fail("c%u: pin %s instead of %s", want->consumer, id, known);
    if (delivery.numbers_came[at] != delivery.now.stream.msgs[want->seq].number)
        delivery_fail("c%u: %llu has other bytes", want->consumer, (unsigned long long)want->seq);
}

/* Everything that came against what is expected. */
void hear_judge(void) {
    char have[256], expected[256];
    ModelEvent want;
    for (unsigned i = 0; i < delivery.came_len && !disk_sim_is_stopped(); i++) {
        const ModelEvent *event = &delivery.came[i];
        show(have, sizeof have, event);
        if (!next_expected(event->consumer, &want))
            delivery_fail("came: %s", have);
        show(expected, sizeof expected, &want);
        if (!are_equal(event, &want))
            delivery_fail("came: %s instead of: %s", have, expected);
        if (event->kind == EVENT_MESSAGE)
            check_message(i, &want);
    }
    if (delivery.expected_len && !disk_sim_is_stopped()) {
        show(expected, sizeof expected, &delivery.expected[0]);
        delivery_fail("did not come: %s", expected);
    }
    delivery.expected_len = delivery.came_len = 0;
}

static void keep(const SimMsg *msg, const ModelEvent *event) {
    char text[256];
    const char *pin = strstr(msg->headers, "Nats-Pin-Id: ");
    unsigned at = delivery.came_len++;
    if (at == EVENTS_MAX)
        delivery_fail("too much came");
    delivery.came[at] = *event;
    delivery.numbers_came[at] = (uint32_t)strtoul(msg->payload, NULL, 10);
    (void)snprintf(delivery.pins_came[at], sizeof delivery.pins_came[at], "%s",
                   pin ? pin + sizeof "Nats-Pin-Id: " - 1 : "");
    show(text, sizeof text, event);
    delivery_tell("    %s\n", text);
}

static void collect(void) {
    ModelEvent event;
    delivery.answer[0] = 0;
    sim_run();
    for (const SimMsg *msg; (msg = sim_next());) {
        if (strcmp(msg->subject, "_INBOX.x") == 0)
            (void)snprintf(delivery.answer, sizeof delivery.answer, "%s",
                           msg->payload[0] ? msg->payload : "+");
        else if (read_event(msg, &event))
            keep(msg, &event);
    }
    sim_forget();
}

void hear_run(void) {
    collect();
    hear_judge();
}

static const char *ask_only(const char *subject) {
    sim_tell(subject, "_INBOX.x", "", "");
    collect();
    return delivery.answer;
}

const char *hear_ask(const char *subject, const char *body) {
    sim_tell(subject, "_INBOX.x", "", body);
    hear_run();
    return delivery.answer;
}

/* ---- what the server says of itself ---- */

static bool is_other(const char *info, const char *object, const char *key, uint64_t want,
                     char text[160]) {
    const char *at = object[0] ? strstr(info, object) : info;
    uint64_t have = number_after(at, key);
    if (have == want)
        return false;
    (void)snprintf(text, 160, "%s%s%llu instead of %llu", object, key, (unsigned long long)have,
                   (unsigned long long)want);
    return true;
}

static const char *numbers_differ(const Model *model, unsigned c, const char *info) {
    static char text[160];
    const ModelConsumer *consumer = &model->consumers[c];
    const struct {
        const char *object, *key;
        uint64_t want;
    } numbers[] = {
        {"\"delivered\":", "\"consumer_seq\":", consumer->delivered_dseq},
        {"\"delivered\":", "\"stream_seq\":", consumer->delivered_sseq},
        {"\"ack_floor\":", "\"consumer_seq\":", consumer->floor_dseq},
        {"\"ack_floor\":", "\"stream_seq\":", consumer->floor_sseq},
        {"", "\"num_ack_pending\":", model_pending(consumer)},
        {"", "\"num_redelivered\":", model_redelivered(consumer)},
        {"", "\"num_waiting\":", consumer->request_count},
        {"", "\"num_pending\":", model_new(model, c)},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (is_other(info, numbers[i].object, numbers[i].key, numbers[i].want, text))
            return text;
    int64_t left_ns = consumer->pause_until_ns - delivery_now().wall_ns;
    if ((strstr(info, "\"paused\":true") != NULL) != (left_ns > 0))
        return "paused or not";
    return left_ns > 0 && is_other(info, "", "\"pause_remaining\":", (uint64_t)left_ns, text)
               ? text
               : NULL;
}

static const char *info_of(unsigned c) {
    char subject[64];
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.INFO.S.c%u", c);
    return ask_only(subject);
}

static const char *differs(const Model *model, unsigned c, const char *info) {
    bool exists = strstr(info, "\"error\"") == NULL;
    if (exists != model->consumers[c].exists)
        return exists ? "it exists" : "it does not exist";
    return exists ? numbers_differ(model, c, info) : NULL;
}

/* The floor may be elsewhere as long as nothing is pending in between: it moves when the disk has
 * an ack; whether what was delivered since counts depends on what was read when, and on restarts.
 */
static void take_floor(Model *model, unsigned c, const char *info) {
    ModelConsumer *consumer = &model->consumers[c];
    const char *floor = strstr(info, "\"ack_floor\":");
    uint64_t sseq = number_after(floor, "\"stream_seq\":");
    uint64_t low = sseq < consumer->floor_sseq ? sseq : consumer->floor_sseq;
    uint64_t high = sseq < consumer->floor_sseq ? consumer->floor_sseq : sseq;
    if (!floor || high > consumer->delivered_sseq)
        return;
    for (uint64_t seq = low + 1; seq <= high && seq < MODEL_SEQS; seq++)
        if (consumer->takes[seq].state != TAKE_NONE && consumer->takes[seq].state != TAKE_GIVEN_UP)
            return;
    consumer->floor_sseq = sseq;
    consumer->floor_dseq = number_after(floor, "\"consumer_seq\":");
}

const char *hear_differs(Model *model, unsigned c) {
    static char info[sizeof delivery.answer];
    (void)snprintf(info, sizeof info, "%s", info_of(c));
    if (delivery.is_cold)
        take_floor(model, c, info);
    const char *why = differs(model, c, info);
    hear_judge();
    return why;
}

/* ---- after a restart ---- */

static unsigned resolve_stream(void) {
    static char info[sizeof delivery.answer];
    (void)snprintf(info, sizeof info, "%s", ask_only("$JS.API.STREAM.INFO.S"));
    for (unsigned i = delivery.stream_len; i-- > delivery.stream_min;) {
        const ModelStream *stream = &delivery.streams[i];
        uint64_t messages = 0;
        for (uint64_t seq = 1; seq <= stream->last; seq++)
            messages += stream->msgs[seq].is_live;
        if (number_after(info, "\"messages\":") == messages &&
            number_after(info, "\"last_seq\":") == stream->last)
            return i;
    }
    delivery_fail("after a restart the stream is: %s", info);
}

static bool is_same_take(const Take *a, const Take *b) {
    return a->state == b->state && a->deliveries == b->deliveries && a->dseq == b->dseq &&
           a->due_ns == b->due_ns;
}

/* What cannot be told apart: the takes in which they differ are vague. */
static void blur(ModelConsumer *consumer, const ModelConsumer *other) {
    for (unsigned seq = 1; seq < MODEL_SEQS; seq++)
        if (!is_same_take(&consumer->takes[seq], &other->takes[seq]))
            consumer->takes[seq].is_vague = true;
}

static bool has_come(unsigned c, unsigned first) {
    unsigned at = first;
    for (unsigned i = 0; i < delivery.came_len; i++)
        if (delivery.came[i].consumer == c &&
            (at == delivery.expected_len ||
             !are_equal(&delivery.came[i], &delivery.expected[at++])))
            return false;
    return at == delivery.expected_len;
}

bool hear_is_expected(unsigned c) {
    collect();
    return has_come(c, 0);
}

static void resolve_consumer(unsigned c, unsigned stream_step) {
    static char info[sizeof delivery.answer], first_why[160];
    static Model model, chosen;
    static ModelEvent events[EVENTS_MAX];
    const Chain *chain = &delivery.chains[c];
    unsigned found = 0, event_count = 0, before = delivery.expected_len;
    (void)snprintf(info, sizeof info, "%s", info_of(c));
    (void)snprintf(first_why, sizeof first_why, "nothing fits");
    model.stream = delivery.now.stream;
    for (unsigned i = chain->len; i-- > chain->min;) {
        if (chain->links[i].stream_step != stream_step)
            continue;
        delivery.expected_len = before;
        model.consumers[c] = chain->links[i].consumer;
        model_restart(&model, c, delivery_now());
        model_tick(&model, c, delivery_now());
        take_floor(&model, c, info);
        const char *why = differs(&model, c, info);
        if (!why && !has_come(c, before))
            why = "other events";
        if (why && i == chain->len - 1)
            (void)snprintf(first_why, sizeof first_why, "%s", why);
        if (why)
            continue;
        if (found++) {
            blur(&chosen.consumers[c], &model.consumers[c]);
            continue;
        }
        chosen.consumers[c] = model.consumers[c];
        event_count = delivery.expected_len - before;
        memcpy(events, delivery.expected + before, event_count * sizeof *events);
    }
    if (!found)
        delivery_fail("after a restart c%u: %s", c, first_why);
    delivery.now.consumers[c] = chosen.consumers[c];
    memcpy(delivery.expected + before, events, event_count * sizeof *events);
    delivery.expected_len = before + event_count;
}

void hear_resolve(void) {
    unsigned step = resolve_stream();
    delivery.now.stream = delivery.streams[step];
    delivery.is_resolving = true;
    for (unsigned c = 0; c < MODEL_CONSUMERS; c++)
        resolve_consumer(c, step);
    delivery.is_resolving = false;
    delivery_begin();
    hear_judge();
}
