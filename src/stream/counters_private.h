/* What counters*.c share: totals, increments in flight, publishes that wait. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "stream/counters.h"
#include "stream/stream_parts.h"

/* LOST: known, but the disk lost increments that came behind it. */
typedef enum CounterKind {
    COUNTER_KNOWN,
    COUNTER_BROKEN,
    COUNTER_UNKNOWN,
    COUNTER_LOST
} CounterKind;

/* Increments of one subject that wait for their sync. They are a chain, each adding to the one
 * before; when one does not fit, those behind it will not either, and a new chain begins. */
typedef struct Flight {
    uint64_t chain_from; /* index of the entry the chain begins with */
    uint64_t entries;    /* increments */
    bool is_broken;
    Buf total, sources; /* once all of it is applied */
    uint16_t subject_len;
    char subject[];
} Flight;

struct Counters {
    Map totals;    /* by subject */
    Buf unsettled; /* of a section: totals of messages whose records have not come */
    Map flights;   /* by subject */
    List waitings; /* of counters_publish.c */
    size_t waiting_count;
    bool has_lost;        /* recovery: increments of subjects that nobody knows */
    Buf headers, payload; /* scratch: what counters_make made */
};

Counters *counters_of(Stream *stream);
static inline Arena *counters_turn(const Stream *stream) {
    return stream->group.home->turn;
}

/* The total of the applied state; empty when the subject has no message. ERR_AGAIN: unknown;
 * ERR_CORRUPT: broken. Borrowed until the state changes. */
Status counters_find(Stream *stream, Slice subject, CounterValue *out_value);
/* What a chain that begins now adds to; appends it. As counters_find, but what is unknown and in
 * memory is proposed as a RECORD_COUNTER_BASE. */
Status counters_base(Stream *stream, Slice subject, Buf *out_total, Buf *out_sources);
/* Headers (empty: as they are) and payload of draft on top of base, into the scratch. */
Status counters_make(Stream *stream, const Record *draft, CounterValue base, Slice origin_total);
/* The same as they would be stored. */
bool counters_is_made(const Counters *counters, const Record *record);

/* Recovery: the state lacks what this may have added to, so that it cannot be checked. */
bool counters_is_behind(Stream *stream, Slice subject);

/* The subject's flight, made when there is none; goes by counters_flight_left. */
Flight *counters_flight(Counters *counters, Slice subject);
void counters_flight_left(Counters *counters, Flight *flight);
static inline bool counters_flight_goes_on(const Flight *flight) {
    return flight && flight->entries && !flight->is_broken;
}
/* The entry of that index does not fit, so what was built on it will not either. */
void counters_break(Counters *counters, Slice subject, uint64_t index);

/* Without the sources of the total that record was made from; to be freed. */
void counters_plain_headers(Slice headers, Buf *out);

/* Of those who wait. Nobody is answered. */
void counters_drop_waitings(Stream *stream, Counters *counters);
