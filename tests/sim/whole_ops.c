/* Operations on streams, one entry each. */
#include <stdio.h>
#include <string.h>

#include "clock_sim.h"
#include "disk_sim.h"
#include "whole_sim.h"

enum {
    WINDOW_S = 125,
    FEW_SEQS = 70,
    FEW_MEMBERS = 5,
    MANY_MEMBERS = 40,
    IDLE_ENTRIES = 10,
    TICK_MS = 110
};

void op_push_chain(void) {
    if (whole.chain_len == CHAIN_MAX)
        whole_fail("the chain of the simulation itself is too short");
    whole.chain[whole.chain_len++] = whole.now;
}

bool op_judge(const char *answer) {
    whole.is_refused = answer && !has_succeeded(answer);
    op_push_chain();
    if (!has_succeeded(answer))
        whole_tell("-> %s\n", answer ? answer : "no answer");
    return has_succeeded(answer);
}

static bool is_set_back(void) {
    return clock_wall_ns() < whole.wall_max_ns;
}

/* ---- configs ---- */

static void draw_config(unsigned s, LedgerConfig *config) {
    config->is_compressed = whole.has_frames && pick(4);
    if (s >= 2)
        return;
    config->max_msgs = pick(3) ? 0 : 4 + pick(12);
    config->max_bytes = pick(4) ? 0 : 300 + pick(900);
    config->max_per_subject = pick(2) ? 0 : 1 + pick(4);
    config->max_age_s = pick(3) ? 0 : 150 + 50 * pick(2);
    config->is_new_per_subject = config->is_new && config->max_per_subject && pick(2);
}

static void write_config(unsigned s, char body[768]) {
    const LedgerStream *stream = &whole.now.streams[s];
    const LedgerConfig *config = &stream->config;
    (void)snprintf(
        body, 768,
        "{\"name\":\"%s\",\"subjects\":[\"%s.>\"],\"allow_direct\":true,\"allow_rollup_hdrs\":%s,"
        "\"allow_atomic\":%s,\"allow_batched\":%s,\"allow_msg_counter\":%s,\"allow_msg_ttl\":%s,"
        "\"subject_delete_marker_ttl\":%llu,\"max_msgs\":%d,\"max_bytes\":%d,\"max_msgs_per_"
        "subject\":%d,\"max_age\":%llu,\"discard\":\"%s\",\"discard_new_per_subject\":%s,"
        "\"duplicate_window\":%llu,\"first_seq\":%u,\"compression\":\"%s\"}",
        ledger_names[s], ledger_names[s], s < 2 ? "true" : "false", s < 2 ? "true" : "false",
        s < 2 ? "true" : "false", s == 2 ? "true" : "false", config->has_ttl ? "true" : "false",
        config->marker_ttl_s * 1000000000ull, config->max_msgs ? (int)config->max_msgs : -1,
        config->max_bytes ? (int)config->max_bytes : -1,
        config->max_per_subject ? (int)config->max_per_subject : -1,
        config->max_age_s * 1000000000ull, config->is_new ? "new" : "old",
        config->is_new_per_subject ? "true" : "false", WINDOW_S * 1000000000ull, config->first_seq,
        config->is_compressed ? "s2" : "none");
}

static bool op_create(unsigned s) {
    char body[768];
    LedgerStream *stream = &whole.now.streams[s];
    *stream = (LedgerStream){.exists = true, .kind = s == 2 ? LEDGER_COUNTER : LEDGER_PLAIN};
    memset(whole.sent[s], 0, sizeof whole.sent[s]);
    stream->config.is_new = s < 2 && pick(4) == 0;
    stream->config.has_ttl = s < 2 && pick(2);
    stream->config.marker_ttl_s =
        stream->config.has_ttl && !whole.is_clock_moving && pick(2) ? 30 + 20 * pick(2) : 0;
    draw_config(s, &stream->config);
    if (s < 2 && pick(2)) { /* so that it soon has a whole page for an index run */
        stream->config.first_seq = 180 + pick(70);
        stream->last = stream->config.first_seq - 1;
    }
    write_config(s, body);
    whole_tell("create %s\n", body);
    return op_judge(ask("STREAM.CREATE", s, body));
}

static bool op_create_copy(void) {
    const unsigned m = LEDGER_STREAMS - 1;
    whole.now.streams[m] =
        (LedgerStream){.exists = true, .kind = pick(2) ? LEDGER_MIRROR : LEDGER_SOURCED};
    whole_tell("create M\n");
    char body[256];
    bool is_mirror = whole.now.streams[m].kind == LEDGER_MIRROR;
    (void)snprintf(body, sizeof body,
                   "{\"name\":\"M\",\"allow_direct\":true,\"compression\":\"%s\",%s}",
                   whole.has_frames ? "s2" : "none",
                   is_mirror ? "\"mirror\":{\"name\":\"A\"}" : "\"sources\":[{\"name\":\"A\"}]");
    return op_judge(ask("STREAM.CREATE", m, body));
}

void op_create_streams(void) {
    memset(&whole.now, 0, sizeof whole.now);
    for (unsigned s = 0; s < LEDGER_STREAMS; s++)
        if (!(s == LEDGER_STREAMS - 1 ? pick(2) || op_create_copy() : op_create(s)))
            whole_fail("stream %s is not created", ledger_names[s]);
    whole.chain_len = 0;
}

/* Consumers that lose nothing: from behind what was seen. */
void op_watch(unsigned first, unsigned count) {
    for (unsigned w = first; w < first + count && w < WATCHERS; w++) {
        char subject[64], body[256];
        if (!whole.now.streams[w].exists)
            continue;
        (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s", ledger_names[w]);
        (void)snprintf(body, sizeof body,
                       "{\"stream_name\":\"%s\",\"config\":{\"deliver_subject\":\"_INBOX.w%u\","
                       "\"ack_policy\":\"none\",\"deliver_policy\":\"by_start_sequence\",\"opt_"
                       "start_seq\":%llu,\"mem_storage\":true}}",
                       ledger_names[w], w, (unsigned long long)whole.watched[w] + 1);
        const SimMsg *msg = sim_ask(subject, "", body);
        if (!has_succeeded(msg ? msg->payload : NULL) && !disk_sim_is_stopped() && !whole.has_fault)
            whole_fail("no watcher of %s: %s", ledger_names[w], msg ? msg->payload : "no answer");
    }
}

static bool op_update(unsigned s) {
    char body[768];
    LedgerStream *stream = &whole.now.streams[s];
    if (s >= 2 || is_set_back())
        return true;
    draw_config(s, &stream->config);
    write_config(s, body);
    whole_tell("update %s\n", body);
    if (!stream->config.marker_ttl_s)
        ledger_expire(stream, s, clock_wall_ns());
    ledger_trim(stream);
    const char *answer = ask("STREAM.UPDATE", s, body);
    bool is_done = has_succeeded(answer);
    whole_tell("-> %s\n", is_done ? "done" : answer ? answer : "no answer");
    whole.is_owed = !is_done;
    if (stream->config.marker_ttl_s) { /* a timer's work, or that of a start */
        op_push_chain();
        if (is_done)
            clock_sim_move(TICK_MS * (uint64_t)NS_PER_MS);
        ledger_expire(stream, s, clock_wall_ns());
        sim_run();
    }
    op_push_chain();
    return is_done && !disk_sim_is_stopped();
}

static bool op_delete_stream(unsigned s) {
    if (s == 0)
        return true; /* M has it */
    look_watched(false);
    whole_tell("delete stream %s\n", ledger_names[s]);
    whole.now.streams[s] = (LedgerStream){0};
    return op_judge(ask("STREAM.DELETE", s, ""));
}

/* ---- publishing ---- */

static void draw_payload(LedgerPub *pub) {
    static const char dots[] =
        "............................................................................"
        "............................................................................";
    size_t len = pick(pick(4) ? 10 : 150);
    if (whole.has_chunks && pick(3) == 0) {
        pub->number = 1 + pick(SAME_NUMBERS);
        len = SIM_CHUNK_BYTES_MIN;
    }
    (void)snprintf(pub->payload, sizeof pub->payload, "%u %.*s", pub->number, (int)len, dots);
}

void draw_plain(unsigned s, LedgerPub *pub) {
    const LedgerStream *stream = &whole.now.streams[s];
    *pub = (LedgerPub){
        .subject = (uint8_t)pick(LEDGER_SUBJECTS), .number = ++whole.number_last, .id = LEDGER_IDS};
    if (stream->kind == LEDGER_COUNTER) {
        pub->increment = 1 + (int)pick(9);
        (void)snprintf(pub->headers, sizeof pub->headers, "Nats-Incr: %d\r\n", pub->increment);
        return;
    }
    draw_payload(pub);
    if (pub->number < NUMBERS_MAX)
        whole.sent[s][pub->number] |= (uint8_t)(1u << pub->subject);
    if (stream->config.has_ttl && pick(3) == 0) {
        pub->ttl_s = 20 * (1 + pick(2));
        (void)snprintf(pub->headers, sizeof pub->headers, "Nats-TTL: %u\r\n", pub->ttl_s);
        if (pub->ttl_s < stream->config.marker_ttl_s && stream->config.max_per_subject != 1)
            pub->ttl_s = stream->config.marker_ttl_s;
    } else if (stream->config.has_ttl && pick(8) == 0) {
        pub->is_never = true;
        (void)snprintf(pub->headers, sizeof pub->headers, "Nats-TTL: never\r\n");
    }
}

void draw_pub(unsigned s, LedgerPub *pub) {
    draw_plain(s, pub);
    char *end = pub->headers + strlen(pub->headers);
    size_t room = sizeof pub->headers - strlen(pub->headers);
    if (whole.now.streams[s].kind == LEDGER_COUNTER)
        return;
    switch (pick(10)) {
    case 0:
    case 1:
        pub->id = pick(LEDGER_IDS);
        (void)snprintf(end, room, "Nats-Msg-Id: id%u\r\n", pub->id);
        break;
    case 2:
        pub->rollup = pick(3) ? 's' : 'a';
        (void)snprintf(end, room, "Nats-Rollup: %s\r\n", pub->rollup == 's' ? "sub" : "all");
        break;
    case 3:
        pub->is_purge = true;
        pub->rollup = 's';
        (void)snprintf(end, room, "KV-Operation: PURGE\r\nNats-Rollup: sub\r\n");
        break;
    default:
        break;
    }
}

/* The time that the message gets is known unless the clock was set back. */
static void store(unsigned s, const LedgerPub *pub) {
    LedgerStream *stream = &whole.now.streams[s];
    ledger_store(stream, s, pub, clock_wall_ns());
    stream->msgs[stream->last].is_guessed = is_set_back();
}

/* Adds a condition; true: it holds. */
static bool add_condition(const LedgerStream *stream, LedgerPub *pub) {
    uint64_t first, last;
    size_t len = strlen(pub->headers);
    bool is_wrong = pick(3) == 0, is_of_subject = pick(2);
    (void)ledger_count(stream, pub->subject, &first, &last);
    if (!is_of_subject)
        last = stream->last;
    (void)snprintf(pub->headers + len, sizeof pub->headers - len, "Nats-Expected-Last-%s: %llu\r\n",
                   is_of_subject ? "Subject-Sequence" : "Sequence",
                   (unsigned long long)(is_wrong ? last + 1 : last));
    return !is_wrong;
}

static bool is_duplicate(const LedgerStream *stream, const LedgerPub *pub) {
    return pub->id < LEDGER_IDS && stream->ids[pub->id].seq &&
           stream->ids[pub->id].time_ns >= clock_wall_ns() - WINDOW_S * (int64_t)NS_PER_S;
}

/* Ids are forgotten by the times of entries, which are not set back with the clock. */
static bool may_be_forgotten(const LedgerStream *stream, const LedgerPub *pub) {
    return stream->ids[pub->id].time_ns < whole.wall_max_ns - WINDOW_S * (int64_t)NS_PER_S;
}

static bool op_publish(unsigned s) {
    char subject[32];
    LedgerPub pub;
    LedgerStream *stream = &whole.now.streams[s];
    draw_pub(s, &pub);
    bool is_met = pick(5) || stream->kind == LEDGER_COUNTER || add_condition(stream, &pub);
    bool is_known = is_duplicate(stream, &pub);
    (void)snprintf(subject, sizeof subject, "%s.%s", ledger_names[s], ledger_subjects[pub.subject]);
    whole_tell("publish %s %u %s%s", subject, pub.number, pub.headers, pub.headers[0] ? "" : "\n");
    const SimMsg *msg = sim_ask(subject, pub.headers, pub.payload);
    const char *answer = msg ? msg->payload : NULL;
    bool is_good = has_succeeded(answer);
    bool is_said_known = is_good && strstr(answer, "\"duplicate\"");
    if (is_met && pub.id < LEDGER_IDS && whole.is_clock_moving && is_good)
        is_known = is_said_known;
    /* One that is known would not be refused for want of room. */
    if (is_known && answer && strstr(answer, "maximum") && may_be_forgotten(stream, &pub))
        is_known = false;
    if (!is_met || (!is_known && ledger_is_full_for(stream, s, &pub))) {
        if (is_good)
            whole_fail("stored in spite of its conditions: %s", answer);
        op_push_chain();
        return answer && (strstr(answer, "10071") || strstr(answer, "maximum"));
    }
    if (is_good && is_known != is_said_known)
        whole_fail("%s duplicate: %s", is_known ? "no" : "a", answer);
    if (is_known && is_good && number_after(answer, "\"seq\":") != stream->ids[pub.id].seq)
        whole_fail("a duplicate of another message: %s", answer);
    if (!is_known)
        store(s, &pub);
    if (!is_known && is_good && number_after(answer, "\"seq\":") != stream->last)
        whole_fail("%s: sequence %llu, but: %s", ledger_names[s], (unsigned long long)stream->last,
                   answer);
    return op_judge(answer);
}

/* ---- removing ---- */

static bool op_delete(unsigned s) {
    char body[64];
    LedgerStream *stream = &whole.now.streams[s];
    uint64_t seq = stream->last ? 1 + pick((unsigned)stream->last) : 0;
    if (!seq || !stream->msgs[seq].is_live || stream->kind == LEDGER_COUNTER)
        return true;
    (void)snprintf(body, sizeof body, "{\"seq\":%llu,\"no_erase\":%s}", (unsigned long long)seq,
                   pick(2) ? "true" : "false");
    whole_tell("delete %s %s\n", ledger_names[s], body);
    ledger_drop(stream, seq);
    return op_judge(ask("STREAM.MSG.DELETE", s, body));
}

/* Which messages a purge takes: below a sequence, or all but the newest. */
static uint64_t purge(LedgerStream *stream, const char *filter, uint64_t below, uint64_t keep) {
    uint64_t matching = 0, purged = 0;
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        matching += stream->msgs[seq].is_live && (!below || seq < below) &&
                    (!filter || ledger_covers(filter, stream->msgs[seq].subject));
    for (uint64_t seq = 1; seq <= stream->last && purged + keep < matching; seq++)
        if (stream->msgs[seq].is_live && (!below || seq < below) &&
            (!filter || ledger_covers(filter, stream->msgs[seq].subject))) {
            ledger_drop(stream, seq);
            purged++;
        }
    if (!filter && below > stream->last + 1)
        stream->last = below - 1;
    return purged;
}

static bool op_purge(unsigned s) {
    static const char *const filters[] = {"a", "d.*", "*", "e"};
    char body[128] = "{", filter_text[64] = "";
    LedgerStream *stream = &whole.now.streams[s];
    const char *filter = pick(2) ? filters[pick(4)] : NULL;
    uint64_t below = 0, keep = 0;
    if (stream->kind == LEDGER_COUNTER)
        return true;
    if (pick(3) == 0)
        keep = 1 + pick(4);
    else if (pick(2))
        below = 1 + pick((unsigned)stream->last + 3);
    if (filter)
        (void)snprintf(filter_text, sizeof filter_text, "\"filter\":\"%s.%s\",", ledger_names[s],
                       filter);
    (void)snprintf(body, sizeof body, "{%s\"%s\":%llu}", filter_text, keep ? "keep" : "seq",
                   (unsigned long long)(keep ? keep : below));
    whole_tell("purge %s %s\n", ledger_names[s], body);
    uint64_t n = purge(stream, filter, below, keep);
    const char *answer = ask("STREAM.PURGE", s, body);
    if (has_succeeded(answer) && number_after(answer, "\"purged\":") != n)
        whole_fail("purged %s, not %llu", answer, (unsigned long long)n);
    return op_judge(answer);
}

/* Entries that keep nothing in the log, and one among them that matters. */
static bool op_idle(unsigned s) {
    char body[64];
    (void)snprintf(body, sizeof body, "{\"filter\":\"%s.nothing\"}", ledger_names[s]);
    whole_tell("idle %s\n", ledger_names[s]);
    unsigned at = pick(IDLE_ENTRIES);
    for (unsigned i = 0; i < IDLE_ENTRIES; i++) {
        if (i == at && !op_delete(s))
            return false;
        if (!has_succeeded(ask("STREAM.PURGE", s, body))) {
            whole.is_refused = false;
            return false;
        }
    }
    return true;
}

/* ---- time ---- */

static bool op_touch(unsigned s) {
    char body[96];
    LedgerStream *stream = &whole.now.streams[s];
    unsigned subject = pick(LEDGER_SUBJECTS), ttl_s = pick(4) ? 40 : 0;
    uint64_t first, last;
    if (!stream->config.has_ttl || is_set_back() ||
        !ledger_count(stream, (int)subject, &first, &last) || stream->msgs[last].is_without_marker)
        return true;
    LedgerMsg *msg = &stream->msgs[last];
    if (msg->is_never && stream->config.max_age_s) /* it may be too old at once */
        return true;
    (void)snprintf(body, sizeof body, "{\"subject\":\"%s.%s\",\"ttl\":\"%s\"}", ledger_names[s],
                   ledger_subjects[subject], ttl_s ? "40s" : "never");
    whole_tell("touch %s\n", body);
    msg->is_never = !ttl_s;
    msg->due_ns = ttl_s ? clock_wall_ns() + ttl_s * (int64_t)NS_PER_S : INT64_MAX;
    return op_judge(ask("HW.TOUCH", s, body));
}

void op_touch_again(unsigned s, unsigned subject) {
    char body[96];
    LedgerStream *stream = &whole.now.streams[s];
    uint64_t first, last;
    (void)ledger_count(stream, (int)subject, &first, &last);
    (void)snprintf(body, sizeof body, "{\"subject\":\"%s.%s\",\"ttl\":\"never\"}", ledger_names[s],
                   ledger_subjects[subject]);
    whole_tell("touch again %s\n", body);
    stream->msgs[last].is_never = true;
    stream->msgs[last].due_ns = INT64_MAX;
    const char *answer = ask("HW.TOUCH", s, body);
    if (!has_succeeded(answer))
        whole_fail("%s: not touched: %s", ledger_names[s], answer ? answer : "no answer");
}

/* What was due before the clock was set back may be gone or not. */
static void expire(unsigned s) {
    LedgerStream *stream = &whole.now.streams[s];
    int64_t now_ns = clock_wall_ns();
    if (!stream->exists || stream->kind >= LEDGER_MIRROR)
        return;
    ledger_expire(stream, s, now_ns);
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        stream->msgs[seq].is_maybe =
            stream->msgs[seq].is_live && ledger_due_ns(stream, seq) <= whole.wall_max_ns;
}

bool op_wait(int64_t ns) {
    look_learn();
    whole.chain[0] = whole.now;
    clock_sim_move((uint64_t)ns);
    if (clock_wall_ns() > whole.wall_max_ns)
        whole.wall_max_ns = clock_wall_ns();
    for (unsigned s = 0; s < LEDGER_STREAMS; s++) {
        expire(s);
        op_push_chain();
    }
    whole.is_apart = true;
    sim_run();
    clock_sim_move(TICK_MS * (uint64_t)NS_PER_MS);
    sim_run();
    return !disk_sim_is_stopped() && !sim_is_failed();
}

/* Times to live are in multiples of ten seconds, and so are jumps: what is between takes less than
 * that in all, so that nothing becomes due but by a jump. */
static bool op_jump(void) {
    static const unsigned seconds[] = {10, 20, 50, 130};
    int64_t by_ns = seconds[pick(4)] * (int64_t)NS_PER_S;
    if (whole.has_fault) /* markers are made when there is room again */
        return true;
    if (whole.is_clock_moving && pick(3) == 0) {
        clock_sim_set_wall(-by_ns);
        whole_tell("clock back to %lld\n", (long long)clock_wall_ns());
        return true;
    }
    whole_tell("clock to %lld\n", (long long)(clock_wall_ns() + by_ns));
    return op_wait(by_ns);
}

/* ---- any ---- */

static bool op_some(unsigned s) {
    unsigned what = pick(40);
    if (!whole.now.streams[s].exists)
        return op_create(s);
    if (whole.now.streams[s].last > LEDGER_SEQS - FEW_SEQS)
        return op_delete_stream(s);
    if (what < 16)
        return op_publish(s);
    switch (what) {
    case 16:
    case 17:
        return op_delete(s);
    case 18:
        return op_purge(s);
    case 19:
        return op_update(s);
    case 20:
        return pick(3) || op_delete_stream(s);
    case 21:
    case 22:
        return op_touch(s);
    case 23:
    case 24:
        return op_jump();
    case 25:
    case 26:
    case 27:
    case 28:
        return s == 2 || op_atomic(s, 1 + pick(FEW_MEMBERS));
    case 34: /* more than a checkpoint holds itself */
        return s == 2 || op_atomic(s, MANY_MEMBERS / 2 + pick(MANY_MEMBERS / 2));
    case 35:
        return op_idle(s);
    case 29:
    case 30:
        return s == 2 || op_fast(s);
    case 31:
    case 32:
        return op_transaction();
    case 33:
        look_ask_part(s);
        return true;
    default:
        return op_burst();
    }
}

void op_begin(void) {
    whole.chain_len = 0;
    whole.is_apart = whole.is_refused = whole.is_owed = false;
    op_push_chain();
}

bool op_any(void) {
    unsigned s = pick(3);
    clock_sim_move(NS_PER_MS);
    if (clock_wall_ns() > whole.wall_max_ns)
        whole.wall_max_ns = clock_wall_ns();
    op_begin();
    bool is_new = !whole.now.streams[s].exists, is_done = op_some(s);
    for (unsigned w = 0; is_done && w < WATCHERS; w++)
        if (!whole.now.streams[w].exists)
            whole.watched[w] = 0;
    if (is_done && is_new && whole.now.streams[s].exists)
        op_watch(s, 1);
    return is_done;
}
