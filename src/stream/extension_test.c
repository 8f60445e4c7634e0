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

#define KEYS(body) rig_ask(API "HW.KEYS.KV_b", body)
#define KEYS_TYPE  "{\"type\":\"io.nats.jetstream.api.v1.hw_keys_response\""

static void keys_come_in_order_page_by_page(void **state) {
    (void)state;
    make_bucket("");
    put("$KV.b.pear", "1", 1);
    put("$KV.b.a.b", "2", 2);
    put("$KV.b.apple", "3", 3);
    put("$KV.b.a-b", "4", 4);
    put("$KV.b.a", "5", 5);
    assert_string_equal(KEYS(""), KEYS_TYPE ",\"keys\":[\"$KV.b.a\",\"$KV.b.a.b\",\"$KV.b.a-b\","
                                            "\"$KV.b.apple\",\"$KV.b.pear\"],\"more\":false,"
                                            "\"last_seq\":5}");
    assert_string_equal(KEYS("{\"limit\":2}"),
                        KEYS_TYPE ",\"keys\":[\"$KV.b.a\",\"$KV.b.a.b\"],\"more\":true,\"last\":"
                                  "\"$KV.b.a.b\",\"last_seq\":5}");
    put("$KV.b.a.a", "6", 6); /* before the page's end: does not disturb */
    put("$KV.b.b", "7", 7);
    assert_string_equal(KEYS("{\"limit\":2,\"after\":\"$KV.b.a.b\"}"),
                        KEYS_TYPE ",\"keys\":[\"$KV.b.a-b\",\"$KV.b.apple\"],\"more\":true,"
                                  "\"last\":\"$KV.b.apple\",\"last_seq\":7}");
    assert_string_equal(KEYS("{\"limit\":2,\"after\":\"$KV.b.apple\"}"),
                        KEYS_TYPE ",\"keys\":[\"$KV.b.b\",\"$KV.b.pear\"],\"more\":false,"
                                  "\"last_seq\":7}");
}

static void keys_are_narrowed_and_counted(void **state) {
    (void)state;
    make_bucket("");
    put("$KV.b.a.1", "1", 1);
    put("$KV.b.a.2", "2", 2);
    put("$KV.b.ab", "3", 3);
    put("$KV.b.c.1", "4", 4);
    assert_string_equal(rig_ask_with("$KV.b.a.2", H("KV-Operation: DEL\r\n"), ""),
                        "{\"stream\":\"KV_b\",\"seq\":5}");
    static const struct {
        const char *body, *want;
    } cases[] = {
        {"{\"filter\":\"$KV.b.*.1\"}", "\"keys\":[\"$KV.b.a.1\",\"$KV.b.c.1\"],\"more\":false"},
        {"{\"filter\":\"$KV.b.a.>\"}", "\"keys\":[\"$KV.b.a.1\"],\"more\":false"},
        {"{\"filter\":\"$KV.b.a.>\",\"deleted\":true}",
         "\"keys\":[\"$KV.b.a.1\",\"$KV.b.a.2\"],\"more\":false"},
        {"{\"prefix\":\"$KV.b.a\"}", "\"keys\":[\"$KV.b.a.1\",\"$KV.b.ab\"],\"more\":false"},
        {"{\"from\":\"$KV.b.ab\",\"to\":\"$KV.b.c.1\"}", "\"keys\":[\"$KV.b.ab\"],\"more\":false"},
        {"{\"count_only\":true}", "\"count\":3"},
        {"{\"count_only\":true,\"deleted\":true}", "\"count\":4"},
        {"{\"filter\":\"$KV.b.c.1\",\"values\":true}",
         "\"keys\":[{\"key\":\"$KV.b.c.1\",\"seq\":4,\"time\":\"T\",\"value\":\"NA==\"}],\"more\":"
         "false"},
        {"{\"filter\":\"$KV.b.a.2\",\"revisions\":true,\"deleted\":true}",
         "\"keys\":[{\"key\":\"$KV.b.a.2\",\"seq\":5,\"time\":\"T\",\"deleted\":true}],\"more\":"
         "false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char want[512];
        (void)snprintf(want, sizeof want, KEYS_TYPE ",%s,\"last_seq\":5}", cases[i].want);
        assert_string_equal(KEYS(cases[i].body), want);
    }
    assert_non_null(strstr(KEYS("{\"filter\":\"a..b\"}"), "\"err_code\":10003"));
    assert_non_null(strstr(KEYS("{\"none\":1}"), "\"err_code\":10025"));
    assert_non_null(strstr(rig_ask(API "HW.KEYS.none", ""), "\"err_code\":10059"));
}

static void keys_show_the_past_and_say_when_it_is_not_whole(void **state) {
    (void)state;
    make_bucket("");
    put("$KV.b.a", "1", 1);
    put("$KV.b.b", "2", 2);
    put("$KV.b.a", "3", 3);
    assert_string_equal(
        KEYS("{\"as_of_seq\":2,\"values\":true}"),
        KEYS_TYPE ",\"keys\":[{\"key\":\"$KV.b.a\",\"seq\":1,\"time\":\"T\",\"value\":\"MQ==\"},{"
                  "\"key\":\"$KV.b.b\",\"seq\":2,\"time\":\"T\",\"value\":\"Mg==\"}],\"more\":"
                  "false,\"last_seq\":3,\"as_of_seq\":2,\"exact\":true}");
    assert_non_null(strstr(KEYS("{\"as_of_seq\":1}"), "\"keys\":[\"$KV.b.a\"]"));
    assert_non_null(strstr(KEYS("{\"as_of_seq\":4}"), "\"err_code\":19100"));
    (void)rig_ask(API "STREAM.PURGE.KV_b", "{\"filter\":\"$KV.b.b\"}");
    assert_non_null(strstr(KEYS("{\"as_of_seq\":2}"), "\"keys\":[\"$KV.b.a\"],\"more\":false,"
                                                      "\"last_seq\":3,\"as_of_seq\":2,\"exact\":"
                                                      "false}"));
    assert_non_null(strstr(KEYS("{\"as_of_seq\":1}"), "\"exact\":true}"));
}

#define PAST(key, seq)                                                                             \
    rig_ask_with(API "DIRECT.GET.KV_b.$KV.b." key, H("HW-As-Of-Seq: " seq "\r\n"), "")

static void a_key_is_read_as_it_was(void **state) {
    (void)state;
    make_bucket("");
    put("$KV.b.a", "one", 1);
    put("$KV.b.b", "two", 2);
    put("$KV.b.a", "three", 3);
    assert_string_equal(PAST("a", "2"),
                        "NATS/1.0|Nats-Stream: KV_b|Nats-Subject: $KV.b.a|Nats-Sequence: 1|Nats-"
                        "Time-Stamp: T|HW-As-Of-Seq: 2|HW-As-Of-Exact: 1||one");
    assert_string_equal(PAST("b", "1"), "NATS/1.0 404 Message Not Found|HW-As-Of-Seq: 1|HW-As-Of-"
                                        "Exact: 1||");
    assert_string_equal(PAST("a", "4"), "NATS/1.0 408 Point Not Reached||");
    assert_string_equal(PAST("a", "0"), "NATS/1.0 408 Bad Request|HW-Error: HW-As-Of-Seq||");
    for (unsigned seq = 4; seq <= 8; seq++)
        put("$KV.b.a", "more", seq);
    /* Six were stored since the first, five are kept. */
    assert_string_equal(PAST("a", "2"),
                        "NATS/1.0 410 Not Retained|HW-As-Of-Seq: 2|HW-As-Of-Exact: 0||");
    assert_string_equal(PAST("b", "1"),
                        "NATS/1.0 404 Message Not Found|HW-As-Of-Seq: 1|HW-As-Of-Exact: 1||");
    assert_non_null(strstr(PAST("a", "7"), "HW-As-Of-Exact: 1"));
    /* One in the middle goes: what was before it cannot be told from what was then. */
    (void)rig_ask(API "STREAM.MSG.DELETE.KV_b", "{\"seq\":7}");
    assert_non_null(strstr(PAST("a", "7"), "Nats-Sequence: 6|"));
    assert_non_null(strstr(PAST("a", "7"), "HW-As-Of-Exact: 0"));
    assert_non_null(strstr(PAST("a", "6"), "HW-As-Of-Exact: 1"));
    rig_close();
    rig_open();
    assert_non_null(strstr(PAST("a", "7"), "HW-As-Of-Exact: 0"));
    assert_non_null(strstr(PAST("a", "6"), "HW-As-Of-Exact: 1"));
}

#define TOUCH(body) rig_ask(API "HW.TOUCH.KV_b", body)
#define TOUCHED                                                                                    \
    "{\"type\":\"io.nats.jetstream.api.v1.hw_touch_response\",\"success\":true,\"seq\":1"

static void wait_until_gone(const char *key) {
    char subject[64];
    (void)snprintf(subject, sizeof subject, API "DIRECT.GET.KV_b.$KV.b.%s", key);
    while (strcmp(rig_ask(subject, ""), "NATS/1.0 404 Message Not Found||") != 0)
        rig_step(1);
}

static void a_touched_key_lives_as_long_as_it_was_told(void **state) {
    (void)state;
    make_bucket(",\"allow_msg_ttl\":true");
    assert_string_equal(rig_ask_with("$KV.b.a", H("Nats-TTL: 1s\r\n"), "v"),
                        "{\"stream\":\"KV_b\",\"seq\":1}");
    assert_string_equal(rig_ask_with("$KV.b.b", H("Nats-TTL: 1s\r\n"), "v"),
                        "{\"stream\":\"KV_b\",\"seq\":2}");
    assert_string_equal(TOUCH("{\"subject\":\"$KV.b.a\",\"ttl\":\"1h\",\"seq\":1}"),
                        TOUCHED ",\"expires\":\"T\"}");
    assert_string_equal(TOUCH("{\"subject\":\"$KV.b.a\",\"ttl\":\"never\"}"), TOUCHED "}");
    assert_string_equal(TOUCH("{\"subject\":\"$KV.b.a\",\"ttl\":\"3600\"}"),
                        TOUCHED ",\"expires\":\"T\"}");
    assert_non_null(strstr(TOUCH("{\"subject\":\"$KV.b.a\",\"ttl\":\"1h\",\"seq\":7}"),
                           "\"err_code\":10071,\"description\":\"wrong last sequence: 1\""));
    assert_non_null(
        strstr(TOUCH("{\"subject\":\"$KV.b.none\",\"ttl\":\"1h\"}"), "\"err_code\":10037"));
    assert_non_null(strstr(TOUCH("{\"subject\":\"$KV.b.a\"}"), "\"err_code\":10165"));
    assert_non_null(
        strstr(TOUCH("{\"subject\":\"$KV.b.*\",\"ttl\":\"1h\"}"), "\"err_code\":10003"));

    rig_close(); /* replayed from the log */
    rig_open();
    wait_until_gone("b"); /* it would have gone before */
    assert_non_null(strstr(rig_ask(API "DIRECT.GET.KV_b.$KV.b.a", ""), "Nats-Sequence: 1|"));
    assert_string_equal(TOUCH("{\"subject\":\"$KV.b.a\",\"ttl\":\"1s\"}"),
                        TOUCHED ",\"expires\":\"T\"}");
    wait_until_gone("a");
}

static void who_may_not_publish_a_key_may_not_touch_it(void **state) {
    (void)state;
    make_bucket(",\"allow_msg_ttl\":true");
    put("$KV.b.k", "v", 1);
    rig.denied = "$KV.b.k";
    const char *got = TOUCH("{\"subject\":\"$KV.b.k\",\"ttl\":\"1s\"}");
    rig.denied = NULL;
    assert_non_null(strstr(got, "\"code\":403,\"err_code\":19120,"));
    assert_string_equal(rig.refused, "$KV.b.k");
    rig.denied = "$KV.b.other";
    assert_string_equal(TOUCH("{\"subject\":\"$KV.b.k\",\"ttl\":\"1h\"}"),
                        TOUCHED ",\"expires\":\"T\"}");
    rig.denied = NULL;
}

static void a_touch_needs_a_stream_with_times_to_live(void **state) {
    (void)state;
    make_bucket("");
    put("$KV.b.a", "v", 1);
    assert_non_null(
        strstr(TOUCH("{\"subject\":\"$KV.b.a\",\"ttl\":\"1h\"}"), "\"err_code\":10166"));
}

static void make_object(void) {
    assert_non_null(strstr(rig_ask(API "STREAM.CREATE.OBJ_o",
                                   "{\"name\":\"OBJ_o\",\"subjects\":[\"$O.o.C.>\",\"$O.o.M.>\"],"
                                   "\"allow_direct\":true,\"allow_rollup_hdrs\":true}"),
                           "\"did_create\":true"));
    (void)rig_ask("$O.o.C.N1", "0123456789");
    (void)rig_ask("$O.o.C.other", "xxxx");
    (void)rig_ask("$O.o.C.N1", "abcdefghij");
    (void)rig_ask_with("$O.o.C.N1", H("Some: header\r\n"), "ABC");
    (void)rig_ask("$O.o.M.bmFtZQ==", "{\"name\":\"name\",\"bucket\":\"o\",\"nuid\":\"N1\",\"size\":"
                                     "23,\"chunks\":3,\"digest\":\"SHA-256=x\"}");
    (void)rig_ask("$O.o.M.Z29uZQ==", "{\"name\":\"gone\",\"deleted\":true}");
    (void)rig_ask(
        "$O.o.M.bGluaw==",
        "{\"name\":\"link\",\"options\":{\"link\":{\"bucket\":\"o\",\"name\":\"name\"}}}");
    (void)rig_ask("$O.o.M.bG9zdA==", "{\"name\":\"lost\",\"nuid\":\"N2\",\"size\":5,\"chunks\":1}");
}

static void a_range_of_an_object_is_read(void **state) {
    (void)state;
    static const struct {
        const char *body, *want[4];
    } cases[] = {
        {"{\"name\":\"name\"}",
         {"NATS/1.0|HW-Offset: 0||0123456789", "NATS/1.0|HW-Offset: 10||abcdefghij",
          "NATS/1.0|HW-Offset: 20||ABC",
          "NATS/1.0 204 EOB|HW-Length: 23|HW-Size: 23|HW-Digest: SHA-256=x||"}},
        {"{\"name\":\"name\",\"offset\":8,\"length\":4}",
         {"NATS/1.0|HW-Offset: 8||89", "NATS/1.0|HW-Offset: 10||ab",
          "NATS/1.0 204 EOB|HW-Length: 4|HW-Size: 23|HW-Digest: SHA-256=x||"}},
        {"{\"name\":\"name\",\"offset\":22,\"length\":99}",
         {"NATS/1.0|HW-Offset: 22||C",
          "NATS/1.0 204 EOB|HW-Length: 1|HW-Size: 23|HW-Digest: SHA-256=x||"}},
        {"{\"name\":\"name\",\"offset\":24}",
         {"NATS/1.0 416 Range Not Satisfiable|HW-Length: 0|HW-Size: 23|HW-Digest: SHA-256=x||"}},
        {"{\"name\":\"none\"}", {"NATS/1.0 404 Object Not Found|HW-Length: 0|HW-Size: 0||"}},
        {"{\"name\":\"gone\"}", {"NATS/1.0 404 Object Not Found|HW-Length: 0|HW-Size: 0||"}},
        {"{\"name\":\"link\"}", {"NATS/1.0 409 Object Is A Link|HW-Length: 0|HW-Size: 0||"}},
        {"{\"name\":\"lost\"}", {"NATS/1.0 410 Object Changed|HW-Length: 0|HW-Size: 5||"}},
        {"{\"name\":\"\"}", {"NATS/1.0 400 Bad Request||"}},
    };
    make_object();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(rig_ask(API "HW.OBJECT.GET.o", cases[i].body), cases[i].want[0]);
        for (size_t k = 1; k < 4 && cases[i].want[k]; k++)
            assert_string_equal(rig_next() + sizeof("_INBOX.x"), cases[i].want[k]);
        assert_string_equal(rig_next(), "silence");
    }
    assert_string_equal(rig_ask(API "HW.OBJECT.GET.none", "{\"name\":\"a\"}"),
                        "NATS/1.0 404 No Bucket||");
}

/* Until the newest message of the key has that operation's headers. */
static const char *wait_for_end(const char *key, const char *why) {
    char subject[64];
    const char *got;
    (void)snprintf(subject, sizeof subject, API "DIRECT.GET.KV_b.$KV.b.%s", key);
    while (!strstr(got = rig_ask(subject, ""), "KV-Operation: DEL"))
        rig_step(1);
    if (!strstr(got, why))
        assert_string_equal(got, why);
    return got;
}

#define LEASE(time) H("HW-Lease: " time "\r\n")
#define BOUND       H("HW-Lease: 1s\r\nHW-Lease-Bind: holder.1\r\n")

static void a_lease_is_had_by_one_and_ends_with_its_time(void **state) {
    (void)state;
    make_bucket("");
    assert_string_equal(rig_ask_with("$KV.b.l", LEASE("1s"), "me"),
                        "{\"stream\":\"KV_b\",\"seq\":1}");
    assert_string_equal(rig_ask_with("$KV.b.l", LEASE("1s"), "you"), WRONG("1") "}");
    (void)wait_for_end("l", "HW-Lease-Ended: expired");
    /* A later one has a larger number. */
    assert_string_equal(rig_ask_with("$KV.b.l", LEASE("1h"), "you"),
                        "{\"stream\":\"KV_b\",\"seq\":3}");
    /* Published again by its holder; released; had by another. */
    assert_string_equal(
        rig_ask_with("$KV.b.l", H("HW-Lease: 1h\r\nNats-Expected-Last-Subject-Sequence: 3\r\n"),
                     "you"),
        "{\"stream\":\"KV_b\",\"seq\":4}");
    assert_string_equal(rig_ask_with("$KV.b.l", H("KV-Operation: DEL\r\n"), ""),
                        "{\"stream\":\"KV_b\",\"seq\":5}");
    assert_string_equal(rig_ask_with("$KV.b.l", LEASE("1h"), "me"),
                        "{\"stream\":\"KV_b\",\"seq\":6}");
}

static void a_lease_is_refreshed_by_touch_and_survives_a_restart(void **state) {
    (void)state;
    make_bucket("");
    (void)rig_ask_with("$KV.b.l", LEASE("1s"), "me");
    (void)rig_ask_with("$KV.b.m", LEASE("1s"), "me");
    assert_string_equal(TOUCH("{\"subject\":\"$KV.b.l\",\"ttl\":\"1h\",\"seq\":1}"),
                        TOUCHED ",\"expires\":\"T\"}");
    assert_string_equal(TOUCH("{\"subject\":\"$KV.b.l\"}"), TOUCHED ",\"expires\":\"T\"}");
    assert_non_null(
        strstr(TOUCH("{\"subject\":\"$KV.b.l\",\"ttl\":\"never\"}"), "\"err_code\":10165"));
    (void)wait_for_end("m", "expired");
    rig_close();
    rig_open();
    assert_non_null(strstr(rig_ask(API "DIRECT.GET.KV_b.$KV.b.l", ""), "Nats-Sequence: 1|"));
    assert_string_equal(TOUCH("{\"subject\":\"$KV.b.l\",\"ttl\":\"1s\"}"),
                        TOUCHED ",\"expires\":\"T\"}");
    rig_close();
    rig_open();
    (void)wait_for_end("l", "expired");
}

static void a_bound_lease_ends_when_nobody_listens(void **state) {
    (void)state;
    make_bucket("");
    Sub *holder = rig_subscribe("holder.1");
    assert_string_equal(rig_ask_with("$KV.b.l", BOUND, "me"), "{\"stream\":\"KV_b\",\"seq\":1}");
    (void)rig_ask_with("$KV.b.m", LEASE("1s"), "me");
    (void)wait_for_end("m", "expired"); /* its own time is over too */
    assert_non_null(strstr(rig_ask(API "DIRECT.GET.KV_b.$KV.b.l", ""), "Nats-Sequence: 1|"));
    sub_remove(holder);
    (void)wait_for_end("l", "HW-Lease-Ended: gone holder.1");
    /* Nobody listens from the beginning. */
    (void)rig_ask_with("$KV.b.n", BOUND, "me");
    (void)wait_for_end("n", "gone");
}

static void the_holder_of_a_bound_lease_has_its_time_to_come_back(void **state) {
    (void)state;
    make_bucket("");
    (void)rig_subscribe("holder.1");
    (void)rig_subscribe("holder.2");
    (void)rig_ask_with("$KV.b.l", BOUND, "me");
    (void)rig_ask_with("$KV.b.m", BOUND, "me");
    assert_string_equal(TOUCH("{\"subject\":\"$KV.b.l\",\"bind\":\"holder.2\"}"), TOUCHED "}");
    rig_close();
    rig_open();
    Sub *holder = rig_subscribe("holder.2");
    (void)wait_for_end("m", "gone holder.1");
    assert_non_null(strstr(rig_ask(API "DIRECT.GET.KV_b.$KV.b.l", ""), "Nats-Sequence: 1|"));
    sub_remove(holder);
    (void)wait_for_end("l", "gone holder.2");
}

static void leases_that_cannot_be_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *headers, *why;
    } cases[] = {
        {LEASE("soon"), "a duration of a second or more is expected"},
        {LEASE("10ms"), "a duration of a second or more is expected"},
        {H("HW-Lease: 1s\r\nHW-Lease-Bind: a..b\r\n"), "what it is bound to is no subject"},
        {H("HW-Lease: 1s\r\nKV-Operation: DEL\r\n"), "a delete cannot be leased"},
        {H("HW-Lease-Ended: expired\r\n"), "it has not ended"},
    };
    make_bucket("");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = rig_ask_with("$KV.b.l", cases[i].headers, "x");
        assert_non_null(strstr(got, "\"err_code\":19110"));
        assert_non_null(strstr(got, cases[i].why));
    }
    /* Its end cannot be forged before its time. */
    (void)rig_ask_with("$KV.b.l", LEASE("1h"), "x");
    assert_non_null(strstr(rig_ask_with("$KV.b.l",
                                        H("HW-Lease-Ended: expired\r\nNats-Expected-Last-Subject-"
                                          "Sequence: 1\r\n"),
                                        ""),
                           "\"err_code\":19110"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_get_waits_for_the_sequence_it_asks_for),
        TEST(a_linearizable_get_sees_what_was_appended_before),
        TEST(a_conditional_get_sends_no_body_that_is_known),
        TEST(a_header_that_is_not_understood_is_named),
        TEST(a_wrong_sequence_is_told_the_current_one_when_asked),
        TEST(keys_come_in_order_page_by_page),
        TEST(keys_are_narrowed_and_counted),
        TEST(keys_show_the_past_and_say_when_it_is_not_whole),
        TEST(a_key_is_read_as_it_was),
        TEST(a_touched_key_lives_as_long_as_it_was_told),
        TEST(who_may_not_publish_a_key_may_not_touch_it),
        TEST(a_touch_needs_a_stream_with_times_to_live),
        TEST(a_range_of_an_object_is_read),
        TEST(a_lease_is_had_by_one_and_ends_with_its_time),
        TEST(a_lease_is_refreshed_by_touch_and_survives_a_restart),
        TEST(a_bound_lease_ends_when_nobody_listens),
        TEST(the_holder_of_a_bound_lease_has_its_time_to_come_back),
        TEST(leases_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
