#include "proto/headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define BLOCK                                                                                      \
    "NATS/1.0 100 Idle\r\nA: 1\r\nBad line\r\nA:2\r\nAB:  x y \r\nEmpty:\r\n: nameless\r\n\r\n"

static void gets_the_first_value_of_a_name(void **state) {
    (void)state;
    static const struct {
        const char *name, *want; /* NULL: absent */
    } cases[] = {
        {"A", "1"},  {"AB", "x y"},          {"a", NULL}, {"Empty", NULL},
        {"B", NULL}, {"NATS/1.0 100", NULL}, {"", NULL},  {"Bad line", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Slice value;
        bool found = header_get(LIT(BLOCK), slice_of_text(cases[i].name), &value);
        assert_int_equal(found, cases[i].want != NULL);
        if (found)
            assert_true(slice_equal(value, slice_of_text(cases[i].want)));
    }
}

static void gets_nothing_from_damaged_blocks(void **state) {
    (void)state;
    static const char *const blocks[] = {"", "A: 1", "NATS/1.0\r\nA: 1", "NATS/1.0", "A: 1\r\n"};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        Slice name, value;
        size_t at = 0;
        assert_false(header_get(slice_of_text(blocks[i]), LIT("A"), &value));
        assert_false(header_next(slice_of_text(blocks[i]), &at, &name, &value));
    }
}

static void walks_over_lines_and_skips_malformed_ones(void **state) {
    (void)state;
    Buf got = {0};
    Slice name, value;
    for (size_t at = 0; header_next(LIT(BLOCK), &at, &name, &value);)
        buf_printf(&got, "%.*s=%.*s;", SLICE_ARG(name), SLICE_ARG(value));
    assert_string_equal(buf_text(&got), "A=1;A=2;AB=x y;Empty=;");
    buf_done(&got);
}

static void writes_blocks(void **state) {
    (void)state;
    Buf out = {0};
    header_begin(&out, LIT("503"));
    header_append(&out, LIT("Nats-Subject"), LIT("a.b"));
    header_append_u64(&out, LIT("N"), UINT64_MAX);
    header_append(&out, LIT("E"), LIT(""));
    header_end(&out);
    assert_string_equal(buf_text(&out), "NATS/1.0 503\r\nNats-Subject: a.b\r\n"
                                        "N: 18446744073709551615\r\nE: \r\n\r\n");
    buf_done(&out);
}

static bool drop_a(Slice name, void *cookie) {
    (void)cookie;
    return slice_equal(name, LIT("A"));
}

static void copies_without_dropped_headers(void **state) {
    (void)state;
    Buf out = {0};
    header_copy_open(&out, LIT(BLOCK), drop_a, NULL);
    assert_string_equal(buf_text(&out), "NATS/1.0\r\nAB:  x y \r\nEmpty:\r\n");
    buf_clear(&out);
    header_copy_open(&out, LIT(""), NULL, NULL);
    header_end(&out);
    assert_string_equal(buf_text(&out), "NATS/1.0\r\n\r\n");
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gets_the_first_value_of_a_name),
        cmocka_unit_test(gets_nothing_from_damaged_blocks),
        cmocka_unit_test(walks_over_lines_and_skips_malformed_ones),
        cmocka_unit_test(writes_blocks),
        cmocka_unit_test(copies_without_dropped_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
