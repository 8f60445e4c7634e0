#include "base/log.h"
#include "front/client/client_private.h"
#include "proto/json.h"

static void add_text(Buf *out, const char *name, Slice value) {
    buf_printf(out, "\"%s\":", name);
    json_write_string(out, value);
    buf_append_char(out, ',');
}

static void add_text_unless_empty(Buf *out, const char *name, Slice value) {
    if (value.len)
        add_text(out, name, value);
}

static void add_u64(Buf *out, const char *name, uint64_t value) {
    buf_printf(out, "\"%s\":", name);
    buf_append_u64(out, value);
    buf_append_char(out, ',');
}

static void add_true_if(Buf *out, const char *name, bool value) {
    if (value)
        buf_printf(out, "\"%s\":true,", name);
}

static void add_connect_urls(Buf *out, const ClientOptions *options) {
    if (options->connect_url_count == 0)
        return;
    buf_append_lit(out, "\"connect_urls\":[");
    for (size_t i = 0; i < options->connect_url_count; i++) {
        if (i)
            buf_append_char(out, ',');
        json_write_string(out, options->connect_urls[i]);
    }
    buf_append_lit(out, "],");
}

static void write_info(const Client *client, InfoKind kind, Buf *out) {
    const Clients *clients = client->clients;
    const ClientOptions *options = clients->options;
    const Credentials *credentials = clients->credentials;
    /* Clients without credentials must not take the first INFO as a refusal when a user stands in
     * for them. */
    bool auth_required =
        auth_is_required(credentials) && (kind != INFO_FIRST || !auth_anonymous(credentials));

    buf_append_lit(out, "INFO {");
    add_text(out, "server_id", options->server_id);
    add_text(out, "server_name", options->server_name);
    add_text(out, "version", options->version);
    add_u64(out, "proto", 1);
    add_text_unless_empty(out, "git_commit", options->git_commit);
    add_text(out, "go", options->go);
    bool is_websocket = client_is_websocket(client);
    add_text(out, "host", is_websocket ? options->websocket_host : options->host);
    add_u64(out, "port", is_websocket ? options->websocket_port : options->port);
    buf_printf(out, "\"headers\":%s,", options->no_header_support ? "false" : "true");
    add_true_if(out, "auth_required", auth_required);
    add_u64(out, "max_payload", client->payload_max);
    add_true_if(out, "jetstream", options->jetstream);
    add_u64(out, "client_id", client->cid);
    add_text_unless_empty(out, "client_ip", client_ip(client));
    add_text_unless_empty(out, "cluster", options->cluster);
    add_text_unless_empty(out, "domain", options->domain);
    add_connect_urls(out, options);
    add_true_if(out, "ldm", clients->is_lame_duck);
    if (kind == INFO_CONNECTED && client->account) {
        buf_append_lit(out, "\"connect_info\":true,");
        add_text(out, "remote_account", account_name(client->account));
        add_true_if(out, "acc_is_sys", account_index(client->account) == options->system_account);
    }
    if (options->api_level)
        add_u64(out, "api_lvl", options->api_level);
    out->len--; /* the last comma */
    buf_append_lit(out, "} \r\n");
}

void client_send_info(Client *client, InfoKind kind) {
    Buf info = {0};
    write_info(client, kind, &info);
    if (log_wants(LOG_TRACE_LEVEL) && kind != INFO_FIRST)
        client_trace_out(client, slice_trim(buf_slice(&info)));
    conn_append(&client->conn, buf_slice(&info));
    buf_done(&info);
}
