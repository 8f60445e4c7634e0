/* What the files of the archive reader share. */
#pragma once

#include "base/vec.h"
#include "proto/archive.h"
#include "proto/s2.h"
#include "proto/tar.h"

typedef enum MemberKind { MEMBER_NONE, MEMBER_BLOCK } MemberKind;

enum { ARCHIVE_KEY_BYTES = 32 };

struct ArchiveReader {
    S2Reader s2;
    Buf window; /* plain bytes; those before at are taken */
    size_t at;
    unsigned version;
    bool is_over;
    const char *why; /* it is corrupt, beside what the S2 stream says */
    Buf stream;      /* name */
    VEC(ArchivePending) pending;

    /* version 1 */
    uint64_t to_skip;
    MemberKind member;
    uint64_t left; /* of the member's body, without padding */
    uint64_t padding;
    uint8_t key[ARCHIVE_KEY_BYTES]; /* of the block */
    bool is_block_begun, is_block_packed;
    Buf plain; /* a block that was compressed by itself */
    size_t plain_at;
    Buf long_name; /* of the next member */
    uint64_t long_size;
    bool has_long_size;
    bool is_head_kept; /* the head will be looked at again */
    Buf meta;          /* the last meta.inf, for its sum */
    Buf consumer, consumer_json;
    bool has_consumer; /* its meta.inf came, its o.dat may come */
};

/* At least n bytes that were not taken; borrowed until something else is wanted. ERR_AGAIN,
 * ERR_CORRUPT. */
MUST_CHECK Status archive_want(ArchiveReader *reader, size_t n, Slice *out_bytes);
static inline void archive_take(ArchiveReader *reader, size_t n) {
    reader->at += n;
}
static inline Status archive_fail(ArchiveReader *reader, const char *why) {
    reader->why = why;
    return ERR_CORRUPT;
}
/* Puts pending in order, into item. */
void archive_give_pending(ArchiveReader *reader, ArchiveConsumer *consumer);
/* Sets what the reader knows of sseq's deliveries beside the first. */
void archive_add_redelivered(ArchiveReader *reader, uint64_t sseq, uint64_t count);
/* Go's varints. ERR_AGAIN: bytes end before it does. */
MUST_CHECK Status archive_cut_uvarint(Slice *from, uint64_t *out_value);
MUST_CHECK Status archive_cut_varint(Slice *from, int64_t *out_value);

MUST_CHECK Status archive_v1_next(ArchiveReader *reader, ArchiveItem *out_item);
void archive_v1_done(ArchiveReader *reader);
