#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stream/api_rig.h"

/* Streams that come and go, also several at a time. */

#define API "$JS.API."

static void make(const char *name, const char *subject) {
    char to[64], config[128];
    (void)snprintf(to, sizeof to, API "STREAM.CREATE.%s", name);
    (void)snprintf(config, sizeof config, "{\"name\":\"%s\",\"subjects\":[\"%s\"]}", name, subject);
    rig_tell(to, "_INBOX.made", config);
}

static void next_has(const char *want) {
    const char *got = rig_next();
    if (!strstr(got, want))
        fail_msg("%s instead of %s", got, want);
}

/* The next ones, from different homes, in whatever order. */
static void next_have(const char *const *wants, size_t count) {
    const char *got[8];
    assert_true(count <= sizeof got / sizeof got[0]);
    for (size_t i = 0; i < count; i++)
        got[i] = rig_next();
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < count && !(got[at] && strstr(got[at], wants[i])))
            at++;
        if (at == count)
            fail_msg("no %s", wants[i]);
        got[at] = NULL;
    }
}

static void what_is_on_its_way_counts_before_a_create_is_refused(void **state) {
    (void)state;
    rig.limits[0].max_streams = 1;
    make("A", "a.*");
    next_has("\"did_create\":true");
    rig_tell(API "STREAM.DELETE.A", "_INBOX.gone", "");
    make("B", "a.*");
    next_have((const char *[]){"\"success\":true", "\"did_create\":true"}, 2);
    make("C", "c.*");
    next_has("\"err_code\":10027");

    rig.limits[0].max_streams = -1;
    make("C", "a.1");
    next_has("\"err_code\":10065");
    rig_tell(API "STREAM.UPDATE.B", "_INBOX.other", "{\"name\":\"B\",\"subjects\":[\"b.*\"]}");
    make("C", "a.1");
    next_have((const char *[]){"\"subjects\":[\"b.*\"]", "\"did_create\":true"}, 2);
}

static void of_two_that_overlap_one_comes(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        make("A", "a.*");
        make("B", "a.b");
        make("A", "a.*"); /* the same once more */
        next_have(
            (const char *[]){"\"did_create\":true", "\"err_code\":10065", "\"did_create\":true"},
            3);
        rig_tell(API "STREAM.DELETE.A", "_INBOX.gone", "");
        next_has("\"success\":true");
    }
}

static void restores_are_counted_while_they_come(void **state) {
    (void)state;
    unsigned refused = 0, taken = 0;
    for (unsigned i = 0; i < 80; i++) {
        char to[64], request[128];
        (void)snprintf(to, sizeof to, API "STREAM.RESTORE.R%u", i);
        (void)snprintf(request, sizeof request, "{\"config\":{\"name\":\"R%u\"},\"state\":{}}", i);
        rig_tell(to, "_INBOX.restore", request);
    }
    for (unsigned i = 0; i < 80; i++) {
        const char *got = rig_next();
        refused += strstr(got, "\"err_code\":10023") != NULL;
        taken += strstr(got, "\"deliver_subject\":\"$JS.") != NULL;
    }
    assert_int_equal(taken, 64);
    assert_int_equal(refused, 16);
}

static void streams_of_an_account_without_jetstream_are_kept_and_not_served(void **state) {
    (void)state;
    assert_non_null(
        strstr(rig_ask_as(2, API "STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s\"]}"),
               "\"did_create\":true"));
    assert_string_equal(rig_ask_as(2, "s", "one"), "{\"stream\":\"S\",\"seq\":1}");
    rig_close();
    rig.enabled[2] = false;
    rig_open();
    assert_string_equal(rig_ask_as(2, "s", "two"), "no responders");
    assert_non_null(strstr(rig_ask_as(2, API "STREAM.INFO.S", ""), "\"err_code\":10039"));
    rig_close();
    rig.enabled[2] = true;
    rig_open();
    assert_string_equal(rig_ask_as(2, "s", "two"), "{\"stream\":\"S\",\"seq\":2}");
}

static void a_purge_of_an_account_takes_all_its_streams(void **state) {
    (void)state;
    enum { STREAMS = 600 };
    for (unsigned i = 0; i < STREAMS; i++) {
        char to[64], config[64];
        (void)snprintf(to, sizeof to, API "STREAM.CREATE.S%u", i);
        (void)snprintf(config, sizeof config, "{\"name\":\"S%u\",\"storage\":\"%s\"}", i,
                       i % 2 ? "file" : "memory");
        (void)rig_ask_as(2, to, config);
    }
    make("KEPT", "kept");
    next_has("\"did_create\":true");
    assert_string_equal(rig_ask_as(1, API "ACCOUNT.PURGE.other", ""),
                        "{\"type\":\"io.nats.jetstream.api.v1.account_purge_response\","
                        "\"initiated\":true}");
    assert_non_null(strstr(rig_ask_as(2, API "STREAM.NAMES", ""), "\"total\":0"));
    assert_non_null(strstr(rig_ask(API "STREAM.NAMES", ""), "\"streams\":[\"KEPT\"]"));
    rig_close();
    rig_open();
    assert_non_null(strstr(rig_ask_as(2, API "STREAM.NAMES", ""), "\"total\":0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_on_its_way_counts_before_a_create_is_refused),
        TEST(of_two_that_overlap_one_comes),
        TEST(restores_are_counted_while_they_come),
        TEST(streams_of_an_account_without_jetstream_are_kept_and_not_served),
        TEST(a_purge_of_an_account_takes_all_its_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
