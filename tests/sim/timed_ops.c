#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "clock_sim.h"
#include "disk_sim.h"
#include "proto/timefmt.h"
#include "timed_sim.h"

/* Each kind of time has its own tenth of a second, so that what happens together does not depend on
 * the order. */
enum {
    PHASE_SCHEDULE_MS = 0,
    PHASE_KEY_MS = 300,
    PHASE_MADE_MS = 450,
    PHASE_LEASE_MS = 600,
    PHASE_START_MS = 700,
    PHASE_PLAIN_MS = 900
};
enum { PAYLOAD_MAX = 600, TRIES_MAX = 12, MARKER_MS = 5150 };

static const int64_t second_ns = NS_PER_S;

static unsigned pick(unsigned below) {
    return timed_pick(below);
}

static int64_t some_seconds(unsigned max) {
    return (1 + pick(max)) * second_ns;
}

void timed_move_to_start(void) {
    int64_t left_ns = PHASE_START_MS * (int64_t)NS_PER_MS - clock_wall_ns() % second_ns;
    clock_sim_move((uint64_t)(left_ns < 0 ? left_ns + second_ns : left_ns));
}

/* False: the disk was stopped, or there is always something else then. */
static bool wait_for_phase(int64_t phase_ms) {
    int64_t phase_ns = phase_ms * NS_PER_MS;
    for (unsigned tries = 0; tries < TRIES_MAX && !disk_sim_is_stopped(); tries++) {
        int64_t now_ns = clock_wall_ns(), then_ns = now_ns / second_ns * second_ns + phase_ns;
        timed_wait_until(then_ns > now_ns ? then_ns : then_ns + second_ns);
        if (clock_wall_ns() % second_ns == phase_ns)
            return !disk_sim_is_stopped();
    }
    return false;
}

static bool has_succeeded(const SimMsg *msg) {
    return msg && !strstr(msg->payload, "\"error\"");
}

void timed_op_create_stream(void) {
    Timed *now = &timed_sim.now;
    char body[320], marker[64] = "";
    /* With a few of each, what of two is first would matter after a restart. */
    static const unsigned limits[] = {0, 1, 3};
    now->marker_ttl_ns = pick(2) ? MARKER_MS * (int64_t)NS_PER_MS : 0;
    now->max_per_subject = limits[pick(now->marker_ttl_ns ? 2 : 3)];
    if (now->marker_ttl_ns)
        (void)snprintf(marker, sizeof marker, ",\"subject_delete_marker_ttl\":%lld",
                       (long long)now->marker_ttl_ns);
    (void)snprintf(body, sizeof body,
                   "{\"name\":\"T\",\"subjects\":[\"t.*\"],\"allow_direct\":true,\"allow_msg_ttl\":"
                   "true,\"allow_msg_schedules\":true,\"allow_rollup_hdrs\":true,"
                   "\"max_msgs_per_subject\":%d%s}",
                   now->max_per_subject ? (int)now->max_per_subject : -1, marker);
    timed_tell("create %s\n", body);
    const SimMsg *msg = sim_ask("$JS.API.STREAM.CREATE.T", "", body);
    if (!has_succeeded(msg))
        timed_fail("stream not created: %s", msg ? msg->payload : "");
}

/* refusal: the error that must come; 0 = it is stored. */
static void publish(TimedMsg *msg, const char *headers, unsigned refusal) {
    char payload[PAYLOAD_MAX + 16] = "", want[32];
    if (timed_sim.now.last + 16 >= TIMED_SEQS)
        return;
    msg->time_ns = clock_wall_ns();
    if (!msg->is_tombstone) {
        msg->number = ++timed_sim.number_last;
        (void)snprintf(payload, sizeof payload, "%u %*s", msg->number, (int)pick(PAYLOAD_MAX), "");
    }
    timed_tell("publish %s %u ", timed_subjects[msg->subject], msg->number);
    for (const char *at = headers; timed_sim.is_telling && *at; at++)
        (void)putchar(*at == '\r' || *at == '\n' ? ' ' : *at);
    if (timed_sim.is_telling)
        (void)putchar('\n');
    const SimMsg *answer = sim_ask(timed_subjects[msg->subject], headers, payload);
    if (refusal) {
        (void)snprintf(want, sizeof want, "\"err_code\":%u", refusal);
        if (!disk_sim_is_stopped() && !(answer && strstr(answer->payload, want)))
            timed_fail("not refused with %u: %s", refusal, answer ? answer->payload : "");
    } else if (has_succeeded(answer)) {
        timed_store(&timed_sim.now, msg);
        (void)snprintf(want, sizeof want, "\"seq\":%llu}", (unsigned long long)timed_sim.now.last);
        if (!strstr(answer->payload, want))
            timed_fail("stored elsewhere than as %llu: %s", (unsigned long long)timed_sim.now.last,
                       answer->payload);
    } else {
        if (!disk_sim_is_stopped())
            timed_fail("refused: %s", answer ? answer->payload : "no answer");
        timed_sim.open = *msg;
        timed_sim.has_open = true;
    }
    sim_run();
}

/* ---- schedules ---- */

static void write_time(Buf *out, int64_t ns) {
    buf_append_lit(out, "@at ");
    time_write(out, ns);
}

static void op_schedule(void) {
    unsigned which = pick(2);
    TimedMsg msg = {.subject = (uint8_t)(SUBJECT_SCHEDULE + which),
                    .is_rollup = true,
                    .bind = -1,
                    .plan = (Plan)pick(PLAN_CRON + 1)};
    Buf headers = {0};
    if (!wait_for_phase(PHASE_SCHEDULE_MS))
        return;
    int64_t now_ns = clock_wall_ns();
    if (msg.plan == PLAN_NONE) { /* ends what was planned */
        msg.is_rollup = false;
        publish(&msg, "", 0);
        return;
    }
    buf_append_lit(&headers, "Nats-Schedule: ");
    if (msg.plan == PLAN_AT) {
        msg.due_ns = now_ns + (pick(4) ? some_seconds(8) : -some_seconds(3));
        write_time(&headers, msg.due_ns);
    } else if (msg.plan == PLAN_EVERY) {
        msg.every_ns = some_seconds(6) + second_ns;
        buf_printf(&headers, "@every %llds", (long long)(msg.every_ns / second_ns));
    } else {
        msg.every_ns = 5 * some_seconds(2);
        buf_printf(&headers, "*/%lld * * * * *", (long long)(msg.every_ns / second_ns));
    }
    if (msg.plan != PLAN_AT)
        msg.due_ns = timed_first_due(msg.plan, msg.every_ns, now_ns);
    buf_printf(&headers, "\r\nNats-Schedule-Target: %s\r\n",
               timed_subjects[SUBJECT_TARGET + which]);
    if (!timed_sim.now.marker_ttl_ns && pick(2)) {
        msg.made_ttl_ns = some_seconds(6) + PHASE_MADE_MS * (int64_t)NS_PER_MS;
        buf_printf(&headers, "Nats-Schedule-TTL: %lldms\r\n",
                   (long long)(msg.made_ttl_ns / NS_PER_MS));
    }
    publish(&msg, buf_text(&headers), 0);
    buf_done(&headers);
}

/* ---- keys ---- */

static void touch(unsigned subject, uint64_t seq, int64_t ttl_ns) {
    TimedMsg *msg = &timed_sim.now.msgs[seq];
    char body[96], ttl[32] = "";
    if (ttl_ns)
        (void)snprintf(ttl, sizeof ttl, ",\"ttl\":\"%llds\"", (long long)(ttl_ns / second_ns));
    (void)snprintf(body, sizeof body, "{\"subject\":\"%s\",\"seq\":%llu%s}",
                   timed_subjects[subject], (unsigned long long)seq, ttl);
    timed_tell("touch %s\n", body);
    const SimMsg *answer = sim_ask("$JS.API.HW.TOUCH.T", "", body);
    bool is_done = has_succeeded(answer);
    if (!is_done && !disk_sim_is_stopped())
        timed_fail("touch refused: %s", answer ? answer->payload : "no answer");
    int64_t lease_ns = msg->lease_ns && ttl_ns ? ttl_ns : msg->lease_ns;
    int64_t then_ns = clock_wall_ns() + (msg->lease_ns ? lease_ns : ttl_ns);
    int64_t *due = msg->lease_ns ? &msg->lease_due_ns : &msg->expires_ns,
            *latest = msg->lease_ns ? &msg->lease_latest_ns : &msg->expires_latest_ns;
    msg->lease_ns = is_done || lease_ns > msg->lease_ns ? lease_ns : msg->lease_ns;
    if (msg->lease_ns && msg->bind >= 0)
        return; /* as long as somebody listens */
    if (is_done)
        *due = *latest = then_ns;
    else if (!*due)
        *due = then_ns, *latest = INT64_MAX;
    else if (then_ns < *due)
        *due = then_ns;
    else
        *latest = then_ns;
}

static void op_key(void) {
    TimedMsg msg = {.subject = (uint8_t)(SUBJECT_KEY + pick(2)), .bind = -1};
    char headers[64] = "";
    if (!wait_for_phase(PHASE_KEY_MS))
        return;
    uint64_t last = timed_last(&timed_sim.now, msg.subject);
    unsigned what = pick(6);
    if (what < 2 && last && !timed_sim.now.msgs[last].is_tombstone) {
        touch(msg.subject, last, some_seconds(6));
        return;
    }
    if (what < 5) {
        int64_t ttl_ns = some_seconds(6);
        int64_t least_ns = timed_sim.now.max_per_subject == 1
                               ? 0
                               : timed_sim.now.marker_ttl_ns / second_ns * second_ns;
        (void)snprintf(headers, sizeof headers, "Nats-TTL: %llds\r\n",
                       (long long)(ttl_ns / second_ns));
        /* No shorter than what a marker has, in whole seconds. */
        msg.expires_ns = msg.expires_latest_ns =
            clock_wall_ns() + (ttl_ns < least_ns ? least_ns : ttl_ns);
    } else if (pick(2)) {
        msg.is_tombstone = true;
        (void)snprintf(headers, sizeof headers, "KV-Operation: DEL\r\n");
    }
    publish(&msg, headers, 0);
}

/* ---- leases ---- */

static void op_lease(void) {
    Timed *now = &timed_sim.now;
    TimedMsg msg = {.subject = (uint8_t)(SUBJECT_LEASE + pick(2)), .bind = -1};
    Buf headers = {0};
    if (!wait_for_phase(PHASE_LEASE_MS))
        return;
    uint64_t last = timed_last(now, msg.subject);
    bool is_free = !last || now->msgs[last].is_tombstone;
    unsigned what = pick(8);
    if (what < 2 && last && now->msgs[last].lease_ns) {
        touch(msg.subject, last, pick(2) ? some_seconds(6) : 0);
        return;
    }
    if (what == 7) { /* who comes without a lease ends it */
        msg.is_tombstone = pick(2);
        publish(&msg, msg.is_tombstone ? "KV-Operation: DEL\r\n" : "", 0);
        return;
    }
    msg.lease_ns = some_seconds(6);
    msg.lease_due_ns = clock_wall_ns() + msg.lease_ns;
    buf_printf(&headers, "HW-Lease: %llds\r\n", (long long)(msg.lease_ns / second_ns));
    if (pick(3) == 0) {
        msg.bind = (int)pick(BINDS);
        msg.lease_due_ns = now->is_heard[msg.bind] ? INT64_MAX : clock_wall_ns();
        buf_printf(&headers, "HW-Lease-Bind: bind.%d\r\n", msg.bind);
    }
    msg.lease_latest_ns = msg.lease_due_ns;
    bool has_expected = last && pick(2);
    if (has_expected)
        buf_printf(&headers, "Nats-Expected-Last-Subject-Sequence: %llu\r\n",
                   (unsigned long long)last);
    publish(&msg, buf_text(&headers), is_free || has_expected ? 0 : 10071);
    buf_done(&headers);
}

static void op_listen(void) {
    unsigned bind = pick(BINDS);
    if (!wait_for_phase(PHASE_LEASE_MS))
        return;
    bool is_heard = !timed_sim.now.is_heard[bind];
    timed_tell("%s bind.%u\n", is_heard ? "listen to" : "leave", bind);
    sim_listen(bind, is_heard);
    timed_listen(&timed_sim.now, bind, is_heard, clock_wall_ns());
    sim_run();
}

/* ---- the rest ---- */

static void op_delete(void) {
    char body[48];
    if (!wait_for_phase(PHASE_PLAIN_MS))
        return;
    uint64_t seq = timed_sim.now.last ? 1 + pick((unsigned)timed_sim.now.last) : 0;
    if (!seq || !timed_sim.now.msgs[seq].is_live)
        return;
    (void)snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    timed_tell("delete %llu\n", (unsigned long long)seq);
    const SimMsg *answer = sim_ask("$JS.API.STREAM.MSG.DELETE.T", "", body);
    if (has_succeeded(answer))
        timed_drop(&timed_sim.now, seq);
    else if (disk_sim_is_stopped())
        timed_sim.open_drop = seq;
    else
        timed_fail("not deleted: %s", answer ? answer->payload : "no answer");
    sim_run();
}

static void op_plain(void) {
    TimedMsg msg = {.subject = SUBJECT_PLAIN, .bind = -1};
    if (!wait_for_phase(PHASE_PLAIN_MS))
        return;
    publish(&msg, "", 0);
}

void timed_op_settle(void) {
    for (uint64_t seq = 1; seq <= timed_sim.now.last; seq++) {
        const TimedMsg *msg = &timed_sim.now.msgs[seq];
        bool is_vague = msg->lease_ns ? msg->lease_due_ns != msg->lease_latest_ns
                                      : msg->expires_ns != msg->expires_latest_ns;
        if (!msg->is_live || !is_vague || seq != timed_last(&timed_sim.now, msg->subject))
            continue;
        if (msg->lease_ns && msg->bind >= 0)
            publish(&(TimedMsg){.subject = msg->subject, .bind = -1}, "", 0);
        else
            touch(msg->subject, seq, 5 * second_ns);
    }
}

void timed_op_any(void) {
    unsigned what = pick(20);
    if (what < 5)
        op_schedule();
    else if (what < 10)
        op_key();
    else if (what < 14)
        op_lease();
    else if (what < 15)
        op_listen();
    else if (what < 16)
        op_delete();
    else if (what < 18)
        op_plain();
    else
        timed_wait_until(clock_wall_ns() + some_seconds(7));
}
