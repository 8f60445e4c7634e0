#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stream/api_rig.h"

/* What is ours beyond the original's API (docs/EXTENSIONS.md), end to end. */

#define API    "$JS.API."
#define H(...) "NATS/1.0\r\n" __VA_ARGS__ "\r\n"

static int open_rig(void **state) {
    (void)state;
    rig_new();
    rig_open();
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    rig_done();
    return 0;
}

static void make_bucket(const char *more) {
    char config[512];
    (void)snprintf(config, sizeof config,
                   "{\"name\":\"KV_b\",\"subjects\":[\"$KV.b.>\"],\"max_msgs_per_subject\":5,"
                   "\"allow_direct\":true,\"allow_rollup_hdrs\":true%s}",
                   more);
    const char *got = rig_ask(API "STREAM.CREATE.KV_b", config);
    assert_non_null(strstr(got, "\"did_create\":true"));
}

static void put(const char *subject, const char *value, unsigned seq) {
    char want[64];
    (void)snprintf(want, sizeof want, "{\"stream\":\"KV_b\",\"seq\":%u}", seq);
    assert_string_equal(rig_ask(subject, value), want);
}

static void assert_begins(const char *got, const char *want) {
    if (strncmp(got, want, strlen(want)) != 0)
        assert_string_equal(got, want);
}

static void a_get_waits_for_the_sequence_it_asks_for(void **state) {
    (void)state;
    make_bucket("");
    put("$KV.b.k", "one", 1);
    assert_begins(rig_ask_with(API "DIRECT.GET.KV_b.$KV.b.k", H("HW-Min-Seq: 1\r\n"), ""),
                  "NATS/1.0|Nats-Stream: KV_b|Nats-Subject: $KV.b.k|Nats-Sequence: 1|");

    assert_string_equal(
        rig_ask_with(API "DIRECT.GET.KV_b.$KV.b.k", H("HW-Min-Seq: 2\r\nHW-Max-Wait: 1ms\r\n"), ""),
        "NATS/1.0 408 Sequence Not Reached|Nats-Last-Sequence: 1||");
    assert_string_equal(rig_ask_with(API "STREAM.MSG.GET.KV_b",
                                     H("HW-Min-Seq: 2\r\nHW-Max-Wait: 1ms\r\n"), "{\"seq\":1}"),
                        "{\"type\":\"io.nats.jetstream.api.v1.stream_msg_get_response\",\"error\":{"
                        "\"code\":408,\"err_code\":19100,\"description\":\"sequence not reached, "
                        "last is 1\"}}");

    /* It comes while the request waits. */
    assert_string_equal(
        rig_ask_with(API "DIRECT.GET.KV_b.$KV.b.k", H("HW-Min-Seq: 2\r\nHW-Max-Wait: 60s\r\n"), ""),
        "silence");
    rig_tell("$KV.b.k", "", "two");
    assert_non_null(strstr(rig_next(), "Nats-Sequence: 2|"));
}

static void a_linearizable_get_sees_what_was_appended_before(void **state) {
    (void)state;
    make_bucket("");
    rig_tell("$KV.b.k", "", "one");
    rig_tell("$KV.b.k", "", "two");
    assert_non_null(
        strstr(rig_ask_with(API "DIRECT.GET.KV_b.$KV.b.k", H("HW-Linearizable: 1\r\n"), ""),
               "Nats-Sequence: 2|"));
}

static void a_conditional_get_sends_no_body_that_is_known(void **state) {
    (void)state;
    make_bucket("");
    put("$KV.b.k", "one", 1);
    assert_string_equal(
        rig_ask_with(API "DIRECT.GET.KV_b.$KV.b.k", H("HW-If-Not-Seq: 1\r\n"), ""),
        "NATS/1.0 304 Not Modified|Nats-Stream: KV_b|Nats-Subject: $KV.b.k|Nats-Sequence: 1||");
    assert_non_null(strstr(
        rig_ask_with(API "STREAM.MSG.GET.KV_b", H("HW-If-Not-Seq: 1\r\n"),
                     "{\"last_by_subj\":\"$KV.b.k\"}"),
        "\"code\":304,\"err_code\":19103,\"description\":\"not modified since sequence 1\""));
    put("$KV.b.k", "two", 2);
    assert_non_null(
        strstr(rig_ask_with(API "DIRECT.GET.KV_b.$KV.b.k", H("HW-If-Not-Seq: 1\r\n"), ""),
               "Nats-Sequence: 2|"));
    assert_string_equal(
        rig_ask_with(API "DIRECT.GET.KV_b.$KV.b.none", H("HW-If-Not-Seq: 1\r\n"), ""),
        "NATS/1.0 404 Message Not Found||");
}

static void a_header_that_is_not_understood_is_named(void **state) {
    (void)state;
    static const char *const bad[] = {"HW-Min-Seq: x", "HW-Max-Wait: 61s", "HW-Max-Wait: soon",
                                      "HW-Linearizable: maybe", "HW-If-Not-Seq: -1"};
    make_bucket("");
    put("$KV.b.k", "one", 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char headers[64], want[128];
        (void)snprintf(headers, sizeof headers, "NATS/1.0\r\n%s\r\n\r\n", bad[i]);
        (void)snprintf(want, sizeof want, "NATS/1.0 408 Bad Request|HW-Error: %.*s||",
                       (int)strcspn(bad[i], ":"), bad[i]);
        assert_string_equal(rig_ask_with(API "DIRECT.GET.KV_b.$KV.b.k", headers, ""), want);
    }
    assert_string_equal(
        rig_ask_with(API "DIRECT.GET.KV_b", H("HW-If-Not-Seq: 1\r\n"), "{\"batch\":2,\"seq\":1}"),
        "NATS/1.0 408 Bad Request||");
}

#define WRONG(seq)                                                                                 \
    "{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: " seq      \
    "\"},\"stream\":\"KV_b\",\"seq\":0"

static void a_wrong_sequence_is_told_the_current_one_when_asked(void **state) {
    (void)state;
#define EXPECT "Nats-Expected-Last-Subject-Sequence: 7\r\n"
    make_bucket("");
    put("$KV.b.k", "one", 1);
    assert_string_equal(rig_ask_with("$KV.b.k", H(EXPECT), "x"), WRONG("1") "}");
    assert_string_equal(rig_ask_with("$KV.b.k", H(EXPECT "HW-Want-Current: 1\r\n"), "x"),
                        "NATS/1.0|HW-Last-Sequence: 1||" WRONG("1") "}");
    assert_string_equal(rig_ask_with("$KV.b.k", H(EXPECT "HW-Want-Current: value\r\n"), "x"),
                        "NATS/1.0|HW-Last-Sequence: 1||" WRONG(
                            "1") ",\"current\":{\"seq\":1,"
                                 "\"time\":\"T\",\"subject\":\"$KV.b.k\",\"data\":\"b25l\"}}");
    assert_string_equal(rig_ask_with("$KV.b.none", H(EXPECT "HW-Want-Current: value\r\n"), "x"),
                        "NATS/1.0|HW-Last-Sequence: 0||" WRONG("0") "}");
    /* Decided by the entry, as another one is under way. */
    rig_tell("$KV.b.k", "", "two");
    assert_string_equal(rig_ask_with("$KV.b.k", H(EXPECT "HW-Want-Current: value\r\n"), "x"),
                        "NATS/1.0|HW-Last-Sequence: 2||" WRONG(
                            "2") ",\"current\":{\"seq\":2,"
                                 "\"time\":\"T\",\"subject\":\"$KV.b.k\",\"data\":\"dHdv\"}}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_get_waits_for_the_sequence_it_asks_for),
        TEST(a_linearizable_get_sees_what_was_appended_before),
        TEST(a_conditional_get_sends_no_body_that_is_known),
        TEST(a_header_that_is_not_understood_is_named),
        TEST(a_wrong_sequence_is_told_the_current_one_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
