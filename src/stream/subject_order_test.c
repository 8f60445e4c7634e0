#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "stream/subject_order.h"

enum { NAMES = 3000, ROUNDS = 20000 };

static char names[NAMES][32];
static bool is_in[NAMES];

static int by_order(const void *a, const void *b) {
    return subject_order_compare(slice_of_text(*(char *const *)a),
                                 slice_of_text(*(char *const *)b));
}

static void tokens_come_before_bytes(void **state) {
    (void)state;
    static const char *const ascending[] = {"a", "a.b", "a.b.c", "a.z", "a!", "a-b", "ab", "b"};
    enum { COUNT = sizeof ascending / sizeof ascending[0] };
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < COUNT; k++) {
            int got =
                subject_order_compare(slice_of_text(ascending[i]), slice_of_text(ascending[k]));
            assert_int_equal(got, (i > k) - (i < k));
        }
}

static void check(const SubjectIndex *index) {
    char *want[NAMES];
    size_t count = 0;
    OrderCursor cursor = subject_order_seek(index->order, (Slice){0}, false);
    for (size_t i = 0; i < NAMES; i++)
        if (is_in[i])
            want[count++] = names[i];
    qsort(want, count, sizeof want[0], by_order);
    for (size_t i = 0; i < count; i++) {
        SubjectId id;
        do { /* emptied ones come too */
            id = subject_order_next(index->order, &cursor);
            assert_int_not_equal(id, 0);
        } while (subject_index_entry(index, id)->count == 0);
        Slice text = subject_entry_text(subject_index_entry(index, id));
        assert_true(slice_equal(text, slice_of_text(want[i])));
        OrderCursor again = subject_order_seek(index->order, text, false);
        assert_int_equal(subject_order_next(index->order, &again), id);
        again = subject_order_seek(index->order, text, true);
        SubjectId next = subject_order_next(index->order, &again);
        assert_int_not_equal(next, id);
    }
}

static void flip(SubjectIndex *index, size_t i) {
    SubjectId id = subject_index_add(index, slice_of_text(names[i]));
    SubjectEntry *entry = subject_index_entry(index, id);
    entry->count = is_in[i] ? 0 : 1;
    if (is_in[i])
        subject_index_emptied(index, id);
    is_in[i] = !is_in[i];
}

/* Before, while and after it is made. */
static void the_order_follows_the_index(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        SubjectIndex index = {0};
        Rand rand;
        rand_init(&rand, seed);
        memset(is_in, 0, sizeof is_in);
        for (size_t i = 0; i < NAMES; i++)
            (void)snprintf(names[i], sizeof names[i], "k%u.%c%zu", (unsigned)rand_below(&rand, 9),
                           "-.x"[rand_below(&rand, 3)], i);
        for (size_t n = 0; n < ROUNDS; n++) {
            flip(&index, rand_below(&rand, NAMES));
            if (n == ROUNDS / 4)
                subject_order_begin(&index);
            if (n > ROUNDS / 4 && n % 100 == 0 && subject_order_build(index.order, 20) &&
                n % 1000 == 0)
                check(&index);
        }
        assert_true(subject_order_build(index.order, SIZE_MAX));
        check(&index);
        subject_index_done(&index);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_come_before_bytes),
        cmocka_unit_test(the_order_follows_the_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
