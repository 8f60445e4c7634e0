#include "front/websocket/origin.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void an_url_has_a_scheme_a_host_and_a_port(void **state) {
    (void)state;
    Origin origin;
    assert_int_equal(origin_parse(LIT("https://a.example/x"), &origin), OK);
    assert_true(slice_equal(origin.host, LIT("a.example")));
    assert_int_equal(origin.port, 443);
    assert_int_equal(origin_parse(LIT("http://[::1]:8080"), &origin), OK);
    assert_true(slice_equal(origin.host, LIT("[::1]")));
    assert_int_equal(origin.port, 8080);
    assert_int_equal(origin_parse(LIT("a.example"), &origin), ERR_SYNTAX);
    assert_int_equal(origin_parse(LIT("http://:80"), &origin), ERR_SYNTAX);
    assert_int_equal(origin_parse(LIT("http://a:b"), &origin), ERR_SYNTAX);
}

static void without_rules_all_may_come(void **state) {
    (void)state;
    assert_true(origin_is_allowed(LIT("http://a"), (Slice){0}, NULL, 0));
    assert_true(origin_is_allowed(LIT("rubbish"), (Slice){0}, NULL, 0));
}

static void the_same_origin_is_that_of_the_host_header(void **state) {
    (void)state;
    assert_true(origin_is_allowed(LIT("http://a:8080"), LIT("A:8080"), NULL, 0));
    assert_true(origin_is_allowed(LIT("http://a"), LIT("a"), NULL, 0));
    assert_true(origin_is_allowed((Slice){0}, LIT("a"), NULL, 0));
    assert_false(origin_is_allowed(LIT("http://b:8080"), LIT("a:8080"), NULL, 0));
    assert_false(origin_is_allowed(LIT("http://a:8081"), LIT("a:8080"), NULL, 0));
    assert_false(origin_is_allowed(LIT("rubbish"), LIT("a"), NULL, 0));
}

static void a_list_names_scheme_host_and_port(void **state) {
    (void)state;
    const Slice list[] = {LIT("http://a"), LIT("https://b:444")};
    assert_true(origin_is_allowed(LIT("http://a:80"), (Slice){0}, list, 2));
    assert_true(origin_is_allowed(LIT("https://b:444"), (Slice){0}, list, 2));
    assert_false(origin_is_allowed(LIT("https://a"), (Slice){0}, list, 2));
    assert_false(origin_is_allowed(LIT("https://b"), (Slice){0}, list, 2));
    assert_false(origin_is_allowed(LIT("http://c"), (Slice){0}, list, 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_url_has_a_scheme_a_host_and_a_port),
        cmocka_unit_test(without_rules_all_may_come),
        cmocka_unit_test(the_same_origin_is_that_of_the_host_header),
        cmocka_unit_test(a_list_names_scheme_host_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
