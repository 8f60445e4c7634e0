#include "proto/highway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Of libhighwayhash, with key and bytes 0, 1, 2 ... */
static const struct {
    size_t len;
    uint64_t want;
} known[] = {
    {0, 0x907a56de22c26e53ull},  {1, 0x7eab43aac7cddd78ull},  {3, 0x5c6befab8a463d80ull},
    {4, 0xf205a46893007edaull},  {15, 0x40793f86a449f33bull}, {16, 0xcfab3489f97eb832ull},
    {17, 0x19fe67d2c8c5c0e2ull}, {31, 0x9fc7007ccf035a68ull}, {32, 0xa0c964d9ecd580fcull},
    {33, 0x2c90f73ca03181fcull}, {63, 0xab8eebe9bf2139a0ull}, {64, 0x75542c5d4cd2a6ffull},
    {79, 0xee2459c86d49fdd5ull},
};

static void sums_are_those_of_the_reference(void **state) {
    (void)state;
    uint8_t bytes[80];
    Highway hash;
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        for (size_t step = 1; step < 40; step += 6) {
            Slice rest = slice_from(bytes, known[i].len);
            highway_init(&hash, bytes);
            for (size_t at = 0; at < rest.len; at += step)
                highway_add(&hash, slice_first(slice_from_at(rest, at), step));
            assert_true(highway_finish(&hash) == known[i].want);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_are_those_of_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
