/* Archives of version 1, as servers up to 2.14 wrote them. Little endian.
 *
 * msgs/<n>.blk: records
 *   u32 length of all (bit 31: has headers) | u64 sequence | i64 time | u16 subject length |
 *   subject | [u32 headers length | headers] | payload | u64 checksum
 *   sequence: bit 63: an erased slot, bit 62: says that the message of that sequence was removed.
 *   checksum: HighwayHash-64 with key SHA-256("<stream>-<n>") over sequence and time, subject,
 *   headers and payload.
 * A block may be compressed by itself: "cmp" | u8 1 | uvarint plain length | S2 stream of all but
 * the last checksum | that checksum.
 *
 * obs/<name>/o.dat: u8 22 | u8 version | uvarints: floor dseq, sseq, delivered dseq, sseq, pending;
 *   if any: varint time, then each uvarint sseq - floor, (version 2: uvarint dseq - floor,) varint;
 *   uvarint redelivered, each uvarint sseq - floor, uvarint count.
 * meta.sum: 16 hex digits of meta.inf's HighwayHash-64, key SHA-256("<stream>" or
 *   "<stream>/<consumer>"). */
#include <openssl/sha.h>

#include "proto/archive_private.h"
#include "proto/highway.h"

enum {
    RECORD_HEAD_BYTES = 22,
    SUM_BYTES = 8,
    RECORD_BYTES_MIN = RECORD_HEAD_BYTES + SUM_BYTES,
    META_BYTES_MAX = 4 * 1024 * 1024,
    PAX_BYTES_MAX = 64 * 1024,
    CONSUMER_STATE_MAGIC = 22,
};

#define RECORD_HAS_HEADERS (1u << 31)
#define SEQ_ERASED         (1ull << 63)
#define SEQ_REMOVED        (1ull << 62)

static uint64_t get(const char *from, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)(uint8_t)from[i] << (8 * i);
    return value;
}

void archive_v1_done(ArchiveReader *reader) {
    buf_done(&reader->plain);
    buf_done(&reader->long_name);
    buf_done(&reader->meta);
    buf_done(&reader->consumer);
    buf_done(&reader->consumer_json);
}

static void make_key(Slice text, uint8_t *key) {
    (void)SHA256((const unsigned char *)text.ptr, text.len, key);
}

/* ---- blocks ---- */

static void begin_block(ArchiveReader *reader, Slice number, uint64_t size) {
    Buf text = {0};
    buf_append(&text, buf_slice(&reader->stream));
    buf_append_char(&text, '-');
    buf_append(&text, number);
    make_key(buf_slice(&text), reader->key);
    buf_done(&text);
    reader->member = MEMBER_BLOCK;
    reader->left = size;
    reader->padding = tar_padded(size) - size;
    reader->is_block_begun = reader->is_block_packed = false;
}

static void end_block(ArchiveReader *reader) {
    reader->to_skip = reader->padding;
    reader->member = MEMBER_NONE;
    buf_clear(&reader->plain);
    reader->plain_at = 0;
}

static Status unpack(ArchiveReader *reader, Slice body) {
    S2Reader s2 = {0};
    uint64_t len;
    Slice rest = slice_from_at(body, 4);
    if (archive_cut_uvarint(&rest, &len) != OK || len > ARCHIVE_ENTRY_BYTES_MAX ||
        rest.len < SUM_BYTES)
        return archive_fail(reader, "corrupt block");
    buf_clear(&reader->plain);
    s2_reader_feed(&s2, slice_first(rest, rest.len - SUM_BYTES));
    Status status = OK;
    while (status == OK && reader->plain.len <= len)
        status = s2_reader_read(&s2, &reader->plain);
    bool is_whole = status == ERR_AGAIN && s2_reader_is_at_end(&s2);
    s2_reader_done(&s2);
    if (!is_whole)
        return archive_fail(reader, "corrupt block");
    buf_append(&reader->plain, slice_from_at(rest, rest.len - SUM_BYTES));
    return OK;
}

/* Finds out whether the block is compressed by itself, and undoes that. */
static Status open_block(ArchiveReader *reader) {
    Slice bytes;
    if (reader->left >= 4) {
        Status status = archive_want(reader, 4, &bytes);
        if (status != OK)
            return status;
        if (memcmp(bytes.ptr, "cmp\x01", 4) == 0) {
            if (reader->left > ARCHIVE_ENTRY_BYTES_MAX)
                return archive_fail(reader, "corrupt block");
            status = archive_want(reader, reader->left, &bytes);
            if (status == OK)
                status = unpack(reader, slice_first(bytes, reader->left));
            if (status != OK)
                return status;
            archive_take(reader, reader->left);
            reader->left = reader->plain.len;
            reader->is_block_packed = true;
        }
    }
    reader->is_block_begun = true;
    return OK;
}

/* n bytes of the block, which has them. */
static Status want_of_block(ArchiveReader *reader, size_t n, Slice *out_bytes) {
    if (!reader->is_block_packed)
        return archive_want(reader, n, out_bytes);
    *out_bytes = slice_from_at(buf_slice(&reader->plain), reader->plain_at);
    return OK;
}

static void take_of_block(ArchiveReader *reader, size_t n) {
    reader->left -= n;
    if (reader->is_block_packed)
        reader->plain_at += n;
    else
        archive_take(reader, n);
}

static bool is_record_sum_right(const ArchiveReader *reader, Slice record, Slice subject,
                                Slice body) {
    Highway hash;
    highway_init(&hash, reader->key);
    highway_add(&hash, slice_from(record.ptr + 4, 16));
    highway_add(&hash, subject);
    highway_add(&hash, body);
    return highway_finish(&hash) == get(record.ptr + record.len - SUM_BYTES, SUM_BYTES);
}

/* An item, or nothing to be seen (an erased slot): *out_is_item. */
static Status parse_record(ArchiveReader *reader, Slice record, bool has_headers, ArchiveItem *item,
                           bool *out_is_item) {
    uint64_t seq = get(record.ptr + 4, 8);
    size_t subject_len = get(record.ptr + 20, 2), headers_len = 0;
    Slice rest = slice_from(record.ptr + RECORD_HEAD_BYTES, record.len - RECORD_BYTES_MIN);
    *item = (ArchiveItem){.kind = ARCHIVE_MESSAGE, .time_ns = (int64_t)get(record.ptr + 12, 8)};
    *out_is_item = false;
    if (seq == 0 || seq & SEQ_ERASED)
        return OK;
    if (subject_len > rest.len)
        return archive_fail(reader, "corrupt block");
    item->subject = slice_first(rest, subject_len);
    rest = slice_from_at(rest, subject_len);
    if (has_headers) {
        if (rest.len < 4 || (headers_len = get(rest.ptr, 4)) > rest.len - 4)
            return archive_fail(reader, "corrupt block");
        rest = slice_from_at(rest, 4);
    }
    if (!is_record_sum_right(reader, record, item->subject, rest))
        return archive_fail(reader, "corrupt block: checksum");
    item->headers = slice_first(rest, headers_len);
    item->payload = slice_from_at(rest, headers_len);
    item->seq = seq & ~SEQ_REMOVED;
    if (seq & SEQ_REMOVED)
        item->kind = ARCHIVE_REMOVED;
    *out_is_item = true;
    return OK;
}

static Status next_record(ArchiveReader *reader, ArchiveItem *item, bool *out_is_item) {
    Slice bytes;
    if (reader->left < RECORD_BYTES_MIN)
        return archive_fail(reader, "corrupt block");
    Status status = want_of_block(reader, 4, &bytes);
    if (status != OK)
        return status;
    uint32_t head = (uint32_t)get(bytes.ptr, 4);
    size_t len = head & ~RECORD_HAS_HEADERS;
    if (len < RECORD_BYTES_MIN || len > reader->left || len > ARCHIVE_ENTRY_BYTES_MAX)
        return archive_fail(reader, "corrupt block");
    status = want_of_block(reader, len, &bytes);
    if (status != OK)
        return status;
    take_of_block(reader, len);
    return parse_record(reader, slice_first(bytes, len), head & RECORD_HAS_HEADERS, item,
                        out_is_item);
}

/* ---- consumers ---- */

static void give_consumer(ArchiveReader *reader, ArchiveItem *item) {
    reader->has_consumer = false;
    *item = (ArchiveItem){.kind = ARCHIVE_CONSUMER,
                          .name = buf_slice(&reader->consumer),
                          .json = buf_slice(&reader->consumer_json)};
}

static Status read_pending(ArchiveReader *reader, Slice *rest, unsigned version,
                           const ArchiveConsumer *state) {
    uint64_t count, sseq, dseq = 0;
    int64_t time;
    Status status = archive_cut_uvarint(rest, &count);
    if (status == OK && count)
        status = archive_cut_varint(rest, &time);
    for (; status == OK && count; count--) {
        status = archive_cut_uvarint(rest, &sseq);
        if (status == OK && version == 2)
            status = archive_cut_uvarint(rest, &dseq);
        if (status == OK)
            status = archive_cut_varint(rest, &time);
        sseq += state->floor_sseq;
        dseq = version == 2 ? dseq + state->floor_dseq : 0;
        if (status == OK && sseq)
            vec_push(&reader->pending, ((ArchivePending){sseq, dseq, 1}));
    }
    return status;
}

static Status read_redelivered(ArchiveReader *reader, Slice *rest, const ArchiveConsumer *state) {
    uint64_t count, sseq, times;
    Status status = archive_cut_uvarint(rest, &count);
    for (; status == OK && count; count--) {
        status = archive_cut_uvarint(rest, &sseq);
        if (status == OK)
            status = archive_cut_uvarint(rest, &times);
        if (status == OK)
            archive_add_redelivered(reader, sseq + state->floor_sseq, times);
    }
    return status;
}

static Status read_consumer_state(ArchiveReader *reader, Slice bytes, ArchiveConsumer *state) {
    unsigned version = bytes.len > 1 ? (uint8_t)bytes.ptr[1] : 0;
    if (version == 0 || (uint8_t)bytes.ptr[0] != CONSUMER_STATE_MAGIC || version > 2)
        return archive_fail(reader, "corrupt consumer state");
    Slice rest = slice_from_at(bytes, 2);
    uint64_t *const numbers[] = {&state->floor_dseq, &state->floor_sseq, &state->delivered_dseq,
                                 &state->delivered_sseq};
    Status status = OK;
    for (unsigned i = 0; status == OK && i < 4; i++)
        status = archive_cut_uvarint(&rest, numbers[i]);
    if (version == 1) { /* delivered was kept as a distance */
        state->delivered_dseq += state->floor_dseq > 1 ? state->floor_dseq - 1 : 0;
        state->delivered_sseq += state->floor_sseq > 1 ? state->floor_sseq - 1 : 0;
    }
    vec_clear(&reader->pending);
    if (status == OK)
        status = read_pending(reader, &rest, version, state);
    if (status != OK)
        return archive_fail(reader, "corrupt consumer state");
    archive_give_pending(reader, state);
    if (read_redelivered(reader, &rest, state) != OK)
        return archive_fail(reader, "corrupt consumer state");
    return OK;
}

/* ---- members ---- */

/* hex: what meta.sum holds. */
static Status check_meta(ArchiveReader *reader, Slice consumer, Slice hex) {
    static const char digits[] = "0123456789abcdef";
    uint8_t key[ARCHIVE_KEY_BYTES];
    char want[2 * SUM_BYTES];
    Highway hash;
    Buf text = {0};
    buf_append(&text, buf_slice(&reader->stream));
    if (consumer.len) {
        buf_append_char(&text, '/');
        buf_append(&text, consumer);
    }
    make_key(buf_slice(&text), key);
    buf_done(&text);
    highway_init(&hash, key);
    highway_add(&hash, buf_slice(&reader->meta));
    uint64_t sum = highway_finish(&hash);
    for (unsigned i = 0; i < SUM_BYTES; i++) {
        uint8_t byte = (uint8_t)(sum >> (8 * i));
        want[2 * i] = digits[byte >> 4];
        want[2 * i + 1] = digits[byte & 15];
    }
    if (slice_equal(slice_trim(hex), slice_from(want, sizeof want)))
        return OK;
    return archive_fail(reader, "metadata checksum does not match");
}

/* The body of a small member, which is taken with its padding and the head before it. */
static Status small_body(ArchiveReader *reader, uint64_t size, uint64_t max, Slice *out_body) {
    Slice bytes;
    if (size > max)
        return archive_fail(reader, "archive member is too large");
    size_t whole = TAR_BLOCK_BYTES + tar_padded(size);
    Status status = archive_want(reader, whole, &bytes);
    if (status != OK)
        return status;
    archive_take(reader, whole);
    *out_body = slice_first(slice_from_at(bytes, TAR_BLOCK_BYTES), size);
    return OK;
}

static Status read_long(ArchiveReader *reader, const TarHead *head) {
    Slice body, key, value;
    Status status = small_body(reader, head->size, PAX_BYTES_MAX, &body);
    if (status != OK)
        return status;
    if (head->kind == TAR_LONG) {
        buf_clear(&reader->long_name);
        buf_append(&reader->long_name, slice_first(body, slice_find(body, 0)));
        return OK;
    }
    while ((status = tar_pax_next(&body, &key, &value)) == OK) {
        if (slice_equal(key, LIT("path"))) {
            buf_clear(&reader->long_name);
            buf_append(&reader->long_name, value);
        } else if (slice_equal(key, LIT("size"))) {
            reader->has_long_size = slice_parse_u64(value, &reader->long_size) == OK;
        }
    }
    return status == ERR_NOT_FOUND ? OK : archive_fail(reader, "archive/tar: invalid tar header");
}

static void skip_member(ArchiveReader *reader, uint64_t size) {
    archive_take(reader, TAR_BLOCK_BYTES);
    reader->to_skip = tar_padded(size);
}

/* obs/<name>/<file> */
static Status read_consumer_member(ArchiveReader *reader, Slice path, uint64_t size,
                                   ArchiveItem *item, bool *out_is_item) {
    Slice name, body;
    (void)slice_cut(&path, '/', &name);
    bool is_meta = slice_equal(path, LIT("meta.inf")), is_sum = slice_equal(path, LIT("meta.sum"));
    if (reader->has_consumer && !slice_equal(buf_slice(&reader->consumer), name)) {
        give_consumer(reader, item); /* it had no state */
        reader->is_head_kept = true;
        *out_is_item = true;
        return OK;
    }
    if (!is_meta && !is_sum && !slice_equal(path, LIT("o.dat"))) {
        skip_member(reader, size);
        return OK;
    }
    Status status = small_body(reader, size,
                               is_meta || is_sum ? META_BYTES_MAX : ARCHIVE_ENTRY_BYTES_MAX, &body);
    if (status != OK)
        return status;
    if (is_meta) {
        buf_clear(&reader->meta);
        buf_append(&reader->meta, body);
        buf_clear(&reader->consumer);
        buf_append(&reader->consumer, name);
        buf_clear(&reader->consumer_json);
        buf_append(&reader->consumer_json, body);
        reader->has_consumer = true;
        return OK;
    }
    if (!reader->has_consumer)
        return archive_fail(reader, "consumer without metadata");
    if (is_sum)
        return check_meta(reader, name, body);
    give_consumer(reader, item);
    *out_is_item = true;
    return read_consumer_state(reader, body, &item->consumer);
}

static Status read_member(ArchiveReader *reader, Slice path, uint64_t size, ArchiveItem *item,
                          bool *out_is_item) {
    Slice body;
    Status status;
    if (slice_equal(path, LIT("meta.inf"))) {
        status = small_body(reader, size, META_BYTES_MAX, &body);
        if (status != OK)
            return status;
        buf_clear(&reader->meta);
        buf_append(&reader->meta, body);
        *item = (ArchiveItem){.kind = ARCHIVE_CONFIG, .json = buf_slice(&reader->meta)};
        *out_is_item = true;
        return OK;
    }
    if (slice_equal(path, LIT("meta.sum"))) {
        status = small_body(reader, size, META_BYTES_MAX, &body);
        return status == OK ? check_meta(reader, (Slice){0}, body) : status;
    }
    if (slice_starts_with(path, LIT("obs/")))
        return read_consumer_member(reader, slice_from_at(path, 4), size, item, out_is_item);
    if (slice_equal(path, LIT("errors.txt")))
        return archive_fail(reader, "the archive says that making it failed");
    if (slice_starts_with(path, LIT("msgs/")) && slice_ends_with(path, LIT(".blk"))) {
        archive_take(reader, TAR_BLOCK_BYTES);
        begin_block(reader, slice_first(slice_from_at(path, 5), path.len - 9), size);
        return OK;
    }
    skip_member(reader, size);
    return OK;
}

static Status next_member(ArchiveReader *reader, ArchiveItem *item, bool *out_is_item) {
    Slice block;
    TarHead head;
    Status status = archive_want(reader, TAR_BLOCK_BYTES, &block);
    if (status != OK)
        return status;
    if (tar_parse_head(slice_first(block, TAR_BLOCK_BYTES), &head) != OK)
        return archive_fail(reader, "archive/tar: invalid tar header");
    if (head.kind == TAR_PAX || head.kind == TAR_LONG)
        return read_long(reader, &head);
    if (head.kind == TAR_END) {
        *out_is_item = true;
        if (reader->has_consumer) {
            give_consumer(reader, item);
            return OK;
        }
        reader->is_over = true;
        *item = (ArchiveItem){.kind = ARCHIVE_END};
        return OK;
    }
    Slice path = slice_from(head.name, head.name_len);
    if (reader->long_name.len)
        path = buf_slice(&reader->long_name);
    uint64_t size = reader->has_long_size ? reader->long_size : head.size;
    if (size > INT64_MAX)
        return archive_fail(reader, "archive/tar: invalid tar header");
    reader->is_head_kept = false;
    if (head.kind == TAR_OTHER)
        skip_member(reader, size);
    else
        status = read_member(reader, path, size, item, out_is_item);
    if (status == OK && !reader->is_head_kept) {
        buf_clear(&reader->long_name);
        reader->has_long_size = false;
    }
    return status;
}

static Status skip(ArchiveReader *reader) {
    Slice bytes;
    while (reader->to_skip) {
        Status status = archive_want(reader, 1, &bytes);
        if (status != OK)
            return status;
        size_t n = bytes.len < reader->to_skip ? bytes.len : (size_t)reader->to_skip;
        archive_take(reader, n);
        reader->to_skip -= n;
    }
    return OK;
}

Status archive_v1_next(ArchiveReader *reader, ArchiveItem *item) {
    bool is_item = false;
    Status status = OK;
    while (status == OK && !is_item) {
        status = skip(reader);
        if (status != OK)
            break;
        if (reader->member == MEMBER_NONE)
            status = next_member(reader, item, &is_item);
        else if (!reader->is_block_begun)
            status = open_block(reader);
        else if (reader->left == 0)
            end_block(reader);
        else
            status = next_record(reader, item, &is_item);
    }
    return status;
}
