#include "proto/archive.h"

#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/highway.h"
#include "proto/s2.h"

static void put_entry(Buf *out, const char *name, uint64_t seq, int64_t time_ns,
                      const char *headers, const char *payload) {
    ArchiveEntry entry = {slice_of_text(name), time_ns, seq, strlen(headers), strlen(payload)};
    archive_write_head(out, &entry);
    buf_append(out, slice_of_text(headers));
    buf_append(out, slice_of_text(payload));
}

static void pack(Buf *plain, Buf *packed) {
    s2_write_magic(packed);
    for (size_t at = 0; at < plain->len; at += 100)
        s2_write_chunk(packed, slice_first(slice_from_at(buf_slice(plain), at), 100));
    buf_done(plain);
}

/* One line per item; the reader is fed in steps. The last line is how it ended. */
static void describe(const ArchiveItem *item, Buf *out) {
    switch (item->kind) {
    case ARCHIVE_STATE:
        buf_printf(out, "state %.*s\n", SLICE_ARG(item->json));
        break;
    case ARCHIVE_CONFIG:
        buf_printf(out, "config %.*s\n", SLICE_ARG(item->json));
        break;
    case ARCHIVE_CONSUMER:
        buf_printf(out, "consumer %.*s %.*s delivered %d/%d floor %d/%d", SLICE_ARG(item->name),
                   SLICE_ARG(item->json), (int)item->consumer.delivered_dseq,
                   (int)item->consumer.delivered_sseq, (int)item->consumer.floor_dseq,
                   (int)item->consumer.floor_sseq);
        for (size_t i = 0; i < item->consumer.pending_count; i++)
            buf_printf(out, " %d:%d:%d", (int)item->consumer.pending[i].sseq,
                       (int)item->consumer.pending[i].dseq,
                       (int)item->consumer.pending[i].deliveries);
        buf_append_char(out, '\n');
        break;
    case ARCHIVE_MESSAGE:
        buf_printf(out, "%d %.*s @%d '%.*s' '%.*s'\n", (int)item->seq, SLICE_ARG(item->subject),
                   (int)item->time_ns, SLICE_ARG(item->headers), SLICE_ARG(item->payload));
        break;
    case ARCHIVE_REMOVED:
        buf_printf(out, "removed %d\n", (int)item->seq);
        break;
    case ARCHIVE_END:
        buf_append_lit(out, "end\n");
        break;
    }
}

static void read_in_steps(Slice packed, size_t step, Buf *out) {
    ArchiveReader *reader = archive_reader_new(LIT("S"));
    ArchiveItem item = {0};
    Status status = ERR_AGAIN;
    bool is_over = false;
    for (size_t at = 0; at < packed.len && status == ERR_AGAIN; at += step) {
        archive_reader_feed(reader, slice_first(slice_from_at(packed, at), step));
        while (!is_over && (status = archive_reader_next(reader, &item)) == OK) {
            describe(&item, out);
            is_over = item.kind == ARCHIVE_END;
        }
    }
    if (!is_over)
        buf_append(out, archive_reader_why(reader));
    archive_reader_free(reader);
}

static void check(Slice packed, const char *want) {
    for (size_t step = 1; step < 100000; step = step * 7 + 3) {
        Buf out = {0};
        read_in_steps(packed, step, &out);
        assert_string_equal(buf_text(&out), want);
        buf_done(&out);
    }
}

static void version_2_is_read_as_it_is_written(void **state) {
    (void)state;
    Buf plain = {0}, packed = {0};
    archive_write_magic(&plain);
    put_entry(&plain, "state.json", 0, 5, "", "{\"messages\":2}");
    put_entry(&plain, "consumers/C", 0, 5, "",
              "{\"config\":{\"durable_name\":\"C\"},\"state\":{\"delivered\":{\"consumer_seq\":4,"
              "\"stream_seq\":3},\"ack_floor\":{\"consumer_seq\":1,\"stream_seq\":1},"
              "\"pending\":{\"3\":{\"Sequence\":4,\"Timestamp\":9},\"2\":{\"Sequence\":2,"
              "\"Timestamp\":8}},\"redelivered\":{\"2\":2,\"9\":1}}}");
    put_entry(&plain, "a.b", 3, -7, "H", "x");
    put_entry(&plain, "c", 9, 8, "", "");
    archive_write_end(&plain);
    pack(&plain, &packed);
    check(buf_slice(&packed),
          "state {\"messages\":2}\n"
          "consumer C {\"durable_name\":\"C\"} delivered 4/3 floor 1/1 2:2:3 3:4:1\n"
          "3 a.b @-7 'H' 'x'\n9 c @8 '' ''\nend\n");
    buf_done(&packed);
}

static void an_archive_without_its_end_is_told_apart(void **state) {
    (void)state;
    Buf plain = {0}, packed = {0};
    archive_write_magic(&plain);
    put_entry(&plain, "state.json", 0, 5, "", "{}");
    pack(&plain, &packed);
    check(buf_slice(&packed), "state {}\nEOF");
    packed.len--;
    Buf out = {0};
    read_in_steps(buf_slice(&packed), packed.len, &out);
    assert_string_equal(buf_text(&out), "s2: corrupt input");
    buf_clear(&out);
    read_in_steps(LIT("rubbish, no archive"), 100, &out);
    assert_string_equal(buf_text(&out), "s2: corrupt input");
    ArchiveReader *reader = archive_reader_new(LIT("S"));
    assert_true(slice_equal(archive_reader_why(reader), LIT("EOF")));
    archive_reader_free(reader);
    buf_done(&out);
    buf_done(&packed);
}

/* --- version 1 --- */

static void put_number(Buf *out, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        buf_append_char(out, (char)(value >> (8 * i)));
}

static uint64_t sum_of(const char *key_text, Slice a, Slice b, Slice c) {
    uint8_t key[32];
    Highway hash;
    SHA256((const unsigned char *)key_text, strlen(key_text), key);
    highway_init(&hash, key);
    highway_add(&hash, a);
    highway_add(&hash, b);
    highway_add(&hash, c);
    return highway_finish(&hash);
}

static void put_record(Buf *out, uint64_t seq, int64_t time_ns, const char *subject,
                       const char *headers, const char *payload) {
    Buf body = {0}, ids = {0};
    uint32_t len = (uint32_t)(22 + strlen(subject) + strlen(payload) + 8);
    if (*headers)
        len = (len + 4 + (uint32_t)strlen(headers)) | 1u << 31;
    put_number(&ids, seq, 8);
    put_number(&ids, (uint64_t)time_ns, 8);
    buf_append(&body, slice_of_text(headers));
    buf_append(&body, slice_of_text(payload));
    put_number(out, len, 4);
    buf_append(out, buf_slice(&ids));
    put_number(out, strlen(subject), 2);
    buf_append(out, slice_of_text(subject));
    if (*headers)
        put_number(out, strlen(headers), 4);
    buf_append(out, buf_slice(&body));
    put_number(out, sum_of("S-1", buf_slice(&ids), slice_of_text(subject), buf_slice(&body)), 8);
    buf_done(&body);
    buf_done(&ids);
}

static void put_member(Buf *tar, const char *name, char type, Slice body) {
    char block[512] = {0}, text[16];
    size_t name_len = strlen(name) < 100 ? strlen(name) : 100;
    memcpy(block, name, name_len);
    (void)snprintf(block + 124, 12, "%011o", (unsigned)body.len);
    memcpy(block + 257, "ustar\00000", 8);
    block[156] = type;
    memset(block + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++)
        sum += (uint8_t)block[i];
    (void)snprintf(text, sizeof text, "%06o", sum);
    memcpy(block + 148, text, 7);
    buf_append_bytes(tar, block, sizeof block);
    buf_append(tar, body);
    while (tar->len % 512)
        buf_append_char(tar, 0);
}

static void put_sum(Buf *tar, const char *name, const char *key, Slice body, uint64_t flip) {
    char text[17] = "";
    uint64_t sum = sum_of(key, body, (Slice){0}, (Slice){0}) ^ flip;
    for (unsigned i = 0; i < 8; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", (unsigned)(sum >> (8 * i) & 0xff));
    put_member(tar, name, '0', slice_from(text, 16));
}

static void put_block(Buf *tar, bool is_packed) {
    Buf block = {0}, own = {0};
    put_record(&block, 2, 20, "a.b", "H", "two");
    put_record(&block, 3ull | 1ull << 63, 0, "", "", "erased");
    put_record(&block, 5, 50, "c", "", "");
    put_record(&block, 2ull | 1ull << 62, 60, "", "", "");
    if (is_packed) {
        buf_append_lit(&own, "cmp\x01");
        buf_append_char(&own, (char)block.len | (char)0x80);
        buf_append_char(&own, (char)(block.len >> 7));
        s2_write_magic(&own);
        s2_write_chunk(&own, slice_first(buf_slice(&block), block.len - 8));
        buf_append(&own, slice_from_at(buf_slice(&block), block.len - 8));
    }
    put_member(tar, "msgs/1.blk", '0', buf_slice(is_packed ? &own : &block));
    buf_done(&block);
    buf_done(&own);
}

static void make_v1(Buf *packed, bool is_packed, uint64_t flip) {
    static const Slice config = LIT("{\"Created\":\"x\",\"name\":\"S\"}");
    static const Slice consumer = LIT("{\"Name\":\"C\"}");
    /* floor 1/1, delivered 4/5; pending 4 and 5 out of order; 5 delivered three times */
    static const Slice state =
        LIT("\x16\x02\x01\x01\x04\x05\x02\x14\x04\x03\x02\x03\x02\x02\x01\x04\x02");
    Buf tar = {0};
    put_member(&tar, "meta.inf", '0', config);
    put_sum(&tar, "meta.sum", "S", config, flip);
    put_block(&tar, is_packed);
    put_member(&tar, "msgs/index.db", '0', LIT("not looked at"));
    put_member(&tar, "obs/without", '5', (Slice){0});
    put_member(&tar, "x", 'x', LIT("26 path=obs/none/meta.inf\n"));
    put_member(&tar, "short", '0', LIT("{\"Name\":\"none\"}"));
    put_member(&tar, "obs/C/meta.inf", '0', consumer);
    put_sum(&tar, "obs/C/meta.sum", "S/C", consumer, 0);
    put_member(&tar, "obs/C/o.dat", '0', state);
    for (int i = 0; i < 1024; i++)
        buf_append_char(&tar, 0);
    pack(&tar, packed);
}

static void version_1_is_read_in_the_same_words(void **state) {
    (void)state;
    for (int is_packed = 0; is_packed < 2; is_packed++) {
        Buf packed = {0};
        make_v1(&packed, is_packed, 0);
        check(buf_slice(&packed),
              "config {\"Created\":\"x\",\"name\":\"S\"}\n2 a.b @20 'H' 'two'\n5 c @50 '' ''\n"
              "removed 2\nconsumer none {\"Name\":\"none\"} delivered 0/0 floor 0/0\n"
              "consumer C {\"Name\":\"C\"} delivered 4/5 floor 1/1 4:3:1 5:4:3\nend\n");
        buf_done(&packed);
    }
}

static void version_1_checks_its_sums(void **state) {
    (void)state;
    Buf packed = {0};
    make_v1(&packed, false, 1);
    check(buf_slice(&packed), "config {\"Created\":\"x\",\"name\":\"S\"}\n"
                              "metadata checksum does not match");
    buf_done(&packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_2_is_read_as_it_is_written),
        cmocka_unit_test(an_archive_without_its_end_is_told_apart),
        cmocka_unit_test(version_1_is_read_in_the_same_words),
        cmocka_unit_test(version_1_checks_its_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
