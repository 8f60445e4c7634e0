/* LogCipher: what encryption adds to the log. Private to store/.
 *
 * The body of an encrypted block (version 2) is a CipherHead, the records, encrypted, and the
 * CipherHead again; its checksum is over all that as it stands on disk. All blocks of a segment
 * have the same CipherHead, whose owner is the segment's number; a byte's offset in the key stream
 * is its offset in the segment. A segment is begun by the process that encrypts into it, and no
 * offset of it is written twice: a start begins a new one, and so does what follows a write that
 * failed. */
#pragma once

#include <stdbool.h>

#include "io/disk.h"
#include "store/block.h"
#include "store/cipher.h"
#include "store/log.h"

typedef struct LogCipher {
    Cipher *cipher;           /* NULL: nothing is encrypted. Set before the log is read */
    bool is_key_changed;      /* SUPER does not have its wrapped key yet */
    CipherHead head;          /* of the segment that is written */
    CipherStream *stream;     /* NULL: the next block begins a segment */
    uint64_t end;             /* nothing may be written before this offset of it */
    struct KeyMail *key_next; /* a new key that waits to be taken */
} LogCipher;

/* After SUPER was read, before anything is changed. ERR_DENIED: the key is missing or wrong. */
MUST_CHECK Status log_cipher_open(Log *log);
void log_cipher_close(Log *log);
/* After SUPER was written, before anything that is encrypted: its other copy, KEY. */
MUST_CHECK Status log_cipher_save_key(const Log *log);
/* Takes a new key that came, when SUPER can be written. */
void log_cipher_consider(Log *log);

/* For the segment that is written from now on; after a failure it is still the one before. */
MUST_CHECK Status log_cipher_begin_segment(Log *log, uint64_t segment);
/* Whether the next block may go to the segment that is written. */
bool log_cipher_may_write(const Log *log);
/* Bytes of a body that are not records. */
uint64_t log_cipher_overhead(const Log *log);
/* To log->block + at; encrypted, if anything is. */
void log_cipher_copy(Log *log, uint64_t at, const char *from, size_t len);
/* Before *head is sealed: the rest of the body. */
void log_cipher_end_body(Log *log, BlockHead *head);

/* The CipherHead of a segment's file, from the first block in which it can be read. ERR_NOT_FOUND:
 * the segment is not encrypted, or nothing is. ERR_CORRUPT: there is no such block; ERR_IO: the
 * disk did not give it. file may be a direct one. Mostly one page is read. */
MUST_CHECK Status log_cipher_find(const Log *log, DiskFile *file, uint64_t file_bytes,
                                  uint64_t segment, CipherHead *out_head);
/* Decrypts what was read from the segment. bytes may hold more than records: that is garbage then.
 */
MUST_CHECK Status log_cipher_decrypt(const Log *log, const CipherHead *head, uint64_t offset,
                                     char *bytes, size_t len);

/* Either of a block's two CipherHeads. block: as on disk. ERR_NOT_FOUND: it is not encrypted;
 * ERR_CORRUPT: both are damaged. */
MUST_CHECK Status block_find_cipher(const BlockHead *head, const char *block, CipherHead *out_head);
