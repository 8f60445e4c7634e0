#include "front/client/sub_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rand.h"

static Sub *make(unsigned number) {
    char sid[16];
    int len = snprintf(sid, sizeof sid, "%u", number);
    Sub *sub = mem_zalloc(sizeof *sub + (size_t)len);
    sub->sid_len = (uint16_t)len;
    memcpy(sub->text, sid, (size_t)len);
    return sub;
}

static void finds_what_is_in_and_nothing_else(void **state) {
    (void)state;
    enum { RANGE = 300, STEPS = 20000 };
    Sub *subs[RANGE] = {0};
    SubTable table = {0};
    Rand rand;
    unsigned len = 0;

    rand_init(&rand, 7);
    for (int step = 0; step < STEPS; step++) {
        /* Grows, then shrinks. */
        bool grows = step < STEPS / 2;
        unsigned i = (unsigned)rand_below(&rand, RANGE);
        bool adds = rand_below(&rand, 10) < (grows ? 7u : 3u);
        if (adds && !subs[i]) {
            subs[i] = make(i);
            sub_table_add(&table, subs[i]);
            len++;
        } else if (!adds && subs[i]) {
            sub_table_remove(&table, subs[i]);
            mem_free(subs[i]);
            subs[i] = NULL;
            len--;
        }
        unsigned look = (unsigned)rand_below(&rand, RANGE);
        char sid[16];
        int n = snprintf(sid, sizeof sid, "%u", look);
        assert_ptr_equal(sub_table_get(&table, slice_from(sid, (size_t)n)), subs[look]);
        assert_int_equal(table.len, len);
    }
    unsigned seen = 0;
    for (uint32_t i = 0; sub_table_next(&table, &i);)
        seen++;
    assert_int_equal(seen, len);
    for (unsigned i = 0; i < RANGE; i++) {
        if (subs[i])
            sub_table_remove(&table, subs[i]);
        mem_free(subs[i]);
    }
    assert_null(table.slots);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_what_is_in_and_nothing_else)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
