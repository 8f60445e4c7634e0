#include "proto/s2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void blocks_decode_with_repeats(void **state) {
    (void)state;
    static const struct {
        Slice block, want;
    } cases[] = {
        {LIT("\x03\x08"
             "abc"),
         LIT("abc")},
        /* a copy of 4 at offset 3, with the short and the long forms */
        {LIT("\x07\x08"
             "abc\x01\x03"),
         LIT("abcabca")},
        {LIT("\x07\x08"
             "abc\x0e\x03\x00"),
         LIT("abcabca")},
        {LIT("\x07\x08"
             "abc\x0f\x03\x00\x00\x00"),
         LIT("abcabca")},
        /* then the same offset again: 4, and 8 by one more byte */
        {LIT("\x0b\x08"
             "abc\x01\x03\x01\x00"),
         LIT("abcabcabcab")},
        {LIT("\x0f\x08"
             "abc\x01\x03\x15\x00\x00"),
         LIT("abcabcabcabcabc")},
    };
    Buf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&out);
        assert_int_equal(s2_decode_block(cases[i].block, 100, &out), OK);
        assert_true(slice_equal(buf_slice(&out), cases[i].want));
    }
    buf_done(&out);
}

static void bad_blocks_are_refused(void **state) {
    (void)state;
    static const Slice cases[] = {
        LIT(""),
        LIT("\xff\xff\xff\xff\xff\xff"),
        LIT("\x04\x08"
            "abc"), /* too short */
        LIT("\x02\x08"
            "abc"), /* too long */
        LIT("\x03\x08"
            "ab"),
        LIT("\x04\x01\x00"), /* repeats before any offset */
        LIT("\x07\x08"
            "abc\x01\x04"), /* before the beginning */
        LIT("\x07\x08"
            "abc\x0e\x00\x00"),
        LIT("\x7f"), /* above max */
    };
    Buf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(s2_decode_block(cases[i], 100, &out), ERR_CORRUPT);
        assert_int_equal(out.len, 0);
    }
    buf_done(&out);
}

static Status read_all(S2Reader *reader, Buf *out) {
    Status status;
    while ((status = s2_reader_read(reader, out)) == OK) {
    }
    return status;
}

/* Text that compresses, bytes that do not, and lengths around the edges. */
static void what_is_written_is_read_back(void **state) {
    (void)state;
    static const size_t lens[] = {1, 3, 15, 16, 17, 60, 61, 257, 4096, 65535, 65536};
    char *plain = mem_alloc(S2_WRITE_BYTES_MAX);
    uint32_t random = 1;
    for (unsigned kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < S2_WRITE_BYTES_MAX; i++) {
            random = random * 1103515245u + 12345u;
            plain[i] = kind == 0 ? 0 : kind == 1 ? (char)(random >> 16) : "abcdefgh"[random >> 29];
        }
        for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
            for (size_t step = 1; step < 100000; step = step * 9 + 1) {
                Buf packed = {0}, out = {0};
                S2Reader reader = {0};
                s2_write_magic(&packed);
                s2_write_chunk(&packed, slice_from(plain, lens[i]));
                if (kind == 0 && lens[i] > 1000)
                    assert_true(packed.len < lens[i] / 8);
                for (size_t at = 0; at < packed.len; at += step) {
                    assert_true(at == 0 || !s2_reader_is_at_end(&reader) || out.len == 0);
                    s2_reader_feed(&reader,
                                   slice_first(slice_from_at(buf_slice(&packed), at), step));
                    assert_int_equal(read_all(&reader, &out), ERR_AGAIN);
                }
                assert_true(s2_reader_is_at_end(&reader));
                assert_true(slice_equal(buf_slice(&out), slice_from(plain, lens[i])));
                s2_reader_done(&reader);
                buf_done(&packed);
                buf_done(&out);
                if (lens[i] > 5000 && step == 1)
                    step = 1000;
            }
    }
    mem_free(plain);
}

static void damage_is_seen_by_the_checksum(void **state) {
    (void)state;
    Buf packed = {0};
    s2_write_magic(&packed);
    s2_write_chunk(&packed, LIT("hello hello hello hello hello hello hello"));
    for (size_t i = 0; i < packed.len; i++) {
        Buf out = {0};
        S2Reader reader = {0};
        packed.ptr[i] ^= 4;
        s2_reader_feed(&reader, buf_slice(&packed));
        assert_true(read_all(&reader, &out) == ERR_CORRUPT || !s2_reader_is_at_end(&reader) ||
                    out.len == 0);
        packed.ptr[i] ^= 4;
        s2_reader_done(&reader);
        buf_done(&out);
    }
    buf_done(&packed);
}

static void padding_and_other_streams_are_understood(void **state) {
    (void)state;
    Buf packed = {0}, out = {0};
    S2Reader reader = {0};
    s2_write_magic(&packed);
    buf_append_lit(&packed, "\xfe\x03\x00\x00xyz\x99\x01\x00\x00i");
    s2_write_chunk(&packed, LIT("one"));
    buf_append_lit(&packed, "\xff\x06\x00\x00sNaPpY");
    s2_write_chunk(&packed, LIT("two"));
    s2_reader_feed(&reader, buf_slice(&packed));
    assert_int_equal(read_all(&reader, &out), ERR_AGAIN);
    assert_true(slice_equal(buf_slice(&out), LIT("onetwo")));
    s2_reader_feed(&reader, LIT("\x02\x01\x00\x00x"));
    assert_int_equal(read_all(&reader, &out), ERR_CORRUPT);
    s2_reader_done(&reader);
    buf_done(&packed);
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_decode_with_repeats),
        cmocka_unit_test(bad_blocks_are_refused),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(damage_is_seen_by_the_checksum),
        cmocka_unit_test(padding_and_other_streams_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
