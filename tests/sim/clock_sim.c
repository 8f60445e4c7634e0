#include "clock_sim.h"

static const int64_t START_NS = 1700000000ll * NS_PER_S;
static uint64_t passed_ns = NS_PER_S;

uint64_t clock_mono_ns(void) {
    return passed_ns;
}

int64_t clock_wall_ns(void) {
    return START_NS + (int64_t)passed_ns;
}

void clock_sim_move(uint64_t ns) {
    passed_ns += ns;
}
