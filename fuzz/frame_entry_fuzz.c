/* Any bytes may be a frame's: as heads and block that say they are whole, and behind heads that
 * are. What is opened is what was written; what is written is opened. */
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "proto/lz4_block.h"
#include "stream/frame_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void look(const Record *entry) {
    FrameScan scan;
    FrameMember member;
    Frame frame;
    Record record;
    if (frame_scan(&scan, entry, place_of(7, 4096)))
        while (frame_next(&scan, &member)) {
            ASSERT(place_of_frame(member.place) == place_of(7, 4096));
            ASSERT(frame_share_bytes(member.bytes, member.place) <= member.bytes);
        }
    if (frame_open(entry, &frame) != OK)
        return;
    for (uint32_t i = 0; i < frame.count; i++) {
        (void)frame_record(&frame, &frame.records[i], &record);
        (void)frame_find(&frame, frame.records[i].seq);
    }
    frame_done(&frame);
}

/* The head says what is there, so that all behind it is looked at. */
static void look_whole(Slice heads, Slice raw, uint32_t count) {
    Buf all = {0}, block = {0};
    uint32_t raw_len = (uint32_t)raw.len;
    uint64_t checksum = hash_checksum(raw.ptr, raw.len);
    buf_append(&all, slice_from(&raw_len, sizeof raw_len));
    buf_append(&all, slice_from(&count, sizeof count));
    buf_append(&all, slice_from(&checksum, sizeof checksum));
    buf_append(&all, heads);
    char *to = buf_reserve(&block, raw.len + raw.len / 128 + 64);
    block.len = lz4_block_write(raw, to, raw.len + raw.len / 128 + 64);
    look(&(Record){.type = RECORD_FRAME, .headers = buf_slice(&all), .payload = buf_slice(&block)});
    buf_done(&all);
    buf_done(&block);
}

static void write_and_read(Slice text) {
    FrameWriter writer = {0};
    Record entry;
    Frame frame;
    char raw[1024];
    uint64_t seq = 0;
    while (text.len) {
        Slice payload = slice_first(
            text, 1 + (uint8_t)text.ptr[0] < text.len ? 1 + (uint8_t)text.ptr[0] : text.len);
        text = slice_from_at(text, payload.len);
        Record record = {.type = RECORD_PUBLISH, .subject = LIT("s"), .payload = payload};
        if (!frame_writer_has_room(&writer, record_bytes(&record)))
            break;
        record_write(&record, raw);
        seq += 1 + payload.len % 5;
        frame_writer_add(&writer, seq, seq * 8, slice_from(raw, record_bytes(&record)));
    }
    if (frame_writer_make(&writer, &entry)) {
        ASSERT(frame_open(&entry, &frame) == OK);
        ASSERT(shared_len(frame.raw) == writer.records.len && frame_find(&frame, seq));
        ASSERT(memcmp(shared_bytes(frame.raw), writer.records.ptr, writer.records.len) == 0);
        frame_done(&frame);
    }
    frame_writer_done(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    if (len < 4)
        return 0;
    Slice all = slice_from(bytes, len);
    Slice rest = slice_from_at(all, 4);
    size_t cut = (bytes[0] | (size_t)bytes[1] << 8) % (rest.len + 1);
    Slice first = slice_first(rest, cut), second = slice_from_at(rest, cut);
    look(&(Record){.type = RECORD_FRAME, .headers = first, .payload = second});
    look_whole(first, second, bytes[2] | (uint32_t)bytes[3] << 8);
    write_and_read(rest);
    return 0;
}
