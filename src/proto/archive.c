#include "proto/archive.h"

#include <stdlib.h>

#include "base/mem.h"
#include "proto/archive_private.h"
#include "proto/json.h"

static const Slice magic = LIT("NATSARC1");
static const Slice consumer_prefix = LIT("consumers/");

/* ---- writing ---- */

static void write_uvarint(Buf *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        buf_append_char(out, (char)(value | 0x80));
    buf_append_char(out, (char)value);
}

void archive_write_magic(Buf *out) {
    buf_append(out, magic);
}

void archive_write_head(Buf *out, const ArchiveEntry *entry) {
    write_uvarint(out, entry->name.len);
    write_uvarint(out, (uint64_t)entry->time_ns << 1 ^ (uint64_t)(entry->time_ns >> 63));
    write_uvarint(out, entry->seq);
    write_uvarint(out, entry->headers_len);
    write_uvarint(out, entry->payload_len);
    buf_append(out, entry->name);
}

void archive_write_end(Buf *out) {
    archive_write_head(out, &(ArchiveEntry){0});
}

/* ---- reading ---- */

ArchiveReader *archive_reader_new(Slice stream) {
    ArchiveReader *reader = mem_zalloc(sizeof *reader);
    buf_append(&reader->stream, stream);
    return reader;
}

void archive_reader_free(ArchiveReader *reader) {
    if (!reader)
        return;
    s2_reader_done(&reader->s2);
    buf_done(&reader->window);
    buf_done(&reader->stream);
    vec_done(&reader->pending);
    archive_v1_done(reader);
    mem_free(reader);
}

void archive_reader_feed(ArchiveReader *reader, Slice bytes) {
    if (!reader->is_over)
        s2_reader_feed(&reader->s2, bytes);
}

size_t archive_reader_held(const ArchiveReader *reader) {
    return s2_reader_held(&reader->s2);
}

unsigned archive_reader_version(const ArchiveReader *reader) {
    return reader->version;
}

Slice archive_reader_why(const ArchiveReader *reader) {
    if (reader->why)
        return slice_of_text(reader->why);
    bool is_cut = reader->s2.has_magic && !s2_reader_is_at_end(&reader->s2);
    if (reader->s2.is_corrupt || is_cut || s2_reader_held(&reader->s2))
        return LIT("s2: corrupt input");
    return reader->at < reader->window.len ? LIT("unexpected EOF") : LIT("EOF");
}

Status archive_want(ArchiveReader *reader, size_t n, Slice *out_bytes) {
    if (reader->window.len - reader->at < n) {
        buf_consume(&reader->window, reader->at);
        reader->at = 0;
    }
    while (reader->window.len - reader->at < n) {
        Status status = s2_reader_read(&reader->s2, &reader->window);
        if (status != OK)
            return status;
    }
    *out_bytes = slice_from_at(buf_slice(&reader->window), reader->at);
    return OK;
}

Status archive_cut_uvarint(Slice *from, uint64_t *out_value) {
    uint64_t value = 0;
    for (size_t i = 0; i < 10; i++) {
        if (i == from->len)
            return ERR_AGAIN;
        uint8_t byte = (uint8_t)from->ptr[i];
        if (i == 9 && byte > 1)
            return ERR_CORRUPT;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *from = slice_from_at(*from, i + 1);
            *out_value = value;
            return OK;
        }
    }
    return ERR_CORRUPT;
}

Status archive_cut_varint(Slice *from, int64_t *out_value) {
    uint64_t value;
    Status status = archive_cut_uvarint(from, &value);
    if (status == OK)
        *out_value = (int64_t)(value >> 1 ^ -(value & 1));
    return status;
}

/* Pending deliveries of a consumer. */

static int by_sseq(const void *a, const void *b) {
    uint64_t left = ((const ArchivePending *)a)->sseq, right = ((const ArchivePending *)b)->sseq;
    return left < right ? -1 : left > right;
}

static void sort_pending(ArchiveReader *reader) {
    if (reader->pending.len > 1)
        qsort(reader->pending.at, reader->pending.len, sizeof *reader->pending.at, by_sseq);
}

void archive_give_pending(ArchiveReader *reader, ArchiveConsumer *consumer) {
    size_t kept = 0;
    sort_pending(reader);
    for (size_t i = 0; i < reader->pending.len; i++)
        if (kept == 0 || reader->pending.at[i].sseq != reader->pending.at[kept - 1].sseq)
            reader->pending.at[kept++] = reader->pending.at[i];
    reader->pending.len = kept;
    consumer->pending = reader->pending.at;
    consumer->pending_count = kept;
}

/* Pending is in order. */
void archive_add_redelivered(ArchiveReader *reader, uint64_t sseq, uint64_t count) {
    ArchivePending key = {.sseq = sseq};
    ArchivePending *found = reader->pending.len
                                ? bsearch(&key, reader->pending.at, reader->pending.len,
                                          sizeof *reader->pending.at, by_sseq)
                                : NULL;
    if (found && count < UINT32_MAX)
        found->deliveries = 1 + count;
}

static bool member(Slice object, Slice name, Slice *out_value) {
    Slice key, value;
    bool is_found = false;
    if (object.len == 0 || object.ptr[0] != '{')
        return false;
    for (size_t at = 0; json_next_member(object, &at, &key, &value);)
        if (slice_equal_ignoring_case(key, name)) {
            *out_value = value;
            is_found = true;
        }
    return is_found;
}

static uint64_t number(Slice object, Slice name) {
    Slice text;
    uint64_t value = 0;
    if (member(object, name, &text) && slice_parse_u64(text, &value) != OK)
        value = 0;
    return value;
}

static Slice object(Slice in, Slice name) {
    Slice value;
    return member(in, name, &value) ? value : (Slice){0};
}

static void read_pending(ArchiveReader *reader, Slice pending, Slice redelivered) {
    Slice key, value;
    uint64_t sseq, count;
    vec_clear(&reader->pending);
    if (pending.len && pending.ptr[0] == '{')
        for (size_t at = 0; json_next_member(pending, &at, &key, &value);) {
            if (slice_parse_u64(key, &sseq) == OK && sseq)
                vec_push(&reader->pending,
                         ((ArchivePending){sseq, number(value, LIT("Sequence")), 1}));
        }
    sort_pending(reader);
    if (redelivered.len && redelivered.ptr[0] == '{')
        for (size_t at = 0; json_next_member(redelivered, &at, &key, &value);)
            if (slice_parse_u64(key, &sseq) == OK && slice_parse_u64(value, &count) == OK)
                archive_add_redelivered(reader, sseq, count);
}

static Status read_consumer(ArchiveReader *reader, ArchiveItem *item) {
    if (json_check(item->json, &(size_t){0}, false, NULL) != OK)
        return archive_fail(reader, "consumer entry is no JSON");
    Slice state = object(item->json, LIT("state")), delivered = object(state, LIT("delivered")),
          floor = object(state, LIT("ack_floor"));
    item->json = object(item->json, LIT("config"));
    item->consumer = (ArchiveConsumer){
        .delivered_dseq = number(delivered, LIT("consumer_seq")),
        .delivered_sseq = number(delivered, LIT("stream_seq")),
        .floor_dseq = number(floor, LIT("consumer_seq")),
        .floor_sseq = number(floor, LIT("stream_seq")),
    };
    read_pending(reader, object(state, LIT("pending")), object(state, LIT("redelivered")));
    archive_give_pending(reader, &item->consumer);
    return OK;
}

static Status parse_head(Slice bytes, ArchiveEntry *out_entry, size_t *out_name_len,
                         size_t *out_used) {
    Slice rest = bytes;
    uint64_t name_len;
    Status status = archive_cut_uvarint(&rest, &name_len);
    if (status == OK)
        status = archive_cut_varint(&rest, &out_entry->time_ns);
    if (status == OK)
        status = archive_cut_uvarint(&rest, &out_entry->seq);
    if (status == OK)
        status = archive_cut_uvarint(&rest, &out_entry->headers_len);
    if (status == OK)
        status = archive_cut_uvarint(&rest, &out_entry->payload_len);
    if (status != OK)
        return status;
    if (name_len > ARCHIVE_NAME_BYTES_MAX || out_entry->headers_len > ARCHIVE_ENTRY_BYTES_MAX ||
        out_entry->payload_len > ARCHIVE_ENTRY_BYTES_MAX)
        return ERR_CORRUPT;
    *out_name_len = name_len;
    *out_used = bytes.len - rest.len;
    return OK;
}

static Status next_head(ArchiveReader *reader, ArchiveEntry *out_entry, size_t *out_name_len,
                        size_t *out_used) {
    Slice bytes;
    size_t n = 5; /* the least that a head takes */
    for (;;) {
        Status status = archive_want(reader, n, &bytes);
        if (status == OK)
            status = parse_head(bytes, out_entry, out_name_len, out_used);
        else
            return status;
        if (status == ERR_CORRUPT)
            return archive_fail(reader, "corrupt archive entry");
        if (status == OK)
            return OK;
        n = bytes.len + 1;
    }
}

static Status v2_next(ArchiveReader *reader, ArchiveItem *item) {
    ArchiveEntry entry;
    size_t name_len, head_len;
    Slice bytes;
    Status status = next_head(reader, &entry, &name_len, &head_len);
    if (status != OK)
        return status;
    size_t body_len = entry.headers_len + entry.payload_len;
    status = archive_want(reader, head_len + name_len + body_len, &bytes);
    if (status != OK)
        return status;
    archive_take(reader, head_len + name_len + body_len);
    Slice name = slice_first(slice_from_at(bytes, head_len), name_len);
    Slice body = slice_first(slice_from_at(bytes, head_len + name_len), body_len);
    *item = (ArchiveItem){.seq = entry.seq, .time_ns = entry.time_ns};
    if (name_len == 0) {
        item->kind = ARCHIVE_END;
        reader->is_over = true;
    } else if (entry.seq) {
        item->kind = ARCHIVE_MESSAGE;
        item->subject = name;
        item->headers = slice_first(body, entry.headers_len);
        item->payload = slice_from_at(body, entry.headers_len);
    } else if (slice_starts_with(name, consumer_prefix)) {
        item->kind = ARCHIVE_CONSUMER;
        item->name = slice_from_at(name, consumer_prefix.len);
        item->json = body;
        return read_consumer(reader, item);
    } else if (slice_equal(name, LIT("state.json"))) {
        item->kind = ARCHIVE_STATE;
        item->json = body;
    } else {
        return archive_fail(reader, "unknown archive entry");
    }
    return OK;
}

static Status find_version(ArchiveReader *reader) {
    Slice bytes;
    Status status = archive_want(reader, magic.len, &bytes);
    if (status != OK)
        return status;
    reader->version = slice_starts_with(bytes, magic) ? 2 : 1;
    if (reader->version == 2)
        archive_take(reader, magic.len);
    return OK;
}

Status archive_reader_next(ArchiveReader *reader, ArchiveItem *out_item) {
    Status status = reader->why ? ERR_CORRUPT : OK;
    if (status == OK && reader->is_over) {
        *out_item = (ArchiveItem){.kind = ARCHIVE_END};
        return OK;
    }
    if (status == OK && reader->version == 0)
        status = find_version(reader);
    if (status != OK)
        return status;
    return reader->version == 2 ? v2_next(reader, out_item) : archive_v1_next(reader, out_item);
}
