#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "server/log_sink.h"
#include "server/server_private.h"

/* What can change of all accounts, on its way to a worker. */
typedef struct AccountMail {
    Mail mail;
    size_t account_count;
    struct {
        Mapping **mappings; /* owned */
        size_t count;
        char *trace_dest;     /* owned */
        AccountOptions trace; /* only what wiring_trace looks at */
    } accounts[];
} AccountMail;

static void accounts_arrive(Worker *here, Mail *mail) {
    AccountMail *news = CONTAINER_OF(mail, AccountMail, mail);

    for (size_t i = 0; i < news->account_count; i++) {
        account_set_mappings(bus_account(here->bus, i), news->accounts[i].mappings,
                             news->accounts[i].count);
        mem_free(news->accounts[i].mappings);
        wiring_trace(bus_account(here->bus, i), &news->accounts[i].trace);
        mem_free(news->accounts[i].trace_dest);
    }
    mem_free(news);
}

static void send_accounts(Server *server) {
    const Options *options = server->options;

    for (unsigned i = 0; i < server->main->count; i++) {
        size_t count = options->accounts.len;
        AccountMail *news = mem_zalloc(sizeof *news + count * sizeof news->accounts[0]);
        news->mail.arrive = accounts_arrive;
        news->account_count = count;
        for (size_t a = 0; a < count; a++) {
            news->accounts[a].mappings = wiring_mappings(&options->accounts.at[a]);
            news->accounts[a].count = options->accounts.at[a].mappings.len;
            Slice dest = options->accounts.at[a].trace_dest;
            news->accounts[a].trace_dest = dest.len ? mem_alloc(dest.len) : NULL;
            if (dest.len)
                memcpy(news->accounts[a].trace_dest, dest.ptr, dest.len);
            news->accounts[a].trace.trace_dest = slice_from(news->accounts[a].trace_dest, dest.len);
            news->accounts[a].trace.trace_percent = options->accounts.at[a].trace_percent;
        }
        worker_post(server->main, server->all[i], &news->mail);
    }
}

static void log_lines(LogLevel level, const char *event, Buf *lines) {
    Slice rest = buf_slice(lines), line;
    while (slice_cut(&rest, '\n', &line))
        if (line.len > 0)
            LOG_AT(level, event, "%.*s", SLICE_ARG(line));
}

/* One line for the log. */
static void log_failure(Buf *error) {
    Slice text = slice_trim(buf_slice(error));
    Buf line = {0};
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n')
            buf_append_lit(&line, "; ");
        else
            buf_append_char(&line, text.ptr[i]);
    }
    LOG_ERR("Failed to reload server configuration:", "%s", buf_text(&line));
    buf_done(&line);
}

/* OK: options are in use and the server's. */
static Status apply(Server *server, Options *now, Buf *error) {
    Arena *arena = arena_new();
    ClientOptions client_options;
    AuthOptions auth;

    wiring_client_options(now, &server->facts, arena, &client_options);
    wiring_auth_options(now, &auth);
    Status status = log_sink_apply(now, error);
    if (status == OK)
        status = clients_reload(server->main->clients, &client_options, &auth, error);
    if (status == OK)
        status = server_configure_leafnodes(server, now, error);
    if (status != OK) {
        Buf ignored = {0};
        (void)(log_sink_apply(server->options, &ignored) == OK); /* that was possible before */
        buf_done(&ignored);
        arena_free(arena);
        return status;
    }
    options_free(server->options);
    arena_free(server->reload);
    server->options = now;
    server->reload = arena;
    server->client_options = client_options;
    server->varz.options = now;
    server->varz.config_load_ns = clock_wall_ns();
    return OK;
}

void server_reload(Server *server) {
    Buf error = {0}, warnings = {0}, changed = {0};
    Options *now = NULL;
    Status status;

    if (server->line->config_file.len == 0) {
        buf_append_lit(&error,
                       "can only reload config when a file is provided using -c or --config");
        status = ERR_UNSUPPORTED;
    } else {
        status = options_load(server->line, server->options, &error, &warnings, &now);
    }
    if (status == OK)
        status = options_check_start(now, &error);
    if (status == OK)
        status = options_compare(server->options, now, &error, &changed);
    if (status == OK)
        status = server_compare_leafnodes(server, now, &error);
    bool is_key_new =
        status == OK && !slice_equal(server->options->jetstream.key_mark, now->jetstream.key_mark);
    if (status == OK)
        status = apply(server, now, &error);
    if (status == OK && is_key_new && server->store != NULL)
        journal_store_set_key(server->store, server->options->jetstream.key);
    options_forget_keys(server->options);
    if (status != OK) {
        log_failure(&error);
        options_free(now);
    } else {
        send_accounts(server);
        server_write_files(server);
        log_lines(LOG_WARN, "Configuration:", &warnings);
        log_lines(LOG_INFO_LEVEL, "Reloaded:", &changed);
        LOG_INFO("Reloaded server configuration", "(%s)", server->options->digest);
    }
    buf_done(&error);
    buf_done(&warnings);
    buf_done(&changed);
}
