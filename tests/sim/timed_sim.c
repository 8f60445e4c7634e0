#include "timed_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "clock_sim.h"
#include "disk_sim.h"

enum { LIVES = 4, STEPS = 16 };

TimedSim timed_sim;
static jmp_buf seed_end;
static char problem[512];

void timed_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
    longjmp(seed_end, 1);
}

void timed_tell(const char *format, ...) {
    va_list args;
    if (!timed_sim.is_telling)
        return;
    (void)printf("%8.3f ", (double)(clock_wall_ns() % (1000 * (int64_t)NS_PER_S)) / 1e9);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
}

unsigned timed_pick(unsigned below) {
    return (unsigned)rand_below(&timed_sim.rand, below);
}

static void on_line(LogLevel level, const char *event, const char *facts) {
    (void)level;
    timed_tell("    | %s %s\n", event, facts);
}

static void restart(void) {
    bool has_power_cut = timed_pick(2);
    timed_tell("restart%s\n", has_power_cut ? ", power" : "");
    if (timed_pick(2))
        disk_sim_stop_now();
    timed_sim.end_ns = clock_wall_ns();
    sim_close();
    if (has_power_cut)
        disk_sim_power_cut();
    else
        disk_sim_kill();
    timed_sim.options.workers = 1 + timed_pick(3);
    clock_sim_move(timed_pick(2) ? timed_pick(12) * (uint64_t)NS_PER_S : 0);
    timed_move_to_start();
    if (!sim_open(&timed_sim.options))
        timed_fail("the store does not open");
    timed_resolve();
    timed_op_settle();
}

static void live(void) {
    unsigned steps = 1 + timed_pick(STEPS);
    bool crashes = timed_pick(3) > 0;
    for (unsigned i = 0; i < steps && !disk_sim_is_stopped(); i++) {
        if (crashes && i + 1 == steps)
            disk_sim_stop_after(1 + timed_pick(12));
        timed_op_any();
    }
    if (!disk_sim_is_stopped() && timed_pick(2))
        timed_look(true);
    restart();
}

static void run(void) {
    if (!sim_open(&timed_sim.options))
        timed_fail("an empty store does not open");
    timed_op_create_stream();
    for (unsigned life = 0; life < LIVES; life++)
        live();
    timed_look(true);
}

bool timed_seed(uint64_t seed, bool is_telling, char *out_problem, size_t problem_size) {
    memset(&timed_sim, 0, sizeof timed_sim);
    timed_sim.seed = seed;
    timed_sim.is_telling = is_telling;
    rand_init(&timed_sim.rand, seed);
    sim_seed(seed);
    clock_sim_reset();
    disk_sim_reset(seed, 0);
    timed_sim.options = (SimOptions){
        .workers = 1 + timed_pick(3),
        .segment_bytes = UINT64_C(16384) << timed_pick(3),
        .checkpoint_bytes = UINT64_C(2048) << timed_pick(4),
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
