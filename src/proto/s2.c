#include "proto/s2.h"

#include "base/bytes.h"
#include "base/hash.h"

enum {
    CHUNK_COMPRESSED = 0x00,
    CHUNK_PLAIN = 0x01,
    CHUNK_SKIPPABLE_FIRST = 0x80,
    CHUNK_MAGIC = 0xff,
    CHUNK_HEAD_BYTES = 4,
    CRC_BYTES = 4,
    MAGIC_BYTES = 6,
    /* A compressed block is never larger than this beside its plain bytes. */
    CHUNK_BYTES_MAX = S2_BLOCK_BYTES_MAX + S2_BLOCK_BYTES_MAX / 6 + 1024,

    TAG_LITERAL = 0,
    TAG_COPY1 = 1,
    TAG_COPY2 = 2,

    HASH_BITS = 14,
    MATCH_BYTES_MIN = 4,
    TAIL_BYTES = 15, /* no match begins in the last ones */
};

static uint32_t masked_crc(Slice bytes) {
    uint32_t crc = crc32c(0, bytes.ptr, bytes.len);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static uint32_t get_u24(const uint8_t *from) {
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16;
}

/* ---- decoding ---- */

/* One step of a block: a literal, or a copy from what was decoded. */
typedef struct Element {
    bool is_literal;
    size_t len;
} Element;

typedef struct Decoder {
    const uint8_t *at, *end;
    size_t offset; /* of the last copy; 0 = none yet */
} Decoder;

/* n little-endian bytes. */
static bool take(Decoder *decoder, unsigned n, uint32_t *out_value) {
    uint32_t value = 0;
    if ((size_t)(decoder->end - decoder->at) < n)
        return false;
    for (unsigned i = 0; i < n; i++)
        value |= (uint32_t)decoder->at[i] << (8 * i);
    decoder->at += n;
    *out_value = value;
    return true;
}

static bool next_literal(Decoder *decoder, uint8_t tag, Element *out) {
    uint32_t value = tag >> 2;
    if (value >= 60 && !take(decoder, value - 59, &value))
        return false;
    *out = (Element){true, (size_t)value + 1};
    return true;
}

/* The length of a copy that keeps the last offset. */
static bool next_repeat(Decoder *decoder, uint32_t length, Element *out) {
    static const uint32_t base[] = {4, 1 << 8, 1 << 16};
    uint32_t more = 0;
    if (length >= 5) {
        if (!take(decoder, length - 4, &more))
            return false;
        length = more + base[length - 5];
    }
    *out = (Element){false, (size_t)length + 4};
    return true;
}

static bool next_copy(Decoder *decoder, uint8_t tag, Element *out) {
    uint32_t value;
    if ((tag & 3) == TAG_COPY1) {
        uint32_t length = tag >> 2 & 7;
        if (!take(decoder, 1, &value))
            return false;
        value |= (uint32_t)(tag & 0xe0) << 3;
        if (value == 0)
            return next_repeat(decoder, length, out);
        decoder->offset = value;
        *out = (Element){false, (size_t)length + 4};
        return true;
    }
    if (!take(decoder, (tag & 3) == TAG_COPY2 ? 2 : 4, &value))
        return false;
    decoder->offset = value;
    *out = (Element){false, (size_t)(tag >> 2) + 1};
    return true;
}

static void copy_within(uint8_t *to, size_t offset, size_t len) {
    const uint8_t *from = to - offset;
    if (offset >= len) {
        memcpy(to, from, len);
        return;
    }
    for (size_t i = 0; i < len; i++)
        to[i] = from[i];
}

static Status decode_elements(Decoder *decoder, uint8_t *to, size_t want) {
    size_t have = 0;
    Element element;
    while (decoder->at < decoder->end) {
        uint8_t tag = *decoder->at++;
        if ((tag & 3) == TAG_LITERAL ? !next_literal(decoder, tag, &element)
                                     : !next_copy(decoder, tag, &element))
            return ERR_CORRUPT;
        if (element.len > want - have)
            return ERR_CORRUPT;
        if (element.is_literal) {
            if (element.len > (size_t)(decoder->end - decoder->at))
                return ERR_CORRUPT;
            memcpy(to + have, decoder->at, element.len);
            decoder->at += element.len;
        } else {
            if (decoder->offset == 0 || decoder->offset > have)
                return ERR_CORRUPT;
            copy_within(to + have, decoder->offset, element.len);
        }
        have += element.len;
    }
    return have == want ? OK : ERR_CORRUPT;
}

static bool read_length(Decoder *decoder, size_t *out_len) {
    size_t len = 0;
    for (unsigned shift = 0; shift < 35 && decoder->at < decoder->end; shift += 7) {
        uint8_t byte = *decoder->at++;
        len |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out_len = len;
            return true;
        }
    }
    return false;
}

Status s2_decode_block(Slice block, size_t max, Buf *out) {
    Decoder decoder = {.at = (const uint8_t *)block.ptr};
    size_t want;
    if (block.len == 0)
        return ERR_CORRUPT;
    decoder.end = decoder.at + block.len;
    if (!read_length(&decoder, &want) || want > max)
        return ERR_CORRUPT;
    Status status = decode_elements(&decoder, (uint8_t *)buf_reserve(out, want), want);
    if (status == OK)
        out->len += want;
    return status;
}

/* ---- reading a stream ---- */

void s2_reader_done(S2Reader *reader) {
    buf_done(&reader->input);
    *reader = (S2Reader){0};
}

static Status read_data(uint8_t type, Slice body, Buf *out) {
    if (body.len < CRC_BYTES)
        return ERR_CORRUPT;
    uint32_t crc = bytes_get_u32((const uint8_t *)body.ptr);
    Slice block = slice_from_at(body, CRC_BYTES);
    size_t before = out->len;
    if (type == CHUNK_PLAIN) {
        if (block.len > S2_BLOCK_BYTES_MAX)
            return ERR_CORRUPT;
        buf_append(out, block);
    } else if (s2_decode_block(block, S2_BLOCK_BYTES_MAX, out) != OK) {
        return ERR_CORRUPT;
    }
    if (masked_crc(slice_from(out->ptr + before, out->len - before)) == crc)
        return OK;
    out->len = before;
    return ERR_CORRUPT;
}

static bool is_magic(Slice body) {
    return slice_equal(body, LIT("S2sTwO")) || slice_equal(body, LIT("sNaPpY"));
}

/* ERR_AGAIN: the rest is no whole chunk. */
static Status read_chunk(S2Reader *reader, Buf *out) {
    Slice rest = slice_from_at(buf_slice(&reader->input), reader->at);
    if (rest.len < CHUNK_HEAD_BYTES)
        return ERR_AGAIN;
    const uint8_t *head = (const uint8_t *)rest.ptr;
    uint8_t type = head[0];
    size_t len = get_u24(head + 1);
    if (!reader->has_magic && (type != CHUNK_MAGIC || len != MAGIC_BYTES))
        return ERR_CORRUPT;
    if (type >= CHUNK_SKIPPABLE_FIRST && type != CHUNK_MAGIC) {
        reader->at += CHUNK_HEAD_BYTES;
        reader->to_skip = len;
        return OK;
    }
    if (len > CHUNK_BYTES_MAX || (type > CHUNK_PLAIN && type != CHUNK_MAGIC))
        return ERR_CORRUPT;
    if (rest.len - CHUNK_HEAD_BYTES < len)
        return ERR_AGAIN;
    Slice body = slice_first(slice_from_at(rest, CHUNK_HEAD_BYTES), len);
    reader->at += CHUNK_HEAD_BYTES + len;
    if (type != CHUNK_MAGIC)
        return read_data(type, body, out);
    reader->has_magic = is_magic(body);
    return reader->has_magic ? OK : ERR_CORRUPT;
}

static void skip(S2Reader *reader) {
    size_t have = reader->input.len - reader->at;
    size_t n = have < reader->to_skip ? have : reader->to_skip;
    reader->at += n;
    reader->to_skip -= n;
}

void s2_reader_feed(S2Reader *reader, Slice bytes) {
    buf_consume(&reader->input, reader->at);
    reader->at = 0;
    buf_append(&reader->input, bytes);
}

Status s2_reader_read(S2Reader *reader, Buf *out) {
    Status status = ERR_CORRUPT;
    if (!reader->is_corrupt) {
        skip(reader);
        status = reader->to_skip ? ERR_AGAIN : read_chunk(reader, out);
    }
    reader->is_corrupt = status == ERR_CORRUPT;
    return status;
}

bool s2_reader_is_at_end(const S2Reader *reader) {
    return reader->has_magic && s2_reader_held(reader) == 0 && reader->to_skip == 0;
}

/* ---- writing ---- */

static void put_u24(uint8_t *to, size_t value) {
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)(value >> 16);
}

void s2_write_magic(Buf *out) {
    buf_append_lit(out, "\xff\x06\x00\x00S2sTwO");
}

static uint8_t *put_literal(uint8_t *to, const uint8_t *from, size_t len) {
    size_t n = len - 1;
    if (len == 0)
        return to;
    if (n < 60) {
        *to++ = (uint8_t)(n << 2 | TAG_LITERAL);
    } else if (n < 256) {
        *to++ = 60 << 2 | TAG_LITERAL;
        *to++ = (uint8_t)n;
    } else {
        *to++ = 61 << 2 | TAG_LITERAL;
        *to++ = (uint8_t)n;
        *to++ = (uint8_t)(n >> 8);
    }
    memcpy(to, from, len);
    return to + len;
}

static uint8_t *put_copy(uint8_t *to, size_t offset, size_t len) {
    while (len > 0) {
        size_t n = len > 64 ? 64 : len;
        *to++ = (uint8_t)((n - 1) << 2 | TAG_COPY2);
        *to++ = (uint8_t)offset;
        *to++ = (uint8_t)(offset >> 8);
        len -= n;
    }
    return to;
}

static uint32_t load_u32(const uint8_t *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static uint32_t hash_of(uint32_t value) {
    return value * 0x1e35a7bdu >> (32 - HASH_BITS);
}

static size_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *b_end) {
    size_t n = 0;
    while (b + n < b_end && a[n] == b[n])
        n++;
    return n;
}

/* Greedy: the last place of each four bytes is tried; where nothing is found, steps grow. */
static uint8_t *compress(const uint8_t *from, size_t len, uint8_t *to) {
    uint16_t table[1 << HASH_BITS] = {0};
    size_t literal = 0, at = 1, misses = 0;
    while (at + TAIL_BYTES < len) {
        uint32_t value = load_u32(from + at);
        uint16_t *slot = &table[hash_of(value)];
        size_t candidate = *slot;
        *slot = (uint16_t)at;
        if (candidate >= at || load_u32(from + candidate) != value) {
            at += 1 + (misses++ >> 5);
            continue;
        }
        size_t match = MATCH_BYTES_MIN + match_length(from + candidate + MATCH_BYTES_MIN,
                                                      from + at + MATCH_BYTES_MIN, from + len);
        to = put_literal(to, from + literal, at - literal);
        to = put_copy(to, at - candidate, match);
        at += match;
        literal = at;
        misses = 0;
    }
    return put_literal(to, from + literal, len - literal);
}

static uint8_t *put_length(uint8_t *to, size_t len) {
    for (; len >= 0x80; len >>= 7)
        *to++ = (uint8_t)(len | 0x80);
    *to++ = (uint8_t)len;
    return to;
}

void s2_write_chunk(Buf *out, Slice plain) {
    if (plain.len == 0)
        return;
    /* Room for the worst: literals only, with a head each; copies never grow what they replace. */
    uint8_t *head =
        (uint8_t *)buf_reserve(out, CHUNK_HEAD_BYTES + CRC_BYTES + plain.len + plain.len / 6 + 64);
    uint8_t *body = head + CHUNK_HEAD_BYTES + CRC_BYTES;
    uint8_t *end = compress((const uint8_t *)plain.ptr, plain.len, put_length(body, plain.len));
    head[0] = CHUNK_COMPRESSED;
    if ((size_t)(end - body) >= plain.len - plain.len / 16) {
        memcpy(body, plain.ptr, plain.len);
        end = body + plain.len;
        head[0] = CHUNK_PLAIN;
    }
    put_u24(head + 1, (size_t)(end - body) + CRC_BYTES);
    bytes_put_u32(head + CHUNK_HEAD_BYTES, masked_crc(plain));
    out->len += (size_t)(end - head);
}
