#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include <cmocka.h>

#include "io/counter.h"
#include "stream/api_rig.h"

/* Transactions over the API, on two workers, with a log on disk. */

#define TXN  "$JS.API.HW.TXN"
#define TYPE "{\"type\":\"io.nats.jetstream.api.v1.hw_transaction_response\""

static void make_streams(void) {
    rig_ask("$JS.API.STREAM.CREATE.KV_a",
            "{\"name\":\"KV_a\",\"subjects\":[\"$KV.a.>\"],\"max_msgs_per_subject\":1,"
            "\"allow_rollup_hdrs\":true,\"allow_direct\":true}");
    rig_ask("$JS.API.STREAM.CREATE.KV_b",
            "{\"name\":\"KV_b\",\"subjects\":[\"$KV.b.>\"],\"max_msgs_per_subject\":1,"
            "\"allow_rollup_hdrs\":true,\"allow_direct\":true}");
    rig_ask("$JS.API.STREAM.CREATE.L", "{\"name\":\"L\",\"subjects\":[\"l.*\"],\"max_msgs\":100}");
}

static int with_streams(void **state) {
    (void)rig_setup(state);
    make_streams();
    return 0;
}

static void key_holds(const char *bucket, const char *key, const char *value) {
    char subject[128], end[64];
    snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.KV_%s.$KV.%s.%s", bucket, bucket, key);
    snprintf(end, sizeof end, "|%s", value);
    const char *got = rig_ask(subject, "");
    size_t len = strlen(got), end_len = strlen(end);
    if (len < end_len || strcmp(got + len - end_len, end) != 0)
        fail_msg("%s: %s", subject, got);
}

static void all_is_stored_and_survives(void **state) {
    (void)state;
    assert_string_equal(
        rig_ask(TXN, "{\"ops\":[{\"bucket\":\"a\",\"key\":\"k\",\"text\":\"1\",\"expected_seq\":0},"
                     "{\"bucket\":\"b\",\"key\":\"k\",\"value\":\"Mg==\"},"
                     "{\"stream\":\"L\",\"subject\":\"l.x\",\"text\":\"3\",\"headers\":{\"By\":"
                     "\"me\"}},{\"bucket\":\"b\",\"key\":\"j\",\"text\":\"4\"},"
                     "{\"bucket\":\"a\",\"key\":\"n\",\"op\":\"check\",\"expected_seq\":0}]}"),
        TYPE ",\"results\":[{\"stream\":\"KV_a\",\"seq\":1},{\"stream\":\"KV_b\",\"seq\":1},"
             "{\"stream\":\"L\",\"seq\":1},{\"stream\":\"KV_b\",\"seq\":2},"
             "{\"stream\":\"KV_a\",\"seq\":0}]}");
    assert_string_equal(rig_ask("$KV.a.k", "5"), "{\"stream\":\"KV_a\",\"seq\":2}");
    for (int restarts = 0; restarts < 2; restarts++) {
        key_holds("a", "k", "5");
        key_holds("b", "k", "2");
        key_holds("b", "j", "4");
        assert_non_null(strstr(rig_ask("$JS.API.STREAM.MSG.GET.L", "{\"seq\":1}"), "\"Mw==\""));
        rig_close();
        rig_open();
    }
    assert_non_null(strstr(rig_ask(TXN, "{\"ops\":[{\"bucket\":\"a\",\"key\":\"k\",\"op\":"
                                        "\"purge\",\"expected_seq\":2},{\"bucket\":\"b\",\"key\":"
                                        "\"k\",\"op\":\"delete\",\"expected_seq\":1}]}"),
                           "\"results\":[{\"stream\":\"KV_a\",\"seq\":3},"));
}

static void one_that_fails_stores_nothing(void **state) {
    (void)state;
    static const struct {
        const char *op, *want;
    } cases[] = {
        {"{\"bucket\":\"b\",\"key\":\"k\",\"text\":\"x\",\"expected_seq\":7}",
         "\"err_code\":19201,\"description\":\"transaction found another last sequence: "
         "1\"},\"failed\":{\"op\":1,\"current_seq\":1}}"},
        {"{\"bucket\":\"b\",\"key\":\"k\",\"op\":\"check\",\"expected_seq\":0}",
         "\"failed\":{\"op\":1,\"current_seq\":1}}"},
        {"{\"bucket\":\"none\",\"key\":\"k\",\"text\":\"x\"}",
         "\"err_code\":10059,\"description\":\"stream not found\"},\"failed\":{\"op\":1}}"},
        {"{\"stream\":\"L\",\"subject\":\"m.x\"}", "\"err_code\":19200"},
        {"{\"stream\":\"L\",\"subject\":\"l.*\"}", "\"err_code\":19200"},
        {"{\"stream\":\"L\",\"subject\":\"l.x\",\"value\":\"*\"}", "\"err_code\":19200"},
        {"{\"stream\":\"L\",\"subject\":\"l.x\",\"op\":\"move\"}", "\"err_code\":19200"},
        {"{\"stream\":\"L\",\"subject\":\"l.x\",\"headers\":{\"a\":\"b\\r\\nc\"}}",
         "\"err_code\":19200"},
        {"{\"stream\":\"L\",\"subject\":\"l.x\",\"headers\":{\"Nats-Expected-Stream\":\"T\"}}",
         "\"err_code\":10060"},
        {"{\"stream\":\"L\"}", "\"err_code\":19200"},
        {"{\"bucket\":\"b\",\"key\":\"k\",\"expected_seq\":-1}", "\"err_code\":19200"},
    };
    char body[512];
    rig_ask("$KV.b.k", "old");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(body, sizeof body,
                 "{\"ops\":[{\"bucket\":\"a\",\"key\":\"k\",\"text\":\"1\"},%s]}", cases[i].op);
        const char *got = rig_ask(TXN, body);
        if (!strstr(got, cases[i].want))
            fail_msg("%s: %s", cases[i].op, got);
    }
    assert_non_null(strstr(rig_ask(TXN, "{\"ops\":[]}"), "\"err_code\":19200"));
    assert_string_equal(rig_ask("$KV.a.k", "1"), "{\"stream\":\"KV_a\",\"seq\":1}");
    key_holds("b", "k", "old");
}

static void who_may_not_publish_a_message_may_not_do_it_in_a_transaction(void **state) {
    (void)state;
    static const struct {
        const char *denied, *op, *want; /* NULL: it is done */
    } cases[] = {
        {"$KV.b.k", "{\"bucket\":\"b\",\"key\":\"k\",\"text\":\"x\"}", "$KV.b.k"},
        {"$KV.b.k", "{\"stream\":\"KV_b\",\"subject\":\"$KV.b.k\",\"text\":\"x\"}", "$KV.b.k"},
        {"$KV.b.>", "{\"bucket\":\"b\",\"key\":\"j\",\"op\":\"purge\"}", "$KV.b.j"},
        {"$KV.b.>", "{\"bucket\":\"b\",\"key\":\"j\",\"op\":\"delete\"}", "$KV.b.j"},
        {"l.>", "{\"stream\":\"L\",\"subject\":\"l.x\",\"text\":\"x\"}", "l.x"},
        {"$KV.b.k", "{\"bucket\":\"b\",\"key\":\"m\",\"text\":\"x\"}", NULL},
        /* What may be got may be checked. */
        {"$KV.b.k", "{\"bucket\":\"b\",\"key\":\"k\",\"op\":\"check\",\"expected_seq\":0}", NULL},
        {"*.b.>", "{\"bucket\":\"b\",\"key\":\"k\",\"op\":\"check\",\"expected_seq\":0}", NULL},
    };
    char body[512], want[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(body, sizeof body,
                 "{\"ops\":[{\"bucket\":\"a\",\"key\":\"k\",\"text\":\"1\"},%s]}", cases[i].op);
        rig.denied = cases[i].denied;
        rig.refused[0] = 0;
        const char *got = rig_ask(TXN, body);
        rig.denied = NULL;
        assert_string_equal(rig.refused, cases[i].want ? cases[i].want : "");
        if (!cases[i].want) {
            assert_non_null(strstr(got, "\"results\""));
            continue;
        }
        snprintf(want, sizeof want,
                 TYPE
                 ",\"error\":{\"code\":403,\"err_code\":19120,\"description\":\"no permission to "
                 "publish to \\\"%s\\\"\"},\"failed\":{\"op\":1}}",
                 cases[i].want);
        assert_string_equal(got, want);
        assert_non_null(strstr(rig_ask("$JS.API.DIRECT.GET.KV_a.$KV.a.k", ""), "404"));
    }
}

static void who_may_neither_publish_nor_get_may_not_check(void **state) {
    (void)state;
    rig.denied = "*.>"; /* all but the request itself, which the rig does not ask about */
    const char *got = rig_ask(TXN, "{\"ops\":[{\"bucket\":\"b\",\"key\":\"k\",\"op\":\"check\","
                                   "\"expected_seq\":0}]}");
    rig.denied = NULL;
    assert_non_null(strstr(got, "\"err_code\":19120"));
    assert_string_equal(rig.refused, "$KV.b.k");
}

static void who_gets_by_the_name_of_the_domain_may_check_too(void **state) {
    (void)state;
    static const char *const check =
        "{\"ops\":[{\"bucket\":\"b\",\"key\":\"k\",\"op\":\"check\",\"expected_seq\":0}]}";
    for (unsigned i = 0; i < 2; i++) {
        rig_close();
        rig.options.domain = i ? LIT("hub") : (Slice){0};
        rig_open();
        rig.denied = "$KV.> $JS.API.STREAM.> $JS.API.DIRECT.>";
        const char *got = rig_ask(TXN, check);
        rig.denied = NULL;
        assert_non_null(strstr(got, i ? "\"results\"" : "\"err_code\":19120"));
    }
    rig.options.domain = (Slice){0};
}

static void writes_wait_and_keep_their_order(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        rig_tell("$KV.a.k", "", "before");
        rig_tell(TXN, "r.t",
                 "{\"ops\":[{\"bucket\":\"a\",\"key\":\"t\",\"text\":\"1\"},"
                 "{\"bucket\":\"b\",\"key\":\"t\",\"text\":\"1\"}]}");
        rig_tell("$KV.b.k", "", "after");
        rig_tell("$JS.API.STREAM.PURGE.L", "", "");
    }
    /* One after the other: those before are done when this one is. */
    assert_non_null(strstr(rig_ask(TXN, "{\"ops\":[{\"bucket\":\"a\",\"key\":\"n\",\"op\":"
                                        "\"check\",\"expected_seq\":0}]}"),
                           "results"));
    assert_string_equal(rig_ask("$KV.a.z", "1"), "{\"stream\":\"KV_a\",\"seq\":41}");
    assert_string_equal(rig_ask("$KV.b.z", "1"), "{\"stream\":\"KV_b\",\"seq\":41}");
    key_holds("b", "k", "after");
    rig_close();
    rig_open();
    key_holds("a", "k", "before");
    key_holds("a", "t", "1");
    assert_string_equal(rig_ask("$KV.a.z", "1"), "{\"stream\":\"KV_a\",\"seq\":42}");
}

static void the_accounts_limit_holds(void **state) {
    (void)state;
    char body[2048];
    rig.limits[0].max_file = 1000;
    snprintf(body, sizeof body,
             "{\"ops\":[{\"bucket\":\"a\",\"key\":\"k\",\"text\":\"1\"},"
             "{\"bucket\":\"b\",\"key\":\"k\",\"text\":\"%01200d\"}]}",
             0);
    const char *got = rig_ask(TXN, body);
    if (!strstr(got, "\"err_code\":10002"))
        fail_msg("%s", got);
    assert_string_equal(rig_ask("$KV.a.k", "1"), "{\"stream\":\"KV_a\",\"seq\":1}");
    assert_non_null(strstr(
        rig_ask(TXN, "{\"ops\":[{\"bucket\":\"b\",\"key\":\"k\",\"text\":\"fits\"}]}"), "results"));
}

/* Each part would fit alone. */
static void the_accounts_limit_holds_for_the_sum(void **state) {
    (void)state;
    char body[2048];
    rig.limits[0].max_file = 1000;
    snprintf(body, sizeof body,
             "{\"ops\":[{\"bucket\":\"a\",\"key\":\"k\",\"text\":\"%0600d\"},"
             "{\"bucket\":\"b\",\"key\":\"k\",\"text\":\"%0600d\"}]}",
             0, 0);
    const char *got = rig_ask(TXN, body);
    if (!strstr(got, "\"err_code\":10002"))
        fail_msg("%s", got);
    assert_string_equal(rig_ask("$KV.a.k", "1"), "{\"stream\":\"KV_a\",\"seq\":1}");
    assert_string_equal(rig_ask("$KV.b.k", "1"), "{\"stream\":\"KV_b\",\"seq\":1}");
}

static Counter is_disk_full;

/* Whatever links the test: the call to the C library goes through here. */
int __real_statvfs64(const char *path, struct statvfs *out);
int __wrap_statvfs64(const char *path, struct statvfs *out);
int __wrap_statvfs64(const char *path, struct statvfs *out) {
    int result = __real_statvfs64(path, out);
    if (counter_get(&is_disk_full))
        out->f_bavail = 0;
    return result;
}

static void publish_until(const char *answer) {
    while (!strstr(rig_ask("$KV.a.k", "x"), answer))
        continue;
}

static void on_a_full_disk_nothing_is_stored(void **state) {
    (void)state;
    counter_set(&is_disk_full, 1);
    publish_until("\"err_code\":10047");
    const char *got = rig_ask(TXN, "{\"ops\":[{\"bucket\":\"a\",\"key\":\"t\",\"text\":\"1\"},"
                                   "{\"bucket\":\"b\",\"key\":\"t\",\"text\":\"1\"}]}");
    if (!strstr(got, "\"err_code\":10047"))
        fail_msg("%s", got);
    counter_set(&is_disk_full, 0);
    publish_until("{\"stream\":");
    assert_string_equal(rig_ask("$KV.b.z", "1"), "{\"stream\":\"KV_b\",\"seq\":1}");
    assert_non_null(strstr(rig_ask(TXN, "{\"ops\":[{\"bucket\":\"a\",\"key\":\"t\",\"op\":"
                                        "\"check\",\"expected_seq\":0}]}"),
                           "results"));
}

static void streams_that_drain_together_all_agree(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        rig_tell("$KV.a.k", "", "x");
        rig_tell("$KV.b.k", "", "x");
        rig_tell("l.x", "", "x");
        const char *got = rig_ask(
            TXN,
            "{\"ops\":[{\"bucket\":\"a\",\"key\":\"t\",\"text\":\"1\"},{\"bucket\":\"b\",\"key\":"
            "\"t\",\"text\":\"1\"},{\"stream\":\"L\",\"subject\":\"l.t\",\"text\":\"1\"}]}");
        if (!strstr(got, "results"))
            fail_msg("%d: %s", i, got);
    }
}

/* A stream's transform makes it longer than a record can tell. */
static void a_subject_that_becomes_too_long_is_refused(void **state) {
    (void)state;
    Buf config = {0};
    buf_append_lit(&config, "{\"name\":\"T\",\"subjects\":[\"t.*\"],\"subject_transform\":{\"src\":"
                            "\"t.*\",\"dest\":\"");
    for (unsigned i = 0; i < 66000; i++)
        buf_append_char(&config, 'x');
    buf_append_lit(&config, ".$1\"}}");
    rig_ask("$JS.API.STREAM.CREATE.T", buf_text(&config));
    const char *got =
        rig_ask(TXN, "{\"ops\":[{\"stream\":\"T\",\"subject\":\"t.a\",\"text\":\"1\"}]}");
    if (!strstr(got, "\"err_code\":10077"))
        fail_msg("%.200s", got);
    buf_done(&config);
}

static void other_accounts_have_other_streams(void **state) {
    (void)state;
    assert_non_null(
        strstr(rig_ask_as(2, TXN, "{\"ops\":[{\"bucket\":\"a\",\"key\":\"k\",\"text\":\"1\"}]}"),
               "10059"));
}

static void one_on_its_way_ends_with_the_server(void **state) {
    (void)state;
    static const char *const body = "{\"ops\":[{\"bucket\":\"a\",\"key\":\"t\",\"text\":\"1\"},"
                                    "{\"bucket\":\"b\",\"key\":\"t\",\"text\":\"1\"}]}";
    for (unsigned turns = 0; turns < 6; turns++) {
        for (int i = 0; i < 3; i++)
            rig_tell(TXN, "r.t", body);
        rig_tell("$KV.b.k", "r.t", "x");
        rig_step(turns);
        rig_close();
        rig_open();
        const char *a = rig_ask("$JS.API.DIRECT.GET.KV_a.$KV.a.t", "");
        bool is_there = !strstr(a, "404");
        const char *b = rig_ask("$JS.API.DIRECT.GET.KV_b.$KV.b.t", "");
        assert_int_equal(is_there, !strstr(b, "404"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, with_streams, rig_teardown)
        TEST(all_is_stored_and_survives),
        TEST(one_that_fails_stores_nothing),
        TEST(who_may_not_publish_a_message_may_not_do_it_in_a_transaction),
        TEST(who_may_neither_publish_nor_get_may_not_check),
        TEST(who_gets_by_the_name_of_the_domain_may_check_too),
        TEST(writes_wait_and_keep_their_order),
        TEST(other_accounts_have_other_streams),
        TEST(one_on_its_way_ends_with_the_server),
        TEST(on_a_full_disk_nothing_is_stored),
        TEST(a_subject_that_becomes_too_long_is_refused),
        TEST(the_accounts_limit_holds),
        TEST(the_accounts_limit_holds_for_the_sum),
        TEST(streams_that_drain_together_all_agree),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
