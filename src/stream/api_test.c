#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/account_hash.h"
#include "stream/api_rig.h"

/* The API end to end: two workers, a log on disk, consumers; answers compared with those of the
 * original. */

#define TYPE(t)        "{\"type\":\"io.nats.jetstream.api.v1." t "\""
#define ERROR(h, c, d) ",\"error\":{\"code\":" #h ",\"err_code\":" #c ",\"description\":\"" d "\"}"
#define API            "$JS.API."

typedef struct Case {
    const char *subject, *body, *want;
} Case;

static void run(const Case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const char *got = rig_ask(cases[i].subject, cases[i].body);
        if (strcmp(got, cases[i].want) != 0)
            print_error("%s %s\n", cases[i].subject, cases[i].body);
        assert_string_equal(got, cases[i].want);
    }
}
#define RUN(cases) run(cases, sizeof(cases) / sizeof((cases)[0]))

#define CONFIG(name, subjects, more, meta)                                                         \
    "\"config\":{\"name\":\"" name "\",\"subjects\":[" subjects                                    \
    "],\"retention\":\"limits\",\"max_consumers\":-1,"                                             \
    "\"max_msgs\":-1,\"max_bytes\":-1,\"max_age\":0,\"max_msgs_per_subject\":-1,\"max_msg_size\":" \
    "-1,"                                                                                          \
    "\"discard\":\"old\",\"storage\":\"file\",\"num_replicas\":1,\"duplicate_window\":"            \
    "120000000000,"                                                                                \
    "\"compression\":\"none\",\"allow_direct\":" more ",\"mirror_direct\":false,\"sealed\":false," \
    "\"deny_delete\":false,\"deny_purge\":false,\"allow_rollup_hdrs\":false,\"consumer_limits\":{" \
    "},"                                                                                           \
    "\"allow_msg_ttl\":false,\"metadata\":{" meta "}}"
#define META   "\"_nats.level\":\"5\",\"_nats.req.level\":\"0\",\"_nats.ver\":\"2.15.1\""
#define STORED "\"_nats.req.level\":\"0\""
#define ZERO   "\"0001-01-01T00:00:00Z\""
#define EMPTY_STATE                                                                                \
    "\"state\":{\"messages\":0,\"bytes\":0,\"first_seq\":0,\"first_ts\":" ZERO                     \
    ",\"last_seq\":0,\"last_ts\":" ZERO ",\"consumer_count\":0}"

static void a_stream_is_created_shown_updated_and_deleted(void **state) {
    (void)state;
    static const Case cases[] = {
        {API "STREAM.CREATE.a", "{\"name\":\"a\",\"subjects\":[\"x\",\"y\"]}",
         TYPE("stream_create_response") "," CONFIG("a", "\"x\",\"y\"", "false",
                                                   META) ",\"created\":\"T\"," EMPTY_STATE
                                                         ",\"ts\":\"T\",\"did_create\":true}"},
        {API "STREAM.CREATE.a", "{\"name\":\"a\",\"subjects\":[\"x\",\"y\"]}",
         TYPE("stream_create_response") "," CONFIG("a", "\"x\",\"y\"", "false",
                                                   META) ",\"created\":\"T\"," EMPTY_STATE
                                                         ",\"ts\":\"T\",\"did_create\":true}"},
        {API "STREAM.CREATE.a", "{\"name\":\"a\",\"subjects\":[\"x\"]}",
         TYPE("stream_create_response")
             ERROR(400, 10058, "stream name already in use with a different configuration") "}"},
        {API "STREAM.CREATE.b", "{\"name\":\"b\",\"subjects\":[\"*\"]}",
         TYPE("stream_create_response")
             ERROR(400, 10065, "subjects overlap with an existing stream") "}"},
        {API "STREAM.INFO.a", "",
         TYPE("stream_info_response") ",\"total\":0,\"offset\":0,\"limit\":0," CONFIG(
             "a", "\"x\",\"y\"", "false", META) ",\"created\":\"T\"," EMPTY_STATE
                                                ",\"cluster\":{\"leader\":\"srv\"},\"ts\":\"T\"}"},
        {API "STREAM.LIST", "",
         TYPE("stream_list_response") ",\"total\":1,\"offset\":0,\"limit\":256,\"streams\":["
                                      "{" CONFIG("a", "\"x\",\"y\"", "false",
                                                 STORED) ",\"created\":\"T\"," EMPTY_STATE
                                                         ",\"ts\":\"T\"}]}"},
        {API "STREAM.UPDATE.a", "{\"name\":\"a\",\"subjects\":[\"x\"],\"allow_direct\":true}",
         TYPE("stream_update_response") "," CONFIG(
             "a", "\"x\"", "true", META) ",\"created\":\"T\"," EMPTY_STATE ",\"ts\":\"T\"}"},
        {API "STREAM.UPDATE.a", "{\"name\":\"a\",\"storage\":\"memory\"}",
         TYPE("stream_update_response")
             ERROR(500, 10052, "stream configuration update can not change storage type") "}"},
        {API "STREAM.CREATE.c", "{\"name\":\"c\",\"subjects\":[\"y\"]}",
         TYPE("stream_create_response") "," CONFIG("c", "\"y\"", "false",
                                                   META) ",\"created\":\"T\"," EMPTY_STATE
                                                         ",\"ts\":\"T\",\"did_create\":true}"},
        {API "STREAM.UPDATE.c", "{\"name\":\"c\",\"subjects\":[\"x\"]}",
         TYPE("stream_update_response")
             ERROR(400, 10065, "subjects overlap with an existing stream") "}"},
        {API "STREAM.NAMES", "",
         TYPE("stream_names_response") ",\"total\":2,\"offset\":0,\"limit\":1024,\"streams\":["
                                       "\"a\",\"c\"]}"},
        {API "STREAM.NAMES", "{\"subject\":\"y\"}",
         TYPE("stream_names_response") ",\"total\":1,\"offset\":0,\"limit\":1024,\"streams\":["
                                       "\"c\"]}"},
        {API "STREAM.NAMES", "{\"offset\":1}",
         TYPE("stream_names_response") ",\"total\":2,\"offset\":1,\"limit\":1024,\"streams\":["
                                       "\"c\"]}"},
        {API "STREAM.NAMES", "{\"offset\":9}",
         TYPE(
             "stream_names_response") ",\"total\":2,\"offset\":2,\"limit\":1024,\"streams\":null}"},
        {API "STREAM.DELETE.a", "{\"x\":1}",
         TYPE("stream_delete_response") ERROR(400, 10038, "expected an empty request payload") "}"},
        {API "STREAM.DELETE.a", "", TYPE("stream_delete_response") ",\"success\":true}"},
        {API "STREAM.DELETE.a", "",
         TYPE("stream_delete_response") ERROR(404, 10059, "stream not found") "}"},
        {API "STREAM.INFO.a", "",
         TYPE("stream_info_response")
             ERROR(404, 10059, "stream not found") ",\"total\":0,\"offset\":0,\"limit\":0}"},
    };
    RUN(cases);
}

static void what_cannot_be_done_is_said_as_the_original_says_it(void **state) {
    (void)state;
    static const Case cases[] = {
        {API "FOO", "", "silence"},
        {API "STREAM.INFO", "", "silence"},
        {API "STREAM.INFO.a.b", "", "silence"},
        {API "META.LEADER.STEPDOWN", "", "silence"},
        {API "CONSUMER.RESET.zz.c", "", "silence"},
        {API "DIRECT.GET", "", "NATS/1.0 503|Nats-Subject: " API "DIRECT.GET||"},
        {API "DIRECT.GET.zz", "", "NATS/1.0 503|Nats-Subject: " API "DIRECT.GET.zz||"},
        {API "CONSUMER.MSG.NEXT.a.b", "",
         "NATS/1.0 503|Nats-Subject: " API "CONSUMER.MSG.NEXT.a.b||"},
        {"$JS.ACK.a.b.1.1.1.1.1", "", "NATS/1.0 503|Nats-Subject: $JS.ACK.a.b.1.1.1.1.1||"},
        {"$JS.ACK.a.b", "", "NATS/1.0 503|Nats-Subject: $JS.ACK.a.b||"},
        {API "STREAM.CREATE.a", "",
         TYPE("stream_create_response")
             ERROR(400, 10056, "stream name in subject does not match request") "}"},
        {API "STREAM.CREATE.a", "{\"bogus\":1}",
         TYPE("stream_create_response")
             ERROR(400, 10025, "invalid JSON: json: unknown field \\\"bogus\\\"") "}"},
        {API "STREAM.CREATE.a/b", "{\"name\":\"a/b\"}",
         TYPE("stream_create_response")
             ERROR(400, 10128, "Stream name can not contain path separators") "}"},
        {API "STREAM.UPDATE.a", "",
         TYPE("stream_update_response") ERROR(
             500, 10052,
             "stream name is required and can not contain '.', '*', '\\u003e', '\\\\', '/'") "}"},
        {API "STREAM.UPDATE.a", "{\"name\":\"b\"}",
         TYPE("stream_update_response")
             ERROR(400, 10056, "stream name in subject does not match request") "}"},
        {API "STREAM.UPDATE.a", "{\"name\":\"a\"}",
         TYPE("stream_update_response") ERROR(404, 10059, "stream not found") "}"},
        {API "STREAM.PURGE.a", "x",
         TYPE("stream_purge_response") ERROR(404, 10059, "stream not found") ",\"purged\":0}"},
        {API "STREAM.PURGE.a", "{\"seq\":\"x\"}",
         TYPE("stream_purge_response")
             ERROR(400, 10025,
                   "invalid JSON: json: cannot unmarshal string into Go struct field "
                   "JSApiStreamPurgeRequest.seq of type uint64") ",\"purged\":0}"},
        {API "STREAM.MSG.GET.a", "",
         TYPE("stream_msg_get_response") ERROR(400, 10003, "bad request") "}"},
        {API "STREAM.MSG.GET.a", "{\"seq\":1}",
         TYPE("stream_msg_get_response") ERROR(404, 10059, "stream not found") "}"},
        {API "STREAM.MSG.DELETE.a", "{\"seq\":1}",
         TYPE("stream_msg_delete_response") ERROR(404, 10059, "stream not found") "}"},
        {API "STREAM.LIST", "{\"bogus\":1}",
         TYPE("stream_list_response") ERROR(
             400, 10025,
             "invalid JSON: json: unknown field \\\"bogus\\\"") ",\"total\":0,\"offset\":0,"
                                                                "\"limit\":0,\"streams\":[]}"},
        {API "STREAM.NAMES", "",
         TYPE(
             "stream_names_response") ",\"total\":0,\"offset\":0,\"limit\":1024,\"streams\":null}"},
        {API "STREAM.LEADER.STEPDOWN.a", "",
         TYPE("stream_leader_stepdown_response")
             ERROR(503, 10010, "JetStream clustering support required") "}"},
        {API "CONSUMER.LIST.a", "",
         TYPE("consumer_list_response")
             ERROR(404, 10059,
                   "stream not found") ",\"total\":0,\"offset\":0,\"limit\":0,\"consumers\":[]}"},
        {API "CONSUMER.CREATE.a", "",
         TYPE("consumer_create_response")
             ERROR(400, 10056, "stream name in subject does not match request") "}"},
        {API "CONSUMER.CREATE.a", "{\"stream_name\":\"a\"}",
         TYPE("consumer_create_response") ERROR(404, 10059, "stream not found") "}"},
        {API "CONSUMER.CREATE.a.b/c", "{\"stream_name\":\"a\"}",
         TYPE("consumer_create_response")
             ERROR(400, 10127, "Consumer name can not contain path separators") "}"},
        {API "CONSUMER.CREATE.a", "{\"stream_name\":\"a\",\"config\":{\"durable_name\":\"d\"}}",
         TYPE("consumer_create_response")
             ERROR(400, 10020,
                   "consumer expected to be ephemeral but a durable name was set in request") "}"},
        {API "CONSUMER.CREATE.a.c", "{\"stream_name\":\"a\",\"config\":{\"durable_name\":\"d\"}}",
         TYPE("consumer_create_response") ERROR(
             400, 10017, "consumer name in subject does not match durable name in request") "}"},
        {API "CONSUMER.CREATE.a.c.x.y",
         "{\"stream_name\":\"a\",\"config\":{\"filter_subject\":\"x.z\"}}",
         TYPE("consumer_create_response") ERROR(
             400, 10131,
             "Consumer create request did not match filtered subject from create subject") "}"},
        {API "CONSUMER.CREATE.a.c.x.y",
         "{\"stream_name\":\"a\",\"config\":{\"filter_subjects\":[\"x.y\"]}}",
         TYPE("consumer_create_response")
             ERROR(400, 10137,
                   "consumer with multiple subject filters cannot use subject based API") "}"},
        {API "CONSUMER.DURABLE.CREATE.a.c", "{\"stream_name\":\"a\"}",
         TYPE("consumer_create_response") ERROR(
             400, 10018, "consumer expected to be durable but a durable name was not set") "}"},
        {API "CONSUMER.INFO.a.c", "{\"a\":1}",
         TYPE("consumer_info_response") ERROR(400, 10038, "expected an empty request payload") "}"},
        {API "CONSUMER.PAUSE.a.c", "",
         TYPE("consumer_pause_response")
             ERROR(404, 10059, "stream not found") ",\"paused\":false,\"pause_until\":" ZERO "}"},
        {API "CONSUMER.UNPIN.a.c", "",
         TYPE("consumer_unpin_response")
             ERROR(400, 10025, "invalid JSON: unexpected end of JSON input") "}"},
        {API "CONSUMER.UNPIN.a.c", "{\"group\":\"\"}",
         TYPE("consumer_unpin_response")
             ERROR(400, 10025, "invalid JSON: consumer group not specified") "}"},
        {API "STREAM.SNAPSHOT.a", "",
         TYPE("stream_snapshot_response") ERROR(400, 10003, "bad request") "}"},
        {API "STREAM.RESTORE.a", "",
         TYPE("stream_restore_response")
             ERROR(400, 10003, "bad request") ",\"deliver_subject\":\"\"}"},
    };
    RUN(cases);

    assert_string_equal(
        rig_ask_with(API "STREAM.NAMES", "NATS/1.0\r\nNats-Required-Api-Level: 6\r\n\r\n", ""),
        TYPE("stream_names_response") ERROR(
            412, 10185, "JetStream minimum api level required") ",\"total\":0,\"offset\":0,"
                                                                "\"limit\":0,\"streams\":null}");
    for (const char *const *subject =
             (const char *const[]){API "STREAM.INFO.a", API "FOO", API "DIRECT.GET.a", NULL};
         *subject; subject++)
        assert_string_equal(rig_ask_as(1, *subject, ""),
                            TYPE("system_response")
                                ERROR(503, 10039, "JetStream not enabled for account") "}");
    assert_string_equal(rig_ask_as(1, API "META.LEADER.STEPDOWN", ""), "silence");
}

static void make_stream(const char *name, const char *more) {
    char subject[64], body[256];
    (void)snprintf(subject, sizeof subject, API "STREAM.CREATE.%s", name);
    (void)snprintf(body, sizeof body, "{\"name\":\"%s\",\"subjects\":[\"%s.>\"]%s}", name, name,
                   more);
    assert_non_null(strstr(rig_ask(subject, body), "\"did_create\":true"));
}

static void an_account_is_purged(void **state) {
    (void)state;
    static const char initiated[] = TYPE("account_purge_response") ",\"initiated\":true}";
    for (const char *const *name = (const char *const[]){"a", "b", "c", NULL}; *name; name++)
        make_stream(*name, "");
    assert_string_equal(rig_ask(API "ACCOUNT.PURGE.$G", ""), "silence");
    assert_string_equal(rig_ask_as(1, API "ACCOUNT.PURGE.other", ""), initiated);
    assert_non_null(strstr(rig_ask(API "STREAM.NAMES", ""), "\"a\",\"b\",\"c\""));
    assert_string_equal(rig_ask_as(1, API "ACCOUNT.PURGE.$G", "x"), initiated);
    assert_non_null(strstr(rig_ask(API "STREAM.NAMES", ""), "\"streams\":null"));
    make_stream("a", "");
}

static void calls_meet_what_was_asked_before(void **state) {
    (void)state;
    for (int round = 0; round < 3; round++) {
        rig_tell(API "STREAM.CREATE.w", "", "{\"name\":\"w\"}");
        assert_non_null(strstr(rig_ask(API "STREAM.NAMES", ""), "\"streams\":[\"w\"]"));
        rig_tell(API "STREAM.DELETE.w", "", "");
        assert_non_null(strstr(rig_ask(API "STREAM.NAMES", ""), "\"streams\":null"));
        rig_tell(API "STREAM.CREATE.w", "", "{\"name\":\"w\"}");
        assert_non_null(strstr(rig_ask(API "STREAM.UPDATE.w", "{\"name\":\"w\",\"max_msgs\":5}"),
                               "\"max_msgs\":5"));
        rig_tell(API "STREAM.DELETE.w", "", "");
        assert_non_null(
            strstr(rig_ask(API "STREAM.CREATE.w", "{\"name\":\"w\"}"), "\"did_create\":true"));
        rig_tell(API "STREAM.DELETE.w", "", "");
        assert_non_null(strstr(rig_ask(API "STREAM.LIST", ""), "\"streams\":[]"));
    }
}

static void a_message_is_read_in_every_way(void **state) {
    (void)state;
    make_stream("m", ",\"allow_direct\":true");
    assert_string_equal(rig_ask("m.a", "one"), "{\"stream\":\"m\",\"seq\":1}");
    assert_string_equal(rig_ask_with("m.b", "NATS/1.0\r\nK: v\r\n\r\n", "two"),
                        "{\"stream\":\"m\",\"seq\":2}");
    assert_string_equal(rig_ask("m.a", "three"), "{\"stream\":\"m\",\"seq\":3}");
    assert_string_equal(rig_ask("m.c", ""), "{\"stream\":\"m\",\"seq\":4}");
#define GET(tail) TYPE("stream_msg_get_response") ",\"message\":{" tail ",\"time\":\"T\"}}"
#define STAMP(subject, seq)                                                                        \
    "Nats-Stream: m|Nats-Subject: " subject "|Nats-Sequence: " seq "|Nats-Time-Stamp: T|"
#define MSG1 "NATS/1.0|" STAMP("m.a", "1")
#define MSG2 "NATS/1.0|K: v|" STAMP("m.b", "2")
#define MSG3 "NATS/1.0|" STAMP("m.a", "3")
#define MSG4 "NATS/1.0|" STAMP("m.c", "4")
    static const Case cases[] = {
        {API "STREAM.MSG.GET.m", "{\"seq\":1}",
         GET("\"subject\":\"m.a\",\"seq\":1,\"data\":\"b25l\"")},
        {API "STREAM.MSG.GET.m", "{\"seq\":2}",
         GET("\"subject\":\"m.b\",\"seq\":2,\"hdrs\":\"TkFUUy8xLjANCks6IHYNCg0K\",\"data\":"
             "\"dHdv\"")},
        {API "STREAM.MSG.GET.m", "{\"seq\":2,\"no_hdr\":true}",
         GET("\"subject\":\"m.b\",\"seq\":2,\"data\":\"dHdv\"")},
        {API "STREAM.MSG.GET.m", "{\"seq\":4}", GET("\"subject\":\"m.c\",\"seq\":4")},
        {API "STREAM.MSG.GET.m", "{\"last_by_subj\":\"m.a\"}",
         GET("\"subject\":\"m.a\",\"seq\":3,\"data\":\"dGhyZWU=\"")},
        {API "STREAM.MSG.GET.m", "{\"last_by_subj\":\"m.*\"}",
         GET("\"subject\":\"m.c\",\"seq\":4")},
        {API "STREAM.MSG.GET.m", "{\"next_by_subj\":\"m.a\"}",
         GET("\"subject\":\"m.a\",\"seq\":1,\"data\":\"b25l\"")},
        {API "STREAM.MSG.GET.m", "{\"next_by_subj\":\"m.a\",\"seq\":2}",
         GET("\"subject\":\"m.a\",\"seq\":3,\"data\":\"dGhyZWU=\"")},
        {API "STREAM.MSG.GET.m", "{\"start_time\":\"2001-01-01T00:00:00Z\"}",
         GET("\"subject\":\"m.a\",\"seq\":1,\"data\":\"b25l\"")},
        {API "STREAM.MSG.GET.m", "{\"seq\":9}",
         TYPE("stream_msg_get_response") ERROR(404, 10037, "no message found") "}"},
        {API "STREAM.MSG.GET.m", "{\"last_by_subj\":\"m.z\"}",
         TYPE("stream_msg_get_response") ERROR(404, 10037, "no message found") "}"},
        {API "STREAM.MSG.GET.m", "{\"seq\":1,\"last_by_subj\":\"m.a\"}",
         TYPE("stream_msg_get_response") ERROR(400, 10003, "bad request") "}"},
        {API "STREAM.MSG.GET.m", "{\"seq\":1,\"batch\":2}",
         TYPE("stream_msg_get_response") ERROR(400, 10003, "bad request") "}"},
        {API "DIRECT.GET.m.m.a", "", MSG3 "|three"},
        {API "DIRECT.GET.m.m.*", "", MSG4 "|"},
        {API "DIRECT.GET.m.m.a", "{\"no_hdr\":true}", "three"},
        {API "DIRECT.GET.m.m.z", "", "NATS/1.0 404 Message Not Found||"},
        {API "DIRECT.GET.m.m.a", "{\"seq\":1}", "NATS/1.0 408 Bad Request||"},
        {API "DIRECT.GET.m", "", "NATS/1.0 408 Empty Request||"},
        {API "DIRECT.GET.m", "{}", "NATS/1.0 408 Empty Request||"},
        {API "DIRECT.GET.m", "{\"batch\":5}", "NATS/1.0 408 Empty Request||"},
        {API "DIRECT.GET.m", "x", "NATS/1.0 408 Malformed Request||"},
        {API "DIRECT.GET.m", "{\"seq\":\"x\"}", "NATS/1.0 408 Malformed Request||"},
        {API "DIRECT.GET.m", "{\"seq\":2,\"bogus\":1}", MSG2 "|two"},
        {API "DIRECT.GET.m", "{\"seq\":9}", "NATS/1.0 404 Message Not Found||"},
        {API "DIRECT.GET.m", "{\"seq\":1,\"last_by_subj\":\"m.a\"}", "NATS/1.0 408 Bad Request||"},
        {API "DIRECT.GET.m", "{\"last_by_subj\":\"m.a\",\"batch\":2}",
         "NATS/1.0 408 Bad Request||"},
        {API "DIRECT.GET.m", "{\"last_by_subj\":\"m.a\"}", MSG3 "|three"},
        {API "DIRECT.GET.m", "{\"next_by_subj\":\"m.a\",\"seq\":2}", MSG3 "|three"},
        {API "DIRECT.GET.m", "{\"multi_last\":[\"m.z\"]}", "NATS/1.0 404 No Results||"},
        {API "DIRECT.GET.m",
         "{\"multi_last\":[\"m.a\"],\"up_to_seq\":1,\"up_to_time\":\"2030-01-01T00:00:00Z\"}",
         "NATS/1.0 408 Bad Request||"},
        {API "DIRECT.GET.m", "{\"multi_last\":[\"m.a\"],\"up_to_seq\":9}",
         "NATS/1.0 404 No Results||"},
    };
    RUN(cases);
}

static void expect_all(const char *body, const char *const *want) {
    const char *got = rig_ask(API "DIRECT.GET.m", body);
    for (size_t i = 0; want[i]; i++) {
        assert_string_equal(got, want[i]);
        got = rig_next();
        if (strncmp(got, "_INBOX.x ", 9) == 0)
            got += 9;
    }
    assert_string_equal(got, "silence");
}

static void a_batch_ends_with_its_end(void **state) {
    (void)state;
    make_stream("m", ",\"allow_direct\":true");
    (void)rig_ask("m.a", "one");
    (void)rig_ask_with("m.b", "NATS/1.0\r\nK: v\r\n\r\n", "two");
    (void)rig_ask("m.a", "three");
    (void)rig_ask("m.c", "");
#define COUNTS(pending, last) "Nats-Num-Pending: " pending "|Nats-Last-Sequence: " last "|"
    expect_all("{\"seq\":1,\"batch\":2}",
               (const char *const[]){MSG1 COUNTS("3", "0") "|one", MSG2 COUNTS("2", "1") "|two",
                                     "NATS/1.0 204 EOB|" COUNTS("2", "2") "|", NULL});
    expect_all("{\"next_by_subj\":\"m.a\",\"batch\":9}",
               (const char *const[]){MSG1 COUNTS("1", "0") "|one", MSG3 COUNTS("0", "1") "|three",
                                     "NATS/1.0 204 EOB|" COUNTS("0", "3") "|", NULL});
    expect_all("{\"seq\":1,\"batch\":9,\"max_bytes\":7}",
               (const char *const[]){MSG1 COUNTS("3", "0") "|one", MSG2 COUNTS("2", "1") "|two",
                                     "NATS/1.0 204 EOB|" COUNTS("2", "2") "|", NULL});
    expect_all("{\"seq\":3,\"batch\":9,\"no_hdr\":true}",
               (const char *const[]){"three", "", "NATS/1.0 204 EOB|" COUNTS("2", "4") "|", NULL});
    expect_all("{\"multi_last\":[\"m.a\",\"m.b\"]}",
               (const char *const[]){MSG2 COUNTS("1", "0") "|two", MSG3 COUNTS("0", "2") "|three",
                                     "NATS/1.0 204 EOB|" COUNTS("0", "3") "Nats-UpTo-Sequence: 4||",
                                     NULL});
    expect_all("{\"multi_last\":[\"m.>\"],\"up_to_seq\":2,\"batch\":1}",
               (const char *const[]){MSG1 COUNTS("1", "0") "|one",
                                     "NATS/1.0 204 EOB|" COUNTS("1", "1") "Nats-UpTo-Sequence: 2||",
                                     NULL});
    expect_all("{\"seq\":9,\"batch\":2}",
               (const char *const[]){"NATS/1.0 404 Message Not Found||", NULL});
}

static void messages_are_deleted_and_purged(void **state) {
    (void)state;
    make_stream("m", "");
    for (int i = 0; i < 6; i++)
        (void)rig_ask(i % 2 ? "m.a" : "m.b", "x");
#define DELETED(tail) TYPE("stream_msg_delete_response") tail "}"
#define PURGED(n)     TYPE("stream_purge_response") ",\"success\":true,\"purged\":" n "}"
    static const Case cases[] = {
        {API "STREAM.MSG.DELETE.m", "{\"seq\":4}", DELETED(",\"success\":true")},
        {API "STREAM.MSG.DELETE.m", "{\"seq\":4}",
         DELETED(ERROR(400, 10043, "sequence 4 not found"))},
        {API "STREAM.MSG.DELETE.m", "{\"seq\":9}", DELETED(ERROR(500, 10057, "stream store EOF"))},
        {API "STREAM.MSG.DELETE.m", "{\"no_erase\":true}",
         DELETED(ERROR(500, 10057, "no message found"))},
        {API "STREAM.PURGE.m", "{\"seq\":1,\"keep\":1}",
         TYPE("stream_purge_response") ERROR(400, 10003, "bad request") ",\"purged\":0}"},
        {API "STREAM.PURGE.m", "{\"filter\":\"m.z\"}", PURGED("0")},
        {API "STREAM.PURGE.m", "{\"filter\":\"m.a\",\"keep\":1}", PURGED("1")},
        {API "STREAM.PURGE.m", "x", PURGED("4")},
    };
    RUN(cases);
}

static void consumers_are_managed(void **state) {
    (void)state;
    make_stream("s", "");
    const char *got = rig_ask(
        API "CONSUMER.CREATE.s.c",
        "{\"stream_name\":\"s\",\"config\":{\"durable_name\":\"c\",\"ack_policy\":\"explicit\"}}");
#define DURABLE_WITH(meta)                                                                         \
    "\"stream_name\":\"s\",\"name\":\"c\",\"created\":\"T\",\"config\":{\"durable_name\":\"c\","   \
    "\"name\":\"c\","                                                                              \
    "\"deliver_policy\":\"all\",\"ack_policy\":\"explicit\",\"ack_wait\":30000000000,\"max_"       \
    "deliver\":-1,"                                                                                \
    "\"replay_policy\":\"instant\",\"max_waiting\":512,\"max_ack_pending\":1000,\"num_replicas\":" \
    "0,"                                                                                           \
    "\"metadata\":{" meta                                                                          \
    "}},\"delivered\":{\"consumer_seq\":0,\"stream_seq\":0},\"ack_floor\":{\"consumer_seq\":0,"    \
    "\"stream_seq\":0},\"num_ack_pending\":0,\"num_redelivered\":0,\"num_waiting\":0,\"num_"       \
    "pending\":0,\"ts\":\"T\""
#define DURABLE DURABLE_WITH(META)
    assert_string_equal(got, TYPE("consumer_create_response") "," DURABLE "}");
    static const Case cases[] = {
        {API "CONSUMER.INFO.s.c", "", TYPE("consumer_info_response") "," DURABLE "}"},
        {API "CONSUMER.INFO.s.d", "",
         TYPE("consumer_info_response") ERROR(404, 10014, "consumer not found") "}"},
        {API "CONSUMER.NAMES.s", "",
         TYPE("consumer_names_response") ",\"total\":1,\"offset\":0,\"limit\":1024,\"consumers\":["
                                         "\"c\"]}"},
        {API "CONSUMER.LIST.s", "{\"offset\":-3}",
         TYPE("consumer_list_response") ",\"total\":1,\"offset\":0,\"limit\":256,\"consumers\":["
                                        "{" DURABLE_WITH(STORED) "}]}"},
        {API "CONSUMER.LIST.s", "{\"offset\":3}",
         TYPE(
             "consumer_list_response") ",\"total\":1,\"offset\":1,\"limit\":256,\"consumers\":[]}"},
        {API "CONSUMER.PAUSE.s.c", "x",
         TYPE("consumer_pause_response") ",\"paused\":false,\"pause_until\":" ZERO "}"},
        {API "CONSUMER.PAUSE.s.d", "",
         TYPE("consumer_pause_response")
             ERROR(404, 10014, "consumer not found") ",\"paused\":false,\"pause_until\":" ZERO "}"},
        {API "CONSUMER.UNPIN.s.c", "{\"group\":\"A\"}",
         TYPE("consumer_unpin_response")
             ERROR(400, 10160, "Provided priority group does not exist for this consumer") "}"},
        {API "CONSUMER.RESET.s.c", "{",
         TYPE("consumer_reset_response")
             ERROR(400, 10025, "invalid JSON: unexpected end of JSON input") ",\"reset_seq\":0}"},
        {API "CONSUMER.RESET.s.c", "",
         TYPE("consumer_reset_response") "," DURABLE ",\"reset_seq\":1}"},
        {API "CONSUMER.DELETE.s.c", "", TYPE("consumer_delete_response") ",\"success\":true}"},
        {API "CONSUMER.DELETE.s.c", "",
         TYPE("consumer_delete_response") ERROR(404, 10014, "consumer not found") "}"},
    };
    RUN(cases);
}

static void pulls_and_acks_reach_the_consumer_on_any_worker(void **state) {
    (void)state;
    char hash[ACCOUNT_HASH_LEN];
    account_hash_write(LIT("$G"), hash);
    /* Streams alternate between the homes: one of these is not the asker's. */
    for (int i = 0; i < 2; i++) {
        char name[2] = {(char)('p' + i), 0}, text[128], want[128];
        make_stream(name, "");
        (void)snprintf(text, sizeof text, API "CONSUMER.CREATE.%s.c", name);
        char body[128];
        (void)snprintf(body, sizeof body,
                       "{\"stream_name\":\"%s\",\"config\":{\"durable_name\":\"c\",\"ack_policy\":"
                       "\"explicit\"}}",
                       name);
        assert_non_null(strstr(rig_ask(text, body), "\"num_pending\":0"));
        (void)snprintf(text, sizeof text, "%s.x", name);
        (void)rig_ask(text, "hello");
        (void)snprintf(text, sizeof text, API "CONSUMER.MSG.NEXT.%s.c", name);
        assert_string_equal(rig_ask(text, ""), "hello");
        char *ack = slice_to_text(slice_of_text(rig.got[rig.got_count - 1].reply));
        (void)snprintf(want, sizeof want, "$JS.ACK.%s.c.1.1.1.", name);
        assert_memory_equal(ack, want, strlen(want));
        assert_string_equal(rig_ask(ack, "+ACK"), "");
        mem_free(ack);
        (void)snprintf(text, sizeof text, API "CONSUMER.INFO.%s.c", name);
        assert_non_null(
            strstr(rig_ask(text, ""), "\"ack_floor\":{\"consumer_seq\":1,\"stream_seq\":1,"));
        /* The long form names domain and account first. */
        (void)snprintf(text, sizeof text, "$JS.ACK._.%s.%s.c.1.1.1.1.0", "HASHG", name);
        assert_memory_equal(rig_ask(text, ""), "NATS/1.0 503|", 13);
        (void)snprintf(text, sizeof text, "$JS.ACK._.%.8s.%s.c.1.1.1.1.0", hash, name);
        assert_string_equal(rig_ask(text, ""), "");
        (void)snprintf(text, sizeof text, "$JS.ACK._.%.8s.%s.c.1.1.1.1.0.more", hash, name);
        assert_string_equal(rig_ask(text, ""), "");
        (void)snprintf(text, sizeof text, "$JS.ACK.%s.nope.1.1.1.1.1", name);
        assert_memory_equal(rig_ask(text, ""), "NATS/1.0 503|", 13);
    }
}

static void limits_of_server_and_account_are_kept(void **state) {
    (void)state;
    static const Case cases[] = {
        {API "STREAM.CREATE.a", "{\"name\":\"a\",\"max_bytes\":600}", NULL},
        {API "STREAM.CREATE.b", "{\"name\":\"b\",\"max_bytes\":600}",
         TYPE("stream_create_response")
             ERROR(500, 10047, "insufficient storage resources available") "}"},
        {API "STREAM.CREATE.b", "{\"name\":\"b\",\"max_bytes\":11,\"storage\":\"memory\"}",
         TYPE("stream_create_response")
             ERROR(500, 10028, "insufficient memory resources available") "}"},
        {API "STREAM.CREATE.b", "{\"name\":\"b\",\"max_bytes\":800}",
         TYPE("stream_create_response")
             ERROR(400, 10122, "stream max bytes exceeds account limit max stream bytes") "}"},
        {API "STREAM.CREATE.b", "{\"name\":\"b\",\"max_bytes\":400}", NULL},
        {API "STREAM.UPDATE.b", "{\"name\":\"b\",\"max_bytes\":401}",
         TYPE("stream_update_response")
             ERROR(500, 10047, "insufficient storage resources available") "}"},
        {API "STREAM.CREATE.c", "{\"name\":\"c\"}",
         TYPE("stream_create_response") ERROR(400, 10027, "maximum number of streams reached") "}"},
        {API "INFO", "",
         TYPE("account_info_response") ",\"memory\":0,\"storage\":0,\"reserved_memory\":0,"
                                       "\"reserved_storage\":1000,"
                                       "\"streams\":2,\"consumers\":0,\"limits\":{\"max_memory\":-"
                                       "1,\"max_storage\":1000,"
                                       "\"max_streams\":2,\"max_consumers\":-1,\"max_ack_pending\":"
                                       "-1,"
                                       "\"memory_max_stream_bytes\":-1,\"storage_max_stream_"
                                       "bytes\":700,"
                                       "\"max_bytes_required\":false},\"api\":{\"level\":5,"
                                       "\"total\":7,\"errors\":5}}"},
    };
    rig.limits[0].max_file = 1000;
    rig.limits[0].max_streams = 2;
    rig.limits[0].max_file_stream_bytes = 700;
    rig.options.max_memory = 10;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = rig_ask(cases[i].subject, cases[i].body);
        if (cases[i].want)
            assert_string_equal(got, cases[i].want);
        else
            assert_non_null(strstr(got, "\"did_create\":true"));
    }
    /* Another account has limits of its own. */
    assert_non_null(strstr(
        rig_ask_as(2, API "STREAM.CREATE.a", "{\"name\":\"a\",\"max_bytes\":900}"), "did_create"));
}

static void an_update_must_suit_the_consumers(void **state) {
    (void)state;
    make_stream("s", "");
    (void)rig_ask(
        API "CONSUMER.CREATE.s.c",
        "{\"stream_name\":\"s\",\"config\":{\"ack_policy\":\"explicit\",\"durable_name\":\"c\"}}");
    assert_string_equal(
        rig_ask(
            API "STREAM.UPDATE.s",
            "{\"name\":\"s\",\"subjects\":[\"s.>\"],\"consumer_limits\":{\"max_ack_pending\":50}}"),
        TYPE("stream_update_response")
            ERROR(500, 10069, "change to limits violates consumers: c") "}");
    assert_non_null(
        strstr(rig_ask(API "STREAM.UPDATE.s", "{\"name\":\"s\",\"subjects\":[\"s.>\"],\"consumer_"
                                              "limits\":{\"max_ack_pending\":1000}}"),
               "\"consumer_limits\":{\"max_ack_pending\":1000}"));
}

static void advisories_tell_who_listens(void **state) {
    (void)state;
    (void)rig_subscribe("$JS.EVENT.ADVISORY.STREAM.>");
    rig_tell(API "STREAM.CREATE.a", "", "{\"name\":\"a\"}");
    const char *got = rig_next();
    assert_memory_equal(got,
                        "$JS.EVENT.ADVISORY.STREAM.CREATED.a "
                        "{\"type\":\"io.nats.jetstream.advisory.v1.stream_action\",\"id\":\"",
                        96);
    assert_non_null(strstr(got, "\",\"timestamp\":\"T\",\"stream\":\"a\",\"action\":\"create\"}"));
    rig_tell(API "STREAM.UPDATE.a", "", "{\"name\":\"a\",\"description\":\"x\"}");
    assert_non_null(strstr(rig_next(), "STREAM.UPDATED.a "));
    rig_tell(API "STREAM.DELETE.a", "", "");
    assert_non_null(strstr(rig_next(), "STREAM.DELETED.a "));

    (void)rig_subscribe("$JS.EVENT.ADVISORY.API");
    rig_tell(API "STREAM.NAMES", "", "{}");
    got = rig_next();
    assert_non_null(
        strstr(got, "\"server\":\"srv\",\"client\":{\"acc\":\"$G\"},\"subject\":\"$JS.API.STREAM."
                    "NAMES\",\"request\":\"{}\",\"response\":\"{\\\"type\\\":"));
}

static void a_domain_is_another_name_of_the_api(void **state) {
    (void)state;
    rig_new();
    rig.options.domain = LIT("hub");
    rig_open();
    static const Case cases[] = {
        {"$JS.hub.API.STREAM.NAMES", "",
         TYPE(
             "stream_names_response") ",\"total\":0,\"offset\":0,\"limit\":1024,\"streams\":null}"},
        {"$JS.other.API.STREAM.NAMES", "", "no responders"},
        {"$JS.hub.API.FOO.BAR", "", "NATS/1.0 503|Nats-Subject: $JS.hub.API.FOO.BAR||"},
    };
    RUN(cases);
    assert_non_null(strstr(
        rig_ask("$JS.hub.API.STREAM.CREATE.KV_b", "{\"name\":\"KV_b\",\"subjects\":[\"$KV.b.>\"]}"),
        "did_create"));
    assert_string_equal(rig_ask("$JS.hub.API.$KV.b.key", "v"),
                        "{\"stream\":\"KV_b\",\"domain\":\"hub\",\"seq\":1}");
    assert_non_null(strstr(rig_ask(API "INFO", ""), "\"domain\":\"hub\",\"api\""));
    rig_done();
}

static void a_restart_brings_everything_back_but_memory(void **state) {
    (void)state;
    make_stream("a", ",\"allow_direct\":true");
    make_stream("b", "");
    make_stream("gone", "");
    assert_non_null(
        strstr(rig_ask(API "STREAM.CREATE.mem",
                       "{\"name\":\"mem\",\"subjects\":[\"mem\"],\"storage\":\"memory\"}"),
               "did_create"));
    assert_non_null(
        strstr(rig_ask(API "STREAM.CREATE.OBJ_o",
                       "{\"name\":\"OBJ_o\",\"max_value_size\":77,\"max_bucket_size\":1000}"),
               "\"max_value_size\":77"));
    (void)rig_ask("a.x", "one");
    (void)rig_ask("a.y", "two");
    (void)rig_ask("b.x", "three");
    (void)rig_ask(API "STREAM.DELETE.gone", "");
    (void)rig_ask(API "STREAM.UPDATE.b", "{\"name\":\"b\",\"subjects\":[\"b.>\",\"bb\"]}");
    (void)rig_ask(
        API "CONSUMER.CREATE.a.c",
        "{\"stream_name\":\"a\",\"config\":{\"durable_name\":\"c\",\"ack_policy\":\"explicit\"}}");

    for (int i = 0; i < 2; i++) { /* twice: what the first restart wrote counts too */
        rig_close();
        rig_open();
        static const Case cases[] = {
            {API "STREAM.NAMES", "",
             TYPE("stream_names_response") ",\"total\":3,\"offset\":0,\"limit\":1024,\"streams\":["
                                           "\"OBJ_o\",\"a\",\"b\"]}"},
            {API "DIRECT.GET.a.a.x", "",
             "NATS/1.0|Nats-Stream: a|Nats-Subject: a.x|Nats-Sequence: 1|Nats-Time-Stamp: T||one"},
            {API "CONSUMER.NAMES.a", "",
             TYPE("consumer_names_response") ",\"total\":1,\"offset\":0,\"limit\":1024,"
                                             "\"consumers\":[\"c\"]}"},
        };
        RUN(cases);
        assert_non_null(strstr(rig_ask(API "STREAM.INFO.OBJ_o", ""), "\"max_value_size\":77"));
        assert_non_null(
            strstr(rig_ask(API "STREAM.INFO.b", ""), "\"subjects\":[\"b.\\u003e\",\"bb\"]"));
        assert_non_null(strstr(rig_ask(API "CONSUMER.INFO.a.c", ""), "\"num_pending\":2"));
    }
    assert_non_null(strstr(rig_ask("bb", "x"), "\"seq\":2"));
    make_stream("gone", "");
    assert_non_null(
        strstr(rig_ask(API "STREAM.CREATE.mem", "{\"name\":\"mem\",\"subjects\":[\"mem2\"]}"),
               "did_create"));
    rig_close();
    rig_open();
    assert_non_null(strstr(rig_ask(API "STREAM.INFO.mem", ""), "\"mem2\""));
    assert_non_null(strstr(rig_ask(API "STREAM.INFO.gone", ""), "\"messages\":0"));
}

static void reopen(void) {
    rig_close();
    rig_open();
}

static void what_is_only_on_disk_is_waited_for(void **state) {
    (void)state;
    make_stream("m", ",\"allow_direct\":true");
    (void)rig_ask("m.a", "one");
    (void)rig_ask("m.b", "two");
    reopen();
    assert_string_equal(rig_ask(API "STREAM.MSG.GET.m", "{\"seq\":1}"),
                        GET("\"subject\":\"m.a\",\"seq\":1,\"data\":\"b25l\""));
    reopen();
    expect_all("{\"seq\":1,\"batch\":9}",
               (const char *const[]){MSG1 COUNTS("1", "0") "|one",
                                     "NATS/1.0|" STAMP("m.b", "2") COUNTS("0", "1") "|two",
                                     "NATS/1.0 204 EOB|" COUNTS("0", "2") "|", NULL});
    reopen();
    expect_all("{\"multi_last\":[\"m.b\"]}",
               (const char *const[]){"NATS/1.0|" STAMP("m.b", "2") COUNTS("0", "0") "|two",
                                     "NATS/1.0 204 EOB|" COUNTS("0", "2") "Nats-UpTo-Sequence: 2||",
                                     NULL});
    reopen();
    assert_string_equal(rig_ask(API "DIRECT.GET.m.m.b", ""), "NATS/1.0|" STAMP("m.b", "2") "|two");
}

/* More than a turn sends, and a stream that goes meanwhile. */
static void a_long_batch_goes_on_in_later_turns(void **state) {
    (void)state;
    enum { MESSAGES = 1000 };
    make_stream("m", ",\"allow_direct\":true");
    for (int i = 0; i < MESSAGES; i++)
        rig_tell("m.a", "", "x");
    (void)rig_ask("m.b", "x");
    (void)rig_ask(API "DIRECT.GET.m", "{\"next_by_subj\":\"m.a\",\"seq\":1,\"batch\":5000}");
    const char *got = "";
    for (int i = 1; i < MESSAGES; i++)
        got = rig_next();
    assert_non_null(strstr(got, "Nats-Sequence: 1000|"));
    assert_non_null(strstr(rig_next(), "204 EOB|" COUNTS("0", "1000")));

    rig_tell(API "DIRECT.GET.m", "_INBOX.x", "{\"seq\":1,\"batch\":5000}");
    rig_step(2);
    rig_tell(API "STREAM.DELETE.m", "_INBOX.y", "");
    unsigned ends = 0, answers = 0;
    while (strcmp(got = rig_next(), "silence") != 0) {
        ends += strstr(got, "204 EOB") != NULL;
        answers += strncmp(got, "_INBOX.y", 8) == 0;
    }
    assert_int_equal(ends, 1);
    assert_int_equal(answers, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_stream_is_created_shown_updated_and_deleted),
        TEST(what_cannot_be_done_is_said_as_the_original_says_it),
        TEST(an_account_is_purged),
        TEST(calls_meet_what_was_asked_before),
        TEST(a_message_is_read_in_every_way),
        TEST(a_batch_ends_with_its_end),
        TEST(messages_are_deleted_and_purged),
        TEST(consumers_are_managed),
        TEST(pulls_and_acks_reach_the_consumer_on_any_worker),
        TEST(limits_of_server_and_account_are_kept),
        TEST(an_update_must_suit_the_consumers),
        TEST(advisories_tell_who_listens),
        cmocka_unit_test(a_domain_is_another_name_of_the_api),
        TEST(what_is_only_on_disk_is_waited_for),
        TEST(a_long_batch_goes_on_in_later_turns),
        TEST(a_restart_brings_everything_back_but_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
