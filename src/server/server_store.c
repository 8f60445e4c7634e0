/* Opening JetStream's store takes as long as there is log to read: a thread of its own does it,
 * while the main thread answers /healthz and the doors are open, though nobody is let in yet. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/process.h"
#include "io/thread.h"
#include "server/server_private.h"
#include "server/store_dir.h"

static const uint64_t STORE_PATIENCE_NS = 2 * (uint64_t)NS_PER_S;

enum {
    TEMPORARY_PATIENCE_NS = 100 * NS_PER_MS,
    STORE_RETRY_NS = 10 * NS_PER_MS,
};

const char *server_os_error(char reason[128]) {
    char text[128];
    (void)snprintf(reason, 128, "%s", strerror_r(errno, text, sizeof text));
    if (reason[0] >= 'A' && reason[0] <= 'Z')
        reason[0] = (char)(reason[0] | 0x20);
    return reason;
}

/* What is not configured follows from the machine: three quarters of what there is. */
static void derive_storage(Server *server) {
    JetStreamOptions *js = &server->jetstream_options;
    uint64_t available = 0, total = 0;

    if (js->max_file < 0 && disk_free_bytes(js->store_dir, &available, &total) == OK)
        js->max_file = (int64_t)((available + journal_store_bytes(server->store)) / 4 * 3);
}

/* Whoever has it may be just about to end. */
static Status open_patiently(Server *server, uint64_t patience_ns) {
    JetStreamOptions *js = &server->jetstream_options;
    uint64_t until = clock_mono_ns() + patience_ns;
    js->store_dir = server->store_dir;
    for (;;) {
        Status status = jetstream_open(js, server->all, &server->store);
        if (status != ERR_BUSY || clock_mono_ns() >= until)
            return status;
        thread_sleep(STORE_RETRY_NS);
    }
}

static bool is_there(const char *path) {
    uint64_t available, total;
    return disk_free_bytes(path, &available, &total) == OK;
}

static void use_store_dir(Server *server, Buf *path) {
    mem_free(server->store_dir);
    server->store_dir = slice_to_text(buf_slice(path));
}

/* Several servers have the same one by default: who comes later gets one beside it. With a port of
 * its own a server finds that one again. */
static Status open_temporary(Server *server) {
    char *shared = slice_to_text(slice_of_text(server->store_dir));
    bool has_port = server->options->port > 0;
    Buf of_port = {0}, of_process = {0};
    store_dir_of_port(shared, (uint16_t)server->options->port, &of_port);
    store_dir_of_process(shared, &of_process);

    bool had_own = has_port && is_there(buf_text(&of_port));
    if (had_own)
        use_store_dir(server, &of_port);
    Status status = open_patiently(server, has_port ? TEMPORARY_PATIENCE_NS : 0);
    if (status == ERR_BUSY && has_port && !had_own) {
        use_store_dir(server, &of_port);
        status = open_patiently(server, 0);
    }
    if (status == ERR_BUSY) {
        use_store_dir(server, &of_process);
        status = open_patiently(server, 0);
    }
    int why = errno;
    if (strcmp(shared, server->store_dir) != 0)
        LOG_WARNING("Storage directory is or was in use by another server:", "%s; using %s", shared,
                    server->store_dir);
    buf_done(&of_port);
    buf_done(&of_process);
    mem_free(shared);
    errno = why;
    return status;
}

static Status open_store(Server *server) {
    return server->is_store_temporary ? open_temporary(server)
                                      : open_patiently(server, STORE_PATIENCE_NS);
}

static void log_refusal(const Server *server, Status status) {
    char reason[128];
    const char *why =
        status == ERR_BUSY      ? "another server has it"
        : status == ERR_VERSION ? "it holds data of something else, or of a newer version"
        : status == ERR_DENIED  ? server->options->jetstream.key.len
                                      ? "it is encrypted, and not with the key that is given"
                                      : "it is encrypted, and no key is given"
        : status == ERR_IO      ? server_os_error(reason)
                                : status_text(status);
    if (strcmp(why, "not a directory") == 0) /* in the original's words, which tools look for */
        FATAL("Can't start JetStream:", "storage directory is not a directory: \"%s\"",
              server->store_dir);
    else
        FATAL("Can't start JetStream:", "store directory \"%s\": %s", server->store_dir, why);
}

static void on_recovered(Worker *here, Mail *mail) {
    (void)here;
    Server *server = CONTAINER_OF(mail, Server, recovered);
    if (server->store_status == OK) {
        derive_storage(server);
        server_log_jetstream(server);
        LOG_INFO("Took", "%.3fms to start JetStream",
                 (double)(clock_mono_ns() - server->store_began_ns) / 1e6);
    }
    server_on_store(server);
}

/* The workers do not run yet: all that is theirs belongs to this thread. */
static void recover(void *cookie) {
    Server *server = cookie;
    server->store_status = open_store(server);
    cipher_options_forget(&server->jetstream_options.cipher);
    if (server->store_status != OK)
        log_refusal(server, server->store_status); /* while errno is known */
    server->recovered.arrive = on_recovered;
    worker_post_now(server->main, &server->recovered);
}

Status server_begin_store(Server *server) {
    JetStreamOptions *js = &server->jetstream_options;
    Buf path = {0};
    char reason[128];

    if (!server->options->jetstream.is_enabled) {
        options_forget_keys(server->options);
        server_on_store(server);
        return server->exit_code ? ERR_IO : OK;
    }
    wiring_jetstream_options(server->options, &server->facts, server->arena, js);
    options_forget_keys(server->options); /* js has them until the store is open */
    js->offload = server->offload;
    journal_progress_init(&server->recovery);
    js->progress = &server->recovery;
    if (js->max_memory < 0)
        js->max_memory = (int64_t)(process_ram_bytes() / 4 * 3);
    store_dir_choose(server->options, server->line->is_nats_server, &path,
                     &server->is_store_temporary);
    server->store_dir = slice_to_text(buf_slice(&path));
    buf_done(&path);

    LOG_INFO("Starting JetStream", "%s", "");
    if (server->is_store_temporary)
        LOG_WARNING("Temporary storage directory used, data could be lost on system reboot", "%s",
                    "");
    server->store_began_ns = clock_mono_ns();
    Status status = thread_start("recovery", recover, server, &server->recovering);
    if (status != OK)
        FATAL("Could not make threads", "%s", server_os_error(reason));
    return status;
}

void server_end_store(Server *server) {
    thread_join(server->recovering);
    server->recovering = NULL;
}
