#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "store/record.h"

static Record sample(void) {
    return (Record){
        .type = RECORD_PUBLISH,
        .flags = 3,
        .group = 77,
        .term = 5,
        .index = UINT64_C(1) << 40,
        .time_ns = -12,
        .subject = LIT("orders.new"),
        .headers = LIT("NATS/1.0\r\nA: b\r\n\r\n"),
        .payload = LIT("hello"),
    };
}

static void a_record_is_read_as_written(void **state) {
    (void)state;
    Record record = sample(), read;
    char bytes[256];
    size_t used;
    record_write(&record, bytes);
    assert_int_equal(record_parse(slice_from(bytes, sizeof bytes), &read, &used), OK);
    assert_int_equal(used, record_bytes(&record));
    assert_int_equal(used % 8, 0);
    assert_int_equal(read.type, record.type);
    assert_int_equal(read.flags, record.flags);
    assert_int_equal(read.group, record.group);
    assert_int_equal(read.term, record.term);
    assert_true(read.index == record.index);
    assert_true(read.time_ns == record.time_ns);
    assert_true(slice_equal(read.subject, record.subject));
    assert_true(slice_equal(read.headers, record.headers));
    assert_true(slice_equal(read.payload, record.payload));
}

static void any_flipped_bit_before_the_padding_is_found(void **state) {
    (void)state;
    Record record = sample(), read;
    char bytes[256];
    size_t used;
    record_write(&record, bytes);
    uint32_t len;
    memcpy(&len, bytes, sizeof len);
    for (size_t bit = 0; bit < (size_t)len * 8; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_not_equal(record_parse(slice_from(bytes, record_bytes(&record)), &read, &used),
                             OK);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_int_equal(record_parse(slice_from(bytes, sizeof bytes), &read, &used), OK);
}

static void a_record_cut_short_is_out_of_range(void **state) {
    (void)state;
    Record record = sample(), read;
    char bytes[256];
    size_t used;
    record_write(&record, bytes);
    for (size_t len = 0; len < record_bytes(&record); len++) {
        assert_int_equal(record_parse(slice_from(bytes, len), &read, &used), ERR_RANGE);
        assert_int_equal(record_parse_trusted(slice_from(bytes, len), &read, &used), ERR_RANGE);
    }
}

static void lengths_that_do_not_fit_are_corrupt_even_when_trusted(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
        size_t size;
    } cases[] = {
        {0, 0, 4},        /* length: nothing */
        {0, 39, 4},       /* less than a header */
        {0, 1u << 31, 4}, /* more than any */
        {12, 0, 1},       /* type */
        {14, 500, 2},     /* subject beyond the end */
        {28, 500, 4},     /* headers beyond the end */
        {28, UINT32_MAX, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Record record = sample(), read;
        char bytes[256];
        size_t used;
        record_write(&record, bytes);
        memcpy(bytes + cases[i].at, &cases[i].value, cases[i].size);
        assert_int_equal(record_parse_trusted(slice_from(bytes, sizeof bytes), &read, &used),
                         ERR_CORRUPT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read_as_written),
        cmocka_unit_test(any_flipped_bit_before_the_padding_is_found),
        cmocka_unit_test(a_record_cut_short_is_out_of_range),
        cmocka_unit_test(lengths_that_do_not_fit_are_corrupt_even_when_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
