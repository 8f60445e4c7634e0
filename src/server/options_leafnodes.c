/* The leafnodes block. */
#include "proto/subject.h"
#include "server/directive.h"

enum { LEAF_PORT_DEFAULT = 7422 };

#define ROW(T, name, kind, member, field)                                                          \
    { name, DIRECTIVE_##kind, offsetof(T, member), 0, 0, NULL, field, 0 }
#define READ(T, name, handler_, member)                                                            \
    { name, DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(T, member), 0, 0, handler_, NULL, 0 }
#define OTHER(name, kind)                                                                          \
    { name, DIRECTIVE_##kind, 0, 0, 0, NULL, NULL, 0 }

static DirectiveHandler read_listen, read_leaf_authorization, read_leaf_users, read_remotes,
    read_urls, read_denied, read_compression, read_min_version, read_leaf_write_timeout;

static const Directive rows[] = {
    {"listen", DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(LeafOptions, host), 0, 0, read_listen,
     "LeafNode.Host", DIRECTIVE_TEXT},
    ROW(LeafOptions, "host|net", TEXT, host, "LeafNode.Host"),
    {"port", DIRECTIVE_INT, offsetof(LeafOptions, port), -1, 65535, NULL, "LeafNode.Port", 0},
    READ(LeafOptions, "authorization", read_leaf_authorization, user),
    READ(LeafOptions, "remotes", read_remotes, remotes),
    ROW(LeafOptions, "reconnect|reconnect_delay|reconnect_interval", DURATION, reconnect_ns, NULL),
    ROW(LeafOptions, "dial_timeout", DURATION, dial_timeout_ns, NULL),
    ROW(LeafOptions, "advertise|leafnode_advertise", TEXT, advertise, NULL),
    ROW(LeafOptions, "no_advertise", BOOL, no_advertise, NULL),
    READ(LeafOptions, "min_version|minimum_version", read_min_version, min_version),
    READ(LeafOptions, "compression", read_compression, port),
    ROW(LeafOptions, "isolate_leafnode_interest|isolate", BOOL, is_isolated, NULL),
    ROW(LeafOptions, "write_deadline", DURATION, write_deadline_ns, NULL),
    READ(LeafOptions, "write_timeout", read_leaf_write_timeout, write_deadline_ns),
    OTHER("tls", REFUSED),
};

typedef struct LeafUser {
    UserOptions user;
    Slice account;
} LeafUser;

static const Directive user_rows[] = {
    ROW(LeafUser, "user|username", TEXT, user.name, NULL),
    ROW(LeafUser, "password|pass", TEXT, user.password, NULL),
    ROW(LeafUser, "account", TEXT, account, NULL),
    OTHER("nkey", REFUSED),
    OTHER("proxy_required", REFUSED),
};

static const Directive authorization_rows[] = {
    ROW(LeafOptions, "user|username", TEXT, user, NULL),
    ROW(LeafOptions, "password|pass", TEXT, password, NULL),
    ROW(LeafOptions, "account", TEXT, account_name, NULL),
    READ(LeafOptions, "timeout", read_auth_timeout, auth_timeout_s),
    READ(LeafOptions, "users", read_leaf_users, users),
    OTHER("nkey", REFUSED),
    OTHER("proxy_required", REFUSED),
};

static const Directive remote_rows[] = {
    READ(LeafRemoteOptions, "url|urls", read_urls, urls),
    ROW(LeafRemoteOptions, "account|local", TEXT, account_name, NULL),
    OTHER("credentials|creds", REFUSED),
    OTHER("nkey|seed", REFUSED),
    OTHER("tls", REFUSED),
    OTHER("proxy", REFUSED),
    ROW(LeafRemoteOptions, "hub", BOOL, is_hub, NULL),
    READ(LeafRemoteOptions, "deny_imports|deny_import", read_denied, deny_imports),
    READ(LeafRemoteOptions, "deny_exports|deny_export", read_denied, deny_exports),
    ROW(LeafRemoteOptions, "no_randomize|dont_randomize", BOOL, is_in_order, NULL),
    ROW(LeafRemoteOptions, "disabled", BOOL, is_disabled, NULL),
    ROW(LeafRemoteOptions, "ignore_discovered_servers", BOOL, ignores_discovered, NULL),
    ROW(LeafRemoteOptions, "isolate_leafnode_interest|isolate", BOOL, is_isolated, NULL),
    ROW(LeafRemoteOptions, "request_isolation", BOOL, asks_isolation, NULL),
    ROW(LeafRemoteOptions, "dial_timeout", DURATION, dial_timeout_ns, NULL),
    ROW(LeafRemoteOptions, "first_info_timeout", DURATION, first_info_timeout_ns, NULL),
    READ(LeafRemoteOptions, "compression", read_compression, account),
    /* Of connections over WebSockets, which are refused by their URLs. */
    OTHER("ws_compression|ws_compress|websocket_compress|websocket_compression", HARMLESS),
    OTHER("ws_no_masking|websocket_no_masking", HARMLESS),
    /* Of clusters. */
    OTHER("jetstream_cluster_migrate|js_cluster_migrate", HARMLESS),
};

DirectiveTable options_leafnodes_table(void) {
    return DIRECTIVE_TABLE(rows);
}

static void read_listen(OptionsReader *reader, const ConfValue *value, void *target) {
    LeafOptions *leafnodes = &reader->options->leafnodes;
    Slice host;
    int64_t port;
    (void)target;
    if (!reader_address(reader, value, &host, &port))
        return;
    leafnodes->host = host;
    leafnodes->port = port;
}

static size_t account_of(OptionsReader *reader, Slice name) {
    return name.len ? reader_account(reader, name) : ACCOUNT_GLOBAL;
}

static void read_leaf_users(OptionsReader *reader, const ConfValue *value, void *target) {
    LeafOptions *leafnodes = &reader->options->leafnodes;
    (void)target;
    if (!reader_want(reader, value, CONF_ARRAY))
        return;
    UserOptions *users =
        arena_zalloc(reader->options->arena, (value->list.count + 1) * sizeof *users);
    size_t count = 0;
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        LeafUser user = {0};
        if (!reader_want(reader, one, CONF_MAP))
            continue;
        size_t errors_before = reader->errors->len;
        directives_read(reader, DIRECTIVE_TABLE(user_rows), one, &user);
        if (reader->errors->len > errors_before)
            continue;
        if (user.user.name.len == 0) {
            reader_fail(reader, one, "User entry requires a user");
            continue;
        }
        user.user.account = account_of(reader, user.account);
        users[count++] = user.user;
    }
    leafnodes->users = users;
    leafnodes->user_count = count;
}

static void read_leaf_authorization(OptionsReader *reader, const ConfValue *value, void *target) {
    LeafOptions *leafnodes = &reader->options->leafnodes;
    (void)target;
    if (!reader_want(reader, value, CONF_MAP))
        return;
    directives_read(reader, DIRECTIVE_TABLE(authorization_rows), value, leafnodes);
    leafnodes->account = account_of(reader, leafnodes->account_name);
    if (leafnodes->user.len && leafnodes->user_count)
        reader_fail(reader, value, "can not have a single user/pass and a users array");
}

/* "off", "accept" and what else begins without compression is as it says; the others are accepted
 * by agreeing on none with the other side. */
static void read_compression(OptionsReader *reader, const ConfValue *value, void *target) {
    static const char *const plain[] = {"off",    "disabled",      "disable",      "false",
                                        "accept", "not_supported", "not supported"};
    static const char *const wanted[] = {"on",
                                         "enabled",
                                         "enable",
                                         "true",
                                         "s2_auto",
                                         "auto",
                                         "s2_fast",
                                         "fast",
                                         "s2_better",
                                         "better",
                                         "s2_best",
                                         "best",
                                         "s2_uncompressed",
                                         "uncompressed"};
    Slice mode = value->text;
    (void)target;
    if (value->type == CONF_MAP) {
        for (const ConfValue *one = value->list.first; one != NULL; one = one->next)
            if (key_is(one, "mode") && one->type == CONF_STRING)
                mode = one->text;
        if (mode.len == 0)
            mode = LIT("s2_auto");
    } else if (value->type == CONF_BOOL) {
        mode = value->flag ? LIT("on") : LIT("off");
    } else if (value->type != CONF_STRING) {
        reader_fail(reader, value,
                    "field \"compression\" should be a boolean or a structure, got %s",
                    conf_type_name(value->type));
        return;
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (slice_equal_ignoring_case(mode, slice_of_text(plain[i])))
            return;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (slice_equal_ignoring_case(mode, slice_of_text(wanted[i]))) {
            reader_warn(
                reader, value,
                "leafnode connections are not compressed: compression \"%.*s\" has no effect",
                SLICE_ARG(mode));
            return;
        }
    reader_fail(reader, value, "unknown compression mode \"%.*s\"", SLICE_ARG(mode));
}

static void read_leaf_write_timeout(OptionsReader *reader, const ConfValue *value, void *target) {
    (void)target;
    if (!reader_want(reader, value, CONF_STRING))
        return;
    if (slice_equal(value->text, LIT("retry")))
        reader_fail(reader, value, "option \"write_timeout: retry\" is not supported yet");
    else if (!slice_equal(value->text, LIT("default")) && !slice_equal(value->text, LIT("close")))
        reader_fail(reader, value, "write_timeout must be 'default', 'close' or 'retry'");
}

/* "2.8.0" or "v2.8.0" and newer. */
static void read_min_version(OptionsReader *reader, const ConfValue *value, void *target) {
    Slice rest, part;
    uint64_t numbers[3] = {0};
    size_t count = 0;
    if (!reader_want(reader, value, CONF_STRING))
        return;
    rest = value->text;
    if (rest.len && rest.ptr[0] == 'v')
        rest = slice_from_at(rest, 1);
    while (count < 3 && slice_cut(&rest, '.', &part) &&
           slice_parse_u64(slice_first(part, slice_find(part, '-')), &numbers[count]) == OK)
        count++;
    if (count < 3)
        reader_fail(reader, value, "invalid leafnode's minimum version: invalid semver");
    else if (numbers[0] < 2 || (numbers[0] == 2 && numbers[1] < 8))
        reader_fail(reader, value, "the minimum version should be at least 2.8.0");
    else
        *(Slice *)target = value->text;
}

/* ---- remotes ---- */

static int hex_of(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static Slice unescape(OptionsReader *reader, Slice text) {
    char *to = arena_alloc(reader->options->arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool is_escape = text.ptr[i] == '%' && i + 2 < text.len && hex_of(text.ptr[i + 1]) >= 0 &&
                         hex_of(text.ptr[i + 2]) >= 0;
        to[len++] = is_escape ? (char)(hex_of(text.ptr[i + 1]) * 16 + hex_of(text.ptr[i + 2]))
                              : text.ptr[i];
        i += is_escape ? 2 : 0;
    }
    return slice_from(to, len);
}

/* "host", "host:port", "[::1]:port". */
static bool split_host(Slice text, LeafUrl *url) {
    size_t colon = text.len;
    uint64_t port = LEAF_PORT_DEFAULT;
    while (colon > 0 && text.ptr[colon - 1] != ':' && text.ptr[colon - 1] != ']')
        colon--;
    Slice host = text;
    if (colon > 0 && text.ptr[colon - 1] == ':') {
        host = slice_first(text, colon - 1);
        if (slice_parse_u64(slice_from_at(text, colon), &port) != OK || port == 0 ||
            port > UINT16_MAX)
            return false;
    }
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_from(host.ptr + 1, host.len - 2);
    url->host = host;
    url->port = (uint16_t)port;
    return host.len > 0;
}

static void read_url(OptionsReader *reader, const ConfValue *at, Slice text, LeafUrl *url) {
    Slice rest = slice_trim(text), scheme = {0};
    size_t sep = slice_find_slice(rest, LIT("://"));
    if (sep < rest.len) {
        scheme = slice_first(rest, sep);
        rest = slice_from_at(rest, sep + 3);
    }
    if (slice_equal_ignoring_case(scheme, LIT("tls")) ||
        slice_equal_ignoring_case(scheme, LIT("ws")) ||
        slice_equal_ignoring_case(scheme, LIT("wss"))) {
        reader_fail(reader, at, "leafnode url with \"%.*s://\" is not supported yet",
                    SLICE_ARG(scheme));
        return;
    }
    rest = slice_first(rest, slice_find(rest, '/'));
    size_t user_len = rest.len;
    while (user_len > 0 && rest.ptr[user_len - 1] != '@')
        user_len--;
    if (user_len > 0) {
        Slice user = slice_first(rest, user_len - 1);
        size_t colon = slice_find(user, ':');
        url->user = unescape(reader, slice_first(user, colon));
        url->has_password = colon < user.len;
        url->password = unescape(reader, slice_from_at(user, colon + 1));
        rest = slice_from_at(rest, user_len);
    }
    if (scheme.len == 0 || !split_host(rest, url))
        reader_fail(reader, at, "error parsing leafnode url [\"%.*s\"]",
                    SLICE_ARG(user_len ? rest : slice_trim(text)));
}

static void read_urls(OptionsReader *reader, const ConfValue *value, void *target) {
    LeafRemoteOptions *remote = (void *)((char *)target - offsetof(LeafRemoteOptions, urls));
    TextList texts = {0};
    if (!reader_texts(reader, value, &texts))
        return;
    LeafUrl *urls = arena_zalloc(reader->options->arena, (texts.count + 1) * sizeof *urls);
    for (size_t i = 0; i < texts.count; i++)
        read_url(reader, value, texts.at[i], &urls[i]);
    remote->urls = urls;
    remote->url_count = texts.count;
}

/* target tells which of the two lists. */
static void read_denied(OptionsReader *reader, const ConfValue *value, void *target) {
    TextList texts = {0};
    if (!reader_texts(reader, value, &texts))
        return;
    for (size_t i = 0; i < texts.count; i++)
        if (!subject_is_valid(texts.at[i]))
            reader_fail(reader, value, "subject \"%.*s\" is not a valid subject",
                        SLICE_ARG(texts.at[i]));
    LeafRemoteOptions *remote = reader->remote;
    if ((void *)target == (void *)&remote->deny_imports) {
        remote->deny_imports = texts.at;
        remote->deny_import_count = texts.count;
    } else {
        remote->deny_exports = texts.at;
        remote->deny_export_count = texts.count;
    }
}

static void read_remotes(OptionsReader *reader, const ConfValue *value, void *target) {
    LeafOptions *leafnodes = &reader->options->leafnodes;
    (void)target;
    if (value->type != CONF_ARRAY) {
        reader_fail(reader, value, "Expected remotes field to be an array, got %s",
                    conf_type_name(value->type));
        return;
    }
    LeafRemoteOptions *remotes =
        arena_zalloc(reader->options->arena, (value->list.count + 1) * sizeof *remotes);
    size_t count = 0;
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        if (one->type != CONF_MAP) {
            reader_fail(reader, one, "Expected remote leafnode entry to be a map/struct, got %s",
                        conf_type_name(one->type));
            continue;
        }
        LeafRemoteOptions *remote = &remotes[count++];
        reader->remote = remote;
        directives_read(reader, DIRECTIVE_TABLE(remote_rows), one, remote);
        reader->remote = NULL;
        remote->account = account_of(reader, remote->account_name);
        if (remote->url_count == 0)
            reader_fail(reader, one, "remote leafnode entry has no url");
    }
    leafnodes->remotes = remotes;
    leafnodes->remote_count = count;
}

void read_leafnodes(OptionsReader *reader, const ConfValue *value, void *target) {
    if (value->type != CONF_MAP) {
        reader_fail(reader, value, "Expected map to define a leafnode, got %s",
                    conf_type_name(value->type));
        return;
    }
    directives_read(reader, DIRECTIVE_TABLE(rows), value, target);
}

/* ---- what depends on the rest ---- */

static bool is_account_known(const Options *options, size_t account) {
    return account <= ACCOUNT_SYSTEM || options->accounts.at[account].is_configured;
}

Status options_check_leafnodes(const Options *options, Buf *out_error) {
    const LeafOptions *leafnodes = &options->leafnodes;
    size_t missing = SIZE_MAX;
    const char *where = "authorization";
    if (!is_account_known(options, leafnodes->account))
        missing = leafnodes->account;
    for (size_t i = 0; i < leafnodes->user_count && missing == SIZE_MAX; i++)
        if (!is_account_known(options, leafnodes->users[i].account))
            missing = leafnodes->users[i].account;
    for (size_t i = 0; i < leafnodes->remote_count && missing == SIZE_MAX; i++)
        if (!is_account_known(options, leafnodes->remotes[i].account)) {
            missing = leafnodes->remotes[i].account;
            where = "remote";
        }
    if (missing == SIZE_MAX)
        return OK;
    buf_printf(out_error, "cannot find local account \"%.*s\" specified in leafnode %s",
               SLICE_ARG(options->accounts.at[missing].name), where);
    return ERR_SYNTAX;
}
