#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base64.h"

static void bytes_become_digits_with_padding(void **state) {
    (void)state;
    static const struct {
        Slice bytes;
        const char *standard, *url;
    } cases[] = {
        {LIT(""), "", ""},
        {LIT("f"), "Zg==", "Zg=="},
        {LIT("fo"), "Zm8=", "Zm8="},
        {LIT("foo"), "Zm9v", "Zm9v"},
        {LIT("\xfb\xff\xfe"), "+//+", "-__-"},
        {LIT("foobar"), "Zm9vYmFy", "Zm9vYmFy"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf out = {0};
        base64_write(&out, cases[i].bytes);
        assert_string_equal(buf_text(&out), cases[i].standard);
        buf_clear(&out);
        base64_write_url(&out, cases[i].bytes);
        assert_string_equal(buf_text(&out), cases[i].url);
        buf_done(&out);
    }
}

static void what_was_written_is_read_again(void **state) {
    (void)state;
    char bytes[64];
    for (size_t len = 0; len < sizeof bytes; len++) {
        bytes[len] = (char)(len * 37 + 200);
        Buf text = {0}, back = {0};
        base64_write(&text, slice_from(bytes, len));
        assert_int_equal(base64_read(&back, buf_slice(&text)), OK);
        assert_true(slice_equal(buf_slice(&back), slice_from(bytes, len)));
        buf_done(&text);
        buf_done(&back);
    }
    static const char *const bad[] = {"A", "AA*=", "AAAAA", "AB==", "=AAA", "AA-_"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Buf back = {0};
        assert_int_equal(base64_read(&back, slice_of_text(bad[i])), ERR_SYNTAX);
        buf_done(&back);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_again),
        cmocka_unit_test(bytes_become_digits_with_padding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
