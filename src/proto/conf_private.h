/* Conf, the inside: what the parser and the tree share. */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "proto/conf.h"

enum {
    CONF_DEPTH_MAX = 100,        /* maps, arrays and blocks in each other */
    CONF_INCLUDE_DEPTH_MAX = 16, /* includes, and variables that are read from the environment */
    CONF_WEIGHT_MAX = 4 * 1024 * 1024, /* values in one tree, variables resolved */
    CONF_INDEX_FROM = 16,              /* maps of more keys get an index */
};

struct Conf {
    Arena *arena;
    ConfValue *root;
    VEC(Map *) indexes;
};

ConfValue *conf_value_new(Conf *conf, ConfType type);

/* Takes value. list belongs to a map or an array. */
void conf_list_push(ConfValue *array, ConfValue *value);
void conf_map_put(Conf *conf, ConfValue *map, ConfValue *value);
