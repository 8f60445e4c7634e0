/* Server, the inside: what starting, reloading and stopping share. All of it on the main thread. */
#pragma once

#include "front/client/clients.h"
#include "front/http/http_server.h"
#include "io/listener.h"
#include "io/offload.h"
#include "io/signals.h"
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
    bool workers_run;
    Task last_turn;
    Gather goodbye; /* of the workers, before their clients are closed */
    CheckpointAsk last_checkpoint;
    Timer last_checkpoint_limit;

    ClientOptions client_options;
    JetStreamOptions jetstream_options;
    JournalStore *store;
    char *store_dir; /* owned */

    Pages *pages;
    HttpServer *http;
    MonitorFacts monitor;
    VarzFacts varz;
    Services *services;

    char *pid_file, *ports_file; /* owned; as written */
    bool is_lame_duck, is_stopping, is_in_haste, is_quitting;
    int exit_code;
};

/* SIGHUP. What cannot be applied is logged, and nothing changes then. */
void server_reload(Server *server);

/* Writes pid and ports files as the options say, removes those that are no longer wanted. */
void server_write_files(Server *server);
void server_remove_files(Server *server);

/* The lines that begin a log. */
void server_log_start(const Server *server);
void server_log_jetstream(const Server *server);
