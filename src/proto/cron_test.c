#include "proto/cron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "proto/timefmt.h"

/* Zones of one rule, as the files of today end. */
static TimeZone *zone_of(const char *rule) {
    Buf file = {0};
    TimeZone *zone;
    for (unsigned i = 0; i < 2; i++) {
        static const char counts[] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4";
        buf_append_lit(&file, "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        buf_append_bytes(&file, counts, 24);
        buf_append_lit(&file, "\0\0\0\0\0\0LMT\0");
    }
    buf_printf(&file, "\n%s\n", rule);
    assert_int_equal(time_zone_parse(buf_slice(&file), &zone), OK);
    buf_done(&file);
    return zone;
}

#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
#define BERLIN   "CET-1CEST,M3.5.0,M10.5.0/3"
#define SYDNEY   "AEST-10AEDT,M10.1.0,M4.1.0/3"
#define HOWE     "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
#define BEIRUT   "EET-2EEST,M3.5.0/0,M10.5.0/0"
#define KOLKATA  "IST-5:30"

static int64_t unix_of(Slice text) {
    int64_t ns;
    assert_int_equal(time_parse(text, &ns), OK);
    return ns / 1000000000;
}

static void patterns_are_checked(void **state) {
    (void)state;
    static const struct {
        Slice pattern;
        bool want;
    } cases[] = {
        {LIT("* * * * * *"), true},
        {LIT("0 0 0 1 1 ?"), true},
        {LIT("*/5 1,2,3 1-5 1/2 JAN mon-FRI"), true},
        {LIT("  0\t0 0 * * 0  "), true},
        {LIT("@daily"), true},
        {LIT("@yearly"), true},
        {LIT("@annually"), true},
        {LIT("@monthly"), true},
        {LIT("@weekly"), true},
        {LIT("@midnight"), true},
        {LIT("@hourly"), true},
        {LIT("+5 * * * * *"), true},
        {LIT("*-9 * * * * *"), true},
        {LIT("1-3/2 * * * * *"), true},
        {LIT("0 0 * * *"), false},
        {LIT("0 0 0 * * * *"), false},
        {LIT("60 * * * * *"), false},
        {LIT("* 60 * * * *"), false},
        {LIT("* * 24 * * *"), false},
        {LIT("* * * 0 * *"), false},
        {LIT("* * * 32 * *"), false},
        {LIT("* * * * 13 *"), false},
        {LIT("* * * * 0 *"), false},
        {LIT("* * * * * 7"), false},
        {LIT("* * * L * *"), false},
        {LIT("5-1 * * * * *"), false},
        {LIT("*/0 * * * * *"), false},
        {LIT("1/2/3 * * * * *"), false},
        {LIT("1-2-3 * * * * *"), false},
        {LIT("-1 * * * * *"), false},
        {LIT("a * * * * *"), false},
        {LIT("1- * * * * *"), false},
        {LIT("*/ * * * * *"), false},
        {LIT("@Daily"), false},
        {LIT("@reboot"), false},
        {LIT(""), false},
        {LIT("TZ=UTC * * * * * *"), false},
        {LIT("* * * * foo *"), false},
        {LIT("99999999999999999999 * * * * *"), false},
    };
    Cron cron;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if ((cron_parse(cases[i].pattern, &cron) == OK) != cases[i].want)
            fail_msg("pattern %.*s", SLICE_ARG(cases[i].pattern));
}

static void the_next_time_is_found(void **state) {
    (void)state;
    static const struct {
        const char *zone; /* NULL: UTC */
        Slice pattern, after, want;
    } cases[] = {
        {NULL, LIT("* * * * * *"), LIT("2026-11-24T07:00:00Z"), LIT("2026-11-24T07:00:01Z")},
        {NULL, LIT("*/15 * * * * *"), LIT("2026-11-24T07:00:46Z"), LIT("2026-11-24T07:01:00Z")},
        {NULL, LIT("0 30 8 * * MON-FRI"), LIT("2026-11-27T08:30:00Z"), LIT("2026-11-30T08:30:00Z")},
        {NULL, LIT("@monthly"), LIT("2026-12-01T00:00:00Z"), LIT("2027-01-01T00:00:00Z")},
        {NULL, LIT("@weekly"), LIT("2026-11-24T07:00:00Z"), LIT("2026-11-29T00:00:00Z")},
        {NULL, LIT("0 0 0 29 2 *"), LIT("2026-11-24T07:00:00Z"), LIT("2028-02-29T00:00:00Z")},
        {NULL, LIT("0 0 0 13 * 5"), LIT("2026-11-24T07:00:00Z"), LIT("2026-11-27T00:00:00Z")},
        {NULL, LIT("0 0 0 13 * *"), LIT("2026-11-24T07:00:00Z"), LIT("2026-12-13T00:00:00Z")},
        {NULL, LIT("0 0 0 */10 * 1"), LIT("2026-11-24T07:00:00Z"), LIT("2026-11-30T00:00:00Z")},
        {NULL, LIT("59 59 23 31 12 *"), LIT("2026-12-31T23:59:59Z"), LIT("2027-12-31T23:59:59Z")},
        {KOLKATA, LIT("0 0 9 * * *"), LIT("2026-11-24T03:30:00Z"), LIT("2026-11-25T03:30:00Z")},
        {BERLIN, LIT("0 0 9 * * *"), LIT("2026-03-28T08:00:00Z"), LIT("2026-03-29T07:00:00Z")},
        /* 02:30 does not come on the day clocks are set forward */
        {NEW_YORK, LIT("0 30 2 * * *"), LIT("2026-03-07T07:30:00Z"), LIT("2026-03-09T06:30:00Z")},
        /* 01:30 comes twice on the day they are set back */
        {NEW_YORK, LIT("0 30 1 * * *"), LIT("2026-10-31T05:30:00Z"), LIT("2026-11-01T05:30:00Z")},
        {NEW_YORK, LIT("0 30 1 * * *"), LIT("2026-11-01T05:30:00Z"), LIT("2026-11-01T06:30:00Z")},
        {NEW_YORK, LIT("0 30 1 * * *"), LIT("2026-11-01T06:30:00Z"), LIT("2026-11-02T06:30:00Z")},
        {SYDNEY, LIT("0 0 12 * * *"), LIT("2026-10-03T02:00:00Z"), LIT("2026-10-04T01:00:00Z")},
        {SYDNEY, LIT("0 0 12 * * *"), LIT("2026-04-04T01:00:00Z"), LIT("2026-04-05T02:00:00Z")},
        {HOWE, LIT("0 15 2 * * *"), LIT("2026-10-02T15:45:00Z"), LIT("2026-10-04T15:15:00Z")},
        {HOWE, LIT("0 45 1 * * *"), LIT("2026-04-04T14:45:00Z"), LIT("2026-04-04T15:15:00Z")},
        /* a day that begins at 01:00 */
        {BEIRUT, LIT("0 0 0 * * *"), LIT("2026-03-27T22:00:00Z"), LIT("2026-03-29T21:00:00Z")},
        {BEIRUT, LIT("0 0 1 29 3 *"), LIT("2026-03-27T22:00:00Z"), LIT("2026-03-28T22:00:00Z")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        TimeZone *zone = cases[i].zone ? zone_of(cases[i].zone) : NULL;
        Cron cron;
        int64_t got = 0;
        assert_int_equal(cron_parse(cases[i].pattern, &cron), OK);
        assert_int_equal(cron_next(&cron, zone, unix_of(cases[i].after), &got), OK);
        Buf text = {0};
        time_write_offset(&text, got, 0);
        if (!slice_equal(buf_slice(&text), cases[i].want))
            fail_msg("%.*s after %.*s: %.*s", SLICE_ARG(cases[i].pattern),
                     SLICE_ARG(cases[i].after), SLICE_ARG(buf_slice(&text)));
        buf_done(&text);
        time_zone_free(zone);
    }
}

static void what_never_comes_is_not_looked_for_forever(void **state) {
    (void)state;
    static const Slice patterns[] = {
        LIT("0 0 0 30 2 *"), LIT("0 0 0 31 4,6,9,11 *"), LIT(", * * * * *"), LIT("* , * * * *"),
        LIT("* * , * * *"),  LIT("* * * , * ,"),         LIT("* * * * , *")};
    clock_t began = clock();
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        Cron cron;
        int64_t got;
        assert_int_equal(cron_parse(patterns[i], &cron), OK);
        assert_int_equal(cron_next(&cron, NULL, unix_of(LIT("2026-11-24T07:00:00Z")), &got),
                         ERR_NOT_FOUND);
    }
    assert_true(clock() - began <
                CLOCKS_PER_SEC / 20); /* of this process; seconds one by one: 3 s */
}

static void offsets_follow_the_rule(void **state) {
    (void)state;
    static const struct {
        const char *zone;
        Slice at;
        int64_t want;
    } cases[] = {
        {NEW_YORK, LIT("2026-03-08T06:59:59Z"), -5 * 3600},
        {NEW_YORK, LIT("2026-03-08T07:00:00Z"), -4 * 3600},
        {NEW_YORK, LIT("2026-11-01T05:59:59Z"), -4 * 3600},
        {NEW_YORK, LIT("2026-11-01T06:00:00Z"), -5 * 3600},
        {BERLIN, LIT("2040-03-25T00:59:59Z"), 3600},
        {BERLIN, LIT("2040-03-25T01:00:00Z"), 2 * 3600},
        {SYDNEY, LIT("2026-01-01T00:00:00Z"), 11 * 3600},
        {SYDNEY, LIT("2026-07-01T00:00:00Z"), 10 * 3600},
        {HOWE, LIT("2026-01-01T00:00:00Z"), 11 * 3600},
        {HOWE, LIT("2026-07-01T00:00:00Z"), 10 * 3600 + 1800},
        {KOLKATA, LIT("2026-07-01T00:00:00Z"), 5 * 3600 + 1800},
        {"<-03>3<-02>,J60/-1,J300/24:30:15", LIT("2028-03-01T01:59:59Z"), -3 * 3600},
        {"<-03>3<-02>,J60/-1,J300/24:30:15", LIT("2028-03-01T02:00:00Z"), -2 * 3600},
        {"XXX0YYY,59,300", LIT("2028-02-29T02:00:00Z"), 3600},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        TimeZone *zone = zone_of(cases[i].zone);
        assert_int_equal(time_zone_offset(zone, unix_of(cases[i].at)), cases[i].want);
        time_zone_free(zone);
    }
    assert_int_equal(time_zone_offset(NULL, 0), 0);
}

static void damaged_files_are_refused(void **state) {
    (void)state;
    static const char *const rules[] = {"EST",
                                        "5",
                                        "EST5EDT",
                                        "EST5EDT,M3.2.0",
                                        "EST5EDT,M13.2.0,M1.1.0",
                                        "EST5EDT,M3.2.0,M11.1.0,",
                                        "<EST5",
                                        "EST5EDT,M3.6.0,M11.1.0"};
    TimeZone *zone;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        Buf file = {0};
        for (unsigned k = 0; k < 2; k++) {
            static const char counts[] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4";
            buf_append_lit(&file, "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
            buf_append_bytes(&file, counts, 24);
            buf_append_lit(&file, "\0\0\0\0\0\0LMT\0");
        }
        size_t len = file.len;
        buf_printf(&file, "\n%s\n", rules[i]);
        assert_int_equal(time_zone_parse(buf_slice(&file), &zone), ERR_SYNTAX);
        for (size_t n = 0; n < len; n++) { /* cut anywhere */
            char *copy = mem_copy(file.ptr, n);
            assert_int_equal(time_zone_parse(slice_from(copy, n), &zone), ERR_SYNTAX);
            mem_free(copy);
        }
        buf_done(&file);
    }
    assert_int_equal(time_zone_parse(LIT("not a zone"), &zone), ERR_SYNTAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_checked),
        cmocka_unit_test(the_next_time_is_found),
        cmocka_unit_test(what_never_comes_is_not_looked_for_forever),
        cmocka_unit_test(offsets_follow_the_rule),
        cmocka_unit_test(damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
