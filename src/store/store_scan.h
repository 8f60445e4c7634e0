/* StoreScan: reads a store's directory without changing anything in it, also while a server uses
 * it: for checks and backups. What a running server has not finished writing looks like an
 * unfinished end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "store/block.h"
#include "store/cipher.h"
#include "store/record.h"
#include "store/super.h"

typedef VEC(uint64_t) ScanNumbers;

typedef struct StoreScan {
    char *dir;
    Super super;
    bool is_super_half, is_super_lost; /* one copy damaged, both */
    ScanNumbers segments;              /* ascending */
    ScanNumbers checkpoints;           /* ascending */
    char *bytes;                       /* of the segment read last */
    uint64_t bytes_len, bytes_cap;
    uint64_t segment;
    Cipher *cipher;       /* NULL: not unlocked */
    CipherStream *stream; /* of the segment read last; NULL: not known */
    CipherHead cipher_head;
    char *records; /* decrypted, of one block */
    uint64_t records_cap;
} StoreScan;

typedef struct ScanBlock {
    BlockHead head;
    Slice body;
    bool is_body_good, are_heads_good;
} ScanBlock;

/* dir, or dir/jetstream when that is the store. ERR_NOT_FOUND: there is none; ERR_VERSION; ERR_IO.
 */
MUST_CHECK Status store_scan_open(const char *dir, StoreScan *out_scan);
void store_scan_done(StoreScan *scan);
/* With the operator's key what is encrypted can be looked into. OK, too, when nothing is encrypted.
 * ERR_DENIED: not its key. */
MUST_CHECK Status store_scan_unlock(StoreScan *scan, Slice key);
/* The records of a block of the segment read last; good until the next call. ERR_DENIED: encrypted,
 * and the scan is not unlocked; ERR_CORRUPT, ERR_MEMORY: cannot be decrypted. */
MUST_CHECK Status store_scan_records(StoreScan *scan, const ScanBlock *block, Slice *out_records);
/* The whole file; ERR_NOT_FOUND when it went meanwhile. */
MUST_CHECK Status store_scan_read(StoreScan *scan, uint64_t segment);
/* The next block that begins at or after at, which follows previous (NULL: any); false: no more. */
bool store_scan_next(const StoreScan *scan, uint64_t at, const BlockHead *previous,
                     ScanBlock *out_block);
static inline uint64_t scan_block_end(const ScanBlock *block) {
    return block->head.offset + block_bytes(block->head.body_len);
}
/* Copies the files of folder `name` (index runs: never changed once they are there) that to_dir
 * lacks; those that go meanwhile are left out. */
MUST_CHECK Status store_scan_copy_folder(const StoreScan *scan, const char *name,
                                         const char *to_dir, uint64_t *out_bytes);
/* Lists anew. */
MUST_CHECK Status store_scan_list(StoreScan *scan);
char *store_scan_path(const StoreScan *scan, uint64_t segment);
