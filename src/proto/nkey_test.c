#include "proto/nkey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Made by other software. */
static const char known[] = "NCINILWEBQMBQCFJDT74VN3XWJVL3PM7P55PD54VWHBLEWY2JBZDC5RA";

static void a_known_key_is_read_and_written_back(void **state) {
    uint8_t key[NKEY_BYTES];
    char text[NKEY_TEXT_LEN + 1];

    assert_int_equal(nkey_parse_public(slice_of_text(known), NKEY_SERVER, key), OK);
    nkey_write_public(NKEY_SERVER, key, text);
    assert_string_equal(text, known);
}

static void a_seed_always_gives_the_same_key(void **state) {
    uint8_t seed[NKEY_BYTES] = {1, 2, 3}, key[NKEY_BYTES];
    char one[NKEY_TEXT_LEN + 1], two[NKEY_TEXT_LEN + 1];

    assert_int_equal(nkey_public_of_seed(NKEY_SERVER, seed, one), OK);
    assert_int_equal(nkey_public_of_seed(NKEY_SERVER, seed, two), OK);
    assert_string_equal(one, two);
    assert_int_equal(one[0], 'N');
    assert_int_equal(nkey_parse_public(slice_of_text(one), NKEY_SERVER, key), OK);
    seed[0]++;
    assert_int_equal(nkey_public_of_seed(NKEY_USER, seed, two), OK);
    assert_int_equal(two[0], 'U');
    assert_string_not_equal(one + 1, two + 1);
}

static void other_texts_are_refused(void **state) {
    uint8_t key[NKEY_BYTES];
    static const char *const wrong[] = {
        "",
        "NCINILWEBQMBQCFJDT74VN3XWJVL3PM7P55PD54VWHBLEWY2JBZDC5R",
        "NCINILWEBQMBQCFJDT74VN3XWJVL3PM7P55PD54VWHBLEWY2JBZDC5RB",
        "NCINILWEBQMBQCFJDT74VN3XWJVL3PM7P55PD54VWHBLEWY2JBZDC5r!",
        "NDINILWEBQMBQCFJDT74VN3XWJVL3PM7P55PD54VWHBLEWY2JBZDC5RA",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(nkey_parse_public(slice_of_text(wrong[i]), NKEY_SERVER, key), ERR_SYNTAX);
    assert_int_equal(nkey_parse_public(slice_of_text(known), NKEY_USER, key), ERR_SYNTAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_key_is_read_and_written_back),
        cmocka_unit_test(a_seed_always_gives_the_same_key),
        cmocka_unit_test(other_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
