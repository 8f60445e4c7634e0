/* INFO and CONNECT between servers. */
#include "cluster/leaf_private.h"
#include "proto/json.h"

#define FLAG(field)              JSON_ROW(LeafHello, field, #field, JSON_BOOL)
#define TEXT(field)              JSON_ROW(LeafHello, field, #field, JSON_STRING)
#define LIST(field, count, name) JSON_LIST_ROW(LeafHello, field, count, name, JSON_STRINGS)

static const JsonField import_fields[] = {
    LIST(import_allow, import_allow_count, "allow"),
    LIST(import_deny, import_deny_count, "deny"),
};
static const JsonSchema import_schema = JSON_SCHEMA("SubjectPermission", import_fields);
static const JsonField export_fields[] = {
    LIST(export_allow, export_allow_count, "allow"),
    LIST(export_deny, export_deny_count, "deny"),
};
static const JsonSchema export_schema = JSON_SCHEMA("SubjectPermission", export_fields);

static const JsonField hello_fields[] = {
    FLAG(headers),
    FLAG(jetstream),
    FLAG(is_hub),
    FLAG(isolate),
    FLAG(connect_info),
    FLAG(info_on_connect),
    FLAG(tls_required),
    JSON_ROW(LeafHello, proto, "proto", JSON_INT),
    JSON_ROW(LeafHello, client_id, "client_id", JSON_UINT),
    TEXT(server_id),
    TEXT(server_name),
    TEXT(name),
    TEXT(version),
    TEXT(cluster),
    TEXT(domain),
    TEXT(remote_account),
    TEXT(compression),
    TEXT(compress_mode),
    TEXT(user),
    TEXT(pass),
    TEXT(auth_token),
    TEXT(nkey),
    TEXT(jwt),
    TEXT(lang),
    TEXT(gateway),
    LIST(leafnode_urls, leafnode_url_count, "leafnode_urls"),
    LIST(deny_pub, deny_pub_count, "deny_pub"),
    JSON_OBJECT_ROW("import", &import_schema, offsetof(LeafHello, has_import)),
    JSON_OBJECT_ROW("export", &export_schema, offsetof(LeafHello, has_export)),
};
static const JsonSchema hello_schema = JSON_SCHEMA("Info", hello_fields);

Status leaf_read_hello(Slice json, Arena *arena, LeafHello *out) {
    *out = (LeafHello){0};
    return json_read(json, &hello_schema, JSON_LOOSE, arena, out, NULL);
}

static void add_text(Buf *out, const char *name, Slice value) {
    if (value.len == 0)
        return;
    buf_printf(out, "\"%s\":", name);
    json_write_string(out, value);
    buf_append_char(out, ',');
}

static void add_u64(Buf *out, const char *name, uint64_t value) {
    buf_printf(out, "\"%s\":%llu,", name, (unsigned long long)value);
}

static void add_true_if(Buf *out, const char *name, bool value) {
    if (value)
        buf_printf(out, "\"%s\":true,", name);
}

static void add_list(Buf *out, const char *name, const Slice *texts, size_t count, bool is_kept) {
    if (count == 0 && !is_kept)
        return;
    buf_printf(out, "\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append_char(out, ',');
        json_write_string(out, texts[i]);
    }
    buf_append_lit(out, "],");
}

static void end_object(Buf *out) {
    if (out->ptr[out->len - 1] == ',')
        out->len--;
    buf_append_char(out, '}');
}

static void add_rules(Buf *out, const char *name, const SubjectRules *rules) {
    if (!rules->has_allow && rules->allow_count == 0 && rules->deny_count == 0)
        return;
    buf_printf(out, "\"%s\":{", name);
    add_list(out, "allow", rules->allow, rules->allow_count, rules->has_allow);
    add_list(out, "deny", rules->deny, rules->deny_count, false);
    end_object(out);
    buf_append_char(out, ',');
}

void leaf_write_info(Buf *out, const LeafFacts *facts, const LeafInfoParts *parts) {
    buf_append_lit(out, "INFO {");
    add_text(out, "server_id", facts->server_id);
    add_text(out, "server_name", facts->server_name);
    add_text(out, "version", facts->version);
    add_u64(out, "proto", 1); /* no message tracing over leafnodes, which 2 and more promise */
    add_text(out, "git_commit", facts->git_commit);
    add_text(out, "go", facts->go);
    add_text(out, "host", facts->host);
    add_u64(out, "port", facts->port);
    buf_printf(out, "\"headers\":%s,", facts->no_header_support ? "false" : "true");
    buf_append_lit(out, "\"auth_required\":true,");
    add_u64(out, "max_payload", facts->max_payload);
    add_true_if(out, "jetstream", facts->has_jetstream);
    add_text(out, "ip", parts->ip);
    add_u64(out, "client_id", parts->id);
    add_text(out, "nonce", parts->nonce);
    add_text(out, "cluster", facts->cluster);
    add_text(out, "domain", facts->domain);
    if (!parts->is_connected)
        buf_append_lit(out, "\"compression\":\"off\",");
    add_true_if(out, "connect_info", parts->is_connected);
    if (parts->is_connected) {
        add_text(out, "remote_account", parts->account);
        add_true_if(out, "acc_is_sys", parts->is_system);
    }
    add_u64(out, "api_lvl", facts->api_level);
    if (parts->permissions) {
        add_rules(out, "import", &parts->permissions->subscribe);
        add_rules(out, "export", &parts->permissions->publish);
    }
    buf_append_lit(out, "\"info_on_connect\":true,");
    add_list(out, "leafnode_urls", &parts->advertised, parts->advertised.len > 0, false);
    end_object(out);
    buf_append_lit(out, " \r\n");
}

static void add_credentials(Buf *out, const LeafUrl *url) {
    if (url->user.len == 0)
        return;
    add_text(out, "user", url->user);
    add_text(out, "pass", url->password);
    if (!url->has_password) /* a user alone may be meant as a token */
        add_text(out, "auth_token", url->user);
}

void leaf_write_connect(Buf *out, const LeafFacts *facts, const LeafTarget *target, Slice account) {
    const LeafRemoteOptions *options = &target->options;
    buf_append_lit(out, "CONNECT {");
    add_text(out, "version", facts->version);
    add_credentials(out, &options->urls[0]);
    add_text(out, "server_id", facts->server_id);
    add_text(out, "domain", facts->domain);
    add_text(out, "name", facts->server_name);
    add_true_if(out, "is_hub", options->is_hub);
    add_text(out, "cluster", facts->cluster);
    add_true_if(out, "headers", !facts->no_header_support);
    add_true_if(out, "jetstream",
                facts->account_has_jetstream && facts->account_has_jetstream[options->account]);
    add_list(out, "deny_pub", options->deny_imports, options->deny_import_count, false);
    add_true_if(out, "isolate", options->asks_isolation);
    buf_append_lit(out, "\"compress_mode\":\"off\",");
    add_text(out, "remote_account", account);
    add_u64(out, "protocol", 1);
    end_object(out);
    buf_append_lit(out, "\r\n");
}
