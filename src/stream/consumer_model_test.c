/* One consumer against a model of it, by random operations; then recovery from the log, and from a
 * checkpoint and the rest of the log. */
#include "stream/consumer_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "io/clock.h"
#include "stream/pull.h"

enum { SEEDS = 1500, STEPS = 120, MSGS_MAX = 400, MAX_DELIVER = 3, MAX_ACK_PENDING = 9 };
static const uint64_t WAIT_NS = 1000000000;

typedef struct ModelMsg {
    bool is_live, is_wanted, is_pending, is_given_up, is_acking;
    uint32_t deliveries;
    uint64_t first_dseq, due_ns;
} ModelMsg;

typedef struct Model {
    Rand rand;
    AckPolicy policy;
    bool is_logged;
    ModelMsg msgs[MSGS_MAX + 1]; /* [seq] */
    uint64_t last_seq;
    SeqPair delivered, floor;
} Model;

static Model model;

static uint64_t pick(uint64_t below) {
    return rand_below(&model.rand, below);
}

static uint64_t count_pending(void) {
    uint64_t n = 0;
    for (uint64_t i = 1; i <= model.last_seq; i++)
        n += model.msgs[i].is_pending;
    return n;
}

static uint64_t count_acking(void) {
    uint64_t n = 0;
    for (uint64_t i = 1; i <= model.last_seq; i++)
        n += model.msgs[i].is_acking;
    return n;
}

static uint64_t count_awaited(void) {
    uint64_t n = 0;
    for (uint64_t i = model.delivered.sseq + 1; i <= model.last_seq; i++)
        n += model.msgs[i].is_live && model.msgs[i].is_wanted;
    return n;
}

/* The floor rule of explicit acks, naively. */
static void model_floor(uint64_t dseq, uint64_t sseq) {
    if (count_pending() == 0) {
        model.floor = model.delivered;
        return;
    }
    if (dseq != model.floor.dseq + 1)
        return;
    model.floor = (SeqPair){dseq, sseq};
    for (uint64_t i = sseq + 1; i <= model.last_seq; i++)
        if (model.msgs[i].is_pending) {
            model.floor = (SeqPair){model.msgs[i].first_dseq - 1, i - 1};
            return;
        }
}

static bool model_finish(uint64_t sseq) {
    ModelMsg *msg = &model.msgs[sseq];
    if (!msg->is_pending && !msg->is_given_up)
        return false;
    msg->is_pending = msg->is_given_up = msg->is_acking = false;
    return true;
}

static void model_ack(uint64_t sseq) {
    if (model_finish(sseq))
        model_floor(model.msgs[sseq].first_dseq, sseq);
}

static void model_ack_all(uint64_t dseq, uint64_t sseq) {
    if (dseq <= model.floor.dseq || sseq <= model.floor.sseq)
        return;
    for (uint64_t i = 1; i <= sseq; i++)
        model_finish(i);
    model.floor = (SeqPair){dseq, sseq};
}

static void model_removed(uint64_t sseq) {
    model.msgs[sseq].is_live = false;
    if (!model_finish(sseq))
        return;
    if (model.policy == ACK_EXPLICIT || count_pending() == 0)
        model_floor(model.msgs[sseq].first_dseq, sseq);
}

/* "in s.a <deliveries>.<sseq>.<dseq>.<pending> x" */
static void check_delivery(const char *line) {
    uint64_t numbers[4];
    char *at = (char *)line + strlen("in s.a ");
    for (size_t i = 0; i < 4; i++)
        numbers[i] = strtoull(at, &at, 10), at++;
    uint64_t sseq = numbers[1], dseq = numbers[2];
    assert_true(sseq >= 1 && sseq <= model.last_seq);
    ModelMsg *msg = &model.msgs[sseq];
    assert_true(msg->is_live);
    assert_int_equal(dseq, ++model.delivered.dseq); /* dense */
    assert_int_equal(numbers[0], ++msg->deliveries);
    if (msg->deliveries == 1) {
        assert_true(msg->is_wanted);
        for (uint64_t i = model.delivered.sseq + 1; i < sseq; i++)
            assert_false(model.msgs[i].is_live && model.msgs[i].is_wanted); /* none left out */
        assert_true(sseq > model.delivered.sseq);
        model.delivered.sseq = sseq;
        msg->first_dseq = dseq;
        msg->is_pending = model.policy != ACK_NONE;
        assert_true(count_pending() - count_acking() <= MAX_ACK_PENDING);
    } else {
        assert_true(msg->is_pending && !msg->is_acking && msg->due_ns <= rig->worker.now_ns);
        assert_true(msg->deliveries <= MAX_DELIVER);
    }
    msg->due_ns = rig->worker.now_ns + WAIT_NS;
    assert_int_equal(numbers[3], count_awaited());
}

static void check_given_up(const char *line) {
    uint64_t sseq = strtoull(strstr(line, "stream_seq\":") + strlen("stream_seq\":"), NULL, 10);
    ModelMsg *msg = &model.msgs[sseq];
    assert_true(msg->is_pending && !msg->is_acking && msg->deliveries == MAX_DELIVER);
    assert_true(msg->due_ns <= rig->worker.now_ns);
    msg->is_pending = false;
    msg->is_given_up = true;
}

static void check_trace(void) {
    for (const char *line = rig_trace(rig); *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "in s.", 5) == 0)
            check_delivery(line);
        else if (strncmp(line, "! max_deliver", 13) == 0)
            check_given_up(line);
    }
}

static void check_numbers(void) {
    char want[256];
    uint64_t redelivered = 0;
    Consumer *consumer = rig_consumer(rig, "C");
    for (uint64_t i = 1; i <= model.last_seq; i++)
        redelivered +=
            (model.msgs[i].is_pending && model.msgs[i].deliveries > 1) || model.msgs[i].is_given_up;
    SeqPair floor = model.policy == ACK_NONE ? model.delivered : model.floor;
    (void)snprintf(
        want, sizeof want, "delivered %llu/%llu floor %llu/%llu ack %llu redelivered %llu",
        (unsigned long long)model.delivered.dseq, (unsigned long long)model.delivered.sseq,
        (unsigned long long)floor.dseq, (unsigned long long)floor.sseq,
        (unsigned long long)count_pending(), (unsigned long long)redelivered);
    const char *have = rig_info(rig, "C");
    assert_memory_equal(have, want, strlen(want));
    assert_int_equal(consumer->num_pending, count_awaited());
}

/* Nobody waits for what could be sent. */
static void check_progress(void) {
    if (rig_consumer(rig, "C")->pull->count == 0)
        return;
    for (uint64_t i = 1; i <= model.last_seq; i++) {
        const ModelMsg *msg = &model.msgs[i];
        assert_false(msg->is_pending && !msg->is_acking && msg->due_ns <= rig->worker.now_ns);
    }
    bool is_stalled =
        model.policy != ACK_NONE && count_pending() - count_acking() >= MAX_ACK_PENDING;
    assert_true(is_stalled || count_awaited() == 0);
}

/* The model learns what an entry's acks do, just before it is applied. */
static void commit_one(void) {
    const RigEntry *entry = &rig->proposals.at[0];
    if (entry->type == RECORD_CONSUMER_STATE) {
        DeltaOp op;
        for (DeltaReader reader = delta_read(slice_from(entry->payload, entry->payload_len));
             delta_next(&reader, &op);) {
            if (op.kind == DELTA_ACK)
                model_ack(op.sseq);
            else if (op.kind == DELTA_ACK_ALL)
                model_ack_all(op.dseq, op.sseq);
        }
    }
    rig_commit_one(rig);
    check_trace();
}

static void commit_all(void) {
    while (rig->proposals.len > 0)
        commit_one();
    check_numbers();
}

static void op_store(void) {
    static const char *const subjects[] = {"s.a", "s.b", "s.c"};
    if (model.last_seq == MSGS_MAX)
        return;
    size_t which = pick(3);
    model.msgs[++model.last_seq] = (ModelMsg){.is_live = true, .is_wanted = which < 2};
    rig_store(rig, subjects[which], "x");
}

static void op_pull(void) {
    char body[64];
    (void)snprintf(body, sizeof body, "{\"batch\":%u%s}", (unsigned)pick(5) + 1,
                   pick(2) ? ",\"no_wait\":true" : "");
    rig_pull(rig, "C", "in", body);
}

static uint64_t some_delivered(void) {
    return model.delivered.sseq ? pick(model.delivered.sseq < model.last_seq ? model.delivered.sseq
                                                                             : model.last_seq) +
                                      1
                                : 0;
}

static void op_ack(const char *body) {
    uint64_t sseq = some_delivered();
    ModelMsg *msg = &model.msgs[sseq];
    if (sseq == 0 || model.policy == ACK_NONE || msg->deliveries == 0)
        return;
    char tokens[64];
    (void)snprintf(tokens, sizeof tokens, "%u.%llu.%llu", msg->deliveries, (unsigned long long)sseq,
                   (unsigned long long)msg->first_dseq);
    if (!model.is_logged) {
        if (model.policy == ACK_ALL)
            model_ack_all(msg->first_dseq, sseq);
        else
            model_ack(sseq);
    } else if (model.policy == ACK_EXPLICIT) {
        msg->is_acking |= msg->is_pending;
    } else if (msg->first_dseq > model.floor.dseq && sseq > model.floor.sseq) {
        for (uint64_t i = 1; i <= sseq; i++)
            model.msgs[i].is_acking |= model.msgs[i].is_pending;
    }
    rig_ack(rig, "C", tokens, body, "r");
}

static void op_nak(void) {
    static const char *const bodies[] = {"-NAK", "-NAK 300ms", "-NAK {\"delay\":1500000000}"};
    static const uint64_t delays[] = {0, 300000000, 1500000000};
    uint64_t sseq = some_delivered(), which = pick(3), now_ns = rig->worker.now_ns;
    ModelMsg *msg = &model.msgs[sseq];
    if (sseq == 0 || model.policy == ACK_NONE)
        return;
    if (msg->is_pending && !msg->is_acking)
        msg->due_ns = which == 0 && msg->due_ns < now_ns ? msg->due_ns : now_ns + delays[which];
    char tokens[64];
    (void)snprintf(tokens, sizeof tokens, "1.%llu.1", (unsigned long long)sseq);
    rig_ack(rig, "C", tokens, bodies[which], "");
}

static void op_progress(void) {
    uint64_t sseq = some_delivered(), now_ns = rig->worker.now_ns;
    ModelMsg *msg = &model.msgs[sseq];
    if (sseq == 0 || model.policy == ACK_NONE)
        return;
    if (msg->is_pending && !msg->is_acking && msg->due_ns > now_ns)
        msg->due_ns = now_ns + WAIT_NS;
    char tokens[64];
    (void)snprintf(tokens, sizeof tokens, "1.%llu.1", (unsigned long long)sseq);
    rig_ack(rig, "C", tokens, "+WPI", "");
}

/* In steps that hit every deadline, so that the model knows when things happened. */
static void op_wait(void) {
    for (uint64_t i = pick(70); i > 0; i--) {
        rig_advance_ms(rig, 10);
        check_trace();
    }
}

static void op_delete(void) {
    uint64_t sseq = model.last_seq ? pick(model.last_seq) + 1 : 0;
    /* not the first: a purge of the first moves the position, which has a test of its own */
    if (sseq == 0 || !model.msgs[sseq].is_live || sseq == rig->stream.state.first_seq)
        return;
    model_removed(sseq);
    rig_delete(rig, sseq, true);
}

static void op_purge_all(void) {
    for (uint64_t i = 1; i <= model.last_seq; i++) {
        model.msgs[i].is_live = false;
        model_finish(i);
    }
    if (model.delivered.sseq < model.last_seq)
        model.delivered.sseq = model.last_seq;
    model.floor = model.delivered;
    rig_purge_all(rig);
}

static void op_refuse(void) {
    for (uint64_t i = 1; i <= model.last_seq; i++) {
        if (model.msgs[i].is_acking)
            model.msgs[i].due_ns = rig->worker.now_ns + WAIT_NS;
        model.msgs[i].is_acking = false;
    }
    rig_refuse(rig, ERR_FULL);
}

static void step(bool may_refuse) {
    switch (pick(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        op_store();
        break;
    case 4:
    case 5:
    case 6:
        op_pull();
        break;
    case 7:
    case 8:
    case 9:
        op_ack("");
        break;
    case 10:
        op_ack("+TERM");
        break;
    case 11:
        op_nak();
        break;
    case 12:
        op_progress();
        break;
    case 13:
        op_wait();
        break;
    case 14:
        op_delete();
        break;
    case 15:
        if (pick(12) == 0)
            op_purge_all();
        else if (may_refuse && pick(3) == 0)
            op_refuse();
        break;
    }
    check_trace();
}

static Consumer *only_consumer(ConsumerSet *set) {
    Consumer *consumer = consumer_set_find(set, LIT("C"));
    assert_non_null(consumer);
    return consumer;
}

/* With other subjects between two pending messages, the floor may stand on either side of those: a
 * removal saw deliveries that the log tells later. */
static void same_floor(const Consumer *a, const Consumer *b) {
    uint64_t low = a->floor.sseq < b->floor.sseq ? a->floor.sseq : b->floor.sseq;
    uint64_t high = a->floor.sseq + b->floor.sseq - low;
    for (uint64_t seq = low + 1; seq <= high && seq <= model.last_seq; seq++)
        assert_false(model.msgs[seq].is_live && model.msgs[seq].is_wanted);
}

static void same_state(const Consumer *a, const Consumer *b) {
    assert_int_equal(a->delivered.dseq, b->delivered.dseq);
    assert_int_equal(a->delivered.sseq, b->delivered.sseq);
    assert_int_equal(a->num_pending, b->num_pending);
    assert_int_equal(consumer_pending_count(a), consumer_pending_count(b));
    if (a->ack_policy == ACK_NONE)
        return;
    if (a->acks == NULL ||
        a->acks->given_up.len == 0) {      /* with some given up it may lag until the next ack */
        if (a->ack_policy == ACK_EXPLICIT) /* else no ack depends on it while nothing is pending */
            assert_int_equal(a->floor.dseq, b->floor.dseq);
        same_floor(a, b);
    }
    if (a->acks == NULL)
        return;
    for (PendingEntry *entry = pending_above(&a->acks->pending, 0); entry;
         entry = pending_above(&a->acks->pending, entry->sseq)) {
        const PendingEntry *other = pending_find(&b->acks->pending, entry->sseq);
        assert_non_null(other);
        assert_int_equal(entry->dseq, other->dseq);
        assert_int_equal(entry->deliveries, other->deliveries);
        if (entry->flags & PENDING_DELAYED && !(entry->flags & PENDING_QUEUED)) {
            assert_true(other->flags & PENDING_DELAYED);
            assert_int_equal(entry->due_ns, other->due_ns);
        }
    }
    size_t given_up = b->acks ? b->acks->given_up.len : 0;
    assert_int_equal(a->acks->given_up.len, given_up);
    for (size_t i = 0; i < given_up; i++)
        assert_int_equal(a->acks->given_up.at[i].sseq, b->acks->given_up.at[i].sseq);
}

/* Everything is committed: what recovery makes of the log must be what is. */
static void check_recovery(Slice saved, size_t saved_at) {
    ConsumerSet *replayed = rig_other_set(rig), *loaded = rig_other_set(rig);
    rig_replay(rig, replayed, 0);
    consumer_set_start(replayed);
    same_state(only_consumer(rig->set), only_consumer(replayed));
    assert_int_equal(consumer_set_load(loaded, saved), OK);
    rig_replay(rig, loaded, saved_at);
    consumer_set_start(loaded);
    same_state(only_consumer(rig->set), only_consumer(loaded));

    Buf one = {0}, two = {0}; /* what was loaded is saved the same */
    ConsumerSet *again = rig_other_set(rig);
    consumer_set_save(loaded, &one);
    assert_int_equal(consumer_set_load(again, buf_slice(&one)), OK);
    consumer_set_save(again, &two);
    assert_true(slice_equal(buf_slice(&one), buf_slice(&two)));
    consumer_set_free(again);
    for (size_t i = 0; i < saved.len; i++) { /* cut short it is refused */
        if (pick(8) != 0)
            continue;
        ConsumerSet *cut = rig_other_set(rig);
        assert_int_not_equal(consumer_set_load(cut, slice_first(saved, i)), OK);
        consumer_set_free(cut);
    }
    buf_done(&one);
    buf_done(&two);
    consumer_set_free(replayed);
    consumer_set_free(loaded);
}

static void run_seed(uint64_t seed) {
    static const char *const policies[] = {"none", "all", "explicit"};
    char config[256];
    Buf saved = {0};
    size_t saved_at = 0, save_step;
    bool is_logged = seed % 2;
    model = (Model){.policy = (AckPolicy)(seed / 2 % 3), .is_logged = is_logged};
    rand_init(&model.rand, seed);
    (void)rig_new(is_logged ? STORAGE_FILE : STORAGE_MEMORY, RETENTION_LIMITS);
    rig_sub(rig, "in");
    (void)snprintf(
        config, sizeof config,
        "{\"durable_name\":\"C\",\"filter_subjects\":[\"s.a\",\"s.b\"],\"ack_policy\":\"%s\"%s}",
        policies[model.policy],
        model.policy == ACK_NONE
            ? ""
            : ",\"ack_wait\":1000000000,\"max_deliver\":3,\"max_ack_pending\":9");
    rig_create(rig, "C", config);
    rig_trace(rig);
    rig->holds_commits = true;
    save_step = pick(STEPS);
    for (size_t i = 0; i < STEPS; i++) {
        step(false);
        check_numbers();
        check_progress();
        while (rig->proposals.len > 0 && pick(3) == 0)
            commit_one();
        if (i == save_step && is_logged) {
            consumer_set_save_begin(rig->set);
            saved_at = rig->events.len;
        }
        if (rig->set->saving && (pick(8) == 0 || i + 1 == STEPS)) { /* later, but as of then */
            while (consumer_set_save_one(rig->set)) {
            }
            consumer_set_save_end(rig->set, &saved);
        }
    }
    commit_all();
    if (is_logged)
        check_recovery(buf_slice(&saved), saved_at);
    for (size_t i = 0; i < STEPS / 4; i++) { /* some entries are refused: no recovery afterwards */
        step(true);
        check_numbers();
        check_progress();
        while (rig->proposals.len > 0 && pick(3) == 0)
            commit_one();
    }
    buf_done(&saved);
    rig_free(rig);
}

static void random_operations_agree_with_the_model_and_survive_recovery(void **state) {
    (void)state;
    const char *one = getenv("SEED");
    const char *many = getenv("SEEDS");
    if (one) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 0, end = many ? strtoull(many, NULL, 10) : SEEDS; seed < end; seed++) {
        print_message("\rseed %llu ", (unsigned long long)seed); /* SEED=<n> repeats it */
        run_seed(seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_the_model_and_survive_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
