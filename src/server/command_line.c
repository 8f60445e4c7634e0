#include "server/command_line.h"

#include "base/mem.h"
#include "server/options.h"
#include "server/version.h"

typedef enum FlagKind {
    FLAG_BOOL,
    FLAG_INT,
    FLAG_TEXT,
    FLAG_LEVELS,  /* boolean; sets debug and trace together */
    FLAG_REFUSED, /* an error unless it is false, 0 or empty */
    FLAG_REFUSED_BOOL,
    FLAG_HARMLESS,
    FLAG_HARMLESS_BOOL,
} FlagKind;

enum { LEVEL_DEBUG = 1, LEVEL_TRACE = 2, LEVEL_VERBOSE = 4 };

struct Flag {
    const char *names; /* "p|port" */
    FlagKind kind;
    bool is_ours; /* offset is in CommandLine, not in Options */
    size_t offset;
    unsigned levels;
};

#define IN_LINE(names, kind, member)                                                               \
    { names, FLAG_##kind, true, offsetof(CommandLine, member), 0 }
#define IN_OPTIONS(names, kind, member)                                                            \
    { names, FLAG_##kind, false, offsetof(Options, member), 0 }
#define OTHER(names, kind)                                                                         \
    { names, FLAG_##kind, false, 0, 0 }
#define LEVELS(name, levels)                                                                       \
    { name, FLAG_LEVELS, false, 0, levels }

static const Flag flags[] = {
    IN_LINE("h|help", BOOL, wants_help),
    IN_LINE("v|version", BOOL, wants_version),
    IN_LINE("help_tls", BOOL, wants_tls_help),
    IN_LINE("t", BOOL, is_check),
    IN_LINE("c|config", TEXT, config_file),
    IN_LINE("sl|signal", TEXT, signal),
    IN_OPTIONS("a|addr|net", TEXT, host),
    IN_OPTIONS("p|port", INT, port),
    IN_OPTIONS("n|name|server_name", TEXT, server_name),
    IN_OPTIONS("client_advertise", TEXT, client_advertise),
    IN_OPTIONS("P|pid", TEXT, pid_file),
    IN_OPTIONS("ports_file_dir", TEXT, ports_file_dir),
    IN_OPTIONS("m|http_port", INT, http_port),
    IN_OPTIONS("l|log", TEXT, log_file),
    IN_OPTIONS("log_size_limit", INT, log_size_limit),
    IN_OPTIONS("max_traced_msg_len", INT, max_traced_bytes),
    IN_OPTIONS("T|logtime", BOOL, logtime),
    IN_OPTIONS("logtime_utc", BOOL, logtime_utc),
    LEVELS("D|debug", LEVEL_DEBUG),
    LEVELS("V|trace", LEVEL_TRACE),
    LEVELS("VV", LEVEL_TRACE | LEVEL_VERBOSE),
    LEVELS("DV", LEVEL_DEBUG | LEVEL_TRACE),
    LEVELS("DVV", LEVEL_DEBUG | LEVEL_TRACE | LEVEL_VERBOSE),
    IN_OPTIONS("js|jetstream", BOOL, jetstream.is_enabled),
    IN_OPTIONS("sd|store_dir", TEXT, jetstream.store_dir),
    IN_OPTIONS("user", TEXT, authorization.user),
    IN_OPTIONS("pass", TEXT, authorization.password),
    IN_OPTIONS("auth", TEXT, authorization.token),
    IN_OPTIONS("workers", INT, workers),
    OTHER("ms|https_port", REFUSED),
    OTHER("s|syslog", REFUSED_BOOL),
    OTHER("r|remote_syslog", REFUSED),
    OTHER("tls", REFUSED_BOOL),
    OTHER("tlsverify", REFUSED_BOOL),
    OTHER("tlscert", REFUSED),
    OTHER("tlskey", REFUSED),
    OTHER("tlscacert", REFUSED),
    OTHER("routes", REFUSED),
    OTHER("cluster|cluster_listen", REFUSED),
    OTHER("cluster_name", HARMLESS),
    OTHER("cluster_advertise", HARMLESS),
    OTHER("connect_retries", HARMLESS),
    OTHER("no_advertise", HARMLESS_BOOL),
    OTHER("profile", HARMLESS),
};

static const Flag *find_flag(Slice name) {
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        Slice names = slice_of_text(flags[i].names), one;
        while (slice_cut(&names, '|', &one))
            if (slice_equal(one, name))
                return &flags[i];
    }
    return NULL;
}

static bool takes_no_value(const Flag *flag) {
    return flag->kind == FLAG_BOOL || flag->kind == FLAG_LEVELS ||
           flag->kind == FLAG_REFUSED_BOOL || flag->kind == FLAG_HARMLESS_BOOL;
}

static bool parse_bool(Slice text, bool *out) {
    static const char *const words[] = {"1", "t", "T", "true",  "TRUE",  "True",
                                        "0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_equal(text, slice_of_text(words[i]))) {
            *out = i < 6;
            return true;
        }
    }
    return false;
}

static bool is_on(const FlagSetting *setting) {
    bool flag = false;
    (void)parse_bool(slice_of_text(setting->value), &flag);
    return flag;
}

/* Values are checked when they come, so that applying them cannot fail. */
static Status check_value(const Flag *flag, Slice name, Slice value, Buf *error) {
    bool on = true;
    int64_t number;

    if (takes_no_value(flag) && !parse_bool(value, &on)) {
        buf_printf(error, "invalid boolean value \"%.*s\" for -%.*s: parse error", SLICE_ARG(value),
                   SLICE_ARG(name));
        return ERR_SYNTAX;
    }
    if (flag->kind == FLAG_INT && slice_parse_i64(value, &number) != OK) {
        buf_printf(error, "invalid value \"%.*s\" for flag -%.*s: parse error", SLICE_ARG(value),
                   SLICE_ARG(name));
        return ERR_SYNTAX;
    }
    bool asks_nothing = value.len == 0 || slice_equal(value, LIT("0"));
    if ((flag->kind == FLAG_REFUSED && !asks_nothing) || (flag->kind == FLAG_REFUSED_BOOL && on)) {
        buf_printf(error, "option \"--%.*s\" is not supported yet", SLICE_ARG(name));
        return ERR_UNSUPPORTED;
    }
    return OK;
}

static void keep(CommandLine *line, const Flag *flag, Slice value) {
    FlagSetting setting = {flag, slice_to_text(value)};
    void *place = (char *)line + flag->offset;

    vec_push(&line->settings, setting);
    if (!flag->is_ours)
        return;
    if (flag->kind == FLAG_BOOL)
        *(bool *)place = is_on(&setting);
    else
        *(Slice *)place = slice_of_text(setting.value);
}

/* One flag at argv[*at]; moves *at behind it. */
static Status parse_flag(CommandLine *line, int argc, char **argv, int *at, Buf *error) {
    Slice text = slice_of_text(argv[*at]), value = {0};
    Slice name = slice_from_at(text, slice_starts_with(text, LIT("--")) ? 2 : 1);
    size_t equals = slice_find(name, '=');
    bool has_value = equals < name.len;

    (*at)++;
    if (name.len == 0 || name.ptr[0] == '-' || name.ptr[0] == '=') {
        buf_printf(error, "bad flag syntax: %.*s", SLICE_ARG(text));
        return ERR_SYNTAX;
    }
    if (has_value) {
        value = slice_from_at(name, equals + 1);
        name = slice_first(name, equals);
    }
    const Flag *flag = find_flag(name);
    if (flag == NULL) {
        buf_printf(error, "flag provided but not defined: -%.*s", SLICE_ARG(name));
        return ERR_SYNTAX;
    }
    if (!has_value && takes_no_value(flag)) {
        value = LIT("true");
    } else if (!has_value) {
        if (*at >= argc) {
            buf_printf(error, "flag needs an argument: -%.*s", SLICE_ARG(name));
            return ERR_SYNTAX;
        }
        value = slice_of_text(argv[(*at)++]);
    }
    Status status = check_value(flag, name, value, error);
    if (status == OK)
        keep(line, flag, value);
    return status;
}

static Status parse_words(CommandLine *line, int argc, char **argv, int at, Buf *error) {
    for (; at < argc && !line->wants_version && !line->wants_help; at++) {
        Slice word = slice_of_text(argv[at]);
        if (slice_equal_ignoring_case(word, LIT("version")))
            line->wants_version = true;
        else if (slice_equal_ignoring_case(word, LIT("help")))
            line->wants_help = true;
        else {
            buf_printf(error, "unrecognized command: \"%.*s\"", SLICE_ARG(word));
            return ERR_UNSUPPORTED;
        }
    }
    return OK;
}

Status command_line_parse(int argc, char **argv, Buf *out_error, CommandLine *line) {
    int at = 1;

    *line = (CommandLine){0};
    Slice program = slice_of_text(argc > 0 ? argv[0] : "holdwater"), folder;
    for (Slice rest = program; slice_cut(&rest, '/', &folder);)
        program = folder;
    line->program = slice_to_text(program);
    line->is_nats_server = slice_starts_with(program, LIT("nats-server"));

    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        Status status = parse_flag(line, argc, argv, &at, out_error);
        if (status != OK)
            return status;
    }
    return parse_words(line, argc, argv, at, out_error);
}

void command_line_done(CommandLine *line) {
    for (size_t i = 0; i < line->settings.len; i++)
        mem_free(line->settings.at[i].value);
    vec_done(&line->settings);
    mem_free(line->program);
    line->program = NULL;
}

static void apply_setting(const FlagSetting *setting, Options *options) {
    const Flag *flag = setting->flag;
    Slice value = slice_of_text(setting->value);
    void *place = (char *)options + flag->offset;
    bool on = is_on(setting);

    switch (flag->kind) {
    case FLAG_BOOL:
        *(bool *)place = on;
        break;
    case FLAG_INT:
        if (slice_parse_i64(value, place) != OK)
            ASSERT(false); /* was checked */
        break;
    case FLAG_TEXT:
        *(Slice *)place = value;
        break;
    case FLAG_LEVELS:
        options->debug = flag->levels & LEVEL_DEBUG ? on : options->debug;
        options->trace = flag->levels & LEVEL_TRACE ? on : options->trace;
        options->trace_verbose = flag->levels & LEVEL_VERBOSE ? on : options->trace_verbose;
        break;
    case FLAG_REFUSED:
    case FLAG_REFUSED_BOOL:
    case FLAG_HARMLESS:
    case FLAG_HARMLESS_BOOL:
        break;
    }
}

void command_line_apply(const CommandLine *line, Options *options) {
    for (size_t i = 0; i < line->settings.len; i++)
        if (!line->settings.at[i].flag->is_ours)
            apply_setting(&line->settings.at[i], options);
}

void command_line_write_version(const CommandLine *line, Buf *out) {
    if (line->is_nats_server)
        buf_printf(out, "%s: v%s\n", line->program, VERSION_PROTOCOL);
    else
        buf_printf(out, "%s: v%s (NATS protocol %s)\n", line->program, VERSION_OURS,
                   VERSION_PROTOCOL);
}

void command_line_write_usage(const CommandLine *line, Buf *out) {
    static const char text[] =
        "Server Options:\n"
        "    -a, --addr, --net <host>         Bind to host address (default: 0.0.0.0)\n"
        "    -p, --port <port>                Use port for clients (default: 4222, -1 for a free "
        "one)\n"
        "    -n, --name\n"
        "        --server_name <server_name>  Server name (default: auto)\n"
        "    -P, --pid <file>                 File to store PID\n"
        "    -m, --http_port <port>           Use port for http monitoring\n"
        "    -c, --config <file>              Configuration file\n"
        "    -t                               Test configuration and exit\n"
        "    -sl,--signal <signal>[=<pid>]    Send signal to a running server (ldm, stop, quit, "
        "term, reopen, reload)\n"
        "                                     <pid> can be either a PID (e.g. 1) or the path to a "
        "PID file\n"
        "        --client_advertise <string>  Client URL to advertise to clients\n"
        "        --ports_file_dir <dir>       Creates a ports file in the specified directory "
        "(<executable_name>_<pid>.ports)\n"
        "        --workers <number>           Threads that serve clients (default: one per CPU)\n"
        "\nLogging Options:\n"
        "    -l, --log <file>                 File to redirect log output\n"
        "    -T, --logtime                    Timestamp log entries (default: true)\n"
        "        --logtime_utc                Timestamps in UTC instead of local timezone "
        "(default: false)\n"
        "    -D, --debug                      Enable debugging output\n"
        "    -V, --trace                      Trace the raw protocol\n"
        "    -VV                              Verbose trace (traces system account as well)\n"
        "    -DV                              Debug and trace\n"
        "    -DVV                             Debug and verbose trace (traces system account as "
        "well)\n"
        "        --log_size_limit <limit>     Logfile size limit (default: unlimited)\n"
        "        --max_traced_msg_len <len>   Maximum printable length for traced messages "
        "(default: unlimited)\n"
        "\nJetStream Options:\n"
        "    -js, --jetstream                 Enable JetStream functionality\n"
        "    -sd, --store_dir <dir>           Set the storage directory\n"
        "\nAuthorization Options:\n"
        "        --user <user>                User required for connections\n"
        "        --pass <password>            Password required for connections\n"
        "        --auth <token>               Authorization token required for connections\n"
        "\nCommon Options:\n"
        "    -h, --help                       Show this message\n"
        "    -v, --version                    Show version\n\n";
    buf_printf(out, "\nUsage: %s [options]\n\n", line->program);
    buf_append_bytes(out, text, sizeof text - 1);
}
