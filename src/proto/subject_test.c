#include "proto/subject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rand.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void a_subject_has_whole_tokens_and_wildcards_only_where_allowed(void **state) {
    (void)state;
    static const struct {
        const char *subject;
        bool is_valid, is_literal, has_wildcard;
    } cases[] = {
        {"a", true, true, false},
        {"a.b", true, true, false},
        {"a..b", false, false, false},
        {".a", false, false, false},
        {"a.", false, false, false},
        {"", false, false, false},
        {".", false, false, false},
        {"*", true, false, true},
        {">", true, false, true},
        {"a.*", true, false, true},
        {"a.*.b", true, false, true},
        {"a.>", true, false, true},
        {"a.>.b", false, false, false},
        {"a*b", true, true, false},
        {"**", true, true, false},
        {"foo>", true, true, false},
        {">>", true, true, false},
        {"a.>b", true, true, false},
        {"a b", false, false, false},
        {"a\tb", false, false, false},
        {"a\rb", false, false, false},
        {"a\nb", false, false, false},
        {"a\fb", false, false, false},
        {"a..*", false, false, true},
        {"caf\xc3\xa9.x", true, true, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Slice subject = slice_of_text(cases[i].subject);
        assert_int_equal(subject_is_valid(subject), cases[i].is_valid);
        assert_int_equal(subject_is_literal(subject), cases[i].is_literal);
        assert_int_equal(subject_has_wildcard(subject), cases[i].has_wildcard);
    }
}

static void a_pattern_covers_literal_subjects(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *subject;
        bool want;
    } cases[] = {
        {"orders.*", "orders.new", true},
        {"orders.>", "orders.eu.new", true},
        {"orders.>", "orders", false},
        {"orders.>", "orders.", false},
        {"orders.*", "orders.", false},
        {"orders.*", "orders.eu.new", false},
        {"orders.*", "orders", false},
        {"*.b", "a.b", true},
        {"*.b", "a.c", false},
        {"*", "a", true},
        {"*", "a.b", false},
        {">", "a.b.c", true},
        {"a.*.c", "a.b.c", true},
        {"a.*.c", "a.b.d", false},
        {"a.*.>", "a.b.c.d", true},
        {"a.*.>", "a.b", false},
        {"a.b", "a.b", true},
        {"a.b", "a.bc", false},
        {"a.bc", "a.b", false},
        {"a.b*", "a.bc", false},
        {"a.b*", "a.b*", true},
        {"a.>b", "a.>b", true},
        {"a.>b", "a.xb", false},
        {"a", "*", false},
        {"a.b.c", "a.b", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(
            subject_matches(slice_of_text(cases[i].pattern), slice_of_text(cases[i].subject)),
            cases[i].want);
}

static void subsets_and_overlaps_follow_the_tokens(void **state) {
    (void)state;
    static const struct {
        const char *inner, *outer;
        bool is_subset, overlaps;
    } cases[] = {
        {"a.b", "a.b", true, true},   {"a.b", "a.*", true, true},
        {"a.*", "a.b", false, true},  {"a.*", "a.>", true, true},
        {"a.>", "a.*", false, true},  {"a.>", ">", true, true},
        {">", "a.>", false, true},    {"a.b.c", "a.*", false, false},
        {"a", "a.>", false, false},   {"*.b", "a.*", false, true},
        {"*.b", "*.*", true, true},   {"a.*.c", "a.b.>", false, true},
        {"a.>", "b.>", false, false}, {"a.*", "*.*.*", false, false},
        {"a.>", "a.>", true, true},   {"*", ">", true, true},
        {">", "*", false, true},      {"a.*.>", "a.>", true, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Slice inner = slice_of_text(cases[i].inner), outer = slice_of_text(cases[i].outer);
        assert_int_equal(subject_is_subset(inner, outer), cases[i].is_subset);
        assert_int_equal(subject_overlaps(inner, outer), cases[i].overlaps);
        assert_int_equal(subject_overlaps(outer, inner), cases[i].overlaps);
    }
}

static Slice random_subject(Rand *rand, char *out, bool with_wildcards) {
    size_t len = 0, tokens = 1 + rand_below(rand, 4);
    for (size_t i = 0; i < tokens; i++) {
        if (i)
            out[len++] = '.';
        uint64_t kind = with_wildcards ? rand_below(rand, 5) : 1;
        if (kind == 0 && i + 1 == tokens)
            out[len++] = '>';
        else
            out[len++] = kind == 4 ? '*' : (char)('a' + rand_below(rand, 2));
    }
    return slice_from(out, len);
}

static void a_subject_in_both_patterns_proves_their_overlap(void **state) {
    (void)state;
    Rand rand;
    rand_init(&rand, 7);
    size_t both = 0;
    for (int i = 0; i < 200000; i++) {
        char x[16], y[16], z[16];
        Slice a = random_subject(&rand, x, true), b = random_subject(&rand, y, true);
        Slice subject = random_subject(&rand, z, false);
        bool in_a = subject_matches(a, subject), in_b = subject_matches(b, subject);
        if (in_a && in_b) {
            both++;
            assert_true(subject_overlaps(a, b));
        }
        if (subject_is_subset(a, b)) {
            assert_true(!in_a || in_b);
            assert_true(subject_overlaps(a, b));
        }
        assert_int_equal(in_a, subject_is_subset(subject, a));
    }
    assert_true(both > 1000);
}

static void tokens_are_counted_and_found(void **state) {
    (void)state;
    assert_int_equal(subject_token_count(LIT("")), 0);
    assert_int_equal(subject_token_count(LIT("a")), 1);
    assert_int_equal(subject_token_count(LIT("a.bb.c")), 3);
    assert_true(slice_equal(subject_token(LIT("a.bb.c"), 0), LIT("a")));
    assert_true(slice_equal(subject_token(LIT("a.bb.c"), 1), LIT("bb")));
    assert_true(slice_equal(subject_token(LIT("a.bb.c"), 2), LIT("c")));
    assert_null(subject_token(LIT("a.bb.c"), 3).ptr);
    assert_null(subject_token(LIT(""), 0).ptr);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subject_has_whole_tokens_and_wildcards_only_where_allowed),
        cmocka_unit_test(a_pattern_covers_literal_subjects),
        cmocka_unit_test(subsets_and_overlaps_follow_the_tokens),
        cmocka_unit_test(a_subject_in_both_patterns_proves_their_overlap),
        cmocka_unit_test(tokens_are_counted_and_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
