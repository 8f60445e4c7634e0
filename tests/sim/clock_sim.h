/* Simulated clock: stands still until it is moved. Links before io's own implementation. */
#pragma once

#include "io/clock.h"

void clock_sim_move(uint64_t ns);
