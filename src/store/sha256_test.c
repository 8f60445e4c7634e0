#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/sha256.h"

static void the_hashes_of_the_standard_come_out(void **state) {
    (void)state;
    static const struct {
        Slice bytes;
        const char *want;
    } cases[] = {
        {LIT(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {LIT("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {LIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t hash[SHA256_BYTES];
        char text[2 * SHA256_BYTES + 1];
        sha256(cases[i].bytes, hash);
        for (size_t j = 0; j < sizeof hash; j++)
            snprintf(text + 2 * j, 3, "%02x", hash[j]);
        assert_string_equal(text, cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_hashes_of_the_standard_come_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
