#include "front/client/responses.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void permits_so_many_answers(void **state) {
    (void)state;
    Responses *responses = responses_new(2, 0);
    assert_false(responses_use(responses, LIT("a"), 0));
    responses_permit(responses, LIT("a"), 0);
    assert_true(responses_use(responses, LIT("a"), 1));
    assert_true(responses_use(responses, LIT("a"), 2));
    assert_false(responses_use(responses, LIT("a"), 3));
    responses_permit(responses, LIT("a"), 4);
    responses_permit(responses, LIT("a"), 5);
    assert_true(responses_use(responses, LIT("a"), 6));
    responses_free(responses);
}

static void permits_expire(void **state) {
    (void)state;
    Responses *responses = responses_new(0, 100);
    responses_permit(responses, LIT("a"), 1000);
    responses_permit(responses, LIT("b"), 1050);
    assert_true(responses_use(responses, LIT("a"), 1100));
    assert_false(responses_use(responses, LIT("a"), 1101));
    assert_true(responses_use(responses, LIT("b"), 1150));
    responses_permit(responses, LIT("c"), 1200);
    assert_false(responses_use(responses, LIT("b"), 1100)); /* swept when c came */
    responses_free(responses);
}

static void the_oldest_go_when_there_are_too_many(void **state) {
    (void)state;
    Responses *responses = responses_new(0, 0);
    char text[16];
    for (int i = 0; i <= RESPONSES_MAX; i++) {
        snprintf(text, sizeof text, "%d", i);
        responses_permit(responses, slice_of_text(text), (uint64_t)i);
    }
    assert_false(responses_use(responses, LIT("0"), RESPONSES_MAX));
    assert_true(responses_use(responses, LIT("1"), RESPONSES_MAX));
    assert_true(responses_use(responses, slice_of_text(text), RESPONSES_MAX));
    responses_free(responses);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permits_so_many_answers),
        cmocka_unit_test(permits_expire),
        cmocka_unit_test(the_oldest_go_when_there_are_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
