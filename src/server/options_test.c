#include "server/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/command_line.h"

#define SECOND INT64_C(1000000000)

static Status no_file(void *cookie, const char *path, Buf *out_text, Buf *out_error) {
    buf_printf(out_error, "open %s: no such file or directory", path);
    return ERR_NOT_FOUND;
}

static const char *no_variable(void *cookie, const char *name) {
    return NULL;
}

static const ConfSource source = {NULL, no_file, no_variable};

static Status load(const char *text, const CommandLine *line, const Options *previous, Buf *errors,
                   Buf *warnings, Options **out) {
    return options_parse(line, previous, LIT("f.conf"), slice_of_text(text), &source, errors,
                         warnings, out);
}

static Options *must_load(const char *text) {
    Buf errors = {0}, warnings = {0};
    Options *options = NULL;
    if (load(text, NULL, NULL, &errors, &warnings, &options) != OK)
        fail_msg("%s\n%s", text, buf_text(&errors));
    buf_done(&errors);
    buf_done(&warnings);
    return options;
}

static void assert_slice(Slice have, const char *want) {
    if (!slice_equal(have, slice_of_text(want)))
        fail_msg("have \"%.*s\", want \"%s\"", SLICE_ARG(have), want);
}

static void nothing_configured_gives_the_defaults(void **state) {
    Options *options = must_load("");
    assert_int_equal(options->port, 4222);
    assert_slice(options->host, "0.0.0.0");
    assert_int_equal(options->max_payload, 1048576);
    assert_int_equal(options->max_pending, 64 * 1048576);
    assert_int_equal(options->max_connections, 65536);
    assert_int_equal(options->ping_interval_ns, 120 * SECOND);
    assert_int_equal(options->ping_max, 2);
    assert_int_equal(options->write_deadline_ns, 10 * SECOND);
    assert_int_equal(options->lame_duck_duration_ns, 120 * SECOND);
    assert_int_equal(options->lame_duck_grace_ns, 10 * SECOND);
    assert_true(options->logtime);
    assert_false(options->jetstream.is_enabled);
    assert_int_equal(options->jetstream.sync_interval_ns, 0);
    assert_int_equal(options->jetstream.scrub_interval_ns, 7 * 86400 * SECOND);
    assert_int_equal(options->jetstream.scrub_rate, 20 * 1048576);
    assert_int_equal(options->accounts.len, 2);
    assert_slice(options->accounts.at[ACCOUNT_GLOBAL].name, "$G");
    assert_slice(options->accounts.at[ACCOUNT_SYSTEM].name, "$SYS");
    assert_true(options->accounts.at[ACCOUNT_GLOBAL].has_jetstream);
    options_free(options);
}

static void scrubbing_is_set_in_several_ways(void **state) {
    static const struct {
        const char *text;
        int64_t interval_ns, rate;
    } cases[] = {
        {"jetstream { scrub: off }", 0, 20 * 1048576},
        {"jetstream { scrub: false }", 0, 20 * 1048576},
        {"jetstream { scrub: \"3d\" }", 3 * 86400 * SECOND, 20 * 1048576},
        {"jetstream { scrub: { interval: \"12h\", rate: \"5M\" } }", 12 * 3600 * SECOND,
         5 * 1048576},
        {"jetstream { scrub: { rate: 1000 } }", 7 * 86400 * SECOND, 1000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Options *options = must_load(cases[i].text);
        assert_int_equal(options->jetstream.scrub_interval_ns, cases[i].interval_ns);
        assert_int_equal(options->jetstream.scrub_rate, cases[i].rate);
        options_free(options);
    }
}

static void storing_equal_payloads_once_can_be_switched_off(void **state) {
    static const struct {
        const char *text;
        bool server, account;
    } cases[] = {
        {"jetstream {}\naccounts { A { jetstream { max_streams: 1 } } }", true, true},
        {"jetstream { dedup: off }\naccounts { A { jetstream: enabled } }", false, true},
        {"jetstream { dedup: on }\naccounts { A { jetstream { dedup: off } } }", true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Options *options = must_load(cases[i].text);
        assert_int_equal(options->jetstream.dedup, cases[i].server);
        assert_int_equal(options->accounts.at[2].jetstream.dedup, cases[i].account);
        options_free(options);
    }
}

static void top_level_options_are_read(void **state) {
    Options *options = must_load(
        "server_name: one\nlisten: \"[::1]:4333\"\nhttp: 127.0.0.1:-1\nworkers: 3\n"
        "debug: true\ntrace: on\nlogtime: false\nlog_file: '/tmp/l'\nlog_size_limit: 1MB\n"
        "max_conn: 5\nmax_control_line: 2KB\nmax_payload: 64KB\nmax_pending: 128KB\n"
        "max_subs: 7\nmax_subscription_tokens: 8\nping_interval: \"30s\"\nping_max: 4\n"
        "write_deadline: 3s\nlame_duck_duration: \"40s\"\nlame_duck_grace_period: \"5s\"\n"
        "server_tags: [a, b]\nserver_metadata { k: v }\nfeature_flags { f: true }\n"
        "pid_file: p\nports_file_dir: q\nno_header_support: true\n"
        "jetstream { store_dir: s, max_mem: 1G, max_file: \"2G\", domain: hub, strict: false\n"
        "  sync_interval: \"10s\"\n  limits { max_ack_pending: 5, duplicate_window: \"1h\" } }\n");
    assert_slice(options->server_name, "one");
    assert_slice(options->host, "::1");
    assert_int_equal(options->port, 4333);
    assert_slice(options->http_host, "127.0.0.1");
    assert_int_equal(options->http_port, -1);
    assert_int_equal(options->workers, 3);
    assert_true(options->debug && options->trace && !options->logtime);
    assert_int_equal(options->log_size_limit, 1048576);
    assert_int_equal(options->max_connections, 5);
    assert_int_equal(options->max_control_line, 2048);
    assert_int_equal(options->max_payload, 65536);
    assert_int_equal(options->max_subs, 7);
    assert_int_equal(options->max_sub_tokens, 8);
    assert_int_equal(options->ping_interval_ns, 30 * SECOND);
    assert_int_equal(options->write_deadline_ns, 3 * SECOND);
    assert_int_equal(options->lame_duck_duration_ns, 40 * SECOND);
    assert_int_equal(options->lame_duck_grace_ns, 5 * SECOND);
    assert_int_equal(options->tags.count, 2);
    assert_slice(options->tags.at[1], "b");
    assert_int_equal(options->metadata.count, 2);
    assert_slice(options->metadata.at[1], "v");
    assert_true(options->feature_flags.len == 1 && options->feature_flags.at[0].is_on);
    assert_true(options->jetstream.is_enabled && options->jetstream.is_not_strict);
    assert_slice(options->jetstream.store_dir, "s");
    assert_slice(options->jetstream.domain, "hub");
    assert_int_equal(options->jetstream.max_memory, 1000000000);
    assert_int_equal(options->jetstream.max_file, INT64_C(2) << 30);
    assert_int_equal(options->jetstream.sync_interval_ns, 10 * SECOND);
    assert_int_equal(options->jetstream.limits.max_ack_pending, 5);
    assert_int_equal(options->jetstream.limits.duplicate_window_ns, 3600 * SECOND);
    options_free(options);
}

static void accounts_and_users_are_read(void **state) {
    Options *options = must_load(
        "accounts {\n"
        " A { jetstream: enabled, users: [ {user: a, password: $2a$04$abcdefghijklmnopqrstuv} ]\n"
        "   default_permissions { publish: \"a.>\", allow_responses: { max: 3, expires: \"1m\" } "
        "}\n"
        "   mappings { x: y, z: [ {dest: z1, weight: 50%}, {dest: z2, weight: 50} ] }\n"
        "   limits { max_connections: 10, max_subs: 20, max_payload: 1kb } }\n"
        " B { jetstream { max_mem: 1MB, max_streams: 2 }\n"
        "   users: [ { user: b, pass: p, permissions { subscribe: {allow: [\"q.> g\", r], deny: d} "
        "} } ] }\n"
        " $SYS { users: [ { user: admin, password: p } ] }\n"
        "}\nno_auth_user: a\n");
    assert_int_equal(options->accounts.len, 4);
    const AccountOptions *a = &options->accounts.at[options_find_account(options, LIT("A"))];
    assert_true(a->has_jetstream);
    assert_int_equal(a->max_connections, 10);
    assert_int_equal(a->max_subs, 20);
    assert_int_equal(a->max_payload, 1024);
    assert_int_equal(a->mappings.len, 2);
    assert_int_equal(a->mappings.at[1].count, 2);
    assert_int_equal(a->mappings.at[1].dests[0].weight_percent, 50);
    const AccountOptions *b = &options->accounts.at[options_find_account(options, LIT("B"))];
    assert_int_equal(b->jetstream.max_memory, 1048576);
    assert_int_equal(b->jetstream.max_streams, 2);
    assert_int_equal(b->jetstream.max_file, -1);
    assert_false(options->accounts.at[ACCOUNT_GLOBAL].has_jetstream);

    const AuthorizationOptions *auth = &options->authorization;
    assert_int_equal(auth->users.len, 3);
    assert_slice(auth->users.at[0].password, "$2a$04$abcdefghijklmnopqrstuv");
    assert_true(auth->users.at[0].permissions.is_set);
    assert_slice(auth->users.at[0].permissions.publish.allow[0], "a.>");
    assert_true(auth->users.at[0].permissions.has_responses);
    assert_int_equal(auth->users.at[0].permissions.responses_max, 3);
    assert_int_equal(auth->users.at[0].permissions.responses_expire_ns, 60 * SECOND);
    assert_int_equal(auth->users.at[1].permissions.subscribe.allow_count, 2);
    assert_int_equal(auth->users.at[1].permissions.subscribe.deny_count, 1);
    assert_false(auth->users.at[1].permissions.publish.has_allow);
    assert_int_equal(auth->users.at[2].account, ACCOUNT_SYSTEM);
    assert_true(options->has_plain_passwords);
    options_free(options);
}

static void authorization_gives_users_of_the_global_account(void **state) {
    Options *options =
        must_load("authorization { default_permissions { publish: x }\n timeout: \"500ms\"\n"
                  " users: [ {user: a, password: b}, {user: c, password: d, permissions: {}} ] }");
    const AuthorizationOptions *auth = &options->authorization;
    assert_int_equal(auth->users.len, 2);
    assert_int_equal(auth->users.at[0].account, ACCOUNT_GLOBAL);
    assert_slice(auth->users.at[0].permissions.publish.allow[0], "x");
    assert_false(auth->users.at[1].permissions.publish.has_allow);
    assert_true(auth->timeout_s == 0.5);
    options_free(options);

    options = must_load("authorization { user: a, password: b }");
    assert_int_equal(options->authorization.users.len, 1);
    assert_slice(options->authorization.users.at[0].name, "a");
    options_free(options);
}

static void users_of_the_system_account_alone_let_others_in_without_any(void **state) {
    Options *options = must_load("accounts { $SYS { users: [ {user: s, password: p} ] } }");
    assert_true(options->is_system_only);
    assert_int_equal(options->authorization.users.len, 2);
    assert_true(slice_equal(options->no_auth_user, options->authorization.users.at[1].name));
    assert_int_equal(options->authorization.users.at[1].account, ACCOUNT_GLOBAL);
    options_free(options);

    options =
        must_load("system_account: ADM\naccounts { ADM { users: [ {user: s, password: p} ] } }");
    assert_slice(options->accounts.at[ACCOUNT_SYSTEM].name, "ADM");
    assert_true(options->is_system_only);
    options_free(options);
}

static void what_is_wrong_is_said_with_its_place(void **state) {
    static const char *const cases[][2] = {
        {"port 4222\nbogus: 1", "f.conf:2:1: unknown field \"bogus\"\n"},
        {"debug: 3", "f.conf:1:1: expected true or false for \"debug\": interface conversion: "
                     "interface {} is int64, "
                     "not bool\n"},
        {"a1: 1\nb1: 2", "f.conf:1:1: unknown field \"a1\"\nf.conf:2:1: unknown field \"b1\"\n"},
        {"listen: \"a:b:1\"", "f.conf:1:1: could not parse address string \"a:b:1\"\n"},
        {"listen: \"a:b\"", "f.conf:1:1: could not parse port \"b\"\n"},
        {"listen: { }", "f.conf:1:1: expected port or host:port, got map[string]interface {}\n"},
        {"ping_interval: \"abc\"",
         "f.conf:1:1: error parsing ping_interval: time: invalid duration \"abc\"\n"},
        {"lame_duck_duration: \"5s\"",
         "f.conf:1:1: invalid lame_duck_duration of 5s, minimum is 30 seconds\n"},
        {"server_name: 'a b'", "f.conf:1:1: server name cannot contain spaces\n"},
        {"max_payload: 3GB", "f.conf:1:1: max_payload value is too big: at most 2147483647\n"},
        {"workers: 0", "f.conf:1:1: workers value can not be less than 1\n"},
        {"write_timeout: foo", "f.conf:1:1: write_timeout must be 'default', 'close' or 'retry'\n"},
        {"jetstream: foo",
         "f.conf:1:1: Expected 'enabled' or 'disabled' for string value, got 'foo'\n"},
        {"jetstream: 5",
         "f.conf:1:1: Expected map, bool or string to define JetStream, got int64\n"},
        {"jetstream { cipher: foo, key: a }", "f.conf:1:13: Unknown cipher type: \"foo\"\n"},
        {"jetstream { key: 5 }",
         "f.conf:1:13: expected a string for \"key\": interface conversion: interface {} is int64, "
         "not string\n"},
        {"jetstream {\n bogus: 1 }", "f.conf:2:2: unknown field \"bogus\"\n"},
        {"store_dir: a\njetstream { store_dir: b }",
         "f.conf:2:13: Duplicate 'store_dir' configuration\n"},
        {"jetstream { limits { duplicate_window: 1m } }",
         "f.conf:1:22: expected a string for \"duplicate_window\": interface conversion: interface "
         "{} is int64, not "
         "string\n"},
        {"authorization { user: a, token: t }", "f.conf:1:1: Cannot have a user/pass and token\n"},
        {"authorization { user: a, users: [{user: b, password: c}] }",
         "f.conf:1:1: Can not have a single user/pass and a users array\n"},
        {"authorization { users: [{user: b, password: c},\n {user: b, password: d}] }",
         "f.conf:2:2: Duplicate user \"b\" detected\n"},
        {"authorization { users: 4 }", "f.conf:1:17: Expected users field to be an array, got 4\n"},
        {"authorization { users: [{password: c}] }", "f.conf:1:25: User entry requires a user\n"},
        {"authorization { users: [{user: b, permissions {publish: \"a..b\"}}] }",
         "f.conf:1:48: subject \"a..b\" is not a valid subject\n"},
        {"accounts { A { msg_trace: \"a.*\" } }",
         "f.conf:1:16: Trace destination \"a.*\" is not valid\n"},
        {"accounts { A { trace_dest: 5 } }", "f.conf:1:16: Expected account message trace "
                                             "\"trace_dest\" to be a string or a map/struct, "
                                             "got int64\n"},
        {"accounts { A { msg_trace: {dest: x, sampling: \"x%\"} } }",
         "f.conf:1:37: Invalid trace destination sampling value \"x%\"\n"},
        {"accounts { A { msg_trace: {dest: x, sampling: 101} } }",
         "f.conf:1:37: Ttrace destination sampling value 101 is invalid, needs to be [1..100]\n"},
        {"accounts { A { msg_trace: {sampling: 5} } }",
         "f.conf:1:16: Trace destination sampling ignored since no destination was set\n"},
        {"accounts { $G {} }", "f.conf:1:12: \"$G\" is a Reserved Account\n"},
        {"accounts: [A, A]", "f.conf:1:15: Duplicate Account Entry: A\n"},
        {"accounts { A: 1 }", "f.conf:1:12: Expected map entries for accounts\n"},
        {"mappings { a: [{dest: b}] }",
         "f.conf:1:16: Missing weight for mapping destination \"b\"\n"},
        {"mappings { a: [{dest: b, weight: 101}] }",
         "f.conf:1:26: Invalid weight 101 for mapping destination\n"},
        {"mappings { \"a..b\": c }", "f.conf:1:12: Subject \"a..b\" is not a valid subject\n"},
        {"feature_flags { a: 1 }",
         "f.conf:1:17: error parsing feature flag \"a\": expected bool, got int64\n"},
        {"a: [", "Parse error on line 1: 'Unexpected EOF processing array.' (f.conf:1:5)\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf errors = {0}, warnings = {0};
        Options *options = NULL;
        assert_int_equal(load(cases[i][0], NULL, NULL, &errors, &warnings, &options), ERR_SYNTAX);
        assert_string_equal(buf_text(&errors), cases[i][1]);
        buf_done(&errors);
        buf_done(&warnings);
    }
}

static void the_block_of_leafnodes_is_read_whole(void **state) {
    Buf errors = {0}, warnings = {0};
    Options *options = NULL;
    const char *text =
        "accounts { A { users: [ {user: a, password: a} ] } }\n"
        "leafnodes { listen: \"127.0.0.1:-1\", no_advertise: true, min_version: \"2.9.0\",\n"
        "  authorization { users: [ {user: u, pass: p, account: A} ], timeout: 3 }, compression: "
        "off,\n"
        "  reconnect: \"3s\", isolate_leafnode_interest: true, remotes: [\n"
        "    { urls: [\"nats-leaf://u%40:p%3a@[::1]:99\", \"nats://h\"], account: A, hub: true,\n"
        "      deny_imports: [a.b, \"c.>\"], deny_export: d, no_randomize: true } ] }\n";
    if (load(text, NULL, NULL, &errors, &warnings, &options) != OK)
        fail_msg("%s", buf_text(&errors));
    assert_string_equal(buf_text(&warnings), "");
    const LeafOptions *leafnodes = &options->leafnodes;
    assert_true(slice_equal(leafnodes->host, LIT("127.0.0.1")));
    assert_int_equal(leafnodes->port, -1);
    assert_true(leafnodes->no_advertise && leafnodes->is_isolated);
    assert_int_equal(leafnodes->user_count, 1);
    size_t account = options_find_account(options, LIT("A"));
    assert_int_equal(leafnodes->users[0].account, account);
    assert_int_equal(leafnodes->reconnect_ns, INT64_C(3000000000));
    assert_int_equal(leafnodes->remote_count, 1);
    const LeafRemoteOptions *remote = &leafnodes->remotes[0];
    assert_int_equal(remote->url_count, 2);
    assert_true(slice_equal(remote->urls[0].host, LIT("::1")));
    assert_true(slice_equal(remote->urls[0].user, LIT("u@")));
    assert_true(slice_equal(remote->urls[0].password, LIT("p:")));
    assert_int_equal(remote->urls[0].port, 99);
    assert_int_equal(remote->urls[1].port, 7422);
    assert_int_equal(remote->account, account);
    assert_int_equal(remote->deny_import_count, 2);
    assert_int_equal(remote->deny_export_count, 1);
    assert_true(remote->is_hub && remote->is_in_order);
    options_free(options);
    buf_done(&errors);
    buf_done(&warnings);
}

static void leafnodes_that_make_no_sense_are_refused(void **state) {
    static const char *const cases[][2] = {
        {"leafnodes: 5", "Expected map to define a leafnode"},
        {"leafnodes { foo: 1 }", "foo"},
        {"leafnodes { min_version: \"2.7.0\" }", "the minimum version should be at least 2.8.0"},
        {"leafnodes { compression: fastest }", "unknown compression mode \"fastest\""},
        {"leafnodes { remotes: [ {url: \"wss://h\"} ] }", "\"wss://\" is not supported yet"},
        {"leafnodes { remotes: [ {url: \"tls://h\"} ] }", "\"tls://\" is not supported yet"},
        {"leafnodes { remotes: [ {url: \"nats://h:x\"} ] }", "error parsing leafnode url"},
        {"leafnodes { remotes: [ {account: A} ] }", "has no url"},
        {"leafnodes { remotes: [ {url: \"nats://h\", deny_imports: \"a..b\"} ] }",
         "not a valid subject"},
        {"leafnodes { authorization { user: a, users: [ {user: b} ] } }",
         "single user/pass and a users"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf errors = {0}, warnings = {0};
        Options *options = NULL;
        assert_int_equal(load(cases[i][0], NULL, NULL, &errors, &warnings, &options), ERR_SYNTAX);
        if (!strstr(buf_text(&errors), cases[i][1]))
            fail_msg("%s\n%s", cases[i][0], buf_text(&errors));
        buf_done(&errors);
        buf_done(&warnings);
    }
}

static void options_of_later_releases_are_refused_by_name(void **state) {
    static const char *const cases[][2] = {
        {"cluster { name: c }", "cluster"},
        {"gateway { name: g }", "gateway"},
        {"leafnodes { port: 7422, tls { cert_file: a } }", "tls"},
        {"leaf { authorization { nkey: U } }", "nkey"},
        {"leaf { remotes: [ {url: 'nats://h', credentials: 'a.creds'} ] }", "credentials"},
        {"leaf { remotes: [ {url: 'nats://h', nkey: SU} ] }", "nkey"},
        {"leaf { remotes: [ {url: 'nats://h', proxy: {url: 'http://p'}} ] }", "proxy"},
        {"websocket { port: 80, tls {cert_file: x} }", "tls"},
        {"mqtt { port: 1883 }", "mqtt"},
        {"tls { cert_file: a }", "tls"},
        {"operator: a.jwt", "operator"},
        {"resolver: MEMORY", "resolver"},
        {"resolver_preload { A: B }", "resolver_preload"},
        {"trusted_keys: OA", "trusted_keys"},
        {"https: 8443", "https"},
        {"syslog: true", "syslog"},
        {"remote_syslog: 'udp://localhost:514'", "remote_syslog"},
        {"proxy_protocol: true", "proxy_protocol"},
        {"no_system_account: true", "no_system_account"},
        {"authorization { auth_callout { issuer: A } }", "auth_callout"},
        {"authorization { users: [ {nkey: U} ] }", "nkey"},
        {"accounts { A { exports: [ {stream: a} ] } }", "exports"},
        {"accounts { A { imports: [ {stream: {account: B, subject: a}} ] } }", "imports"},
        {"jetstream { tpm { keys_file: a } }", "tpm"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf errors = {0}, warnings = {0}, want = {0};
        Options *options = NULL;
        buf_printf(&want, "option \"%s\" is not supported yet\n", cases[i][1]);
        assert_int_equal(load(cases[i][0], NULL, NULL, &errors, &warnings, &options), ERR_SYNTAX);
        if (!slice_ends_with(buf_slice(&errors), buf_slice(&want)))
            fail_msg("%s\n%s", cases[i][0], buf_text(&errors));
        buf_done(&errors);
        buf_done(&warnings);
        buf_done(&want);
    }
}

static void what_asks_for_nothing_is_accepted(void **state) {
    options_free(must_load("cluster {}\ntls {}\nsyslog: false\nhttps_port: 0\naccounts { A { "
                           "exports: [], imports: [] } }"));
    options_free(must_load("prof_block_rate: 1\nconnect_error_reports: 5\nno_sublist_cache: true\n"
                           "jetstream { unique_tag: az, max_buffered_msgs: 5, cipher: aes }"));
    options_free(must_load("PORT_OF_MINE: 4333\nport: $PORT_OF_MINE"));
}

static void numbers_for_durations_are_seconds_with_a_warning(void **state) {
    Buf errors = {0}, warnings = {0};
    Options *options = NULL;
    assert_int_equal(load("ping_interval: 5", NULL, NULL, &errors, &warnings, &options), OK);
    assert_int_equal(options->ping_interval_ns, 5 * SECOND);
    assert_string_equal(buf_text(&warnings),
                        "f.conf:1:1: invalid use of field \"ping_interval\": ping_interval should "
                        "be converted to a duration\n");
    options_free(options);
    buf_done(&warnings);
    buf_done(&errors);
}

static void the_command_line_wins(void **state) {
    char *args[] = {"/x/nats-server", "-p",     "-1", "--name=n", "-DV", "-js",
                    "-sd=/s",         "--user", "u",  "--pass=p", NULL};
    Buf errors = {0}, warnings = {0};
    CommandLine line;
    Options *options = NULL;

    assert_int_equal(command_line_parse(10, args, &errors, &line), OK);
    assert_true(line.is_nats_server);
    assert_int_equal(
        load("port: 5000\ndebug: false\nserver_name: m", &line, NULL, &errors, &warnings, &options),
        OK);
    assert_int_equal(options->port, -1);
    assert_slice(options->server_name, "n");
    assert_true(options->debug && options->trace && options->jetstream.is_enabled);
    assert_slice(options->jetstream.store_dir, "/s");
    assert_int_equal(options->authorization.users.len, 1);
    assert_slice(options->authorization.users.at[0].password, "p");
    options_free(options);
    command_line_done(&line);
    buf_done(&errors);
    buf_done(&warnings);
}

static void starts_are_refused_when_options_contradict(void **state) {
    static const char *const cases[][2] = {
        {"lame_duck_grace_period: \"5m\"",
         "lame duck grace period (5m0s) should be strictly lower than lame duck duration (2m0s)"},
        {"max_payload: 2MB\nmax_pending: 1MB",
         "max_payload (2097152) cannot be higher than max_pending (1048576)"},
        {"system_account: X", "error resolving system account: account missing"},
        {"no_auth_user: d\nauthorization { users: [{user: a, password: b}] }",
         "no_auth_user: \"d\" not present as user or nkey in authorization block or account "
         "configuration"},
        {"jetstream: enabled\naccounts { $SYS { jetstream: enabled } }",
         "jetstream can not be enabled on the system account"},
        {"jetstream { domain: a.b }",
         "invalid domain name: may not contain \".\", \"*\", \">\" or blanks"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0};
        Options *options = must_load(cases[i][0]);
        assert_int_equal(options_check_start(options, &error), ERR_SYNTAX);
        assert_string_equal(buf_text(&error), cases[i][1]);
        options_free(options);
        buf_done(&error);
    }
}

static void a_reload_takes_what_it_can_and_refuses_the_rest(void **state) {
    static const struct {
        const char *old, *now, *error, *changed;
    } cases[] = {
        {"port: 1", "port: 1", "", ""},
        {"port: 1", "port: 2", "config reload not supported for Port: old=1, new=2", ""},
        {"server_name: a", "server_name: b",
         "config reload not supported for ServerName: old=a, new=b", ""},
        {"debug: no", "debug: yes\nmax_payload: 5", "", "debug = true\nmax_payload = 5\n"},
        {"ping_interval: 1s", "ping_interval: \"90s\"", "", "ping_interval = 1m30s\n"},
        {"jetstream { store_dir: a }", "jetstream { store_dir: b }",
         "config reload not supported for StoreDir: old=a, new=b", ""},
        {"server_tags: [a]", "server_tags: [a, b]",
         "config reload not supported for Tags: old=[a], new=[a b]", ""},
        {"accounts { A {} }", "accounts { A {}, B {} }",
         "config reload not supported for Accounts: old=[A], new=[A B]", ""},
        {"accounts { A {}, B {} }", "accounts { B {users: [{user: u, password: p}]} }", "",
         "accounts\n"},
        {"authorization { user: a, password: b }", "authorization { user: a, password: c }", "",
         "authorization\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0}, changed = {0}, warnings = {0};
        Options *old = must_load(cases[i].old), *now = NULL;
        assert_int_equal(load(cases[i].now, NULL, old, &error, &warnings, &now), OK);
        Status status = options_compare(old, now, &error, &changed);
        assert_string_equal(buf_text(&error), cases[i].error);
        assert_int_equal(status, cases[i].error[0] ? ERR_UNSUPPORTED : OK);
        if (status == OK)
            assert_string_equal(buf_text(&changed), cases[i].changed);
        options_free(old);
        options_free(now);
        buf_done(&error);
        buf_done(&changed);
        buf_done(&warnings);
    }
}

static bool holds(Slice text, const char *word) {
    return memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

static void keys_are_forgotten_and_still_compared(void **state) {
    static const struct {
        const char *old, *now;
        Status status;
        const char *changed;
    } cases[] = {
        {"jetstream { key: one }", "jetstream { key: one }", OK, ""},
        {"K: one\njetstream { key: $K }", "K: one\njetstream { key: $K }", OK, ""},
        {"jetstream { key: one }", "jetstream { key: \"tw\\x6f\", prev_key: one }", OK,
         "key\njetstream\n"},
        {"jetstream { key: one }", "jetstream { key: two, prev_key: three }", ERR_UNSUPPORTED, ""},
        {"jetstream { key: one }", "jetstream { key: two }", ERR_UNSUPPORTED, ""},
        {"jetstream { key: one }", "jetstream {}", ERR_UNSUPPORTED, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0}, changed = {0}, warnings = {0}, shown = {0};
        Options *old = must_load(cases[i].old), *now = NULL;
        assert_true(slice_equal(old->jetstream.key, LIT("one")));
        options_forget_keys(old);
        assert_int_equal(old->jetstream.key.len, 3);
        assert_false(holds(old->jetstream.key, "one"));
        conf_write_json(&shown, conf_root(old->conf));
        assert_false(holds(buf_slice(&shown), "one"));
        assert_int_equal(load(cases[i].now, NULL, old, &error, &warnings, &now), OK);
        assert_int_equal(options_compare(old, now, &error, &changed), cases[i].status);
        if (cases[i].status == OK)
            assert_string_equal(buf_text(&changed), cases[i].changed);
        options_free(old);
        options_free(now);
        buf_done(&error);
        buf_done(&changed);
        buf_done(&warnings);
        buf_done(&shown);
    }
    Options *shared = must_load("K: one\njetstream { key: $K }\n"
                                "authorization { user: a, password: $K }");
    options_forget_keys(shared);
    assert_true(slice_equal(shared->authorization.password, LIT("one")));
    options_free(shared);
}

static void accounts_keep_their_indexes_over_a_reload(void **state) {
    Buf error = {0}, warnings = {0};
    Options *old = must_load("accounts { A {}, B {} }"), *now = NULL;
    assert_int_equal(load("accounts { B {}, A {} }", NULL, old, &error, &warnings, &now), OK);
    assert_int_equal(options_find_account(now, LIT("A")), options_find_account(old, LIT("A")));
    assert_int_equal(options_find_account(now, LIT("B")), options_find_account(old, LIT("B")));
    options_free(old);
    options_free(now);
    buf_done(&error);
    buf_done(&warnings);
}

static void the_digest_is_that_of_the_values(void **state) {
    Options *one = must_load("port: 4222\ndebug: yes"),
            *two = must_load("# other\ndebug = true, port 4222"),
            *other = must_load("port: 4223\ndebug: yes");
    assert_string_equal(one->digest, two->digest);
    assert_string_not_equal(one->digest, other->digest);
    assert_int_equal(strlen(one->digest), 7 + 64);
    Options *known =
        must_load("X: 4222\nport: $X\n"); /* what the original prints for these values */
    assert_string_equal(known->digest,
                        "sha256:379c40ebde1eb2ec39ca129bfebd816184e7d146c335e9eac0dafab53952a65b");
    options_free(known);
    options_free(one);
    options_free(two);
    options_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_configured_gives_the_defaults),
        cmocka_unit_test(scrubbing_is_set_in_several_ways),
        cmocka_unit_test(storing_equal_payloads_once_can_be_switched_off),
        cmocka_unit_test(top_level_options_are_read),
        cmocka_unit_test(accounts_and_users_are_read),
        cmocka_unit_test(authorization_gives_users_of_the_global_account),
        cmocka_unit_test(users_of_the_system_account_alone_let_others_in_without_any),
        cmocka_unit_test(what_is_wrong_is_said_with_its_place),
        cmocka_unit_test(options_of_later_releases_are_refused_by_name),
        cmocka_unit_test(the_block_of_leafnodes_is_read_whole),
        cmocka_unit_test(leafnodes_that_make_no_sense_are_refused),
        cmocka_unit_test(what_asks_for_nothing_is_accepted),
        cmocka_unit_test(numbers_for_durations_are_seconds_with_a_warning),
        cmocka_unit_test(the_command_line_wins),
        cmocka_unit_test(starts_are_refused_when_options_contradict),
        cmocka_unit_test(a_reload_takes_what_it_can_and_refuses_the_rest),
        cmocka_unit_test(keys_are_forgotten_and_still_compared),
        cmocka_unit_test(accounts_keep_their_indexes_over_a_reload),
        cmocka_unit_test(the_digest_is_that_of_the_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
