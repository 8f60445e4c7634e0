/* Tar: the heads of members, as far as archives of streams need them: ustar, PAX, GNU long names.
 */
#pragma once

#include <stdint.h>

#include "base/slice.h"

enum { TAR_BLOCK_BYTES = 512 };

typedef enum TarKind {
    TAR_END,   /* a block of zeros */
    TAR_FILE,  /* a regular file */
    TAR_PAX,   /* its body tells more about the next member: tar_pax_next */
    TAR_LONG,  /* its body is the next member's name, with a zero behind it */
    TAR_OTHER, /* to be skipped with its body */
} TarKind;

typedef struct TarHead {
    TarKind kind;
    uint64_t size; /* of the body, without padding */
    char name[257];
    size_t name_len;
} TarHead;

/* block: TAR_BLOCK_BYTES. ERR_CORRUPT: checksum or numbers are wrong. */
MUST_CHECK Status tar_parse_head(Slice block, TarHead *out_head);
/* Bytes that a body takes, padded to whole blocks. */
static inline uint64_t tar_padded(uint64_t size) {
    return (size + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
}
/* The next "key=value" of a PAX body. ERR_NOT_FOUND at its end, ERR_CORRUPT. */
MUST_CHECK Status tar_pax_next(Slice *rest, Slice *out_key, Slice *out_value);
