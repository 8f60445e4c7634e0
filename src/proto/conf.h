/* Conf: the configuration language, parsed into a tree of values that know their place.
 *
 *     key = value, key: value, key value, key { map }, [ arrays ], "escaped", 'raw', bare words,
 * (blocks), 64kb, 1.5, yes/no, 2026-01-02T03:04:05Z, $VARIABLE, include 'file', # and // comments
 *
 * Separators are newlines, "," and ";". A variable is looked up in the enclosing maps, then in the
 * environment. Errors read "Parse error on line 5: '...' (file:5:12)". The parser does no I/O:
 * files and environment come from a ConfSource. Nesting, includes and the size of the tree after
 * variables are bounded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/slice.h"

typedef enum ConfType {
    CONF_STRING,
    CONF_BOOL,
    CONF_INT,
    CONF_FLOAT,
    CONF_DATE,
    CONF_ARRAY,
    CONF_MAP,
} ConfType;

typedef struct ConfValue ConfValue;
typedef struct ConfList {
    ConfValue *first, *last;
    size_t count;
    Map *index; /* private: large maps only */
} ConfList;

/* Lives as long as its Conf. In a map, line and column are those of the key; both count from 1. */
struct ConfValue {
    ConfType type;
    bool was_used; /* some variable refers to it: it need not be a known option */
    unsigned line, column;
    uint32_t weight; /* private: values in it, variables resolved */
    uint32_t height; /* private: maps and arrays in each other below it */
    Slice file;
    Slice key;       /* in a map: as written */
    ConfValue *next; /* in its map or array */
    union {
        Slice text;
        bool flag;
        int64_t integer;
        double number;
        int64_t time_ns; /* wall */
        ConfList list;   /* array and map, in the order of the file; a repeated key keeps its first
                            place and last value */
    };
};

typedef struct ConfSource {
    void *cookie;
    /* Appends the file's text. On failure out_error gets "open x: no such file or directory". */
    Status (*read)(void *cookie, const char *path, Buf *out_text, Buf *out_error);
    /* NULL when it is not set. */
    const char *(*environment)(void *cookie, const char *name);
} ConfSource;

typedef struct Conf Conf;

/* file_name is for messages and for the folder of includes; both are copied. ERR_SYNTAX with the
 * text in out_error. */
MUST_CHECK Status conf_parse(Slice file_name, Slice text, const ConfSource *source, Buf *out_error,
                             Conf **out_conf);
void conf_free(Conf *conf);

/* A map. */
const ConfValue *conf_root(const Conf *conf);

/* Exact case; NULL when there is none. */
const ConfValue *conf_get(const ConfValue *map, Slice key);

/* JSON with sorted keys and no blanks: what digests are made of. */
void conf_write_json(Buf *out, const ConfValue *value);

/* The value as Go prints it: map[a:1], [1 2]. */
void conf_write_plain(Buf *out, const ConfValue *value);

/* "int64", "map[string]interface {}": the names that messages use. */
const char *conf_type_name(ConfType type);

DEFINE_CLEANUP(Conf, conf_free)
