#include "server/directive.h"

#include "base/mem.h"
#include "proto/json.h"
#include "proto/timefmt.h"

static void note(Buf *out, const ConfValue *at, const char *format, va_list args) {
    if (at != NULL)
        buf_printf(out, "%.*s:%u:%u: ", SLICE_ARG(at->file), at->line, at->column);
    buf_vprintf(out, format, args);
    buf_append_char(out, '\n');
}

void reader_fail(OptionsReader *reader, const ConfValue *at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    note(reader->errors, at, format, args);
    va_end(args);
}

void reader_warn(OptionsReader *reader, const ConfValue *at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    note(reader->warnings, at, format, args);
    va_end(args);
}

void reader_refuse(OptionsReader *reader, const ConfValue *at, Slice name) {
    reader_fail(reader, at, "option \"%.*s\" is not supported yet", SLICE_ARG(name));
}

void reader_fail_unknown(OptionsReader *reader, const ConfValue *at) {
    if (!at->was_used)
        reader_fail(reader, at, "unknown field \"%.*s\"", SLICE_ARG(at->key));
}

bool key_is(const ConfValue *value, const char *name) {
    return slice_equal_ignoring_case(value->key, slice_of_text(name));
}

bool value_asks_nothing(const ConfValue *value) {
    switch (value->type) {
    case CONF_STRING:
        return value->text.len == 0 || slice_equal_ignoring_case(value->text, LIT("disabled")) ||
               slice_equal_ignoring_case(value->text, LIT("disable"));
    case CONF_BOOL:
        return !value->flag;
    case CONF_INT:
        return value->integer == 0;
    case CONF_FLOAT:
        return value->number == 0;
    case CONF_DATE:
        return false;
    case CONF_ARRAY:
    case CONF_MAP:
        return value->list.count == 0;
    }
    return false;
}

Slice directive_name(const Directive *directive) {
    Slice names = slice_of_text(directive->names), name;
    (void)slice_cut(&names, '|', &name);
    return name;
}

const Directive *directive_find(DirectiveTable table, Slice name) {
    for (size_t i = 0; i < table.count; i++) {
        Slice names = slice_of_text(table.rows[i].names), one;
        while (slice_cut(&names, '|', &one))
            if (slice_equal_ignoring_case(one, name))
                return &table.rows[i];
    }
    return NULL;
}

bool reader_want(OptionsReader *reader, const ConfValue *value, ConfType type) {
    static const char *const wanted[] = {
        [CONF_STRING] = "a string",     [CONF_BOOL] = "true or false", [CONF_INT] = "an integer",
        [CONF_FLOAT] = "a number",      [CONF_DATE] = "a date",        [CONF_ARRAY] = "an array",
        [CONF_MAP] = "a block { ... }",
    };
    if (value->type == type)
        return true;
    reader_fail(
        reader, value, "expected %s for \"%.*s\": interface conversion: interface {} is %s, not %s",
        wanted[type], SLICE_ARG(value->key), conf_type_name(value->type), conf_type_name(type));
    return false;
}

bool reader_duration(OptionsReader *reader, const ConfValue *value, bool takes_seconds,
                     int64_t *out_ns) {
    if (value->type == CONF_INT && takes_seconds) {
        if (__builtin_mul_overflow(value->integer, INT64_C(1000000000), out_ns)) {
            reader_fail(reader, value, "error parsing %.*s: out of range", SLICE_ARG(value->key));
            return false;
        }
        reader_warn(reader, value,
                    "invalid use of field \"%.*s\": %.*s should be converted to a duration",
                    SLICE_ARG(value->key), SLICE_ARG(value->key));
        return true;
    }
    if (!reader_want(reader, value, CONF_STRING))
        return false;
    if (duration_parse(value->text, out_ns) == OK)
        return true;
    Buf quoted = {0};
    json_go_quote(&quoted, value->text);
    reader_fail(reader, value, "error parsing %.*s: time: invalid duration %s",
                SLICE_ARG(value->key), buf_text(&quoted));
    buf_done(&quoted);
    return false;
}

/* "10G": powers of 1024. */
static bool read_size(OptionsReader *reader, const ConfValue *value, int64_t *out) {
    static const char letters[] = "KMGT";
    int64_t number = 0;

    if (value->type == CONF_INT) {
        *out = value->integer;
        return true;
    }
    if (value->type != CONF_STRING) {
        reader_fail(reader, value, "%.*s must be int64 or string", SLICE_ARG(value->key));
        return false;
    }
    Slice text = value->text;
    const char *letter = text.len > 0 ? memchr(letters, text.ptr[text.len - 1], 4) : NULL;
    bool is_good =
        text.len == 0 ||
        (letter != NULL && slice_parse_i64(slice_first(text, text.len - 1), &number) == OK);
    for (const char *step = letters; is_good && letter != NULL && step <= letter; step++)
        is_good = !__builtin_mul_overflow(number, INT64_C(1024), &number);
    if (is_good)
        *out = number;
    else
        reader_fail(reader, value, "%.*s sizes defined as strings must end in K, M, G, T",
                    SLICE_ARG(value->key));
    return is_good;
}

bool reader_texts(OptionsReader *reader, const ConfValue *value, TextList *list) {
    const ConfValue *first = value->type == CONF_ARRAY ? value->list.first : value;
    size_t count = value->type == CONF_ARRAY ? value->list.count : 1;
    Slice *all = arena_alloc(reader->options->arena, (list->count + count + 1) * sizeof *all);
    size_t n = list->count;

    if (n > 0)
        memcpy(all, list->at, n * sizeof *all);
    for (const ConfValue *one = first; one != NULL;
         one = value->type == CONF_ARRAY ? one->next : NULL) {
        if (one->type != CONF_STRING) {
            reader_fail(reader, one,
                        "expected a string in \"%.*s\": error parsing %.*s: unsupported type %s",
                        SLICE_ARG(value->key), SLICE_ARG(value->key), conf_type_name(one->type));
            return false;
        }
        all[n++] = one->text;
    }
    list->at = all;
    list->count = n;
    return true;
}

static void read_integer(OptionsReader *reader, const Directive *row, const ConfValue *value,
                         int64_t *out) {
    if (!reader_want(reader, value, CONF_INT))
        return;
    bool is_limited = row->min != 0 || row->max != 0;
    if (is_limited && value->integer > row->max)
        reader_fail(reader, value, "%.*s value is too big: at most %lld", SLICE_ARG(value->key),
                    (long long)row->max);
    else if (is_limited && value->integer < row->min)
        reader_fail(reader, value, "%.*s value can not be less than %lld", SLICE_ARG(value->key),
                    (long long)row->min);
    else
        *out = value->integer;
}

static void read_row(OptionsReader *reader, const Directive *row, const ConfValue *value,
                     void *target) {
    void *place = (char *)target + row->offset;

    switch (row->kind) {
    case DIRECTIVE_BOOL:
        if (reader_want(reader, value, CONF_BOOL))
            *(bool *)place = value->flag;
        break;
    case DIRECTIVE_INT:
        read_integer(reader, row, value, place);
        break;
    case DIRECTIVE_SIZE:
        (void)read_size(reader, value, place);
        break;
    case DIRECTIVE_TEXT:
        if (reader_want(reader, value, CONF_STRING))
            *(Slice *)place = value->text;
        break;
    case DIRECTIVE_TEXTS:
        (void)reader_texts(reader, value, place);
        break;
    case DIRECTIVE_DURATION:
    case DIRECTIVE_DURATION_TEXT:
        (void)reader_duration(reader, value, row->kind == DIRECTIVE_DURATION, place);
        break;
    case DIRECTIVE_WHAT_HANDLER_SAYS:
        row->handler(reader, value, place);
        break;
    case DIRECTIVE_IGNORED:
        if (!value_asks_nothing(value))
            vec_push(&reader->options->ignored, directive_name(row));
        break;
    case DIRECTIVE_HARMLESS:
        break;
    case DIRECTIVE_REFUSED:
        if (!value_asks_nothing(value))
            reader_refuse(reader, value, directive_name(row));
        break;
    }
}

void directives_read(OptionsReader *reader, DirectiveTable table, const ConfValue *map,
                     void *target) {
    if (!reader_want(reader, map, CONF_MAP))
        return;
    for (const ConfValue *value = map->list.first; value != NULL; value = value->next) {
        const Directive *row = directive_find(table, value->key);
        if (row == NULL)
            reader_fail_unknown(reader, value);
        else
            read_row(reader, row, value, target);
    }
}
