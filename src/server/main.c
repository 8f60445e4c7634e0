/* main: command line, options, server. */
#include <stdio.h>

#include "base/slice.h"
#include "server/command_line.h"
#include "server/options.h"
#include "server/server.h"
#include "server/signal_command.h"
#include "server/store_command.h"

static void print(FILE *to, const Buf *text) {
    if (text->len > 0)
        (void)fwrite(text->ptr, 1, text->len, to);
    (void)fflush(to);
}

/* "nats-server: text", without doubled newlines. */
static int die(const CommandLine *line, const Buf *error) {
    Slice text = buf_slice(error);
    while (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    (void)fprintf(stderr, "%s: %.*s\n", line->program, SLICE_ARG(text));
    return 1;
}

/* A wrong flag shows the usage and is no failure: nats-server's exit code. */
static int complain(const CommandLine *line, Status status, const Buf *error) {
    Buf usage = {0};

    if (status != ERR_SYNTAX)
        return die(line, error);
    (void)fprintf(stderr, "%.*s\n", SLICE_ARG(buf_slice(error)));
    command_line_write_usage(line, &usage);
    print(stdout, &usage);
    buf_done(&usage);
    return 0;
}

static int check(const CommandLine *line, const Options *options, const Buf *warnings) {
    if (warnings->len > 0)
        return die(line, warnings);
    (void)fprintf(stderr, "%s: configuration file %.*s is valid (%s)\n", line->program,
                  SLICE_ARG(line->config_file), options->digest);
    return 0;
}

static int load_and_run(const CommandLine *line) {
    Buf errors = {0}, warnings = {0};
    Options *options = NULL;
    int code;

    if (line->is_check && line->config_file.len == 0) {
        buf_append_lit(&errors,
                       "must specify [-c, --config] option to check configuration file syntax");
        code = die(line, &errors);
    } else if (options_load(line, NULL, &errors, &warnings, &options) != OK) {
        buf_append(&errors, buf_slice(&warnings));
        code = die(line, &errors);
    } else if (line->is_check) {
        code = check(line, options, &warnings);
    } else if (print(stderr, &warnings), options_check_start(options, &errors) != OK) {
        code = die(line, &errors);
    } else {
        code = server_run(line, options);
        options = NULL;
    }
    options_free(options);
    buf_done(&errors);
    buf_done(&warnings);
    return code;
}

int main(int argc, char **argv) {
    Buf text = {0};
    CommandLine line;
    int code = 0;

    if (argc > 1 && store_command_is(argv[1]))
        return store_command_run(argc, argv);
    Status status = command_line_parse(argc, argv, &text, &line);

    if (status != OK) {
        code = complain(&line, status, &text);
    } else if (line.wants_version) {
        command_line_write_version(&line, &text);
        print(stdout, &text);
    } else if (line.wants_help || line.wants_tls_help) {
        command_line_write_usage(&line, &text);
        print(stdout, &text);
    } else if (line.signal.len > 0) {
        if (signal_command_run(line.signal, &text) != OK)
            code = die(&line, &text);
    } else {
        code = load_and_run(&line);
    }
    buf_done(&text);
    command_line_done(&line);
    return code;
}
