/* Zones: time zones by their IANA names, as the system's files have them. Each is read once, when
 * it is first named: a few KiB that the system nearly always has in memory. */
#pragma once

#include "base/map.h"
#include "proto/time_zone.h"

/* Zero-initialised is empty. */
typedef struct Zones {
    Map by_name;
} Zones;

void zones_done(Zones *zones);

/* "UTC" gives NULL; "Local" is the server's. ERR_NOT_FOUND: no such name, or it is empty. Borrowed
 * until zones_done. */
MUST_CHECK Status zones_get(Zones *zones, Slice name, const TimeZone **out_zone);
