#include "server/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "base/limits.h"
#include "base/mem.h"
#include "io/disk.h"
#include "io/thread.h"
#include "proto/timefmt.h"
#include "server/command_line.h"
#include "server/directive.h"

enum { CONFIG_FILE_BYTES_MAX = 64 * 1024 * 1024 };

/* The user of those who give no credentials when only the system account has users. */
static const char anonymous_user[] = "$G.anonymous";

static Status read_file(void *cookie, const char *path, Buf *out_text, Buf *out_error) {
    char *text;
    size_t len;
    Status status = disk_read_file(path, CONFIG_FILE_BYTES_MAX, &text, &len);

    if (status == OK) {
        buf_append_bytes(out_text, text, len);
        explicit_bzero(text, len); /* there may be keys in it */
        mem_free(text);
        return OK;
    }
    if (status == ERR_FULL) {
        buf_printf(out_error, "open %s: larger than %d bytes", path, CONFIG_FILE_BYTES_MAX);
        return status;
    }
    char reason[128];
    const char *known = strerror_r(errno, reason, sizeof reason);
    Buf lower = {0};
    buf_append(&lower, slice_of_text(known));
    if (lower.len > 0 && lower.ptr[0] >= 'A' && lower.ptr[0] <= 'Z')
        lower.ptr[0] = (char)(lower.ptr[0] | 0x20);
    buf_printf(out_error, "open %s: %s", path, buf_text(&lower));
    buf_done(&lower);
    return status;
}

static const char *environment(void *cookie, const char *name) {
    return getenv(name);
}

void options_free(Options *options) {
    if (options == NULL)
        return;
    options_forget_keys(options);
    for (size_t i = 0; i < options->accounts.len; i++)
        vec_done(&options->accounts.at[i].mappings);
    vec_done(&options->accounts);
    vec_done(&options->authorization.users);
    vec_done(&options->feature_flags);
    vec_done(&options->ignored);
    conf_free(options->conf);
    arena_free(options->arena);
    mem_free(options);
}

size_t options_find_account(const Options *options, Slice name) {
    for (size_t i = 0; i < options->accounts.len; i++)
        if (slice_equal(options->accounts.at[i].name, name))
            return i;
    return SIZE_MAX;
}

/* "sha256:" of the values' JSON and a newline. */
static void make_digest(Options *options, size_t text_len) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    Buf json = {0};

    (void)buf_reserve(&json, text_len * 2 + 4096); /* so that it need not move: keys are in it */
    conf_write_json(&json, conf_root(options->conf));
    buf_append_char(&json, '\n');
    if (EVP_Digest(json.ptr, json.len, hash, &len, EVP_sha256(), NULL) == 1) {
        char *to = options->digest;
        to += snprintf(to, sizeof options->digest, "sha256:");
        for (unsigned i = 0; i < len && i < 32; i++)
            to += snprintf(to, 3, "%02x", hash[i]);
    }
    explicit_bzero(json.ptr, json.len);
    buf_done(&json);
}

static Options *options_new(void) {
    Options *options = mem_zalloc(sizeof *options);
    options->arena = arena_new();
    options->logtime = true;
    options->jetstream.max_memory = options->jetstream.max_file = -1;
    options->jetstream.scrub_interval_ns = 7 * 24 * INT64_C(3600000000000);
    options->jetstream.cipher = CIPHER_NAME_CHACHA;
    options->jetstream.dedup = true;
    options->jetstream.clean = true;
    options->jetstream.scrub_rate = 20 * 1024 * 1024;
    return options;
}

/* The name of the system account decides what accounts[1] is, wherever it stands in the file. */
static void add_fixed_accounts(OptionsReader *reader, const Options *previous) {
    Options *options = reader->options;

    options->system_account = LIT("$SYS");
    for (const ConfValue *value = options->conf ? conf_root(options->conf)->list.first : NULL;
         value != NULL; value = value->next)
        if ((key_is(value, "system_account") || key_is(value, "system")) &&
            value->type == CONF_STRING && value->text.len > 0)
            options->system_account = value->text;
    (void)reader_account(reader, LIT("$G"));
    (void)reader_account(reader, options->system_account);
    for (size_t i = ACCOUNT_SYSTEM + 1; previous != NULL && i < previous->accounts.len; i++)
        (void)reader_account(reader, arena_copy(options->arena, previous->accounts.at[i].name));
}

static void set_default(int64_t *value, int64_t to) {
    if (*value == 0)
        *value = to;
}

static void fill_defaults(Options *options) {
    if (options->host.len == 0)
        options->host = LIT("0.0.0.0");
    if (options->http_host.len == 0)
        options->http_host = options->host;
    if (options->websocket.host.len == 0)
        options->websocket.host = LIT("0.0.0.0");
    if (options->leafnodes.host.len == 0)
        options->leafnodes.host = LIT("0.0.0.0");
    set_default(&options->port, 4222);
    set_default(&options->workers,
                thread_cpu_count() < LIMIT_WORKERS ? thread_cpu_count() : LIMIT_WORKERS);
    set_default(&options->max_connections, 65536);
    set_default(&options->max_control_line, LIMIT_CONTROL_LINE_BYTES);
    set_default(&options->max_payload, 1024 * 1024);
    set_default(&options->max_pending, 64 * 1024 * 1024);
    set_default(&options->max_closed_clients, 10000);
    set_default(&options->ping_interval_ns, 120 * INT64_C(1000000000));
    set_default(&options->ping_max, 2);
    set_default(&options->write_deadline_ns, 10 * INT64_C(1000000000));
    set_default(&options->lame_duck_duration_ns, 120 * INT64_C(1000000000));
    set_default(&options->lame_duck_grace_ns, 10 * INT64_C(1000000000));
    if (options->authorization.timeout_s == 0)
        options->authorization.timeout_s = 2;
}

static bool is_plain(Slice secret) {
    return secret.len > 0 &&
           !(slice_starts_with(secret, LIT("$2")) && secret.len > 4 && secret.ptr[3] == '$');
}

/* Users as the credentials know them, JetStream of the global account, what the log should warn of.
 */
static void resolve(Options *options) {
    AuthorizationOptions *auth = &options->authorization;
    size_t system_users = 0, configured = 0;
    bool has_single = auth->user.len > 0;

    for (size_t i = 0; i < auth->users.len; i++) {
        options->has_plain_passwords =
            options->has_plain_passwords || is_plain(auth->users.at[i].password);
        system_users += auth->users.at[i].account == ACCOUNT_SYSTEM;
    }
    options->has_plain_passwords =
        options->has_plain_passwords || is_plain(auth->token) || is_plain(auth->password);
    for (size_t i = 0; i < options->accounts.len; i++)
        configured += i > ACCOUNT_SYSTEM && options->accounts.at[i].is_configured;
    if (configured == 0)
        options->accounts.at[ACCOUNT_GLOBAL].has_jetstream = true;

    if (has_single) {
        UserOptions user = {
            .name = auth->user, .password = auth->password, .account = ACCOUNT_GLOBAL};
        vec_push(&auth->users, user);
    }
    if (configured == 0 && system_users > 0 && system_users == auth->users.len &&
        !auth->is_configured && auth->token.len == 0 && options->no_auth_user.len == 0) {
        UserOptions user = {.name = slice_of_text(anonymous_user), .account = ACCOUNT_GLOBAL};
        vec_push(&auth->users, user);
        options->no_auth_user = user.name;
        options->is_system_only = true;
    }
}

static Status parse_conf(Options *options, Slice file_name, Slice text, const ConfSource *source,
                         Buf *errors, Buf *warnings) {
    options->config_file = arena_copy(options->arena, file_name);
    Status status = conf_parse(file_name, text, source, errors, &options->conf);
    if (status != OK) {
        buf_append_char(errors, '\n');
        return status;
    }
    make_digest(options, text.len);
    if (conf_root(options->conf)->list.count == 0)
        buf_printf(warnings, "%.*s: config has no values or is empty\n", SLICE_ARG(file_name));
    return OK;
}

/* source NULL: there is no file. */
static Status build(const CommandLine *line, const Options *previous, Slice file_name, Slice text,
                    const ConfSource *source, Buf *errors, Buf *warnings, Options **out_options) {
    Options *options = options_new();
    OptionsReader reader = {.options = options, .errors = errors, .warnings = warnings};
    size_t errors_before = errors->len;
    Status status = source ? parse_conf(options, file_name, text, source, errors, warnings) : OK;

    if (status == OK) {
        add_fixed_accounts(&reader, previous);
        if (options->conf != NULL)
            directives_read(&reader, options_top_table(), conf_root(options->conf), options);
        check_authorization(&reader);
        if (errors->len > errors_before)
            status = ERR_SYNTAX;
    }
    map_done(&reader.accounts);
    map_done(&reader.users);
    if (status != OK) {
        options_free(options);
        return status;
    }
    if (line != NULL)
        command_line_apply(line, options);
    fill_defaults(options);
    resolve(options);
    options_hide_keys(options);
    *out_options = options;
    return OK;
}

Status options_parse(const CommandLine *line, const Options *previous, Slice file_name, Slice text,
                     const ConfSource *source, Buf *out_errors, Buf *out_warnings,
                     Options **out_options) {
    return build(line, previous, file_name, text, source, out_errors, out_warnings, out_options);
}

Status options_load(const CommandLine *line, const Options *previous, Buf *out_errors,
                    Buf *out_warnings, Options **out_options) {
    ConfSource source = {NULL, read_file, environment};
    Buf text = {0};

    if (line->config_file.len == 0)
        return build(line, previous, (Slice){0}, (Slice){0}, NULL, out_errors, out_warnings,
                     out_options);
    char *path = slice_to_text(line->config_file);
    Status status = read_file(NULL, path, &text, out_errors);
    if (status != OK)
        buf_append_char(out_errors, '\n');
    else
        status = build(line, previous, line->config_file, buf_slice(&text), &source, out_errors,
                       out_warnings, out_options);
    mem_free(path);
    if (text.len)
        explicit_bzero(text.ptr, text.len);
    buf_done(&text);
    return status;
}

static Status check_names(const Options *options, Buf *error) {
    Slice domain = options->jetstream.domain;
    bool has_user = options->no_auth_user.len == 0;

    for (size_t i = 0; i < options->authorization.users.len; i++)
        has_user =
            has_user || slice_equal(options->authorization.users.at[i].name, options->no_auth_user);
    if (!has_user)
        buf_printf(error,
                   "no_auth_user: \"%.*s\" not present as user or nkey in authorization block or "
                   "account configuration",
                   SLICE_ARG(options->no_auth_user));
    else if (!slice_equal(options->system_account, LIT("$SYS")) &&
             !slice_equal(options->system_account, LIT("$G")) &&
             !options->accounts.at[ACCOUNT_SYSTEM].is_configured)
        buf_printf(error, "error resolving system account: account missing");
    else if (slice_find(options->server_name, ' ') < options->server_name.len)
        buf_printf(error, "server name cannot contain spaces");
    else if (options->jetstream.is_enabled && options->accounts.at[ACCOUNT_SYSTEM].has_jetstream)
        buf_printf(error, "jetstream can not be enabled on the system account");
    for (size_t i = 0; i < domain.len && error->len == 0; i++)
        if (strchr(" .*>\t", domain.ptr[i]) != NULL)
            buf_printf(error, "invalid domain name: may not contain \".\", \"*\", \">\" or blanks");
    return error->len > 0 ? ERR_SYNTAX : OK;
}

Status options_check_start(const Options *options, Buf *out_error) {
    if (options->max_payload > options->max_pending)
        buf_printf(out_error, "max_payload (%lld) cannot be higher than max_pending (%lld)",
                   (long long)options->max_payload, (long long)options->max_pending);
    else if (options->max_payload > LIMIT_PAYLOAD_BYTES)
        buf_printf(out_error, "max_payload (%lld) cannot be higher than %d",
                   (long long)options->max_payload, LIMIT_PAYLOAD_BYTES);
    else if (options->port < -1 || options->port > 65535)
        buf_printf(out_error, "port %lld is out of range", (long long)options->port);
    else if (options->http_port < -1 || options->http_port > 65535)
        buf_printf(out_error, "http_port %lld is out of range", (long long)options->http_port);
    else if (options->websocket.port != 0 && !options->websocket.is_without_tls)
        buf_append_lit(out_error, "websocket requires TLS configuration");
    else if (options->workers < 0 || options->workers > LIMIT_WORKERS)
        buf_printf(out_error, "workers must be 1 to %d", LIMIT_WORKERS);
    else if (options->lame_duck_grace_ns >= options->lame_duck_duration_ns) {
        buf_append_lit(out_error, "lame duck grace period (");
        duration_write(out_error, options->lame_duck_grace_ns);
        buf_append_lit(out_error, ") should be strictly lower than lame duck duration (");
        duration_write(out_error, options->lame_duck_duration_ns);
        buf_append_char(out_error, ')');
    } else if (options_check_leafnodes(options, out_error) == OK) {
        return check_names(options, out_error);
    }
    return ERR_SYNTAX;
}
