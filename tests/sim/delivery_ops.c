#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "clock_sim.h"
#include "delivery_sim.h"
#include "disk_sim.h"
#include "proto/timefmt.h"

enum { PAYLOAD_MAX = 900, MS = 1000 * 1000 };

static const char *const groups = "\"priority_groups\":[\"g\"],";
static const char *const policies[POLICIES] = {"none", "overflow", "prioritized", "pinned_client"};

static unsigned pick(unsigned below) {
    return delivery_pick(below);
}

static uint64_t seconds(unsigned n) {
    return n * (uint64_t)NS_PER_S;
}

static ModelConsumer *some_consumer(unsigned *out_c) {
    *out_c = pick(MODEL_CONSUMERS);
    return &delivery.now.consumers[*out_c];
}

static void pump_all(void) {
    for (unsigned c = 0; c < MODEL_CONSUMERS; c++)
        if (delivery.now.consumers[c].exists)
            model_pump(&delivery.now, c, delivery_now());
}

/* The answer came: what it confirms cannot be undone. */
static void confirm(unsigned c, bool is_stream) {
    if (!delivery.answer[0])
        return;
    if (strstr(delivery.answer, "\"error\"")) {
        if (!disk_sim_is_stopped())
            delivery_fail("refused: %s", delivery.answer);
        return; /* it may be on the disk all the same */
    }
    if (is_stream)
        delivery.stream_min = 1;
    else
        delivery.chains[c].min = 1;
}

static void need_answer(void) {
    if (!delivery.answer[0] && !disk_sim_is_stopped())
        delivery_fail("no answer");
}

/* ---- the stream ---- */

void ops_create_stream(void) {
    delivery_begin();
    const char *answer = hear_ask("$JS.API.STREAM.CREATE.S",
                                  "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"storage\":\"file\"}");
    if (!strstr(answer, "\"did_create\":true"))
        delivery_fail("stream not created: %s", answer);
}

static void op_publish(void) {
    char subject[16], payload[PAYLOAD_MAX + 16];
    unsigned which = pick(MODEL_SUBJECTS);
    if (delivery.now.stream.last + 2 >= MODEL_SEQS)
        return;
    (void)snprintf(subject, sizeof subject, "s.%u", which);
    (void)snprintf(payload, sizeof payload, "%u %*s", ++delivery.number_last,
                   (int)pick(PAYLOAD_MAX), "");
    model_publish(&delivery.now, which, delivery.number_last);
    delivery_note_stream();
    pump_all();
    delivery_tell("publish %s as %llu\n", subject, (unsigned long long)delivery.now.stream.last);
    (void)hear_ask(subject, payload);
    confirm(0, true);
    need_answer();
}

static void op_delete(void) {
    ModelStream *stream = &delivery.now.stream;
    uint64_t seq = stream->last ? 1 + pick((unsigned)stream->last) : 0;
    char body[48];
    if (!seq || !stream->msgs[seq].is_live)
        return;
    stream->msgs[seq].is_live = false;
    for (unsigned c = 0; c < MODEL_CONSUMERS; c++)
        model_remove(&delivery.now, c, seq);
    delivery_note_stream();
    pump_all();
    delivery_tell("delete %llu\n", (unsigned long long)seq);
    (void)snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    (void)hear_ask("$JS.API.STREAM.MSG.DELETE.S", body);
    confirm(0, true);
    need_answer();
}

static void op_purge(void) {
    ModelStream *stream = &delivery.now.stream;
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        stream->msgs[seq].is_live = false;
    for (unsigned c = 0; c < MODEL_CONSUMERS; c++)
        model_purge(&delivery.now, c);
    delivery_note_stream();
    pump_all();
    delivery_tell("purge\n");
    (void)hear_ask("$JS.API.STREAM.PURGE.S", "");
    confirm(0, true);
    need_answer();
}

/* ---- the life of a consumer ---- */

static void draw_consumer(ModelConsumer *consumer) {
    memset(consumer, 0, sizeof *consumer);
    consumer->exists = true;
    consumer->filter = (int)pick(MODEL_SUBJECTS + 2) - 2;
    consumer->filter = consumer->filter < 0 ? -1 : consumer->filter;
    consumer->wait_count = pick(2) ? 1 : 1 + pick(MODEL_BACKOFFS);
    for (unsigned i = 0; i < consumer->wait_count; i++)
        consumer->waits_ns[i] = seconds(1 + pick(8));
    consumer->max_deliver = pick(2) ? 0 : consumer->wait_count + pick(3);
    consumer->max_ack_pending = pick(3) ? 0 : 1 + pick(4);
    consumer->policy = pick(2) ? POLICY_NONE : (Policy)pick(POLICIES);
    consumer->pin_timeout_ns = seconds(1 + pick(5));
}

static void write_config(const ModelConsumer *consumer, unsigned c, Buf *out) {
    buf_printf(out,
               "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"c%u\",\"ack_policy\":"
               "\"explicit\",",
               c);
    if (consumer->filter >= 0)
        buf_printf(out, "\"filter_subject\":\"s.%d\",", consumer->filter);
    if (consumer->max_ack_pending)
        buf_printf(out, "\"max_ack_pending\":%u,", consumer->max_ack_pending);
    if (consumer->policy != POLICY_NONE)
        buf_printf(out, "\"priority_policy\":\"%s\",%s", policies[consumer->policy], groups);
    if (consumer->policy == POLICY_PINNED)
        buf_printf(out, "\"priority_timeout\":%llu,", (unsigned long long)consumer->pin_timeout_ns);
    buf_printf(out, "\"max_deliver\":%d,", consumer->max_deliver ? (int)consumer->max_deliver : -1);
    if (consumer->wait_count == 1) {
        buf_printf(out, "\"ack_wait\":%llu}}", (unsigned long long)consumer->waits_ns[0]);
        return;
    }
    buf_append_lit(out, "\"backoff\":[");
    for (unsigned i = 0; i < consumer->wait_count; i++)
        buf_printf(out, "%s%llu", i ? "," : "", (unsigned long long)consumer->waits_ns[i]);
    buf_append_lit(out, "]}}");
}

static void op_create(ModelConsumer *consumer, unsigned c) {
    char subject[64];
    Buf body = {0};
    draw_consumer(consumer);
    uint64_t first = 1;
    while (first <= delivery.now.stream.last && !delivery.now.stream.msgs[first].is_live)
        first++;
    consumer->delivered_sseq = consumer->floor_sseq = first - 1;
    model_on_step(c);
    memset(delivery.pins[c], 0, sizeof delivery.pins[c]);
    write_config(consumer, c, &body);
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DURABLE.CREATE.S.c%u", c);
    delivery_tell("create c%u %s\n", c, buf_text(&body));
    (void)hear_ask(subject, buf_text(&body));
    buf_done(&body);
    confirm(c, false);
    need_answer();
}

static void op_remove(ModelConsumer *consumer, unsigned c) {
    char subject[64];
    for (unsigned i = 0; i < consumer->request_count; i++)
        model_on_event(&(ModelEvent){.kind = EVENT_STATUS,
                                     .consumer = c,
                                     .request = consumer->requests[i].id,
                                     .status = "409 Consumer Deleted"});
    memset(consumer, 0, sizeof *consumer);
    model_on_step(c);
    delivery_tell("remove c%u\n", c);
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DELETE.S.c%u", c);
    (void)hear_ask(subject, "");
    confirm(c, false);
    need_answer();
}

static void check(unsigned c) {
    const char *why = hear_differs(&delivery.now, c);
    if (why && !disk_sim_is_stopped())
        delivery_fail("c%u: %s", c, why);
}

static void op_pause(unsigned c) {
    char subject[64];
    Buf body = {0};
    int64_t until_ns = delivery_now().wall_ns + (pick(4) ? (int64_t)seconds(1 + pick(12)) : -1);
    buf_append_lit(&body, "{\"pause_until\":\"");
    time_write(&body, until_ns);
    buf_append_lit(&body, "\"}");
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.PAUSE.S.c%u", c);
    delivery_tell("pause c%u %s\n", c, buf_text(&body));
    model_pause(&delivery.now, c, until_ns, delivery_now());
    (void)hear_ask(subject, buf_text(&body));
    buf_done(&body);
    confirm(c, false);
    need_answer();
}

static void op_reset(ModelConsumer *consumer, unsigned c) {
    char subject[64], body[48] = "";
    if (delivery.is_cold)
        check(c); /* where the floor is */
    uint64_t seq = pick(3) ? 1 + pick((unsigned)delivery.now.stream.last + 3) : 0;
    if (seq)
        (void)snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.RESET.S.c%u", c);
    delivery_tell("reset c%u %s\n", c, body);
    model_reset(consumer, seq ? seq : consumer->floor_sseq + 1);
    model_on_step(c);
    model_pump(&delivery.now, c, delivery_now());
    (void)hear_ask(subject, body);
    confirm(c, false);
    need_answer();
}

static void op_unpin(ModelConsumer *consumer, unsigned c) {
    char subject[64];
    if (consumer->policy != POLICY_PINNED)
        return;
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.UNPIN.S.c%u", c);
    delivery_tell("unpin c%u\n", c);
    model_unpin(consumer);
    model_pump(&delivery.now, c, delivery_now());
    (void)hear_ask(subject, "{\"group\":\"g\"}");
    need_answer();
}

/* ---- requests ---- */

static void write_request(const ModelConsumer *consumer, unsigned c, const Request *request,
                          Buf *out) {
    buf_printf(out, "{\"batch\":%u", request->left);
    if (request->no_wait)
        buf_append_lit(out, ",\"no_wait\":true");
    if (request->expires_ns)
        buf_printf(out, ",\"expires\":%llu",
                   (unsigned long long)(request->expires_ns - delivery_now().mono_ns));
    if (consumer->policy != POLICY_NONE)
        buf_append_lit(out, ",\"group\":\"g\"");
    if (request->min_pending)
        buf_printf(out, ",\"min_pending\":%u", request->min_pending);
    if (request->min_ack_pending)
        buf_printf(out, ",\"min_ack_pending\":%u", request->min_ack_pending);
    if (request->priority)
        buf_printf(out, ",\"priority\":%u", request->priority);
    if (request->pin)
        buf_printf(out, ",\"id\":\"%s\"", delivery.pins[c][request->pin % PINS_MAX]);
    buf_append_char(out, '}');
}

static unsigned free_id(const ModelConsumer *consumer, unsigned c) {
    unsigned id = c * MODEL_REQUESTS;
    for (unsigned i = 0; i < consumer->request_count;)
        if (consumer->requests[i].id == id)
            id++, i = 0;
        else
            i++;
    return id;
}

static void draw_request(const ModelConsumer *consumer, unsigned c, Request *request) {
    *request = (Request){.id = free_id(consumer, c), .left = 1 + pick(6), .no_wait = pick(2)};
    if (!request->no_wait || pick(4) == 0) /* no two end at the same time */
        request->expires_ns =
            delivery_now().mono_ns + seconds(1 + pick(12)) + 7 * ++delivery.request_last;
    if (consumer->policy == POLICY_OVERFLOW && pick(2)) {
        request->min_pending = pick(2) ? 0 : 1 + pick(6);
        request->min_ack_pending = pick(2) ? 0 : 1 + pick(4);
    }
    request->priority = consumer->policy == POLICY_PRIORITIZED ? pick(4) : 0;
    if (consumer->policy == POLICY_PINNED && consumer->pin_last && pick(2))
        request->pin = consumer->pin_last;
    if (!delivery.pins[c][request->pin % PINS_MAX][0])
        request->pin = 0;
}

static void op_request(ModelConsumer *consumer, unsigned c) {
    char subject[64], inbox[32];
    Request request;
    Buf body = {0};
    if (consumer->request_count == MODEL_REQUESTS)
        return;
    draw_request(consumer, c, &request);
    write_request(consumer, c, &request, &body);
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.MSG.NEXT.S.c%u", c);
    (void)snprintf(inbox, sizeof inbox, "_INBOX.r.%u", request.id);
    delivery_tell("request %u c%u %s\n", request.id, c, buf_text(&body));
    model_request(&delivery.now, c, &request, true, delivery_now());
    sim_tell(subject, inbox, "", buf_text(&body));
    buf_done(&body);
    hear_run();
}

/* ---- acknowledgements ---- */

static uint64_t some_take(const ModelConsumer *consumer) {
    unsigned start = pick(MODEL_SEQS);
    for (unsigned i = 0; i < MODEL_SEQS; i++) {
        unsigned seq = (start + i) % MODEL_SEQS;
        if (seq && consumer->takes[seq].state != TAKE_NONE)
            return seq;
    }
    return 0;
}

static void send_ack(const ModelConsumer *consumer, unsigned c, uint64_t seq, const char *reply,
                     const char *word) {
    char subject[96];
    const Take *take = &consumer->takes[seq];
    (void)snprintf(subject, sizeof subject, "$JS.ACK.S.c%u.%u.%llu.%llu.0.0", c, take->deliveries,
                   (unsigned long long)seq, (unsigned long long)take->dseq);
    delivery_tell("%s c%u %llu\n", word, c, (unsigned long long)seq);
    sim_tell(subject, reply, "", word);
}

static void finish(ModelConsumer *consumer, unsigned c, uint64_t seq) {
    static const char *const words[] = {"+ACK", "", "+TERM", "+TERM because"};
    send_ack(consumer, c, seq, "_INBOX.x", words[pick(4)]);
    static ModelConsumer before;
    before = *consumer;
    model_ack(&delivery.now, c, seq, true, delivery_now());
    bool is_early = hear_is_expected(c);
    if (delivery.is_cold && (!is_early || disk_sim_is_stopped())) {
        *consumer = before;
        delivery.expected_len = 0;
        if (!disk_sim_is_stopped()) /* else it may be either */
            delivery.chains[c].len = 1;
        model_ack(&delivery.now, c, seq, false, delivery_now());
    }
    hear_judge();
    confirm(c, false);
    Chain *chain = &delivery.chains[c];
    while (chain->min && chain->links[chain->min].consumer.takes[seq].state != TAKE_NONE)
        chain->min++;
    need_answer();
}

static void op_finish(ModelConsumer *consumer, unsigned c) {
    uint64_t seq = some_take(consumer);
    if (seq)
        finish(consumer, c, seq);
}

/* Now, or later; or it takes longer than thought. */
static void op_nak(ModelConsumer *consumer, unsigned c) {
    uint64_t seq = some_take(consumer), delay_ns = 0;
    const Take *take = &consumer->takes[seq];
    unsigned which = pick(3);
    char word[48] = "-NAK";
    if (!seq || take->state == TAKE_GIVEN_UP || (take->delay_ns && which != 1))
        return;
    if (which == 1) {
        delay_ns = seconds(1 + pick(10)) + pick(1000);
        (void)snprintf(word, sizeof word, "-NAK {\"delay\":%llu}", (unsigned long long)delay_ns);
    }
    send_ack(consumer, c, seq, "", which == 2 ? "+WPI" : word);
    if (which == 2)
        model_progress(consumer, seq, delivery_now());
    else
        model_nak(consumer, seq, delay_ns, delivery_now());
    model_on_step(c);
    model_pump(&delivery.now, c, delivery_now());
    hear_run();
}

void ops_settle(void) {
    for (unsigned c = 0; c < MODEL_CONSUMERS; c++)
        for (uint64_t seq = 1; seq < MODEL_SEQS; seq++)
            if (delivery.now.consumers[c].takes[seq].is_vague) {
                finish(&delivery.now.consumers[c], c, seq);
                delivery_begin();
            }
}

/* ---- time ---- */

/* From one thing that happens to the next. */
void ops_wait(uint64_t ns) {
    uint64_t end_ns = delivery_now().mono_ns + ns;
    if (ns > MS)
        delivery_tell("wait %llu ms\n", (unsigned long long)(ns / MS));
    while (delivery_now().mono_ns < end_ns && !disk_sim_is_stopped()) {
        uint64_t next_ns = end_ns;
        for (unsigned c = 0; c < MODEL_CONSUMERS; c++) {
            uint64_t due_ns = model_next_due(&delivery.now.consumers[c], delivery_now());
            next_ns = due_ns < next_ns ? due_ns : next_ns;
        }
        clock_sim_move(next_ns - delivery_now().mono_ns);
        for (unsigned c = 0; c < MODEL_CONSUMERS; c++)
            model_tick(&delivery.now, c, delivery_now());
        hear_run();
        if (!disk_sim_is_stopped())
            delivery_begin();
    }
}

static void op_of_consumer(ModelConsumer *consumer, unsigned c, unsigned what) {
    if (what < 7)
        op_request(consumer, c);
    else if (what < 12)
        op_finish(consumer, c);
    else if (what < 16)
        op_nak(consumer, c);
    else if (what == 16)
        op_pause(c);
    else if (what == 17 && pick(2))
        op_reset(consumer, c);
    else if (what == 18)
        op_unpin(consumer, c);
    else if (what == 19 && pick(6) == 0)
        op_remove(consumer, c);
}

void ops_any(void) {
    unsigned c, what = pick(34);
    ModelConsumer *consumer = some_consumer(&c);
    delivery_begin();
    ops_wait(MS);
    if (disk_sim_is_stopped())
        return;
    if (what >= 20) {
        if (what < 28)
            op_publish();
        else if (what < 32)
            ops_wait(pick(2) ? (1 + pick(2000)) * (uint64_t)MS : seconds(pick(9)));
        else if (what == 32)
            op_delete();
        else if (pick(6) == 0)
            op_purge();
    } else if (!consumer->exists) {
        op_create(consumer, c);
    } else {
        op_of_consumer(consumer, c, what);
    }
    if (!disk_sim_is_stopped() && pick(3) == 0)
        check(c);
}
