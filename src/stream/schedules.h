/* Schedules: a stream's messages that make others (allow_msg_schedules).
 *
 * State is which message is the schedule of its subject: the last one there, if it asked for it.
 * When it is due is derived from it at first, and said by the entries from then on, so that
 * recovery needs no time zones. Home watches the times. A schedule that is due is read (from disk
 * too) and two entries are proposed, one behind the other: RECORD_SCHEDULE_FIRE (payload: sequence
 * of the schedule, when it is due next) and the message as it is stored, RECORD_PUBLISH with
 * RECORD_FIRED, which does something only right behind the first and while that schedule stands. */
#pragma once

#include "stream/pub_headers.h"
#include "stream/stream.h"

typedef struct Schedules Schedules;
typedef struct StoreMsg StoreMsg;

/* NULL-safe; cancels timer and waits. */
void schedules_free(Schedules *schedules);

/* At the door: what forbids the schedule that a message with Nats-Schedule asks for, or 0; then its
 * entry must say RECORD_SCHEDULED, as patterns and zones are not looked at again. May read a zone
 * file, once. */
unsigned schedules_check(Stream *stream, Slice subject, Slice headers);
/* What such a message is stored with: the block itself, or in the turn's arena. */
Slice schedules_stored_headers(Stream *stream, Slice headers, const PubHeaders *ask);

/* Nats-Scheduler and Nats-Schedule-Next of a client: 10188, 10212 or 0. From the state. */
unsigned schedules_check_request(Stream *stream, Slice subject, const PubHeaders *ask);

/* A message was stored: it ends its subject's schedule, and may be the new one. A message goes. All
 * went. Each does nothing on other streams. */
void schedules_on_stored(Stream *stream, uint64_t seq, const StoreMsg *msg);
void schedules_on_removed(Stream *stream, Slice subject, uint64_t seq);
void schedules_on_removed_all(Stream *stream);

/* RECORD_SCHEDULE_FIRE. */
void schedules_apply_fire(Stream *stream, const Record *record);
/* RECORD_FIRED: false when it comes too late. When true the caller stores it, then says so: the
 * schedule is due anew, or over. */
bool schedules_take_fired(Stream *stream, const Record *record);
void schedules_on_fired(Stream *stream, const PubHeaders *ask);
/* The entry with that ticket pointer was applied or refused. */
void schedules_landed(Stream *stream, void *pointer);

/* Sets the timer for what is due first. Cheap when nothing changed. */
void schedules_arm(Stream *stream);

/* Section of the checkpoint: what may be fired by the next entry; sequence and due time of each. */
void schedules_save(Stream *stream, Buf *out);
MUST_CHECK Status schedules_load(Stream *stream, Slice bytes);
/* Recovery: all records that will come have; what was loaded before finds its subjects. */
void schedules_settle(Stream *stream);
