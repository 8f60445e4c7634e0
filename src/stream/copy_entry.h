/* CopyEntry: what RECORD_COPY has before the message's payload, little endian:
 *   u64 sequence in the origin | i64 time in the origin | u64 sequence before it | u64 key |
 *   char identity[8]
 * A restored message has only the first two, the rest is zeros. For mirrors and sources, key names
 * the source (copy.h), and "before" is the position that the entry continues: what was copied
 * already, or does not follow, is passed over. */
#pragma once

#include "base/buf.h"
#include "store/record.h"

enum { COPY_IDENTITY_LEN = 8, COPY_PREFIX_BYTES = 40 };

/* Record.flags; neither of the first two: restored */
enum {
    COPY_OF_MIRROR = 1, /* keeps sequence and time of the origin */
    COPY_OF_SOURCE = 2, /* gets the next sequence, and the time of the record */
    COPY_NO_TTL = 4,    /* a Nats-TTL is a header like any other */
    COPY_NOTHING = 8,   /* takes its place in the origin, is not stored */
};

typedef struct CopyEntry {
    uint64_t seq, before, key;
    int64_t time_ns;
    char identity[COPY_IDENTITY_LEN]; /* of the origin; zeros: it says nothing about it */
    bool is_mirror;
} CopyEntry;

/* Appends the prefix. */
void copy_entry_write(Buf *out, const CopyEntry *entry);
/* ERR_CORRUPT when there is no room for the prefix. */
MUST_CHECK Status copy_entry_read(const Record *record, CopyEntry *out_entry);
