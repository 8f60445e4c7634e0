/* Block: one group commit on disk. Private to store/.
 *
 * 4 KiB aligned, a whole number of 4 KiB pages, inside one segment:
 *
 *   offset  size  field
 *        0     4  magic "HWBK"
 *        4     2  version: 1; 2: the body is encrypted
 *        6     2  bytes of this head (96)
 *        8     8  segment: its number
 *       16     8  offset: where this block begins in it
 *       24     8  number of the block, one more than that of the previous one
 *       32     8  durable: the highest block number whose sync had returned
 *       40     8  previous: head checksum of the previous block
 *       48     8  epoch: raised at each start, so that what an earlier life left behind cannot
 * continue this one 56     4  body_len 60     4  record_count 64    16  store id 80     8  XXH3-64
 * of the body 88     8  XXH3-64 of the 88 bytes before 96        records, zeros last 96        the
 * same head again: one damaged page costs no more than the records in it
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    BLOCK_MAGIC = 0x4b425748, /* "HWBK" */
    BLOCK_VERSION = 1,
    BLOCK_VERSION_ENCRYPTED = 2,
    BLOCK_HEAD_BYTES = 96,
    BLOCK_CIPHER_BYTES = 32,
    BLOCK_ALIGN = 4096,
    STORE_ID_BYTES = 16,
};

typedef struct BlockHead {
    uint32_t magic;
    uint16_t version, head_bytes;
    uint64_t segment, offset, number, durable, previous, epoch;
    uint32_t body_len, record_count;
    uint8_t store_id[STORE_ID_BYTES];
    uint64_t body_checksum, head_checksum;
} BlockHead;
_Static_assert(sizeof(BlockHead) == BLOCK_HEAD_BYTES, "the block head is 96 bytes on disk");

/* On disk, with both heads. */
static inline uint64_t block_bytes(uint64_t body_len) {
    return (body_len + 2 * BLOCK_HEAD_BYTES + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
}

/* Where the records begin in a block, and how long they are together: an encrypted body has a
 * CipherHead before and behind them (log_cipher.h). */
static inline uint64_t block_records_at(const BlockHead *head) {
    return BLOCK_HEAD_BYTES + (head->version == BLOCK_VERSION_ENCRYPTED ? BLOCK_CIPHER_BYTES : 0);
}
static inline uint64_t block_records_len(const BlockHead *head) {
    uint64_t around = head->version == BLOCK_VERSION_ENCRYPTED ? 2 * BLOCK_CIPHER_BYTES : 0;
    return head->body_len > around ? head->body_len - around : 0;
}

/* block holds the body from BLOCK_HEAD_BYTES on and has room for block_bytes(head->body_len).
 * Fills in the constants and checksums of *head, both copies, and zeros between. */
void block_seal(BlockHead *head, char *block);

/* at has BLOCK_HEAD_BYTES. True when it is a head of this version with a good checksum; the rest is
 * for the caller to compare. */
bool block_head_parse(const char *at, BlockHead *out_head);

/* The same for a head of a version above ours (which keeps the place of these fields). */
bool block_head_is_newer(const char *at, BlockHead *out_head);
