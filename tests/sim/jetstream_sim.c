#include "jetstream_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"
#include "io/offload.h"
#include "store/log.h"
#include "stream/jetstream.h"

enum { WORKERS = 2, TURNS_QUIET = 4, TURNS_MAX = 2000 };

static struct {
    Worker **all;
    JournalStore *store;
    JetStreamOptions options;
    bool enabled[1];
    Port port;
    VEC(SimMsg) got;
    size_t seen, activity;
} sim;

static void on_message(Port *port, Sub *sub, const Message *message) {
    (void)port;
    (void)sub;
    vec_push(&sim.got, ((SimMsg){
                           .subject = slice_to_text(message->subject),
                           .reply = slice_to_text(message->reply),
                           .headers = slice_to_text(message->headers),
                           .payload = slice_to_text(message->payload),
                       }));
}

static const PortOps port_ops = {.kind = PORT_CLIENT, .deliver = on_message};

bool sim_open(void) {
    static const Slice names[] = {LIT("$G")};
    static JetStreamAccountLimits limits = {-1, -1, -1, -1, -1, -1, -1, false};

    sim.enabled[0] = true;
    sim.options = (JetStreamOptions){
        .is_enabled = true,
        .is_stepped = true,
        .store_dir = "/sim",
        .segment_bytes = 64 * 1024,
        .checkpoint_bytes = 128 * 1024,
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
    if (workers_new(WORKERS, &sim.all) != OK)
        abort();
    for (unsigned i = 0; i < WORKERS; i++)
        (void)bus_new(sim.all[i], names, 1);
    sim.store = NULL;
    if (jetstream_open(&sim.options, sim.all, &sim.store) != OK) {
        for (unsigned i = 0; i < WORKERS; i++)
            bus_free(sim.all[i]->bus);
        workers_free(sim.all);
        return false;
    }
    sim.port = (Port){.ops = &port_ops, .home = sim.all[0]};
    (void)sub_add(bus_account(sim.all[0]->bus, 0), &sim.port, LIT("_INBOX.>"), (Slice){0},
                  (Slice){0}, false);
    sim_run();
    return true;
}

void sim_close(void) {
    jetstream_close(sim.all, sim.store);
    for (unsigned i = 0; i < WORKERS; i++)
        bus_free(sim.all[i]->bus);
    workers_free(sim.all);
    sim_forget();
    vec_done(&sim.got);
}

void sim_run(void) {
    Log *log = journal_log(sim.all[0]->journal);
    for (unsigned turn = 0, quiet = 0; turn < TURNS_MAX && quiet < TURNS_QUIET; turn++) {
        size_t before = sim.got.len;
        Place head = log_head(log);
        for (unsigned i = 0; i < WORKERS; i++)
            worker_turn(sim.all[i], false);
        log_commit_now(log);
        quiet = sim.got.len == before && log_head(log) == head ? quiet + 1 : 0;
    }
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
    sim_run();
    return sim_next();
}

const SimMsg *sim_next(void) {
    return sim.seen < sim.got.len ? &sim.got.at[sim.seen++] : NULL;
}

void sim_forget(void) {
    for (size_t i = 0; i < sim.got.len; i++) {
        mem_free(sim.got.at[i].subject);
        mem_free(sim.got.at[i].reply);
        mem_free(sim.got.at[i].headers);
        mem_free(sim.got.at[i].payload);
    }
    sim.got.len = 0;
    sim.seen = 0;
}
