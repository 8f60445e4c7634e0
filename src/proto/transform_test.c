#include "proto/transform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void subjects_are_rewritten(void **state) {
    (void)state;
    static const struct {
        const char *src, *dest, *subject, *want; /* want NULL: not covered */
    } cases[] = {
        {"in.*.*", "o.{{wildcard(1)}}", "in.ab-cd-efgh.xy", "o.ab-cd-efgh"},
        {"in.*.*", "o.$2.$1", "in.ab-cd-efgh.xy", "o.xy.ab-cd-efgh"},
        {"in.*.*", "o.{{split(1,-)}}", "in.ab-cd-efgh.xy", "o.ab.cd.efgh"},
        {"in.*.*", "o.{{splitFromLeft(1,2)}}", "in.ab-cd-efgh.xy", "o.ab.-cd-efgh"},
        {"in.*.*", "o.{{splitFromRight(1,2)}}", "in.ab-cd-efgh.xy", "o.ab-cd-ef.gh"},
        {"in.*.*", "o.{{sliceFromLeft(1,3)}}", "in.ab-cd-efgh.xy", "o.ab-.cd-.efg.h"},
        {"in.*.*", "o.{{sliceFromRight(1,3)}}", "in.ab-cd-efgh.xy", "o.a.b-c.d-e.fgh"},
        {"in.*.*", "o.{{left(1,3)}}", "in.ab-cd-efgh.xy", "o.ab-"},
        {"in.*.*", "o.{{right(1,3)}}", "in.ab-cd-efgh.xy", "o.fgh"},
        {"m.*.*", "o.$0", "m.a.b", "o.m"},
        {"m.*.*", "o.x{{wildcard(1)}}.$2", "m.a.b", "o.x{{wildcard(1)}}.b"},
        {"m.*.*", "o.$2x.$", "m.a.b", "o.$2x.$"},
        {"m.*.*", "o.{{}}", "m.a.b", "o.{{}}"},
        {"m.*.*", "o.{{wildcard(1)", "m.a.b", "o.{{wildcard(1)"},
        {"m6.*.*", "o.{{ partition ( 10 , 2 , 1 ) }}", "m6.a.b", "o.8"},
        {"m7.*.*", "o.{{partition(10)}}", "m7.a.b", "o.8"},
        {"m.*.*", "o.{{partition(0,1)}}", "m.a.b", "o.0"},
        {"m53.x", "o.{{partition(5)}}", "m53.x", "o.0"},
        {"m.*.*", "o.{{random(1)}}", "m.a.b", "o.0"},
        {"m.*.*", "o.{{random(0)}}", "m.a.b", "o.0"},
        {"m.*.*", "o.{{split(1,--)}}", "m.a--b-c.c", "o.a.b-c"},
        {"m.*.*", "o.{{Split(1, -)}}", "m.a-b.c", "o.a.b"},
        {"m.*.*", "o.{{split(1,)}}", "m.a-b.c", "o.a.-.b"},
        {"m.*.*", "o.{{split(1,+)}}", "m.a-b.c", "o.a-b"},
        {"m.*.*", "o.{{split(1,-)}}", "m.--a--b--.c", "o.a.b"},
        {"m.*.*", "o.{{split(1,-)}}", "m.-.c", "o.-"},
        {"m.*.*", "o.{{splitfromleft(1,-2)}}", "m.abcdef.c", "o.abcdef"},
        {"m.*.*", "o.{{splitfromleft(1,6)}}", "m.abcdef.c", "o.abcdef"},
        {"m.*.*", "o.{{splitfromleft(1,5)}}", "m.abcdef.c", "o.abcde.f"},
        {"m.*.*", "o.{{splitfromright(1,6)}}", "m.abcdef.c", "o.abcdef"},
        {"m.*.*", "o.{{slicefromleft(1,6)}}", "m.abcdef.c", "o.abcdef"},
        {"m.*.*", "o.{{slicefromleft(1,5)}}", "m.abcdef.c", "o.abcde.f"},
        {"m.*.*", "o.{{slicefromleft(1,2)}}", "m.abcdef.c", "o.ab.cd.ef"},
        {"m.*.*", "o.{{slicefromright(1,4)}}", "m.abcdef.c", "o.ab.cdef"},
        {"m.*.*", "o.{{slicefromright(1,3)}}", "m.abcdef.c", "o.abc.def"},
        {"m.*.*", "o.{{left(1,7)}}", "m.abcdef.c", "o.abcdef"},
        {"m.*.*", "o.{{right(1,-1)}}", "m.abcdef.c", "o.abcdef"},
        {"m.*.*", "{{splitFromRight(1,2)}}.{{split(2,_)}}.{{ left (1,2) }}", "m.abcdef.c_d",
         "abcd.ef.c.d.ab"},
        {"m.a.>", "o.>", "m.a.b.c", "o.b.c"},
        {"m.*.>", "o.$1.>", "m.a.b.c", "o.a.b.c"},
        {">", "x.>", "a.b", "x.a.b"},
        {"", "x.>", "a.b", "x.a.b"},
        {"a.*", "", "a.b", "a.b"},
        {"", "", "a.b", "a.b"},
        {"a", "b", "a", "b"},
        {"a.*", "b.$01", "a.x", "b.x"},
        {"a", "b", "c", NULL},
        {"a.*", "b.$1", "a", NULL},
        {"t1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24.25.*.>", "o.$1.>",
         "t1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24.25.z.y.x", "o.z.y.x"},
    };
    Rand rand;
    rand_init(&rand, 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        Transform *transform = NULL;
        Buf out = {0};
        assert_int_equal(transform_new(slice_of_text(cases[i].src), slice_of_text(cases[i].dest),
                                       false, NULL, &transform),
                         OK);
        bool is_covered = transform_apply(transform, slice_of_text(cases[i].subject), &rand, &out);
        assert_int_equal(is_covered, cases[i].want != NULL);
        assert_string_equal(buf_text(&out), cases[i].want ? cases[i].want : "");
        buf_done(&out);
        transform_free(transform);
    }
}

static void errors_have_the_servers_text(void **state) {
    (void)state;
    static const struct {
        const char *src, *dest,
            *want; /* without "invalid mapping destination: " unless it begins with '=' */
        bool is_strict;
    } cases[] = {
        {"foo", "bar.{{foo(1)}}", "unknown function in {{foo(1)}}", false},
        {"foo.*", "bar.$2", "wildcard index out of range in $2: [2]", false},
        {"foo.*", "bar.{{wildcard(2)}}", "wildcard index out of range in {{wildcard(2)}}: [2]",
         false},
        {"foo.*", "bar.{{wildcard()}}",
         "not enough arguments passed to the function in {{wildcard()}}", false},
        {"foo.*", "bar.{{wildcard(a)}}",
         "function argument is invalid or in the wrong format in {{wildcard(a)}}", false},
        {"foo.*", "bar.{{wildcard(1,2)}}",
         "too many arguments passed to the function in {{wildcard(1,2)}}", false},
        {"foo.*", "bar.{{wildcard(1,)}}",
         "too many arguments passed to the function in {{wildcard(1,)}}", false},
        {"foo.*", "bar.{{partition()}}",
         "function argument is invalid or in the wrong format in {{partition()}}", false},
        {"foo.*", "bar.{{partition(10,a)}}",
         "function argument is invalid or in the wrong format in {{partition(10,a)}}", false},
        {"foo.*", "bar.{{partition(4294967295)}}",
         "function argument is invalid or in the wrong format in {{partition(4294967295)}}", false},
        {"foo.*", "bar.{{partition(10,3)}}",
         "wildcard index out of range in {{partition(10,3)}}: [3]", false},
        {"foo.*", "bar.{{split()}}", "not enough arguments passed to the function in {{split()}}",
         false},
        {"foo.*", "bar.{{split(1)}}", "not enough arguments passed to the function in {{split(1)}}",
         false},
        {"foo.*", "bar.{{split(1,-,2)}}",
         "too many arguments passed to the function in {{split(1,-,2)}}", false},
        {"foo.*", "bar.{{split(1,a b)}}",
         "function argument is invalid or in the wrong format in {{split(1,a b)}}", false},
        {"foo.*", "bar.{{splitfromleft(1,x)}}",
         "function argument is invalid or in the wrong format in {{splitfromleft(1,x)}}", false},
        {"foo.*", "bar.{{random(1,2)}}",
         "not enough arguments passed to the function in {{random(1,2)}}", false},
        {"foo.*", "bar.{{split_from_left(1,2)}}", "unknown function in {{split_from_left(1,2)}}",
         false},
        {"foo.*", "bar.{{wildcard}}.$1", "unknown function in {{wildcard}}", false},
        {"foo.*", "bar.{{WildCard(1)}}", "unknown function in {{WildCard(1)}}", false},
        {"foo", "bar.$1", "wildcard index out of range in $1", false},
        {"foo", "bar.{{wildcard(1)}}", "wildcard index out of range in {{wildcard(1)}}", false},
        {"foo.>", "bar.$1.>", "wildcard index out of range in $1: [1]", false},
        {"foo.*", "bar..x", "invalid transform", false},
        {"foo.*", "bar. x", "invalid transform", false},
        {"foo", "bar.>.x", "invalid transform in x", false},
        {"foo.>", "bar", "=invalid subject", false},
        {"foo", "bar.>", "=invalid subject", false},
        {"foo.*", "bar.*", "=invalid subject", false},
        {"foo..x", "bar", "=invalid subject", false},
        {"foo..x", "", "=invalid subject", false},
        {"foo.*.*", "bar.$1", "not using all of the token wildcard(s) in bar.$1", true},
        {"foo.*", "bar.{{left(1,2)}}",
         "the only mapping function allowed for import transforms is {{Wildcard()}} in "
         "{{left(1,2)}}",
         true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Transform *transform = NULL;
        Buf error = {0};
        assert_int_equal(transform_new(slice_of_text(cases[i].src), slice_of_text(cases[i].dest),
                                       cases[i].is_strict, &error, &transform),
                         ERR_SYNTAX);
        assert_null(transform);
        const char *text = buf_text(&error), *prefix = "invalid mapping destination: ";
        if (cases[i].want[0] == '=') {
            assert_string_equal(text, cases[i].want + 1);
        } else {
            assert_true(strncmp(text, prefix, strlen(prefix)) == 0);
            assert_string_equal(text + strlen(prefix), cases[i].want);
        }
        buf_done(&error);
    }
}

static void random_partitions_stay_in_range(void **state) {
    (void)state;
    Transform *transform = NULL;
    Rand rand;
    unsigned seen[4] = {0};
    rand_init(&rand, 3);
    assert_int_equal(transform_new(LIT("a.*"), LIT("b.{{random(4)}}"), false, NULL, &transform),
                     OK);
    for (int i = 0; i < 1000; i++) {
        Buf out = {0};
        assert_true(transform_apply(transform, LIT("a.x"), &rand, &out));
        assert_int_equal(out.len, 3);
        assert_in_range(out.ptr[2], '0', '3');
        seen[out.ptr[2] - '0']++;
        buf_done(&out);
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(seen[i], 150, 350);
    transform_free(transform);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subjects_are_rewritten),
        cmocka_unit_test(errors_have_the_servers_text),
        cmocka_unit_test(random_partitions_stay_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
