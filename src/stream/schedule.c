#include "stream/schedule.h"

#include "proto/headers.h"
#include "proto/timefmt.h"

static const int64_t second_ns = 1000000000;

/* Blanks in front of a value do not count, those behind it do: the original takes them for part of
 * it. The line ends in LF, as header_next saw. */
static Slice with_tail(Slice value) {
    while (value.ptr[value.len] != '\r' && value.ptr[value.len] != '\n')
        value.len++;
    return value;
}

void schedule_ask(Slice headers, ScheduleAsk *out_ask) {
    ScheduleAsk ask = {0};
    const struct {
        Slice name;
        Slice *value;
    } fields[] = {
        {LIT("Nats-Schedule"), &ask.pattern},       {LIT("Nats-Schedule-Target"), &ask.target},
        {LIT("Nats-Schedule-Source"), &ask.source}, {LIT("Nats-Schedule-TTL"), &ask.ttl},
        {LIT("Nats-Schedule-Rollup"), &ask.rollup}, {LIT("Nats-Schedule-Time-Zone"), &ask.zone},
    };
    Slice name, value;
    for (size_t at = 0; header_next(headers, &at, &name, &value);)
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
            if (slice_equal(name, fields[i].name)) {
                ask.has_zone |= fields[i].value == &ask.zone;
                if (!fields[i].value->len && value.len)
                    *fields[i].value = with_tail(value);
            }
    *out_ask = ask;
}

Status schedule_parse(Slice pattern, bool has_zone, const TimeZone *zone, Schedule *out_schedule) {
    Schedule schedule = {.zone = zone};
    if (slice_starts_with(pattern, LIT("@at "))) {
        schedule.kind = SCHEDULE_AT;
        if (has_zone || time_parse(slice_from_at(pattern, 4), &schedule.at_ns))
            return ERR_SYNTAX;
    } else if (slice_starts_with(pattern, LIT("@every "))) {
        schedule.kind = SCHEDULE_EVERY;
        if (has_zone || duration_parse(slice_from_at(pattern, 7), &schedule.every_ns) ||
            schedule.every_ns < second_ns)
            return ERR_SYNTAX;
    } else {
        schedule.kind = SCHEDULE_CRON;
        if (cron_parse(pattern, &schedule.cron))
            return ERR_SYNTAX;
    }
    *out_schedule = schedule;
    return OK;
}

/* To the nearest, in seconds; times are after 1970. */
static int64_t rounded(int64_t ns) {
    return ns / second_ns + (ns % second_ns >= second_ns / 2);
}

static Status step(const Schedule *schedule, int64_t after_ns, int64_t *out_due_ns) {
    int64_t seconds = rounded(after_ns);
    if (schedule->kind == SCHEDULE_CRON) {
        Status status = cron_next(&schedule->cron, schedule->zone, seconds, &seconds);
        if (status || seconds > INT64_MAX / second_ns)
            return ERR_NOT_FOUND;
        *out_due_ns = seconds * second_ns;
        return OK;
    }
    if (schedule->every_ns > INT64_MAX - seconds * second_ns)
        return ERR_NOT_FOUND;
    *out_due_ns = seconds * second_ns + schedule->every_ns;
    return OK;
}

Status schedule_next(const Schedule *schedule, int64_t after_ns, int64_t now_ns,
                     int64_t *out_due_ns) {
    int64_t due_ns;
    if (schedule->kind == SCHEDULE_AT) {
        *out_due_ns = schedule->at_ns;
        return OK;
    }
    Status status = step(schedule, after_ns, &due_ns);
    if (status == OK && due_ns < now_ns)
        status = step(schedule, now_ns, &due_ns);
    if (status == OK)
        *out_due_ns = due_ns;
    return status;
}

static bool is_dropped(Slice name, void *cookie) {
    (void)cookie;
    return slice_equal(name, LIT("Nats-Schedule")) || slice_equal(name, LIT("Nats-Scheduler")) ||
           slice_starts_with(name, LIT("Nats-Schedule-")) ||
           slice_starts_with(name, LIT("Nats-Expected-")) ||
           slice_equal(name, LIT("Nats-Msg-Id")) || slice_equal(name, LIT("Nats-TTL")) ||
           slice_equal(name, LIT("Nats-Rollup"));
}

void schedule_write_headers(Buf *out, Slice from, const ScheduleAsk *ask, Slice scheduler,
                            const Schedule *schedule, int64_t next_ns) {
    header_copy_open(out, from, is_dropped, NULL);
    header_append(out, LIT("Nats-Scheduler"), scheduler);
    if (schedule->kind == SCHEDULE_AT) {
        header_append(out, LIT("Nats-Schedule-Next"), LIT("purge"));
    } else {
        int64_t seconds = next_ns / second_ns;
        buf_append_lit(out, "Nats-Schedule-Next: ");
        time_write_offset(out, seconds, time_zone_offset(schedule->zone, seconds));
        buf_append_lit(out, "\r\n");
    }
    if (ask->ttl.len)
        header_append(out, LIT("Nats-TTL"), ask->ttl);
    if (ask->rollup.len)
        header_append(out, LIT("Nats-Rollup"), ask->rollup);
    header_end(out);
}
