#include "proto/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct Frame {
    unsigned opcode;
    bool is_open, is_unmasked; /* more frames follow; no mask */
    unsigned rsv;
} Frame;

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9 };

/* As a client writes it. */
static void add_frame(Buf *to, Frame frame, Slice payload) {
    static const char mask[4] = "abcd";
    buf_append_char(to, (char)((frame.is_open ? 0 : 0x80) | frame.rsv << 4 | frame.opcode));
    unsigned masked = frame.is_unmasked ? 0 : 0x80;
    if (payload.len < 126) {
        buf_append_char(to, (char)(masked | payload.len));
    } else {
        buf_append_char(to, (char)(masked | 126));
        buf_append_char(to, (char)(payload.len >> 8));
        buf_append_char(to, (char)payload.len);
    }
    if (!frame.is_unmasked)
        buf_append_bytes(to, mask, 4);
    for (size_t i = 0; i < payload.len; i++)
        buf_append_char(to, (char)(payload.ptr[i] ^ (frame.is_unmasked ? 0 : mask[i % 4])));
}

typedef struct Rig {
    WebSocket *socket;
    Buf raw, plain, reply;
    const char *error;
} Rig;

static Rig rig_new(WebSocketOptions options) {
    if (options.inflated_max == 0)
        options.inflated_max = 1 << 20;
    return (Rig){.socket = websocket_new(&options)};
}

static Status read_all(Rig *rig) {
    Status status =
        websocket_read(rig->socket, buf_slice(&rig->raw), &rig->plain, &rig->reply, &rig->error);
    buf_clear(&rig->raw);
    return status;
}

static void rig_done(Rig *rig) {
    websocket_free(rig->socket);
    buf_done(&rig->raw);
    buf_done(&rig->plain);
    buf_done(&rig->reply);
}

static void assert_bytes(const Buf *buf, const char *bytes, size_t len) {
    assert_int_equal(buf->len, len);
    assert_memory_equal(buf->ptr, bytes, len);
}
#define ASSERT_BYTES(buf, text) assert_bytes((buf), text, sizeof(text) - 1)

static void the_key_of_the_standard_gives_the_standards_answer(void **state) {
    (void)state;
    Buf out = {0};
    assert_int_equal(websocket_accept(LIT("dGhlIHNhbXBsZSBub25jZQ=="), &out), OK);
    ASSERT_BYTES(&out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(websocket_accept(LIT("abc"), &out), ERR_SYNTAX);
    assert_int_equal(websocket_accept(LIT("YWJj"), &out), ERR_SYNTAX);
    buf_done(&out);
}

static void frames_of_any_kind_give_one_run_of_bytes(void **state) {
    (void)state;
    Rig rig = rig_new((WebSocketOptions){0});
    add_frame(&rig.raw, (Frame){BINARY}, LIT("PI"));
    add_frame(&rig.raw, (Frame){BINARY}, LIT(""));
    add_frame(&rig.raw, (Frame){TEXT, .is_open = true}, LIT("NG\r"));
    add_frame(&rig.raw, (Frame){PING}, LIT("are you there"));
    add_frame(&rig.raw, (Frame){0}, LIT("\n"));
    assert_int_equal(read_all(&rig), OK);
    ASSERT_BYTES(&rig.plain, "PING\r\n");
    ASSERT_BYTES(&rig.reply, "\x8a\x0d"
                             "are you there");
    rig_done(&rig);
}

static void a_frame_may_come_byte_by_byte(void **state) {
    (void)state;
    Rig rig = rig_new((WebSocketOptions){0});
    Buf whole = {0};
    char payload[300];
    memset(payload, 'x', sizeof payload);
    add_frame(&whole, (Frame){BINARY}, slice_from(payload, sizeof payload));
    for (size_t i = 0; i < whole.len; i++) {
        buf_append_char(&rig.raw, whole.ptr[i]);
        assert_int_equal(read_all(&rig), OK);
    }
    assert_bytes(&rig.plain, payload, sizeof payload);
    buf_done(&whole);
    rig_done(&rig);
}

static void a_close_is_echoed(void **state) {
    (void)state;
    Rig rig = rig_new((WebSocketOptions){0});
    add_frame(&rig.raw, (Frame){BINARY}, LIT("before"));
    add_frame(&rig.raw, (Frame){CLOSE},
              LIT("\x03\xe8"
                  "bye"));
    add_frame(&rig.raw, (Frame){BINARY}, LIT("after"));
    assert_int_equal(read_all(&rig), ERR_CLOSED);
    ASSERT_BYTES(&rig.plain, "before");
    ASSERT_BYTES(&rig.reply, "\x88\x05\x03\xe8"
                             "bye");
    rig_done(&rig);
}

static void each_breach_of_the_rules_is_named(void **state) {
    (void)state;
    static const struct {
        Frame frames[2];
        const char *error;
    } cases[] = {
        {{{BINARY, .is_unmasked = true}}, "mask bit missing"},
        {{{BINARY, .rsv = 2}}, "RSV2 and RSV3 must be clear"},
        {{{BINARY, .rsv = 4}}, "invalid use of compressed bit"},
        {{{0}}, "invalid continuation frame"},
        {{{5}}, "unknown opcode"},
        {{{PING, .is_open = true}}, "invalid frame"},
        {{{BINARY, .is_open = true}, {BINARY}},
         "new message started before final frame for previous message was received"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Rig rig = rig_new((WebSocketOptions){0});
        add_frame(&rig.raw, cases[i].frames[0], LIT("x"));
        if (cases[i].frames[1].opcode)
            add_frame(&rig.raw, cases[i].frames[1], LIT("y"));
        assert_int_equal(read_all(&rig), ERR_SYNTAX);
        assert_string_equal(rig.error, cases[i].error);
        assert_int_equal((unsigned char)rig.reply.ptr[0], 0x88);
        rig_done(&rig);
    }
}

static void who_was_told_so_need_not_mask(void **state) {
    (void)state;
    Rig rig = rig_new((WebSocketOptions){.takes_unmasked = true});
    add_frame(&rig.raw, (Frame){BINARY, .is_unmasked = true}, LIT("PING\r\n"));
    assert_int_equal(read_all(&rig), OK);
    ASSERT_BYTES(&rig.plain, "PING\r\n");
    rig_done(&rig);
}

static void what_is_written_is_read_back_plain_and_deflated(void **state) {
    (void)state;
    for (int is_compressed = 0; is_compressed < 2; is_compressed++) {
        Rig rig =
            rig_new((WebSocketOptions){.takes_unmasked = true, .is_compressed = is_compressed});
        Buf sent = {0};
        for (size_t len = 0; len < 200 * 1000; len = len * 3 + 1) {
            Buf part = {0};
            for (size_t i = 0; i < len; i++)
                buf_append_char(&part, (char)('a' + i % 17));
            buf_append(&sent, buf_slice(&part));
            websocket_write(rig.socket, buf_slice(&part), &rig.raw);
            buf_done(&part);
        }
        assert_true(is_compressed == (rig.raw.len < sent.len / 4));
        assert_int_equal(read_all(&rig), OK);
        assert_bytes(&rig.plain, sent.ptr, sent.len);
        buf_done(&sent);
        rig_done(&rig);
    }
}

static void a_message_that_inflates_beyond_the_limit_is_refused(void **state) {
    (void)state;
    Rig rig = rig_new((WebSocketOptions){
        .takes_unmasked = true, .is_compressed = true, .inflated_max = 20 * 1000});
    Buf zeros = {0};
    memset(buf_reserve(&zeros, 30 * 1000), 0, 30 * 1000);
    zeros.len = 30 * 1000;
    websocket_write(rig.socket, buf_slice(&zeros), &rig.raw);
    assert_int_equal(read_all(&rig), ERR_SYNTAX);
    assert_string_equal(rig.error, "message too large");
    buf_done(&zeros);
    rig_done(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_of_the_standard_gives_the_standards_answer),
        cmocka_unit_test(frames_of_any_kind_give_one_run_of_bytes),
        cmocka_unit_test(a_frame_may_come_byte_by_byte),
        cmocka_unit_test(a_close_is_echoed),
        cmocka_unit_test(each_breach_of_the_rules_is_named),
        cmocka_unit_test(who_was_told_so_need_not_mask),
        cmocka_unit_test(what_is_written_is_read_back_plain_and_deflated),
        cmocka_unit_test(a_message_that_inflates_beyond_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
