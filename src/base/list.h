/* List: intrusive, circular, doubly linked. The head is a Link; list_init before use.
 * A Link that is in no list points to itself after link_init or list_remove. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

typedef struct Link Link;
struct Link {
    Link *prev, *next;
};
typedef Link List;

static inline void link_init(Link *link) {
    link->prev = link->next = link;
}

static inline void list_init(List *list) {
    link_init(list);
}

static inline bool list_is_empty(const List *list) {
    return list->next == list;
}

static inline bool link_is_listed(const Link *link) {
    return link->next != link;
}

static inline void list_push_back(List *list, Link *link) {
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline void list_push_front(List *list, Link *link) {
    list_push_back(list->next, link);
}

/* Harmless on a link in no list. */
static inline void list_remove(Link *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link_init(link);
}

/* NULL when empty. */
static inline Link *list_pop_front(List *list) {
    Link *first = list->next;
    if (first == list)
        return NULL;
    list_remove(first);
    return first;
}

#define LIST_FOR_EACH(link, list)                                                                  \
    for (Link *link = (list)->next, *link##_next = link->next; link != (list);                     \
         link = link##_next, link##_next = link->next)
