#include "stream/counters.h"

#include "base/decimal.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/headers.h"
#include "stream/packed.h"
#include "stream/puback.h"
#include "stream/stream_parts.h"
#include "stream/usage.h"

typedef enum CounterKind { COUNTER_KNOWN, COUNTER_BROKEN, COUNTER_UNKNOWN } CounterKind;

/* Of a subject that has messages. */
typedef struct Total {
    CounterKind kind;
    uint32_t total_len, sources_len;
    char text[]; /* total, sources */
} Total;

/* Increments of one subject that wait for their sync. They are a chain, each adding to the one
 * before; when one does not fit, those behind it will not either, and a new chain begins. */
typedef struct Flight {
    uint64_t chain_from; /* index of the entry the chain begins with */
    uint64_t entries;
    bool is_broken;
    Buf total, sources; /* once all of it is applied */
    uint16_t subject_len;
    char subject[];
} Flight;

/* A publish that waits until the total was read. */
typedef struct Waiting {
    StreamWait wait;
    Link link;
    Stream *stream;
    size_t subject_len, headers_len, reply_len;
    char text[]; /* subject, headers, reply */
} Waiting;

struct Counters {
    Map64 totals;  /* by subject id */
    Map flights;   /* by subject */
    List waitings; /* Waiting */
    size_t waiting_count;
    Buf headers, payload; /* scratch */
};

enum { WAITING_MAX = 1000 }; /* over it: 10167 with status 429 */

static Arena *turn_of(const Stream *stream) {
    return stream->group.home->turn;
}

static Counters *counters_of(Stream *stream) {
    StreamParts *parts = stream->parts;
    if (!parts->counters) {
        parts->counters = mem_zalloc(sizeof *parts->counters);
        list_init(&parts->counters->waitings);
    }
    return parts->counters;
}

/* --- totals --- */

static void put_total(Counters *counters, SubjectId id, CounterKind kind, CounterValue value) {
    Total *old = map64_get(&counters->totals, id), *total = old;
    size_t len = value.total.len + value.sources.len;
    if (!old || (size_t)old->total_len + old->sources_len != len)
        total = mem_alloc(sizeof *total + len);
    total->kind = kind;
    total->total_len = (uint32_t)value.total.len;
    total->sources_len = (uint32_t)value.sources.len;
    if (value.total.len)
        memcpy(total->text, value.total.ptr, value.total.len);
    if (value.sources.len)
        memcpy(total->text + value.total.len, value.sources.ptr, value.sources.len);
    if (total != old) {
        map64_put(&counters->totals, id, total);
        mem_free(old);
    }
}

static CounterValue value_of(const Total *total) {
    return (CounterValue){slice_from(total->text, total->total_len),
                          slice_from(total->text + total->total_len, total->sources_len)};
}

static SubjectEntry *live_entry(Stream *stream, Slice subject, SubjectId *out_id) {
    SubjectIndex *subjects = &stream->parts->subjects;
    *out_id = subject_index_own(subjects, subject_index_find(subjects, subject));
    SubjectEntry *entry = *out_id ? subject_index_entry(subjects, *out_id) : NULL;
    return entry && entry->count ? entry : NULL;
}

/* OK; ERR_AGAIN: unknown; ERR_CORRUPT: broken. Borrowed until the state changes. */
static Status find_total(Stream *stream, Slice subject, CounterValue *out_value) {
    SubjectId id;
    *out_value = (CounterValue){0};
    if (!live_entry(stream, subject, &id))
        return OK;
    const Total *total = map64_get(&counters_of(stream)->totals, id);
    if (!total || total->kind == COUNTER_BROKEN)
        return ERR_CORRUPT;
    if (total->kind == COUNTER_UNKNOWN)
        return ERR_AGAIN;
    *out_value = value_of(total);
    return OK;
}

void counters_on_stored(Stream *stream, uint32_t subject, Slice headers, Slice payload) {
    if (!stream->config->allow_msg_counter)
        return;
    Counters *counters = counters_of(stream);
    CounterValue value = {0};
    CounterKind kind = COUNTER_KNOWN;
    if (counter_read(headers, payload, &value))
        kind = COUNTER_BROKEN;
    put_total(counters, subject, kind, value);
}

void counters_on_removed(Stream *stream, uint32_t subject, uint64_t seq) {
    if (!stream->config->allow_msg_counter || !subject)
        return;
    Counters *counters = counters_of(stream);
    const SubjectEntry *entry = subject_index_entry(&stream->parts->subjects, subject);
    if (entry->count <= 1)
        mem_free(map64_remove(&counters->totals, subject));
    else if (entry->last == seq)
        put_total(counters, subject, COUNTER_UNKNOWN, (CounterValue){0});
}

static void free_totals(Counters *counters) {
    uint64_t id;
    void *total;
    for (size_t i = 0; map64_next(&counters->totals, &i, &id, &total);)
        mem_free(total);
    map64_done(&counters->totals);
}

void counters_on_removed_all(Stream *stream) {
    if (stream->parts->counters)
        free_totals(stream->parts->counters);
}

void counters_save(Stream *stream, Buf *out) {
    Counters *counters = stream->parts->counters;
    uint64_t id;
    void *at;
    if (!counters)
        return;
    for (size_t i = 0; map64_next(&counters->totals, &i, &id, &at);) {
        const Total *total = at;
        CounterValue value = value_of(total);
        const SubjectEntry *entry = subject_index_entry(&stream->parts->subjects, (SubjectId)id);
        packed_write_u64(out, entry->last);
        packed_write_u64(out, total->kind);
        packed_write_slice(out, value.total);
        packed_write_slice(out, value.sources);
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
            put_total(counters, slot->subject, (CounterKind)kind, value);
    }
    return OK;
}

/* --- in flight --- */

static void flight_free(Flight *flight) {
    buf_done(&flight->total);
    buf_done(&flight->sources);
    mem_free(flight);
}

static Flight *flight_of(Counters *counters, Slice subject) {
    Flight *flight = map_get(&counters->flights, subject);
    if (flight)
        return flight;
    flight = mem_alloc(sizeof *flight + subject.len);
    *flight = (Flight){.subject_len = (uint16_t)subject.len};
    memcpy(flight->subject, subject.ptr, subject.len);
    map_put(&counters->flights, slice_from(flight->subject, subject.len), flight);
    return flight;
}

/* Headers and payload of draft on top of base, into the scratch. */
static Status make(Stream *stream, const Record *draft, CounterValue base, Slice origin_total) {
    Counters *counters = counters_of(stream);
    PubHeaders ask;
    buf_clear(&counters->headers);
    buf_clear(&counters->payload);
    if (origin_total.len)
        return counter_copy(base, draft->headers, origin_total, turn_of(stream), &counters->headers,
                            &counters->payload);
    pub_headers_parse(draft->headers, &ask);
    if (counter_check(&ask, true, false))
        return ERR_SYNTAX;
    counter_add(base, draft->headers, ask.increment, &counters->headers, &counters->payload);
    return OK;
}

/* The message is in memory: its total goes into the log, in front of what builds on it. */
static Status propose_base(Stream *stream, Slice subject, Flight *flight) {
    SubjectId id;
    const SubjectEntry *entry = live_entry(stream, subject, &id);
    StoredMsg msg;
    CounterValue value;
    Status status = stream_read(stream, entry->last, &msg);
    if (status)
        return status == ERR_AGAIN ? ERR_AGAIN : ERR_CORRUPT;
    status = counter_read(msg.headers, msg.payload, &value) ? ERR_CORRUPT : OK;
    if (status == OK) {
        Buf payload = {0};
        packed_write_u64(&payload, entry->last);
        packed_write_slice(&payload, value.total);
        packed_write_slice(&payload, value.sources);
        Record draft = {.type = RECORD_COUNTER_BASE,
                        .time_ns = stream_clock(stream),
                        .subject = subject,
                        .payload = buf_slice(&payload)};
        Ticket ticket = {.kind = TICKET_CALL};
        journal_append(stream->js->journal, &stream->group, &draft, &ticket, false);
        buf_clear(&flight->total);
        buf_append(&flight->total, value.total);
        buf_clear(&flight->sources);
        buf_append(&flight->sources, value.sources);
        buf_done(&payload);
    }
    stored_msg_done(&msg);
    return status;
}

static Status start_chain(Stream *stream, Slice subject, Flight *flight) {
    CounterValue value;
    Status status = find_total(stream, subject, &value);
    if (status == ERR_AGAIN)
        status = propose_base(stream, subject, flight);
    else if (status == OK) {
        buf_clear(&flight->total);
        buf_append(&flight->total, value.total);
        buf_clear(&flight->sources);
        buf_append(&flight->sources, value.sources);
    }
    flight->is_broken = status != OK;
    flight->chain_from = stream->group.index_last + 1;
    return status;
}

static void drop_if_idle(Counters *counters, Flight *flight) {
    if (flight->entries)
        return;
    (void)map_remove(&counters->flights, slice_from(flight->subject, flight->subject_len));
    flight_free(flight);
}

Status counters_propose(Stream *stream, Record *draft, Slice origin_total) {
    Counters *counters = counters_of(stream);
    Flight *flight = flight_of(counters, draft->subject);
    Status status =
        flight->entries && !flight->is_broken ? OK : start_chain(stream, draft->subject, flight);
    if (status == OK)
        status = make(stream, draft,
                      (CounterValue){buf_slice(&flight->total), buf_slice(&flight->sources)},
                      origin_total);
    CounterValue value;
    if (status == OK &&
        counter_read(counters->headers.len ? buf_slice(&counters->headers) : draft->headers,
                     buf_slice(&counters->payload), &value))
        status = ERR_CORRUPT; /* Nats-Counter-Sources as a client sent it */
    if (status) {
        drop_if_idle(counters, flight);
        return status;
    }
    buf_clear(&flight->total);
    buf_append(&flight->total, value.total);
    buf_clear(&flight->sources);
    buf_append(&flight->sources, value.sources);
    flight->entries++;
    if (counters->headers.len)
        draft->headers = arena_copy(turn_of(stream), buf_slice(&counters->headers));
    draft->payload = arena_copy(turn_of(stream), buf_slice(&counters->payload));
    draft->flags |= RECORD_COUNTED;
    return OK;
}

void counters_landed(Stream *stream, const Record *record) {
    Counters *counters = counters_of(stream);
    Flight *flight = map_get(&counters->flights, record->subject);
    if (!flight || !(record->flags & RECORD_COUNTED))
        return;
    flight->entries--;
    drop_if_idle(counters, flight);
}

void counters_fetch(Stream *stream, Slice subject, StreamWait *wait) {
    SubjectId id;
    const SubjectEntry *entry = live_entry(stream, subject, &id);
    stream_fetch(stream, entry ? entry->last : 0, wait);
}

/* --- clients --- */

static void append_counted(Stream *stream, const Record *draft, Slice reply) {
    Ticket ticket = {.kind = TICKET_PUBLISH, .data = stream->config->no_ack ? (Slice){0} : reply};
    stream_note_flight(stream, draft);
    usage_propose(stream, draft);
    journal_append(stream->js->journal, &stream->group, draft, &ticket, false);
}

static void publish_now(Stream *stream, const Record *draft, Slice reply);

static void on_ready(StreamWait *wait) {
    Waiting *waiting = CONTAINER_OF(wait, Waiting, wait);
    Stream *stream = waiting->stream;
    const char *text = waiting->text;
    Slice headers = slice_from(text + waiting->subject_len, waiting->headers_len);
    Record draft = {.type = RECORD_PUBLISH,
                    .time_ns = stream_clock(stream),
                    .subject = slice_from(text, waiting->subject_len),
                    .headers = headers};
    list_remove(&waiting->link);
    stream->parts->counters->waiting_count--;
    publish_now(stream, &draft, slice_from(headers.ptr + headers.len, waiting->reply_len));
    mem_free(waiting);
}

static void wait_for_total(Stream *stream, const Record *draft, Slice reply) {
    Counters *counters = counters_of(stream);
    if (counters->waiting_count >= WAITING_MAX) {
        puback_too_many(stream, reply);
        return;
    }
    const Slice parts[] = {draft->subject, draft->headers, reply};
    Waiting *waiting =
        mem_alloc(sizeof *waiting + draft->subject.len + draft->headers.len + reply.len);
    *waiting = (Waiting){.wait.ready = on_ready,
                         .stream = stream,
                         .subject_len = draft->subject.len,
                         .headers_len = draft->headers.len,
                         .reply_len = reply.len};
    char *to = waiting->text;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; to += parts[i++].len)
        if (parts[i].len)
            memcpy(to, parts[i].ptr, parts[i].len);
    list_push_back(&counters->waitings, &waiting->link);
    counters->waiting_count++;
    counters_fetch(stream, draft->subject, &waiting->wait);
}

static void publish_now(Stream *stream, const Record *draft, Slice reply) {
    Record counted = *draft;
    counted.payload = (Slice){0};
    Status status = counters_propose(stream, &counted, (Slice){0});
    if (status == OK)
        append_counted(stream, &counted, reply);
    else if (status == ERR_AGAIN)
        wait_for_total(stream, draft, reply);
    else
        puback_refuse(stream, reply, api_error(JSMessageCounterBrokenErr));
}

/* Those of a subject stay in order. */
static bool is_waited_for(const Counters *counters, Slice subject) {
    LIST_FOR_EACH(link, &counters->waitings) {
        const Waiting *waiting = CONTAINER_OF(link, Waiting, link);
        if (slice_equal(slice_from(waiting->text, waiting->subject_len), subject))
            return true;
    }
    return false;
}

void counters_publish(Stream *stream, const Record *draft, Slice reply) {
    Counters *counters = counters_of(stream);
    if (counters->waiting_count && is_waited_for(counters, draft->subject))
        wait_for_total(stream, draft, reply);
    else
        publish_now(stream, draft, reply);
}

/* --- apply --- */

/* The origin's total when the entry is a copy; empty when it is a client's. */
static Status origin_of(Stream *stream, const Record *record, Slice *out_total) {
    PubHeaders ask;
    *out_total = (Slice){0};
    pub_headers_parse(record->headers, &ask);
    if (!ask.stream_source.len)
        return OK;
    return counter_origin_total(record->headers, turn_of(stream), out_total);
}

bool counters_fit(Stream *stream, const Record *record) {
    Counters *counters = counters_of(stream);
    CounterValue base;
    Slice origin_total;
    if (!(record->flags & RECORD_COUNTED) || find_total(stream, record->subject, &base) ||
        origin_of(stream, record, &origin_total) || make(stream, record, base, origin_total))
        return false;
    return slice_equal(buf_slice(&counters->payload), record->payload) &&
           (!counters->headers.len || slice_equal(buf_slice(&counters->headers), record->headers));
}

static bool is_sources(Slice name, void *cookie) {
    (void)cookie;
    return slice_equal(name, LIT("Nats-Counter-Sources"));
}

void counters_again(Stream *stream, const Record *record, Slice reply) {
    Counters *counters = counters_of(stream);
    Flight *flight = map_get(&counters->flights, record->subject);
    if (flight && record->index >= flight->chain_from)
        flight->is_broken = true;
    Buf headers = {0};
    header_copy_open(&headers, record->headers, is_sources, NULL);
    header_end(&headers);
    Record draft = {.type = RECORD_PUBLISH,
                    .time_ns = stream_clock(stream),
                    .subject = record->subject,
                    .headers = buf_slice(&headers)};
    counters_publish(stream, &draft, reply);
    buf_done(&headers);
}

void counters_apply_base(Stream *stream, const Record *record) {
    Slice rest = record->payload;
    uint64_t seq;
    CounterValue value;
    SubjectId id;
    const SubjectEntry *entry = live_entry(stream, record->subject, &id);
    if (!stream->config->allow_msg_counter || !packed_read_u64(&rest, &seq) ||
        !packed_read_slice(&rest, &value.total) || !packed_read_slice(&rest, &value.sources))
        return;
    Counters *counters = counters_of(stream);
    const Total *total = entry && entry->last == seq ? map64_get(&counters->totals, id) : NULL;
    if (total && total->kind == COUNTER_UNKNOWN)
        put_total(counters, id, COUNTER_KNOWN, value);
}

void counters_free(Counters *counters) {
    Slice subject;
    void *flight;
    if (!counters)
        return;
    for (Link *link; (link = list_pop_front(&counters->waitings));) {
        Waiting *waiting = CONTAINER_OF(link, Waiting, link);
        stream_cancel_wait(&waiting->wait);
        mem_free(waiting);
    }
    for (size_t i = 0; map_next(&counters->flights, &i, &subject, &flight);)
        flight_free(flight);
    map_done(&counters->flights);
    free_totals(counters);
    buf_done(&counters->headers);
    buf_done(&counters->payload);
    mem_free(counters);
}
