/* ConsumerSet: the consumers of one stream, and which of them want a subject. Called by stream.c;
 * implemented beside consumer.c. */
#pragma once

#include "stream/consumer_config.h"
#include "stream/stream.h"

ConsumerSet *consumer_set_new(Stream *stream);
/* Frees all consumers without effects. */
void consumer_set_free(ConsumerSet *set);
size_t consumer_set_count(const ConsumerSet *set);
/* Not counting direct (internal) ones. */
size_t consumer_set_visible_count(const ConsumerSet *set);
Consumer *consumer_set_find(const ConsumerSet *set, Slice name);
/* Up to max of them in the order of their names, from a place on, without direct ones; how many. In
 * the turn arena. O(page + log n), but for the first time. */
size_t consumer_set_page(ConsumerSet *set, size_t from, size_t max, Consumer ***out_consumers);

/* After recovery or for a new stream: timers, interest, first pump. */
void consumer_set_start(ConsumerSet *set);
/* Before the stream goes: answers waiting requests (409 Consumer Deleted), advisories. */
void consumer_set_stop(ConsumerSet *set);

/* The stream stored a message (bytes in memory): visits only consumers whose filters cover it;
 * those that are caught up send it at once. */
void consumer_set_on_stored(ConsumerSet *set, const StoredMsg *msg);
/* A message is about to be removed by a limit, an expiry, a delete (has_advisory: 'terminated'
 * advisories for pending ones) or a purge. */
void consumer_set_on_removed(ConsumerSet *set, uint64_t seq, Slice subject, bool has_advisory);
/* A purge of those messages (filter may be empty) is over: positions move to what is left. */
void consumer_set_on_purged(ConsumerSet *set, Slice filter);
/* Everything below first_seq went at once (purge of all): cheaper than one by one. */
void consumer_set_on_purged_all(ConsumerSet *set, uint64_t last_seq);
/* Whether a consumer still needs seq (interest, work queue): it matches and is not consumed. On
 * work queues only acked counts. */
bool consumer_set_needs(const ConsumerSet *set, uint64_t seq, Slice subject);
/* Whether any consumer's filter covers subject (interest retention: else it is not stored). */
bool consumer_set_wants(const ConsumerSet *set, Slice subject);
/* The stream's config changed. */
void consumer_set_on_config(ConsumerSet *set);

/* An applied entry of type RECORD_CONSUMER_*. call may be NULL. Deltas of _STATE by this process
 * were done when made: is_recovery says to do them now. ack_replies: see ConsumerProposal. */
void consumer_set_apply(ConsumerSet *set, const Record *record, ApiCall *call, Slice ack_replies,
                        bool is_recovery);
/* The entry did not become durable. */
void consumer_set_refused(ConsumerSet *set, const Record *record, ApiCall *call, Status why);

/* A consumer as an archive has it. */
typedef struct RestoredPending {
    uint64_t sseq, dseq;
    uint32_t deliveries;
} RestoredPending;
typedef struct RestoredConsumer {
    Slice name;
    const ConsumerConfig *config;
    int64_t created_ns;
    uint64_t delivered_dseq, delivered_sseq, floor_dseq, floor_sseq;
    const RestoredPending *pending; /* ascending by sseq */
    size_t pending_count;
} RestoredConsumer;
/* {"config":...,"state":...} as archives have it. */
void consumer_archive_write(Buf *out, const Consumer *consumer);
/* Payload of RECORD_CONSUMER_RESTORE. */
void consumer_restore_write(Buf *out, const RestoredConsumer *from);

/* For the stream's checkpoint. */
void consumer_set_save(const ConsumerSet *set, Buf *out);
/* The same in steps, as of the moment it begins: whoever changes before its turn is saved then. */
void consumer_set_save_begin(ConsumerSet *set);
/* Saves one more; false when there is none. */
bool consumer_set_save_one(ConsumerSet *set);
/* out: NULL: it is given up. */
void consumer_set_save_end(ConsumerSet *set, Buf *out);
MUST_CHECK Status consumer_set_load(ConsumerSet *set, Slice saved);

/* API, on home: each answers call (takes it), now or when applied. Create takes request->config
 * too; the API has checked the subject's form (10016..10020), the rest is checked here. */
void consumer_set_create(ConsumerSet *set, ConsumerRequest *request,
                         Slice name /* empty: generated */, ApiCall *call);
void consumer_set_delete(ConsumerSet *set, Slice name, ApiCall *call);
void consumer_set_pause(ConsumerSet *set, Slice name, int64_t until_ns, ApiCall *call);
void consumer_set_unpin(ConsumerSet *set, Slice name, Slice group, ApiCall *call);
void consumer_set_reset(ConsumerSet *set, Slice name, uint64_t seq, ApiCall *call);

/* Object of consumer info, fields only (the caller has begun the object and closes it): stream_name
 * ... ts, priority_groups. */
void consumer_info_write(Buf *out, Consumer *consumer, bool has_dynamic_metadata);
Slice consumer_name(const Consumer *consumer);

/* What its info says in numbers. */
typedef struct ConsumerFigures {
    uint64_t delivered_dseq, delivered_sseq, floor_dseq, floor_sseq;
    uint64_t ack_pending, redelivered, waiting, pending;
    Slice description; /* borrowed from consumer */
} ConsumerFigures;
void consumer_figures(Consumer *consumer, ConsumerFigures *out_figures);

/* $JS.API.CONSUMER.MSG.NEXT.S.C: message is the request. */
void consumer_on_pull(Consumer *consumer, const Message *request);
/* $JS.ACK....: tokens after the consumer's name. False: no such thing (503 to a requester). */
bool consumer_on_ack(Consumer *consumer, Slice tokens, const Message *message);
/* $JS.FC.S.C.token */
void consumer_on_flow_reply(Consumer *consumer, Slice token, const Message *message);
bool consumer_has_flow_control(const Consumer *consumer);
/* It has nothing to deliver, and entries of its stream are on their way. */
bool consumer_awaits_entries(const Consumer *consumer);
/* Whether it has an ack subscription (ack policy is not none / flow control). */
bool consumer_takes_acks(const Consumer *consumer);
