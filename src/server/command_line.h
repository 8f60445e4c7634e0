/* CommandLine: the arguments of the process, in the style of Go's flag package: -x v, --x v, -x=v,
 * --x=v all mean the same, booleans take a value only behind "=". */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/status.h"
#include "base/vec.h"

typedef struct Options Options;
typedef struct Flag Flag; /* private */

typedef struct FlagSetting {
    const Flag *flag;
    char *value; /* owned */
} FlagSetting;

struct CommandLine {
    char *program; /* owned: argv[0] without folders */
    bool is_nats_server;
    bool wants_version, wants_help, wants_tls_help, is_check;
    Slice config_file, signal; /* in settings; empty = not given */
    VEC(FlagSetting) settings;
};
typedef struct CommandLine CommandLine;

/* ERR_SYNTAX: a flag is wrong; out_error says which, the usage should follow. ERR_UNSUPPORTED: a
 * word or flag that we do not have, no usage. line is to be done in any case. */
MUST_CHECK Status command_line_parse(int argc, char **argv, Buf *out_error, CommandLine *line);
void command_line_done(CommandLine *line);

/* Puts what was given over what options hold. Texts are borrowed from line. */
void command_line_apply(const CommandLine *line, Options *options);

void command_line_write_usage(const CommandLine *line, Buf *out);
void command_line_write_version(const CommandLine *line, Buf *out);
