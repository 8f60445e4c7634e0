/* The pid file and the ports file. */
#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/disk.h"
#include "io/process.h"
#include "server/server_private.h"

static void write_file(const char *what, const char *path, Slice text) {
    char reason[128];
    if (disk_write_file(path, text, 0644) != OK)
        LOG_ERR("Could not write", "%s %s: %s", what, path,
                strerror_r(errno, reason, sizeof reason));
}

/* Takes path (may be NULL); the file of another path that was written before goes. */
static bool is_new_path(char **held, char *path) {
    bool is_same = (path == NULL && *held == NULL) || (path && *held && strcmp(path, *held) == 0);
    if (is_same) {
        mem_free(path);
        return false;
    }
    if (*held != NULL)
        (void)(disk_remove(*held) == OK); /* somebody else may have removed it */
    mem_free(*held);
    *held = path;
    return path != NULL;
}

/* A client cannot connect to "any address": it is shown as this machine's own. */
static void append_url(Buf *out, const char *scheme, const char *host, unsigned port) {
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        host = "127.0.0.1";
    buf_printf(out, strchr(host, ':') ? "%s://[%s]:%u" : "%s://%s:%u", scheme, host, port);
}

static void append_ports(Buf *out, const Server *server) {
    buf_append_lit(out, "{\"nats\":[\"");
    append_url(out, "nats", listener_host(server->listener), server->facts.port);
    buf_append_lit(out, "\"]");
    if (server->http != NULL) {
        buf_append_lit(out, ",\"monitoring\":[\"");
        append_url(out, "http", http_server_host(server->http), http_server_port(server->http));
        buf_append_lit(out, "\"]");
    }
    if (server->websocket != NULL) {
        buf_append_lit(out, ",\"websocket\":[\"");
        append_url(out, "ws", websocket_door_host(server->websocket),
                   websocket_door_port(server->websocket));
        buf_append_lit(out, "\"]");
    }
    if (server->leaf_listener != NULL) {
        buf_append_lit(out, ",\"leafnodes\":[\"");
        append_url(out, "nats", listener_host(server->leaf_listener), server->facts.leaf_port);
        buf_append_lit(out, "\"]");
    }
    buf_append_char(out, '}');
}

void server_write_files(Server *server) {
    const Options *options = server->options;
    char *pid_path = options->pid_file.len > 0 ? slice_to_text(options->pid_file) : NULL,
         *ports_path = NULL;
    Buf text = {0};

    if (is_new_path(&server->pid_file, pid_path)) {
        buf_printf(&text, "%d", process_pid());
        write_file("pid file", server->pid_file, buf_slice(&text));
    }
    buf_clear(&text);
    if (options->ports_file_dir.len > 0) {
        buf_printf(&text, "%.*s/%s_%d.ports", SLICE_ARG(options->ports_file_dir),
                   server->line->program, process_pid());
        ports_path = slice_to_text(buf_slice(&text));
    }
    buf_clear(&text);
    if (server->listener != NULL && is_new_path(&server->ports_file, ports_path)) {
        append_ports(&text, server);
        write_file("ports file", server->ports_file, buf_slice(&text));
    }
    buf_done(&text);
}

void server_remove_files(Server *server) {
    (void)is_new_path(&server->pid_file, NULL);
    (void)is_new_path(&server->ports_file, NULL);
}
