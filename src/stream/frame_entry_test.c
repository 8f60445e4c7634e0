#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/frame_entry.h"

enum { RECORDS = 150, PLACE = 4096 };

static unsigned random_state = 1;

static unsigned next_random(void) {
    random_state = random_state * 1103515245 + 12345;
    return random_state >> 16;
}

/* Of a message like those of a real stream, or of noise. */
static Shared *new_record(unsigned n, bool is_noise, size_t *out_len) {
    char subject[32], payload[600];
    int len = snprintf(payload, sizeof payload,
                       "{\"id\":%u,\"customer\":\"customer-%u\",\"state\":\"%s\",\"total\":%u,"
                       "\"lines\":[{\"article\":\"%u\",\"count\":%u,\"price\":%u}]}",
                       n, next_random() % 1000, n % 3 ? "shipped" : "open", next_random() % 10000,
                       next_random(), next_random() % 9, next_random() % 500);
    for (int i = 0; i < len && is_noise; i++)
        payload[i] = (char)next_random();
    snprintf(subject, sizeof subject, "orders.%u", n % 7);
    Record record = {.type = RECORD_PUBLISH,
                     .group = 9,
                     .index = n + 100,
                     .time_ns = 1700000000000000000 + n * 1000003LL,
                     .subject = slice_of_text(subject),
                     .payload = slice_from(payload, (size_t)len)};
    *out_len = record_bytes(&record);
    Shared *bytes = shared_new(*out_len);
    record_write(&record, shared_bytes(bytes));
    return bytes;
}

static Place place_before(uint64_t seq) {
    return place_of(3, 96) + seq * 512;
}

static uint64_t seq_of(unsigned i) {
    return 1000 + i * 2 + (i > 70 ? 5000 : 0);
}

static void fill(FrameWriter *writer, unsigned count, bool is_noise) {
    for (unsigned i = 0; i < count; i++) {
        size_t len;
        Shared *bytes = new_record(i, is_noise, &len);
        assert_true(frame_writer_has_room(writer, len));
        frame_writer_add(writer, seq_of(i), place_before(seq_of(i)),
                         slice_from(shared_bytes(bytes), len));
        shared_unref(bytes);
    }
}

static void every_record_comes_back_as_it_was(void **state) {
    (void)state;
    FrameWriter writer = {0};
    Record entry, record;
    Frame frame;
    for (unsigned count = 1; count <= RECORDS; count += 37) {
        fill(&writer, count, false);
        Slice raw = buf_slice(&writer.records);
        size_t at = 0;
        if (!frame_writer_make(&writer, &entry)) {
            assert_int_equal(count, 1); /* one alone saves nothing */
            frame_writer_clear(&writer);
            continue;
        }
        assert_true(record_bytes(&entry) <= raw.len / 8 * 7);
        assert_int_equal(frame_open(&entry, &frame), OK);
        assert_int_equal(frame.count, count);
        for (unsigned i = 0; i < count; i++) {
            const FrameRecord *found = frame_find(&frame, seq_of(i));
            assert_non_null(found);
            assert_true(frame_record(&frame, found, &record));
            assert_memory_equal(record_raw(&record).ptr, raw.ptr + at, record_bytes(&record));
            at += record_bytes(&record);
            assert_null(frame_find(&frame, seq_of(i) + 1));
        }
        assert_int_equal(at, raw.len);
        frame_done(&frame);
        frame_writer_clear(&writer);
    }
    frame_writer_done(&writer);
}

static void the_shares_are_what_the_entry_takes(void **state) {
    (void)state;
    FrameWriter writer = {0};
    Record entry;
    FrameScan scan;
    FrameMember member;
    fill(&writer, RECORDS, false);
    assert_true(frame_writer_make(&writer, &entry));
    assert_true(frame_scan(&scan, &entry, place_of(77, PLACE)));
    size_t sum = 0;
    unsigned n = 0;
    while (frame_next(&scan, &member)) {
        assert_int_equal(member.seq, seq_of(n++));
        assert_true(member.from == place_before(member.seq));
        assert_true(member.place & PLACE_FRAME);
        assert_true(place_of_frame(member.place) == place_of(77, PLACE));
        assert_int_equal(place_segment(member.place), 77);
        assert_true(frame_share_bytes(member.bytes, member.place) > 0);
        sum += frame_share_bytes(member.bytes, member.place);
    }
    assert_int_equal(n, RECORDS);
    assert_int_equal(scan.done, scan.count);
    assert_in_range(sum, record_bytes(&entry) - 64, record_bytes(&entry) + 64);
    frame_writer_done(&writer);
}

static void noise_makes_no_frame(void **state) {
    (void)state;
    FrameWriter writer = {0};
    Record entry;
    fill(&writer, RECORDS, true);
    assert_false(frame_writer_make(&writer, &entry));
    frame_writer_done(&writer);
    assert_false(frame_writer_make(&(FrameWriter){0}, &entry));
}

/* Whatever byte is another one: nothing else is ever given. (That the record's checksum finds it
 * before is not counted on.) */
static void what_was_falsified_is_not_opened(void **state) {
    (void)state;
    FrameWriter writer = {0};
    Record entry;
    Frame frame;
    fill(&writer, RECORDS, false);
    assert_true(frame_writer_make(&writer, &entry));
    char *heads = (char *)(uintptr_t)entry.headers.ptr;
    char *block = (char *)(uintptr_t)entry.payload.ptr;
    for (size_t i = 0; i < FRAME_HEAD_BYTES; i++) {
        heads[i] ^= 0x10;
        assert_int_equal(frame_open(&entry, &frame), ERR_CORRUPT);
        heads[i] ^= 0x10;
    }
    for (size_t i = 0; i < entry.payload.len; i += 1 + next_random() % 8) {
        char flip = (char)(1 + next_random() % 255);
        block[i] ^= flip;
        if (frame_open(&entry, &frame) == OK) { /* another way to say the same */
            assert_memory_equal(shared_bytes(frame.raw), writer.records.ptr, writer.records.len);
            frame_done(&frame);
        }
        block[i] ^= flip;
    }
    for (size_t cut = 1; cut < 40; cut++) {
        Record shorter = entry;
        shorter.headers.len -= cut;
        assert_int_equal(frame_open(&shorter, &frame), ERR_CORRUPT);
        shorter = entry;
        shorter.payload.len -= cut;
        assert_int_equal(frame_open(&shorter, &frame), ERR_CORRUPT);
    }
    assert_int_equal(frame_open(&entry, &frame), OK);
    frame_done(&frame);
    frame_writer_done(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_comes_back_as_it_was),
        cmocka_unit_test(the_shares_are_what_the_entry_takes),
        cmocka_unit_test(noise_makes_no_frame),
        cmocka_unit_test(what_was_falsified_is_not_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
