#include "front/client/client_private.h"
#include "proto/json.h"
#include "proto/timefmt.h"

static void add_field(Buf *out, const char *name, Slice value) {
    buf_printf(out, "\"%s\":", name);
    json_write_string(out, value);
    buf_append_char(out, ',');
}

static void append_list(Buf *out, const char *name, const Slice *texts, size_t count) {
    buf_printf(out, "\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append_char(out, ',');
        json_write_string(out, texts[i]);
    }
    buf_append_lit(out, "],");
}

static void append_metadata(Buf *out, const ClientOptions *options) {
    if (options->metadata_count < 2)
        return;
    buf_append_lit(out, "\"metadata\":{");
    for (size_t i = 0; i + 1 < options->metadata_count; i += 2) {
        if (i)
            buf_append_char(out, ',');
        json_write_string(out, options->metadata[i]);
        buf_append_char(out, ':');
        json_write_string(out, options->metadata[i + 1]);
    }
    buf_append_lit(out, "},");
}

static void append_server(Buf *out, Clients *clients) {
    const ClientOptions *options = clients->options;

    buf_append_lit(out, "{\"server\":{");
    add_field(out, "name", options->server_name);
    add_field(out, "host", options->host);
    add_field(out, "id", options->server_id);
    if (options->cluster.len)
        add_field(out, "cluster", options->cluster);
    if (options->domain.len)
        add_field(out, "domain", options->domain);
    add_field(out, "ver", options->version);
    if (options->tag_count)
        append_list(out, "tags", options->tags, options->tag_count);
    append_metadata(out, options);
    buf_append_lit(out, "\"feature_flags\":{},");
    buf_printf(out, "\"jetstream\":%s,\"flags\":%d,\"seq\":%llu,\"time\":\"",
               options->jetstream ? "true" : "false", options->jetstream ? 3 : 0,
               (unsigned long long)++clients->service_sequence);
    time_write(out, clock_wall_ns());
    buf_append_lit(out, "\"},");
}

static void append_rules(Buf *out, const char *name, const SubjectRules *rules) {
    if (!rules->has_allow && rules->deny_count == 0)
        return;
    buf_printf(out, "\"%s\":{", name);
    if (rules->allow_count)
        append_list(out, "allow", rules->allow, rules->allow_count);
    if (rules->deny_count)
        append_list(out, "deny", rules->deny, rules->deny_count);
    if (out->ptr[out->len - 1] == ',')
        out->len--;
    buf_append_lit(out, "},");
}

static void append_permissions(Buf *out, const Permissions *permissions) {
    const PermissionsOptions *options = permissions_options(permissions);
    buf_append_lit(out, "\"permissions\":{");
    append_rules(out, "publish", &options->publish);
    append_rules(out, "subscribe", &options->subscribe);
    if (options->has_responses) {
        buf_append_lit(out, "\"responses\":{\"max\":");
        buf_append_i64(out, options->responses_max);
        buf_append_lit(out, ",\"ttl\":");
        buf_append_i64(out, options->responses_expire_ns);
        buf_append_lit(out, "},");
    }
    if (out->ptr[out->len - 1] == ',')
        out->len--;
    buf_append_lit(out, "},");
}

static void add_field_unless_empty(Buf *out, const char *name, Slice value) {
    if (value.len)
        add_field(out, name, value);
}

void client_identify(Port *port, Buf *out) {
    const Client *client = CONTAINER_OF(port, Client, port);
    uint64_t age_ns = client->clients->home->now_ns - client->start_ns;

    buf_append_lit(out, "{\"start\":\"");
    time_write(out, clock_wall_ns() - (int64_t)age_ns);
    buf_append_lit(out, "\",");
    add_field_unless_empty(out, "host", client_ip(client));
    buf_printf(out, "\"id\":%llu,", (unsigned long long)client->cid);
    add_field(out, "acc", account_name(client->account));
    add_field_unless_empty(out, "user", client_user_name(client));
    add_field_unless_empty(out, "name", client_name(client));
    add_field_unless_empty(out, "lang", client_lang(client));
    add_field_unless_empty(out, "ver", client_version(client));
    if (client->rtt_ns)
        buf_printf(out, "\"rtt\":%llu,", (unsigned long long)client->rtt_ns);
    add_field(out, "server", client->clients->options->server_id);
    buf_printf(out, "\"kind\":\"Client\",\"client_type\":\"%s\"}",
               client_is_websocket(client) ? "websocket" : "nats");
}

void client_answer_user_info(Client *client, Slice reply) {
    Buf body = {0};
    Slice account = account_name(client->account);

    append_server(&body, client->clients);
    buf_append_lit(&body, "\"data\":{");
    add_field(&body, "user", client_user_name(client));
    add_field(&body, "account", account);
    add_field(&body, "account_name", account);
    if (client->user->permissions)
        append_permissions(&body, client->user->permissions);
    body.len--;
    buf_append_lit(&body, "}}");

    Message message = {.subject = reply, .payload = buf_slice(&body)};
    (void)bus_publish(client->account, reply, &message, NULL, BUS_NO_MAPPINGS);
    buf_done(&body);
}
