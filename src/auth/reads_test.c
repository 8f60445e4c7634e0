#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "auth/reads.h"

#define H(lines) "NATS/1.0\r\n" lines "\r\n"

static void who_may_not_get_from_every_stream_sees_a_number_only(void **state) {
    (void)state;
    static const Slice all[] = {{"$JS.API.>", 9}}, one[] = {{"$JS.API.STREAM.MSG.GET.a", 24}};
    static const struct {
        const char *headers, *want;
    } cases[] = {
        {H("A: b\r\n"), H("A: b\r\n")},
        {H("HW-Want-Current: value\r\nA: b\r\n"), H("A: b\r\nHW-Want-Current: 1\r\n")},
        {H("HW-Want-Current: \r\nHW-Want-Current: value\r\n"), H("HW-Want-Current: 1\r\n")},
        {H("A: HW-Want-Current\r\n"), H("A: HW-Want-Current\r\n")},
    };
    const PermissionsOptions some = {.publish = {one, NULL, 1, 0, true}},
                             every = {.publish = {all, NULL, 1, 0, true}};
    Permissions *limited, *reader;
    Arena *arena = arena_new();
    assert_int_equal(permissions_new(&some, NULL, &limited), OK);
    assert_int_equal(permissions_new(&every, NULL, &reader), OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Slice headers = slice_of_text(cases[i].headers);
        Slice got = reads_withhold(limited, headers, arena);
        if (!slice_equal(got, slice_of_text(cases[i].want)))
            fail_msg("%s: %.*s", cases[i].headers, SLICE_ARG(got));
        assert_ptr_equal(reads_withhold(reader, headers, arena).ptr, headers.ptr);
    }
    permissions_free(limited);
    permissions_free(reader);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_not_get_from_every_stream_sees_a_number_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
