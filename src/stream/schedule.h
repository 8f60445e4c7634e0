/* Schedule: what a message with Nats-Schedule asks for (reference/jetstream-api.md section 5):
 * when, what is stored, and where. No state, no clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/cron.h"

typedef enum ScheduleKind { SCHEDULE_AT, SCHEDULE_EVERY, SCHEDULE_CRON } ScheduleKind;

typedef struct Schedule {
    ScheduleKind kind;
    int64_t at_ns;    /* SCHEDULE_AT */
    int64_t every_ns; /* SCHEDULE_EVERY */
    Cron cron;
    const TimeZone *zone; /* SCHEDULE_CRON: borrowed; NULL is UTC */
} Schedule;

/* The headers of a schedule besides its pattern; empty = absent. Borrow from the block. */
typedef struct ScheduleAsk {
    Slice pattern, target, source, ttl, rollup, zone;
    bool has_zone; /* named, even as nothing */
} ScheduleAsk;
void schedule_ask(Slice headers, ScheduleAsk *out_ask);

/* has_zone: one was named, which only cron patterns may. ERR_SYNTAX. */
MUST_CHECK Status schedule_parse(Slice pattern, bool has_zone, const TimeZone *zone,
                                 Schedule *out_schedule);

/* When a schedule that was stored, or was due, at after_ns is due next: of several times that have
 * passed by now_ns all but one are left out. ERR_NOT_FOUND: never. A SCHEDULE_AT is due at its
 * time, whatever after_ns. */
MUST_CHECK Status schedule_next(const Schedule *schedule, int64_t after_ns, int64_t now_ns,
                                int64_t *out_due_ns);

/* Headers of the message that is stored when it is due. from: block of the schedule, or of the
 * source's message. next_ns: of a repetition; not of a SCHEDULE_AT. */
void schedule_write_headers(Buf *out, Slice from, const ScheduleAsk *ask, Slice scheduler,
                            const Schedule *schedule, int64_t next_ns);
