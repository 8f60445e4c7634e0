/* Directive: one row says how one option is called, what values it takes and where they go. A block
 * is a table of rows and a struct; directives_read walks a map of the configuration over them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "server/options.h"

/* The state of reading one configuration. */
typedef struct OptionsReader {
    Options *options;
    Buf *errors, *warnings;    /* lines "file:line:column: text" */
    Map accounts;              /* name -> index + 1 */
    Map users;                 /* name -> ConfValue where it was first */
    size_t account;            /* whose block is being read */
    LeafRemoteOptions *remote; /* that is being read, or NULL */
    const ConfValue *authorization_at;
} OptionsReader;

typedef enum DirectiveKind {
    DIRECTIVE_BOOL,
    DIRECTIVE_INT,               /* int64_t within min..max, unless both are 0 */
    DIRECTIVE_SIZE,              /* int64_t; a number, or a text with K, M, G or T behind it */
    DIRECTIVE_TEXT,              /* Slice */
    DIRECTIVE_TEXTS,             /* TextList: one text or several; adds */
    DIRECTIVE_DURATION,          /* int64_t ns; a number means seconds, with a warning */
    DIRECTIVE_DURATION_TEXT,     /* int64_t ns; a text only */
    DIRECTIVE_WHAT_HANDLER_SAYS, /* handler reads it */
    DIRECTIVE_IGNORED,  /* accepted without effect, since it has none here; noted when it is set */
    DIRECTIVE_HARMLESS, /* accepted without effect and without a word */
    DIRECTIVE_REFUSED,  /* leaving it out would change behaviour: an error unless it is empty, false
                           or 0 */
} DirectiveKind;

typedef void DirectiveHandler(OptionsReader *reader, const ConfValue *value, void *target);

typedef struct Directive {
    const char *names; /* "pid_file|pidfile": the first one is its name in messages */
    DirectiveKind kind;
    size_t offset; /* in the struct of the block */
    int64_t min, max;
    DirectiveHandler *handler; /* target is the struct plus offset */
    const char *field;  /* a change needs a restart: the name that a reload's refusal gives it */
    DirectiveKind held; /* with a handler and a field: what lies at offset */
} Directive;

typedef struct DirectiveTable {
    const Directive *rows;
    size_t count;
} DirectiveTable;

#define DIRECTIVE_TABLE(rows) ((DirectiveTable){(rows), sizeof(rows) / sizeof((rows)[0])})

/* Unknown keys are errors, unless some variable refers to them. */
void directives_read(OptionsReader *reader, DirectiveTable table, const ConfValue *map,
                     void *target);

/* NULL when unknown; any of its names, without regard to case. */
const Directive *directive_find(DirectiveTable table, Slice name);
/* The first of its names. */
Slice directive_name(const Directive *directive);

/* "file:line:column: text" */
void reader_fail(OptionsReader *reader, const ConfValue *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reader_warn(OptionsReader *reader, const ConfValue *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reader_refuse(OptionsReader *reader, const ConfValue *at, Slice name);
void reader_fail_unknown(OptionsReader *reader, const ConfValue *at);

/* False, empty, zero, "disabled": an option that asks for nothing. */
bool value_asks_nothing(const ConfValue *value);

/* False after an error was noted. */
bool reader_want(OptionsReader *reader, const ConfValue *value, ConfType type);
bool reader_duration(OptionsReader *reader, const ConfValue *value, bool takes_seconds,
                     int64_t *out_ns);
/* One text or an array of texts, added to list. */
bool reader_texts(OptionsReader *reader, const ConfValue *value, TextList *list);
/* A map of texts. */
bool reader_pairs(OptionsReader *reader, const ConfValue *value, TextPairs *pairs);
/* "host:port", "[::1]:4222" or a port. */
bool reader_address(OptionsReader *reader, const ConfValue *value, Slice *out_host,
                    int64_t *out_port);
/* Without regard to case. */
bool key_is(const ConfValue *value, const char *name);

/* The tables of blocks, for handlers and for options_compare. */
DirectiveTable options_top_table(void);
DirectiveTable options_jetstream_table(void);
DirectiveTable options_websocket_table(void);
DirectiveTable options_leafnodes_table(void);

/* Handlers of options_accounts.c, options_permissions.c, options_websocket.c and
 * options_leafnodes.c. read_auth_timeout: a double, seconds. */
DirectiveHandler read_websocket, read_leafnodes, read_auth_timeout, read_accounts,
    read_authorization, read_global_mappings, read_mappings, read_permissions;

/* Adds it when it is new. */
size_t reader_account(OptionsReader *reader, Slice name);
/* Checks of the authorization block that need to know everything. */
void check_authorization(OptionsReader *reader);
