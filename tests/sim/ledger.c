#include "ledger.h"

#include <stdio.h>
#include <string.h>

#include "io/clock.h"
#include "proto/subject.h"

enum { OVERHEAD = 30, HEADERS_OVERHEAD = 4, BLOCK_OVERHEAD = 12 };

const char *const ledger_names[LEDGER_STREAMS] = {"A", "B", "C", "M"};
const char *const ledger_subjects[LEDGER_SUBJECTS] = {"a", "b", "c", "d.x", "d.y", "e"};

bool ledger_covers(const char *pattern, unsigned subject) {
    return subject_matches(slice_of_text(pattern), slice_of_text(ledger_subjects[subject]));
}

uint64_t ledger_count(const LedgerStream *stream, int subject, uint64_t *out_first,
                      uint64_t *out_last) {
    uint64_t n = 0;
    *out_first = *out_last = 0;
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        if (stream->msgs[seq].is_live && (subject < 0 || stream->msgs[seq].subject == subject)) {
            *out_first = n++ ? *out_first : seq;
            *out_last = seq;
        }
    return n;
}

uint64_t ledger_bytes(const LedgerStream *stream) {
    uint64_t bytes = 0;
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        bytes += stream->msgs[seq].is_live ? stream->msgs[seq].bytes : 0;
    return bytes;
}

void ledger_drop(LedgerStream *stream, uint64_t seq) {
    stream->msgs[seq].is_live = false;
}

static size_t subject_len(unsigned name, unsigned subject) {
    return strlen(ledger_names[name]) + 1 + strlen(ledger_subjects[subject]);
}

uint32_t ledger_accounted(unsigned name, const LedgerPub *pub) {
    size_t headers = strlen(pub->headers);
    if (headers)
        headers += BLOCK_OVERHEAD + HEADERS_OVERHEAD;
    return (uint32_t)(subject_len(name, pub->subject) + headers + strlen(pub->payload) + OVERHEAD);
}

bool ledger_is_full_for(const LedgerStream *stream, unsigned name, const LedgerPub *pub) {
    const LedgerConfig *config = &stream->config;
    uint64_t first, last, of_subject = ledger_count(stream, pub->subject, &first, &last);
    uint32_t size = ledger_accounted(name, pub);
    bool is_subject_full = config->max_per_subject && of_subject >= config->max_per_subject;
    uint64_t any_first, any_last;
    if (!config->is_new)
        return false;
    if (is_subject_full && config->is_new_per_subject)
        return true;
    if (config->max_msgs && !is_subject_full &&
        ledger_count(stream, -1, &any_first, &any_last) >= config->max_msgs)
        return true;
    return config->max_bytes && ledger_bytes(stream) + size > config->max_bytes &&
           (!is_subject_full || size > stream->msgs[first].bytes);
}

void ledger_learn(LedgerMsg *msg, bool is_there, int64_t time_ns) {
    if (msg->is_maybe)
        msg->is_live = is_there;
    msg->is_maybe = false;
    if (!msg->is_guessed || !is_there)
        return;
    if (msg->due_ns != INT64_MAX)
        msg->due_ns += time_ns - msg->time_ns;
    msg->time_ns = time_ns;
    msg->is_guessed = false;
}

static void keep_subject(LedgerStream *stream, int subject) {
    uint64_t first, last, max = stream->config.max_per_subject;
    while (max && ledger_count(stream, subject, &first, &last) > max)
        ledger_drop(stream, first);
}

static void keep_limits(LedgerStream *stream) {
    const LedgerConfig *config = &stream->config;
    uint64_t first, last;
    while (!config->is_new && config->max_msgs &&
           ledger_count(stream, -1, &first, &last) > config->max_msgs)
        ledger_drop(stream, first);
    while (!config->is_new && config->max_bytes && ledger_bytes(stream) > config->max_bytes) {
        (void)ledger_count(stream, -1, &first, &last);
        ledger_drop(stream, first);
    }
}

void ledger_trim(LedgerStream *stream) {
    if (stream->config.is_new)
        return;
    for (int subject = 0; subject < LEDGER_SUBJECTS; subject++)
        keep_subject(stream, subject);
    keep_limits(stream);
}

static void add(LedgerStream *stream, const LedgerMsg *msg) {
    stream->msgs[++stream->last] = *msg;
    keep_subject(stream, msg->subject);
    keep_limits(stream);
}

void ledger_store(LedgerStream *stream, unsigned name, const LedgerPub *pub, int64_t time_ns) {
    LedgerMsg msg = {.is_live = true,
                     .subject = pub->subject,
                     .number = pub->number,
                     .bytes = ledger_accounted(name, pub),
                     .is_never = pub->is_never,
                     .is_without_marker = pub->is_purge,
                     .time_ns = time_ns,
                     .due_ns = pub->ttl_s ? time_ns + pub->ttl_s * (int64_t)NS_PER_S : INT64_MAX};
    if (stream->kind == LEDGER_COUNTER) {
        char text[32];
        stream->totals[pub->subject] += pub->increment;
        msg.number = (uint32_t)stream->totals[pub->subject];
        msg.bytes += (uint32_t)snprintf(text, sizeof text, "{\"val\":\"%lld\"}",
                                        (long long)stream->totals[pub->subject]);
    }
    add(stream, &msg);
    uint64_t seq = stream->last;
    for (uint64_t older = 1; stream->msgs[seq].is_live && pub->rollup && older < seq; older++)
        if (pub->rollup == 'a' || stream->msgs[older].subject == pub->subject)
            ledger_drop(stream, older);
    if (pub->id < LEDGER_IDS)
        stream->ids[pub->id] = (LedgerId){seq, time_ns};
}

int64_t ledger_due_ns(const LedgerStream *stream, uint64_t seq) {
    const LedgerMsg *msg = &stream->msgs[seq];
    int64_t due_ns = msg->due_ns;
    if (stream->config.max_age_s && !msg->is_never) {
        int64_t by_age_ns = msg->time_ns + stream->config.max_age_s * (int64_t)NS_PER_S;
        due_ns = by_age_ns < due_ns ? by_age_ns : due_ns;
    }
    return due_ns;
}

static void expire_one(LedgerStream *stream, unsigned name, uint64_t seq, int64_t now_ns) {
    const LedgerMsg old = stream->msgs[seq];
    uint64_t first, last;
    bool has_marker = stream->config.marker_ttl_s && !old.is_without_marker &&
                      ledger_count(stream, old.subject, &first, &last) == 1;
    ledger_drop(stream, seq);
    stream->msgs[seq].is_expired = true;
    if (!has_marker)
        return;
    LedgerPub marker = {.subject = old.subject};
    (void)snprintf(marker.headers, sizeof marker.headers,
                   "Nats-Marker-Reason: MaxAge\r\nNats-TTL: %us\r\nNats-Rollup: sub\r\n",
                   stream->config.marker_ttl_s);
    add(stream, &(LedgerMsg){.is_live = true,
                             .subject = old.subject,
                             .bytes = ledger_accounted(name, &marker),
                             .is_without_marker = true,
                             .is_guessed = true, /* a restart may come between */
                             .time_ns = now_ns,
                             .due_ns = now_ns + stream->config.marker_ttl_s * (int64_t)NS_PER_S});
}

/* Ages by sequence, then times to live by due time and sequence. */
void ledger_expire(LedgerStream *stream, unsigned name, int64_t now_ns) {
    int64_t age_ns = stream->config.max_age_s * (int64_t)NS_PER_S;
    for (uint64_t seq = 1; age_ns && seq <= stream->last; seq++)
        if (stream->msgs[seq].is_live && !stream->msgs[seq].is_never &&
            stream->msgs[seq].time_ns + age_ns <= now_ns)
            expire_one(stream, name, seq, now_ns);
    for (;;) {
        uint64_t best = 0;
        for (uint64_t seq = 1; seq <= stream->last; seq++)
            if (stream->msgs[seq].is_live && stream->msgs[seq].due_ns <= now_ns &&
                (!best || stream->msgs[seq].due_ns < stream->msgs[best].due_ns))
                best = seq;
        if (!best)
            return;
        expire_one(stream, name, best, now_ns);
    }
}
