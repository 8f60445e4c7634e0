/* Times and durations as Go writes and reads them. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* The zero time of Go, "0001-01-01T00:00:00Z", stands for INT64_MIN ns here. */
#define TIME_ZERO INT64_MIN

/* RFC 3339 in UTC, up to nine fraction digits, trailing zeros cut. */
void time_write(Buf *out, int64_t wall_ns);

/* RFC 3339 on the clocks of a zone, whole seconds: "2026-11-23T03:41:40+01:00"; "Z" for no offset.
 */
void time_write_offset(Buf *out, int64_t unix_seconds, int64_t offset_seconds);

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and the reverse. */
int64_t date_to_days(int64_t year, unsigned month, unsigned day);
void days_to_date(int64_t days, int64_t *year, unsigned *month, unsigned *day);

/* RFC 3339 with any zone. ERR_SYNTAX. Years 0 .. 9999; what int64 ns cannot hold is clamped. */
MUST_CHECK Status time_parse(Slice text, int64_t *out_wall_ns);

/* The same; on ERR_SYNTAX appends what Go's decoder says to out_error. */
MUST_CHECK Status time_parse_explained(Slice text, int64_t *out_wall_ns, Buf *out_error);

/* Go's Duration.String: "1m30s", "1.5s", "300ms", "0s". */
void duration_write(Buf *out, int64_t ns);

/* Go's ParseDuration: "1h30m", "-1.5s", "300ms", "0". ERR_SYNTAX or ERR_RANGE. */
MUST_CHECK Status duration_parse(Slice text, int64_t *out_ns);
