#include "delivery_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "clock_sim.h"
#include "disk_sim.h"

enum { LIVES = 4, STEPS = 60 };

DeliverySim delivery;
static jmp_buf seed_end;
static char problem[512];

void delivery_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
    longjmp(seed_end, 1);
}

void delivery_tell(const char *format, ...) {
    va_list args;
    if (!delivery.is_telling)
        return;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
}

unsigned delivery_pick(unsigned below) {
    return (unsigned)rand_below(&delivery.rand, below);
}

ModelNow delivery_now(void) {
    return (ModelNow){clock_mono_ns(), clock_wall_ns()};
}

static void on_line(LogLevel level, const char *event, const char *facts) {
    (void)level;
    delivery_tell("    | %s %s\n", event, facts);
}

/* ---- steps ---- */

void model_on_event(const ModelEvent *event) {
    if (delivery.expected_len == EVENTS_MAX)
        delivery_fail("too many events");
    delivery.expected[delivery.expected_len++] = *event;
}

void model_on_step(unsigned c) {
    Chain *chain = &delivery.chains[c];
    if (delivery.is_resolving)
        return;
    if (chain->len == STEPS_KEPT)
        delivery_fail("too many steps");
    chain->links[chain->len++] = (ChainLink){delivery.now.consumers[c], delivery.stream_len - 1};
}

void delivery_begin(void) {
    delivery.streams[0] = delivery.now.stream;
    delivery.stream_len = 1;
    delivery.stream_min = 0;
    for (unsigned c = 0; c < MODEL_CONSUMERS; c++) {
        delivery.chains[c].len = delivery.chains[c].min = 0;
        model_on_step(c);
    }
}

void delivery_note_stream(void) {
    delivery.streams[delivery.stream_len++] = delivery.now.stream;
    for (unsigned c = 0; c < MODEL_CONSUMERS; c++)
        model_on_step(c);
}

/* ---- lives ---- */

static void restart(void) {
    bool has_power_cut = delivery_pick(2);
    delivery_tell("restart%s\n", has_power_cut ? ", power" : "");
    if (delivery_pick(2))
        disk_sim_stop_now();
    sim_close();
    if (has_power_cut)
        disk_sim_power_cut();
    else
        disk_sim_kill();
    delivery.expected_len = 0;
    delivery.options.workers = 1 + delivery_pick(3);
    clock_sim_move(delivery_pick(2) ? delivery_pick(9) * (uint64_t)NS_PER_S : 0);
    if (!sim_open(&delivery.options))
        delivery_fail("the store does not open");
    delivery.is_cold = true;
    hear_resolve();
    ops_settle();
}

static void live(void) {
    unsigned steps = 1 + delivery_pick(STEPS);
    bool crashes = delivery_pick(3) > 0;
    for (unsigned i = 0; i < steps && !disk_sim_is_stopped(); i++) {
        if (crashes && i + 1 == steps)
            disk_sim_stop_after(1 + delivery_pick(8));
        ops_any();
    }
    restart();
}

static void run(void) {
    if (!sim_open(&delivery.options))
        delivery_fail("an empty store does not open");
    ops_create_stream();
    for (unsigned life = 0; life < LIVES; life++)
        live();
}

bool delivery_seed(uint64_t seed, bool is_telling, char *out_problem, size_t problem_size) {
    memset(&delivery, 0, sizeof delivery);
    delivery.seed = seed;
    delivery.is_telling = is_telling;
    rand_init(&delivery.rand, seed);
    sim_seed(seed);
    clock_sim_reset();
    disk_sim_reset(seed, 0);
    delivery.options = (SimOptions){
        .workers = 1 + delivery_pick(3),
        .segment_bytes = UINT64_C(16384) << delivery_pick(3),
        .checkpoint_bytes = UINT64_C(8192) << delivery_pick(4),
        .has_advisories = true,
        .inboxes = MODEL_CONSUMERS * MODEL_REQUESTS,
    };
    log_init(on_line, LOG_WARN);
    bool is_good = !setjmp(seed_end);
    if (is_good)
        run();
    else
        (void)snprintf(out_problem, problem_size, "%s", problem);
    sim_close();
    disk_sim_done();
    return is_good;
}
