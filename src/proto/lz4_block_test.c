#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/lz4_block.h"

enum { LEN = 64 * 1024 };

static char text[LEN], packed[2 * LEN], back[LEN];

static void fill(unsigned seed, bool is_noise) {
    for (size_t i = 0; i < LEN; i++) {
        seed = seed * 1103515245 + 12345;
        text[i] = (char)(is_noise ? seed >> 16 : i % 61 + (seed >> 16) % 2);
    }
}

static void what_was_written_is_read(void **state) {
    (void)state;
    fill(1, false);
    size_t len = lz4_block_write(slice_from(text, LEN), packed, sizeof packed);
    assert_in_range(len, 1, LEN - 1);
    assert_true(lz4_block_read(slice_from(packed, len), back, LEN));
    assert_memory_equal(text, back, LEN);
}

static void what_takes_more_than_there_is_room_for_is_not_written(void **state) {
    (void)state;
    fill(2, true);
    assert_int_equal(lz4_block_write(slice_from(text, LEN), packed, LEN * 7 / 8), 0);
}

static void a_block_of_another_length_is_refused(void **state) {
    (void)state;
    fill(3, false);
    size_t len = lz4_block_write(slice_from(text, LEN / 2), packed, sizeof packed);
    assert_false(lz4_block_read(slice_from(packed, len), back, LEN / 2 - 1));
    assert_false(lz4_block_read(slice_from(packed, len), back, LEN / 2 + 1));
    assert_false(lz4_block_read(slice_from(packed, len - 1), back, LEN / 2));
    assert_false(lz4_block_read(slice_from(packed, 0), back, LEN / 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(what_takes_more_than_there_is_room_for_is_not_written),
        cmocka_unit_test(a_block_of_another_length_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
