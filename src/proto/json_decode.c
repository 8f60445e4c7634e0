#include <string.h>

#include "proto/json.h"
#include "proto/timefmt.h"

enum { PATH_MAX_LEN = 8 }; /* schemas nest less deeply than this */

/* A step of the path to what is being read: a field or key, or (name.ptr NULL) an element. */
typedef struct Step {
    Slice name;
    size_t element;
} Step;

typedef struct Decoder {
    const JsonSchema *root;
    bool refuse_unknown;
    Arena *arena;
    char *base;
    Buf *error; /* first complaint; decoding goes on, as Go does */
    bool has_error;
    Step path[PATH_MAX_LEN];
    size_t path_len;
} Decoder;

static void read_value(Decoder *decoder, const JsonField *field, Slice value);
static void read_object(Decoder *decoder, const JsonSchema *schema, Slice object);

static bool is_null(Slice value) {
    return value.ptr[0] == 'n';
}

static Slice inside(Slice quoted) {
    return slice_from(quoted.ptr + 1, quoted.len - 2);
}

static void write_path(const Decoder *decoder, Buf *out, const char *type) {
    if (decoder->path_len == 0) {
        buf_printf(out, " into Go value of type %s", type);
        return;
    }
    bool is_field = decoder->path[decoder->path_len - 1].name.ptr != NULL;
    buf_printf(out, " into %s%s", is_field ? "Go struct field " : "", decoder->root->go_name);
    for (size_t i = 0; i < decoder->path_len; i++) {
        const Step *step = &decoder->path[i];
        buf_append_char(out, '.');
        if (step->name.ptr)
            buf_append(out, step->name);
        else
            buf_append_u64(out, step->element);
    }
    buf_printf(out, " of type %s", type);
}

/* Go's UnmarshalTypeError: remembered when it is the first; the field keeps its value. */
static void wrong_type(Decoder *decoder, Slice value, const char *type) {
    if (decoder->has_error)
        return;
    decoder->has_error = true;
    if (!decoder->error)
        return;

    Buf *out = decoder->error;
    buf_append_lit(out, "json: cannot unmarshal ");
    switch (value.ptr[0]) {
    case '{':
        buf_append_lit(out, "object");
        break;
    case '[':
        buf_append_lit(out, "array");
        break;
    case '"':
        buf_append_lit(out, "string");
        break;
    case 't':
    case 'f':
        buf_append_lit(out, "bool");
        break;
    default:
        buf_append_lit(out, "number");
        if (type[0] != '[' && (strstr(type, "int") || strstr(type, "Duration"))) {
            buf_append_char(out, ' ');
            buf_append(out, value);
        }
    }
    write_path(decoder, out, type);
}

/* A complaint in other words; NULL when it is not the first, or nobody asks. */
static Buf *complain(Decoder *decoder) {
    bool is_first = !decoder->has_error;
    decoder->has_error = true;
    return is_first ? decoder->error : NULL;
}

/* A complaint about a part of the field that is being read. */
static void wrong_part(Decoder *decoder, Slice value, Step step, const char *type) {
    if (decoder->path_len < PATH_MAX_LEN) {
        decoder->path[decoder->path_len++] = step;
        wrong_type(decoder, value, type);
        decoder->path_len--;
    }
}

/* Integers only: fractions and exponents are refused even when they are whole. */
static bool parse_int(Slice value, int64_t min, int64_t max, int64_t *out) {
    return slice_parse_i64(value, out) == OK && *out >= min && *out <= max;
}

static const char *go_type(const JsonField *field) {
    static const char *const usual[] = {
        [JSON_BOOL] = "bool",
        [JSON_INT] = "int64",
        [JSON_INT32] = "int32",
        [JSON_UINT] = "uint64",
        [JSON_DURATION] = "time.Duration",
        [JSON_STRING] = "string",
        [JSON_STRINGS] = "[]string",
        [JSON_DURATIONS] = "[]time.Duration",
        [JSON_MAP] = "map[string]string",
    };
    return field->go_type ? field->go_type : usual[field->kind];
}

static void read_integer(Decoder *decoder, const JsonField *field, Slice value) {
    void *to = decoder->base + field->offset;
    bool is_number = value.ptr[0] == '-' || (value.ptr[0] >= '0' && value.ptr[0] <= '9');
    int64_t number;

    if (is_number && field->kind == JSON_UINT) {
        uint64_t natural;
        if (slice_parse_u64(value, &natural) == OK) {
            *(uint64_t *)to = natural;
            return;
        }
    } else if (is_number) {
        bool is_32 = field->kind == JSON_INT32;
        if (parse_int(value, is_32 ? INT32_MIN : INT64_MIN, is_32 ? INT32_MAX : INT64_MAX,
                      &number)) {
            *(int64_t *)to = number;
            return;
        }
    }
    wrong_type(decoder, value, go_type(field));
}

static size_t count_elements(Slice array) {
    size_t n = 0;
    Slice value;
    for (size_t at = 0; json_next_element(array, &at, &value);)
        n++;
    return n;
}

static void read_strings(Decoder *decoder, const JsonField *field, Slice value) {
    size_t n = count_elements(value), i = 0;
    Slice *list = arena_zalloc(decoder->arena, n * sizeof *list + 1); /* not NULL: [] is not null */
    Slice element;

    for (size_t at = 0; json_next_element(value, &at, &element); i++) {
        if (element.ptr[0] == '"')
            list[i] = json_unescape(inside(element), decoder->arena);
        else if (!is_null(element))
            wrong_part(decoder, element, (Step){.element = i}, "string");
    }
    *(Slice **)(void *)(decoder->base + field->offset) = list;
    *(size_t *)(void *)(decoder->base + field->count_offset) = n;
}

static void read_durations(Decoder *decoder, const JsonField *field, Slice value) {
    size_t n = count_elements(value), i = 0;
    int64_t *list = n ? arena_zalloc(decoder->arena, n * sizeof *list) : NULL;
    Slice element;

    for (size_t at = 0; json_next_element(value, &at, &element); i++)
        if (!is_null(element) && !parse_int(element, INT64_MIN, INT64_MAX, &list[i]))
            wrong_part(decoder, element, (Step){.element = i}, "time.Duration");
    *(int64_t **)(void *)(decoder->base + field->offset) = list;
    *(size_t *)(void *)(decoder->base + field->count_offset) = n;
}

/* Puts the pair at its place by key; an equal key is replaced. */
static size_t insert_pair(JsonPair *pairs, size_t n, JsonPair pair) {
    size_t at = n;

    while (at > 0 && slice_compare(pairs[at - 1].key, pair.key) > 0)
        at--;
    if (at > 0 && slice_equal(pairs[at - 1].key, pair.key)) {
        pairs[at - 1] = pair;
        return n;
    }
    memmove(pairs + at + 1, pairs + at, (n - at) * sizeof *pairs);
    pairs[at] = pair;
    return n + 1;
}

static void read_map(Decoder *decoder, const JsonField *field, Slice value) {
    JsonPair **list = (void *)(decoder->base + field->offset);
    size_t *count = (void *)(decoder->base + field->count_offset);
    size_t n = *count; /* a repeated key of a map adds to it, as with Go */
    Slice key, element;

    for (size_t at = 0; json_next_member(value, &at, &key, &element);)
        n++;
    JsonPair *pairs = n ? arena_zalloc(decoder->arena, n * sizeof *pairs) : NULL;
    if (*count)
        memcpy(pairs, *list, *count * sizeof *pairs);
    n = *count;
    for (size_t at = 0; json_next_member(value, &at, &key, &element);) {
        JsonPair pair = {.key = json_unescape(key, decoder->arena)};
        if (element.ptr[0] == '"')
            pair.value = json_unescape(inside(element), decoder->arena);
        else if (!is_null(element))
            wrong_part(decoder, element, (Step){.name = pair.key}, "string");
        n = insert_pair(pairs, n, pair);
    }
    *list = pairs;
    *count = n;
}

static void read_objects(Decoder *decoder, const JsonField *field, Slice value) {
    size_t n = count_elements(value), i = 0;
    char *list = arena_zalloc(decoder->arena, n * field->size + 1), *base = decoder->base;
    Slice element;

    for (size_t at = 0; json_next_element(value, &at, &element); i++) {
        if (is_null(element) || decoder->path_len == PATH_MAX_LEN)
            continue;
        decoder->path[decoder->path_len++] = (Step){.element = i};
        decoder->base = list + i * field->size;
        if (element.ptr[0] == '{')
            read_object(decoder, field->schema, element);
        else
            wrong_type(decoder, element, field->schema->go_name);
        decoder->base = base;
        decoder->path_len--;
    }
    *(void **)(void *)(base + field->offset) = list;
    *(size_t *)(void *)(base + field->count_offset) = n;
}

static void write_refusal(Buf *out, const char *refusal, Slice value) {
    for (const char *c = refusal; *c; c++) {
        if (c[0] == '%' && c[1] == 'q') {
            json_go_quote(out, value);
            c++;
        } else if (c[0] == '%' && c[1] == 's') {
            buf_append(out, value);
            c++;
        } else {
            buf_append_char(out, *c);
        }
    }
}

static bool find_choice(Decoder *decoder, const JsonChoices *choices, Slice value, uint32_t *out) {
    if (value.ptr[0] != '"')
        return false;
    Slice word =
        choices->is_plain_string ? json_unescape(inside(value), decoder->arena) : inside(value);
    if ((word.len == 0 && choices->takes_empty) ||
        (choices->alias && slice_equal(word, slice_of_text(choices->alias)))) {
        *out = 0;
        return true;
    }
    for (uint32_t i = 0; choices->names[i]; i++)
        if (slice_equal(word, slice_of_text(choices->names[i]))) {
            *out = i;
            return true;
        }
    return false;
}

static void read_choice(Decoder *decoder, const JsonField *field, Slice value) {
    const JsonChoices *choices = field->choices;
    void *to = decoder->base + field->offset;
    uint32_t found;

    if (find_choice(decoder, choices, value, &found)) {
        if (field->kind == JSON_ENUM)
            *(uint32_t *)to = found;
        else
            *(bool *)to = found != 0;
    } else if (choices->is_plain_string && value.ptr[0] != '"' && !is_null(value)) {
        size_t path_len = decoder->path_len;
        decoder->path_len = 0;
        wrong_type(decoder, value, "string");
        decoder->path_len = path_len;
    } else {
        Buf *error = complain(decoder);
        if (error)
            write_refusal(error, choices->refusal, value);
    }
}

/* As Go would write the time again: two digits of hours, fraction without trailing zeros, "+00:00"
 * as "Z". */
static Slice time_text(Slice text, Arena *arena) {
    enum { HOUR_AT = 11, HOUR_END = 13 };
    if (text.ptr[HOUR_END - 1] == ':') {
        char *wide = arena_alloc(arena, text.len + 1);
        memcpy(wide, text.ptr, HOUR_AT);
        wide[HOUR_AT] = '0';
        memcpy(wide + HOUR_AT + 1, text.ptr + HOUR_AT, text.len - HOUR_AT);
        text = slice_from(wide, text.len + 1);
    }
    size_t zone = text.len - 1;
    if (text.ptr[zone] != 'Z')
        zone = text.len - 6;
    size_t end = zone;
    if (slice_find(text, '.') < text.len) {
        while (text.ptr[end - 1] == '0')
            end--;
        if (text.ptr[end - 1] == '.')
            end--;
    }
    Slice tail = slice_from_at(text, zone);
    if (slice_equal(tail, LIT("+00:00")) || slice_equal(tail, LIT("-00:00")))
        tail = LIT("Z");
    char *to = arena_alloc(arena, end + tail.len);
    memcpy(to, text.ptr, end);
    memcpy(to + end, tail.ptr, tail.len);
    return slice_from(to, end + tail.len);
}

static void read_time(Decoder *decoder, const JsonField *field, Slice value) {
    int64_t ns;
    Buf why = {0};

    if (value.ptr[0] != '"') {
        wrong_type(decoder, value, "time.Time");
        return;
    }
    if (time_parse_explained(inside(value), &ns, &why) == OK) {
        *(int64_t *)(void *)(decoder->base + field->offset) = ns;
        *(bool *)(decoder->base + field->has_offset) = true;
        if (field->text_offset != JSON_NONE)
            *(Slice *)(void *)(decoder->base + field->text_offset) =
                time_text(inside(value), decoder->arena);
    } else {
        Buf *error = complain(decoder);
        if (error)
            buf_append(error, buf_slice(&why));
    }
    buf_done(&why);
}

/* null: plain fields stay, lists, maps and pointers become absent. */
static void read_null(Decoder *decoder, const JsonField *field) {
    switch (field->kind) {
    case JSON_STRINGS:
    case JSON_DURATIONS:
    case JSON_MAP:
    case JSON_OBJECTS:
        *(void **)(void *)(decoder->base + field->offset) = NULL;
        *(size_t *)(void *)(decoder->base + field->count_offset) = 0;
        break;
    case JSON_RAW:
        *(Slice *)(void *)(decoder->base + field->offset) = (Slice){0};
        break;
    case JSON_TIME:
    case JSON_OBJECT:
        if (field->has_offset != JSON_NONE)
            *(bool *)(decoder->base + field->has_offset) = false;
        break;
    default:
        break;
    }
}

static void read_nested(Decoder *decoder, const JsonField *field, Slice value) {
    if (value.ptr[0] != '{') {
        wrong_type(decoder, value, field->go_type ? field->go_type : field->schema->go_name);
        return;
    }
    if (field->has_offset != JSON_NONE)
        *(bool *)(decoder->base + field->has_offset) = true;
    char *base = decoder->base;
    if (field->offset != JSON_NONE)
        decoder->base += field->offset;
    read_object(decoder, field->schema, value);
    decoder->base = base;
}

static void read_value(Decoder *decoder, const JsonField *field, Slice value) {
    void *to = field->offset == JSON_NONE ? NULL : decoder->base + field->offset;
    char first = value.ptr[0];

    if (is_null(value) && field->kind != JSON_ENUM && field->kind != JSON_ENUM_BOOL) {
        read_null(decoder, field);
        return;
    }
    switch (field->kind) {
    case JSON_ENUM:
    case JSON_ENUM_BOOL:
        read_choice(decoder, field, value);
        break;
    case JSON_OBJECT:
        read_nested(decoder, field, value);
        break;
    case JSON_TIME:
        read_time(decoder, field, value);
        break;
    case JSON_RAW:
        *(Slice *)to = arena_copy(decoder->arena, value);
        break;
    case JSON_INT:
    case JSON_INT32:
    case JSON_UINT:
    case JSON_DURATION:
        read_integer(decoder, field, value);
        break;
    case JSON_BOOL:
        if (first != 't' && first != 'f')
            wrong_type(decoder, value, "bool");
        else
            *(bool *)to = first == 't';
        break;
    case JSON_STRING:
        if (first != '"')
            wrong_type(decoder, value, go_type(field));
        else
            *(Slice *)to = json_unescape(inside(value), decoder->arena);
        break;
    case JSON_STRINGS:
    case JSON_DURATIONS:
    case JSON_MAP:
    case JSON_OBJECTS:
        if (first != (field->kind == JSON_MAP ? '{' : '['))
            wrong_type(decoder, value, go_type(field));
        else if (field->kind == JSON_MAP)
            read_map(decoder, field, value);
        else if (field->kind == JSON_OBJECTS)
            read_objects(decoder, field, value);
        else if (field->kind == JSON_STRINGS)
            read_strings(decoder, field, value);
        else
            read_durations(decoder, field, value);
        break;
    }
}

static const JsonField *find_field(const JsonSchema *schema, Slice key) {
    for (size_t i = 0; i < schema->field_count; i++)
        if (slice_equal(key, slice_of_text(schema->fields[i].name)))
            return &schema->fields[i];
    for (size_t i = 0; i < schema->field_count; i++)
        if (slice_equal_ignoring_case(key, slice_of_text(schema->fields[i].name)))
            return &schema->fields[i];
    return NULL;
}

static void read_object(Decoder *decoder, const JsonSchema *schema, Slice object) {
    Slice raw, value;

    for (size_t at = 0; json_next_member(object, &at, &raw, &value);) {
        bool has_escape = slice_find(raw, '\\') < raw.len;
        Slice key = has_escape ? json_unescape(raw, decoder->arena) : raw;
        const JsonField *field = find_field(schema, key);
        if (!field) {
            Buf *error = decoder->refuse_unknown ? complain(decoder) : NULL;
            if (error) {
                buf_append_lit(error, "json: unknown field ");
                json_go_quote(error, key);
            }
            continue;
        }
        if (decoder->path_len == PATH_MAX_LEN)
            continue;
        decoder->path[decoder->path_len++] = (Step){.name = slice_of_text(field->name)};
        read_value(decoder, field, value);
        decoder->path_len--;
    }
}

/* One checked value at the top. */
static Status read_top(Decoder *decoder, Slice value) {
    if (value.ptr[0] == '{') {
        read_object(decoder, decoder->root, value);
    } else if (!is_null(value)) {
        Buf type = {0};
        buf_printf(&type, "server.%s", decoder->root->go_name);
        wrong_type(decoder, value, buf_text(&type));
        buf_done(&type);
    }
    return decoder->has_error ? ERR_SYNTAX : OK;
}

Status json_read(Slice text, const JsonSchema *schema, JsonMode mode, Arena *arena, void *out,
                 Buf *out_error) {
    Decoder decoder = {.root = schema,
                       .refuse_unknown = mode == JSON_STRICT,
                       .arena = arena,
                       .base = out,
                       .error = out_error};
    size_t at = 0;

    for (bool is_first = true;; is_first = false) {
        while (at < text.len && memchr(" \t\r\n", text.ptr[at], 4))
            at++;
        if (at == text.len && !is_first)
            return OK;
        if (!is_first && mode == JSON_LOOSE) {
            if (out_error) {
                buf_append_lit(out_error, "invalid character '");
                buf_append_char(out_error, text.ptr[at]);
                buf_append_lit(out_error, "' after top-level value");
            }
            return ERR_SYNTAX;
        }
        size_t start = at;
        Status status = json_check(text, &at, mode == JSON_STRICT, out_error);
        if (status == ERR_NOT_FOUND) {
            if (mode == JSON_STRICT)
                return OK;
            if (out_error)
                buf_append_lit(out_error, "unexpected end of JSON input");
            return ERR_SYNTAX;
        }
        if (status == OK)
            status = read_top(&decoder, slice_from(text.ptr + start, at - start));
        if (status != OK)
            return status;
    }
}

static void own_list(const JsonField *field, Arena *arena, char *base) {
    size_t n = *(size_t *)(void *)(base + field->count_offset);
    void **list = (void *)(base + field->offset);
    size_t size = field->kind == JSON_STRINGS   ? sizeof(Slice)
                  : field->kind == JSON_MAP     ? sizeof(JsonPair)
                  : field->kind == JSON_OBJECTS ? field->size
                                                : sizeof(int64_t);

    if (n == 0) {
        *list = NULL;
        return;
    }
    *list = memcpy(arena_alloc(arena, n * size), *list, n * size);
    for (size_t i = 0; i < n; i++) {
        if (field->kind == JSON_STRINGS) {
            ((Slice *)*list)[i] = arena_copy(arena, ((Slice *)*list)[i]);
        } else if (field->kind == JSON_MAP) {
            JsonPair *pair = &((JsonPair *)*list)[i];
            *pair = (JsonPair){arena_copy(arena, pair->key), arena_copy(arena, pair->value)};
        } else if (field->kind == JSON_OBJECTS) {
            json_own(field->schema, arena, (char *)*list + i * size);
        }
    }
}

static void own_slice(Arena *arena, void *at) {
    Slice *slice = at;
    *slice = slice->len ? arena_copy(arena, *slice) : (Slice){0};
}

void json_own(const JsonSchema *schema, Arena *arena, void *thing) {
    char *base = thing;

    for (size_t i = 0; i < schema->field_count; i++) {
        const JsonField *field = &schema->fields[i];
        if (field->flags & JSON_READ_ONLY)
            continue;
        switch (field->kind) {
        case JSON_STRING:
        case JSON_RAW:
            own_slice(arena, base + field->offset);
            break;
        case JSON_TIME:
            if (field->text_offset != JSON_NONE)
                own_slice(arena, base + field->text_offset);
            break;
        case JSON_STRINGS:
        case JSON_DURATIONS:
        case JSON_MAP:
        case JSON_OBJECTS:
            own_list(field, arena, base);
            break;
        case JSON_OBJECT:
            json_own(field->schema, arena, base + (field->offset == JSON_NONE ? 0 : field->offset));
            break;
        default:
            break;
        }
    }
}
