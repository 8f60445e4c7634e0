#include "base/decimal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void decimals_are_an_optional_sign_and_digits(void **state) {
    (void)state;
    static const struct {
        Slice text;
        bool want;
    } cases[] = {
        {LIT("0"), true},    {LIT("+1"), true},   {LIT("-3"), true},   {LIT("007"), true},
        {LIT("-0"), true},   {LIT(""), false},    {LIT("-"), false},   {LIT("+"), false},
        {LIT("+-1"), false}, {LIT("1.5"), false}, {LIT("1e3"), false}, {LIT("0x10"), false},
        {LIT("1_0"), false}, {LIT(" 1"), false},  {LIT("1 "), false},  {LIT("1-"), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(decimal_is_valid(cases[i].text), cases[i].want);
}

static void sums_and_differences_are_exact(void **state) {
    (void)state;
    static const struct {
        Slice a, b, sum, difference;
    } cases[] = {
        {LIT("0"), LIT("0"), LIT("0"), LIT("0")},
        {LIT("-0"), LIT("+0"), LIT("0"), LIT("0")},
        {LIT("1"), LIT("-1"), LIT("0"), LIT("2")},
        {LIT("-1"), LIT("-1"), LIT("-2"), LIT("0")},
        {LIT("007"), LIT("+3"), LIT("10"), LIT("4")},
        {LIT("3"), LIT("10"), LIT("13"), LIT("-7")},
        {LIT("-3"), LIT("10"), LIT("7"), LIT("-13")},
        {LIT("100"), LIT("-1"), LIT("99"), LIT("101")},
        {LIT("999"), LIT("1"), LIT("1000"), LIT("998")},
        {LIT("-1000"), LIT("1"), LIT("-999"), LIT("-1001")},
        {LIT("9223372036854775807"), LIT("1"), LIT("9223372036854775808"),
         LIT("9223372036854775806")},
        {LIT("99999999999999999999999999999999999999"), LIT("1"),
         LIT("100000000000000000000000000000000000000"),
         LIT("99999999999999999999999999999999999998")},
        {LIT("-100000000000000000000000000000000000000"), LIT("1"),
         LIT("-99999999999999999999999999999999999999"),
         LIT("-100000000000000000000000000000000000001")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf sum = {0}, difference = {0};
        decimal_add(&sum, cases[i].a, cases[i].b);
        decimal_subtract(&difference, cases[i].a, cases[i].b);
        assert_true(slice_equal(buf_slice(&sum), cases[i].sum));
        assert_true(slice_equal(buf_slice(&difference), cases[i].difference));
        buf_done(&sum);
        buf_done(&difference);
    }
}

static void decimals_agree_with_the_machine(void **state) {
    (void)state;
    static const int64_t some[] = {0,    1,      -1,     9,       -10,      99,        100,
                                   -101, 123456, -99999, 1000000, -1000000, 999999999, -1};
    size_t count = sizeof some / sizeof some[0];
    for (size_t i = 0; i < count * count; i++) {
        int64_t x = some[i / count], y = some[i % count];
        Buf a = {0}, b = {0}, got = {0}, want = {0};
        buf_append_i64(&a, x);
        buf_append_i64(&b, y);
        decimal_add(&got, buf_slice(&a), buf_slice(&b));
        buf_append_i64(&want, x + y);
        assert_true(slice_equal(buf_slice(&got), buf_slice(&want)));
        buf_done(&a);
        buf_done(&b);
        buf_done(&got);
        buf_done(&want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimals_are_an_optional_sign_and_digits),
        cmocka_unit_test(sums_and_differences_are_exact),
        cmocka_unit_test(decimals_agree_with_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
