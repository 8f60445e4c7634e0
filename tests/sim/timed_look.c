#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock_sim.h"
#include "disk_sim.h"
#include "proto/timefmt.h"
#include "timed_sim.h"

/* A moment: the longest that the server takes to do what is due. */
enum { MOMENT_MS = 150, GLANCE_MS = 30 };

static uint64_t number_after(const char *text, const char *key) {
    const char *at = text ? strstr(text, key) : NULL;
    return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
}

static const char *header_of(const char *headers, const char *name, char value[96]) {
    const char *at = strstr(headers, name);
    if (!at)
        return NULL;
    at += strlen(name);
    (void)snprintf(value, 96, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

/* NULL: the disk was stopped. */
static const SimMsg *get(uint64_t seq) {
    char body[48];
    (void)snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    const SimMsg *msg = sim_ask("$JS.API.DIRECT.GET.T", "", body);
    if (!msg && !disk_sim_is_stopped())
        timed_fail("no answer to a get of %llu", (unsigned long long)seq);
    return msg;
}

static bool is_there(const SimMsg *msg) {
    return strstr(msg->headers, " 404 ") == NULL;
}

static Made read_made(const SimMsg *msg) {
    char value[96];
    Made made = {.subject = TIMED_SUBJECTS, .number = (uint32_t)strtoul(msg->payload, NULL, 10)};
    const char *subject = header_of(msg->headers, "Nats-Subject: ", value);
    for (unsigned i = 0; subject && i < TIMED_SUBJECTS; i++)
        if (strcmp(subject, timed_subjects[i]) == 0)
            made.subject = i;
    const char *time = header_of(msg->headers, "Nats-Time-Stamp: ", value);
    if (made.subject == TIMED_SUBJECTS || !time || time_parse(slice_of_text(time), &made.time_ns))
        timed_fail("not understood: %s", msg->headers);
    made.is_expiry = strstr(msg->headers, "Nats-Marker-Reason: MaxAge") != NULL;
    made.is_lease_end = strstr(msg->headers, "HW-Lease-Ended: ") != NULL;
    made.is_of_schedule = strstr(msg->headers, "Nats-Scheduler: ") != NULL;
    made.is_last = strstr(msg->headers, "Nats-Schedule-Next: purge") != NULL;
    return made;
}

static bool is_open(const Made *made) {
    const TimedMsg *open = &timed_sim.open;
    return timed_sim.has_open && made->subject == open->subject && made->number == open->number &&
           made->time_ns == open->time_ns;
}

static void absorb(uint64_t seq) {
    const SimMsg *msg = seq < TIMED_SEQS ? get(seq) : NULL;
    if (seq >= TIMED_SEQS)
        timed_fail("too many messages");
    if (!msg)
        return;
    Made made = is_there(msg) ? read_made(msg) : (Made){0};
    if (timed_sim.has_open && (!is_there(msg) || is_open(&made))) {
        TimedMsg *open = &timed_sim.open;
        if (open->lease_ns && open->bind >= 0) /* as of all that are bound */
            open->lease_latest_ns = timed_sim.start_ns + open->lease_ns;
        timed_store(&timed_sim.now, open);
        timed_sim.has_open = false;
        return;
    }
    const char *why = NULL;
    if (!is_there(msg)) {
        if ((why = timed_justify_gone(&timed_sim.now, timed_sim.end_ns, clock_wall_ns())))
            timed_fail("%llu: %s", (unsigned long long)seq, why);
        return;
    }
    timed_tell("    %llu %s %u%s%s%s\n", (unsigned long long)seq, timed_subjects[made.subject],
               made.number, made.is_expiry ? " expired" : "",
               made.is_lease_end ? " lease over" : "", made.is_of_schedule ? " scheduled" : "");
    if ((why = timed_justify(&timed_sim.now, &made)))
        timed_fail("%llu: %s", (unsigned long long)seq, why);
}

static void look_at_each(void) {
    for (uint64_t seq = 1; seq <= timed_sim.now.last; seq++) {
        const TimedMsg *want = &timed_sim.now.msgs[seq];
        const SimMsg *msg = get(seq);
        if (!msg)
            return;
        bool is = is_there(msg);
        if (is != want->is_live)
            timed_fail("%llu is %s", (unsigned long long)seq, is ? "there" : "gone");
        if (is && strtoul(msg->payload, NULL, 10) != want->number)
            timed_fail("%llu is another message", (unsigned long long)seq);
    }
}

void timed_look(bool is_whole) {
    int64_t now_ns = clock_wall_ns();
    Timed *now = &timed_sim.now;
    sim_run();
    const SimMsg *msg = sim_ask("$JS.API.STREAM.INFO.T", "", "");
    if (!msg || disk_sim_is_stopped())
        return;
    uint64_t last = number_after(msg->payload, "\"last_seq\":"),
             messages = number_after(msg->payload, "\"messages\":");
    while (now->last < last && !disk_sim_is_stopped())
        absorb(now->last + 1);
    timed_expire(now, now_ns);
    if (is_whole)
        look_at_each();
    if (disk_sim_is_stopped())
        return;
    uint64_t late;
    const char *why = timed_overdue(now, now_ns - MOMENT_MS * NS_PER_MS, &late);
    if (why)
        timed_fail("%llu: %s", (unsigned long long)late, why);
    if (now->last != last || timed_count(now, -1) != messages)
        timed_fail("%llu messages up to %llu instead of %llu up to %llu",
                   (unsigned long long)messages, (unsigned long long)last,
                   (unsigned long long)timed_count(now, -1), (unsigned long long)now->last);
}

static void move_to(int64_t wall_ns) {
    if (wall_ns > clock_wall_ns())
        clock_sim_move((uint64_t)(wall_ns - clock_wall_ns()));
    sim_run();
}

void timed_wait_until(int64_t wall_ns) {
    while (clock_wall_ns() < wall_ns && !disk_sim_is_stopped()) {
        int64_t due_ns = timed_next_due(&timed_sim.now);
        if (due_ns > wall_ns) {
            move_to(wall_ns);
            return;
        }
        if (due_ns - 1 > clock_wall_ns()) {
            move_to(due_ns - 1);
            timed_look(false); /* nothing has happened */
        }
        move_to(due_ns);
        move_to(clock_wall_ns() + GLANCE_MS * NS_PER_MS);
        move_to(clock_wall_ns() + (MOMENT_MS - GLANCE_MS) * NS_PER_MS);
        timed_look(false);
    }
}

/* Whether the touch was is not known: it may have let the message go by now. */
static void learn_expiry(void) {
    Timed *now = &timed_sim.now;
    for (uint64_t seq = 1; seq <= now->last; seq++) {
        TimedMsg *msg = &now->msgs[seq];
        if (!msg->is_live || !msg->expires_ns || msg->expires_ns > clock_wall_ns() ||
            msg->expires_latest_ns <= clock_wall_ns())
            continue;
        const SimMsg *have = get(seq);
        if (have && !is_there(have))
            msg->expires_latest_ns = msg->expires_ns;
    }
}

void timed_resolve(void) {
    timed_sim.start_ns = clock_wall_ns();
    timed_restart(&timed_sim.now, timed_sim.start_ns);
    if (timed_sim.open_drop) {
        const SimMsg *msg = get(timed_sim.open_drop);
        timed_sim.now.msgs[timed_sim.open_drop].is_live &= msg && is_there(msg);
        timed_sim.open_drop = 0;
    }
    move_to(clock_wall_ns() + GLANCE_MS * NS_PER_MS);
    for (unsigned i = 0; i < 2; i++)
        move_to(clock_wall_ns() + (MOMENT_MS - GLANCE_MS) * NS_PER_MS);
    learn_expiry();
    timed_look(true);
    timed_sim.has_open = false;
}
