/* TimeZone: what a compiled zone file (TZif, RFC 8536) says: offsets from UTC, then and in years to
 * come. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

typedef struct TimeZone TimeZone;

/* ERR_SYNTAX. Free with time_zone_free. */
MUST_CHECK Status time_zone_parse(Slice file, TimeZone **out_zone);
/* NULL-safe. */
void time_zone_free(TimeZone *zone);

/* Seconds east of UTC at that Unix time. NULL is UTC. O(log transitions). */
int64_t time_zone_offset(const TimeZone *zone, int64_t unix_seconds);

/* The Unix time when clocks there show what a UTC clock shows at local_seconds. Of a time that is
 * shown twice the first; for one that is skipped the moment clocks are set forward. */
int64_t time_zone_to_unix(const TimeZone *zone, int64_t local_seconds);
