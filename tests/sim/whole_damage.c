/* What the end of a seed looks at: a bit that flips, and whether room comes back. */
#include <stdio.h>
#include <string.h>

#include "clock_sim.h"
#include "disk_sim.h"
#include "whole_sim.h"

enum { TRIES = 60, LOST_MAX = 45, TICK_MS = 110, ROUNDS = 6, SEGMENTS_MAX = 5 };

/* ---- a flipped bit ---- */

/* Some byte that is no zero, which would be the end of a segment. False: none was found. */
static bool find_byte(const char *bytes, uint64_t len, uint64_t *out_at) {
    for (unsigned i = 0; i < TRIES && len; i++) {
        *out_at = rand_below(&whole.rand, len);
        if (bytes[*out_at])
            return true;
    }
    return false;
}

/* Mostly of the log. */
static bool flip(void) {
    size_t count = 0;
    bool is_of_log = pick(4) > 0;
    while (disk_sim_name(count))
        count++;
    for (unsigned i = 0; i < TRIES && count; i++) {
        char path[128];
        uint64_t len, at;
        (void)snprintf(path, sizeof path, "%s", disk_sim_name(pick((unsigned)count)));
        const char *bytes = disk_sim_bytes(path, &len);
        bool is_spare = strstr(path, "spare") || strstr(path, "LOCK") || strstr(path, "/bad/");
        if (is_spare || is_of_log != (strstr(path, "/log/") != NULL) || !find_byte(bytes, len, &at))
            continue;
        whole_tell("flip a bit of %s at %llu\n", path, (unsigned long long)at);
        return disk_sim_flip(path, at, pick(8));
    }
    return false;
}

static bool is_like(const LedgerStream *stream, uint64_t seq, const SeenMsg *have) {
    const LedgerMsg *want = &stream->msgs[seq];
    return seq && seq <= stream->last && want->time_ns && have->number == want->number &&
           have->subject == want->subject;
}

/* An entry that was refused when it was applied, and is lost, counts as its messages: those behind
 * it are so many further on (docs/STORAGE.md). An expiry whose time is not believed makes no
 * markers. */
static bool is_near(const LedgerStream *stream, uint64_t seq, const SeenMsg *have) {
    for (uint64_t at = seq > LOST_MAX ? seq - LOST_MAX : 1; at < seq + LOST_MAX; at++)
        if (is_like(stream, at, have))
            return true;
    return false;
}

/* It was refused for want of room, which is there when the message that took it is lost
 * (docs/STORAGE.md). */
static bool was_refused(unsigned s, const SeenMsg *have) {
    const LedgerStream *stream = &whole.now.streams[s];
    bool was_sent = have->number < NUMBERS_MAX && have->subject < LEDGER_SUBJECTS &&
                    (whole.sent[s][have->number] >> have->subject & 1);
    if (!stream->config.is_new || !was_sent || !whole.lines)
        return false;
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        if (is_like(stream, seq, have))
            return false;
    return true;
}

static void compare(unsigned s, const Seen *seen, unsigned *lost, unsigned *other) {
    const LedgerStream *stream = &whole.now.streams[s];
    for (uint64_t seq = 1; seq <= seen->last && seq < LEDGER_SEQS; seq++) {
        const SeenMsg *have = &seen->msgs[seq];
        const LedgerMsg *want = &stream->msgs[seq];
        if (have->is_there && !is_like(stream, seq, have) && !is_near(stream, seq, have) &&
            !was_refused(s, have))
            whole_fail("after a flipped bit %s has %u of %s at %llu, not %u of %s", ledger_names[s],
                       have->number, ledger_subjects[have->subject], (unsigned long long)seq,
                       want->number, ledger_subjects[want->subject]);
        *lost += !have->is_there && seq <= stream->last && want->is_live;
        *other += have->is_there && !want->is_live;
    }
    *other += seen->last != stream->last;
}

void damage_flip(void) {
    unsigned lost = 0, other = 0;
    sim_close(); /* in order: what is durable is known */
    disk_sim_kill();
    if (!flip()) {
        if (!sim_open(&whole.options))
            whole_fail("the store does not open");
        return;
    }
    whole.lines = 0;
    if (!sim_open(&whole.options))
        whole_fail("the store does not open after one flipped bit");
    clock_sim_move(TICK_MS * (uint64_t)NS_PER_MS);
    sim_run();
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        if (!whole.now.streams[s].exists || whole.now.streams[s].kind >= LEDGER_MIRROR)
            continue;
        const Seen *seen = look_at(s);
        if (!seen)
            whole_fail("after a flipped bit %s cannot be read", ledger_names[s]);
        compare(s, seen, &lost, &other);
    }
    if (lost > LOST_MAX && !whole.has_frames) /* all that is in one */
        whole_fail("one flipped bit costs %u messages", lost);
    if ((lost || other) && !whole.lines)
        whole_fail("a flipped bit is not reported: %u lost, %u others", lost, other);
}

/* ---- room ---- */

static unsigned count_segments(void) {
    unsigned n = 0;
    for (size_t i = 0; disk_sim_name(i); i++)
        n += strstr(disk_sim_name(i), "/log/") && !strstr(disk_sim_name(i), "spare");
    return n;
}

/* With nothing kept, a few checkpoints later only the segments of the last two are there. */
void damage_check_room(void) {
    op_begin();
    for (unsigned s = LEDGER_STREAMS; s-- > 0;)
        if (whole.now.streams[s].exists && !has_succeeded(ask("STREAM.DELETE", s, "")))
            whole_fail("%s is not deleted", ledger_names[s]);
    if (!has_succeeded(
            ask("STREAM.CREATE", 0, "{\"name\":\"A\",\"subjects\":[\"A.>\"],\"max_msgs\":1}")))
        whole_fail("A is not made again");
    uint64_t blocks =
        ROUNDS * (whole.options.checkpoint_bytes + whole.options.segment_bytes) / 4096;
    for (uint64_t i = 0; i < blocks; i++) {
        if (sim_ask("A.a", "", "x") == NULL)
            whole_fail("nothing is stored any more");
        else
            sim_run(); /* each checkpoint in its time */
    }
    uint64_t most = SEGMENTS_MAX + 3 * whole.options.checkpoint_bytes / whole.options.segment_bytes;
    whole_tell("%u segments, at most %llu\n", count_segments(), (unsigned long long)most);
    if (count_segments() > most)
        whole_fail("%u segments are kept, though nothing is in them", count_segments());
}
