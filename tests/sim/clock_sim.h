/* Simulated clock: stands still until it is moved. Links before io's own implementation. */
#pragma once

#include "io/clock.h"

void clock_sim_move(uint64_t ns);
/* Only the monotonic clock. */
void clock_sim_move_mono(uint64_t ns);
/* Only the time of day, which may be set back. */
void clock_sim_set_wall(int64_t ns_later);
/* Each reading of the monotonic clock takes so long: 0 = none. */
void clock_sim_set_step(uint64_t ns);
/* As it was at the first reading. */
void clock_sim_reset(void);
