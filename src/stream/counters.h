/* Counters: the counters of a stream's subjects, and the increments on their way through the log.
 *
 * The stored payload is the total, so it must be known before the entry is written: home adds the
 * increment to the newest total, those in flight included, and the entry holds the result
 * (RECORD_COUNTED). When it is applied the sum is made again from the state; where it differs,
 * since something before it was refused or removed, nothing is stored and home proposes it anew. In
 * a batch each increment adds to the one before; when one does not fit, nothing of it is stored.
 *
 * Totals are kept in memory and in the checkpoint. Only after the last
 * message of a subject was deleted alone, the total is that of an older message which may lie on
 * disk: it is unknown until home has read it and a RECORD_COUNTER_BASE entry says it. */
#pragma once

#include "stream/counter.h"
#include "stream/stream.h"

typedef struct Counters Counters;

/* NULL-safe. */
void counters_free(Stream *stream, Counters *counters);

/* A client's publish with a valid increment: proposes it with ticket (TICKET_PUBLISH, TICKET_FAST),
 * now or when the total was read; answers by ticket when the counter is broken. draft borrows for
 * the call. */
void counters_publish(Stream *stream, const Record *draft, const Ticket *ticket);

/* A client's batch of such publishes, as RECORD_BATCH has them but that payloads are not made;
 * members that are no valid increments are proposed as they are, so that the batch is refused. */
void counters_publish_batch(Stream *stream, Slice members, const Ticket *ticket);

/* The members as they will be stored, appended to out: journal_append must follow at once, and
 * counters_landed_batch. ERR_AGAIN: the total of *out_subject is to be read; ERR_CORRUPT: broken;
 * ERR_FULL: more than BATCH_BYTES_MAX. Private to counters*.c. */
MUST_CHECK Status counters_propose_batch(Stream *stream, Slice members, int64_t time_ns, Buf *out,
                                         Slice *out_subject);

/* Makes draft what is stored, and notes it in flight: journal_append must follow at once, and
 * counters_landed when that entry is applied or refused. With origin_total it is a copy from
 * another counter stream (counter_copy), else a client's. New headers and payload lie in the turn's
 * arena. ERR_AGAIN: call counters_fetch; ERR_CORRUPT: the counter is broken, 10172; ERR_SYNTAX: no
 * copy of a counter. */
MUST_CHECK Status counters_propose(Stream *stream, Record *draft, Slice origin_total);

/* After ERR_AGAIN: calls ready once, in a later turn, when counters_propose may be tried again.
 * stream_cancel_wait takes it back. */
void counters_fetch(Stream *stream, Slice subject, StreamWait *wait);

/* Apply: whether the RECORD_COUNTED entry is what the state gives; whether a batch that was decided
 * on is. */
bool counters_fit(Stream *stream, const Record *record);
bool counters_fit_batch(Stream *stream, const Record *batch);

/* Apply, live: a client's entry does not fit, so it is proposed again with that ticket, which is
 * passed on. */
void counters_again(Stream *stream, const Record *record, const Ticket *ticket);
void counters_again_batch(Stream *stream, const Record *batch, const Ticket *ticket);

/* The entry of counters_propose was applied or refused; ticketed entries only. */
void counters_landed(Stream *stream, const Record *record);
void counters_landed_batch(Stream *stream, const Record *batch);

/* What changes totals; each does nothing on other streams. After a message was stored. Before the
 * message seq is removed. All were removed. */
void counters_on_stored(Stream *stream, Slice subject, uint64_t seq, Slice headers, Slice payload);
void counters_on_removed(Stream *stream, uint32_t id, Slice subject, uint64_t seq);
void counters_on_removed_all(Stream *stream);
/* Recovery: a message is damaged; subject is empty when it is not known. What the next increment of
 * the subject says is believed, instead of that all later ones are refused as well. */
void counters_on_lost(Stream *stream, Slice subject);

/* RECORD_COUNTER_BASE. */
void counters_apply_base(Stream *stream, const Record *record);

/* Section of the checkpoint, for each subject: last sequence, kind, total, sources. */
void counters_save(Stream *stream, Buf *out);
MUST_CHECK Status counters_load(Stream *stream, Slice bytes);
/* Recovery: all records that will come have; what was loaded before finds its subjects. */
void counters_settle(Stream *stream);
