#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/nuid.h"
#include "base/rand.h"
#include "base/vec.h"

static void numbers_are_written_in_decimal(void **state) {
    (void)state;
    Buf buf = {0};
    buf_append_u64(&buf, 0);
    buf_append_char(&buf, ' ');
    buf_append_u64(&buf, UINT64_MAX);
    buf_append_char(&buf, ' ');
    buf_append_i64(&buf, INT64_MIN);
    assert_string_equal(buf_text(&buf), "0 18446744073709551615 -9223372036854775808");
    buf_done(&buf);
}

static void a_buf_keeps_what_is_left_after_consuming(void **state) {
    (void)state;
    Buf buf = {0};
    buf_printf(&buf, "%s-%d", "abc", 5);
    buf_consume(&buf, 2);
    assert_string_equal(buf_text(&buf), "c-5");
    buf_done(&buf);
}

static void a_map_agrees_with_a_plain_array(void **state) {
    (void)state;
    enum { KEYS = 300, STEPS = 20000 };
    static char names[KEYS][8];
    static int values[KEYS];
    const int *model[KEYS] = {0};
    Map map = {0};
    Map64 map64 = {0};
    Rand rand;
    rand_init(&rand, 1);
    for (size_t i = 0; i < KEYS; i++)
        (void)snprintf(names[i], sizeof names[i], "k%zu", i);
    for (size_t step = 0; step < STEPS; step++) {
        size_t i = rand_below(&rand, KEYS);
        Slice key = slice_of_text(names[i]);
        if (rand_below(&rand, 2)) {
            assert_ptr_equal(map_put(&map, key, &values[i]), model[i]);
            assert_ptr_equal(map64_put(&map64, i, &values[i]), model[i]);
            model[i] = &values[i];
        } else {
            assert_ptr_equal(map_remove(&map, key), model[i]);
            assert_ptr_equal(map64_remove(&map64, i), model[i]);
            model[i] = NULL;
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < KEYS; i++) {
        assert_ptr_equal(map_get(&map, slice_of_text(names[i])), model[i]);
        assert_ptr_equal(map64_get(&map64, i), model[i]);
        n += model[i] != NULL;
    }
    assert_int_equal(map.len, n);
    assert_int_equal(map64.len, n);
    map_done(&map);
    map64_done(&map64);
}

static void pieces_are_cut_at_the_separator(void **state) {
    (void)state;
    Slice rest = LIT("a..b"), piece;
    assert_true(slice_cut(&rest, '.', &piece) && slice_equal(piece, LIT("a")));
    assert_true(slice_cut(&rest, '.', &piece) && piece.len == 0);
    assert_true(slice_cut(&rest, '.', &piece) && slice_equal(piece, LIT("b")));
    assert_false(slice_cut(&rest, '.', &piece));
}

static void numbers_are_parsed_exactly_or_refused(void **state) {
    (void)state;
    static const struct {
        Slice text;
        Status status;
        int64_t value;
    } cases[] = {
        {LIT("0"), OK, 0},
        {LIT("-9223372036854775808"), OK, INT64_MIN},
        {LIT("9223372036854775807"), OK, INT64_MAX},
        {LIT("9223372036854775808"), ERR_RANGE, 0},
        {LIT("99999999999999999999"), ERR_RANGE, 0},
        {LIT(""), ERR_SYNTAX, 0},
        {LIT("-"), ERR_SYNTAX, 0},
        {LIT("1x"), ERR_SYNTAX, 0},
        {LIT(" 1"), ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 0;
        assert_int_equal(slice_parse_i64(cases[i].text, &value), cases[i].status);
        assert_int_equal(value, cases[i].value);
    }
}

static void the_checksum_is_castagnolis(void **state) {
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

static void long_inputs_have_the_checksum_of_their_pieces(void **state) {
    (void)state;
    char bytes[10000];
    Rand rand;
    rand_init(&rand, 3);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)rand_u64(&rand);
    uint32_t crc = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(crc32c(0, bytes, i), crc);
        crc = crc32c(crc, bytes + i, 1);
    }
}

static void arena_memory_is_apart_and_aligned(void **state) {
    (void)state;
    Arena *arena = arena_new();
    char *small = arena_alloc(arena, 3), *large = arena_alloc(arena, 100000),
         *next = arena_alloc(arena, 3);
    memset(small, 1, 3);
    memset(large, 2, 100000);
    memset(next, 3, 3);
    assert_int_equal(small[2] + large[99999] + next[0], 6);
    assert_int_equal(((uintptr_t)small | (uintptr_t)large | (uintptr_t)next) % 16, 0);
    arena_reset(arena);
    assert_non_null(arena_alloc(arena, 10));
    arena_free(arena);
}

static void lists_keep_order_and_forget_what_is_removed(void **state) {
    (void)state;
    List list;
    Link links[3];
    list_init(&list);
    for (int i = 0; i < 3; i++) {
        link_init(&links[i]);
        list_push_back(&list, &links[i]);
    }
    list_remove(&links[1]);
    list_remove(&links[1]);
    assert_ptr_equal(list_pop_front(&list), &links[0]);
    assert_ptr_equal(list_pop_front(&list), &links[2]);
    assert_null(list_pop_front(&list));
}

static void vectors_grow_and_shrink(void **state) {
    (void)state;
    VEC(int) numbers = {0};
    for (int i = 0; i < 100; i++)
        vec_push(&numbers, i);
    vec_remove_ordered(&numbers, 0);
    assert_int_equal(numbers.at[0], 1);
    (void)vec_remove_unordered(&numbers, 0);
    assert_int_equal(numbers.at[0], 99);
    assert_int_equal(vec_pop(&numbers), 98);
    assert_int_equal(numbers.len, 97);
    vec_done(&numbers);
}

static void nuids_differ(void **state) {
    (void)state;
    Rand rand;
    char one[NUID_LEN], two[NUID_LEN];
    rand_init(&rand, 9);
    nuid_write(&rand, one, NUID_LEN);
    nuid_write(&rand, two, NUID_LEN);
    assert_memory_not_equal(one, two, NUID_LEN);
}

/* Checksums on disk depend on it. */
static void hashes_are_the_same_however_they_are_computed(void **state) {
    (void)state;
    static uint8_t bytes[20000], secret[HASH_SECRET_BYTES];
    HashSum *sum = hash_sum_new();
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (uint8_t)(i * 37 + 1);
    for (size_t len = 0; len <= sizeof bytes; len += len < 1100 ? 1 : 997) {
        uint8_t hash[HASH_128_BYTES];
        XXH128_canonical_t want;
        hash_sum_begin(sum);
        hash_sum_add(sum, bytes, len);
        assert_true(hash_checksum(bytes, len) == hash_sum_end(sum));
        hash_under_secret(secret, bytes, len, hash);
        XXH128_canonicalFromHash(&want, XXH3_128bits_withSecret(bytes, len, secret, sizeof secret));
        assert_memory_equal(hash, want.digest, sizeof hash);
    }
    hash_sum_free(sum);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_in_decimal),
        cmocka_unit_test(a_buf_keeps_what_is_left_after_consuming),
        cmocka_unit_test(a_map_agrees_with_a_plain_array),
        cmocka_unit_test(pieces_are_cut_at_the_separator),
        cmocka_unit_test(numbers_are_parsed_exactly_or_refused),
        cmocka_unit_test(the_checksum_is_castagnolis),
        cmocka_unit_test(long_inputs_have_the_checksum_of_their_pieces),
        cmocka_unit_test(arena_memory_is_apart_and_aligned),
        cmocka_unit_test(lists_keep_order_and_forget_what_is_removed),
        cmocka_unit_test(vectors_grow_and_shrink),
        cmocka_unit_test(nuids_differ),
        cmocka_unit_test(hashes_are_the_same_however_they_are_computed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
