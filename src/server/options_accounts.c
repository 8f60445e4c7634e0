/* Accounts, users and authorization. */
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "server/directive.h"

#define ROW(T, name, kind, member, ...)                                                            \
    { name, DIRECTIVE_##kind, offsetof(T, member), __VA_ARGS__ }
#define READ(T, name, handler_, member)                                                            \
    { name, DIRECTIVE_WHAT_HANDLER_SAYS, offsetof(T, member), 0, 0, handler_, NULL }
#define OTHER(name, kind)                                                                          \
    { name, DIRECTIVE_##kind, 0, 0, 0, NULL, NULL }

static DirectiveHandler read_users, read_account_jetstream, read_account_limits,
    read_connection_types, read_trace;

static const Directive limits_rows[] = {
    ROW(AccountOptions, "max_connections|max_conn", INT, max_connections, -1, INT32_MAX, NULL,
        NULL),
    ROW(AccountOptions, "max_subscriptions|max_subs", INT, max_subs, -1, INT32_MAX, NULL, NULL),
    ROW(AccountOptions, "max_payload|max_pay", INT, max_payload, -1, INT32_MAX, NULL, NULL),
    ROW(AccountOptions, "max_leafnodes|max_leafs", INT, max_leafs, -1, INT32_MAX, NULL, NULL),
};

static const Directive jetstream_rows[] = {
    ROW(AccountJetStreamOptions, "max_memory|max_mem|mem|memory", INT, max_memory, -1, INT64_MAX,
        NULL, NULL),
    ROW(AccountJetStreamOptions, "max_file|max_store|max_disk|store|disk", INT, max_file, -1,
        INT64_MAX, NULL, NULL),
    ROW(AccountJetStreamOptions, "max_streams|streams", INT, max_streams, -1, INT64_MAX, NULL,
        NULL),
    ROW(AccountJetStreamOptions, "max_consumers|consumers", INT, max_consumers, -1, INT64_MAX, NULL,
        NULL),
    ROW(AccountJetStreamOptions, "max_bytes_required|max_stream_bytes|max_bytes", BOOL,
        max_bytes_required, 0, 0, NULL, NULL),
    ROW(AccountJetStreamOptions, "mem_max_stream_bytes|memory_max_stream_bytes", INT,
        memory_stream_max, -1, INT64_MAX, NULL, NULL),
    ROW(AccountJetStreamOptions, "disk_max_stream_bytes|store_max_stream_bytes", INT,
        file_stream_max, -1, INT64_MAX, NULL, NULL),
    ROW(AccountJetStreamOptions, "dedup", BOOL, dedup, 0, 0, NULL, NULL),
    ROW(AccountJetStreamOptions, "max_ack_pending", INT, max_ack_pending, -1, INT64_MAX, NULL,
        NULL),
    OTHER("cluster_traffic", HARMLESS),
};

static const Directive account_rows[] = {
    READ(AccountOptions, "users", read_users, name),
    READ(AccountOptions, "jetstream", read_account_jetstream, name),
    READ(AccountOptions, "limits", read_account_limits, name),
    READ(AccountOptions, "default_permissions", read_permissions, default_permissions),
    READ(AccountOptions, "mappings|maps", read_mappings, mappings),
    OTHER("imports", REFUSED),
    OTHER("exports", REFUSED),
    OTHER("nkey", REFUSED),
    READ(AccountOptions, "msg_trace|trace_dest", read_trace, name),
};

static const Directive user_rows[] = {
    ROW(UserOptions, "user|username", TEXT, name, 0, 0, NULL, NULL),
    ROW(UserOptions, "password|pass", TEXT, password, 0, 0, NULL, NULL),
    READ(UserOptions, "permissions|permission|authorization", read_permissions, permissions),
    READ(UserOptions, "allowed_connection_types|connection_types|clients", read_connection_types,
         connections),
    OTHER("nkey", REFUSED),
    OTHER("proxy_required", REFUSED),
};

static const Directive authorization_rows[] = {
    ROW(AuthorizationOptions, "user|username", TEXT, user, 0, 0, NULL, NULL),
    ROW(AuthorizationOptions, "password|pass", TEXT, password, 0, 0, NULL, NULL),
    ROW(AuthorizationOptions, "token", TEXT, token, 0, 0, NULL, NULL),
    READ(AuthorizationOptions, "timeout", read_auth_timeout, timeout_s),
    READ(AuthorizationOptions, "users", read_users, users),
    READ(AuthorizationOptions, "default_permissions|default_permission|permissions",
         read_permissions, default_permissions),
    OTHER("auth_callout|auth_hook", REFUSED),
    OTHER("proxy_required", REFUSED),
};

static AccountOptions *account_at(OptionsReader *reader) {
    return &reader->options->accounts.at[reader->account];
}

size_t reader_account(OptionsReader *reader, Slice name) {
    size_t known = (size_t)(uintptr_t)map_get(&reader->accounts, name);
    if (known > 0)
        return known - 1;

    AccountOptions account = {.name = name, .jetstream = {-1, -1, -1, -1, -1, -1, -1, false, true}};
    vec_push(&reader->options->accounts, account);
    size_t index = reader->options->accounts.len;
    (void)map_put(&reader->accounts, name, (void *)(uintptr_t)index);
    return index - 1;
}

/* Users of an account without permissions of their own have the account's. */
static void give_default_permissions(Options *options, size_t account,
                                     const PermissionsOptions *defaults) {
    for (size_t i = 0; i < options->authorization.users.len; i++) {
        UserOptions *user = &options->authorization.users.at[i];
        if (user->account == account && !user->permissions.is_set)
            user->permissions = *defaults;
    }
}

static bool is_reserved(OptionsReader *reader, const ConfValue *at, Slice name) {
    if (!slice_equal(name, LIT("$G")))
        return false;
    reader_fail(reader, at, "\"$G\" is a Reserved Account");
    return true;
}

static void read_account_names(OptionsReader *reader, const ConfValue *array) {
    for (const ConfValue *one = array->list.first; one != NULL; one = one->next) {
        if (one->type != CONF_STRING)
            reader_fail(reader, one, "Expected an account name, got %s", conf_type_name(one->type));
        else if (!is_reserved(reader, one, one->text)) {
            AccountOptions *account =
                &reader->options->accounts.at[reader_account(reader, one->text)];
            if (account->is_configured)
                reader_fail(reader, one, "Duplicate Account Entry: %.*s", SLICE_ARG(one->text));
            account->is_configured = true;
        }
    }
}

void read_accounts(OptionsReader *reader, const ConfValue *value, void *target) {
    reader->options->has_accounts = true;
    if (value->type == CONF_ARRAY) {
        read_account_names(reader, value);
        return;
    }
    if (!reader_want(reader, value, CONF_MAP))
        return;
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        if (one->was_used || is_reserved(reader, one, one->key))
            continue;
        if (one->type != CONF_MAP) {
            reader_fail(reader, one, "Expected map entries for accounts");
            continue;
        }
        reader->account = reader_account(reader, one->key);
        account_at(reader)->is_configured = true;
        directives_read(reader, DIRECTIVE_TABLE(account_rows), one, account_at(reader));
        give_default_permissions(reader->options, reader->account,
                                 &account_at(reader)->default_permissions);
    }
    reader->account = ACCOUNT_GLOBAL;
}

static void read_account_limits(OptionsReader *reader, const ConfValue *value, void *target) {
    directives_read(reader, DIRECTIVE_TABLE(limits_rows), value, account_at(reader));
}

static void read_account_jetstream(OptionsReader *reader, const ConfValue *value, void *target) {
    AccountOptions *account = account_at(reader);

    if (value->type == CONF_BOOL) {
        account->has_jetstream = value->flag;
    } else if (value->type == CONF_MAP) {
        account->has_jetstream = true;
        directives_read(reader, DIRECTIVE_TABLE(jetstream_rows), value, &account->jetstream);
    } else if (value->type != CONF_STRING) {
        reader_fail(reader, value, "Expected map, bool or string to define JetStream, got %s",
                    conf_type_name(value->type));
    } else if (slice_equal_ignoring_case(value->text, LIT("enabled")) ||
               slice_equal_ignoring_case(value->text, LIT("enable"))) {
        account->has_jetstream = true;
    } else if (value_asks_nothing(value) && value->text.len > 0) {
        account->has_jetstream = false;
    } else {
        reader_fail(reader, value, "Expected 'enabled' or 'disabled' for string value, got '%.*s'",
                    SLICE_ARG(value->text));
    }
}

static void read_trace_dest(OptionsReader *reader, const ConfValue *value) {
    if (value->type != CONF_STRING)
        reader_fail(reader, value, "Field \"dest\" should be a string, got %s",
                    conf_type_name(value->type));
    else if (!subject_is_valid(value->text) || !subject_is_literal(value->text))
        reader_fail(reader, value, "Trace destination \"%.*s\" is not valid",
                    SLICE_ARG(value->text));
    else
        account_at(reader)->trace_dest = value->text;
}

static void read_trace_sampling(OptionsReader *reader, const ConfValue *value) {
    int64_t percent = 0;
    Slice text = value->text;
    if (value->type == CONF_INT) {
        percent = value->integer;
    } else if (value->type != CONF_STRING) {
        reader_fail(reader, value,
                    "Trace destination sampling field \"sampling\" should be an integer or a "
                    "percentage, got %s",
                    conf_type_name(value->type));
        return;
    } else {
        if (text.len && text.ptr[text.len - 1] == '%')
            text = slice_first(text, text.len - 1);
        if (slice_parse_i64(text, &percent)) {
            reader_fail(reader, value, "Invalid trace destination sampling value \"%.*s\"",
                        SLICE_ARG(value->text));
            return;
        }
    }
    if (percent <= 0 || percent > 100)
        reader_fail(reader, value,
                    "Ttrace destination sampling value %lld is invalid, needs to be [1..100]",
                    (long long)percent);
    else
        account_at(reader)->trace_percent = percent;
}

static void read_trace(OptionsReader *reader, const ConfValue *value, void *target) {
    AccountOptions *account = account_at(reader);
    size_t errors_before = reader->errors->len;
    if (value->type == CONF_STRING) {
        read_trace_dest(reader, value);
    } else if (value->type != CONF_MAP) {
        reader_fail(
            reader, value,
            "Expected account message trace \"%.*s\" to be a string or a map/struct, got %s",
            SLICE_ARG(value->key), conf_type_name(value->type));
        return;
    } else {
        for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
            if (key_is(one, "dest"))
                read_trace_dest(reader, one);
            else if (key_is(one, "sampling"))
                read_trace_sampling(reader, one);
            else if (!one->was_used)
                reader_fail(reader, one,
                            "Unknown field \"%.*s\" parsing account message trace map/struct "
                            "\"%.*s\"",
                            SLICE_ARG(one->key), SLICE_ARG(value->key));
        }
    }
    if (account->trace_percent && !account->trace_dest.len && reader->errors->len == errors_before)
        reader_fail(reader, value,
                    "Trace destination sampling ignored since no destination was set");
}

static void read_user(OptionsReader *reader, const ConfValue *value) {
    UserOptions user = {.account = reader->account};

    if (value->type != CONF_MAP) {
        reader_fail(reader, value, "Expected user entry to be a map/struct, got %s",
                    conf_type_name(value->type));
        return;
    }
    size_t errors_before = reader->errors->len;
    directives_read(reader, DIRECTIVE_TABLE(user_rows), value, &user);
    if (reader->errors->len > errors_before)
        return;
    if (user.name.len == 0) {
        reader_fail(reader, value, "User entry requires a user");
        return;
    }
    if (map_get(&reader->users, user.name) != NULL) {
        reader_fail(reader, value, "Duplicate user \"%.*s\" detected", SLICE_ARG(user.name));
        return;
    }
    (void)map_put(&reader->users, user.name, (void *)(uintptr_t)value);
    vec_push(&reader->options->authorization.users, user);
}

static void read_users(OptionsReader *reader, const ConfValue *value, void *target) {
    if (value->type != CONF_ARRAY) {
        Buf shown = {0};
        conf_write_plain(&shown, value);
        reader_fail(reader, value, "Expected users field to be an array, got %s",
                    value->type == CONF_INT ? buf_text(&shown) : conf_type_name(value->type));
        buf_done(&shown);
        return;
    }
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next)
        read_user(reader, one);
}

static void read_connection_types(OptionsReader *reader, const ConfValue *value, void *target) {
    static const struct {
        const char *name;
        AuthConnection way;
    } known[] = {{"STANDARD", AUTH_STANDARD}, {"WEBSOCKET", AUTH_WEBSOCKET},
                 {"LEAFNODE", AUTH_LEAFNODE}, {"LEAFNODE_WS", AUTH_ELSE},
                 {"MQTT", AUTH_ELSE},         {"MQTT_WS", AUTH_ELSE},
                 {"IN_PROCESS", AUTH_ELSE}};
    unsigned *ways = target;
    TextList types = {0};

    if (!reader_texts(reader, value, &types))
        return;
    for (size_t i = 0; i < types.count; i++) {
        unsigned way = 0;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            if (slice_equal_ignoring_case(types.at[i], slice_of_text(known[k].name)))
                way = known[k].way;
        if (way == 0)
            reader_fail(reader, value, "invalid connection types [\"%.*s\"]",
                        SLICE_ARG(types.at[i]));
        *ways |= way;
    }
}

void read_auth_timeout(OptionsReader *reader, const ConfValue *value, void *target) {
    double *out = target;
    int64_t ns;

    if (value->type == CONF_INT) {
        *out = (double)value->integer;
    } else if (value->type == CONF_FLOAT) {
        *out = value->number;
    } else if (value->type == CONF_STRING) {
        if (!reader_duration(reader, value, false, &ns))
            return;
        *out = (double)ns / 1e9;
    } else {
        reader_fail(reader, value, "error parsing authorization config, 'timeout' wrong type");
        return;
    }
    if (*out < 0)
        reader_fail(reader, value, "'timeout' can not be negative");
    else if (*out > 60)
        reader_warn(
            reader, value,
            "invalid use of field \"timeout\": timeout of %.0f seconds is high, consider keeping "
            "it under 60 "
            "seconds. possibly caused by unquoted duration; use '1m' instead of 1m, for example",
            *out);
}

void read_authorization(OptionsReader *reader, const ConfValue *value, void *target) {
    AuthorizationOptions *auth = target;

    reader->authorization_at = value;
    reader->account = ACCOUNT_GLOBAL;
    auth->is_configured = true;
    directives_read(reader, DIRECTIVE_TABLE(authorization_rows), value, auth);
    give_default_permissions(reader->options, ACCOUNT_GLOBAL, &auth->default_permissions);
}

void check_authorization(OptionsReader *reader) {
    const AuthorizationOptions *auth = &reader->options->authorization;
    bool has_users = auth->users.len > 0;

    if (reader->authorization_at == NULL)
        return;
    if ((auth->user.len > 0 || auth->password.len > 0) && auth->token.len > 0)
        reader_fail(reader, reader->authorization_at, "Cannot have a user/pass and token");
    if (auth->user.len > 0 && has_users)
        reader_fail(reader, reader->authorization_at,
                    "Can not have a single user/pass and a users array");
    if (auth->token.len > 0 && has_users)
        reader_fail(reader, reader->authorization_at, "Can not have a token and a users array");
}

void read_global_mappings(OptionsReader *reader, const ConfValue *value, void *target) {
    read_mappings(reader, value, &reader->options->accounts.at[ACCOUNT_GLOBAL].mappings);
}
