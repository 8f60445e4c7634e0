#include "proto/nats_parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

enum { LINE_MAX_BYTES = 64, PAYLOAD_MAX = 100 };

static void describe_op(Buf *out, const NatsOp *op) {
    static const char *const names[] = {"CONNECT", "PUB",  "HPUB", "SUB", "UNSUB",
                                        "PING",    "PONG", "INFO", "OK",  "ERR"};
    buf_printf(out, "%s(%.*s|%.*s|%.*s|%.*s|%.*s|%llu|%.*s|%.*s) ", names[op->verb],
               SLICE_ARG(op->args), SLICE_ARG(op->subject), SLICE_ARG(op->reply),
               SLICE_ARG(op->queue), SLICE_ARG(op->sid), (unsigned long long)op->max,
               SLICE_ARG(op->header), SLICE_ARG(op->payload));
}

static const char *outcome(NatsParse parse) {
    static const char *const names[] = {"op", "more", "unknown", "bad", "long", "big"};
    return names[parse];
}

/* Everything that comes out when the bytes arrive in pieces of step bytes. */
static void run(Slice input, size_t step, Buf *out) {
    NatsParser parser = {.control_line_max = LINE_MAX_BYTES, .payload_max = PAYLOAD_MAX};
    char *bytes = mem_copy(input.ptr, input.len);
    size_t begin = 0, end = 0;

    while (end < input.len) {
        end = input.len - end < step ? input.len : end + step;
        for (;;) {
            NatsOp op = {0};
            size_t used;
            /* A block of its own, so that a read past the end is seen. */
            char *piece = mem_alloc(end - begin);
            memcpy(piece, bytes + begin, end - begin);
            NatsParse parse = end == begin ? NATS_PARSE_MORE
                                           : nats_parse(&parser, piece, end - begin, &op, &used);
            if (parse == NATS_PARSE_OP) {
                describe_op(out, &op);
                begin += used;
            }
            mem_free(piece);
            if (parse == NATS_PARSE_OP)
                continue;
            if (parse == NATS_PARSE_MORE)
                break;
            buf_printf(out, "%s", outcome(parse));
            mem_free(bytes);
            return;
        }
    }
    buf_printf(out, "more");
    mem_free(bytes);
}

static const struct {
    const char *input, *want;
} CASES[] = {
    {"PUB a 5\r\nhello\r\n", "PUB(a 5|a||||0||hello) more"},
    {"pub\ta  r \t 5 \r\nhello\r\nPING\r\n", "PUB(a  r \t 5|a|r|||0||hello) PING(|||||0||) more"},
    {"PUB a 0\n\r\n", "PUB(a 0|a||||0||) more"},
    {"PUB a 5\r\nhelloX", "unknown"},
    {"PUB a 5\r\nhello\rX", "unknown"},
    {"PUB a\r\n", "bad"},
    {"PUB a b c 5\r\n", "bad"},
    {"PUB a b c d e f 5\r\n", "bad"},
    {"PUB a x\r\n", "bad"},
    {"PUB a -1\r\n", "bad"},
    {"PUB a 1234567890123456789\r\n", "bad"},
    {"PUB a 101\r\n", "big"},
    {"PUB a 100", "more"},
    {"PUBX a 5\r\n", "unknown"},
    {"PUB\r\n", "unknown"},
    {"HPUB a 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
     "HPUB(a 12 17|a||||0|NATS/1.0\r\n\r\n|hello) more"},
    {"HPUB a r 0 2\r\nhi\r\n", "HPUB(a r 0 2|a|r|||0||hi) more"},
    {"HPUB a 3 2\r\nhi\r\n", "bad"},
    {"HPUB a 2\r\n", "bad"},
    {"HPUB a b c 1 2\r\n", "bad"},
    {"SUB a 1\r\n", "SUB(a 1|a|||1|0||) more"},
    {"sub a.> q 1\r\n", "SUB(a.> q 1|a.>||q|1|0||) more"},
    {"SUB a\r\n", "bad"},
    {"SUB a b c d\r\n", "bad"},
    {"UNSUB 1\r\nUNSUB 2 5\r\n", "UNSUB(1||||1|0||) UNSUB(2 5||||2|5||) more"},
    {"UNSUB 1 x\r\n", "UNSUB(1 x||||1|0||) more"},
    {"UNSUB\r\n", "unknown"},
    {"UNSUB \r\n", "bad"},
    {"CONNECT {\"a\": 1} \r\n", "CONNECT({\"a\": 1}|||||0||) more"},
    {"+OK\r\n-ERR 'x'\r\nINFO {}\r\nPONG\n",
     "OK(|||||0||) ERR('x'|||||0||) INFO({}|||||0||) PONG(|||||0||) more"},
    {"CONNECT{}\r\nCONNECT\r\n", "CONNECT({}|||||0||) CONNECT(|||||0||) more"},
    {"XYZ", "unknown"},
    {"P", "more"},
    {"PX", "unknown"},
    {"\r\n", "unknown"},
    {" PING\r\n", "unknown"},
    {"SUB aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1\r\n",
     "SUB(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1|"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|||1|0||) more"},
    {"SUB aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1\r\n", "long"},
    {"PUB aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "long"},
};

static void parses_the_same_in_pieces_of_any_size(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        for (size_t step = 1; step < 90; step++) {
            Buf got = {0};
            run(slice_of_text(CASES[i].input), step, &got);
            assert_string_equal(buf_text(&got), CASES[i].want);
            buf_done(&got);
        }
    }
}

static void asks_for_the_whole_payload(void **state) {
    (void)state;
    NatsParser parser = {.control_line_max = LINE_MAX_BYTES, .payload_max = PAYLOAD_MAX};
    char text[] = "PUB a 50\r\nxx";
    NatsOp op;
    size_t used;
    assert_int_equal(nats_parse(&parser, text, strlen(text), &op, &used), NATS_PARSE_MORE);
    assert_int_equal(used, 10 + 50 + 2);
}

static void keeps_control_bytes_inside_tokens(void **state) {
    (void)state;
    NatsParser parser = {.control_line_max = LINE_MAX_BYTES, .payload_max = PAYLOAD_MAX};
    char text[] = "PUB a\x01\x02\x1f.bbbbbbbbbbbbbbbbbbbbbb\x03\xff\xc3\xa9 0\r\n\r\n";
    NatsOp op;
    size_t used;
    assert_int_equal(nats_parse(&parser, text, sizeof text - 1, &op, &used), NATS_PARSE_OP);
    assert_int_equal(op.subject.len, 31);
    assert_int_equal(used, sizeof text - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_the_same_in_pieces_of_any_size),
        cmocka_unit_test(asks_for_the_whole_payload),
        cmocka_unit_test(keeps_control_bytes_inside_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
