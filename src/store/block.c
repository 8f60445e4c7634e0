#include "store/block.h"

#include <stddef.h>
#include <string.h>

#include "base/hash.h"

void block_seal(BlockHead *head, char *block) {
    size_t bytes = block_bytes(head->body_len);
    size_t body_end = BLOCK_HEAD_BYTES + (size_t)head->body_len;
    head->magic = BLOCK_MAGIC;
    if (head->version != BLOCK_VERSION_ENCRYPTED)
        head->version = BLOCK_VERSION;
    head->head_bytes = BLOCK_HEAD_BYTES;
    head->body_checksum = hash_checksum(block + BLOCK_HEAD_BYTES, head->body_len);
    head->head_checksum = hash_checksum(head, offsetof(BlockHead, head_checksum));
    memcpy(block, head, sizeof *head);
    memset(block + body_end, 0, bytes - BLOCK_HEAD_BYTES - body_end);
    memcpy(block + bytes - BLOCK_HEAD_BYTES, head, sizeof *head);
}

bool block_head_parse(const char *at, BlockHead *out_head) {
    uint32_t magic;
    memcpy(&magic, at, sizeof magic);
    if (magic != BLOCK_MAGIC)
        return false;
    BlockHead head;
    memcpy(&head, at, sizeof head);
    if ((head.version != BLOCK_VERSION && head.version != BLOCK_VERSION_ENCRYPTED) ||
        head.head_bytes != BLOCK_HEAD_BYTES ||
        head.head_checksum != hash_checksum(&head, offsetof(BlockHead, head_checksum)))
        return false;
    *out_head = head;
    return true;
}

bool block_head_is_newer(const char *at, BlockHead *out_head) {
    BlockHead head;
    memcpy(&head, at, sizeof head);
    if (head.magic != BLOCK_MAGIC || head.version <= BLOCK_VERSION_ENCRYPTED ||
        head.head_checksum != hash_checksum(&head, offsetof(BlockHead, head_checksum)))
        return false;
    *out_head = head;
    return true;
}
