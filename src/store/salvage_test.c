#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "store/salvage.h"

enum { RECORDS = 9 };

static void add(Buf *body, uint64_t index, Slice payload) {
    Record record = {.type = RECORD_PUBLISH, .group = 1, .index = index, .payload = payload};
    record.subject = LIT("s");
    record_write(&record, buf_reserve(body, record_bytes(&record)));
    body->len += record_bytes(&record);
}

/* Equal lengths, so that a damaged length can point at a later record. */
static Buf equal_records(void) {
    Buf body = {0};
    for (uint64_t i = 1; i <= RECORDS; i++)
        add(&body, i, LIT("0123456789012345678901234567890"));
    return body;
}

static unsigned count_readable(const Pieces *pieces, Slice body) {
    unsigned n = 0;
    size_t at = 0;
    for (size_t i = 0; i < pieces->len; i++) {
        assert_int_equal(pieces->at[i].at, at);
        at += pieces->at[i].len;
        n += pieces->at[i].is_readable;
    }
    assert_int_equal(at, body.len);
    return n;
}

static void any_flipped_bit_costs_one_record(void **state) {
    (void)state;
    Buf body = equal_records();
    for (size_t bit = 0; bit < body.len * 8; bit++) {
        body.ptr[bit / 8] ^= (char)(1 << bit % 8);
        Pieces pieces;
        uint64_t lost = salvage(buf_slice(&body), RECORDS, &pieces);
        unsigned readable = count_readable(&pieces, buf_slice(&body));
        assert_int_equal(lost, RECORDS - readable);
        assert_true(readable >= RECORDS - 1);
        vec_done(&pieces);
        body.ptr[bit / 8] ^= (char)(1 << bit % 8);
    }
    buf_done(&body);
}

static void records_inside_a_damaged_payload_are_not_taken_for_real_ones(void **state) {
    (void)state;
    Buf inner = equal_records(), body = {0};
    add(&body, 1, LIT("first"));
    size_t at = body.len;
    add(&body, 2, buf_slice(&inner));
    size_t end = body.len;
    add(&body, 3, LIT("last"));
    for (size_t bit = 0; bit < 48 * 8; bit++) { /* its head and the first record in it */
        body.ptr[at + bit / 8] ^= (char)(1 << bit % 8);
        Pieces pieces;
        assert_int_equal(salvage(buf_slice(&body), 3, &pieces), 1);
        assert_int_equal(pieces.len, 3);
        assert_int_equal(pieces.at[1].at, at);
        assert_int_equal(pieces.at[1].len, end - at);
        assert_false(pieces.at[1].is_readable);
        vec_done(&pieces);
        body.ptr[at + bit / 8] ^= (char)(1 << bit % 8);
    }
    buf_done(&inner);
    buf_done(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_flipped_bit_costs_one_record),
        cmocka_unit_test(records_inside_a_damaged_payload_are_not_taken_for_real_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
