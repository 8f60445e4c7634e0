/* Clock: the only source of time. In simulation it is virtual. */
#pragma once

#include <stdint.h>

enum { NS_PER_US = 1000, NS_PER_MS = 1000 * 1000, NS_PER_S = 1000 * 1000 * 1000 };

/* Monotonic, arbitrary start. */
uint64_t clock_mono_ns(void);

/* Unix time. */
int64_t clock_wall_ns(void);
