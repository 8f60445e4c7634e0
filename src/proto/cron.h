/* Cron: when a pattern of six fields (second minute hour day month weekday) comes true. */
#pragma once

#include <stdint.h>

#include "base/slice.h"
#include "proto/time_zone.h"

/* Bit n: the value n fits. */
typedef struct Cron {
    uint64_t seconds, minutes, hours, days, months, weekdays; /* weekdays: 0 is Sunday */
    bool any_day, any_weekday; /* written as a star: both must fit, else one of the two */
} Cron;

/* Fields of values, ranges, lists, steps, "*" and "?", names of months and weekdays; or "@yearly",
 * "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly". ERR_SYNTAX. */
MUST_CHECK Status cron_parse(Slice pattern, Cron *out_cron);

/* First second after that one, on the clocks of zone (NULL: UTC). What a day skips is skipped, what
 * it has twice comes twice. ERR_NOT_FOUND: not within five years. */
MUST_CHECK Status cron_next(const Cron *cron, const TimeZone *zone, int64_t after_seconds,
                            int64_t *out_seconds);
