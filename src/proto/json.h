/* JSON between bytes and C structs, by tables: one row per field serves reading and writing.
 *
 * Reading behaves like Go's encoding/json, with its error texts, since clients see them: keys match
 * without regard to case, null leaves a field at zero, the last of a repeated key wins, integers
 * are exact, syntax is checked before types, the first type error is reported. Writing gives Go's
 * field order and omission rules. Nothing here keeps state. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

typedef enum JsonKind {
    JSON_BOOL,      /* bool */
    JSON_INT,       /* int64_t; go_type "int64" unless the row names "int" */
    JSON_INT32,     /* int64_t that must fit 32 bits */
    JSON_UINT,      /* uint64_t */
    JSON_DURATION,  /* int64_t ns, a number */
    JSON_STRING,    /* Slice */
    JSON_STRINGS,   /* Slice *, count */
    JSON_DURATIONS, /* int64_t *, count */
    JSON_MAP,       /* JsonPair *, count, sorted by key when read; written in the order given */
    JSON_ENUM,      /* any C enum or uint32_t: index of the choice */
    JSON_ENUM_BOOL, /* bool: index of the choice */
    JSON_TIME, /* int64_t ns; has = whether it was given; text (may be absent) = as it is echoed */
    JSON_OBJECT,  /* fields of another schema; their offsets are in the same struct, or in the one
                     at offset if there is an offset; has may be absent */
    JSON_OBJECTS, /* array of structs of size bytes, count; the schema's offsets are in an element;
                     a null element stays zeroed */
    JSON_RAW,     /* Slice: the value's bytes; null = empty */
} JsonKind;

typedef struct JsonPair {
    Slice key, value;
} JsonPair;

/* Values of an enum, and what Go says about others: "%q" in refusal stands for the JSON quoted
 * again, "%s" for the JSON itself. */
typedef struct JsonChoices {
    const char *const *names; /* by value, closed by NULL */
    const char *refusal;
    bool is_plain_string; /* a non-string is refused as Go refuses it for type string */
    bool takes_empty;     /* "" is the first choice */
    const char *alias;    /* another word for the first choice, or NULL */
} JsonChoices;

enum {
    JSON_OMIT_EMPTY = 1, /* not written when zero, empty or absent */
    JSON_READ_ONLY = 2,  /* never written: another name of a field */
};

/* Offsets of fields that a row lacks. */
enum { JSON_NONE = UINT16_MAX };

typedef struct JsonSchema JsonSchema;
typedef struct JsonField {
    const char *name;
    JsonKind kind;
    uint8_t flags;
    uint16_t offset;       /* the value (array for lists) */
    uint16_t count_offset; /* size_t: STRINGS, DURATIONS, MAP, OBJECTS */
    uint16_t has_offset;   /* bool: TIME, OBJECT */
    uint16_t text_offset;  /* Slice: TIME */
    uint16_t size;         /* of an element: OBJECTS */
    const char *go_type;   /* where the kind's usual one does not fit */
    const JsonChoices *choices;
    const JsonSchema *schema;
} JsonField;

struct JsonSchema {
    const char *go_name; /* "StreamConfigRequest": how Go's errors call the struct */
    const JsonField *fields;
    size_t field_count;
};

/* Rows. T is the struct, m the member. */
#define JSON_ROW(T, m, json, kind_, ...)                                                           \
    {                                                                                              \
        .name = json, .kind = kind_, .offset = offsetof(T, m), .count_offset = JSON_NONE,          \
        .has_offset = JSON_NONE, .text_offset = JSON_NONE, __VA_ARGS__                             \
    }
#define JSON_LIST_ROW(T, m, count, json, kind_, ...)                                               \
    {                                                                                              \
        .name = json, .kind = kind_, .offset = offsetof(T, m), .count_offset = offsetof(T, count), \
        .has_offset = JSON_NONE, .text_offset = JSON_NONE, __VA_ARGS__                             \
    }
/* has_: offsetof a bool, or JSON_NONE. */
#define JSON_OBJECT_ROW(json, schema_, has_, ...)                                                  \
    {                                                                                              \
        .name = json, .kind = JSON_OBJECT, .offset = JSON_NONE, .count_offset = JSON_NONE,         \
        .has_offset = has_, .text_offset = JSON_NONE, .schema = schema_, __VA_ARGS__               \
    }
/* A struct inside T with a schema of its own. */
#define JSON_STRUCT_ROW(T, m, has, json, schema_, ...)                                             \
    {                                                                                              \
        .name = json, .kind = JSON_OBJECT, .offset = offsetof(T, m), .count_offset = JSON_NONE,    \
        .has_offset = offsetof(T, has), .text_offset = JSON_NONE, .schema = schema_, __VA_ARGS__   \
    }
/* E: the struct of an element; go_type: "[]server.Thing". */
#define JSON_STRUCTS_ROW(T, m, count, E, json, schema_, go_type_, ...)                             \
    {                                                                                              \
        .name = json, .kind = JSON_OBJECTS, .offset = offsetof(T, m),                              \
        .count_offset = offsetof(T, count), .has_offset = JSON_NONE, .text_offset = JSON_NONE,     \
        .size = sizeof(E), .schema = schema_, .go_type = go_type_, __VA_ARGS__                     \
    }
/* text_: offsetof a Slice, or JSON_NONE. */
#define JSON_TIME_ROW(T, m, has, text_, json, ...)                                                 \
    {                                                                                              \
        .name = json, .kind = JSON_TIME, .offset = offsetof(T, m), .count_offset = JSON_NONE,      \
        .has_offset = offsetof(T, has), .text_offset = text_, __VA_ARGS__                          \
    }
#define JSON_SCHEMA(go_name_, rows)                                                                \
    { go_name_, rows, sizeof(rows) / sizeof((rows)[0]) }

typedef enum JsonMode {
    JSON_STRICT, /* as Go's Decoder with DisallowUnknownFields: values until the end, syntax errors
                    "... at offset N" */
    JSON_LOOSE,  /* as Go's Unmarshal: one value, unknown fields are skipped */
} JsonMode;

/* Reads text into *out (zeroed by the caller, or holding defaults). Strings and lists are allocated
 * in arena. ERR_SYNTAX: out_error (may be NULL) gets Go's text, *out may be half filled. A text
 * without any value is OK in JSON_STRICT and changes nothing, as with Go. O(length). */
MUST_CHECK Status json_read(Slice text, const JsonSchema *schema, JsonMode mode, Arena *arena,
                            void *out, Buf *out_error);

/* Appends the object. */
void json_write(Buf *out, const JsonSchema *schema, const void *from);
/* Appends the fields of the object without braces; each preceded by a comma when is_first is false.
 * Returns whether none was written and is_first was true. */
bool json_write_fields(Buf *out, const JsonSchema *schema, const void *from, bool is_first);

/* Replaces every slice and list that the table's fields refer to by a copy in arena. */
void json_own(const JsonSchema *schema, Arena *arena, void *thing);

/* JSON string with quotes, escaped as Go does (<, > and & too). */
void json_write_string(Buf *out, Slice text);

/* True for no bytes at all and for an object without members. */
bool json_is_empty_object(Slice text);

/* True when the first byte that is no blank is '{' or '['. */
bool json_looks_structured(Slice text);

/* Go's strconv.Quote. */
void json_go_quote(Buf *out, Slice text);

/* JsonCursor: the parts below, for callers without a table. */

/* Checks one value that begins at *at (blanks before it are skipped) and moves *at behind it.
 * ERR_NOT_FOUND: only blanks were left. ERR_SYNTAX: out_error gets Go's text; with_offset adds " at
 * offset N", and what ends too early is "unexpected EOF". O(length), no recursion, nesting is
 * bounded. */
MUST_CHECK Status json_check(Slice text, size_t *at, bool with_offset, Buf *out_error);

/* The members of an object, the elements of an array, in text that json_check accepted:
 *     for (size_t i = 0; json_next_member(object, &i, &key, &value);)
 * key is raw: without quotes, escapes not resolved. */
bool json_next_member(Slice object, size_t *at, Slice *out_key, Slice *out_value);
bool json_next_element(Slice array, size_t *at, Slice *out_value);

/* Resolves the escapes of a raw string (without its quotes). */
Slice json_unescape(Slice raw, Arena *arena);
