#include "stream/counter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void a_message_tells_its_total_or_is_no_counter(void **state) {
    (void)state;
    static const struct {
        Slice payload, total; /* empty: no counter */
    } cases[] = {
        {LIT("{\"val\":\"5\"}"), LIT("5")},
        {LIT("{\"val\":\"-123456789012345678901234567890\"}"),
         LIT("-123456789012345678901234567890")},
        {LIT(" {\"x\":1,\"VAL\":\"7\"} "), LIT("7")},
        {LIT("{\"val\":5}"), LIT("")},
        {LIT("{\"val\":\"x\"}"), LIT("0")},
        {LIT("{}"), LIT("0")},
        {LIT(""), LIT("")},
        {LIT("5"), LIT("")},
        {LIT("{\"val\":\"5\"}}"), LIT("")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CounterValue value;
        Status status = counter_read((Slice){0}, cases[i].payload, &value);
        assert_int_equal(status, cases[i].total.len ? OK : ERR_SYNTAX);
        if (status == OK)
            assert_true(slice_equal(value.total, cases[i].total));
    }
}

static void damaged_sources_make_no_counter(void **state) {
    (void)state;
    static const Slice bad[] = {LIT("[]"), LIT("{\"a\":1}"), LIT("{\"a\":{\"b\":1}}"),
                                LIT("{\"a\":{\"b\":\"x\"}}"), LIT("{\"a\"")};
    CounterValue value;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Buf headers = {0};
        buf_printf(&headers, "NATS/1.0\r\nNats-Counter-Sources: %.*s\r\n\r\n", SLICE_ARG(bad[i]));
        assert_int_equal(counter_read(buf_slice(&headers), LIT("{\"val\":\"1\"}"), &value),
                         ERR_SYNTAX);
        buf_done(&headers);
    }
}

static void an_increment_is_added(void **state) {
    (void)state;
    Buf headers = {0}, payload = {0};
    Slice block = LIT("NATS/1.0\r\nNats-Incr: 5\r\n\r\n");
    counter_add((CounterValue){0}, block, LIT("+005"), &headers, &payload);
    assert_true(slice_equal(buf_slice(&payload), LIT("{\"val\":\"5\"}")));
    assert_int_equal(headers.len, 0);

    buf_clear(&payload);
    CounterValue base = {LIT("-7"), LIT("{\"K\":{\"k\":\"2\"}}")};
    counter_add(base, block, LIT("5"), &headers, &payload);
    assert_true(slice_equal(buf_slice(&payload), LIT("{\"val\":\"-2\"}")));
    assert_true(slice_equal(buf_slice(&headers),
                            LIT("NATS/1.0\r\nNats-Incr: 5\r\n"
                                "Nats-Counter-Sources: {\"K\":{\"k\":\"2\"}}\r\n\r\n")));
    buf_done(&headers);
    buf_done(&payload);
}

static void a_copy_adds_what_the_origin_has_grown_by(void **state) {
    (void)state;
    static const struct {
        Slice sources, stream, subject, origin_total, want_increment, want_sources;
    } cases[] = {
        {LIT(""), LIT("K1"), LIT("k1.h"), LIT("7"), LIT("7"), LIT("{\"K1\":{\"k1.h\":\"7\"}}")},
        {LIT("{\"K1\":{\"k1.h\":\"7\"}}"), LIT("K1"), LIT("k1.h"), LIT("12"), LIT("5"),
         LIT("{\"K1\":{\"k1.h\":\"12\"}}")},
        {LIT("{\"K1\":{\"k1.h\":\"7\"}}"), LIT("K1"), LIT("k1.h"), LIT("3"), LIT("-4"),
         LIT("{\"K1\":{\"k1.h\":\"3\"}}")},
        {LIT("{\"K1\":{\"k1.h\":\"7\"}}"), LIT("K1"), LIT("k1.a"), LIT("1"), LIT("1"),
         LIT("{\"K1\":{\"k1.a\":\"1\",\"k1.h\":\"7\"}}")},
        {LIT("{\"K1\":{\"k1.h\":\"7\"},\"K3\":{\"c\":\"9\"}}"), LIT("K2"), LIT("k1.h"), LIT("2"),
         LIT("2"), LIT("{\"K1\":{\"k1.h\":\"7\"},\"K2\":{\"k1.h\":\"2\"},\"K3\":{\"c\":\"9\"}}")},
        {LIT("{\"K1\":{\"k1.h\":\"7\"}}"), LIT("K9"), LIT("z"), LIT("0"), LIT("0"),
         LIT("{\"K1\":{\"k1.h\":\"7\"},\"K9\":{\"z\":\"0\"}}")},
    };
    Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf block = {0}, want = {0}, headers = {0}, payload = {0};
        buf_printf(
            &block,
            "NATS/1.0\r\nNats-Incr: 1\r\nNats-Stream-Source: %.*s 3 > > %.*s abcdefgh\r\n\r\n",
            SLICE_ARG(cases[i].stream), SLICE_ARG(cases[i].subject));
        buf_printf(&want,
                   "NATS/1.0\r\nNats-Incr: %.*s\r\nNats-Stream-Source: %.*s 3 > > %.*s abcdefgh\r\n"
                   "Nats-Counter-Sources: %.*s\r\n\r\n",
                   SLICE_ARG(cases[i].want_increment), SLICE_ARG(cases[i].stream),
                   SLICE_ARG(cases[i].subject), SLICE_ARG(cases[i].want_sources));
        CounterValue base = {LIT("100"), cases[i].sources};
        assert_int_equal(
            counter_copy(base, buf_slice(&block), cases[i].origin_total, arena, &headers, &payload),
            OK);
        assert_true(slice_equal(buf_slice(&headers), buf_slice(&want)));

        /* Made again from its own result on the same base, it is the same. */
        Buf again = {0}, payload_again = {0};
        Slice total;
        assert_int_equal(counter_origin_total(buf_slice(&headers), arena, &total), OK);
        assert_true(slice_equal(total, cases[i].origin_total));
        assert_int_equal(
            counter_copy(base, buf_slice(&headers), total, arena, &again, &payload_again), OK);
        assert_true(slice_equal(buf_slice(&again), buf_slice(&headers)));
        assert_true(slice_equal(buf_slice(&payload_again), buf_slice(&payload)));
        buf_done(&block);
        buf_done(&want);
        buf_done(&headers);
        buf_done(&payload);
        buf_done(&again);
        buf_done(&payload_again);
    }
    arena_free(arena);
}

static void what_names_no_origin_is_not_copied(void **state) {
    (void)state;
    static const Slice blocks[] = {
        LIT("NATS/1.0\r\nNats-Incr: 1\r\n\r\n"),
        LIT("NATS/1.0\r\nNats-Stream-Source: S 1 > > s x\r\n\r\n"),
        LIT("NATS/1.0\r\nNats-Incr: 1\r\nNats-Stream-Source: S 1\r\n\r\n"),
    };
    Arena *arena = arena_new();
    Buf headers = {0}, payload = {0};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        assert_int_equal(
            counter_copy((CounterValue){0}, blocks[i], LIT("1"), arena, &headers, &payload),
            ERR_SYNTAX);
    assert_int_equal(headers.len + payload.len, 0);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_tells_its_total_or_is_no_counter),
        cmocka_unit_test(damaged_sources_make_no_counter),
        cmocka_unit_test(an_increment_is_added),
        cmocka_unit_test(a_copy_adds_what_the_origin_has_grown_by),
        cmocka_unit_test(what_names_no_origin_is_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
