/* Operations of several messages. */
#include <stdio.h>
#include <string.h>

#include "clock_sim.h"
#include "disk_sim.h"
#include "whole_sim.h"

enum { MEMBERS_MAX = 5 };

static void subject_text(unsigned s, const LedgerPub *pub, char to[32]) {
    (void)snprintf(to, 32, "%s.%s", ledger_names[s], ledger_subjects[pub->subject]);
}

static void store(unsigned s, const LedgerPub *pub) {
    LedgerStream *stream = &whole.now.streams[s];
    ledger_store(stream, s, pub, clock_wall_ns());
    stream->msgs[stream->last].is_guessed = clock_wall_ns() < whole.wall_max_ns;
}

/* ---- several publishes at once, to any streams ---- */

typedef struct Burst {
    unsigned stream;
    LedgerPub pub;
    bool is_out_of_room; /* it is not stored, though what is behind it may be */
} Burst;

static bool tell_one(Burst *one, unsigned inbox) {
    char subject[32], reply[32];
    const LedgerPub *pub = &one->pub;
    *one = (Burst){.stream = pick(3)};
    if (!whole.now.streams[one->stream].exists)
        return false;
    draw_plain(one->stream, &one->pub);
    subject_text(one->stream, pub, subject);
    (void)snprintf(reply, sizeof reply, "_INBOX.r.%u", inbox);
    whole_tell(" %s %u%s", subject, pub->number,
               pub->is_never      ? " never"
               : pub->ttl_s == 20 ? " 20s"
               : pub->ttl_s       ? " 40s"
                                  : "");
    sim_tell(subject, reply, pub->headers, pub->payload);
    return true;
}

bool op_burst(void) {
    Burst burst[WHOLE_BURST_MAX];
    unsigned n = 2 + pick(WHOLE_BURST_MAX - 1), asked = 0, confirmed = 0;
    sim_forget();
    whole.is_apart = true;
    whole_tell("burst");
    while (n--)
        asked += tell_one(&burst[asked], asked);
    whole_tell("\n");
    sim_run_some();
    if (whole.has_chunks) /* what they are compared with may have to be read */
        sim_run();
    for (const SimMsg *msg; (msg = sim_next());) {
        confirmed += has_succeeded(msg->payload) || strstr(msg->payload, "maximum");
        if (msg->inbox && strstr(msg->payload, "insufficient storage"))
            burst[msg->inbox - 1].is_out_of_room = true;
    }
    for (const Burst *one = burst; one < burst + asked; one++) {
        if (one->is_out_of_room)
            whole_tell("-> no room for %u\n", one->pub.number);
        else if (!ledger_is_full_for(&whole.now.streams[one->stream], one->stream, &one->pub))
            store(one->stream, &one->pub);
        op_push_chain();
    }
    return confirmed == asked;
}

/* ---- atomic batches ---- */

static void add_member_headers(LedgerPub *pub, unsigned i, bool is_last) {
    size_t len = strlen(pub->headers);
    (void)snprintf(pub->headers + len, sizeof pub->headers - len,
                   "Nats-Batch-Id: b%llu\r\nNats-Batch-Sequence: %u\r\n%s",
                   (unsigned long long)whole.epoch, i + 1,
                   is_last ? "Nats-Batch-Commit: 1\r\n" : "");
}

bool op_atomic(unsigned s, unsigned n) {
    LedgerStream *stream = &whole.now.streams[s];
    unsigned wrong = pick(5) ? n : pick(n);
    bool is_left = pick(6) == 0;
    const char *answer = NULL;
    whole.epoch++;
    whole_tell("batch %s%s%s", ledger_names[s], wrong < n ? " wrong" : "", is_left ? " left" : "");
    for (unsigned i = 0; i < n; i++) {
        char subject[32];
        LedgerPub pub;
        bool is_last = i + 1 == n && !is_left;
        draw_plain(s, &pub);
        if (i == wrong)
            (void)snprintf(pub.headers + strlen(pub.headers), 64,
                           "Nats-Expected-Last-Subject-Sequence: %u\r\n", LEDGER_SEQS);
        add_member_headers(&pub, i, is_last);
        subject_text(s, &pub, subject);
        whole_tell(" %s %u%s", subject, pub.number,
                   pub.is_never      ? " never"
                   : pub.ttl_s == 20 ? " 20s"
                   : pub.ttl_s       ? " 40s"
                                     : "");
        if (is_last) {
            const SimMsg *msg = sim_ask(subject, pub.headers, pub.payload);
            answer = msg ? msg->payload : NULL;
        } else {
            sim_tell(subject, "", pub.headers, pub.payload);
        }
        if (!is_left && wrong == n)
            store(s, &pub);
    }
    whole_tell(" -> %s\n", answer ? answer : "");
    if (is_left)
        sim_run_some();
    if (wrong < n && has_succeeded(answer))
        whole_fail("a batch with a wrong member was stored: %s", answer);
    if (is_left || wrong < n || (answer && strstr(answer, "maximum") && stream->config.is_new)) {
        whole.now = whole.chain[0];
        return is_left || answer;
    }
    if (has_succeeded(answer) && number_after(answer, "\"seq\":") != stream->last)
        whole_fail("%s: batch up to %llu, but: %s", ledger_names[s],
                   (unsigned long long)stream->last, answer);
    return op_judge(answer);
}

/* ---- fast batches ---- */

bool op_fast(unsigned s) {
    unsigned n = 1 + pick(MEMBERS_MAX);
    bool is_done = false, is_refused = false;
    whole.epoch++;
    sim_forget();
    whole_tell("fast %s", ledger_names[s]);
    for (unsigned i = 0; i < n; i++) {
        char subject[32], reply[64];
        LedgerPub pub;
        draw_plain(s, &pub);
        subject_text(s, &pub, subject);
        whole_tell(" %s %u%s", subject, pub.number,
                   pub.is_never      ? " never"
                   : pub.ttl_s == 20 ? " 20s"
                   : pub.ttl_s       ? " 40s"
                                     : "");
        (void)snprintf(reply, sizeof reply, "_INBOX.f.f%llu.3.ok.%u.%u.$FI",
                       (unsigned long long)whole.epoch, i + 1,
                       i + 1 == n ? 2
                       : i        ? 1
                                  : 0);
        sim_tell(subject, reply, pub.headers, pub.payload);
        if (!ledger_is_full_for(&whole.now.streams[s], s, &pub))
            store(s, &pub);
        op_push_chain();
    }
    sim_run_some();
    whole_tell("\n");
    for (const SimMsg *msg; (msg = sim_next());) {
        whole_tell("  %s\n", msg->payload);
        is_done |= strstr(msg->payload, "\"batch\":") && strstr(msg->payload, "\"count\":");
        is_done |= strstr(msg->payload, "maximum") != NULL;
        is_refused |= strstr(msg->payload, "\"error\"") && !strstr(msg->payload, "maximum");
    }
    return is_done && !is_refused;
}

/* ---- transactions over A and B ---- */

bool op_transaction(void) {
    char body[2048] = "{\"ops\":[";
    unsigned n = 2 + pick(MEMBERS_MAX - 1);
    bool is_wrong = pick(4) == 0, is_new = false;
    for (unsigned s = 0; s < 2; s++)
        if (!whole.now.streams[s].exists)
            return true;
    for (unsigned i = 0; i < n; i++) {
        LedgerPub pub;
        unsigned s = i < 2 ? i : pick(2);
        char expected[48] = "";
        size_t len = strlen(body);
        draw_plain(s, &pub);
        pub.ttl_s = 0, pub.is_never = false;
        pub.headers[0] = 0;
        is_new |= whole.now.streams[s].config.is_new;
        if (is_wrong && i + 1 == n)
            (void)snprintf(expected, sizeof expected, ",\"expected_seq\":%u", LEDGER_SEQS);
        (void)snprintf(body + len, sizeof body - len,
                       "%s{\"stream\":\"%s\",\"subject\":\"%s.%s\",\"text\":\"%s\"%s}",
                       i ? "," : "", ledger_names[s], ledger_names[s], ledger_subjects[pub.subject],
                       pub.payload, expected);
        store(s, &pub);
    }
    (void)snprintf(body + strlen(body), 4, "]}");
    whole_tell("transaction %s\n", body);
    const SimMsg *msg = sim_ask("$JS.API.HW.TXN", "", body);
    const char *answer = msg ? msg->payload : NULL;
    if (is_wrong && has_succeeded(answer))
        whole_fail("a transaction with a wrong part was stored: %s", answer);
    if (is_wrong || (is_new && answer && strstr(answer, "maximum"))) {
        whole.now = whole.chain[0];
        return answer;
    }
    return op_judge(answer);
}
