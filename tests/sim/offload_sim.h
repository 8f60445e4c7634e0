/* Simulated offload: jobs wait until the simulation runs one, in its own thread. Links before io's
 * own implementation. */
#pragma once

#include <stdbool.h>

#include "io/offload.h"

/* The oldest job runs; its result is mailed home. False: none waits. */
bool offload_sim_run(Offload *offload);
bool offload_sim_is_empty(const Offload *offload);
