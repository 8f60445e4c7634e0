#include "base/name_order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rand.h"

enum { ITEMS = 3000 };

typedef struct Item {
    char name[8];
    bool is_in;
} Item;

static Slice item_name(const void *item) {
    return slice_from(((const Item *)item)->name, sizeof((const Item *)item)->name);
}

static Item items[ITEMS]; /* by name */

static void make_items(void) {
    for (int i = 0; i < ITEMS; i++) {
        char text[12];
        (void)snprintf(text, sizeof text, "item%04d", i);
        memcpy(items[i].name, text, sizeof items[i].name);
        items[i].is_in = false;
    }
}

static void must_be_as_marked(const NameOrder *order, size_t from, size_t max) {
    static void *page[ITEMS];
    size_t count = name_order_page(order, from, max, page), at = 0, place = 0;
    for (size_t i = 0; i < ITEMS && at < max; i++)
        if (items[i].is_in && place++ >= from)
            assert_ptr_equal(page[at++], &items[i]);
    assert_int_equal(count, at);
}

static void pages_are_in_order_whatever_came_and_went(void **state) {
    (void)state;
    NameOrder order;
    Rand rand;
    make_items();
    rand_init(&rand, 7);
    name_order_init(&order, item_name);
    for (int round = 0; round < 60000; round++) {
        /* Grows, then shrinks to nothing, then grows again. */
        bool is_growing = round % 40000 < 20000;
        Item *item = &items[rand_below(&rand, ITEMS)];
        if (item->is_in && (!is_growing || rand_below(&rand, 4) == 0)) {
            name_order_remove(&order, item);
            item->is_in = false;
        } else if (!item->is_in && (is_growing || rand_below(&rand, 4) == 0)) {
            item->is_in = true;
            name_order_add(&order, item);
        }
        if (round % 1000 == 0) {
            must_be_as_marked(&order, 0, ITEMS);
            must_be_as_marked(&order, (size_t)rand_below(&rand, ITEMS),
                              (size_t)rand_below(&rand, 700));
        }
    }
    must_be_as_marked(&order, 0, ITEMS);
    name_order_done(&order);
}

static void names_that_come_in_order_fill_it(void **state) {
    (void)state;
    NameOrder order;
    make_items();
    name_order_init(&order, item_name);
    for (int i = 0; i < ITEMS; i++) {
        items[i].is_in = true;
        name_order_add(&order, &items[i]);
    }
    assert_true(order.chunks.len <= ITEMS / 256 + 1);
    must_be_as_marked(&order, 0, ITEMS);
    for (int i = 0; i < ITEMS; i++)
        name_order_remove(&order, &items[i]);
    assert_int_equal(order.len, 0);
    assert_int_equal(order.chunks.len, 0);
    name_order_done(&order);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_in_order_whatever_came_and_went),
        cmocka_unit_test(names_that_come_in_order_fill_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
