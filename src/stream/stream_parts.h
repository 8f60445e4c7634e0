/* StreamParts: what a stream is made of, and the calls between stream*.c. Private to them. */
#pragma once

#include "base/limits.h"
#include "base/vec.h"
#include "io/timer.h"
#include "proto/timefmt.h"
#include "proto/transform.h"
#include "stream/batch_view.h"
#include "stream/consumer_set.h"
#include "stream/copy_entry.h"
#include "stream/counters.h"
#include "stream/dup_window.h"
#include "stream/frame_read.h"
#include "stream/lease.h"
#include "stream/msg_index.h"
#include "stream/pub_headers.h"
#include "stream/retained.h"
#include "stream/schedules.h"
#include "stream/stream.h"
#include "stream/stream_build.h"
#include "stream/stream_chunk.h"
#include "stream/subject_chain.h"
#include "stream/subject_index.h"
#include "stream/ttl_queue.h"
#include "stream/usage.h"

enum {
    /* Publishes of one stream that wait for their sync, where the options say nothing else: over
     * either, 10167 with status 429. */
    STREAM_IN_FLIGHT_MAX = 100000,
    STREAM_IN_FLIGHT_BYTES_MAX = 128 * 1024 * 1024,

    /* Subject, headers and payload: over it, 10077 "message too large". */
    STREAM_MESSAGE_BYTES_MAX = 32 * 1024 * 1024,

    /* What one timer tick removes; the rest goes in the next turn. */
    STREAM_EXPIRE_PER_TICK = 4096,

    OBJECT_SIZES = 16,
};

/* Ticket.kind */
enum {
    TICKET_PUBLISH = 1,
    TICKET_CALL,
    TICKET_CONSUMER,
    TICKET_EXPIRE,
    TICKET_BATCH, /* data: reply */
    TICKET_FAST,  /* pointer: FastEvent */
    TICKET_COPY,
    TICKET_FIRED, /* pointer: sequence of the schedule */
    TICKET_CHUNK,
    TICKET_MOVED,
};

/* A call that reads the state, until the entries up to index are applied. */
typedef struct SettlingCall {
    ApiCall *call;
    uint64_t index;
} SettlingCall;

/* Sum of a chunk subject's bytes (object_value_size_max). */
typedef struct ObjectSize {
    SubjectId subject;
    uint64_t last, bytes;
} ObjectSize;

/* A message that the disk did not give: not asked for again until then. */
typedef struct Unreadable {
    uint64_t seq, until_ns;
    unsigned tries;
} Unreadable;
enum { UNREADABLE_MAX = 16 };

/* Bytes that died in a log segment. */
typedef struct SegmentDrop {
    Place place;
    uint64_t bytes;
} SegmentDrop;

/* Dead records are given back to the log only when no checkpoint that recovery might load calls
 * them live: two saves later (DROP_AGES). */
typedef struct DropList {
    SegmentDrop *at; /* ascending by segment */
    size_t len, cap;
} DropList;

struct StreamParts {
    Stream *stream;
    Port port;
    Sub **subs;
    size_t sub_count;
    SubjectIndex subjects;
    DupWindow duplicates;
    TtlQueue ttls;
    Schedules *schedules; /* NULL: none yet, or no stream of schedules */
    Counters *counters;   /* NULL: not made yet, or no counter stream */
    uint64_t ttl_live;    /* live messages with MSG_HAS_TTL; the queue may hold more */
    uint64_t age_seq;     /* everything below was looked at for max_age */
    Timer expiry;
    int64_t expiry_due_ns; /* what the timer is set for; INT64_MAX = not set */
    bool is_expire_in_flight;
    Transform *transform, *republish;
    struct MirrorDirect *mirror_direct; /* NULL: answers for no other stream */
    struct Copies *copies;              /* copy.h; NULL: takes nothing from other streams */
    int64_t clock_ns; /* newest time given to an entry, or expired at: entries are never older */
    Buf last_msg_id;  /* of the last stored message */
    char *ack_prefix;
    size_t ack_prefix_len;
    uint64_t in_flight_bytes;
    uint64_t in_flight_max, in_flight_bytes_max;
    List snapshots;      /* Snapshot (snapshot.h): those under way */
    Task *copied;        /* runs when copies in flight became few; may be NULL */
    Status copy_refused; /* why a copy or skip was not taken: the one who makes them resets it */
    bool is_started, is_replaying;
    uint64_t unseen; /* recovery: live messages of the checkpoint whose record has not come */
    struct Placing *placing; /* recovery: stream_places.c; NULL: no record was placed yet */
    List fetches, waits;     /* StreamFetch under way; waits that are ready in the next turn */
    Task wait_task;
    VEC(SettlingCall) settling; /* stream_settle.c */
    Task settle_task;
    List settle_awaits, seq_awaits; /* stream_await.c */
    size_t await_count;
    List current_waits; /* puback_current.c */
    size_t current_count;
    Map64 touched; /* seq -> due time given later (stream_touch.c) */
    RetainedMarks retained;
    Leases leases;
    bool is_trimming_subject; /* the limit per subject removes */
    List key_waits;           /* stream_keys.c */
    Task key_task;
    Timer key_idle;
    ObjectSize *objects; /* [OBJECT_SIZES]; NULL until the first */
    unsigned object_at;
    DropList drops[DROP_AGES];
    Buf owed_config; /* stream_owed.c; empty: none */
    Timer owed_timer;
    unsigned configs_in_flight;
    Unreadable unreadable[UNREADABLE_MAX]; /* stream_read.c */
    unsigned unreadable_count;
    uint64_t transaction_last;   /* newest transaction that is stored (stream_txn.c) */
    struct OpenBatches *batches; /* stream_batch.c; NULL until the first */
    struct FastBatches *fast;    /* stream_fast.c; NULL until the first */
    StreamBuild *build;          /* NULL: none under way */
    StreamChunks chunks;
    struct StreamMove *move; /* stream_move.h; NULL: none under way */
    bool is_unpackable;      /* compression was tried, and saved nothing */
    uint64_t heap_count;     /* live messages that are kept in memory */
    uint64_t run_generation; /* of the run that the index stands on; 0 = none */
    JetStreamUsage *usage;
};

/* An entry with messages was proposed; it was applied or refused. */
static inline void stream_note_flight(Stream *stream, const Record *record) {
    stream->parts->in_flight_bytes += record_bytes(record);
    usage_propose(stream, record);
}

static inline void stream_note_landed(Stream *stream, const Record *record) {
    stream->parts->in_flight_bytes -= record_bytes(record);
    usage_land(stream, record);
}

static inline bool stream_is_file(const Stream *stream) {
    return !stream->group.is_memory;
}

/* Accounted size of a message. */
uint64_t stream_accounted_bytes(const Stream *stream, size_t subject_len, uint32_t slot_size);
/* record_bytes of a stored message, unless it refers to a chunk (chunk_msg_bytes). */
size_t stream_record_bytes(size_t subject_len, uint32_t slot_size);
/* What its record counts as in the log's live bytes: of one that refers to a chunk, headers are not
 * counted; of one in a frame, its share. */
size_t stream_live_bytes(size_t subject_len, uint64_t place, uint32_t slot_size);

/* stream_publish.c */
void stream_on_publish(Port *port, Sub *sub, const Message *message);
typedef struct PubVerdict {
    ApiError error; /* failed: not stored */
    bool is_duplicate;
    uint64_t duplicate_seq;
    uint64_t current_seq; /* JSStreamWrongLastSequenceErrF: what is there */
    bool is_of_subject;   /* JSStreamWrongLastSequence*: of the subject, not of the stream */
    bool is_unwanted;     /* interest: takes a sequence, is not stored */
} PubVerdict;
/* From the applied state alone, and the messages of a batch that come before (view, or NULL). ask
 * is NULL without headers. Texts in the turn's arena. */
void stream_decide(Stream *stream, const Record *message, const PubHeaders *ask,
                   const BatchView *view, PubVerdict *out_verdict);
/* What needs nothing but the config. */
ApiError stream_check_alone(const Stream *stream, const Message *message);
bool stream_is_crowded(const Stream *stream);
/* The entry as it would be stored; parts may lie in the turn's arena. */
Record stream_draft(Stream *stream, const Message *message, const PubHeaders *ask);
/* False when the verdict is known already: *out_verdict has an error or is_duplicate. */
bool stream_admit(Stream *stream, const Record *draft, const PubHeaders *ask,
                  PubVerdict *out_verdict);
/* Proposes it as it is; a publish, on counter streams with what it adds up to. */
void stream_submit(Stream *stream, const Record *draft, const Ticket *ticket);
void stream_propose(Stream *stream, const Record *draft, const PubHeaders *ask,
                    const Ticket *ticket);
/* Answers a publish whose verdict is an error. */
void stream_refuse(Stream *stream, Slice reply, const PubHeaders *ask, const PubVerdict *verdict);
/* Whether subject, headers and payload are as large as they may be. */
bool stream_fits(const Stream *stream, const Record *message);
/* Limits under discard new: what the original says when they refuse the message, or NULL. */
const char *stream_check_discard_new(Stream *stream, const Record *message, const BatchView *view);
/* What depends on more than the stream: health of the log, the server's limits. */
/* entry: what it would propose, against the account's limit; NULL: the server alone. */
ApiError stream_check_server(Stream *stream, const Record *entry);
/* The subject as the stream's transform makes it; may lie in the turn's arena. */
Slice stream_transformed(Stream *stream, Slice subject);

/* stream_owed.c */
void stream_owed_init(Stream *stream);
void stream_owed_done(Stream *stream);
void stream_append_config(Stream *stream, Slice json, ApiCall *call);
/* A config's entry was refused; was applied. */
void stream_owe_config(Stream *stream, Slice json);
void stream_config_landed(Stream *stream);

/* stream_settle.c */
void stream_settle_init(Stream *stream);
/* After an entry was applied or refused. */
void stream_settle(Stream *stream);
/* The stream goes; has_answers: waiting calls are told. */
void stream_settle_done(Stream *stream, bool has_answers);

/* stream_trace.c: events of a traced message (bus/trace.h). */
void stream_trace_stored(Stream *stream, Trace *trace, Slice subject, bool is_unwanted);
/* ask is the message's that was refused, which may be one of a batch. */
void stream_trace_refused(Stream *stream, Trace *trace, Slice subject, const PubHeaders *ask,
                          const PubVerdict *verdict);
void stream_trace_batch_refused(Stream *stream, Trace *trace, const PubHeaders *ask,
                                const PubVerdict *verdict);
/* Headers as they are stored, so that a copy is not traced again. */
Slice stream_trace_headers(Stream *stream, Slice headers);

/* stream_apply.c */
extern const GroupOps stream_group_ops;
/* A message that gets the next sequence. place 0: kept in memory. */
typedef struct StoreMsg {
    Slice subject, headers, payload;
    const PubHeaders *ask; /* NULL without headers */
    int64_t time_ns;
    Place place;
    Shared *hold;
    bool is_copy; /* the record at place is a RECORD_COPY */
} StoreMsg;
/* Stores, enforces limits; *out_msg (its hold borrowed) as consumers shall see it. False: limits
 * took it at once. */
bool stream_store(Stream *stream, const StoreMsg *msg, StoredMsg *out_msg);
/* A RECORD_PUBLISH, or one that refers to a chunk: then place has MSG_REF. */
void stream_apply_publish(Stream *stream, const Record *record, Place place, Shared *hold,
                          const Ticket *ticket);
/* What became of a publish, if it is traced. */
void stream_tell_trace(Stream *stream, const Ticket *ticket, const Record *record,
                       const PubHeaders *ask, const PubVerdict *verdict);
/* Stores with all that follows: rollup, duplicates; and with a ticket: republishing, the answer to
 * a publisher, consumers. */
void stream_store_and_tell(Stream *stream, const StoreMsg *store, const Ticket *ticket);
/* The next sequence is taken and not stored. */
void stream_take_sequence(Stream *stream, int64_t time_ns);

/* stream_lost.c */
void stream_lost(Group *group, const Record *record, Place place);
/* The members of a batch, or of a part of a transaction. */
void stream_lost_batch(Stream *stream, const Record *batch, Place place);

/* stream_copy.c */
enum { STREAM_COPIES_FEW_BYTES = 4 * 1024 * 1024 };
/* An entry with TICKET_COPY came back, applied or refused. */
void stream_copied(Stream *stream, const Record *record);
/* stream_note_landed of one that may refer to a chunk. */
void stream_copy_landed(Stream *stream, const Record *record);
/* Its chunk was refused: so is it. */
void stream_copy_unbacked(Stream *stream, const Record *record);
/* An entry with TICKET_COPY. */
void stream_copy_refused(Stream *stream, const Record *record, Status why);
/* The message of a RECORD_COPY, as the others read it: without prefix, with its own time. Anything
 * else is left as it is. False: too short to be one. */
bool stream_unwrap_copy(Record *record, uint64_t *out_seq);
void stream_apply_copy(Stream *stream, const Record *record, Place place, Shared *hold,
                       const Ticket *ticket);
void stream_apply_skip(Stream *stream, const Record *record);
/* A message came in with that id (empty: none). */
void stream_remember_msg_id(Stream *stream, const PubHeaders *ask, uint64_t seq, int64_t time_ns);

/* Stores a message that was decided on, with all effects; ticket is NULL in recovery. */
void stream_store_decided(Stream *stream, const Record *record, const PubHeaders *ask, Place place,
                          Shared *hold, const PubVerdict *verdict, const Ticket *ticket);

/* stream_limits.c */
/* Removes a live message. has_advisory: see consumer_set_on_removed. */
void stream_drop(Stream *stream, uint64_t seq, bool has_advisory);
void stream_enforce_limits(Stream *stream, SubjectId just_stored);
/* Everything, at once; the next message gets next_seq. */
void stream_drop_all(Stream *stream, uint64_t next_seq);
void stream_count_live(Stream *stream, Slice subject, uint32_t slot_size, int sign);
/* A message that is in the index, under its subject; in the queue of those with a time to live
 * (INT64_MAX: it has none). */
void stream_link(Stream *stream, SubjectId subject, uint64_t seq, MsgSlot *slot);
void stream_await_ttl(Stream *stream, uint64_t seq, int64_t due_ns);
/* Sets what is counted, without looking at messages. */
void stream_set_totals(Stream *stream, uint64_t messages, uint64_t bytes);
/* A config took effect: trims as the original does. */
void stream_trim(Stream *stream);
/* Bytes of a record that are not needed any more; age: DROP_OF_... */
void stream_note_drop(Stream *stream, unsigned age, Place place, uint64_t bytes);
/* At a checkpoint. */
void stream_age_drops(Stream *stream);
/* All that is live or waits for checkpoints: for a stream that is deleted. */
void stream_drop_log_bytes(Stream *stream);

/* stream_expiry.c */
/* Removes what is due at now, at most max; makes markers on streams that have them. True when
 * nothing is left that is due. */
bool stream_expire(Stream *stream, int64_t now_ns, uint64_t max);
void stream_expiry_init(Stream *stream);
/* Sets the timer for what is due first. Cheap when nothing changed. */
void stream_expiry_arm(Stream *stream);
/* When seq with that slot is due, for the queue; INT64_MAX = never by TTL. Sets the flags in *size.
 */
int64_t stream_ttl_flags(const PubHeaders *ask, int64_t time_ns, uint32_t *size);
static inline bool stream_has_markers(const Stream *stream) {
    return stream->config->subject_delete_marker_ttl_ns > 0;
}
/* Removes what is due when nothing is in flight and that needs no entry; then the clock stands at
 * now. */
void stream_expire_quietly(Stream *stream, int64_t now_ns);
/* Now, never before an entry's time. */
int64_t stream_clock(Stream *stream);

/* stream_purge.c */
void stream_apply_delete(Stream *stream, const Record *record, ApiCall *call);
void stream_apply_purge(Stream *stream, const Record *record, ApiCall *call);

/* stream_save.c */
void stream_save(Group *group, Buf *out);
MUST_CHECK Status stream_load(Group *group, Slice state);

/* As of now, but for the consumers, who are saved in steps (consumer_set_save_one); then the end
 * makes one of it. As it will be when the messages below cut are in the run of that generation, or
 * with 0 as it stands. */
void stream_save_begin(Stream *stream, uint64_t generation, uint64_t cut, Buf *out, Buf *out_tail);
void stream_save_end(Stream *stream, Buf *out, const Buf *tail);

/* stream_messages.c. from: those below it are in the run of that generation (0: there is none),
 * is_frozen: one that is being made. */
typedef struct MessagesForm {
    uint64_t generation, from;
    bool is_frozen;
} MessagesForm;
void stream_save_messages(Stream *stream, const MessagesForm *form, Buf *out);
MUST_CHECK Status stream_load_messages(Stream *stream, Slice *from);

/* stream_run.c: the part of the messages that is in a run. */
void stream_save_run(Stream *stream, const MessagesForm *form, Buf *out);
MUST_CHECK Status stream_load_run(Stream *stream, bool has_moved, Slice *from);

/* stream_build.c */
/* Removes seq from an index alone. */
void stream_index_forget(MsgIndex *index, SubjectIndex *subjects, uint64_t seq);
/* Sets flags of a live message. */
void stream_add_flags(Stream *stream, uint64_t seq, uint32_t flags);

/* stream_places.c */
MUST_CHECK Status stream_load_places(Stream *stream, Slice *from);
/* A message that is no record. seq is above all others. */
void stream_load_in_heap(Stream *stream, uint64_t seq, int64_t time_ns, Slice subject,
                         Slice headers, Slice payload);
void stream_place(Group *group, const Record *record, Place place);
void stream_place_damaged(Group *group, const Record *record, Place place);
/* A message that was added while others below it wait for their records, slot filled but for its
 * subject: it is counted and comes under its subject when all are there. */
void stream_put_off(Stream *stream, SubjectId id, MsgSlot *slot);
void stream_placing_free(Stream *stream);
/* The last record of the checkpoint came, or will never come. */
void stream_settle_places(Stream *stream);

/* stream_read.c */
/* seq is live: the disk does not give it any more. False: that was known. */
bool stream_mark_damaged(Stream *stream, uint64_t seq);
/* stream_read, waiting for the disk: for what is rare. */
MUST_CHECK Status stream_read_now(Stream *stream, uint64_t seq, StoredMsg *out_msg);
Shared *heap_msg_new(Slice subject, Slice headers, Slice payload);
void heap_msg_get(Shared *heap, StoredMsg *out_msg);
static inline Shared *slot_heap(const MsgSlot *slot) {
    return (Shared *)(uintptr_t)(slot->place & ~MSG_IN_HEAP);
}
static inline uint64_t heap_place(const Shared *heap) {
    return (uint64_t)(uintptr_t)heap | MSG_IN_HEAP;
}
/* Empty when it is not known; borrowed like an entry of the subject index. */
static inline Slice stream_slot_subject(const Stream *stream, const MsgSlot *slot) {
    if (!slot->subject)
        return (Slice){0};
    return subject_entry_text(subject_index_entry(&stream->parts->subjects, slot->subject));
}
void stream_waits_init(Stream *stream);
/* Nobody is called any more. */
void stream_waits_done(Stream *stream);

/* stream.c */
/* After a config change (config is in place). */
void stream_config_took_effect(Stream *stream);
static inline bool stream_all_filter(Slice filter) {
    return filter.len == 0 || (filter.len == 1 && filter.ptr[0] == '>');
}
