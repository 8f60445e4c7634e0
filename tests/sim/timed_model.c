#include "timed_model.h"

#include <stddef.h>

static const int64_t second_ns = 1000000000;

const char *const timed_subjects[TIMED_SUBJECTS] = {"t.k0", "t.k1", "t.l0", "t.l1", "t.s0",
                                                    "t.s1", "t.d0", "t.d1", "t.p"};

uint64_t timed_last(const Timed *timed, unsigned subject) {
    for (uint64_t seq = timed->last; seq > 0; seq--)
        if (timed->msgs[seq].is_live && timed->msgs[seq].subject == subject)
            return seq;
    return 0;
}

uint64_t timed_count(const Timed *timed, int subject) {
    uint64_t n = 0;
    for (uint64_t seq = 1; seq <= timed->last; seq++)
        n += timed->msgs[seq].is_live && (subject < 0 || timed->msgs[seq].subject == subject);
    return n;
}

void timed_drop(Timed *timed, uint64_t seq) {
    timed->msgs[seq].is_live = false;
}

static void drop_oldest(Timed *timed, unsigned subject) {
    for (uint64_t seq = 1; seq <= timed->last; seq++)
        if (timed->msgs[seq].is_live && timed->msgs[seq].subject == subject) {
            timed_drop(timed, seq);
            return;
        }
}

void timed_store(Timed *timed, const TimedMsg *msg) {
    if (!timed->marker_ttl_ns) /* whatever comes removes what was due before */
        timed_expire(timed, msg->time_ns);
    uint64_t before = timed_last(timed, msg->subject);
    if (before) { /* it holds and makes nothing any more */
        timed->msgs[before].lease_ns = 0;
        timed->msgs[before].plan = PLAN_NONE;
    }
    while (msg->is_rollup && timed_count(timed, msg->subject))
        drop_oldest(timed, msg->subject);
    timed->msgs[++timed->last] = *msg;
    timed->msgs[timed->last].is_live = true;
    while (timed->max_per_subject && timed_count(timed, msg->subject) > timed->max_per_subject)
        drop_oldest(timed, msg->subject);
}

/* ---- schedules ---- */

static int64_t step(Plan plan, int64_t every_ns, int64_t after_ns) {
    int64_t seconds = (after_ns + second_ns / 2) / second_ns, every = every_ns / second_ns;
    return plan == PLAN_CRON ? (seconds / every + 1) * every_ns : seconds * second_ns + every_ns;
}

int64_t timed_first_due(Plan plan, int64_t every_ns, int64_t stored_ns) {
    return step(plan, every_ns, stored_ns);
}

static void fired(Timed *timed, uint64_t seq, int64_t now_ns) {
    TimedMsg *msg = &timed->msgs[seq];
    if (msg->plan == PLAN_AT) {
        timed_drop(timed, seq);
        return;
    }
    int64_t next_ns = step(msg->plan, msg->every_ns, msg->due_ns);
    msg->due_ns = next_ns < now_ns ? step(msg->plan, msg->every_ns, now_ns) : next_ns;
}

static const char *justify_fired(Timed *timed, const Made *made) {
    uint64_t seq = timed_last(timed, made->subject + SUBJECT_SCHEDULE - SUBJECT_TARGET);
    TimedMsg *msg = &timed->msgs[seq];
    if (made->subject < SUBJECT_TARGET || made->subject >= SUBJECT_PLAIN || !seq ||
        msg->plan == PLAN_NONE)
        return "no schedule makes this";
    if (msg->due_ns > made->time_ns)
        return "a schedule before its time";
    if (msg->number != made->number)
        return "a schedule made another message";
    if (made->is_last != (msg->plan == PLAN_AT))
        return "a schedule is over, or not";
    int64_t expires_ns = msg->made_ttl_ns ? made->time_ns + msg->made_ttl_ns : 0;
    timed_store(timed, &(TimedMsg){.subject = (uint8_t)made->subject,
                                   .number = made->number,
                                   .time_ns = made->time_ns,
                                   .expires_ns = expires_ns,
                                   .expires_latest_ns = expires_ns,
                                   .bind = -1});
    fired(timed, seq, made->time_ns);
    return NULL;
}

/* ---- leases ---- */

static const char *justify_lease_end(Timed *timed, const Made *made) {
    uint64_t seq = timed_last(timed, made->subject);
    TimedMsg *msg = &timed->msgs[seq];
    if (!seq || !msg->lease_ns)
        return "no lease ends here";
    if (msg->lease_due_ns > made->time_ns)
        return "a lease ends before its time";
    int64_t expires_ns = timed->marker_ttl_ns ? made->time_ns + timed->marker_ttl_ns : 0;
    timed_store(timed, &(TimedMsg){.subject = (uint8_t)made->subject,
                                   .is_tombstone = true,
                                   .time_ns = made->time_ns,
                                   .expires_ns = expires_ns,
                                   .expires_latest_ns = expires_ns,
                                   .bind = -1});
    return NULL;
}

void timed_listen(Timed *timed, unsigned bind, bool is_heard, int64_t now_ns) {
    if (timed->is_heard[bind] == is_heard)
        return;
    timed->is_heard[bind] = is_heard;
    for (uint64_t seq = 1; seq <= timed->last; seq++)
        if (timed->msgs[seq].lease_ns && timed->msgs[seq].bind == (int)bind)
            timed->msgs[seq].lease_due_ns = timed->msgs[seq].lease_latest_ns =
                is_heard ? INT64_MAX : now_ns;
}

void timed_restart(Timed *timed, int64_t now_ns) {
    for (unsigned i = 0; i < BINDS; i++)
        timed->is_heard[i] = false;
    for (uint64_t seq = 1; seq <= timed->last; seq++) {
        TimedMsg *msg = &timed->msgs[seq];
        if (!msg->is_live || !msg->lease_ns || msg->bind < 0)
            continue;
        msg->lease_latest_ns = now_ns + msg->lease_ns;
        if (msg->lease_due_ns > now_ns) /* else its end may be on the disk already */
            msg->lease_due_ns = msg->lease_latest_ns;
    }
}

/* ---- times to live ---- */

static bool leaves_marker(const Timed *timed, uint64_t seq) {
    const TimedMsg *msg = &timed->msgs[seq];
    return timed->marker_ttl_ns && !msg->leaves_no_marker && timed_count(timed, msg->subject) == 1;
}

/* The one that is due first, behind (after_ns, after); 0 = none by now. */
static uint64_t next_expired(const Timed *timed, int64_t after_ns, uint64_t after, int64_t now_ns) {
    uint64_t found = 0;
    for (uint64_t seq = 1; seq <= timed->last; seq++) {
        int64_t due_ns = timed->msgs[seq].is_live ? timed->msgs[seq].expires_latest_ns : 0;
        if (due_ns && due_ns <= now_ns &&
            (due_ns > after_ns || (due_ns == after_ns && seq > after)) &&
            (!found || due_ns < timed->msgs[found].expires_latest_ns))
            found = seq;
    }
    return found;
}

void timed_expire(Timed *timed, int64_t now_ns) {
    int64_t due_ns = 0;
    for (uint64_t seq = 0; (seq = next_expired(timed, due_ns, seq, now_ns));) {
        due_ns = timed->msgs[seq].expires_latest_ns;
        if (!leaves_marker(timed, seq))
            timed_drop(timed, seq);
    }
}

static const char *justify_expiry(Timed *timed, const Made *made) {
    timed_expire(timed, made->time_ns);
    uint64_t seq = timed_last(timed, made->subject);
    const TimedMsg *msg = &timed->msgs[seq];
    if (!seq || !leaves_marker(timed, seq) || !msg->expires_ns)
        return "a marker of what does not leave one";
    if (msg->expires_ns > made->time_ns)
        return "a marker before its time";
    timed_store(timed, &(TimedMsg){.subject = (uint8_t)made->subject,
                                   .is_tombstone = true,
                                   .leaves_no_marker = true,
                                   .is_rollup = true,
                                   .time_ns = made->time_ns,
                                   .expires_ns = made->time_ns + timed->marker_ttl_ns,
                                   .expires_latest_ns = made->time_ns + timed->marker_ttl_ns,
                                   .bind = -1});
    return NULL;
}

/* ---- all of them ---- */

const char *timed_justify(Timed *timed, const Made *made) {
    if (made->is_expiry)
        return justify_expiry(timed, made);
    if (made->is_lease_end)
        return justify_lease_end(timed, made);
    return made->is_of_schedule ? justify_fired(timed, made) : "nobody has sent it";
}

/* What the message at seq may have left before the process ended, in so far as it is gone now. */
static bool may_have_left(const Timed *timed, uint64_t seq, int64_t end_ns, int64_t now_ns,
                          Made *out_made) {
    const TimedMsg *msg = &timed->msgs[seq];
    int64_t marker_ns = timed->marker_ttl_ns;
    *out_made = (Made){.subject = msg->subject, .number = msg->number};
    if (msg->lease_ns && msg->lease_due_ns <= end_ns) {
        out_made->is_lease_end = true;
        out_made->time_ns = msg->lease_due_ns;
        return marker_ns && msg->lease_due_ns <= now_ns - marker_ns;
    }
    if (msg->plan != PLAN_NONE && msg->due_ns <= end_ns) {
        bool has_followed = timed->max_per_subject == 1 && msg->plan != PLAN_AT &&
                            step(msg->plan, msg->every_ns, msg->due_ns) <= now_ns;
        out_made->subject += SUBJECT_TARGET - SUBJECT_SCHEDULE;
        out_made->is_of_schedule = true;
        out_made->is_last = msg->plan == PLAN_AT;
        out_made->time_ns = msg->due_ns;
        return has_followed || (msg->made_ttl_ns && msg->due_ns <= now_ns - msg->made_ttl_ns);
    }
    out_made->is_expiry = true;
    out_made->time_ns = msg->expires_ns;
    return msg->expires_ns && leaves_marker(timed, seq) && msg->expires_ns <= end_ns &&
           msg->expires_ns <= now_ns - marker_ns;
}

const char *timed_justify_gone(Timed *timed, int64_t end_ns, int64_t now_ns) {
    Made made, first = {.time_ns = INT64_MAX};
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint64_t seq = 1; seq <= timed->last; seq++)
            if (timed->msgs[seq].is_live && may_have_left(timed, seq, end_ns, now_ns, &made) &&
                made.time_ns < first.time_ns)
                first = made;
        if (first.time_ns < INT64_MAX)
            return timed_justify(timed, &first);
        timed_expire(timed, end_ns); /* of two that go at the same time the last one leaves it */
    }
    return "it came and went";
}

static void sooner(int64_t *due_ns, int64_t other_ns) {
    *due_ns = other_ns < *due_ns ? other_ns : *due_ns;
}

int64_t timed_next_due(const Timed *timed) {
    int64_t due_ns = INT64_MAX;
    for (uint64_t seq = 1; seq <= timed->last; seq++) {
        const TimedMsg *msg = &timed->msgs[seq];
        if (!msg->is_live)
            continue;
        if (msg->expires_ns)
            sooner(&due_ns, msg->expires_ns);
        if (msg->lease_ns)
            sooner(&due_ns, msg->lease_due_ns);
        if (msg->plan != PLAN_NONE)
            sooner(&due_ns, msg->due_ns);
    }
    return due_ns;
}

const char *timed_overdue(const Timed *timed, int64_t by_ns, uint64_t *out_seq) {
    for (uint64_t seq = 1; seq <= timed->last; seq++) {
        const TimedMsg *msg = &timed->msgs[seq];
        *out_seq = seq;
        if (!msg->is_live)
            continue;
        if (msg->expires_latest_ns && msg->expires_latest_ns <= by_ns)
            return "a message has not expired";
        if (msg->lease_ns && msg->lease_latest_ns <= by_ns)
            return "a lease has not ended";
        if (msg->plan != PLAN_NONE && msg->due_ns <= by_ns && msg->time_ns <= by_ns)
            return "a schedule is late";
    }
    return NULL;
}
