/* How a run looks on disk. Private to store/. docs/STORAGE.md explains it. */
#pragma once

#include <string.h>

#include "store/run.h"

enum {
    RUN_VERSION = 1,
    RUN_VERSION_ENCRYPTED = 2,
    RUN_HEAD_BYTES = 4096,
    RUN_CIPHER_AT = 4064,       /* the CipherHead of an encrypted one; owner: 0 */
    RUN_SUM_BYTES = 256 * 1024, /* of body for each checksum */
    RUN_TEXT_BLOCK = 32,        /* subjects in a block of texts */
    RUN_STATE_BLOCK = 64,       /* subjects in a block of states */
    RUN_BUCKET_IDS = 12,
    RUN_BUCKET_FULL = 10,
    RUN_PLACES_PAGES = 64, /* pages in a piece of places */
    RUN_SLACK = 8,         /* behind the body: columns are read 8 bytes at a time */
};

typedef enum RunSectionKind {
    RUN_TEXTS,       /* blocks of front-coded subjects */
    RUN_TEXT_INDEX,  /* u64 offset of each block in RUN_TEXTS */
    RUN_HASH,        /* RunBucket */
    RUN_SLOTS,       /* columns of each page */
    RUN_PAGES,       /* RunPage */
    RUN_STATES,      /* columns of each block */
    RUN_STATE_INDEX, /* u64 offset of each block in RUN_STATES */
    RUN_SEGMENTS,    /* RunSegment */
    RUN_DUES,        /* RunDue */
    RUN_PLACES,      /* pieces, each with its own checksum */
    RUN_SECTIONS
} RunSectionKind;

typedef struct RunSection {
    uint64_t at, bytes;
} RunSection;

typedef struct RunHead {
    char magic[8]; /* "HWRUNIDX" */
    uint32_t version, subject_count;
    uint64_t message_count, bucket_count;
    RunSection sections[RUN_SECTIONS];
    uint64_t body_end; /* of all sections but the places. Checksums of it follow, one u64 for each
                          RUN_SUM_BYTES, then the places */
    uint64_t file_bytes, sums_checksum, head_checksum;
} RunHead;
_Static_assert(sizeof(RunHead) == 32 + 16 * RUN_SECTIONS + 32, "the head has no holes");

/* Columns, each count values of its width: places, times, sizes, subjects, nexts (with the mark as
 * lowest bit); what is added to them. */
typedef struct RunSlotsHead {
    uint64_t place;
    int64_t time_ns;
    uint32_t size, subject;
    uint8_t place_width, time_width, size_width, subject_width, next_width, place_shift, zero[2];
} RunSlotsHead;
_Static_assert(sizeof(RunSlotsHead) == 32, "the head of a page's columns is 32 bytes");

/* Columns: first, last - first, count - 1. */
typedef struct RunStatesHead {
    uint64_t first;
    uint8_t first_width, span_width, count_width, zero[5];
} RunStatesHead;
_Static_assert(sizeof(RunStatesHead) == 16, "the head of a block of states is 16 bytes");

/* A cache line. A subject that found its bucket full lies in a later one, and each it went past
 * counts it. */
typedef struct RunBucket {
    uint8_t tags[RUN_BUCKET_IDS]; /* 0 = free */
    uint32_t passed;
    uint32_t ids[RUN_BUCKET_IDS]; /* ordinals */
} RunBucket;
_Static_assert(sizeof(RunBucket) == 64, "a bucket is a cache line");

/* A piece of places: this, then for each page its number (u64), its bits, and for each message the
 * distance of its place to the previous one in the piece, zigzag, 7 bits a byte; 0 = not in the
 * log. */
typedef struct RunPlacesHead {
    uint32_t bytes, page_count;
    uint64_t checksum; /* of what follows, and of the fields before as seed of it */
} RunPlacesHead;

/* run.c */
/* The places of an encrypted run are not there: empty. */
Slice run_section(const Run *run, RunSectionKind kind);
uint64_t run_sums_bytes(const RunHead *head);
/* OK, ERR_CORRUPT, ERR_VERSION. */
Status run_head_check(const RunHead *head, uint64_t file_bytes);
uint64_t run_places_checksum(const RunPlacesHead *head, const char *bytes);

static inline uint64_t run_bucket_of(uint64_t hash, uint64_t bucket_count) {
    return (uint64_t)((unsigned __int128)hash * bucket_count >> 64);
}

static inline uint8_t run_tag_of(uint64_t hash) {
    uint8_t tag = (uint8_t)hash;
    return tag ? tag : 1;
}

static inline uint64_t run_column_get(const char *column, unsigned width, size_t i) {
    uint64_t value;
    if (width == 0)
        return 0;
    memcpy(&value, column + i * width, sizeof value);
    return width == 8 ? value : value & ((1ull << (8 * width)) - 1);
}

static inline unsigned run_width_of(uint64_t value) {
    unsigned width = 0;
    for (; value; value >>= 8)
        width++;
    return width;
}

static inline unsigned run_bits_in(uint64_t word) {
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (unsigned)(word * 0x0101010101010101 >> 56);
}

static inline unsigned run_rank(const uint64_t *has, unsigned i) {
    unsigned rank = 0;
    for (unsigned word = 0; word < i / 64; word++)
        rank += run_bits_in(has[word]);
    return rank + run_bits_in(has[i / 64] & ((1ull << (i % 64)) - 1));
}

/* 7 bits a byte, low ones first. NULL when it does not end before end. */
static inline const char *run_read_number(const char *at, const char *end, uint64_t *out_value) {
    uint64_t value = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)*at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out_value = value;
            return at;
        }
    }
    return NULL;
}

static inline size_t run_write_number(char *to, uint64_t value) {
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        to[n++] = (char)(value | 0x80);
    to[n++] = (char)value;
    return n;
}
