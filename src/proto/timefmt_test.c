#include "proto/timefmt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_text(Buf *buf, const char *want) {
    assert_string_equal(buf_text(buf), want);
    buf_done(buf);
}

static void a_time_is_written_with_trailing_zeros_cut(void **state) {
    (void)state;
    static const struct {
        int64_t ns;
        const char *want;
    } cases[] = {
        {TIME_ZERO, "0001-01-01T00:00:00Z"},
        {0, "1970-01-01T00:00:00Z"},
        {1, "1970-01-01T00:00:00.000000001Z"},
        {-1, "1969-12-31T23:59:59.999999999Z"},
        {1795400129379374840, "2026-11-23T02:15:29.37937484Z"},
        {951782400500000000, "2000-02-29T00:00:00.5Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf out = {0};
        int64_t back;
        time_write(&out, cases[i].ns);
        assert_int_equal(time_parse(buf_slice(&out), &back), OK);
        assert_true(back == cases[i].ns);
        assert_text(&out, cases[i].want);
    }
}

static void a_time_is_read_in_any_zone_and_refused_with_the_words_of_go(void **state) {
    (void)state;
#define AS "\" as \"2006-01-02T15:04:05Z07:00\": cannot parse "
    static const struct {
        const char *text;
        int64_t want;
        const char *error;
    } cases[] = {
        {"1970-01-01T01:00:00+01:00", 0, NULL},
        {"1970-01-01T1:00:00+01:00", 0, NULL},
        {"1969-12-31T22:30:00.250-01:30", 250000000, NULL},
        {"1970-01-01T00:00:00.1234567899Z", 123456789, NULL},
        {"9999-12-31T23:59:59Z", INT64_MAX, NULL},
        {"1500-01-01T00:00:00Z", INT64_MIN + 1, NULL},
        {"bad", 0, "parsing time \"bad" AS "\"bad\" as \"2006\""},
        {"", 0, "parsing time \"" AS "\"\" as \"2006\""},
        {"2026-1-01T00:00:00Z", 0,
         "parsing time \"2026-1-01T00:00:00Z" AS "\"1-01T00:00:00Z\" as \"01\""},
        {"2026-01-01 00:00:00Z", 0,
         "parsing time \"2026-01-01 00:00:00Z" AS "\" 00:00:00Z\" as \"T\""},
        {"2026-01-01T00:00:00", 0, "parsing time \"2026-01-01T00:00:00" AS "\"\" as \"Z07:00\""},
        {"2026-13-01T00:00:00Z", 0, "parsing time \"2026-13-01T00:00:00Z\": month out of range"},
        {"2026-02-29T00:00:00Z", 0, "parsing time \"2026-02-29T00:00:00Z\": day out of range"},
        {"2026-01-01T24:00:00Z", 0, "parsing time \"2026-01-01T24:00:00Z\": hour out of range"},
        {"2026-01-01T00:00:00Zx", 0, "parsing time \"2026-01-01T00:00:00Zx\": extra text: \"x\""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0};
        int64_t ns = 0;
        Status status = time_parse_explained(slice_of_text(cases[i].text), &ns, &error);
        assert_int_equal(status, cases[i].error ? ERR_SYNTAX : OK);
        if (cases[i].error)
            assert_string_equal(buf_text(&error), cases[i].error);
        else
            assert_true(ns == cases[i].want);
        buf_done(&error);
    }
}

static void a_duration_is_written_as_go_does(void **state) {
    (void)state;
    static const struct {
        int64_t ns;
        const char *want;
    } cases[] = {
        {0, "0s"},
        {1, "1ns"},
        {1500, "1.5\xc2\xb5s"},
        {300000000, "300ms"},
        {1500000000, "1.5s"},
        {60000000000, "1m0s"},
        {5400000000000, "1h30m0s"},
        {-1500000000, "-1.5s"},
        {5000000000, "5s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf out = {0};
        int64_t back;
        duration_write(&out, cases[i].ns);
        assert_int_equal(duration_parse(buf_slice(&out), &back), OK);
        if (cases[i].ns != INT64_MIN) /* the fraction is read as a double, like Go's last digits */
            assert_true(back == cases[i].ns);
        assert_text(&out, cases[i].want);
    }
}

static void a_duration_is_read_as_go_does(void **state) {
    (void)state;
    static const struct {
        const char *text;
        Status status;
        int64_t want;
    } cases[] = {
        {"0", OK, 0},
        {"1h30m", OK, 5400000000000},
        {"-1.5s", OK, -1500000000},
        {"+5s", OK, 5000000000},
        {".5s", OK, 500000000},
        {"1us", OK, 1000},
        {"1\xc2\xb5s", OK, 1000},
        {"", ERR_SYNTAX, 0},
        {"5", ERR_SYNTAX, 0},
        {"1d", ERR_SYNTAX, 0},
        {"s", ERR_SYNTAX, 0},
        {"1e3s", ERR_SYNTAX, 0},
        {"9999999h", ERR_RANGE, 0},
        {"99999999999999999999s", ERR_RANGE, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ns = 0;
        assert_int_equal(duration_parse(slice_of_text(cases[i].text), &ns), cases[i].status);
        assert_true(ns == cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_written_with_trailing_zeros_cut),
        cmocka_unit_test(a_time_is_read_in_any_zone_and_refused_with_the_words_of_go),
        cmocka_unit_test(a_duration_is_written_as_go_does),
        cmocka_unit_test(a_duration_is_read_as_go_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
