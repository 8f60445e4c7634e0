/* Consumer: a position in a stream, and who gets what lies behind it. Private to consumer*.c,
 * pull.c, push.c, priority.c.
 *
 * All on the stream's home. Parts that most consumers lack are allocated when first needed: an idle
 * watcher stays below 1 KB. Deliveries act in memory at once and are logged at the end of the turn.
 * Acks of a logged consumer are logged too, and act when that entry is applied; an unlogged
 * consumer (memory stream, or mem_storage) acts at once and is gone after a restart. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/name_order.h"
#include "base/vec.h"
#include "io/worker.h"
#include "stream/api.h"
#include "stream/consumer_delta.h"
#include "stream/consumer_options.h"
#include "stream/consumer_set.h"
#include "stream/filter_index.h"
#include "stream/pending.h"
#include "stream/seq_queue.h"

typedef struct SeqPair {
    uint64_t dseq, sseq;
} SeqPair;

/* Delivered as often as allowed, never acknowledged: still needed, not pending. */
typedef struct GivenUp {
    uint64_t sseq, dseq;
} GivenUp;

/* What was delivered and waits for an ack. */
typedef struct Acks {
    Pending pending;
    SeqQueue queue; /* due again, in order; entries are flagged PENDING_QUEUED, others are stale */
    VEC(GivenUp) given_up; /* ascending */
    size_t queued;         /* entries flagged so */
    size_t acking;         /* entries flagged so */
    size_t redelivered;    /* pending entries with more than one delivery */
    uint64_t acking_all;   /* ack all: entries up to here were flagged PENDING_ACKING */
} Acks;

/* last_per_subject: what lay in the stream at the start. */
typedef struct Initial {
    uint64_t *seqs; /* ascending */
    size_t at, len;
} Initial;

/* Rate limit and replay with the original gaps. */
typedef struct Pacing {
    uint64_t bytes_per_s; /* 0 = no limit */
    uint64_t burst_bytes;
    double tokens;
    uint64_t filled_ns;
    uint64_t replay_until;   /* sequence; 0 = not replaying */
    int64_t replay_time_ns;  /* of the last message sent */
    uint64_t replay_sent_ns; /* when that was; 0 = none yet */
    uint64_t due_ns;         /* nothing before; 0 = now */
} Pacing;

/* What is to be logged at the end of the turn. */
typedef struct Delta {
    Consumer *consumer;
    DeltaWriter writer;
    Buf replies; /* NUL separated: who asked for the answer to an ack */
    Task soon;
    uint64_t consumed_sseq; /* ack none: the entries up to here are applied */
} Delta;

typedef struct Pull Pull;
typedef struct Push Push;
typedef struct Priority Priority;

struct Consumer {
    Worker *home;
    ConsumerSet *set;
    ConsumerOptions *options;
    ConsumerFilters *filters; /* NULL = everything */
    Push *push;               /* exactly one of push and pull */
    Pull *pull;
    Acks *acks;           /* NULL until something is pending */
    uint64_t num_pending; /* matching, at or above next_seq (and in initial) */
    uint64_t next_seq;    /* nothing undelivered is below, but for initial */
    SeqPair delivered, floor;
    int64_t delivered_at_ns, acked_at_ns; /* wall; 0 = never since the start */
    uint8_t ack_policy;
    bool is_started : 1;
    bool is_logged : 1;
    bool is_durable : 1;
    bool has_given_name : 1; /* config.name is shown */
    bool is_deleting : 1;    /* proposed */
    bool is_gone : 1;        /* freed soon */
    bool is_resetting : 1;   /* proposed */
    bool is_untold : 1;      /* the log refused what was delivered */
    bool is_paused : 1;
    bool is_fetching : 1;
    bool is_initial : 1;  /* last_per_subject, not beyond initial_upto */
    bool was_corrupt : 1; /* logged */
    bool is_pumping : 1;
    bool knows_all : 1; /* of this pump: whether it sees all */
    bool sees_all : 1;  /* its filters cover every message */
    bool is_odd : 1;    /* something may be pending that its filters do not cover */
    uint16_t name_at, name_len;
    uint32_t set_at;   /* in set->all */
    uint32_t saved_in; /* set->save_round: is in the state that is being saved */
    FilterLink link;   /* of the only filter, or of none */
    FilterLink *links; /* of several */
    Link behind;       /* in set->behind unless quiet */
    Delta *delta;      /* NULL when nothing need be applied later */
    Pacing *pacing;
    Priority *priority;
    Initial *initial;
    uint64_t initial_upto;
    uint64_t inactive_ns; /* mono, when it became so; 0 = is active */
    int64_t created_ns;
    Timer timer;
    Task pump_task;
    StreamWait fetch;
    char text[]; /* "$JS.ACK.<stream>.<name>." */
};

/* The last time that was written in decimal, with a point behind it. */
typedef struct TimeText {
    int64_t time_ns;
    uint8_t len;
    char digits[21];
} TimeText;

struct ConsumerSet {
    Worker *home;
    Stream *stream;
    Map by_name;
    VEC(Consumer *) all;
    VEC(Consumer *) gone;  /* freed by sweep */
    Map creating;          /* name -> ConsumerDraft whose entry is on its way */
    FilterIndex in_flight; /* of a work queue: what those want; owners are Creating */
    List drafts;           /* ConsumerDraft that wait for those */
    List behind; /* consumers with something undelivered, pending or given up, and quiet ones that
                    nobody has looked at since */
    size_t behind_count, odd_count;
    NameOrder order; /* without direct ones; kept from the first page on */
    bool is_ordered;
    FilterIndex index;
    Map64 options;       /* hash -> ConsumerOptions */
    VEC(void *) retired; /* memory that a sender may still look at */
    Task sweep;
    uint32_t direct_count;
    bool is_started;
    uint64_t seen_seq; /* messages up to here were offered to, or counted by, the consumers */
    TimeText time_text;
    int64_t wall_ns;               /* of this event */
    struct ConsumerSaving *saving; /* NULL: none is under way */
    uint32_t save_round;
};

/* consumer_state.c: a consumer that is not yet in the state that is being saved goes into it. */
void consumer_save_early(Consumer *consumer);
/* Before what is saved of it changes. */
static inline void consumer_will_change(Consumer *consumer) {
    if (__builtin_expect(consumer->set->saving != NULL, 0))
        consumer_save_early(consumer);
}

/* The wall clock for what happens now. */
void consumer_set_note_time(ConsumerSet *set);

static inline Slice consumer_ack_prefix(const Consumer *consumer) {
    return slice_from(consumer->text, (size_t)consumer->name_at + consumer->name_len + 1);
}
static inline Stream *consumer_stream(const Consumer *consumer) {
    return consumer->set->stream;
}
static inline const ConsumerConfig *consumer_config(const Consumer *consumer) {
    return &consumer->options->config;
}
/* As the stream is asked: none for everything. */
static inline Filters consumer_filters(const Consumer *consumer) {
    const ConsumerFilters *own = consumer->filters;
    return own && !own->is_everything ? (Filters){own->patterns, own->count} : (Filters){NULL, 0};
}
static inline bool consumer_tracks_acks(const Consumer *consumer) {
    return consumer->ack_policy != ACK_NONE;
}
static inline size_t consumer_pending_count(const Consumer *consumer) {
    return consumer->acks ? consumer->acks->pending.count : 0;
}
/* Nothing of the stream below its end concerns it. */
static inline bool consumer_is_quiet(const Consumer *consumer) {
    return consumer->num_pending == 0 && consumer->initial == NULL &&
           (consumer->acks == NULL ||
            (consumer->acks->pending.count == 0 && consumer->acks->given_up.len == 0));
}

/* consumer.c: life */
/* What a creation's entry says beside the config. */
typedef struct ConsumerBirth {
    Slice name;
    bool is_logged;
    int64_t created_ns;
} ConsumerBirth;
/* config is borrowed. At the start position that the config asks for. Not started. */
Consumer *consumer_new(ConsumerSet *set, const ConsumerConfig *config, const ConsumerBirth *birth);
/* Timers, interest, exact num_pending, first pump. */
void consumer_start(Consumer *consumer);
/* Without effects. */
void consumer_free(Consumer *consumer);
/* The consumer is over: answers requests, advisory, leaves the set; freed later. */
void consumer_remove(Consumer *consumer);
/* Takes the new config over (already allowed), counts anew. */
void consumer_change(Consumer *consumer, const ConsumerConfig *config);
void consumer_reset(Consumer *consumer, uint64_t seq);
/* Messages of the filter were purged: goes on behind them, if none of its own is left there. */
void consumer_pass_purged(Consumer *consumer, Slice filter);
/* Everything up to last_seq left the stream at once. */
void consumer_pass_all(Consumer *consumer, uint64_t last_seq);
void consumer_on_stream_config(Consumer *consumer);
/* The whole config, names included; borrowed from consumer. */
ConsumerConfig consumer_whole_config(const Consumer *consumer);
/* Counts num_pending anew, from where delivery stands. */
void consumer_recount(Consumer *consumer);
/* Into set->behind when it is not quiet. */
void consumer_note_behind(Consumer *consumer);
/* Out of it. */
void consumer_leave_behind(Consumer *consumer);
/* Nothing below is still needed by it. */
uint64_t consumer_first_needed(const Consumer *consumer);
/* One comes that pages show, or goes. */
void consumer_set_note_shown(ConsumerSet *set, Consumer *consumer);
void consumer_set_note_hidden(ConsumerSet *set, const Consumer *consumer);
Acks *consumer_need_acks(Consumer *consumer);
/* Frees memory; later when the consumer is sending from it. */
void consumer_retire(Consumer *consumer, void *memory);

/* consumer_timer.c */
/* The timer fires at due_ns (mono) or before. 0 is harmless. */
void consumer_arm(Consumer *consumer, uint64_t due_ns);
void consumer_on_timer(Timer *timer);
/* Makes is_paused true or false by the config and the clock. */
void consumer_refresh_pause(Consumer *consumer);
/* Somebody is interested (a push consumer's subscription, a pull request), or not any more. */
void consumer_set_active(Consumer *consumer, bool is_active);

/* consumer_pump.c: the only sender */
void consumer_pump(Consumer *consumer);
void consumer_pump_soon(Consumer *consumer);
/* In this turn, once all that arrived with it was acted on. */
void consumer_pump_after_input(Consumer *consumer);
/* A message that matches was stored; num_pending was raised. */
void consumer_offer(Consumer *consumer, const StoredMsg *msg);
void consumer_on_fetched(StreamWait *wait);

/* consumer_deliver.c */
typedef struct Delivery {
    const StoredMsg *msg;
    uint32_t deliveries;  /* with this one */
    uint64_t num_pending; /* after it */
    uint64_t dseq;
    Slice headers, payload; /* after headers_only */
    Slice ack_subject;
    size_t bytes; /* as limits count them */
    char ack_text[720];
} Delivery;
/* Headers that must be made lie in the turn arena. */
void delivery_prepare(Delivery *delivery, const Consumer *consumer, const StoredMsg *msg,
                      uint32_t deliveries, uint64_t num_pending);
/* pin: NULL = no pin header. */
void delivery_send(const Delivery *delivery, const Consumer *consumer, Slice to, const Slice *pin);
/* A message of headers only: status is "404 No Messages" and the like; extra are whole lines. */
void consumer_send_status(const Consumer *consumer, Slice to, Slice reply, Slice status,
                          Slice extra);
/* Nats-Last-Consumer and Nats-Last-Stream. */
void consumer_heartbeat_lines(const Consumer *consumer, Buf *out);
void consumer_send_empty(const Consumer *consumer, Slice to);

/* consumer_ack.c */
/* How long the n-th delivery may take; 0 = for ever. */
int64_t consumer_ack_wait(const Consumer *consumer, uint32_t deliveries);
void consumer_apply_ack(Consumer *consumer, uint64_t dseq, uint64_t sseq);
void consumer_apply_ack_all(Consumer *consumer, uint64_t dseq, uint64_t sseq);
void consumer_apply_given_up(Consumer *consumer, uint64_t sseq);
void consumer_ack_refused(Consumer *consumer, DeltaKind kind, uint64_t sseq);
void consumer_queue(Consumer *consumer, PendingEntry *entry);
void consumer_give_up(Consumer *consumer, PendingEntry *entry);
/* Removes an entry for good; keeps the counters. */
void consumer_forget(Consumer *consumer, PendingEntry *entry);
/* The message is gone from the stream: as if acknowledged, but nothing is consumed. Whether it was
 * pending or given up. */
bool consumer_drop_removed(Consumer *consumer, uint64_t sseq);
GivenUp *consumer_find_given_up(const Consumer *consumer, uint64_t sseq);
/* Ack policy flow control: what an answer says was received. */
void consumer_ack_up_to(Consumer *consumer, uint64_t dseq, uint64_t sseq, Slice reply);

/* consumer_apply.c */
void consumer_log_op(Consumer *consumer, DeltaKind kind, uint64_t dseq, uint64_t sseq,
                     uint64_t count);
void consumer_log_reply(Consumer *consumer, Slice reply);
/* What was collected is proposed now. */
void consumer_log_flush(Consumer *consumer);
/* A delivery as the log tells it, in recovery. */
void consumer_apply_op(Consumer *consumer, const DeltaOp *op, bool is_recovery);
void consumer_delta_free(Consumer *consumer);
Delta *consumer_need_delta(Consumer *consumer);
/* Proposes (or, unlogged, does) its end. call may be NULL. */
void consumer_propose_delete(Consumer *consumer, ApiCall *call);
/* seq: the next one to deliver. */
void consumer_propose_reset(Consumer *consumer, uint64_t seq, ApiCall *call);

/* consumer_set.c */
/* By name. */
void consumer_sort(Consumer **consumers, size_t n);

/* consumer_state.c */
/* A stream that is being restored: not started yet. */
void consumer_set_apply_restore(ConsumerSet *set, const Record *record, bool is_recovery);
void consumer_save(const Consumer *consumer, Buf *out);

/* consumer_advisory.c */
void consumer_advise_action(const Consumer *consumer, bool is_create);
void consumer_advise_pause(const Consumer *consumer);
void consumer_advise_nak(const Consumer *consumer, uint64_t dseq, uint64_t sseq,
                         uint64_t deliveries);
void consumer_advise_terminated(const Consumer *consumer, uint64_t dseq, uint64_t sseq,
                                uint64_t deliveries, Slice reason);
/* It is skipped, since the disk does not give it. */
void consumer_advise_damaged(const Consumer *consumer, uint64_t sseq);
void consumer_advise_max_deliver(const Consumer *consumer, uint64_t sseq, uint64_t deliveries);
void consumer_advise_pinned(const Consumer *consumer, Slice group, Slice pin);
void consumer_advise_unpinned(const Consumer *consumer, Slice group, Slice reason);
void consumer_advise_ack(const Consumer *consumer, uint64_t dseq, uint64_t sseq,
                         uint64_t deliveries, int64_t ack_time_ns);

/* consumer_info.c: replies; take call */
void consumer_reply_info(Consumer *consumer, ApiCall *call);
void consumer_reply_reset(Consumer *consumer, ApiCall *call);
/* 10225 when the request is for another incarnation of the stream (Nats-Stream-Identity). */
ApiError consumer_check_identity(const ConsumerSet *set, const ApiCall *call);
void consumer_reply_pause(const Consumer *consumer, ApiCall *call);

/* consumer_create.c */
/* Whether such a consumer is kept in the log. */
bool consumer_set_logs(const ConsumerSet *set, const ConsumerConfig *config);
/* The pause of that config, with its effects. */
void consumer_take_pause(Consumer *consumer, const ConsumerConfig *with);
void consumer_set_apply_put(ConsumerSet *set, const Record *record, ApiCall *call,
                            bool is_recovery);
/* Creations that waited for another one are decided now. */
void consumer_set_run_drafts(ConsumerSet *set);
/* The creation of that name is over. */
void consumer_set_forget_draft(ConsumerSet *set, Slice name);
/* Answers and frees those that wait. */
void consumer_set_drop_drafts(ConsumerSet *set);
