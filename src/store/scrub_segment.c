/* Segments: page by page, with the checksum of a block's body summed up as it comes. The same rules
 * as recovery's tell what is a block; what is suspicious is read once more, as a whole. */
#include <string.h>

#include "base/log.h"
#include "store/bad.h"
#include "store/log_private.h"
#include "store/scrub_private.h"

/* A hole between blocks of which more was lost is reported in part. */
enum { HOLE_BYTES_MAX = 64 * 1024 * 1024 };

void scrub_segment_begin(Scrub *scrub) {
    SegmentScrub *segment = &scrub->segment;
    segment->expected = 0;
    segment->has_previous = segment->is_in_block = false;
    if (segment->has_last && scrub->current.number != segment->last_segment + 1)
        segment->has_last = false;
}

/* NULL: memory is out, or the disk does not give it. */
static Shared *read_range(Scrub *scrub, uint64_t offset, uint64_t len) {
    Shared *content = len <= HOLE_BYTES_MAX ? shared_try_new(len) : NULL;
    if (scrub->again == NULL)
        scrub->again = io_memory_new(SCRUB_BUFFER_BYTES);
    for (uint64_t at = 0; content && at < len;) {
        size_t n = len - at < SCRUB_PIECE_BYTES ? (size_t)(len - at) : SCRUB_PIECE_BYTES;
        bool is_given;
        memcpy(shared_bytes(content) + at,
               scrub_read(scrub, scrub->again, offset + at, n, &is_given), n);
        at += n;
    }
    return content;
}

static void note_bytes(Scrub *scrub, uint64_t offset, uint64_t len, const char *what,
                       Shared *content) {
    Place at = place_of(scrub->current.number, offset);
    if (content)
        bad_keep_block(scrub->bad_dir, at, shared_bytes(content), len);
    /* Whoever gets it looks for records in it. */
    CipherHead head;
    if (content &&
        log_cipher_find(scrub->log, scrub->file, scrub->size, scrub->current.number, &head) == OK &&
        log_cipher_decrypt(scrub->log, &head, offset, shared_bytes(content), len) != OK)
        LOG_DEBUG("damaged block not decrypted", "segment=%llu",
                  (unsigned long long)scrub->current.number);
    scrub_note(scrub, &scrub->current, offset, len, what, content);
}

/* Looked at once more: a read may fail for once, and a segment may have been given up meanwhile. */
static void check_body_again(Scrub *scrub, const BlockHead *head) {
    uint64_t len = block_bytes(head->body_len);
    Shared *content = read_range(scrub, head->offset, len);
    bool is_good = content && hash_checksum(shared_bytes(content) + BLOCK_HEAD_BYTES,
                                            head->body_len) == head->body_checksum;
    if (is_good || !scrub_is_there(scrub)) {
        shared_unref(content);
        return;
    }
    note_bytes(scrub, head->offset, len, "block checksum", content);
}

static void note_head(Scrub *scrub, uint64_t offset) {
    if (scrub_is_there(scrub))
        note_bytes(scrub, offset, BLOCK_HEAD_BYTES, "one of two block heads", NULL);
}

static void note_hole(Scrub *scrub, uint64_t from, uint64_t to) {
    Shared *content = read_range(scrub, from, to - from);
    if (scrub_is_there(scrub))
        note_bytes(scrub, from, to - from, "blocks unreadable", content);
    else
        shared_unref(content);
}

/* Blocks are missing between the last one of the segment before and the first one here. */
static void note_lost_end(Scrub *scrub) {
    const SegmentScrub *segment = &scrub->segment;
    ScrubFile before = {.kind = SCRUB_SEGMENT, .number = segment->last_segment};
    scrub_note(scrub, &before, segment->last_end, segment->last_bytes - segment->last_end,
               "blocks missing at the end", NULL);
}

static bool fits(const Scrub *scrub, const BlockHead *head) {
    const SegmentScrub *segment = &scrub->segment;
    if (head->segment != scrub->current.number || head->offset % BLOCK_ALIGN != 0 ||
        head->offset < segment->expected || head->offset >= scrub->size ||
        block_bytes(head->body_len) > scrub->size - head->offset || head->body_len == 0)
        return false;
    if (segment->has_previous) {
        const BlockHead *previous = &segment->previous;
        uint64_t pages = (head->offset - previous->offset) / BLOCK_ALIGN;
        if (head->number <= previous->number || head->number - previous->number > pages ||
            head->epoch < previous->epoch)
            return false;
    }
    return memcmp(head->store_id, scrub->log->super.store_id, STORE_ID_BYTES) == 0;
}

/* A block begins. */
static void meet(Scrub *scrub, const BlockHead *head) {
    SegmentScrub *segment = &scrub->segment;
    if (segment->has_last && !segment->has_previous && head->offset == 0 &&
        head->number > segment->last_number + 1 && segment->last_end < segment->last_bytes)
        note_lost_end(scrub);
    if (head->offset > segment->expected)
        note_hole(scrub, segment->expected, head->offset);
    segment->head = *head;
}

static void end_block(Scrub *scrub) {
    SegmentScrub *segment = &scrub->segment;
    segment->previous = segment->head;
    segment->has_previous = true;
    segment->is_in_block = false;
    segment->expected = segment->head.offset + block_bytes(segment->head.body_len);
}

static void sum_up(Scrub *scrub, const char *page, uint64_t at) {
    SegmentScrub *segment = &scrub->segment;
    const BlockHead *head = &segment->head;
    uint64_t body = head->offset + BLOCK_HEAD_BYTES, end = body + head->body_len;
    uint64_t from = at > body ? at : body, to = at + BLOCK_ALIGN < end ? at + BLOCK_ALIGN : end;
    if (from < to)
        hash_sum_add(scrub->sum, page + (from - at), to - from);
    if (at + BLOCK_ALIGN < head->offset + block_bytes(head->body_len))
        return;
    bool is_twin_good = memcmp(page + BLOCK_ALIGN - BLOCK_HEAD_BYTES, head, BLOCK_HEAD_BYTES) == 0;
    bool is_good = hash_sum_end(scrub->sum) == head->body_checksum;
    BlockHead done = *head;
    end_block(scrub);
    if (!is_good)
        check_body_again(scrub, &done);
    else if (!is_twin_good)
        note_head(scrub, done.offset + block_bytes(done.body_len) - BLOCK_HEAD_BYTES);
}

static void take_page(Scrub *scrub, const char *page, uint64_t at) {
    SegmentScrub *segment = &scrub->segment;
    BlockHead head;
    if (segment->is_in_block) {
        sum_up(scrub, page, at);
    } else if (block_head_parse(page, &head) && head.offset == at && fits(scrub, &head)) {
        meet(scrub, &head);
        segment->is_in_block = true;
        hash_sum_begin(scrub->sum);
        sum_up(scrub, page, at);
    } else if (block_head_parse(page + BLOCK_ALIGN - BLOCK_HEAD_BYTES, &head) &&
               head.offset <= at && fits(scrub, &head) &&
               head.offset + block_bytes(head.body_len) == at + BLOCK_ALIGN) {
        meet(scrub, &head);
        end_block(scrub);
        note_head(scrub, head.offset);
        check_body_again(scrub, &head);
    }
}

static void end_segment(Scrub *scrub) {
    SegmentScrub *segment = &scrub->segment;
    if (!segment->has_previous) {
        if (log_live_bytes(scrub->log, scrub->current.number) > 0)
            note_hole(scrub, 0, scrub->size);
        return;
    }
    segment->has_last = true;
    segment->last_segment = scrub->current.number;
    segment->last_number = segment->previous.number;
    segment->last_end = segment->expected;
    segment->last_bytes = scrub->size;
}

bool scrub_segment_step(Scrub *scrub, uint64_t *out_bytes) {
    uint64_t left = (scrub->size & ~(uint64_t)(BLOCK_ALIGN - 1)) - scrub->at;
    size_t len = left < SCRUB_PIECE_BYTES ? (size_t)left : SCRUB_PIECE_BYTES;
    bool is_given;
    const char *piece = len ? scrub_read(scrub, scrub->piece, scrub->at, len, &is_given) : NULL;
    for (size_t at = 0; at < len; at += BLOCK_ALIGN)
        take_page(scrub, piece + at, scrub->at + at);
    scrub->at += len;
    *out_bytes = len;
    if (scrub->at + BLOCK_ALIGN <= scrub->size)
        return false;
    end_segment(scrub);
    return true;
}
