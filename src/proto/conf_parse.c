#include "proto/conf.h"

#include "base/mem.h"
#include "proto/conf_scan.h"

/* The maps that enclose what is being parsed: where variables are looked up. */
typedef struct Scope {
    const ConfValue *map;
    const struct Scope *outer;
} Scope;

/* Variables of the environment that are being parsed, to see cycles. */
typedef struct Pending {
    Slice name;
    const struct Pending *outer;
} Pending;

typedef struct Parser {
    ConfScan scan;
    const ConfSource *source;
    const Scope *scope;
    const Pending *pending;
    unsigned depth, include_depth;
} Parser;

/* What ends the items of a map. */
typedef enum Ending {
    ENDING_FILE,  /* the end of the text */
    ENDING_BLOCK, /* braces around the items of a file */
    ENDING_MAP,
} Ending;

static bool parse_items(Parser *parser, ConfValue *map, Ending ending);
static bool parse_value(Parser *parser, ConfValue **out_value);

static Conf *conf_new(void) {
    Conf *conf = mem_zalloc(sizeof *conf);
    conf->arena = arena_new();
    conf->root = conf_value_new(conf, CONF_MAP);
    conf->root->line = conf->root->column = 1;
    return conf;
}

static bool parse_text(Parser *parser, Slice file_name, Slice text, ConfValue *map) {
    ConfScan *scan = &parser->scan;
    Slice copy = arena_copy(scan->conf->arena, text);

    scan->file = arena_copy(scan->conf->arena, file_name);
    map->file = scan->file;
    scan->at = scan->line_start = copy.ptr;
    scan->end = copy.ptr + copy.len;
    scan->line = 1;
    if (slice_starts_with(copy, LIT("\xEF\xBB\xBF")))
        scan->at = scan->line_start += 3;
    return parse_items(parser, map, ENDING_FILE);
}

Status conf_parse(Slice file_name, Slice text, const ConfSource *source, Buf *out_error,
                  Conf **out_conf) {
    Parser parser = {.scan = {.conf = conf_new(), .error = out_error}, .source = source};

    if (!parse_text(&parser, file_name, text, parser.scan.conf->root)) {
        conf_free(parser.scan.conf);
        return ERR_SYNTAX;
    }
    *out_conf = parser.scan.conf;
    return OK;
}

/* An error without "Parse error on line": what the tools that read our messages know. */
static bool fail_plain(Parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool fail_plain(Parser *parser, const char *format, ...) {
    va_list args;
    if (parser->scan.error == NULL)
        return false;
    va_start(args, format);
    buf_vprintf(parser->scan.error, format, args);
    va_end(args);
    return false;
}

static bool is_comment(const ConfScan *scan) {
    int c = scan_peek(scan);
    return c == '#' || (c == '/' && scan->end - scan->at > 1 && scan->at[1] == '/');
}

static void skip_comment(ConfScan *scan) {
    while (scan_peek(scan) != CONF_END && !scan_is_newline(scan_peek(scan)))
        scan->at++;
}

static void skip_blanks(ConfScan *scan) {
    while (scan_is_blank(scan_peek(scan)))
        scan->at++;
}

static void skip_spaces(ConfScan *scan) {
    while (scan_is_space(scan_peek(scan)))
        scan_step(scan);
}

/* Also over what separates items. */
static void skip_to_item(ConfScan *scan) {
    for (;;) {
        int c = scan_peek(scan);
        if (scan_is_space(c) || c == ',' || c == ';')
            scan_step(scan);
        else if (is_comment(scan))
            skip_comment(scan);
        else
            return;
    }
}

static bool go_deeper(Parser *parser) {
    if (parser->depth >= CONF_DEPTH_MAX)
        return scan_fail(&parser->scan, "More than %d maps and arrays in each other",
                         CONF_DEPTH_MAX);
    parser->depth++;
    return true;
}

/* After something was put into a map or array. */
static bool check_size(Parser *parser, const ConfValue *parent) {
    if (parent->height > CONF_DEPTH_MAX)
        return scan_fail(&parser->scan, "More than %d maps and arrays in each other",
                         CONF_DEPTH_MAX);
    if (parent->weight > CONF_WEIGHT_MAX)
        return scan_fail(&parser->scan, "More than %d values, with variables", CONF_WEIGHT_MAX);
    return true;
}

/* "" as key is allowed in quotes only, since a bare one has a first character. */
static bool parse_key(Parser *parser, Slice *out_key, bool *out_is_include) {
    ConfScan *scan = &parser->scan;
    int c = scan_peek(scan);

    *out_is_include = false;
    if (c == '"' || c == '\'') {
        scan->at++;
        return scan_quoted(scan, (char)c, out_key);
    }
    const char *begin = scan->at;
    while ((c = scan_peek(scan)) != CONF_END && !scan_is_space(c) && c != ':' && c != '=')
        scan->at++;
    *out_key = slice_from(begin, (size_t)(scan->at - begin));
    *out_is_include = scan_is_space(c) && slice_equal_ignoring_case(*out_key, LIT("include"));
    return true;
}

/* At the first character of the name. */
static bool parse_include_name(ConfScan *scan, Slice *out_name) {
    static const struct {
        char first;
        const char *what;
    } wrong[] = {{'[', "start of an array"}, {'{', "start of a map"},   {'(', "start of a block"},
                 {'-', "start of a number"}, {'\\', "escape sequence"}, {'\n', "new line"},
                 {'\r', "new line"}};
    int c = scan_peek(scan);

    if (c == '\'' || c == '"') {
        scan->at++;
        return scan_quoted(scan, (char)c, out_name);
    }
    if (c == CONF_END)
        return scan_fail(scan, "Expected include value but found EOF");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (c == wrong[i].first || (wrong[i].first == '-' && c >= '0' && c <= '9'))
            return scan_fail(scan, "Expected include value but found %s", wrong[i].what);

    const char *begin = scan->at;
    while ((c = scan_peek(scan)) != CONF_END && !scan_is_newline(c) && !scan_is_blank(c) &&
           c != ';' && c != '}' && c != '\'')
        scan->at++;
    *out_name = slice_from(begin, (size_t)(scan->at - begin));
    if (c == '\'')
        scan->at++;
    return true;
}

static void append_path(Buf *out, Slice including_file, Slice name) {
    size_t folder = including_file.len;
    if (slice_starts_with(name, LIT("/")))
        folder = 0;
    while (folder > 0 && including_file.ptr[folder - 1] != '/')
        folder--;
    buf_append(out, slice_first(including_file, folder));
    buf_append(out, name);
}

/* The items of another file become items of map. */
static bool parse_include(Parser *parser, ConfValue *map) {
    ConfScan *scan = &parser->scan;
    Slice name;
    Buf path = {0}, text = {0}, error = {0};
    bool is_good = false;

    skip_blanks(scan);
    if (!parse_include_name(scan, &name))
        return false;
    if (parser->include_depth >= CONF_INCLUDE_DEPTH_MAX)
        return scan_fail(scan, "More than %d includes in each other", CONF_INCLUDE_DEPTH_MAX);

    append_path(&path, scan->file, name);
    Parser inner = *parser;
    inner.scan.error = &error;
    inner.include_depth++;
    ConfValue *items = conf_value_new(scan->conf, CONF_MAP);
    if (parser->source->read(parser->source->cookie, buf_text(&path), &text, &error) == OK &&
        parse_text(&inner, buf_slice(&path), buf_slice(&text), items)) {
        is_good = true;
        for (ConfValue *item = items->list.first, *next; item != NULL && is_good; item = next) {
            next = item->next;
            item->next = NULL;
            conf_map_put(scan->conf, map, item);
            is_good = check_size(parser, map);
        }
    } else {
        (void)fail_plain(parser, "error parsing include file '%.*s', %.*s", SLICE_ARG(name),
                         SLICE_ARG(buf_slice(&error)));
    }
    buf_done(&path);
    buf_done(&text);
    buf_done(&error);
    return is_good;
}

/* Behind a value: what must come before the next item. */
static bool parse_item_end(Parser *parser, Ending ending) {
    ConfScan *scan = &parser->scan;
    char shown[8];

    skip_blanks(scan);
    int c = scan_peek(scan);
    if (scan_is_newline(c) || c == ',' || c == ';' || is_comment(scan))
        return true;
    if (ending == ENDING_FILE && (c == CONF_END || c == '}')) {
        if (c == '}')
            scan->at++;
        return true;
    }
    if (c == '}' || c == CONF_END)
        return true; /* parse_items knows what to do */
    if (ending == ENDING_MAP)
        return scan_fail(scan,
                         "Expected a map value terminator \",\" or a map terminator \"}\", but got "
                         "'%s' instead.",
                         scan_next_shown(scan, shown));
    return scan_fail(
        scan, "Expected a %s value to end with a new line, comment or EOF, but got '%s' instead.",
        ending == ENDING_FILE ? "top-level" : "block-level", scan_next_shown(scan, shown));
}

static bool parse_item(Parser *parser, ConfValue *map, Ending ending) {
    ConfScan *scan = &parser->scan;
    unsigned line = scan->line, column = scan_column(scan);
    Slice key;
    bool is_include;
    ConfValue *value;

    if (!parse_key(parser, &key, &is_include))
        return false;
    if (is_include)
        return parse_include(parser, map) && parse_item_end(parser, ending);

    skip_spaces(scan);
    int c = scan_peek(scan);
    if (c == CONF_END)
        return fail_plain(parser, "config is invalid (%.*s:%u:%u): no value for \"%.*s\"",
                          SLICE_ARG(scan->file), line, column, SLICE_ARG(key));
    if (c == ':' || c == '=') {
        scan->at++;
        skip_blanks(scan);
        if (ending == ENDING_MAP)
            skip_spaces(scan);
    }
    if (ending == ENDING_MAP && scan_peek(scan) == ',')
        return scan_fail(scan, "Unexpected map value terminator ','.");
    if (!parse_value(parser, &value))
        return false;
    value->key = key;
    value->file = scan->file;
    value->line = line;
    value->column = column;
    conf_map_put(scan->conf, map, value);
    return check_size(parser, map) && parse_item_end(parser, ending);
}

/* A "}" that closes nothing is taken at the very end. */
static bool parse_stray_brace(Parser *parser) {
    ConfScan *scan = &parser->scan;
    ConfScan before = *scan;

    scan->at++;
    skip_to_item(scan);
    if (scan_peek(scan) == CONF_END)
        return true;
    *scan = before;
    return scan_fail(scan, "Unexpected map end '}' at the top level.");
}

static bool parse_items(Parser *parser, ConfValue *map, Ending ending) {
    ConfScan *scan = &parser->scan;
    Scope scope = {map, parser->scope};
    bool is_good = true, is_done = false;

    if (!go_deeper(parser))
        return false;
    parser->scope = &scope;
    while (is_good && !is_done) {
        skip_to_item(scan);
        int c = scan_peek(scan);
        if (c == CONF_END) {
            is_done = true;
            if (ending != ENDING_FILE)
                is_good = scan_fail(scan, "Unexpected EOF processing map.");
        } else if (c == '}' && ending == ENDING_FILE) {
            is_good = parse_stray_brace(parser);
        } else if (c == '}') {
            scan->at++;
            is_done = true;
        } else if (c == '{' && ending != ENDING_MAP) {
            scan->at++;
            is_good = parse_items(parser, map, ENDING_BLOCK);
        } else if (c == ':' || c == '=') {
            is_good = scan_fail(scan, "Unexpected key separator '%c'", c);
        } else if (c == ']' && ending == ENDING_MAP) {
            is_good = scan_fail(scan, "Unexpected array end ']' processing map.");
        } else {
            is_good = parse_item(parser, map, ending);
        }
    }
    parser->scope = scope.outer;
    parser->depth--;
    return is_good;
}

/* Behind an element: true when another one may follow. */
static bool parse_element_end(Parser *parser, bool *out_is_last) {
    ConfScan *scan = &parser->scan;
    char shown[8];

    *out_is_last = false;
    skip_blanks(scan);
    int c = scan_peek(scan);
    if (c == ',' || scan_is_newline(c)) {
        scan_step(scan);
        return true;
    }
    if (is_comment(scan))
        return true;
    if (c == ']') {
        scan->at++;
        *out_is_last = true;
        return true;
    }
    return scan_fail(scan,
                     "Expected an array value terminator \",\" or an array terminator \"]\", but "
                     "got '%s' instead.",
                     scan_next_shown(scan, shown));
}

static void skip_to_element(ConfScan *scan) {
    for (;;) {
        if (scan_is_space(scan_peek(scan)))
            scan_step(scan);
        else if (is_comment(scan))
            skip_comment(scan);
        else
            return;
    }
}

static bool parse_elements(Parser *parser, ConfValue *array) {
    ConfScan *scan = &parser->scan;
    bool is_last = false;

    while (!is_last) {
        skip_to_element(scan);
        int c = scan_peek(scan);
        if (c == ']') {
            scan->at++;
            return true;
        }
        if (c == CONF_END)
            return scan_fail(scan, "Unexpected EOF processing array.");
        if (c == ',')
            return scan_fail(scan, "Unexpected array value terminator ','.");
        unsigned line = scan->line, column = scan_column(scan);
        ConfValue *value;
        if (!parse_value(parser, &value))
            return false;
        value->file = scan->file;
        value->line = line;
        value->column = column;
        conf_list_push(array, value);
        if (!check_size(parser, array) || !parse_element_end(parser, &is_last))
            return false;
    }
    return true;
}

/* The text of an environment variable is parsed as a value; what it refers to is looked up as
 * usual. */
static bool parse_environment(Parser *parser, Slice name, const char *text, ConfValue **out_value) {
    ConfScan *scan = &parser->scan;
    Pending pending = {name, parser->pending};
    Buf whole = {0}, error = {0};
    Parser inner = {.scan = {.conf = scan->conf, .error = &error},
                    .source = parser->source,
                    .pending = &pending,
                    .depth = parser->depth,
                    .include_depth = parser->include_depth + 1};
    bool is_cycle = parser->include_depth >= CONF_INCLUDE_DEPTH_MAX;

    for (const Pending *p = parser->pending; p != NULL; p = p->outer)
        is_cycle = is_cycle || slice_equal(p->name, name);
    if (is_cycle)
        return scan_fail(scan, "variable reference cycle for '%.*s'", SLICE_ARG(name));

    buf_printf(&whole, "pk=%s", text);
    ConfValue *items = conf_value_new(scan->conf, CONF_MAP);
    bool is_good = parse_text(&inner, LIT("environment"), buf_slice(&whole), items);
    *out_value = is_good ? (ConfValue *)(uintptr_t)conf_get(items, LIT("pk")) : NULL;
    if (!is_good)
        (void)fail_plain(parser,
                         "variable reference for '%.*s' on line %u could not be parsed: %.*s",
                         SLICE_ARG(name), scan->line, SLICE_ARG(buf_slice(&error)));
    if (whole.len)
        explicit_bzero(whole.ptr, whole.len);
    buf_done(&whole);
    buf_done(&error);
    return is_good;
}

/* "$2a$11$..." is what a bcrypt hash looks like, not a variable. */
static bool looks_like_bcrypt(Slice name) {
    return name.len > 3 && name.ptr[0] == '2' && strchr("aby", name.ptr[1]) != NULL &&
           name.ptr[1] != '\0' && name.ptr[2] == '$';
}

static ConfValue *find_variable(Parser *parser, Slice name) {
    for (const Scope *scope = parser->scope; scope != NULL; scope = scope->outer) {
        const ConfValue *found = conf_get(scope->map, name);
        if (found != NULL)
            return (ConfValue *)(uintptr_t)found;
    }
    return NULL;
}

static bool resolve_variable(Parser *parser, ConfValue *value) {
    ConfScan *scan = &parser->scan;
    Slice name = value->text;

    if (looks_like_bcrypt(name)) {
        value->text = slice_from(name.ptr - 1, name.len + 1); /* with the "$" before it */
        return true;
    }
    ConfValue *found = find_variable(parser, name);
    if (found == NULL) {
        char *key = slice_to_text(name);
        const char *text = parser->source->environment(parser->source->cookie, key);
        bool is_good = text == NULL || parse_environment(parser, name, text, &found);
        mem_free(key);
        if (!is_good)
            return false;
    }
    if (found == NULL)
        return fail_plain(parser, "variable reference for '%.*s' on line %u can not be found",
                          SLICE_ARG(name), scan->line);
    found->was_used = true;
    *value = *found;
    value->next = NULL;
    value->was_used = false;
    return true;
}

static bool parse_value(Parser *parser, ConfValue **out_value) {
    ConfScan *scan = &parser->scan;
    bool is_variable, is_good;

    skip_blanks(scan);
    int c = scan_peek(scan);
    if (scan_is_newline(c))
        return scan_fail(scan, "Expected value but found new line");
    if (c == '{') {
        scan->at++;
        *out_value = conf_value_new(scan->conf, CONF_MAP);
        return parse_items(parser, *out_value, ENDING_MAP);
    }
    if (c == '[') {
        scan->at++;
        *out_value = conf_value_new(scan->conf, CONF_ARRAY);
        if (!go_deeper(parser))
            return false;
        is_good = parse_elements(parser, *out_value);
        parser->depth--;
        return is_good;
    }
    if (!scan_scalar(scan, out_value, &is_variable))
        return false;
    return !is_variable || resolve_variable(parser, *out_value);
}
