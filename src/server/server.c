#include "server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "front/client/accstatz.h"
#include "front/client/connz.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/process.h"
#include "server/log_sink.h"
#include "server/server_private.h"
#include "server/version.h"

/* How long a shutdown waits for clients to take what is pending. */
#define SHUTDOWN_FLUSH_NS (5 * (uint64_t)NS_PER_S)

/* How long it waits for the checkpoint that spares the next start reading the log. */
#define SHUTDOWN_CHECKPOINT_NS (10 * (uint64_t)NS_PER_S)

enum { OFFLOAD_THREADS = 4 };

static Status start(Server *server);
static void stop(Server *server);

int server_run(const CommandLine *line, Options *options) {
    Server server = {.line = line, .options = options, .arena = arena_new(), .reload = arena_new()};
    Buf error = {0};

    if (log_sink_open(options, &error) != OK) {
        (void)fprintf(stderr, "%s: %s\n", line->program, buf_text(&error));
        server.exit_code = 1;
    } else if (start(&server) == OK) {
        worker_run(server.main);
    } else {
        server.exit_code = 1;
    }
    stop(&server);
    log_sink_close();
    options_free(server.options);
    arena_free(server.reload);
    arena_free(server.arena);
    buf_done(&error);
    return server.exit_code;
}

static Status make_identity(Server *server) {
    uint8_t seed[NKEY_BYTES];

    process_random(seed, sizeof seed);
    Status status = nkey_public_of_seed(NKEY_SERVER, seed, server->id);
    if (status != OK) {
        FATAL("Could not make a server id", "%s", status_text(status));
        return status;
    }
    server->facts.id = slice_of_text(server->id);
    server->facts.name = server->options->server_name.len > 0
                             ? arena_copy(server->arena, server->options->server_name)
                             : server->facts.id;
    if (server->options->leafnodes.remote_count > 0) /* so that a hub knows it */
        server->facts.cluster = server->facts.name;
    return OK;
}

/* ---- signals ---- */

/* A turn after the connections of monitoring were closed. */
static void quit(Task *task) {
    worker_quit(CONTAINER_OF(task, Server, last_turn)->main);
}

static void end_main(Server *server) {
    if (server->is_quitting)
        return;
    server->is_quitting = true;
    timer_cancel(server->main, &server->last_checkpoint_limit);
    if (server->store != NULL)
        journal_store_hurry(server->store);
    task_init(&server->last_turn, quit);
    worker_ready(server->main, &server->last_turn);
}

static void on_last_checkpoint(CheckpointAsk *ask) {
    end_main(CONTAINER_OF(ask, Server, last_checkpoint));
}

static void on_checkpoint_late(Timer *timer) {
    LOG_WARNING("No time for a last checkpoint:", "%s", "the next start reads the log instead");
    end_main(CONTAINER_OF(timer, Server, last_checkpoint_limit));
}

static void on_all_closed(void *cookie) {
    Server *server = cookie;
    timer_init(&server->last_checkpoint_limit, on_checkpoint_late);
    if (server->store == NULL || server->is_in_haste) {
        end_main(server);
        return;
    }
    timer_set(server->main, &server->last_checkpoint_limit,
              clock_mono_ns() + SHUTDOWN_CHECKPOINT_NS);
    server->last_checkpoint =
        (CheckpointAsk){.store = server->store, .home = server->main, .done = on_last_checkpoint};
    journal_store_checkpoint(&server->last_checkpoint);
}

/* A second signal: what only saves time later is left out. */
static void make_haste(Server *server) {
    server->is_in_haste = true;
    if (server->last_checkpoint.done != NULL)
        end_main(server);
}

static void say_goodbye(Gather *goodbye, Worker *here) {
    (void)goodbye;
    jetstream_end_pulls(here);
    if (here->leafnodes != NULL)
        leafnodes_close_all(here->leafnodes);
}

static void close_clients(Gather *goodbye) {
    Server *server = CONTAINER_OF(goodbye, Server, goodbye);
    clients_shutdown(server->main->clients, SHUTDOWN_FLUSH_NS, on_all_closed, server);
}

static void shut_down(Server *server) {
    if (server->is_stopping)
        return;
    server->is_stopping = true;
    LOG_INFO("Initiating Shutdown...", "%s", "");
    listener_close(server->listener);
    server_close_leafnode_door(server);
    websocket_door_close(server->websocket);
    http_server_close(server->http);
    server->listener = NULL;
    server->websocket = NULL;
    server->http = NULL;
    if (!server->is_ready) /* server_on_store ends it */
        return;
    if (server->main->leafnodes != NULL)
        leafnodes_shutdown(server->main->leafnodes);
    server->goodbye = (Gather){.visit = say_goodbye, .finish = close_clients};
    gather_start(&server->goodbye, server->main);
}

static void on_lame_duck_done(void *cookie) {
    shut_down(cookie);
}

static void begin_lame_duck(Server *server) {
    uint64_t grace = (uint64_t)server->options->lame_duck_grace_ns;

    if (!server->is_ready)
        shut_down(server);
    if (server->is_lame_duck || server->is_stopping)
        return;
    server->is_lame_duck = true;
    LOG_INFO("Entering lame duck mode, stop accepting new clients", "%s", "");
    listener_close(server->listener);
    server_close_leafnode_door(server);
    websocket_door_close(server->websocket);
    server->listener = NULL;
    server->websocket = NULL;
    clients_lame_duck(server->main->clients, grace,
                      (uint64_t)server->options->lame_duck_duration_ns - grace, on_lame_duck_done,
                      server);
}

static void reopen_log(void) {
    char reason[128];
    Status status = log_sink_reopen();
    if (status == OK)
        LOG_INFO("File log re-opened", "%s", "");
    else if (status != ERR_UNSUPPORTED)
        LOG_ERR("Could not reopen the log file", "%s", server_os_error(reason));
}

static void on_signal(void *cookie, int number) {
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGINT, "interrupt"},
                 {SIGTERM, "terminated"},
                 {SIGHUP, "hangup"},
                 {SIGUSR1, "user defined signal 1"},
                 {SIGUSR2, "user defined signal 2"}};
    Server *server = cookie;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].number == number)
            LOG_INFO("Trapped", "\"%s\" signal", names[i].name);
    if (server->is_stopping && (number == SIGINT || number == SIGTERM))
        make_haste(server);
    else if (number == SIGINT || (number == SIGTERM && !server->is_lame_duck))
        shut_down(server);
    else if (number == SIGUSR1)
        reopen_log();
    else if (number == SIGUSR2)
        begin_lame_duck(server);
    else if (number == SIGHUP && !server->is_ready)
        server->wants_reload = true;
    else if (number == SIGHUP && !server->is_stopping)
        server_reload(server);
}

/* ---- start, in this order ---- */

static Status make_workers(Server *server) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
    const Options *options = server->options;
    size_t count = options->accounts.len;
    unsigned workers = (unsigned)options->workers;
    char reason[128];

    (void)process_raise_file_limit();
    Status status = workers_new(workers, &server->all);
    if (status == OK) {
        server->main = server->all[workers];
        status = signals_open(server->main, numbers, sizeof numbers / sizeof numbers[0], on_signal,
                              server, &server->signals);
    }
    if (status == OK)
        status = offload_start(OFFLOAD_THREADS, &server->offload);
    if (status != OK) {
        FATAL("Could not make threads", "%s", server_os_error(reason));
        return status;
    }
    Slice *names = arena_alloc(server->arena, count * sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = arena_copy(server->arena, options->accounts.at[i].name);
    for (unsigned i = 0; i < workers; i++) {
        Bus *bus = bus_new(server->all[i], names, count);
        for (size_t a = 0; a < count; a++) {
            Mapping **mappings = wiring_mappings(&options->accounts.at[a]);
            account_set_mappings(bus_account(bus, a), mappings,
                                 options->accounts.at[a].mappings.len);
            mem_free(mappings);
            wiring_trace(bus_account(bus, a), &options->accounts.at[a]);
        }
    }
    return OK;
}

/* "", or with a slash in front and none behind. */
static Slice base_path_of(Server *server) {
    Slice path = server->options->http_base_path;
    Buf text = {0};

    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    if (path.len > 0 && path.ptr[0] != '/')
        buf_append_char(&text, '/');
    buf_append(&text, path);
    Slice kept = arena_copy(server->arena, buf_slice(&text));
    buf_done(&text);
    return kept;
}

static Status open_monitoring(Server *server) {
    const Options *options = server->options;
    char reason[128];

    server->monitor = (MonitorFacts){
        .server_id = server->facts.id,
        .server_name = server->facts.name,
        .system_account = arena_copy(server->arena, options->system_account),
        .jetstream = options->jetstream.is_enabled ? &server->jetstream_options : NULL,
        .sync_interval_ns = (uint64_t)options->jetstream.sync_interval_ns,
        .recovery = &server->recovery};
    server->pages = pages_new();
    server->varz = (VarzFacts){.monitor = &server->monitor,
                               .options = options,
                               .clients = &server->client_options,
                               .pages = server->pages,
                               .start_ns = clock_wall_ns(),
                               .config_load_ns = clock_wall_ns()};
    monitor_add_pages(server->pages, &server->monitor);
    connz_add_page(server->pages, &server->monitor);
    accstatz_add_page(server->pages, &server->monitor);
    varz_add_page(server->pages, &server->varz);
    server->metrics = (MetricsFacts){&server->monitor, varz_metrics(&server->varz)};
    metrics_add_page(server->pages, &server->metrics);
    server->services = services_new(server->main, server->pages, &server->varz);
    if (options->http_port == 0)
        return OK;

    Slice host = arena_copy(server->arena, options->http_host);
    Status status =
        http_server_open(server->main, host.ptr, (int)options->http_port, base_path_of(server),
                         LIT(VERSION_PROTOCOL), server->pages, &server->http);
    if (status != OK) {
        FATAL("Can't start monitoring:", "can't listen to the monitor port: listen tcp %s:%lld: %s",
              host.ptr, (long long)options->http_port, server_os_error(reason));
        return status;
    }
    server->varz.http_port = http_server_port(server->http);
    LOG_INFO("Starting http monitor on", "%s:%u", http_server_host(server->http),
             server->varz.http_port);
    return OK;
}

static void on_accept(Listener *listener, int fd) {
    Server *server = listener_cookie(listener);
    clients_accept(server->main->clients, fd);
}

static Status open_door(Server *server) {
    const Options *options = server->options;
    AuthOptions auth;
    Buf error = {0};
    char reason[128];
    Slice host = arena_copy(server->arena, options->host);

    Status status = listener_open(server->main, host.ptr, (int)options->port, on_accept, server,
                                  &server->listener);
    if (status != OK) {
        FATAL("Error listening on port:", "%s:%lld, \"listen tcp %s:%lld: %s%s\"", host.ptr,
              (long long)options->port, host.ptr, (long long)options->port,
              status == ERR_NOT_FOUND ? "" : "bind: ",
              status == ERR_NOT_FOUND ? "no such host" : server_os_error(reason));
        return status;
    }
    server->facts.port = server->varz.port = listener_port(server->listener);
    status = server_open_websocket(server);
    if (status != OK)
        return status;
    wiring_client_options(options, &server->facts, server->reload, &server->client_options);
    wiring_auth_options(options, &auth);
    for (unsigned i = 0; i <= server->main->count && status == OK; i++)
        status = clients_new(server->all[i], server->offload, &server->client_options, &auth,
                             &error, &server->all[i]->clients);
    if (status != OK)
        FATAL("Can't accept clients:", "%s", buf_text(&error));
    buf_done(&error);
    return status == OK ? server_open_leafnodes(server) : status;
}

static Status start(Server *server) {
    Status status = make_identity(server);

    if (status == OK) {
        server_log_start(server);
        status = make_workers(server);
    }
    if (status == OK)
        status = open_monitoring(server);
    if (status == OK)
        status = open_door(server);
    if (status == OK)
        status = server_begin_store(server);
    return status;
}

/* The store is open: what waited at the doors is let in. */
void server_on_store(Server *server) {
    Status status = server->store_status;
    for (unsigned i = 0; status == OK && i < server->main->count; i++)
        if (server->all[i]->leafnodes != NULL)
            leafnodes_attach(server->all[i]->leafnodes);
    if (status == OK && !server->is_stopping)
        status = workers_start(server->all);
    if (status != OK || server->is_stopping) {
        server->exit_code = status != OK;
        server->is_stopping = true;
        end_main(server);
        return;
    }
    server->workers_run = server->is_ready = true;
    counter_publish(&server->recovery.stage, STAGE_READY);
    if (server->main->leafnodes != NULL)
        leafnodes_start(server->main->leafnodes);
    LOG_INFO("Listening for client connections on", "%.*s:%u", SLICE_ARG(server->options->host),
             server->facts.port);
    LOG_INFO("Server is ready", "%s", "");
    server_write_files(server);
    if (server->wants_reload)
        server_reload(server);
}

/* What was opened, in reverse; everything may be missing. */
static void stop(Server *server) {
    server_end_store(server);
    if (server->workers_run)
        workers_join(server->all);
    else if (server->all != NULL)
        workers_drain(
            server->all); /* a refused start: what waited, what the buses told each other */
    listener_close(server->listener);
    listener_close(server->leaf_listener);
    websocket_door_close(server->websocket);
    http_server_close(server->http);
    signals_close(server->signals);
    offload_stop(server->offload); /* before those go whose jobs it runs */
    if (server->store != NULL) {
        LOG_INFO("Initiating JetStream Shutdown...", "%s", "");
        jetstream_close(server->all, server->store);
        LOG_INFO("JetStream Shutdown", "%s", "");
    }
    for (unsigned i = 0; server->all != NULL && i <= server->main->count; i++) {
        leafnodes_free(server->all[i]->leafnodes);
        clients_free(server->all[i]->clients);
    }
    for (unsigned i = 0; server->all != NULL && i < server->main->count; i++)
        if (server->all[i]->bus != NULL)
            bus_free(server->all[i]->bus);
    if (server->all != NULL)
        workers_free(server->all);
    if (server->pages != NULL)
        pages_free(server->pages);
    services_free(server->services);
    if (server->recovery.baton)
        journal_progress_done(&server->recovery);
    server_remove_files(server);
    mem_free(server->store_dir);
    if (server->exit_code == 0)
        LOG_INFO("Server Exiting..", "%s", "");
}
