/* Stream: messages of some subjects, numbered. Its state is a pure function of its group's entries
 * (stream_apply).
 *
 * Everything here runs on the stream's home. Reading a message may find it not in memory:
 * ERR_AGAIN, then stream_fetch. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "bus/bus.h"
#include "journal/journal.h"
#include "stream/api_error.h"
#include "stream/jetstream.h"
#include "stream/stream_config.h"

typedef struct Consumer Consumer;
typedef struct ConsumerSet
    ConsumerSet;                  /* consumer_set.h: the stream's consumers and who wants what */
typedef struct MsgIndex MsgIndex; /* msg_index.h: seq -> slot */
typedef struct ApiCall ApiCall;

typedef struct StreamParts StreamParts;

typedef struct StreamState {
    uint64_t messages, bytes;
    uint64_t first_seq, last_seq;
    int64_t first_time_ns, last_time_ns; /* TIME_ZERO when none */
    uint64_t num_subjects, num_deleted;
    uint64_t damaged; /* acknowledged messages that the disk no longer gives */
} StreamState;

struct Stream {
    Group group; /* first */
    JetStream *js;
    Account *account;
    StreamConfig *config;
    int64_t created_ns;
    StreamState state; /* bytes as the original counts them (22 + ... per message) */
    MsgIndex *index;
    ConsumerSet *consumers;
    struct Restore *restore; /* NULL unless it is being filled by one (restore.h) */
    bool is_hidden;          /* being restored: not started, in no directory, nobody sees it */
    struct StreamParts
        *parts; /* private to stream*.c: ports, subjects, duplicates, expiry, transforms */
};

static inline Slice stream_name(const Stream *stream) {
    return stream->config->name;
}

/* Takes config. In set-up too. Does not subscribe yet. */
Stream *stream_new(JetStream *js, Account *account, uint32_t group, StreamConfig *config,
                   int64_t created_ns);
/* Subscribes its subjects, starts timers and consumers: after recovery, or at once for a new
 * stream. */
void stream_start(Stream *stream);
/* A new stream that nobody shall see yet, and the end of that (before stream_start). */
void stream_hide(Stream *stream);
void stream_reveal(Stream *stream);
/* Unsubscribes, answers who waits, drops its bytes, frees. Consumers' requests get 409 Consumer
 * Deleted. */
void stream_delete(Stream *stream);
/* Frees without effects (shutdown). */
void stream_free(Stream *stream);

/* Of a stream's state in a checkpoint: generation of the index run that it needs; 0 = none. False:
 * not understood. */
bool stream_state_run(Slice state, uint64_t *out_generation);

/* A message as stored. Bytes are borrowed from hold; stored_msg_done gives it back. */
typedef struct StoredMsg {
    uint64_t seq;
    int64_t time_ns;
    Slice subject, headers, payload;
    Shared *hold;
    bool is_unread; /* what was stored just now: payload.len is right, its bytes are on disk only */
} StoredMsg;
void stored_msg_done(StoredMsg *msg);

/* OK; ERR_NOT_FOUND (never was, or removed); ERR_AGAIN (on disk only); ERR_CORRUPT (damaged). O(1).
 */
MUST_CHECK Status stream_read(Stream *stream, uint64_t seq, StoredMsg *out_msg);
/* Brings seq (and what follows it) into memory, then calls ready once, in a later turn, on home.
 * The waiter may cancel. */
typedef struct StreamWait StreamWait;
struct StreamWait {
    Link link;
    void (*ready)(StreamWait *wait);
};
void stream_fetch(Stream *stream, uint64_t seq, StreamWait *wait);
void stream_cancel_wait(StreamWait *wait);

/* Filters: zero patterns = everything. Patterns are borrowed. */
typedef struct Filters {
    const Slice *patterns;
    size_t count;
} Filters;
bool filters_match(const Filters *filters, Slice subject);

/* First live sequence >= from whose subject matches; 0 when there is none. Jumps by subject for
 * literal filters. */
uint64_t stream_next(Stream *stream, const Filters *filters, uint64_t from);
/* True when they cover every message that is there; false may be wrong. Then the next one is that
 * of the next call. */
bool stream_covers_all(Stream *stream, const Filters *filters);
uint64_t stream_next_of_all(const Stream *stream, uint64_t from);
/* Newest live sequence (at or below upto; 0 = any) of a matching subject; 0 when there is none.
 * O(1) for literals when upto is 0. */
uint64_t stream_last(Stream *stream, const Filters *filters, uint64_t upto);
/* First live sequence stored at or after the time; last_seq + 1 when there is none. O(log n). */
uint64_t stream_seq_at_time(Stream *stream, int64_t time_ns);
/* Matching messages at or after from. */
uint64_t stream_count(Stream *stream, const Filters *filters, uint64_t from);
/* Last sequence of each matching subject, those <= upto (0 = any), ascending. *out_seqs: free with
 * mem_free, NULL when there is none. */
size_t stream_last_per_subject(Stream *stream, const Filters *filters, uint64_t upto,
                               uint64_t **out_seqs);
/* Each subject that matches, in no order: state of its live messages. Do not change the stream
 * meanwhile. Its text is good until each returns. */
typedef struct SubjectState {
    Slice subject;
    uint64_t count, first_seq, last_seq;
} SubjectState;
void stream_each_subject(Stream *stream, const Filters *filters,
                         void (*each)(void *cookie, const SubjectState *subject), void *cookie);
/* Of one literal subject; count 0: it has no messages. O(1). */
void stream_subject_state(Stream *stream, Slice subject, SubjectState *out_state);
/* The time that the next entry gets at the earliest. */
int64_t stream_clock_now(Stream *stream);
/* Ascending removed sequences between first and last, at most max. */
size_t stream_deleted(Stream *stream, uint64_t *out_seqs, size_t max);
/* Subject of a live message without reading it; borrowed until the stream changes, or 128 more
 * were asked for. ERR_NOT_FOUND. */
MUST_CHECK Status stream_subject_of(Stream *stream, uint64_t seq, Slice *out_subject);

/* Runs the call's endpoint when everything that was proposed before is applied: for calls that read
 * the state. */
void stream_run_settled(Stream *stream, ApiCall *call);

/* Proposals. The call is answered (api_reply_...) when the entry is applied or refused; takes call.
 */
void stream_propose_delete(Stream *stream, uint64_t seq, bool erase, ApiCall *call);
void stream_propose_purge(Stream *stream, Slice filter, uint64_t below_seq, uint64_t keep,
                          ApiCall *call);
/* Takes config (already checked). call may be NULL (recovery found the catalogue ahead). */
void stream_propose_config(Stream *stream, StreamConfig *config, ApiCall *call);

/* A message with its own sequence (above all that were proposed before; lower ones change nothing)
 * and time, from a mirror's origin or an archive: stored as it is, with nothing of it checked or
 * asked. Its subject, headers and payload together are at most STREAM_MESSAGE_BYTES_MAX. */
void stream_propose_copy(Stream *stream, const StoredMsg *msg);
/* Sequences up to seq hold nothing, if they are not taken yet. time_ns: of the last one; TIME_ZERO
 * = not known. */
void stream_propose_skip(Stream *stream, uint64_t seq, int64_t time_ns);

/* A message that an archive says is gone; a consumer as it has it (consumer_restore_write). */
void stream_propose_removed(Stream *stream, uint64_t seq);
void stream_propose_restored(Stream *stream, Slice consumer);

/* For consumer.c: proposes an entry of a consumer in this stream's group. call and ack_reply may be
 * empty. */
typedef struct ConsumerProposal {
    RecordType type; /* RECORD_CONSUMER_PUT, _DELETE, _STATE */
    Slice name, payload;
    ApiCall *call;     /* answered by consumer_apply */
    Slice ack_replies; /* RECORD_CONSUMER_STATE: reply subjects to answer with an empty message, NUL
                          separated */
} ConsumerProposal;
void stream_propose_consumer(Stream *stream, const ConsumerProposal *proposal);
/* False: what is proposed now is refused for certain. */
bool stream_log_works(const Stream *stream);

/* A consumer has finished with seq (acked, termed, or delivered with ack none), from an applied
 * entry: on interest and work-queue streams the message goes when nobody else needs it. */
void stream_on_consumed(Stream *stream, Consumer *consumer, uint64_t seq);
/* A consumer is gone, or its filters changed, and what they cover from that sequence on it needed:
 * interest streams drop what nobody needs any more. */
void stream_on_consumer_gone(Stream *stream, const Filters *filters, uint64_t from);

/* "state" object of stream info. subjects are not in it. */
void stream_state_write(Buf *out, Stream *stream);
/* Whole info: config, created, state, cluster, ts ... without the braces' opening (the caller has
 * begun the object). */
typedef struct StreamInfoOptions {
    bool has_cluster; /* {"leader": server name}: STREAM.INFO only */
    bool has_domain;
    bool is_list; /* metadata as stored, without the server's version and level: STREAM.LIST */
    bool deleted_details;
    bool chunks;
    Slice subjects_filter; /* empty = none */
    uint64_t offset;       /* of subjects */
} StreamInfoOptions;
void stream_info_write(Buf *out, Stream *stream, const StreamInfoOptions *options);
