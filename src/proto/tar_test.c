#include "proto/tar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void make(char *block, const char *name, const char *prefix, const char *size, char type) {
    memset(block, 0, TAR_BLOCK_BYTES);
    memcpy(block, name, strlen(name));
    memcpy(block + 345, prefix, strlen(prefix));
    memcpy(block + 124, size, strlen(size));
    memcpy(block + 257, "ustar\00000", 8);
    block[156] = type;
    memset(block + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < TAR_BLOCK_BYTES; i++)
        sum += (uint8_t)block[i];
    char text[8];
    (void)snprintf(text, sizeof text, "%06o", sum);
    memcpy(block + 148, text, 7);
}

static void heads_tell_name_kind_and_size(void **state) {
    (void)state;
    static const struct {
        const char *name, *prefix, *size;
        char type;
        TarKind kind;
        const char *want;
        uint64_t want_size;
    } cases[] = {
        {"meta.inf", "", "00000000017", '0', TAR_FILE, "meta.inf", 15},
        {"x", "long/way", "        20 ", 0, TAR_FILE, "long/way/x", 16},
        {"p", "", "0", 'x', TAR_PAX, "p", 0},
        {"l", "", "0", 'L', TAR_LONG, "l", 0},
        {"d", "", "0", '5', TAR_OTHER, "d", 0},
    };
    char block[TAR_BLOCK_BYTES];
    TarHead head;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make(block, cases[i].name, cases[i].prefix, cases[i].size, cases[i].type);
        assert_int_equal(tar_parse_head(slice_from(block, sizeof block), &head), OK);
        assert_int_equal(head.kind, cases[i].kind);
        assert_string_equal(head.name, cases[i].want);
        assert_true(head.size == cases[i].want_size);
        block[3] ^= 1;
        assert_int_equal(tar_parse_head(slice_from(block, sizeof block), &head), ERR_CORRUPT);
    }
    memset(block, 0, sizeof block);
    assert_int_equal(tar_parse_head(slice_from(block, sizeof block), &head), OK);
    assert_int_equal(head.kind, TAR_END);
}

static void sizes_may_be_binary_and_must_be_numbers(void **state) {
    (void)state;
    char block[TAR_BLOCK_BYTES];
    TarHead head;
    make(block, "a", "", "\x80\1\1\1\1\1\1\1\1\1\1\7", '0');
    assert_int_equal(tar_parse_head(slice_from(block, sizeof block), &head), ERR_CORRUPT);
    make(block, "a", "", "12x", '0');
    assert_int_equal(tar_parse_head(slice_from(block, sizeof block), &head), ERR_CORRUPT);
}

static void pax_lines_are_cut_by_their_length(void **state) {
    (void)state;
    Slice rest = LIT("12 path=a/b\n9 size=3\n"), key, value;
    assert_int_equal(tar_pax_next(&rest, &key, &value), OK);
    assert_true(slice_equal(key, LIT("path")) && slice_equal(value, LIT("a/b")));
    assert_int_equal(tar_pax_next(&rest, &key, &value), OK);
    assert_true(slice_equal(key, LIT("size")) && slice_equal(value, LIT("3")));
    assert_int_equal(tar_pax_next(&rest, &key, &value), ERR_NOT_FOUND);
    static const Slice bad[] = {LIT("99 path=a\n"), LIT("x"), LIT("3 a\n"), LIT("7 path=a\n"),
                                LIT("8 patha\n")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rest = bad[i];
        assert_int_equal(tar_pax_next(&rest, &key, &value), ERR_CORRUPT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_tell_name_kind_and_size),
        cmocka_unit_test(sizes_may_be_binary_and_must_be_numbers),
        cmocka_unit_test(pax_lines_are_cut_by_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
