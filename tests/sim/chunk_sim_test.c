/* Large equal payloads in several streams that come and go, while the log wears out: segments are
 * used up, given back and used again, and the process and the power go. What a message refers to
 * must be there as long as the message is.
 *
 *     chunk_sim_test [first_seed [seeds]] */
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
#include "jetstream_sim.h"

enum {
    SEEDS = 100,
    LIVES = 5,
    STEPS = 60,
    STREAMS = 2,
    SEQS = 1024,
    PAYLOADS = 5,
    PAYLOAD_MAX = 2048,
    CHUNK_MIN = 500,
    FILLER = 40, /* messages at once */
};

static struct {
    uint64_t last;
    unsigned payload[SEQS]; /* 0 = no message */
} model[STREAMS];

static Rand rnd;
static SimOptions options;
static char payloads[PAYLOADS + 1][PAYLOAD_MAX];
static uint64_t seed_first = 1, seed_count = SEEDS;
static char problem[256];

static unsigned pick(unsigned below) {
    return (unsigned)rand_below(&rnd, below);
}

static char name_of(unsigned s) {
    return (char)('A' + s);
}

static const char *ask(const char *subject, const char *payload) {
    const SimMsg *msg = sim_ask(subject, "", payload);
    return msg ? msg->payload : "";
}

/* False, with the problem, when something else was answered. */
static bool done(const char *what, const char *answer) {
    if (answer[0] && !strstr(answer, "\"error\""))
        return true;
    (void)snprintf(problem, sizeof problem, "%s: %.200s", what, answer);
    return false;
}

static bool create(unsigned s) {
    char subject[64], body[128];
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.CREATE.%c", name_of(s));
    (void)snprintf(body, sizeof body,
                   "{\"name\":\"%c\",\"subjects\":[\"%c.>\"],\"allow_direct\":true%s}", name_of(s),
                   name_of(s), s == STREAMS ? ",\"max_msgs\":3" : "");
    if (s < STREAMS)
        memset(&model[s], 0, sizeof model[s]);
    return done("create", ask(subject, body));
}

static bool publish(unsigned s) {
    char subject[16];
    unsigned number = 1 + pick(PAYLOADS);
    if (model[s].last + 1 == SEQS)
        return true;
    (void)snprintf(subject, sizeof subject, "%c.x", name_of(s));
    model[s].payload[++model[s].last] = number;
    return done("publish", ask(subject, payloads[number]));
}

static bool delete_one(unsigned s) {
    char subject[64], body[64];
    uint64_t seq = 1 + pick((unsigned)model[s].last + 1);
    if (seq > model[s].last || !model[s].payload[seq])
        return true;
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.MSG.DELETE.%c", name_of(s));
    (void)snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    model[s].payload[seq] = 0;
    return done("delete", ask(subject, body));
}

static bool purge(unsigned s) {
    char subject[64];
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.PURGE.%c", name_of(s));
    memset(model[s].payload, 0, sizeof model[s].payload);
    return done("purge", ask(subject, ""));
}

static bool create_anew(unsigned s) {
    char subject[64];
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.DELETE.%c", name_of(s));
    return done("delete stream", ask(subject, "")) && create(s);
}

static bool wear_out(void) {
    char text[CHUNK_MIN];
    memset(text, '-', sizeof text);
    text[sizeof text - 1] = 0;
    for (unsigned i = 0; i < FILLER; i++) {
        const SimMsg *msg = sim_ask("C.x", "", text);
        if (!done("fill", msg ? msg->payload : ""))
            return false;
    }
    return true;
}

static bool check(void) {
    for (unsigned s = 0; s < STREAMS; s++)
        for (uint64_t seq = 1; seq <= model[s].last; seq++) {
            char subject[64], body[64];
            unsigned number = model[s].payload[seq];
            (void)snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%c", name_of(s));
            (void)snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
            const SimMsg *msg = sim_ask(subject, "", body);
            if (msg && strcmp(msg->payload, payloads[number]) == 0)
                continue;
            (void)snprintf(problem, sizeof problem, "%c %llu is not payload %u: %.100s", name_of(s),
                           (unsigned long long)seq, number, msg ? msg->headers : "no answer");
            return false;
        }
    return true;
}

static bool step(void) {
    unsigned s = pick(STREAMS), kind = pick(100);
    if (kind < 45)
        return publish(s);
    if (kind < 75)
        return delete_one(s);
    if (kind < 78)
        return purge(s);
    if (kind < 80)
        return create_anew(s);
    return wear_out();
}

static bool restart(void) {
    if (pick(2))
        disk_sim_stop_now();
    sim_close();
    if (pick(2))
        disk_sim_power_cut();
    else
        disk_sim_kill();
    options.workers = 1 + pick(3);
    if (sim_open(&options))
        return true;
    (void)snprintf(problem, sizeof problem, "the store does not open");
    return false;
}

static bool run(void) {
    if (!sim_open(&options))
        return false;
    for (unsigned s = 0; s <= STREAMS; s++)
        if (!create(s))
            return false;
    for (unsigned life = 0; life < LIVES; life++) {
        for (unsigned i = 0; i < STEPS; i++)
            if (!step() || (pick(16) == 0 && !check()))
                return false;
        if (!check() || !restart() || !check())
            return false;
    }
    return true;
}

static bool run_seed(uint64_t seed, bool is_mutant) {
    rand_init(&rnd, seed);
    sim_seed(seed);
    clock_sim_reset();
    disk_sim_reset(seed, 0);
    for (unsigned i = 1; i <= PAYLOADS; i++) {
        memset(payloads[i], (int)('a' + i), PAYLOAD_MAX - 1);
        payloads[i][CHUNK_MIN + (i + 1) / 2 * 500] = 0; /* two are as long as each other */
    }
    options = (SimOptions){.workers = 2,
                           .segment_bytes = 32 * 1024,
                           .checkpoint_bytes = 16 * 1024,
                           .chunk_bytes_min = CHUNK_MIN,
                           .is_sieve_blind = seed % 3 == 0,
                           .is_forgetting_chunks = is_mutant};
    problem[0] = 0;
    bool is_good = run();
    sim_close();
    disk_sim_done();
    return is_good;
}

static void what_messages_refer_to_is_there(void **state) {
    (void)state;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count; seed++)
        if (!run_seed(seed, false)) {
            print_error("seed %llu: %s\n", (unsigned long long)seed, problem);
            fail();
        }
}

/* A store that takes a chunk for free while a message still needs it. */
static void a_forgotten_reference_is_noticed(void **state) {
    (void)state;
    unsigned noticed = 0;
    for (uint64_t seed = 1; seed <= 10; seed++)
        noticed += !run_seed(seed, true);
    print_message("%u of 10 seeds, the last: %s\n", noticed, problem);
    assert_true(noticed > 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_messages_refer_to_is_there),
        cmocka_unit_test(a_forgotten_reference_is_noticed),
    };
    if (argc > 1) {
        seed_first = strtoull(argv[1], NULL, 10);
        seed_count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
