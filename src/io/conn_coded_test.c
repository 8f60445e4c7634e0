#include "io/conn_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/conn.h"

/* Coded bytes are the plain ones with a bit flipped. '?' is answered by "<yes>", '!' ends it. */
enum { FLIP = 0x20 };

typedef struct TestCodec {
    ConnCodec codec; /* first */
} TestCodec;

static int codecs;

static Status decode(ConnCodec *codec, Slice coded, Buf *plain) {
    for (size_t i = 0; i < coded.len; i++) {
        if (coded.ptr[i] == '?')
            buf_append_lit(&codec->replies, "<yes>");
        else if (coded.ptr[i] == '!')
            return ERR_CLOSED;
        else
            buf_append_char(plain, (char)(coded.ptr[i] ^ FLIP));
    }
    return OK;
}

static void encode(ConnCodec *codec, Slice plain, Buf *coded) {
    (void)codec;
    for (size_t i = 0; i < plain.len; i++)
        buf_append_char(coded, (char)(plain.ptr[i] ^ FLIP));
}

static void end(ConnCodec *codec, Buf *coded) {
    (void)codec;
    buf_append_lit(coded, "<bye>");
}

static void codec_free(ConnCodec *codec) {
    codecs--;
    mem_free(codec);
}

static ConnCodec *codec_new(Slice greeting) {
    static const ConnCodecOps ops = {decode, encode, end, codec_free};
    TestCodec *codec = mem_zalloc(sizeof *codec);
    codec->codec.ops = &ops;
    buf_append(&codec->codec.replies, greeting);
    codecs++;
    return &codec->codec;
}

static Worker **all;
static Conn conn;
static int peer;
static Buf got; /* by the owner */
static bool is_closed;
static ConnEnd how;

static size_t on_data(Conn *of, char *data, size_t len) {
    buf_append_bytes(&got, data, len);
    if (len && data[len - 1] == '.')
        conn_close_after_flush(of);
    return len;
}

static void on_closed(Conn *of, ConnEnd why) {
    (void)of;
    is_closed = true;
    how = why;
}

static int set_up(void **state) {
    static const ConnOps ops = {on_data, NULL, on_closed};
    int ends[2];
    (void)state;
    codecs = 0;
    is_closed = false;
    if (workers_new(1, &all) != OK || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ||
        fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0 || conn_open(&conn, all[0], ends[0], &ops) != OK)
        return -1;
    peer = ends[1];
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    (void)close(peer);
    conn_done(&conn);
    buf_done(&got);
    workers_free(all);
    return codecs;
}

static void turns(void) {
    for (int i = 0; i < 4; i++)
        worker_turn(all[0], false);
}

static void say(const char *text) {
    assert_int_equal(send(peer, text, strlen(text), 0), strlen(text));
    turns();
}

static void read_peer(Buf *to) {
    ssize_t n;
    while ((n = recv(peer, buf_reserve(to, 65536), 65536, 0)) > 0)
        to->len += (size_t)n;
}

static void assert_peer_reads(const char *text) {
    Buf heard = {0};
    read_peer(&heard);
    assert_string_equal(buf_text(&heard), text);
    buf_done(&heard);
}

static void both_ways_go_through_the_codec(void **state) {
    (void)state;
    conn_set_codec(&conn, codec_new(LIT("<hello>")));
    conn_append(&conn, LIT("abc"));
    turns();
    assert_peer_reads("<hello>ABC");
    say("XyZ");
    assert_string_equal(buf_text(&got), "xYz");
}

static void a_reply_goes_out_by_itself(void **state) {
    (void)state;
    conn_set_codec(&conn, codec_new((Slice){0}));
    say("a?b");
    assert_peer_reads("<yes>");
    assert_string_equal(buf_text(&got), "AB");
}

static void what_the_socket_does_not_take_follows_in_order(void **state) {
    (void)state;
    Buf sent = {0}, heard = {0};
    conn_set_codec(&conn, codec_new((Slice){0}));
    for (int i = 0; i < 40; i++) {
        char part[50000];
        memset(part, 'a' + i % 26, sizeof part);
        conn_append(&conn, slice_from(part, sizeof part));
        encode(NULL, slice_from(part, sizeof part), &sent);
        worker_turn(all[0], false);
    }
    assert_true(conn.pending_bytes > 0);
    for (int i = 0; i < 1000 && heard.len < sent.len; i++) {
        read_peer(&heard);
        turns();
    }
    assert_int_equal(heard.len, sent.len);
    assert_memory_equal(heard.ptr, sent.ptr, sent.len);
    assert_int_equal(conn.pending_bytes, 0);
    buf_done(&sent);
    buf_done(&heard);
}

static void who_closes_says_the_last_words(void **state) {
    (void)state;
    conn_set_codec(&conn, codec_new((Slice){0}));
    conn_append(&conn, LIT("end"));
    say("\x0e"); /* '.' */
    assert_peer_reads("END<bye>");
    assert_true(is_closed);
}

static void a_codec_may_end_it_after_the_replies(void **state) {
    (void)state;
    conn_set_codec(&conn, codec_new((Slice){0}));
    say("Q?!ignored");
    assert_peer_reads("<yes>");
    assert_string_equal(buf_text(&got), "q");
    assert_true(is_closed);
    assert_int_equal(how, CONN_END_PEER);
}

static void a_detached_socket_lives_on(void **state) {
    (void)state;
    int fd = conn_detach(&conn);
    turns();
    assert_true(is_closed);
    assert_int_equal(send(fd, "still here", 10, 0), 10);
    assert_peer_reads("still here");
    (void)close(fd);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(both_ways_go_through_the_codec),
        TEST(a_reply_goes_out_by_itself),
        TEST(what_the_socket_does_not_take_follows_in_order),
        TEST(who_closes_says_the_last_words),
        TEST(a_codec_may_end_it_after_the_replies),
        TEST(a_detached_socket_lives_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
