/* The lines that begin a log. Scripts read them: their order and words are nats-server's. */
#include <openssl/evp.h>

#include "base/log.h"
#include "server/server_private.h"
#include "server/version.h"

/* How a server shows its name among peers: eight characters of the name's SHA-256. */
static void node_name(Slice name, char out[9]) {
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char hash[EVP_MAX_MD_SIZE] = {0};

    (void)EVP_Digest(name.ptr, name.len, hash, NULL, EVP_sha256(), NULL);
    for (int i = 0; i < 8; i++)
        out[i] = digits[hash[i] % 62];
    out[8] = '\0';
}

static void log_labels(const Options *options) {
    Buf text = {0};

    for (size_t i = 0; i < options->tags.count; i++)
        buf_printf(&text, "%s%.*s", i ? " " : "", SLICE_ARG(options->tags.at[i]));
    if (options->tags.count > 0)
        LOG_INFO("  Tags:    ", "[%s]", buf_text(&text));
    buf_clear(&text);
    for (size_t i = 0; i + 1 < options->metadata.count; i += 2)
        buf_printf(&text, "%s%.*s: %.*s", i ? ", " : "", SLICE_ARG(options->metadata.at[i]),
                   SLICE_ARG(options->metadata.at[i + 1]));
    if (options->metadata.count > 0)
        LOG_INFO("  Metadata:", "%s", buf_text(&text));
    buf_done(&text);
}

void server_log_start(const Server *server) {
    const Options *options = server->options;
    char node[9];

    if (server->line->is_nats_server) {
        LOG_INFO("Starting nats-server", "%s", "");
        LOG_INFO("  Version: ", "%s", VERSION_PROTOCOL);
    } else {
        LOG_INFO("Starting holdwater", "%s", "");
        LOG_INFO("  Version: ", "%s (NATS protocol %s)", VERSION_OURS, VERSION_PROTOCOL);
    }
    LOG_INFO("  Git:     ", "%s", "[not set]");
    LOG_INFO("  Name:    ", "%.*s", SLICE_ARG(server->facts.name));
    if (options->jetstream.is_enabled) {
        node_name(server->facts.name, node);
        LOG_INFO("  Node:    ", "%s", node);
    }
    LOG_INFO("  ID:      ", "%s", server->id);
    log_labels(options);
    if (options->has_plain_passwords)
        LOG_WARNING("Plaintext passwords detected, use nkeys or bcrypt", "%s", "");
    for (size_t i = 0; i < options->ignored.len; i++)
        LOG_WARNING("Option without effect here:", "%.*s", SLICE_ARG(options->ignored.at[i]));
    if (options->config_file.len > 0)
        LOG_INFO("Using configuration file:", "%.*s (%s)", SLICE_ARG(options->config_file),
                 options->digest);
    if (options->max_payload > 8 * 1024 * 1024)
        LOG_WARNING("Maximum payloads over 8.00 MB are generally discouraged and could lead to "
                    "poor performance",
                    "%s", "");
}

static void log_size(const char *event, int64_t bytes) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    double shown = (double)bytes;
    size_t unit = 0;

    if (bytes < 0) {
        LOG_INFO(event, "%s", "unlimited");
        return;
    }
    while (shown >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        shown /= 1024;
        unit++;
    }
    LOG_INFO(event, "%.2f %s", shown, units[unit]);
}

void server_log_jetstream(const Server *server) {
    const JetStreamOptions *js = &server->jetstream_options;

    LOG_INFO("---------------- JETSTREAM ----------------", "%s", "");
    LOG_INFO("  Strict:         ", "%s", js->limits.is_strict ? "true" : "false");
    log_size("  Max Memory:     ", js->max_memory);
    log_size("  Max Storage:    ", js->max_file);
    LOG_INFO("  Store Directory:", "\"%s\"", js->store_dir);
    if (server->options->jetstream.key.len > 0)
        LOG_INFO("  Encryption:     ", "%.*s", SLICE_ARG(server->options->jetstream.cipher));
    if (js->domain.len > 0)
        LOG_INFO("  Domain:         ", "%.*s", SLICE_ARG(js->domain));
    LOG_INFO("  API Level:      ", "%d", VERSION_API_LEVEL);
    LOG_INFO("-------------------------------------------", "%s", "");
}
