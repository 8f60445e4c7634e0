#include "proto/conf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "proto/conf_private.h"
#include "proto/json.h"
#include "proto/timefmt.h"

void conf_free(Conf *conf) {
    if (conf == NULL)
        return;
    for (size_t i = 0; i < conf->indexes.len; i++) {
        map_done(conf->indexes.at[i]);
        mem_free(conf->indexes.at[i]);
    }
    vec_done(&conf->indexes);
    arena_free(conf->arena);
    mem_free(conf);
}

const ConfValue *conf_root(const Conf *conf) {
    return conf->root;
}

static ConfValue *find(const ConfValue *map, Slice key) {
    if (map->list.index != NULL)
        return map_get(map->list.index, key);
    for (ConfValue *value = map->list.first; value != NULL; value = value->next)
        if (slice_equal(value->key, key))
            return value;
    return NULL;
}

const ConfValue *conf_get(const ConfValue *map, Slice key) {
    ASSERT(map->type == CONF_MAP);
    return find(map, key);
}

ConfValue *conf_value_new(Conf *conf, ConfType type) {
    ConfValue *value = arena_zalloc(conf->arena, sizeof *value);
    value->type = type;
    value->weight = 1;
    return value;
}

void conf_list_push(ConfValue *parent, ConfValue *value) {
    ConfList *list = &parent->list;
    if (list->last == NULL)
        list->first = value;
    else
        list->last->next = value;
    list->last = value;
    list->count++;
    parent->weight += value->weight;
    if (parent->height <= value->height)
        parent->height = value->height + 1;
}

static void make_index(Conf *conf, ConfValue *map) {
    map->list.index = mem_zalloc(sizeof(Map));
    vec_push(&conf->indexes, map->list.index);
    for (ConfValue *value = map->list.first; value != NULL; value = value->next)
        (void)map_put(map->list.index, value->key, value);
}

void conf_map_put(Conf *conf, ConfValue *map, ConfValue *value) {
    ConfValue *old = find(map, value->key);
    if (old != NULL) {
        ConfValue *next = old->next;
        bool was_used = old->was_used;
        map->weight += value->weight - old->weight;
        if (map->height <= value->height)
            map->height = value->height + 1;
        *old = *value;
        old->next = next;
        old->was_used |= was_used;
        if (map->list.index != NULL)
            (void)map_put(map->list.index, old->key, old);
        return;
    }
    conf_list_push(map, value);
    if (map->list.index != NULL)
        (void)map_put(map->list.index, value->key, value);
    else if (map->list.count > CONF_INDEX_FROM)
        make_index(conf, map);
}

const char *conf_type_name(ConfType type) {
    static const char *const names[] = {
        [CONF_STRING] = "string",
        [CONF_BOOL] = "bool",
        [CONF_INT] = "int64",
        [CONF_FLOAT] = "float64",
        [CONF_DATE] = "time.Time",
        [CONF_ARRAY] = "[]interface {}",
        [CONF_MAP] = "map[string]interface {}",
    };
    return names[type];
}

/* The shortest decimal that reads back as the same number, without an exponent where Go writes
 * none. */
static void write_number(Buf *out, double number) {
    char text[64];
    int precision = 1;

    do
        (void)snprintf(text, sizeof text, "%.*e", precision - 1, number);
    while (strtod(text, NULL) != number && precision++ < 17);

    const char *mark = strchr(text, 'e');
    long exponent = mark ? strtol(mark + 1, NULL, 10) : 0;
    if (number != 0 && (exponent < -6 || exponent >= 21)) {
        buf_append(out, slice_of_text(text));
        return;
    }
    int decimals = precision - 1 - (int)exponent;
    buf_printf(out, "%.*f", decimals > 0 ? decimals : 0, number);
}

static int by_key(const void *left, const void *right) {
    const ConfValue *const *a = left, *const *b = right;
    return slice_compare((*a)->key, (*b)->key);
}

typedef void Writer(Buf *out, const ConfValue *value);

/* Calls write for each value of a map, by key; separate goes between. */
static void each_sorted(Buf *out, const ConfValue *map,
                        void (*member)(Buf *out, const ConfValue *value), char separator) {
    size_t n = 0;
    const ConfValue **sorted = mem_alloc((map->list.count + 1) * sizeof *sorted);

    for (const ConfValue *value = map->list.first; value != NULL; value = value->next)
        sorted[n++] = value;
    qsort(sorted, n, sizeof *sorted, by_key);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_append_char(out, separator);
        member(out, sorted[i]);
    }
    mem_free(sorted);
}

static void each_element(Buf *out, const ConfValue *array, Writer *write, char separator) {
    for (const ConfValue *value = array->list.first; value != NULL; value = value->next) {
        write(out, value);
        if (value->next != NULL)
            buf_append_char(out, separator);
    }
}

static void write_json_member(Buf *out, const ConfValue *value) {
    json_write_string(out, value->key);
    buf_append_char(out, ':');
    conf_write_json(out, value);
}

void conf_write_json(Buf *out, const ConfValue *value) {
    switch (value->type) {
    case CONF_STRING:
        json_write_string(out, value->text);
        break;
    case CONF_BOOL:
        buf_append(out, value->flag ? LIT("true") : LIT("false"));
        break;
    case CONF_INT:
        buf_append_i64(out, value->integer);
        break;
    case CONF_FLOAT:
        write_number(out, value->number);
        break;
    case CONF_DATE:
        buf_append_char(out, '"');
        time_write(out, value->time_ns);
        buf_append_char(out, '"');
        break;
    case CONF_ARRAY:
        buf_append_char(out, '[');
        each_element(out, value, conf_write_json, ',');
        buf_append_char(out, ']');
        break;
    case CONF_MAP:
        buf_append_char(out, '{');
        each_sorted(out, value, write_json_member, ',');
        buf_append_char(out, '}');
        break;
    }
}

static void write_plain_member(Buf *out, const ConfValue *value) {
    buf_append(out, value->key);
    buf_append_char(out, ':');
    conf_write_plain(out, value);
}

void conf_write_plain(Buf *out, const ConfValue *value) {
    switch (value->type) {
    case CONF_STRING:
        buf_append(out, value->text);
        break;
    case CONF_ARRAY:
        buf_append_char(out, '[');
        each_element(out, value, conf_write_plain, ' ');
        buf_append_char(out, ']');
        break;
    case CONF_MAP:
        buf_append_lit(out, "map[");
        each_sorted(out, value, write_plain_member, ' ');
        buf_append_char(out, ']');
        break;
    case CONF_DATE:
        time_write(out, value->time_ns);
        break;
    default:
        conf_write_json(out, value);
        break;
    }
}
