/* Atomic batches of a stream. While the client sends, members are held in the memory of the
 * stream's home, as records. The commit appends all of them as one entry: RECORD_BATCH. So a batch
 * is in the log wholly or not at all, and it is decided wholly when that entry is applied.
 *
 * Private to stream*.c. */
#pragma once

#include "stream/stream_parts.h"

enum {
    /* Of one batch: over it, 10199. */
    BATCH_BYTES_MAX = 40 * 1024 * 1024,
    /* Of all that are open on the server: over it, 10210. */
    BATCH_OPEN_BYTES_MAX = 512 * 1024 * 1024,
    BATCH_ID_BYTES_MAX = 64,
};

/* A message with Nats-Batch-Id: answers it, takes it, or commits. */
void stream_batch_on_publish(Stream *stream, const Message *message, const PubHeaders *ask);

/* 10199, for a batch of more bytes than BATCH_BYTES_MAX. */
ApiError stream_batch_too_large(const Stream *stream);

/* Drops what is open, silently. */
void stream_batches_free(Stream *stream);

/* stream_batch_apply.c */
void stream_apply_batch(Stream *stream, const Record *record, Place place, Shared *hold,
                        const Ticket *ticket);
/* member was decided on: later ones see it. */
void batch_view_note(const Stream *stream, BatchView *view, const Record *member,
                     const PubHeaders *ask, bool is_unwanted);
/* A member that was decided on: stores it, without an answer. */
void stream_store_member(Stream *stream, const Record *member, Place place, Shared *hold,
                         bool is_live);
/* Of a whole batch: of its last member, or the first one that is refused. Borrows from the batch.
 */
typedef struct BatchVerdict {
    PubVerdict verdict;
    uint64_t count; /* members that would be stored */
    Slice subject;
    PubHeaders ask;
} BatchVerdict;
/* Whether all members of batch would be stored now. */
void stream_decide_batch(Stream *stream, const Record *batch, BatchVerdict *out_verdict);
/* What became of it; gives the trace back. NULL-safe. */
void stream_tell_batch_trace(Stream *stream, Trace *trace, const BatchVerdict *verdict);

/* for (size_t at = 0; batch_next_member(...);): the records in a RECORD_BATCH. Ends early when
 * bytes are not understood. place is the batch's (0: members have none either). */
bool batch_next_member(const Record *batch, Place place, size_t *at, Record *out_member,
                       Place *out_place);
