#include "stream/api_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void every_row_is_found_by_its_code(void **state) {
    (void)state;
    static const struct {
        unsigned http, code;
    } rows[] = {
#define ROW(name, http, code, text) {http, code},
#include "stream/api_error.def"
#undef ROW
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(api_error(rows[i].code).code, rows[i].code);
        assert_int_equal(api_error(rows[i].code).http, rows[i].http);
    }
}

static void a_placeholder_is_replaced(void **state) {
    (void)state;
    Arena *arena = arena_new();
    static const struct {
        unsigned code;
        Slice value, want;
    } cases[] = {
        {JSStreamWrongLastSequenceErrF, LIT("7"), LIT("wrong last sequence: 7")},
        {JSSequenceNotFoundErrF, LIT("4"), LIT("sequence 4 not found")},
        {JSStreamInvalidConfigF, LIT("invalid subject"), LIT("invalid subject")},
        {JSStreamWrongLastMsgIDErrF, LIT(""), LIT("wrong last msg ID: ")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ApiError error = api_error_with(arena, cases[i].code, cases[i].value);
        assert_true(slice_equal(error.text, cases[i].want));
    }
    ApiError error = api_error_with_u64(arena, JSStreamWrongLastSequenceErrF, UINT64_MAX);
    assert_true(slice_equal(error.text, LIT("wrong last sequence: 18446744073709551615")));
    arena_free(arena);
}

static void two_placeholders_are_replaced_in_order(void **state) {
    (void)state;
    Arena *arena = arena_new();
    static const struct {
        unsigned code;
        Slice first, second, want;
    } cases[] = {
        {JSStreamExternalApiOverlapErrF, LIT("$JS.API"), LIT("$JS.API"),
         LIT("stream external api prefix $JS.API must not overlap with $JS.API")},
        {JSStreamExternalDelPrefixOverlapsErrF, LIT("{subject}"), LIT("s.>"),
         LIT("stream external delivery prefix {subject} overlaps with stream subject s.>")},
        {JSRestoreSubscribeFailedErrF, LIT(""), LIT(""),
         LIT("JetStream unable to subscribe to restore snapshot : ")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ApiError error = api_error_with_both(arena, cases[i].code, cases[i].first, cases[i].second);
        assert_int_equal(error.code, cases[i].code);
        assert_true(slice_equal(error.text, cases[i].want));
    }
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found_by_its_code),
        cmocka_unit_test(a_placeholder_is_replaced),
        cmocka_unit_test(two_placeholders_are_replaced_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
