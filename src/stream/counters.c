#include "stream/counters.h"

#include <string.h>

#include "base/assert.h"
#include "base/decimal.h"
#include "base/mem.h"
#include "proto/headers.h"
#include "stream/counters_private.h"
#include "stream/packed.h"

/* Of a subject that has messages. */
typedef struct Total {
    uint64_t seq; /* of the message that it is of; COUNTER_UNKNOWN, COUNTER_LOST: ask the index */
    CounterKind kind;
    uint32_t total_len, sources_len;
    uint16_t subject_len;
    char text[]; /* subject, total, sources */
} Total;

Counters *counters_of(Stream *stream) {
    StreamParts *parts = stream->parts;
    if (!parts->counters) {
        parts->counters = mem_zalloc(sizeof *parts->counters);
        list_init(&parts->counters->waitings);
    }
    return parts->counters;
}

/* --- totals --- */

/* By the subject's text: the subjects' ids come and go with index runs. */
static Slice total_subject(const Total *total) {
    return slice_from(total->text, total->subject_len);
}

static Total *find_total(const Counters *counters, Slice subject) {
    return map_get(&counters->totals, subject);
}

/* subject is not the total's own. */
static Total *total_new(Slice subject, size_t len) {
    Total *total = mem_alloc(sizeof *total + subject.len + len);
    total->subject_len = (uint16_t)subject.len;
    memcpy(total->text, subject.ptr, subject.len);
    return total;
}

static void put_total(Counters *counters, Slice subject, uint64_t seq, CounterKind kind,
                      CounterValue value) {
    Total *old = find_total(counters, subject), *total = old;
    size_t len = value.total.len + value.sources.len;
    if (!old || (size_t)old->total_len + old->sources_len != len)
        total = total_new(subject, len);
    char *text = total->text + subject.len;
    total->seq = seq;
    total->kind = kind;
    total->total_len = (uint32_t)value.total.len;
    total->sources_len = (uint32_t)value.sources.len;
    if (value.total.len)
        memcpy(text, value.total.ptr, value.total.len);
    if (value.sources.len)
        memcpy(text + value.total.len, value.sources.ptr, value.sources.len);
    if (total == old)
        return;
    if (old)
        mem_free(map_remove(&counters->totals, subject)); /* it holds the key */
    (void)map_put(&counters->totals, total_subject(total), total);
}

static CounterValue value_of(const Total *total) {
    const char *text = total->text + total->subject_len;
    return (CounterValue){slice_from(text, total->total_len),
                          slice_from(text + total->total_len, total->sources_len)};
}

static const SubjectEntry *live_entry(Stream *stream, Slice subject) {
    SubjectIndex *subjects = &stream->parts->subjects;
    SubjectId id = subject_index_find(subjects, subject);
    const SubjectEntry *entry = id ? subject_index_entry(subjects, id) : NULL;
    return entry && entry->count ? entry : NULL;
}

Status counters_find(Stream *stream, Slice subject, CounterValue *out_value) {
    *out_value = (CounterValue){0};
    if (!live_entry(stream, subject))
        return OK;
    const Total *total = find_total(counters_of(stream), subject);
    if (!total || total->kind == COUNTER_BROKEN)
        return ERR_CORRUPT;
    if (total->kind == COUNTER_UNKNOWN)
        return ERR_AGAIN;
    *out_value = value_of(total);
    return OK;
}

void counters_on_stored(Stream *stream, Slice subject, uint64_t seq, Slice headers, Slice payload) {
    if (!stream->config->allow_msg_counter)
        return;
    Counters *counters = counters_of(stream);
    CounterValue value = {0};
    CounterKind kind = COUNTER_KNOWN;
    if (counter_read(headers, payload, &value))
        kind = COUNTER_BROKEN;
    put_total(counters, subject, seq, kind, value);
}

static void lose_total(Total *total) {
    if (total && total->kind == COUNTER_KNOWN)
        total->kind = COUNTER_LOST;
}

void counters_on_lost(Stream *stream, Slice subject) {
    Slice key;
    void *total;
    if (!stream->config->allow_msg_counter)
        return;
    Counters *counters = counters_of(stream);
    if (subject.len) {
        lose_total(find_total(counters, subject));
        return;
    }
    counters->has_lost = true;
    for (size_t i = 0; map_next(&counters->totals, &i, &key, &total);)
        lose_total(total);
}

bool counters_is_behind(Stream *stream, Slice subject) {
    const Counters *counters = counters_of(stream);
    if (!stream->parts->is_replaying)
        return false;
    const Total *total = live_entry(stream, subject) ? find_total(counters, subject) : NULL;
    return total ? total->kind == COUNTER_LOST : counters->has_lost;
}

void counters_on_removed(Stream *stream, uint32_t id, Slice subject, uint64_t seq) {
    if (!stream->config->allow_msg_counter || !id)
        return;
    Counters *counters = counters_of(stream);
    const SubjectEntry *entry = subject_index_entry(&stream->parts->subjects, id);
    if (entry->count <= 1)
        mem_free(map_remove(&counters->totals, subject));
    else if (entry->last == seq)
        put_total(counters, subject, 0, COUNTER_UNKNOWN, (CounterValue){0});
}

static void free_totals(Counters *counters) {
    Slice subject;
    void *total;
    for (size_t i = 0; map_next(&counters->totals, &i, &subject, &total);)
        mem_free(total);
    map_done(&counters->totals);
    buf_done(&counters->unsettled);
}

void counters_on_removed_all(Stream *stream) {
    if (stream->parts->counters)
        free_totals(stream->parts->counters);
}

static uint64_t last_of(Stream *stream, const Total *total) {
    if (total->kind == COUNTER_KNOWN || total->kind == COUNTER_BROKEN)
        return total->seq;
    const SubjectEntry *entry = live_entry(stream, total_subject(total));
    return entry ? entry->last : 0;
}

static void save_total(Buf *out, uint64_t seq, uint64_t kind, CounterValue value) {
    packed_write_u64(out, seq);
    packed_write_u64(out, kind);
    packed_write_slice(out, value.total);
    packed_write_slice(out, value.sources);
}

void counters_save(Stream *stream, Buf *out) {
    Counters *counters = stream->parts->counters;
    Slice subject;
    void *at;
    if (!counters)
        return;
    for (size_t i = 0; map_next(&counters->totals, &i, &subject, &at);) {
        const Total *total = at;
        uint64_t kind = total->kind == COUNTER_LOST ? COUNTER_KNOWN : total->kind;
        save_total(out, last_of(stream, total), kind, value_of(total));
    }
}

Status counters_load(Stream *stream, Slice bytes) {
    Counters *counters = counters_of(stream);
    uint64_t seq, kind;
    CounterValue value;
    while (bytes.len) {
        if (!packed_read_u64(&bytes, &seq) || !packed_read_u64(&bytes, &kind) ||
            kind > COUNTER_UNKNOWN || !packed_read_slice(&bytes, &value.total) ||
            !packed_read_slice(&bytes, &value.sources) ||
            (kind == COUNTER_KNOWN && !decimal_is_valid(value.total)))
            return ERR_CORRUPT;
        const MsgSlot *slot = msg_index_get(stream->index, seq);
        if (slot && slot->subject)
            put_total(counters, stream_slot_subject(stream, slot), seq, (CounterKind)kind, value);
        else if (slot && stream->parts->unseen)
            save_total(&counters->unsettled, seq, kind, value);
    }
    return OK;
}

void counters_settle(Stream *stream) {
    Counters *counters = stream->parts->counters;
    if (!counters || !counters->unsettled.len)
        return;
    Buf unsettled = counters->unsettled;
    counters->unsettled = (Buf){0};
    Status status = counters_load(stream, buf_slice(&unsettled));
    ASSERT(status == OK);
    buf_done(&unsettled);
}

/* --- in flight --- */

static void flight_free(Flight *flight) {
    buf_done(&flight->total);
    buf_done(&flight->sources);
    mem_free(flight);
}

Flight *counters_flight(Counters *counters, Slice subject) {
    Flight *flight = map_get(&counters->flights, subject);
    if (flight)
        return flight;
    flight = mem_alloc(sizeof *flight + subject.len);
    *flight = (Flight){.subject_len = (uint16_t)subject.len};
    memcpy(flight->subject, subject.ptr, subject.len);
    map_put(&counters->flights, slice_from(flight->subject, subject.len), flight);
    return flight;
}

Status counters_make(Stream *stream, const Record *draft, CounterValue base, Slice origin_total) {
    Counters *counters = counters_of(stream);
    PubHeaders ask;
    buf_clear(&counters->headers);
    buf_clear(&counters->payload);
    if (origin_total.len)
        return counter_copy(base, draft->headers, origin_total, counters_turn(stream),
                            &counters->headers, &counters->payload);
    pub_headers_parse(draft->headers, &ask);
    if (counter_check(&ask, true, false))
        return ERR_SYNTAX;
    counter_add(base, draft->headers, ask.increment, &counters->headers, &counters->payload);
    return OK;
}

/* The message is in memory: its total goes into the log, in front of what builds on it. */
static Status propose_base(Stream *stream, Slice subject, Buf *out_total, Buf *out_sources) {
    const SubjectEntry *entry = live_entry(stream, subject);
    StoredMsg msg;
    CounterValue value;
    uint64_t last = entry->last;
    Status status = stream_read(stream, last, &msg);
    if (status)
        return status == ERR_AGAIN ? ERR_AGAIN : ERR_CORRUPT;
    status = counter_read(msg.headers, msg.payload, &value) ? ERR_CORRUPT : OK;
    if (status == OK) {
        Buf payload = {0};
        packed_write_u64(&payload, last);
        packed_write_slice(&payload, value.total);
        packed_write_slice(&payload, value.sources);
        Record draft = {.type = RECORD_COUNTER_BASE,
                        .time_ns = stream_clock(stream),
                        .subject = subject,
                        .payload = buf_slice(&payload)};
        Ticket ticket = {.kind = TICKET_CALL};
        journal_append(stream->js->journal, &stream->group, &draft, &ticket, false);
        buf_append(out_total, value.total);
        buf_append(out_sources, value.sources);
        buf_done(&payload);
    }
    stored_msg_done(&msg);
    return status;
}

Status counters_base(Stream *stream, Slice subject, Buf *out_total, Buf *out_sources) {
    CounterValue value;
    Status status = counters_find(stream, subject, &value);
    if (status == ERR_AGAIN)
        return propose_base(stream, subject, out_total, out_sources);
    if (status == OK) {
        buf_append(out_total, value.total);
        buf_append(out_sources, value.sources);
    }
    return status;
}

static Status start_chain(Stream *stream, Slice subject, Flight *flight) {
    buf_clear(&flight->total);
    buf_clear(&flight->sources);
    Status status = counters_base(stream, subject, &flight->total, &flight->sources);
    flight->is_broken = status != OK;
    flight->chain_from = stream->group.index_last + 1;
    return status;
}

void counters_flight_left(Counters *counters, Flight *flight) {
    if (flight->entries)
        return;
    (void)map_remove(&counters->flights, slice_from(flight->subject, flight->subject_len));
    flight_free(flight);
}

Status counters_propose(Stream *stream, Record *draft, Slice origin_total) {
    Counters *counters = counters_of(stream);
    Flight *flight = counters_flight(counters, draft->subject);
    Status status =
        counters_flight_goes_on(flight) ? OK : start_chain(stream, draft->subject, flight);
    if (status == OK)
        status = counters_make(
            stream, draft, (CounterValue){buf_slice(&flight->total), buf_slice(&flight->sources)},
            origin_total);
    CounterValue value;
    if (status == OK &&
        counter_read(counters->headers.len ? buf_slice(&counters->headers) : draft->headers,
                     buf_slice(&counters->payload), &value))
        status = ERR_CORRUPT; /* Nats-Counter-Sources as a client sent it */
    if (status) {
        counters_flight_left(counters, flight);
        return status;
    }
    buf_clear(&flight->total);
    buf_append(&flight->total, value.total);
    buf_clear(&flight->sources);
    buf_append(&flight->sources, value.sources);
    flight->entries++;
    if (counters->headers.len)
        draft->headers = arena_copy(counters_turn(stream), buf_slice(&counters->headers));
    draft->payload = arena_copy(counters_turn(stream), buf_slice(&counters->payload));
    draft->flags |= RECORD_COUNTED;
    return OK;
}

void counters_break(Counters *counters, Slice subject, uint64_t index) {
    Flight *flight = map_get(&counters->flights, subject);
    if (flight && index >= flight->chain_from)
        flight->is_broken = true;
}

void counters_landed(Stream *stream, const Record *record) {
    Counters *counters = counters_of(stream);
    Flight *flight = map_get(&counters->flights, record->subject);
    if (!flight || !(record->flags & RECORD_COUNTED))
        return;
    flight->entries--;
    counters_flight_left(counters, flight);
}

void counters_fetch(Stream *stream, Slice subject, StreamWait *wait) {
    const SubjectEntry *entry = live_entry(stream, subject);
    stream_fetch(stream, entry ? entry->last : 0, wait);
}

/* --- apply --- */

/* The origin's total when the entry is a copy; empty when it is a client's. */
static Status origin_of(Stream *stream, const Record *record, Slice *out_total) {
    PubHeaders ask;
    *out_total = (Slice){0};
    pub_headers_parse(record->headers, &ask);
    if (!ask.stream_source.len)
        return OK;
    return counter_origin_total(record->headers, counters_turn(stream), out_total);
}

bool counters_is_made(const Counters *counters, const Record *record) {
    return slice_equal(buf_slice(&counters->payload), record->payload) &&
           (!counters->headers.len || slice_equal(buf_slice(&counters->headers), record->headers));
}

bool counters_fit(Stream *stream, const Record *record) {
    Counters *counters = counters_of(stream);
    CounterValue base;
    Slice origin_total;
    if (!(record->flags & RECORD_COUNTED))
        return false;
    if (counters_is_behind(stream, record->subject))
        return counter_read(record->headers, record->payload, &base) == OK;
    return counters_find(stream, record->subject, &base) == OK &&
           origin_of(stream, record, &origin_total) == OK &&
           counters_make(stream, record, base, origin_total) == OK &&
           counters_is_made(counters, record);
}

void counters_apply_base(Stream *stream, const Record *record) {
    Slice rest = record->payload;
    uint64_t seq;
    CounterValue value;
    const SubjectEntry *entry = live_entry(stream, record->subject);
    if (!stream->config->allow_msg_counter || !packed_read_u64(&rest, &seq) ||
        !packed_read_slice(&rest, &value.total) || !packed_read_slice(&rest, &value.sources))
        return;
    Counters *counters = counters_of(stream);
    const Total *total = entry && entry->last == seq ? find_total(counters, record->subject) : NULL;
    if (total && total->kind == COUNTER_UNKNOWN)
        put_total(counters, record->subject, seq, COUNTER_KNOWN, value);
}

void counters_free(Stream *stream, Counters *counters) {
    Slice subject;
    void *flight;
    if (!counters)
        return;
    counters_drop_waitings(stream, counters);
    for (size_t i = 0; map_next(&counters->flights, &i, &subject, &flight);)
        flight_free(flight);
    map_done(&counters->flights);
    free_totals(counters);
    buf_done(&counters->headers);
    buf_done(&counters->payload);
    mem_free(counters);
}
