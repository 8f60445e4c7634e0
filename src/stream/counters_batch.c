/* Increments of an atomic batch: each adds to the one before, all lie in one entry. */
#include "base/mem.h"
#include "stream/counters_private.h"
#include "stream/stream_batch.h"

/* Of one subject of a batch. */
typedef struct Step {
    Buf total, sources; /* what the next member adds to; a batch's own sources do not count in it */
    Buf last_sources;   /* as the newest member says */
    uint64_t count;
} Step;

typedef struct Chain {
    Map steps; /* by subject, which is borrowed from the members */
} Chain;

static void step_free(Step *step) {
    buf_done(&step->total);
    buf_done(&step->sources);
    buf_done(&step->last_sources);
    mem_free(step);
}

static void chain_done(Chain *chain) {
    Slice subject;
    void *step;
    for (size_t i = 0; map_next(&chain->steps, &i, &subject, &step);)
        step_free(step);
    map_done(&chain->steps);
}

/* is_ahead: on top of what is in flight, else of the applied state. */
static Status find_step(Stream *stream, Chain *chain, Slice subject, bool is_ahead,
                        Step **out_step) {
    Status status = OK;
    CounterValue value;
    Step *step = map_get(&chain->steps, subject);
    if (step) {
        *out_step = step;
        return OK;
    }
    step = mem_zalloc(sizeof *step);
    const Flight *flight = map_get(&counters_of(stream)->flights, subject);
    if (is_ahead && counters_flight_goes_on(flight)) {
        buf_append(&step->total, buf_slice(&flight->total));
        buf_append(&step->sources, buf_slice(&flight->sources));
    } else if (is_ahead) {
        status = counters_base(stream, subject, &step->total, &step->sources);
    } else if ((status = counters_find(stream, subject, &value)) == OK) {
        buf_append(&step->total, value.total);
        buf_append(&step->sources, value.sources);
    }
    if (status) {
        step_free(step);
        return status;
    }
    map_put(&chain->steps, subject, step);
    *out_step = step;
    return OK;
}

/* Makes member's headers and payload into the scratch, and steps on. */
static Status advance(Stream *stream, Chain *chain, const Record *member, bool is_ahead) {
    Counters *counters = counters_of(stream);
    Step *step;
    CounterValue value;
    Status status = find_step(stream, chain, member->subject, is_ahead, &step);
    if (status == OK)
        status = counters_make(stream, member,
                               (CounterValue){buf_slice(&step->total), buf_slice(&step->sources)},
                               (Slice){0});
    if (status == OK &&
        counter_read(counters->headers.len ? buf_slice(&counters->headers) : member->headers,
                     buf_slice(&counters->payload), &value))
        status = ERR_CORRUPT; /* Nats-Counter-Sources as a client sent it */
    if (status)
        return status;
    buf_clear(&step->total);
    buf_append(&step->total, value.total);
    buf_clear(&step->last_sources);
    buf_append(&step->last_sources, value.sources);
    step->count++;
    return OK;
}

/* What decides will refuse is left as it is. */
static bool is_increment(const Record *member) {
    PubHeaders ask;
    if (member->flags & RECORD_COUNTED)
        return true;
    if (!member->headers.len)
        return false;
    pub_headers_parse(member->headers, &ask);
    return counter_check(&ask, true, member->payload.len > 0) == 0;
}

static void write_member(Buf *out, const Record *member) {
    size_t bytes = record_bytes(member);
    record_write(member, buf_reserve(out, bytes));
    out->len += bytes;
}

static Status count_member(Stream *stream, Chain *chain, Record *member, Buf *out) {
    const Counters *counters = counters_of(stream);
    Buf plain = {0};
    if (member->flags & RECORD_COUNTED) { /* by a proposal that did not fit */
        counters_plain_headers(member->headers, &plain);
        member->headers = buf_slice(&plain);
        member->payload = (Slice){0};
    }
    Status status = advance(stream, chain, member, true);
    if (status == OK) {
        if (counters->headers.len)
            member->headers = buf_slice(&counters->headers);
        member->payload = buf_slice(&counters->payload);
        member->flags |= RECORD_COUNTED;
        write_member(out, member);
    }
    buf_done(&plain);
    return status;
}

/* All of it is about to be appended. */
static void take_off(Stream *stream, const Chain *chain) {
    Counters *counters = counters_of(stream);
    Slice subject;
    void *at;
    for (size_t i = 0; map_next(&chain->steps, &i, &subject, &at);) {
        const Step *step = at;
        Flight *flight = counters_flight(counters, subject);
        if (!counters_flight_goes_on(flight))
            flight->chain_from = stream->group.index_last + 1;
        flight->is_broken = false;
        flight->entries += step->count;
        buf_clear(&flight->total);
        buf_append(&flight->total, buf_slice(&step->total));
        buf_clear(&flight->sources);
        buf_append(&flight->sources, buf_slice(&step->last_sources));
    }
}

Status counters_propose_batch(Stream *stream, Slice members, int64_t time_ns, Buf *out,
                              Slice *out_subject) {
    const Record all = {.payload = members};
    Chain chain = {0};
    Record member;
    Place place;
    Status status = OK;
    for (size_t at = 0; status == OK && batch_next_member(&all, 0, &at, &member, &place);) {
        *out_subject = member.subject;
        member.time_ns = time_ns;
        if (is_increment(&member))
            status = count_member(stream, &chain, &member, out);
        else
            write_member(out, &member);
        if (out->len > BATCH_BYTES_MAX)
            status = ERR_FULL;
    }
    if (status == OK)
        take_off(stream, &chain);
    chain_done(&chain);
    return status;
}

/* The first one of its subject: others are checked against it. */
static bool take_as_is(Stream *stream, Chain *chain, const Record *member) {
    CounterValue value;
    if (map_get(&chain->steps, member->subject) || !counters_is_behind(stream, member->subject) ||
        counter_read(member->headers, member->payload, &value))
        return false;
    Step *step = mem_zalloc(sizeof *step);
    buf_append(&step->total, value.total);
    buf_append(&step->sources, value.sources);
    map_put(&chain->steps, member->subject, step);
    return true;
}

bool counters_fit_batch(Stream *stream, const Record *batch) {
    const Counters *counters = counters_of(stream);
    Chain chain = {0};
    Record member;
    Place place;
    bool fits = true;
    for (size_t at = 0; fits && batch_next_member(batch, 0, &at, &member, &place);)
        fits = member.flags & RECORD_COUNTED && (take_as_is(stream, &chain, &member) ||
                                                 (advance(stream, &chain, &member, false) == OK &&
                                                  counters_is_made(counters, &member)));
    chain_done(&chain);
    return fits;
}

void counters_landed_batch(Stream *stream, const Record *batch) {
    Record member;
    Place place;
    if (!stream->parts->counters)
        return;
    for (size_t at = 0; batch_next_member(batch, 0, &at, &member, &place);)
        counters_landed(stream, &member);
}
