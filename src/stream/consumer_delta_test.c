#include "stream/consumer_delta.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rand.h"

static void what_is_written_is_read(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        DeltaOp ops[64], op;
        DeltaWriter writer = {0};
        Rand rand;
        size_t n = 0;
        rand_init(&rand, seed);
        uint64_t dseq = rand_below(&rand, 100), sseq = rand_u64(&rand) >> rand_below(&rand, 60);
        for (size_t i = 0; i < rand_below(&rand, 64); i++) {
            DeltaOp next = {(DeltaKind)(1 + rand_below(&rand, 7)), dseq, sseq, 0};
            if (rand_below(&rand, 2) && n > 0)
                next.kind = ops[n - 1].kind;
            if (next.kind == DELTA_REDELIVERED)
                next.count = rand_below(&rand, 1000);
            if (next.kind == DELTA_POSITION && n > 0 && ops[n - 1].kind == DELTA_POSITION)
                n--; /* only the last counts */
            delta_add(&writer, &next);
            ops[n++] = next;
            dseq += rand_below(&rand, 3) ? 1 : rand_below(&rand, 50);
            sseq = rand_below(&rand, 10) ? sseq + 1 : rand_u64(&rand) >> 8;
        }
        Slice payload = delta_finish(&writer);
        if (n == 0) {
            assert_true(delta_is_empty(&writer));
            continue;
        }
        DeltaReader reader = delta_read(payload);
        for (size_t i = 0; i < n; i++) {
            assert_true(delta_next(&reader, &op));
            assert_int_equal(op.kind, ops[i].kind);
            assert_int_equal(op.dseq, ops[i].dseq);
            assert_int_equal(op.sseq, ops[i].sseq);
            assert_int_equal(op.count, ops[i].count);
        }
        assert_false(delta_next(&reader, &op));
        assert_int_equal(reader.status, OK);
        buf_done(&writer.ops);
    }
}

static void runs_take_a_few_bytes(void **state) {
    (void)state;
    DeltaWriter writer = {0};
    for (uint64_t i = 0; i < 1000; i++)
        delta_add(&writer, &(DeltaOp){DELTA_DELIVERED, 500 + i, 100000 + i, 0});
    assert_true(delta_finish(&writer).len < 12);
    buf_done(&writer.ops);
}

static void bad_bytes_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        Status status;
    } cases[] = {
        {"", 0, ERR_CORRUPT},
        {"\x02\x01\x02\x02\x01", 5, ERR_VERSION},
        {"\x01\x09\x02\x02\x01", 5, ERR_CORRUPT},                 /* kind */
        {"\x01\x01\x02\x02", 4, ERR_CORRUPT},                     /* cut */
        {"\x01\x01\x02\x02\x00", 5, ERR_CORRUPT},                 /* an empty run */
        {"\x01\x01\x02\x02\xff\xff\xff\xff\x7f", 9, ERR_CORRUPT}, /* a run without end */
        {"\x01\x01\x01\x01\x05", 5, ERR_CORRUPT},                 /* beyond the last number */
        {"\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x02\x02", 14, ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        DeltaOp op;
        DeltaReader reader = delta_read(slice_from(cases[i].bytes, cases[i].len));
        while (delta_next(&reader, &op))
            ;
        assert_int_equal(reader.status, cases[i].status);
    }
}

static void random_bytes_do_no_harm(void **state) {
    (void)state;
    Rand rand;
    rand_init(&rand, 11);
    for (size_t round = 0; round < 20000; round++) {
        size_t len = rand_below(&rand, 20);
        char *bytes = mem_alloc(len + 1);
        DeltaOp op;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(i == 0 ? 1 : rand_below(&rand, round % 2 ? 256 : 8));
        DeltaReader reader = delta_read(slice_from(bytes, len));
        for (size_t n = 0; n < 1000 && delta_next(&reader, &op); n++)
            ;
        mem_free(bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(runs_take_a_few_bytes),
        cmocka_unit_test(bad_bytes_are_refused),
        cmocka_unit_test(random_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
