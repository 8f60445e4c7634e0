#include "clock_sim.h"

static const int64_t START_NS = 1700000000ll * NS_PER_S;
static uint64_t passed_ns = NS_PER_S, step_ns;
static int64_t wall_ns;

void clock_sim_reset(void) {
    passed_ns = NS_PER_S;
    step_ns = 0;
    wall_ns = START_NS + NS_PER_S;
}

uint64_t clock_mono_ns(void) {
    passed_ns += step_ns;
    return passed_ns;
}

int64_t clock_wall_ns(void) {
    if (wall_ns == 0)
        clock_sim_reset();
    return wall_ns;
}

void clock_sim_move(uint64_t ns) {
    passed_ns += ns;
    wall_ns = clock_wall_ns() + (int64_t)ns;
}

void clock_sim_move_mono(uint64_t ns) {
    passed_ns += ns;
}

void clock_sim_set_wall(int64_t ns_later) {
    wall_ns = clock_wall_ns() + ns_later;
}

void clock_sim_set_step(uint64_t ns) {
    step_ns = ns;
}
