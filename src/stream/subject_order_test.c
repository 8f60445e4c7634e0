#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "store/run.h"
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

/* ---- over a run ---- */

enum { OF_RUN = 300 };
static char run_texts[OF_RUN][24];

static Slice run_text(void *cookie, uint32_t name) {
    (void)cookie;
    return slice_of_text(run_texts[name]);
}

static void run_numbered(void *cookie, uint32_t name, uint32_t ordinal) {
    ((uint32_t *)cookie)[name] = ordinal;
}

static void run_page(void *cookie, size_t p, RunFill *page) {
    const uint32_t *ordinals = cookie;
    *page = (RunFill){.number = p + 1};
    for (size_t i = p * RUN_PAGE_SLOTS; i < OF_RUN && page->count < RUN_PAGE_SLOTS; i++) {
        page->has[page->count / 64] |= 1ull << (page->count % 64);
        page->messages[page->count++] =
            (RunMessage){.place = 8 * (i + 1), .size = 1, .subject = ordinals[i]};
    }
}

static Run *make_run(const char *dir, char between) {
    uint32_t ordinals[OF_RUN], run_names[OF_RUN];
    Run *run;
    char path[96];
    for (uint32_t i = 0; i < OF_RUN; i++) {
        run_names[i] = i;
        snprintf(run_texts[i], sizeof run_texts[i], "k%u%c%u", i * 7919 % OF_RUN % 20,
                 i % 3 ? '.' : between, i);
    }
    RunInput input = {.cookie = ordinals,
                      .texts = run_names,
                      .text_count = OF_RUN,
                      .text = run_text,
                      .numbered = run_numbered,
                      .page_count = (OF_RUN + RUN_PAGE_SLOTS - 1) / RUN_PAGE_SLOTS,
                      .page = run_page};
    snprintf(path, sizeof path, "%s/1.1.run", dir);
    assert_int_equal(run_write(dir, path, &input), OK);
    assert_int_equal(run_open(path, NULL, &run), OK);
    assert_int_equal(remove(path), 0);
    return run;
}

/* With '-' the run's order is another one. */
static void subjects_of_a_run_come_in_order_with_those_of_the_heap(void **state) {
    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        char dir[] = "/tmp/subject_order-XXXXXX";
        assert_non_null(mkdtemp(dir));
        Run *run = make_run(dir, round % 2 ? '-' : '0');
        assert_int_equal(remove(dir), 0);
        SubjectIndex index = {0};
        subject_index_set_base(&index, run);
        if (round >= 2)
            subject_order_begin(&index); /* what follows comes while it is made */
        for (unsigned i = 0; i < 100; i++) {
            char text[24];
            snprintf(text, sizeof text, "k%u.new%u", i % 20, i);
            SubjectId id =
                i % 2 ? subject_index_add(&index, slice_of_text(text))
                      : subject_index_own(&index,
                                          subject_index_find(&index, slice_of_text(run_texts[i])));
            subject_index_entry(&index, id)->count = 1;
            if (round >= 2 && i % 30 == 0)
                (void)subject_order_build(index.order, 2);
        }
        if (round < 2)
            subject_order_begin(&index);
        while (!subject_order_build(index.order, 5)) {
        }
        assert_true((index.order->run != NULL) == (round % 2 == 0));
        OrderCursor cursor = subject_order_seek(index.order, (Slice){0}, false);
        char last[24] = "", text[24];
        unsigned seen = 0;
        for (SubjectId id; (id = subject_order_next(index.order, &cursor)); seen++) {
            snprintf(text, sizeof text, "%.*s",
                     SLICE_ARG(subject_entry_text(subject_index_entry(&index, id))));
            assert_true(subject_order_compare(slice_of_text(last), slice_of_text(text)) < 0);
            OrderCursor again = subject_order_seek(index.order, slice_of_text(text), false);
            assert_int_equal(subject_order_next(index.order, &again), id);
            again = subject_order_seek(index.order, slice_of_text(last), true);
            assert_int_equal(subject_order_next(index.order, &again), id);
            memcpy(last, text, sizeof last);
        }
        assert_int_equal(seen, OF_RUN + 50);
        OrderCursor end = subject_order_seek(index.order, slice_of_text(last), true);
        assert_int_equal(subject_order_next(index.order, &end), 0);
        subject_index_done(&index);
        run_free(run);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subjects_of_a_run_come_in_order_with_those_of_the_heap),
        cmocka_unit_test(tokens_come_before_bytes),
        cmocka_unit_test(the_order_follows_the_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
