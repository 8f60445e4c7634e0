#include "auth/permissions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static Permissions *make(const PermissionsOptions *options) {
    Permissions *permissions = NULL;
    assert_int_equal(permissions_new(options, NULL, &permissions), OK);
    return permissions;
}

static void deny_wins_over_allow_for_publishing(void **state) {
    (void)state;
    static const Slice allow[] = {{"orders.>", 8}, {"ping", 4}}, deny[] = {{"orders.secret", 13}};
    static const struct {
        const char *subject;
        bool want;
    } cases[] = {
        {"orders.new", true}, {"orders.secret", false}, {"ping", true},
        {"pong", false},      {"orders", false},        {"orders.secret.x", true},
    };
    PermissionsOptions options = {.publish = {allow, deny, 2, 1, true}};
    Permissions *permissions = make(&options);
    for (int round = 0; round < 2; round++) { /* the second time from the cache */
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            assert_int_equal(permissions_may_publish(permissions, slice_of_text(cases[i].subject)),
                             cases[i].want);
    }
    permissions_free(permissions);
}

static void all_of_a_pattern_may_be_published_only_when_nothing_of_it_is_denied(void **state) {
    (void)state;
    static const Slice all[] = {{"get.>", 5}}, one[] = {{"get.a", 5}}, other[] = {{"put.a", 5}};
    static const struct {
        PermissionsOptions options;
        bool want;
    } cases[] = {
        {{.publish = {all, NULL, 1, 0, true}}, true},
        {{.publish = {one, NULL, 1, 0, true}}, false},
        {{.publish = {NULL, NULL, 0, 0, false}}, true},
        {{.publish = {all, one, 1, 1, true}}, false},
        {{.publish = {NULL, one, 0, 1, false}}, false},
        {{.publish = {NULL, other, 0, 1, false}}, true},
        {{.has_responses = true}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Permissions *permissions = make(&cases[i].options);
        assert_int_equal(permissions_may_publish_all(permissions, LIT("get.*")), cases[i].want);
        permissions_free(permissions);
    }
}

static void cache_keeps_right_when_subjects_fight_for_slots(void **state) {
    (void)state;
    static const Slice allow[] = {{"*.even", 6}};
    PermissionsOptions options = {.publish = {allow, NULL, 1, 0, true}};
    Permissions *permissions = make(&options);
    char text[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "%d.%s", i % 3000, i % 2 ? "odd" : "even");
        assert_int_equal(permissions_may_publish(permissions, slice_of_text(text)), i % 2 == 0);
    }
    permissions_free(permissions);
}

static void without_lists_everything_is_allowed(void **state) {
    (void)state;
    PermissionsOptions options = {.is_set = true};
    Permissions *permissions = make(&options);
    assert_true(permissions_may_publish(permissions, LIT("a")));
    assert_int_equal(permissions_may_subscribe(permissions, LIT(">"), LIT("")), SUB_ALLOWED);
    permissions_free(permissions);
}

static void an_empty_allow_list_allows_nothing(void **state) {
    (void)state;
    PermissionsOptions options = {.publish.has_allow = true, .subscribe.has_allow = true};
    Permissions *permissions = make(&options);
    assert_false(permissions_may_publish(permissions, LIT("a")));
    assert_int_equal(permissions_may_subscribe(permissions, LIT("a"), LIT("")), SUB_DENIED);
    permissions_free(permissions);
}

static void subscriptions_follow_queue_entries(void **state) {
    (void)state;
    static const Slice allow[] = {{"q.x wrk", 7}, {"plain.*", 7}, {"w.> v1.*", 8}, {"tree.>", 6}};
    static const Slice deny[] = {{"plain.no", 8}, {"plain.q bad", 11}, {"tree.secret.*", 13}};
    static const struct {
        const char *subject, *queue;
        SubVerdict want;
    } cases[] = {
        {"q.x", "wrk", SUB_ALLOWED},       {"q.x", "other", SUB_DENIED},
        {"q.x", "", SUB_DENIED},           {"plain.a", "", SUB_ALLOWED},
        {"plain.a", "any", SUB_ALLOWED},   {"plain.no", "", SUB_DENIED},
        {"plain.q", "bad", SUB_DENIED},    {"plain.q", "good", SUB_ALLOWED},
        {"plain.q", "", SUB_ALLOWED},      {"w.a.b", "v1.z", SUB_ALLOWED},
        {"w.a.b", "v2.z", SUB_DENIED},     {"plain.>", "", SUB_DENIED},
        {"plain.*", "", SUB_FILTERED},     {"tree.>", "", SUB_FILTERED},
        {"tree.secret.*", "", SUB_DENIED}, {"tree.*.x", "", SUB_FILTERED},
        {"tree.a.*", "", SUB_ALLOWED},     {"tree.secret.>", "", SUB_FILTERED},
    };
    PermissionsOptions options = {.subscribe = {allow, deny, 4, 3, true}};
    Permissions *permissions = make(&options);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SubVerdict got = permissions_may_subscribe(permissions, slice_of_text(cases[i].subject),
                                                   slice_of_text(cases[i].queue));
        if (got != cases[i].want)
            fail_msg("%s [%s]: %d", cases[i].subject, cases[i].queue, got);
    }
    assert_false(permissions_may_receive(permissions, LIT("tree.secret.a")));
    assert_true(permissions_may_receive(permissions, LIT("tree.open.a")));
    permissions_free(permissions);
}

static void invalid_subjects_are_refused(void **state) {
    (void)state;
    static const Slice bad[] = {{"a..b", 4}};
    static const Slice queue_in_publish[] = {{"a q", 3}};
    PermissionsOptions options[] = {
        {.publish = {bad, NULL, 1, 0, true}},
        {.publish = {queue_in_publish, NULL, 1, 0, true}},
        {.subscribe = {NULL, bad, 0, 1, false}},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        Permissions *permissions = NULL;
        Buf error = {0};
        assert_int_equal(permissions_new(&options[i], &error, &permissions), ERR_SYNTAX);
        assert_non_null(strstr(buf_text(&error), "is not a valid subject"));
        buf_done(&error);
    }
}

static void responses_have_defaults_and_close_publishing(void **state) {
    (void)state;
    uint64_t max, expire_ns;
    PermissionsOptions options = {.has_responses = true};
    Permissions *permissions = make(&options);
    assert_true(permissions_responses(permissions, &max, &expire_ns));
    assert_int_equal(max, 1);
    assert_int_equal(expire_ns, UINT64_C(120000000000));
    assert_false(permissions_may_publish(permissions, LIT("a")));
    permissions_free(permissions);

    options =
        (PermissionsOptions){.has_responses = true, .responses_max = -1, .responses_expire_ns = -1};
    permissions = make(&options);
    assert_true(permissions_responses(permissions, &max, &expire_ns));
    assert_int_equal(max, 0);
    assert_int_equal(expire_ns, 0);
    permissions_free(permissions);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deny_wins_over_allow_for_publishing),
        cmocka_unit_test(all_of_a_pattern_may_be_published_only_when_nothing_of_it_is_denied),
        cmocka_unit_test(cache_keeps_right_when_subjects_fight_for_slots),
        cmocka_unit_test(without_lists_everything_is_allowed),
        cmocka_unit_test(an_empty_allow_list_allows_nothing),
        cmocka_unit_test(subscriptions_follow_queue_entries),
        cmocka_unit_test(invalid_subjects_are_refused),
        cmocka_unit_test(responses_have_defaults_and_close_publishing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
