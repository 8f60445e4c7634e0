#include "jetstream_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"
#include "io/clock.h"
#include "offload_sim.h"
#include "random_sim.h"
#include "store/log.h"
#include "stream/jetstream.h"

enum { WORKERS_MAX = 4, TURNS_QUIET = 4, TURNS_MAX = 4000, ASKS = 4 };

typedef VEC(SimMsg) SimMsgs;

static struct {
    Worker **all;
    JournalStore *store;
    JetStreamOptions options;
    bool enabled[1];
    Port port;
    SimMsgs got, watched;
    Sub *watchers[SIM_WATCHERS], *binds[SIM_BINDS_MAX];
    size_t seen, seen_watched;
    unsigned workers;
    unsigned job_one_in; /* turns */
    bool is_open;
    Offload *offload;
    Rand rand;
    uint64_t seed; /* of the workers' own; another one at each start */
    CipherOptions cipher;
} sim;

static void on_message(Port *port, Sub *sub, const Message *message) {
    (void)port;
    SimMsgs *to = &sim.got;
    unsigned watcher = 0;
    for (unsigned i = 0; i < SIM_WATCHERS; i++)
        if (sub == sim.watchers[i]) {
            to = &sim.watched;
            watcher = i;
        }
    vec_push(to, ((SimMsg){
                     .subject = slice_to_text(message->subject),
                     .reply = slice_to_text(message->reply),
                     .headers = slice_to_text(message->headers),
                     .payload = slice_to_text(message->payload),
                     .watcher = watcher,
                     .inbox = sub->cookie,
                 }));
}

static const PortOps port_ops = {.kind = PORT_CLIENT, .deliver = on_message};

static void forget(SimMsgs *msgs) {
    for (size_t i = 0; i < msgs->len; i++) {
        mem_free(msgs->at[i].subject);
        mem_free(msgs->at[i].reply);
        mem_free(msgs->at[i].headers);
        mem_free(msgs->at[i].payload);
    }
    msgs->len = 0;
}

void sim_seed(uint64_t seed) {
    static const unsigned one_in[] = {1, 4, 64};
    rand_init(&sim.rand, seed);
    sim.seed = seed << 32;
    random_sim_reset(seed);
    sim.job_one_in = one_in[rand_below(&sim.rand, 3)];
    /* Every fifth is encrypted. */
    sim.cipher = seed % 5 == 3
                     ? (CipherOptions){seed % 2 ? CIPHER_AES : CIPHER_CHACHA, LIT("key"), {0}}
                     : (CipherOptions){0};
}

static void close_workers(void) {
    for (unsigned i = 0; i < sim.workers; i++)
        bus_free(sim.all[i]->bus);
    workers_free(sim.all);
}

static void subscribe(const SimOptions *options) {
    static const Slice advisories[] = {LIT("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"),
                                       LIT("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.>")};
    static const Slice inboxes[] = {LIT("_INBOX.x"), LIT("_INBOX.p"), LIT("_INBOX.f.>")};
    static const Slice watched[SIM_WATCHERS] = {LIT("_INBOX.w0"), LIT("_INBOX.w1")};
    Account *account = bus_account(sim.all[0]->bus, 0);
    for (size_t i = 0; i < sizeof inboxes / sizeof inboxes[0]; i++)
        (void)sub_add(account, &sim.port, inboxes[i], (Slice){0}, (Slice){0}, false);
    for (size_t i = 0; options->has_advisories && i < sizeof advisories / sizeof advisories[0]; i++)
        (void)sub_add(account, &sim.port, advisories[i], (Slice){0}, (Slice){0}, false);
    for (uint16_t i = 0; i < options->inboxes; i++) {
        char inbox[24];
        (void)snprintf(inbox, sizeof inbox, "_INBOX.r.%u", i);
        Sub *sub = sub_add(account, &sim.port, slice_of_text(inbox), (Slice){0}, (Slice){0}, false);
        sub->cookie = (uint16_t)(i + 1);
    }
    for (size_t i = 0; i < SIM_WATCHERS; i++)
        sim.watchers[i] = sub_add(account, &sim.port, watched[i], (Slice){0}, (Slice){0}, false);
}

uint64_t sim_moved(void) {
    JournalSpace space;
    journal_store_space(sim.store, &space);
    return space.moved_records;
}

uint64_t sim_framed(void) {
    JournalSpace space;
    if (!sim.is_open)
        return 0;
    journal_store_space(sim.store, &space);
    return space.frame_bytes;
}

bool sim_open(const SimOptions *options) {
    static const Slice names[] = {LIT("$G")};
    static JetStreamAccountLimits limits = {-1, -1, -1, -1, -1, -1, -1, false};

    sim.enabled[0] = true;
    sim.workers = options->workers ? options->workers : 2;
    if (sim.job_one_in == 0)
        sim.job_one_in = 1;
    if (sim.workers > WORKERS_MAX || offload_start(1, &sim.offload) != OK)
        abort();
    sim.options = (JetStreamOptions){
        .is_enabled = true,
        .is_stepped = true,
        .store_dir = "/sim",
        .segment_bytes = options->segment_bytes ? options->segment_bytes : 64 * 1024,
        .checkpoint_bytes = options->checkpoint_bytes ? options->checkpoint_bytes : 128 * 1024,
        .cipher = sim.cipher,
        .chunk_bytes_min = options->chunk_bytes_min,
        .is_forgetting_chunks = options->is_forgetting_chunks,
        .is_sieve_blind = options->is_sieve_blind,
        .clean_ns = options->clean_ns ? options->clean_ns : NS_PER_MS,
        .offload = sim.offload,
        .max_memory = -1,
        .max_file = -1,
        .server_name = LIT("srv"),
        .server_id = LIT("ID"),
        .version = LIT("2.15.1"),
        .limits = {.max_stream_bytes = -1, .is_strict = true},
        .max_consumers_default = -1,
        .account_is_enabled = sim.enabled,
        .account_limits = &limits,
    };
    if (workers_new(sim.workers, &sim.all) != OK)
        abort();
    for (unsigned i = 0; i < sim.workers; i++)
        (void)bus_new(sim.all[i], names, 1);
    for (unsigned i = 0; i < sim.workers; i++)
        rand_init(&sim.all[i]->rand, ++sim.seed);
    sim.store = NULL;
    if (jetstream_open(&sim.options, sim.all, &sim.store) != OK) {
        offload_stop(sim.offload);
        close_workers();
        return false;
    }
    sim.is_open = true;
    sim.port = (Port){.ops = &port_ops, .home = sim.all[0]};
    subscribe(options);
    sim_run();
    return true;
}

void sim_close(void) {
    if (!sim.is_open)
        return;
    sim.is_open = false;
    memset(sim.binds, 0, sizeof sim.binds); /* they go with the bus */
    offload_stop(sim.offload);              /* what the jobs found is not looked at any more */
    jetstream_close(sim.all, sim.store);
    close_workers();
    sim_forget();
    forget(&sim.watched);
    sim.seen_watched = 0;
    vec_done(&sim.got);
    vec_done(&sim.watched);
}

bool sim_is_failed(void) {
    return log_is_failed(journal_log(sim.all[0]->journal));
}

static void run(bool is_to_the_end) {
    Log *log = journal_log(sim.all[0]->journal);
    for (unsigned turn = 0, quiet = 0; turn < TURNS_MAX && quiet < TURNS_QUIET; turn++) {
        size_t before = sim.got.len + sim.watched.len;
        Place head = log_head(log);
        for (unsigned i = 0; i < sim.workers; i++)
            worker_turn(sim.all[i], false);
        log_commit_now(log);
        bool is_due =
            quiet + 1 == TURNS_QUIET ? is_to_the_end : !rand_below(&sim.rand, sim.job_one_in);
        bool has_run = is_due && offload_sim_run(sim.offload);
        quiet = sim.got.len + sim.watched.len == before && log_head(log) == head && !has_run
                    ? quiet + 1
                    : 0;
    }
}

void sim_run(void) {
    run(true);
}

void sim_run_some(void) {
    run(false);
}

void sim_tell(const char *subject, const char *reply, const char *headers, const char *payload) {
    Buf block = {0};
    if (headers[0])
        buf_printf(&block, "NATS/1.0\r\n%s\r\n", headers);
    Message message = {.subject = slice_of_text(subject),
                       .reply = slice_of_text(reply),
                       .headers = buf_slice(&block),
                       .payload = slice_of_text(payload)};
    (void)bus_publish(bus_account(sim.all[0]->bus, 0), message.subject, &message, &sim.port, 0);
    buf_done(&block);
}

const SimMsg *sim_ask(const char *subject, const char *headers, const char *payload) {
    sim_forget();
    sim_tell(subject, "_INBOX.x", headers, payload);
    sim_run_some();
    for (unsigned i = 0; i < ASKS && sim.got.len == 0; i++) /* mail goes round for long */
        sim_run();
    return sim_next();
}

const SimMsg *sim_next(void) {
    return sim.seen < sim.got.len ? &sim.got.at[sim.seen++] : NULL;
}

const SimMsg *sim_next_watched(void) {
    return sim.seen_watched < sim.watched.len ? &sim.watched.at[sim.seen_watched++] : NULL;
}

void sim_listen(unsigned n, bool is_heard) {
    char subject[24];
    (void)snprintf(subject, sizeof subject, "bind.%u", n);
    if (is_heard && !sim.binds[n])
        sim.binds[n] = sub_add(bus_account(sim.all[0]->bus, 0), &sim.port, slice_of_text(subject),
                               (Slice){0}, (Slice){0}, false);
    else if (!is_heard && sim.binds[n])
        sub_remove(sim.binds[n]);
    if (!is_heard)
        sim.binds[n] = NULL;
}

void sim_forget(void) {
    forget(&sim.got);
    sim.seen = 0;
}
