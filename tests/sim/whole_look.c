/* What the server holds, read through its API, against the ledger. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock_sim.h"
#include "disk_sim.h"
#include "whole_sim.h"

uint64_t number_after(const char *text, const char *key) {
    const char *at = text ? strstr(text, key) : NULL;
    return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
}

bool has_succeeded(const char *answer) {
    return answer && !strstr(answer, "\"error\"");
}

const char *ask(const char *verb, unsigned stream, const char *body) {
    char subject[128];
    (void)snprintf(subject, sizeof subject, "$JS.API.%s.%s", verb, ledger_names[stream]);
    const SimMsg *msg = sim_ask(subject, "", body);
    return msg ? msg->payload : NULL;
}

/* ---- seeing ---- */

static int64_t time_of(const char *text) {
    struct tm parts = {0};
    char fraction[16] = "";
    if (sscanf(text, "%d-%d-%dT%d:%d:%d.%9[0-9]", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
               &parts.tm_hour, &parts.tm_min, &parts.tm_sec, fraction) < 6)
        return 0;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    int64_t ns = 0;
    for (size_t i = 0, len = strlen(fraction); i < 9; i++)
        ns = ns * 10 + (i < len ? fraction[i] - '0' : 0);
    return (int64_t)timegm(&parts) * NS_PER_S + ns;
}

static const char *header(const char *headers, const char *name) {
    const char *at = strstr(headers, name);
    return at ? at + strlen(name) : "";
}

static uint8_t subject_of(const char *text) {
    size_t len = strcspn(text, "\r");
    for (uint8_t i = 0; i < LEDGER_SUBJECTS; i++)
        if (len == 2 + strlen(ledger_subjects[i]) &&
            strncmp(text + 2, ledger_subjects[i], len - 2) == 0)
            return i;
    return LEDGER_SUBJECTS;
}

static uint32_t number_of(const char *payload) {
    const char *counter = strstr(payload, "\"val\":\"");
    return (uint32_t)strtoul(counter ? counter + 7 : payload, NULL, 10);
}

/* "7 ....", a counter, or nothing. */
static bool is_payload_whole(const char *payload) {
    const char *at = payload + strspn(payload, "0123456789");
    if (*payload == '{')
        return strcmp(payload + 8 + strspn(payload + 8, "0123456789"), "\"}") == 0;
    return *payload == 0 || (*at == ' ' && at[1 + strspn(at + 1, ".")] == 0);
}

static void see_message(Seen *seen, const SimMsg *msg) {
    uint64_t seq = strtoull(header(msg->headers, "Nats-Sequence: "), NULL, 10);
    if (!seq)
        return;
    if (seq > seen->last)
        whole_fail("message %llu behind the last one, %llu", (unsigned long long)seq,
                   (unsigned long long)seen->last);
    if (!is_payload_whole(msg->payload))
        whole_fail("message %llu is garbled: %s", (unsigned long long)seq, msg->payload);
    const char *source = header(msg->headers, "Nats-Stream-Source: ");
    const char *number = strchr(source, ' ');
    seen->msgs[seq] = (SeenMsg){
        .is_there = true,
        .subject = subject_of(header(msg->headers, "Nats-Subject: ")),
        .number = number_of(msg->payload),
        .time_ns = time_of(header(msg->headers, "Nats-Time-Stamp: ")),
        .origin_seq = *source && number ? strtoull(number, NULL, 10) : 0,
    };
}

static uint64_t limit_of(const char *config, const char *key) {
    uint64_t n = number_after(config, key);
    return n == UINT64_MAX ? 0 : n;
}

static void see_config(Seen *seen, const char *info) {
    const char *config = strstr(info, "\"config\":");
    seen->max_msgs = limit_of(config, "\"max_msgs\":");
    seen->max_bytes = limit_of(config, "\"max_bytes\":");
    seen->max_per_subject = limit_of(config, "\"max_msgs_per_subject\":");
    seen->max_age_ns = limit_of(config, "\"max_age\":");
    seen->is_new_per_subject = config && strstr(config, "\"discard_new_per_subject\":true");
}

static bool is_same_config(const LedgerConfig *want, const Seen *have) {
    return want->max_msgs == have->max_msgs && want->max_bytes == have->max_bytes &&
           want->max_per_subject == have->max_per_subject &&
           want->max_age_s * (uint64_t)NS_PER_S == have->max_age_ns &&
           want->is_new_per_subject == have->is_new_per_subject;
}

static void see_info(Seen *seen, const char *info) {
    see_config(seen, info);
    const char *state = strstr(info, "\"state\":"); /* the config has a first_seq, too */
    seen->messages = number_after(state, "\"messages\":");
    seen->bytes = number_after(state, "\"bytes\":");
    seen->first = number_after(state, "\"first_seq\":");
    seen->last = number_after(state, "\"last_seq\":");
    const char *subjects = strstr(info, "\"subjects\":{");
    for (unsigned i = 0; subjects && i < LEDGER_SUBJECTS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, ".%s\":", ledger_subjects[i]);
        uint64_t n = number_after(subjects, key);
        seen->of_subject[i] = n == UINT64_MAX ? 0 : n;
    }
    seen->subjects = number_after(info, "\"num_subjects\":");
    seen->subjects = seen->subjects == UINT64_MAX ? 0 : seen->subjects;
}

const Seen *look_at(unsigned stream) {
    static Seen seen;
    memset(&seen, 0, sizeof seen);
    const char *info = ask("STREAM.INFO", stream, "{\"subjects_filter\":\">\"}");
    if (!info)
        return NULL;
    seen.exists = has_succeeded(info);
    if (!seen.exists)
        return strstr(info, "10059") ? &seen : NULL;
    see_info(&seen, info);
    if (seen.last >= LEDGER_SEQS)
        whole_fail("%s: last sequence %llu", ledger_names[stream], (unsigned long long)seen.last);
    if (seen.messages == 0)
        return &seen;
    char subject[48];
    (void)snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s", ledger_names[stream]);
    sim_forget();
    sim_tell(subject, "_INBOX.x", "", "{\"seq\":1,\"batch\":1000}");
    sim_run();
    bool is_whole = false;
    for (const SimMsg *msg; (msg = sim_next());) {
        is_whole |= strstr(msg->headers, " 204 ") || strstr(msg->headers, " 404 ");
        see_message(&seen, msg);
    }
    return is_whole ? &seen : NULL;
}

/* ---- comparing ---- */

static const char is_missing[] = "a message is missing";

static const char *differs_at(const LedgerMsg *want, const SeenMsg *have) {
    if (want->is_live && !have->is_there)
        return is_missing;
    if (!want->is_live && have->is_there)
        return "a message came back";
    if (!want->is_live)
        return NULL;
    if (want->subject != have->subject || want->number != have->number)
        return "a message is another one";
    return want->time_ns && want->time_ns != have->time_ns ? "a message has another time" : NULL;
}

const char *look_differs(LedgerStream *stream, const Seen *seen) {
    uint64_t first, last, distinct = 0, n;
    if (stream->exists != seen->exists)
        return stream->exists ? "the stream is missing" : "the stream came back";
    if (!stream->exists)
        return NULL;
    if (!is_same_config(&stream->config, seen))
        return "other config";
    if (stream->last != seen->last)
        return "other last sequence";
    for (uint64_t seq = 1; seq <= stream->last; seq++) {
        ledger_learn(&stream->msgs[seq], seen->msgs[seq].is_there, seen->msgs[seq].time_ns);
        const char *why = differs_at(&stream->msgs[seq], &seen->msgs[seq]);
        if (why)
            return why;
    }
    n = ledger_count(stream, -1, &first, &last);
    if (n != seen->messages)
        return "other number of messages";
    if (n && first != seen->first)
        return "other first sequence";
    if (ledger_bytes(stream) != seen->bytes)
        return "other number of bytes";
    for (int i = 0; i < LEDGER_SUBJECTS; i++) {
        uint64_t count = ledger_count(stream, i, &first, &last);
        distinct += count > 0;
        if (count != seen->of_subject[i])
            return "other number of messages of a subject";
    }
    return distinct != seen->subjects ? "other number of subjects" : NULL;
}

static void tell_difference(const LedgerStream *stream, const Seen *seen) {
    whole_tell("  last %llu/%llu messages ?/%llu bytes %llu/%llu\n",
               (unsigned long long)stream->last, (unsigned long long)seen->last,
               (unsigned long long)seen->messages, (unsigned long long)ledger_bytes(stream),
               (unsigned long long)seen->bytes);
    for (uint64_t seq = 1; seq <= stream->last; seq++) {
        const LedgerMsg *want = &stream->msgs[seq];
        const SeenMsg *have = &seen->msgs[seq];
        if (differs_at(want, have))
            whole_tell("  %llu: live %d subject %u number %u time %lld; server: there %d subject "
                       "%u number %u time %lld\n",
                       (unsigned long long)seq, want->is_live, want->subject, want->number,
                       (long long)want->time_ns, have->is_there, have->subject, have->number,
                       (long long)have->time_ns);
    }
}

static bool is_copy(unsigned stream) {
    return whole.now.streams[stream].kind >= LEDGER_MIRROR;
}

void look_check(unsigned stream) {
    if (is_copy(stream))
        return;
    const Seen *seen = look_at(stream);
    if (!seen && (disk_sim_is_stopped() || whole.has_fault))
        return;
    const char *why = seen ? look_differs(&whole.now.streams[stream], seen) : "cannot be read";
    bool may_miss = whole.has_fault || disk_sim_is_stopped(); /* reads fail */
    if (!why || (may_miss && strcmp(why, is_missing) == 0))
        return;
    if (seen)
        tell_difference(&whole.now.streams[stream], seen);
    whole_fail("%s: %s", ledger_names[stream], why);
}

void look_learn(void) {
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        bool is_guessed = false;
        for (uint64_t seq = 1; seq <= whole.now.streams[s].last; seq++)
            is_guessed |= whole.now.streams[s].msgs[seq].is_guessed;
        if (is_guessed)
            look_check(s);
    }
}

/* ---- after a fault ---- */

/* Steps of the chain that are like what the server has, as bits. */
static unsigned find_fits(unsigned s) {
    const Seen *seen = look_at(s);
    const char *why = "";
    unsigned fits = 0;
    if (!seen)
        whole_fail("%s cannot be read", ledger_names[s]);
    for (unsigned i = 0; i < whole.chain_len; i++) {
        const char *differs = look_differs(&whole.chain[i].streams[s], seen);
        fits |= differs ? 0 : 1u << i;
        why = differs ? differs : why;
    }
    if (fits)
        return fits;
    for (unsigned i = 0; i < whole.chain_len; i++)
        tell_difference(&whole.chain[i].streams[s], seen);
    whole_fail("after a fault %s: %s", ledger_names[s], why);
}

static unsigned choose(unsigned fits, bool is_early) {
    unsigned i = is_early ? 0 : whole.chain_len - 1;
    while (!(fits >> i & 1))
        i += is_early ? 1 : -1u;
    return i;
}

/* When messages go cannot be seen. */
static void settle_dues(unsigned s) {
    const LedgerStream *first = &whole.chain[0].streams[s],
                       *last = &whole.chain[whole.chain_len - 1].streams[s];
    const LedgerStream *now = &whole.now.streams[s];
    for (uint64_t seq = 1; seq <= now->last && seq <= first->last && seq <= last->last; seq++)
        if (now->msgs[seq].is_live && first->msgs[seq].time_ns == last->msgs[seq].time_ns &&
            first->msgs[seq].due_ns != last->msgs[seq].due_ns)
            op_touch_again(s, now->msgs[seq].subject);
}

void look_resolve(bool is_early) {
    unsigned fits[LEDGER_STREAMS], common = (1u << whole.chain_len) - 1;
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        fits[s] = is_copy(s) ? common : find_fits(s);
        common &= fits[s];
    }
    if (!whole.is_apart && !common)
        whole_fail("streams are at different steps of one operation");
    for (unsigned s = 0; s < LEDGER_STREAMS; s++)
        if (!is_copy(s))
            whole.now.streams[s] =
                whole.chain[choose(whole.is_apart ? fits[s] : common, is_early)].streams[s];
    for (unsigned s = 0; s < 2 && !is_early; s++)
        settle_dues(s);
    whole.chain_len = 0;
    whole.is_apart = false;
    for (unsigned w = 0; w < WATCHERS; w++)
        if (!whole.now.streams[w].exists)
            whole.watched[w] = 0;
        else if (whole.watched[w] > whole.now.streams[w].last)
            whole_fail("a watcher of %s saw %llu, which is gone", ledger_names[w],
                       (unsigned long long)whole.watched[w]);
}

/* ---- watchers ---- */

static void watch_one(unsigned w, const SimMsg *msg) {
    unsigned long long seq;
    const LedgerStream *stream = &whole.now.streams[w];
    if (sscanf(msg->reply, "$JS.ACK.%*[^.].%*[^.].%*u.%llu", &seq) != 1)
        return; /* a heartbeat */
    if (seq <= whole.watched[w])
        whole_fail("a watcher of %s saw %llu behind %llu", ledger_names[w], seq,
                   (unsigned long long)whole.watched[w]);
    for (uint64_t skipped = whole.watched[w] + 1; skipped < seq && skipped <= stream->last;
         skipped++)
        if (stream->msgs[skipped].is_live)
            whole_fail("a watcher of %s saw %llu and not %llu", ledger_names[w], seq,
                       (unsigned long long)skipped);
    if (seq <= stream->last && stream->msgs[seq].number != number_of(msg->payload))
        whole_fail("a watcher of %s saw other bytes of %llu", ledger_names[w], seq);
    whole.watched[w] = seq;
}

void look_watched(bool is_settled) {
    for (const SimMsg *msg; (msg = sim_next_watched());) {
        if (whole.now.streams[msg->watcher].exists)
            watch_one(msg->watcher, msg);
    }
    for (unsigned w = 0; is_settled && w < WATCHERS; w++)
        for (uint64_t seq = whole.watched[w] + 1; seq <= whole.now.streams[w].last; seq++)
            if (whole.now.streams[w].exists && whole.now.streams[w].msgs[seq].is_live)
                whole_fail("a watcher of %s does not see %llu", ledger_names[w],
                           (unsigned long long)seq);
}

/* ---- the stream that copies A ---- */

static bool has_origin(const Seen *seen, uint64_t from, uint64_t upto, uint64_t origin_seq) {
    for (uint64_t seq = from; seq <= upto; seq++)
        if (seen->msgs[seq].is_there && seen->msgs[seq].origin_seq == origin_seq)
            return true;
    return false;
}

void look_check_copy(bool is_settled) {
    const unsigned m = LEDGER_STREAMS - 1;
    const LedgerStream *origin = &whole.now.streams[0];
    bool is_mirror = whole.now.streams[m].kind == LEDGER_MIRROR;
    if (!whole.now.streams[m].exists)
        return;
    const Seen *seen = look_at(m);
    uint64_t before = 0;
    if (!seen)
        return;
    for (uint64_t seq = 1; seq <= seen->last; seq++) {
        const SeenMsg *msg = &seen->msgs[seq];
        uint64_t from = is_mirror ? seq : msg->origin_seq;
        if (!msg->is_there)
            continue;
        if (from <= before || from > origin->last)
            whole_fail("M has %llu of A behind %llu", (unsigned long long)from,
                       (unsigned long long)before);
        if (msg->number != origin->msgs[from].number)
            whole_fail("M has %llu of A with other bytes", (unsigned long long)from);
        before = from;
    }
    for (uint64_t seq = 1; is_settled && seq <= origin->last; seq++)
        if (origin->msgs[seq].is_live &&
            !(is_mirror ? seen->msgs[seq].is_there : has_origin(seen, 1, seen->last, seq)))
            whole_fail("M does not get %llu of A", (unsigned long long)seq);
}

/* ---- a part of a stream ---- */

static void check_pending(unsigned s, const char *pattern, uint64_t from) {
    const LedgerStream *stream = &whole.now.streams[s];
    char subject[64], body[256];
    uint64_t want = 0;
    for (uint64_t seq = from; seq <= stream->last; seq++)
        want += stream->msgs[seq].is_live && ledger_covers(pattern, stream->msgs[seq].subject);
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s", ledger_names[s]);
    (void)snprintf(body, sizeof body,
                   "{\"stream_name\":\"%s\",\"config\":{\"filter_subject\":\"%s.%s\",\"ack_"
                   "policy\":\"none\",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":"
                   "%llu,\"inactive_threshold\":1000000000,\"mem_storage\":true}}",
                   ledger_names[s], ledger_names[s], pattern, (unsigned long long)from);
    const SimMsg *msg = sim_ask(subject, "", body);
    const char *answer = msg ? msg->payload : NULL;
    if (has_succeeded(answer) && number_after(answer, "\"num_pending\":") != want)
        whole_fail("%s: of %s from %llu %llu are pending, not: %s", ledger_names[s], pattern,
                   (unsigned long long)from, (unsigned long long)want, answer);
}

static void check_last(unsigned s, unsigned subject) {
    char to[48], body[64];
    uint64_t first, last, n = ledger_count(&whole.now.streams[s], (int)subject, &first, &last);
    (void)snprintf(to, sizeof to, "$JS.API.DIRECT.GET.%s", ledger_names[s]);
    (void)snprintf(body, sizeof body, "{\"last_by_subj\":\"%s.%s\"}", ledger_names[s],
                   ledger_subjects[subject]);
    const SimMsg *msg = sim_ask(to, "", body);
    bool may_miss = whole.has_fault || disk_sim_is_stopped();
    if (!msg || (may_miss && !strstr(msg->headers, "Nats-Sequence: ")))
        return;
    uint64_t have = strtoull(header(msg->headers, "Nats-Sequence: "), NULL, 10);
    if (have != (n ? last : 0))
        whole_fail("%s: the last of %s is %llu, not %llu", ledger_names[s],
                   ledger_subjects[subject], (unsigned long long)last, (unsigned long long)have);
}

void look_ask_part(unsigned s) {
    static const char *const patterns[] = {">", "*", "a", "d.*", "*.x", "e", "nothing"};
    const LedgerStream *stream = &whole.now.streams[s];
    if (!stream->exists || is_copy(s))
        return;
    check_pending(s, patterns[pick(sizeof patterns / sizeof patterns[0])],
                  1 + pick((unsigned)stream->last + 1));
    check_last(s, pick(LEDGER_SUBJECTS));
}
