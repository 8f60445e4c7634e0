#include "stream/filter_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rand.h"
#include "proto/subject.h"

enum { LINKS = 300, STEPS = 20000 };

typedef struct Consumer Consumer;
struct Consumer {
    Slice filter;
    FilterLink link;
    bool is_in;
    unsigned seen;
};

static const char *const filters[] = {"",      ">",       "a",       "a.b",   "a.*",     "a.>",
                                      "*.b",   "*.*.c",   "a.b.c",   "*",     "*.>",     "a.*.c",
                                      "b.>",   "a.b.>",   "$KV.b.>", "x.y",   "a.*.>",   "b.*",
                                      "a.b.*", "$KV.*.k", "*.b.>",   "a.c.d", "$KV.b.k", "*.*"};
static const char *const subjects[] = {"a",       "a.b", "a.b.c",   "b", "b.c",
                                       "$KV.b.k", "x.y", "a.c.d.e", "q", "a.b.c.d"};

enum {
    FILTERS = sizeof filters / sizeof filters[0],
    SUBJECTS = sizeof subjects / sizeof subjects[0]
};

typedef struct Visit {
    FilterIndex *index;
    Rand *rand;
    Consumer *consumers;
    bool is_changing;
} Visit;

static bool see(void *cookie, FilterNode *node) {
    Visit *visit = cookie;
    for (size_t i = 0; i < node->slots.len; i++) {
        Consumer *consumer = node->slots.at[i].owner;
        if (consumer == NULL)
            continue;
        consumer->seen++;
        if (visit->is_changing &&
            rand_below(visit->rand, 4) == 0) { /* somebody leaves meanwhile, perhaps itself */
            Consumer *leaver = rand_below(visit->rand, 2)
                                   ? consumer
                                   : &visit->consumers[rand_below(visit->rand, LINKS)];
            filter_index_remove(visit->index, &leaver->link);
            leaver->is_in = false;
        }
    }
    return false;
}

static bool covers(const Consumer *consumer, Slice subject) {
    return consumer->filter.len == 0 || subject_matches(consumer->filter, subject);
}

static void a_subject_finds_exactly_who_wants_it(void **state) {
    (void)state;
    static Consumer consumers[LINKS];
    FilterIndex index = {0};
    Rand rand;
    rand_init(&rand, 3);
    for (size_t i = 0; i < LINKS; i++)
        consumers[i].filter = slice_of_text(filters[i % FILTERS]);
    for (size_t step = 0; step < STEPS; step++) {
        Consumer *consumer = &consumers[rand_below(&rand, LINKS)];
        if (consumer->is_in)
            filter_index_remove(&index, &consumer->link);
        else
            filter_index_add(&index, consumer->filter, consumer, &consumer->link);
        consumer->is_in = !consumer->is_in;
        Slice subject = slice_of_text(subjects[rand_below(&rand, SUBJECTS)]);
        Visit visit = {&index, &rand, consumers, step % 7 == 0};
        bool was_in[LINKS];
        for (size_t i = 0; i < LINKS; i++) {
            consumers[i].seen = 0;
            was_in[i] = consumers[i].is_in;
        }
        (void)filter_index_visit(&index, subject, see, &visit);
        for (size_t i = 0; i < LINKS; i++) {
            bool want = was_in[i] && covers(&consumers[i], subject);
            if (!visit.is_changing || consumers[i].is_in == was_in[i])
                assert_int_equal(consumers[i].seen, want);
            assert_true(consumers[i].seen <= 1);
            assert_int_equal(consumers[i].link.node != NULL, consumers[i].is_in);
        }
    }
    for (size_t i = 0; i < LINKS; i++)
        filter_index_remove(&index, &consumers[i].link);
    assert_int_equal(index.links, 0);
    assert_int_equal(index.literals.len, 0);
    assert_null(index.wildcards); /* nothing is left behind */
    assert_null(index.everything);
    filter_index_done(&index);
}

static void equal_filters_share_a_node(void **state) {
    (void)state;
    FilterIndex index = {0};
    Consumer consumers[3] = {0};
    for (size_t i = 0; i < 3; i++)
        filter_index_add(&index, LIT("$KV.b.>"), &consumers[i], &consumers[i].link);
    assert_ptr_equal(consumers[0].link.node, consumers[2].link.node);
    assert_int_equal(consumers[0].link.node->slots.len, 3);
    filter_index_done(&index);
    assert_null(consumers[0].link.node);
}

static bool see_all(void *cookie, FilterNode *node) {
    (void)cookie;
    for (size_t i = 0; i < node->slots.len; i++)
        ((Consumer *)node->slots.at[i].owner)->seen++;
    return false;
}

static bool stop_at_first(void *cookie, FilterNode *node) {
    (void)cookie;
    (void)node;
    return true;
}

static void a_filter_finds_exactly_those_it_overlaps(void **state) {
    (void)state;
    static Consumer consumers[FILTERS];
    FilterIndex index = {0};
    for (size_t i = 0; i < FILTERS; i++) {
        consumers[i].filter = slice_of_text(filters[i]);
        filter_index_add(&index, consumers[i].filter, &consumers[i], &consumers[i].link);
    }
    for (size_t i = 0; i < FILTERS; i++) {
        Slice filter = slice_of_text(filters[i][0] ? filters[i] : ">");
        bool has_any = false;
        for (size_t k = 0; k < FILTERS; k++)
            consumers[k].seen = 0;
        assert_false(filter_index_visit_overlaps(&index, slice_of_text(filters[i]), see_all, NULL));
        for (size_t k = 0; k < FILTERS; k++) {
            Slice other = slice_of_text(filters[k][0] ? filters[k] : ">");
            assert_int_equal(consumers[k].seen, subject_overlaps(filter, other));
            has_any |= consumers[k].seen > 0;
        }
        assert_int_equal(filter_index_visit_overlaps(&index, filter, stop_at_first, NULL), has_any);
    }
    for (size_t i = 0; i < FILTERS; i++)
        filter_index_remove(&index, &consumers[i].link);
    assert_false(filter_index_visit_overlaps(&index, LIT(">"), see_all, NULL));
    filter_index_done(&index);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subject_finds_exactly_who_wants_it),
        cmocka_unit_test(equal_filters_share_a_node),
        cmocka_unit_test(a_filter_finds_exactly_those_it_overlaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
