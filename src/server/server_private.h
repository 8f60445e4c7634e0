/* Server, the inside: what starting, reloading and stopping share. All of it on the main thread. */
#pragma once

#include "cluster/leafnodes.h"
#include "front/client/clients.h"
#include "front/http/http_server.h"
#include "front/websocket/websocket_door.h"
#include "io/listener.h"
#include "io/offload.h"
#include "io/signals.h"
#include "io/thread.h"
#include "journal/progress.h"
#include "monitor/gather.h"
#include "monitor/monitor.h"
#include "proto/nkey.h"
#include "server/server.h"
#include "server/services.h"
#include "server/varz.h"
#include "server/wiring.h"

typedef struct Server Server;
struct Server {
    const CommandLine *line;
    Options *options; /* the newest */
    Arena *arena;     /* lives as long as the server */
    Arena *reload;    /* what client_options borrows; replaced by a reload */
    ServerFacts facts;
    char id[NKEY_TEXT_LEN + 1];

    Worker **all;
    Worker *main;
    Offload *offload;
    Signals *signals;
    Listener *listener;
    WebSocketDoor *websocket; /* NULL: none */
    Listener *leaf_listener;  /* NULL: none */
    LeafFacts leaf_facts;
    bool workers_run;
    Task last_turn;
    Gather goodbye; /* of the workers, before their clients are closed */
    CheckpointAsk last_checkpoint;
    Timer last_checkpoint_limit;

    ClientOptions client_options;
    JetStreamOptions jetstream_options;
    JournalStore *store;
    char *store_dir; /* owned */
    JournalProgress recovery;
    Thread *recovering; /* NULL: nothing to recover, or joined */
    Mail recovered;     /* to the main worker */
    Status store_status;
    uint64_t store_began_ns;
    bool is_store_temporary, is_ready, wants_reload;

    Pages *pages;
    HttpServer *http;
    MonitorFacts monitor;
    VarzFacts varz;
    MetricsFacts metrics;
    Services *services;

    char *pid_file, *ports_file; /* owned; as written */
    bool is_lame_duck, is_stopping, is_in_haste, is_quitting;
    int exit_code;
};

#define FATAL(event, ...) LOG_AT(LOG_FATAL, event, __VA_ARGS__)
/* What errno says, as Go words it: "address already in use". */
const char *server_os_error(char reason[128]);

/* SIGHUP. What cannot be applied is logged, and nothing changes then. */
void server_reload(Server *server);

/* Opens JetStream's store on a thread of its own; then, or at once when there is none to open,
 * server_on_store(server) is called on the main thread, store_status says how it went. */
MUST_CHECK Status server_begin_store(Server *server);
void server_on_store(Server *server);
/* Waits for the thread. */
void server_end_store(Server *server);

/* Listens for WebSockets where the options say so, before any client is accepted. */
MUST_CHECK Status server_open_websocket(Server *server);

/* Listens for leafnodes and makes them known to every worker, where the options say so; after the
 * clients were made. */
MUST_CHECK Status server_open_leafnodes(Server *server);
/* By a reload: ERR_UNSUPPORTED when what it wants needs a restart; then the rest. */
MUST_CHECK Status server_compare_leafnodes(const Server *server, const Options *now, Buf *error);
MUST_CHECK Status server_configure_leafnodes(Server *server, const Options *options, Buf *error);
/* No more of them, neither way; those that are connected stay. */
void server_close_leafnode_door(Server *server);

/* Writes pid and ports files as the options say, removes those that are no longer wanted. */
void server_write_files(Server *server);
void server_remove_files(Server *server);

/* The lines that begin a log. */
void server_log_start(const Server *server);
void server_log_jetstream(const Server *server);
