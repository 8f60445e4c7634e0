#include "stream/zones.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void a_zone_is_kept_once_whatever_its_path(void **state) {
    (void)state;
    static const Slice names[] = {LIT("Europe/Berlin"), LIT("./Europe/Berlin"),
                                  LIT("Europe//Berlin"), LIT("././Europe/.//./Berlin")};
    Zones zones = {0};
    const TimeZone *first, *zone;
    assert_int_equal(zones_get(&zones, names[0], &first), OK);
    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(zones_get(&zones, names[i], &zone), OK);
        assert_ptr_equal(zone, first);
    }
    assert_int_equal(zones.by_name.len, 1);
    zones_done(&zones);
}

static void what_is_no_zone_is_not_found(void **state) {
    (void)state;
    static const Slice names[] = {LIT(""),
                                  LIT("."),
                                  LIT("/UTC"),
                                  LIT("../UTC"),
                                  LIT("UTC\\.."),
                                  LIT("Europe"),
                                  LIT("Europe/"),
                                  LIT("No/Such"),
                                  LIT("Europe/Berlin/."),
                                  LIT("UTC\0"),
                                  LIT("Europe/Berlin/")};
    Zones zones = {0};
    const TimeZone *zone;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (zones_get(&zones, names[i], &zone) != ERR_NOT_FOUND)
            fail_msg("found: %.*s", SLICE_ARG(names[i]));
    assert_int_equal(zones.by_name.len, 0);
    zones_done(&zones);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zone_is_kept_once_whatever_its_path),
        cmocka_unit_test(what_is_no_zone_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
