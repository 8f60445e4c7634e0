#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/leaf_parser.h"

static LeafParse parse(const char *text, LeafOp *op, size_t *used) {
    static char bytes[1024];
    LeafParser parser = {0, 64, 100};
    size_t len = strlen(text);
    memcpy(bytes, text, len);
    return leaf_parse(&parser, bytes, len, op, used);
}

static void assert_slice(Slice have, const char *want) {
    assert_int_equal(have.len, strlen(want));
    if (have.len)
        assert_memory_equal(have.ptr, want, have.len);
}

static void a_message_names_reply_and_queues_in_four_forms(void **state) {
    (void)state;
    static const struct {
        const char *text, *subject, *reply, *queues, *header, *payload;
    } cases[] = {
        {"LMSG a.b 2\r\nhi\r\n", "a.b", "", "", "", "hi"},
        {"LMSG a.b r 2\r\nhi\r\n", "a.b", "r", "", "", "hi"},
        {"LMSG a.b + r q1 q2 2\r\nhi\r\n", "a.b", "r", "q1 q2", "", "hi"},
        {"LMSG a.b | q1 2\r\nhi\r\n", "a.b", "", "q1", "", "hi"},
        {"HMSG a.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "a.b", "", "", "NATS/1.0\r\n\r\n", "hi"},
        {"HMSG a.b r 12 12\r\nNATS/1.0\r\n\r\n\r\n", "a.b", "r", "", "NATS/1.0\r\n\r\n", ""},
        {"HMSG a.b + r q 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "a.b", "r", "q", "NATS/1.0\r\n\r\n",
         "hi"},
        {"lmsg  a.b\t|  q1   q2  0\n\r\n", "a.b", "", "q1   q2", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        LeafOp op;
        size_t used;
        assert_int_equal(parse(cases[i].text, &op, &used), LEAF_PARSE_OP);
        assert_int_equal(op.verb, LEAF_MESSAGE);
        assert_int_equal(used, strlen(cases[i].text));
        assert_slice(op.subject, cases[i].subject);
        assert_slice(op.reply, cases[i].reply);
        assert_slice(op.queues, cases[i].queues);
        assert_slice(op.header, cases[i].header);
        assert_slice(op.payload, cases[i].payload);
    }
}

static void interest_has_a_queue_with_members_or_none(void **state) {
    (void)state;
    LeafOp op;
    size_t used;
    assert_int_equal(parse("LS+ foo.>\r\n", &op, &used), LEAF_PARSE_OP);
    assert_int_equal(op.verb, LEAF_SUB);
    assert_slice(op.subject, "foo.>");
    assert_slice(op.queue, "");
    assert_int_equal(parse("LS+ foo q 3\r\n", &op, &used), LEAF_PARSE_OP);
    assert_slice(op.queue, "q");
    assert_int_equal(op.members, 3);
    assert_int_equal(parse("LS+ foo q x\r\n", &op, &used), LEAF_PARSE_OP);
    assert_int_equal(op.members, 1);
    assert_int_equal(parse("LS- foo q\r\n", &op, &used), LEAF_PARSE_OP);
    assert_int_equal(op.verb, LEAF_UNSUB);
    assert_slice(op.queue, "q");
}

static void what_is_not_complete_asks_for_more(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t used;
    } cases[] = {
        {"L", 0}, {"LS", 0}, {"LMSG a 3", 0}, {"LMSG a 3\r\n", 15}, {"LMSG a 3\r\nabc\r", 15},
        {"+O", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        LeafOp op;
        size_t used;
        assert_int_equal(parse(cases[i].text, &op, &used), LEAF_PARSE_MORE);
        assert_int_equal(used, cases[i].used);
    }
}

static void what_is_wrong_is_told_apart(void **state) {
    (void)state;
    static const struct {
        const char *text;
        LeafParse want;
    } cases[] = {
        {"PUB a 1\r\nx\r\n", LEAF_PARSE_UNKNOWN_VERB},
        {"LS* a\r\n", LEAF_PARSE_UNKNOWN_VERB},
        {"LMSG a 2\r\nabc\r\n", LEAF_PARSE_UNKNOWN_VERB},
        {"LMSG\t\r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"LMSG a\r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"LMSG a x\r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"LMSG a -1\r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"LMSG a b c 2\r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"LMSG a 99999999999999999999\r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"HMSG a 3 2\r\nab\r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"HMSG a 3\r\nabc\r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"LMSG a 101\r\n", LEAF_PARSE_PAYLOAD_TOO_BIG},
        {"LS+ a b\r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"LS+ \r\n", LEAF_PARSE_BAD_ARGUMENTS},
        {"LS+ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         LEAF_PARSE_LINE_TOO_LONG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        LeafOp op;
        size_t used;
        assert_int_equal(parse(cases[i].text, &op, &used), cases[i].want);
    }
}

static void what_is_written_is_read_as_it_was_meant(void **state) {
    (void)state;
    const Slice queues[] = {LIT("q1"), LIT("q2")};
    const LeafMessageLine lines[] = {
        {LIT("a"), {0}, {0}, NULL, 0, 0, 2},
        {LIT("a"), LIT("r"), {0}, NULL, 0, 0, 2},
        {LIT("a"), LIT("r"), LIT("s.t"), queues, 2, 0, 2},
        {LIT("a"), {0}, LIT("s.t"), queues, 2, 1, 2},
    };
    const char *texts[] = {"LMSG a 2\r\n", "LMSG a r 2\r\n", "LMSG a + r@s.t q1 q2 2\r\n",
                           "HMSG a | q1 q2 1 2\r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char bytes[256];
        assert_true(leaf_message_room(&lines[i]) <= sizeof bytes);
        const char *end = leaf_write_message(bytes, &lines[i]);
        assert_true((size_t)(end - bytes) <= leaf_message_room(&lines[i]));
        assert_slice(slice_from(bytes, (size_t)(end - bytes)), texts[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_names_reply_and_queues_in_four_forms),
        cmocka_unit_test(interest_has_a_queue_with_members_or_none),
        cmocka_unit_test(what_is_not_complete_asks_for_more),
        cmocka_unit_test(what_is_wrong_is_told_apart),
        cmocka_unit_test(what_is_written_is_read_as_it_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
