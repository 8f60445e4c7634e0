/* Streams of the three retentions and their consumers under random operations, power cuts and
 * kills, against a model of arrays.
 *
 *     jetstream_sim_test [first_seed [seeds]]
 *
 * Operations are asked one at a time, so that a crash leaves one of them open at most: after the
 * restart everything is as before it or as after it. What was acknowledged is there with its bytes,
 * what was removed does not come back, deliveries are in order and without gaps, what was acked is
 * never delivered again and what was not is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "clock_sim.h"
#include "disk_sim.h"
#include "jetstream_model.h"
#include "jetstream_sim.h"

enum { LIVES = 4, STEPS = 50, SEEDS = 500, ACK_WAIT_S = 10 };

static const char *const retentions[STREAMS] = {"limits", "interest", "workqueue"};

static Model model, before;
static Rand rnd;
static uint64_t seed_now, seed_first = 1, seed_count = SEEDS;
static bool is_telling;
static uint64_t segment_bytes, moved_in_all;

#define TELL(...)                                                                                  \
    do {                                                                                           \
        if (is_telling)                                                                            \
            printf(__VA_ARGS__);                                                                   \
    } while (0)

#define FAIL(...)                                                                                  \
    do {                                                                                           \
        printf("seed %llu: ", (unsigned long long)seed_now);                                       \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        fail();                                                                                    \
    } while (0)

static unsigned pick(unsigned below) {
    return (unsigned)rand_below(&rnd, below);
}

/* ---- asking ---- */

static uint64_t number_after(const char *text, const char *key) {
    const char *at = text ? strstr(text, key) : NULL;
    return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
}

static const char *ask(const char *verb, const ModelStream *stream, const char *tail,
                       const char *body) {
    char subject[128];
    (void)snprintf(subject, sizeof subject, "$JS.API.%s.%s%s", verb, model_names[stream->kind],
                   tail);
    const SimMsg *msg = sim_ask(subject, "", body);
    return msg ? msg->payload : NULL;
}

static bool has_succeeded(const char *answer) {
    return answer && !strstr(answer, "\"error\"");
}

/* ---- operations: each changes the model and says whether the server has confirmed it ---- */

static bool op_publish(ModelStream *stream) {
    char subject[32], headers[128] = "", payload[32];
    unsigned which = pick(SUBJECTS), id = IDS;
    uint64_t first, last = 0, expected = UINT64_MAX;
    (void)snprintf(subject, sizeof subject, "%s.%s", model_names[stream->kind],
                   model_subjects[which]);
    (void)snprintf(payload, sizeof payload, "%u", ++model.payload_last);
    if (pick(4) == 0) {
        id = pick(IDS);
        (void)snprintf(headers, sizeof headers, "Nats-Msg-Id: id%u\r\n", id);
    } else if (pick(4) == 0) {
        (void)model_count(stream, (int)which, &first, &last);
        expected = pick(3) ? last : last + 1;
        (void)snprintf(headers, sizeof headers, "Nats-Expected-Last-Subject-Sequence: %llu\r\n",
                       (unsigned long long)expected);
    }
    TELL("publish %s %s %s", subject, payload, headers[0] ? headers : "\n");
    const SimMsg *msg = sim_ask(subject, headers, payload);
    const char *answer = msg ? msg->payload : NULL;

    if (id < IDS && stream->ids[id]) {
        if (has_succeeded(answer) &&
            (!strstr(answer, "duplicate") || number_after(answer, "\"seq\":") != stream->ids[id]))
            FAIL("no duplicate: %s", answer);
        return has_succeeded(answer);
    }
    if (expected != UINT64_MAX && expected != last) {
        if (has_succeeded(answer))
            FAIL("stored in spite of the wrong sequence: %s", answer);
        return answer && strstr(answer, "10071");
    }
    model_store(stream, which, model.payload_last);
    if (id < IDS)
        stream->ids[id] = stream->last;
    if (has_succeeded(answer) && number_after(answer, "\"seq\":") != stream->last)
        FAIL("wrong sequence: %s", answer);
    return has_succeeded(answer);
}

static bool op_delete(ModelStream *stream) {
    char body[64];
    uint64_t seq = stream->last ? 1 + pick((unsigned)stream->last) : 0;
    if (!seq || !stream->msgs[seq].is_live)
        return true;
    (void)snprintf(body, sizeof body, "{\"seq\":%llu,\"no_erase\":true}", (unsigned long long)seq);
    TELL("delete %s %llu\n", model_names[stream->kind], (unsigned long long)seq);
    model_drop(stream, seq);
    return has_succeeded(ask("STREAM.MSG.DELETE", stream, "", body));
}

static bool op_purge(ModelStream *stream) {
    char body[64] = "";
    int which = (int)pick(SUBJECTS + 1) - 1;
    uint64_t n = 0;
    if (which >= 0)
        (void)snprintf(body, sizeof body, "{\"filter\":\"%s.%s\"}", model_names[stream->kind],
                       model_subjects[which]);
    TELL("purge %s %s\n", model_names[stream->kind], body);
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        if (stream->msgs[seq].is_live && (which < 0 || stream->msgs[seq].subject == which)) {
            model_drop(stream, seq);
            n++;
        }
    const char *answer = ask("STREAM.PURGE", stream, "", body);
    if (has_succeeded(answer) && number_after(answer, "\"purged\":") != n)
        FAIL("purged %s, not %llu", answer, (unsigned long long)n);
    return has_succeeded(answer);
}

static void tail_of(unsigned c, char tail[8]) {
    (void)snprintf(tail, 8, ".c%u", c);
}

static bool op_create(ModelStream *stream, unsigned c) {
    char tail[8], body[256], filter[64] = "";
    ModelConsumer *consumer = &stream->consumers[c];
    tail_of(c, tail);
    memset(consumer, 0, sizeof *consumer);
    consumer->exists = true;
    consumer->filter = stream->kind == WORKQUEUE ? 2 + c % 2 : pick(FILTERS);
    if (consumer->filter)
        (void)snprintf(filter, sizeof filter, "\"filter_subject\":\"%s.%s\",",
                       model_names[stream->kind], model_filters[consumer->filter]);
    (void)snprintf(body, sizeof body,
                   "{\"stream_name\":\"%s\",\"config\":{\"durable_name\":\"c%u\",%s\"ack_policy\":"
                   "\"explicit\",\"ack_wait\":%u000000000}}",
                   model_names[stream->kind], c, filter, ACK_WAIT_S);
    TELL("create %s%s %s\n", model_names[stream->kind], tail, model_filters[consumer->filter]);
    return has_succeeded(ask("CONSUMER.DURABLE.CREATE", stream, tail, body));
}

static bool op_remove(ModelStream *stream, unsigned c) {
    char tail[8];
    tail_of(c, tail);
    TELL("remove %s%s\n", model_names[stream->kind], tail);
    stream->consumers[c].exists = false;
    if (stream->kind == INTEREST)
        for (uint64_t seq = 1; seq <= stream->last; seq++)
            if (stream->msgs[seq].is_live && !model_is_needed(stream, seq))
                model_drop(stream, seq);
    return has_succeeded(ask("CONSUMER.DELETE", stream, tail, ""));
}

static uint64_t count_new(const ModelStream *stream, const ModelConsumer *consumer) {
    uint64_t n = 0;
    for (uint64_t seq = consumer->delivered + 1; seq <= stream->last; seq++)
        n += model_wants(stream, consumer, seq);
    return n;
}

static uint64_t count_due(const ModelStream *stream, const ModelConsumer *consumer) {
    uint64_t n = 0;
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        n += consumer->takes[seq].is_pending && consumer->takes[seq].due_ns <= clock_mono_ns();
    return n;
}

/* A delivered message: "$JS.ACK.<stream>.<consumer>.<deliveries>.<sseq>.<dseq>.<time>.<pending>".
 * Returns its sequence; 0 when it is none. */
static uint64_t read_delivery(const ModelStream *stream, const SimMsg *msg, ModelTake *out_take,
                              uint64_t *out_pending) {
    unsigned long long seq, dseq, pending;
    unsigned deliveries;
    if (sscanf(msg->reply, "$JS.ACK.%*[^.].%*[^.].%u.%llu.%llu.%*u.%llu", &deliveries, &seq, &dseq,
               &pending) != 4)
        return 0;
    if (seq == 0 || seq > stream->last)
        FAIL("delivered %s %llu, which never was", model_names[stream->kind], seq);
    if (strtoul(msg->payload, NULL, 10) != stream->msgs[seq].payload)
        FAIL("delivered %s %llu with other bytes: %s", model_names[stream->kind], seq,
             msg->payload);
    *out_take = (ModelTake){.is_pending = true,
                            .deliveries = deliveries,
                            .dseq = dseq,
                            .due_ns = clock_mono_ns() + ACK_WAIT_S * (uint64_t)NS_PER_S};
    *out_pending = pending;
    return seq;
}

static void take_one(ModelStream *stream, ModelConsumer *consumer, const SimMsg *msg) {
    ModelTake take;
    uint64_t pending, seq = read_delivery(stream, msg, &take, &pending);
    if (!seq)
        return;
    ModelTake *known = &consumer->takes[seq];
    if (!model_wants(stream, consumer, seq))
        FAIL("delivered %s %llu again or in vain", model_names[stream->kind],
             (unsigned long long)seq);
    if (known->is_pending) {
        if (known->due_ns > clock_mono_ns())
            FAIL("delivered %s %llu before its time", model_names[stream->kind],
                 (unsigned long long)seq);
        if (take.deliveries != known->deliveries + 1)
            FAIL("delivered %s %llu for the %uth time, not the %uth", model_names[stream->kind],
                 (unsigned long long)seq, take.deliveries, known->deliveries + 1);
    } else {
        for (uint64_t skipped = consumer->delivered + 1; skipped < seq; skipped++)
            if (model_wants(stream, consumer, skipped))
                FAIL("delivered %s %llu, but %llu is left out", model_names[stream->kind],
                     (unsigned long long)seq, (unsigned long long)skipped);
        if (seq <= consumer->delivered)
            FAIL("delivered %s %llu behind %llu", model_names[stream->kind],
                 (unsigned long long)seq, (unsigned long long)consumer->delivered);
        consumer->delivered = seq;
    }
    *known = take;
    if (pending != count_new(stream, consumer))
        FAIL("pending %llu", (unsigned long long)pending);
}

static void pull(ModelStream *stream, unsigned c, unsigned batch) {
    char subject[64], body[64];
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.MSG.NEXT.%s.c%u",
                   model_names[stream->kind], c);
    (void)snprintf(body, sizeof body, "{\"batch\":%u,\"no_wait\":true}", batch);
    sim_forget();
    sim_tell(subject, "_INBOX.p", "", body);
    sim_run();
}

static bool op_pull(ModelStream *stream, unsigned c) {
    ModelConsumer *consumer = &stream->consumers[c];
    unsigned batch = 1 + pick(6);
    if (count_due(stream, consumer))
        sim_run_some(); /* timers fire behind mail */
    uint64_t want = count_new(stream, consumer) + count_due(stream, consumer), have = 0;
    want = want < batch ? want : batch;
    TELL("pull %s.c%u %u\n", model_names[stream->kind], c, batch);
    pull(stream, c, batch);
    for (const SimMsg *msg; (msg = sim_next());) {
        have += msg->reply[0] != 0;
        take_one(stream, consumer, msg);
    }
    if (have < want && !disk_sim_is_stopped())
        FAIL("pulled %llu of %llu", (unsigned long long)have, (unsigned long long)want);
    return true;
}

static bool finish(ModelStream *stream, unsigned c, uint64_t seq, const char *word) {
    char subject[96];
    ModelConsumer *consumer = &stream->consumers[c];
    const ModelTake *take = &consumer->takes[seq];
    (void)snprintf(subject, sizeof subject, "$JS.ACK.%s.c%u.%u.%llu.%llu.0.0",
                   model_names[stream->kind], c, take->deliveries, (unsigned long long)seq,
                   (unsigned long long)take->dseq);
    TELL("%s %s.c%u %llu\n", word, model_names[stream->kind], c, (unsigned long long)seq);
    model_finish(stream, consumer, seq);
    const SimMsg *msg = sim_ask(subject, "", word);
    return msg && !msg->headers[0];
}

static uint64_t some_pending(const ModelConsumer *consumer, uint64_t last) {
    uint64_t start = last ? pick((unsigned)last) : 0;
    for (uint64_t i = 0; i < last; i++) {
        uint64_t seq = 1 + (start + i) % last;
        if (consumer->takes[seq].is_pending)
            return seq;
    }
    return 0;
}

static bool op_finish(ModelStream *stream, unsigned c) {
    uint64_t seq = some_pending(&stream->consumers[c], stream->last);
    return !seq || finish(stream, c, seq, pick(8) ? "+ACK" : "+TERM");
}

/* Now, or later; or it takes longer than thought. */
static bool op_nak(ModelStream *stream, unsigned c) {
    static const char *const words[] = {"-NAK", "-NAK {\"delay\":5000000000}", "+WPI"};
    static const uint64_t delays_s[] = {0, 5, ACK_WAIT_S};
    unsigned which = pick(3);
    char subject[96];
    ModelConsumer *consumer = &stream->consumers[c];
    uint64_t seq = some_pending(consumer, stream->last);
    if (!seq)
        return true;
    ModelTake *take = &consumer->takes[seq];
    (void)snprintf(subject, sizeof subject, "$JS.ACK.%s.c%u.%u.%llu.%llu.0.0",
                   model_names[stream->kind], c, take->deliveries, (unsigned long long)seq,
                   (unsigned long long)take->dseq);
    TELL("%s %s.c%u %llu\n", words[which], model_names[stream->kind], c, (unsigned long long)seq);
    if (take->due_ns <= clock_mono_ns())
        return true; /* it is on its way again */
    sim_tell(subject, "", "", words[which]);
    sim_run();
    take->due_ns = clock_mono_ns() + delays_s[which] * (uint64_t)NS_PER_S;
    return true;
}

static bool step(void) {
    ModelStream *stream = &model.streams[pick(STREAMS)];
    unsigned c = pick(stream->kind == WORKQUEUE ? 2 : CONSUMERS), what = pick(20);
    bool exists = stream->consumers[c].exists;
    clock_sim_move(NS_PER_MS);
    if (what < 8)
        return op_publish(stream);
    if (what == 8)
        return op_delete(stream);
    if (what == 9 && pick(4) == 0)
        return op_purge(stream);
    if (what == 9 && pick(8) == 0)
        clock_sim_move(3 * (uint64_t)NS_PER_S); /* some become due */
    if (what == 10 && pick(2))
        return exists ? pick(4) > 0 || op_remove(stream, c) : op_create(stream, c);
    if (!exists)
        return what % 2 || op_create(stream, c);
    if (what < 14)
        return op_pull(stream, c);
    return what == 14 ? op_nak(stream, c) : op_finish(stream, c);
}

/* ---- what the server has, against a model ---- */

static bool same_message(const ModelStream *stream, uint64_t seq) {
    char body[48];
    (void)snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    char subject[48];
    (void)snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s", model_names[stream->kind]);
    const SimMsg *msg = sim_ask(subject, "", body);
    if (!msg)
        return false;
    if (!stream->msgs[seq].is_live)
        return strstr(msg->headers, "404") != NULL;
    return !strstr(msg->headers, " 404 ") &&
           strtoul(msg->payload, NULL, 10) == stream->msgs[seq].payload;
}

static bool same_consumers(const ModelStream *stream) {
    char names_want[64] = "";
    for (unsigned c = 0; c < CONSUMERS; c++)
        if (stream->consumers[c].exists)
            (void)snprintf(names_want + strlen(names_want), sizeof names_want - strlen(names_want),
                           "%s\"c%u\"", names_want[0] ? "," : "", c);
    char want[80];
    (void)snprintf(want, sizeof want, "\"consumers\":[%s]", names_want);
    const char *answer = ask("CONSUMER.NAMES", stream, "", "");
    return answer && strstr(answer, want);
}

static bool agrees(const Model *with, const char **out_why) {
    for (unsigned s = 0; s < STREAMS; s++) {
        const ModelStream *stream = &with->streams[s];
        uint64_t first, last, n = model_count(stream, -1, &first, &last);
        const char *info = ask("STREAM.INFO", stream, "", "");
        *out_why = "no info";
        if (!info)
            return false;
        TELL("%s: %llu messages, last %llu; model %llu, %llu\n", model_names[s],
             (unsigned long long)number_after(info, "\"messages\":"),
             (unsigned long long)number_after(info, "\"last_seq\":"), (unsigned long long)n,
             (unsigned long long)stream->last);
        *out_why = "other last sequence";
        if (number_after(info, "\"last_seq\":") != stream->last)
            return false;
        *out_why = "other number of messages";
        if (number_after(info, "\"messages\":") != n)
            return false;
        *out_why = "other message";
        for (uint64_t seq = 1; seq <= stream->last; seq++)
            if (!same_message(stream, seq))
                return false;
        *out_why = "other consumers";
        if (!same_consumers(stream))
            return false;
    }
    return true;
}

/* ---- restarts ---- */

/* What was acked in the operation that is open may be so or not. */
static void forget_open_acks(const Model *after) {
    for (unsigned s = 0; s < STREAMS; s++)
        for (unsigned c = 0; c < CONSUMERS; c++)
            for (uint64_t seq = 1; seq <= after->streams[s].last; seq++)
                if (after->streams[s].consumers[c].takes[seq].is_acked)
                    model.streams[s].consumers[c].takes[seq].is_maybe_acked = true;
}

/* Everything that is not acked comes (again), and nothing else; then all of it is pending. */
static void drain(ModelStream *stream, unsigned c) {
    ModelConsumer *consumer = &stream->consumers[c];
    bool has_come[SEQS] = {false};
    for (unsigned round = 0; round < SEQS; round++) {
        unsigned n = 0;
        pull(stream, c, 50);
        for (const SimMsg *msg; (msg = sim_next());) {
            ModelTake take;
            uint64_t pending, seq = read_delivery(stream, msg, &take, &pending);
            if (!seq)
                continue;
            if (!model_wants(stream, consumer, seq) || has_come[seq])
                FAIL("after a restart %s.c%u got %llu", model_names[stream->kind], c,
                     (unsigned long long)seq);
            has_come[seq] = true;
            consumer->takes[seq] = take;
            consumer->delivered = seq > consumer->delivered ? seq : consumer->delivered;
            n++;
        }
        if (!n)
            break;
    }
    for (uint64_t seq = 1; seq <= stream->last; seq++) {
        ModelTake *take = &consumer->takes[seq];
        if (!model_wants(stream, consumer, seq) || has_come[seq])
            continue;
        if (!take->is_maybe_acked)
            FAIL("after a restart %s.c%u does not get %llu", model_names[stream->kind], c,
                 (unsigned long long)seq);
        take->is_pending = false;
        take->is_acked = true;
    }
    char tail[8];
    uint64_t pending = 0;
    tail_of(c, tail);
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        pending += consumer->takes[seq].is_pending;
    const char *info = ask("CONSUMER.INFO", stream, tail, "");
    if (number_after(info, "\"num_ack_pending\":") != pending ||
        number_after(info, "\"num_pending\":") != 0)
        FAIL("%s.c%u: %llu pending, but: %s", model_names[stream->kind], c,
             (unsigned long long)pending, info);
}

static void restart(bool is_open, bool has_power_cut) {
    const char *why, *why_after = "";
    Model after = model;
    moved_in_all += sim_moved();
    TELL("restart%s%s\n", is_open ? ", an operation is open" : "", has_power_cut ? ", power" : "");
    sim_close();
    if (has_power_cut)
        disk_sim_power_cut();
    else
        disk_sim_kill();
    if (!sim_open(
            &(SimOptions){.segment_bytes = segment_bytes, .checkpoint_bytes = 2 * segment_bytes}))
        FAIL("the store does not open");
    if (!agrees(&model, &why)) {
        why_after = why;
        if (!is_open || !agrees(&before, &why))
            FAIL("after a restart: %s (%s)", why_after, why);
        model = before;
        model.payload_last = after.payload_last;
    }
    if (is_open) { /* whichever fits; where both do, the operation may have acked */
        Model chosen = model;
        for (unsigned s = 0; s < STREAMS; s++)
            for (unsigned c = 0; c < CONSUMERS; c++)
                if (before.streams[s].consumers[c].exists && chosen.streams[s].consumers[c].exists)
                    for (uint64_t seq = 1; seq <= chosen.streams[s].last; seq++)
                        model.streams[s].consumers[c].takes[seq].is_acked &=
                            before.streams[s].consumers[c].takes[seq].is_acked;
        forget_open_acks(&after);
    }
    clock_sim_move((ACK_WAIT_S + 1) * (uint64_t)NS_PER_S);
    sim_run();
    for (unsigned s = 0; s < STREAMS; s++)
        for (unsigned c = 0; c < CONSUMERS; c++)
            if (model.streams[s].consumers[c].exists)
                drain(&model.streams[s], c);
}

/* ---- seeds ---- */

static void create_streams(void) {
    char body[300];
    model = (Model){0};
    for (unsigned s = 0; s < STREAMS; s++) {
        ModelStream *stream = &model.streams[s];
        stream->kind = (Kind)s;
        stream->max_msgs = s != WORKQUEUE && pick(2) ? 5 + pick(20) : 0;
        stream->max_per_subject = s == LIMITS && pick(2) ? 1 + pick(4) : 0;
        (void)snprintf(body, sizeof body,
                       "{\"name\":\"%s\",\"subjects\":[\"%s.>\"],\"retention\":\"%s\",\"storage\":"
                       "\"file\",\"allow_direct\":true,\"max_msgs\":%lld,\"max_msgs_per_subject\":"
                       "%lld,\"duplicate_window\":36000000000000,\"compression\":\"%s\"}",
                       model_names[s], model_names[s], retentions[s],
                       stream->max_msgs ? (long long)stream->max_msgs : -1ll,
                       stream->max_per_subject ? (long long)stream->max_per_subject : -1ll,
                       seed_now % 2 ? "s2" : "none");
        if (!has_succeeded(ask("STREAM.CREATE", stream, "", body)))
            FAIL("stream not created");
    }
}

/* Nothing is asked: segments of the log are cleaned. */
static void rest(bool crashes) {
    if (crashes)
        disk_sim_stop_after(1 + pick(40));
    for (unsigned i = 0; i < 30 && !disk_sim_is_stopped(); i++) {
        clock_sim_move(2 * NS_PER_MS);
        sim_run();
    }
}

static void run_seed(uint64_t seed) {
    seed_now = seed;
    rand_init(&rnd, seed);
    sim_seed(seed);
    clock_sim_reset();
    disk_sim_reset(seed, 0);
    segment_bytes = 16384u << pick(3);
    if (!sim_open(
            &(SimOptions){.segment_bytes = segment_bytes, .checkpoint_bytes = 2 * segment_bytes}))
        FAIL("an empty store does not open");
    create_streams();
    for (unsigned life = 0; life < LIVES; life++) {
        bool is_open = false, crashes = pick(3) > 0;
        unsigned steps = 1 + pick(STEPS);
        for (unsigned i = 0; i < steps && !is_open; i++) {
            if (crashes && i + 1 == steps)
                disk_sim_stop_after(1 + pick(12));
            before = model;
            bool is_done = step();
            if (!is_done && !disk_sim_is_stopped())
                FAIL("an operation was not confirmed");
            is_open = !is_done;
        }
        if (!is_open && pick(2))
            rest(pick(3) > 0);
        restart(is_open, pick(2));
    }
    sim_close();
    disk_sim_done();
}

static void nothing_acknowledged_is_lost_and_nothing_removed_comes_back(void **state) {
    (void)state;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count; seed++)
        run_seed(seed);
    printf("%llu records were moved\n", (unsigned long long)moved_in_all);
    assert_true(seed_count < SEEDS || moved_in_all > 10000);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_and_nothing_removed_comes_back),
    };
    if (argc > 1) {
        seed_first = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
        is_telling = seed_count == 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
