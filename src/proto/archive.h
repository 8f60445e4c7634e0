/* Archive: a stream as snapshots carry it and restores take it. An S2 stream (s2.h) that holds
 *
 * version 2: "NATSARC1", then entries:
 *   uvarint name length | zigzag varint time | uvarint sequence | uvarint header size |
 *   uvarint payload size | name | headers | payload
 * "state.json" first, "consumers/<name>" (JSON), messages (the name is the subject), five zeros.
 *
 * version 1: a tar of meta.inf (config), msgs/<n>.blk (records) and, of each consumer,
 * obs/<name>/meta.inf and o.dat. archive_v1.c draws these.
 *
 * Both are read, version 2 is written. Versions of the same thing look alike to the reader's
 * caller. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    ARCHIVE_NAME_BYTES_MAX = 1024 * 1024,
    ARCHIVE_ENTRY_BYTES_MAX = 64 * 1024 * 1024, /* headers and payload, or a consumer's JSON */
};

/* Writing: before the S2 stream is laid around it. */
void archive_write_magic(Buf *out);
typedef struct ArchiveEntry {
    Slice name;
    int64_t time_ns;
    uint64_t seq, headers_len, payload_len;
} ArchiveEntry;
/* What precedes headers and payload. */
void archive_write_head(Buf *out, const ArchiveEntry *entry);
void archive_write_end(Buf *out);

typedef enum ArchiveKind {
    ARCHIVE_STATE,    /* json: the stream's state (version 2) */
    ARCHIVE_CONFIG,   /* json: config and "Created" (version 1) */
    ARCHIVE_CONSUMER, /* name, json: its config, and "Created" in version 1; consumer: its state */
    ARCHIVE_MESSAGE,  /* seq, time_ns, subject, headers, payload; sequences mostly rise */
    ARCHIVE_REMOVED,  /* seq, time_ns: that message is gone (version 1) */
    ARCHIVE_END,      /* and it was whole */
} ArchiveKind;

typedef struct ArchivePending {
    uint64_t sseq, dseq;
    uint64_t deliveries;
} ArchivePending;

typedef struct ArchiveConsumer {
    uint64_t delivered_dseq, delivered_sseq, floor_dseq, floor_sseq;
    ArchivePending *pending; /* ascending by sseq */
    size_t pending_count;
} ArchiveConsumer;

/* All bytes are borrowed from the reader until it is called again. */
typedef struct ArchiveItem {
    ArchiveKind kind;
    Slice name, json;
    uint64_t seq;
    int64_t time_ns;
    Slice subject, headers, payload;
    ArchiveConsumer consumer;
} ArchiveItem;

typedef struct ArchiveReader ArchiveReader;
/* The stream's name is part of version 1's checksums. */
ArchiveReader *archive_reader_new(Slice stream);
/* NULL-safe. */
void archive_reader_free(ArchiveReader *reader);
/* Keeps a copy. */
void archive_reader_feed(ArchiveReader *reader, Slice bytes);
/* OK; ERR_AGAIN: feed more; ERR_CORRUPT: final, archive_reader_why says why. Memory is bounded by
 * what is fed and not taken, one entry and one S2 block. */
MUST_CHECK Status archive_reader_next(ArchiveReader *reader, ArchiveItem *out_item);
/* For who has no more to feed, or got ERR_CORRUPT; as nats-server puts it. */
Slice archive_reader_why(const ArchiveReader *reader);
/* Bytes fed and not decoded yet. */
size_t archive_reader_held(const ArchiveReader *reader);
/* 1 or 2; 0 = not known yet. */
unsigned archive_reader_version(const ArchiveReader *reader);
