#include "stream/lease.h"

#include <string.h>

#include "base/mem.h"
#include "io/clock.h"
#include "proto/subject.h"
#include "stream/packed.h"
#include "stream/stream_parts.h"

enum { ENDS_PER_TICK = 1000, QUEUE_SLACK = 1024 };
static const int64_t ns_per_second = 1000000000, retry_ns = 2000000000ll,
                     sleep_max_ns = 10000000000ll, /* the wall clock may be set meanwhile */
    ttl_max_ns = 366ll * 86400 * 1000000000;
static const Slice expired = LIT("expired"), unbound = LIT("gone ");

Lease *lease_find(const Stream *stream, uint64_t seq) {
    const Map64 *leases = &stream->parts->leases.by_seq;
    return leases->len ? map64_get(leases, seq) : NULL;
}

static int64_t ends_at(const Lease *lease) {
    return lease->bind.len ? lease->unbound_ns : lease->due_ns;
}

/* ---- time ---- */

static void arm(Stream *stream) {
    Leases *leases = &stream->parts->leases;
    if (!stream->parts->is_started || !leases->dues.len)
        return;
    int64_t wait_ns = leases->dues.heap[0].due_ns - clock_wall_ns();
    wait_ns = wait_ns < 0 ? 0 : wait_ns > sleep_max_ns ? sleep_max_ns : wait_ns;
    uint64_t due_ns = clock_mono_ns() + (uint64_t)wait_ns;
    if (!timer_is_set(&leases->timer) || due_ns < leases->timer.due_ns)
        timer_set(stream->group.home, &leases->timer, due_ns);
}

static bool is_current(void *cookie, TtlDue due) {
    const Lease *lease = lease_find(cookie, due.seq);
    return lease && ends_at(lease) <= due.due_ns;
}

static void queue(Stream *stream, uint64_t seq, int64_t due_ns) {
    Leases *leases = &stream->parts->leases;
    if (due_ns == INT64_MAX)
        return;
    ttl_queue_push(&leases->dues, due_ns, seq);
    if (leases->dues.len > 2 * leases->by_seq.len + QUEUE_SLACK)
        ttl_queue_keep(&leases->dues, is_current, stream);
    arm(stream);
}

/* The marker that ends it, as a client would delete the key. */
static void propose_end(Stream *stream, const Lease *lease) {
    Buf headers = {0};
    Slice subject;
    if (stream_subject_of(stream, lease->seq, &subject))
        return;
    subject = arena_copy(stream->group.home->turn, subject); /* admitting it may expire others */
    buf_append_lit(&headers,
                   "NATS/1.0\r\nKV-Operation: DEL\r\nNats-Expected-Last-Subject-Sequence: ");
    buf_append_u64(&headers, lease->seq);
    buf_append_lit(&headers, "\r\nHW-Lease-Ended: ");
    if (lease->bind.len) {
        buf_append(&headers, unbound);
        buf_append(&headers, lease->bind);
    } else {
        buf_append(&headers, expired);
    }
    if (stream_has_markers(stream)) {
        buf_append_lit(&headers, "\r\nNats-TTL: ");
        duration_write(&headers, stream->config->subject_delete_marker_ttl_ns);
    }
    buf_append_lit(&headers, "\r\n\r\n");

    Record draft = {.type = RECORD_PUBLISH,
                    .time_ns = stream_clock(stream),
                    .subject = subject,
                    .headers = buf_slice(&headers)};
    PubHeaders ask;
    PubVerdict verdict;
    pub_headers_parse(draft.headers, &ask);
    if (!stream_is_crowded(stream) && stream_admit(stream, &draft, &ask, &verdict))
        stream_submit(stream, &draft, &(Ticket){.kind = TICKET_PUBLISH});
    buf_done(&headers);
}

static void on_timer(Timer *timer) {
    StreamParts *parts = CONTAINER_OF(CONTAINER_OF(timer, Leases, timer), StreamParts, leases);
    Stream *stream = parts->stream;
    int64_t now_ns = stream_clock(stream);
    TtlQueue *dues = &parts->leases.dues;

    for (unsigned left = ENDS_PER_TICK; left && dues->len && dues->heap[0].due_ns <= now_ns;
         left--) {
        uint64_t seq = dues->heap[0].seq;
        ttl_queue_pop(dues);
        const Lease *lease = lease_find(stream, seq);
        if (!lease || ends_at(lease) > now_ns)
            continue;
        propose_end(stream, lease);
        ttl_queue_push(dues, now_ns + retry_ns, seq); /* unless it is gone by then */
    }
    arm(stream);
}

/* ---- who listens ---- */

static void on_interest(InterestWatch *watch) {
    Lease *lease = CONTAINER_OF(watch, Lease, watch);
    lease->unbound_ns = watch->count ? INT64_MAX : stream_clock(lease->stream);
    queue(lease->stream, lease->seq, lease->unbound_ns);
}

static void watch_bind(Lease *lease, int64_t grace_ns) {
    Stream *stream = lease->stream;
    if (!lease->bind.len || lease->is_watched)
        return;
    lease->watch = (InterestWatch){.subject = lease->bind, .changed = on_interest};
    interest_watch_add(stream->account, &lease->watch);
    lease->is_watched = true;
    lease->unbound_ns = lease->watch.count ? INT64_MAX : stream_clock(stream) + grace_ns;
    queue(stream, lease->seq, lease->unbound_ns);
}

static void unwatch(Lease *lease) {
    if (lease->is_watched)
        interest_watch_remove(lease->stream->account, &lease->watch);
    lease->is_watched = false;
}

/* ---- what entries do ---- */

static void set_bind(Lease *lease, Slice bind) {
    unwatch(lease);
    mem_free((void *)(uintptr_t)lease->bind.ptr);
    lease->bind = (Slice){0};
    if (bind.len)
        lease->bind = slice_from(slice_to_text(bind), bind.len);
}

static void lease_free(Lease *lease) {
    unwatch(lease);
    mem_free((void *)(uintptr_t)lease->bind.ptr);
    mem_free(lease);
}

static Lease *put(Stream *stream, uint64_t seq, int64_t ttl_ns, int64_t due_ns, Slice bind) {
    Lease *lease = mem_zalloc(sizeof *lease);
    *lease = (Lease){
        .seq = seq, .ttl_ns = ttl_ns, .due_ns = due_ns, .unbound_ns = INT64_MAX, .stream = stream};
    set_bind(lease, bind);
    map64_put(&stream->parts->leases.by_seq, seq, lease);
    return lease;
}

static void tend(Lease *lease) {
    if (!lease->stream->parts->is_started)
        return;
    if (lease->bind.len)
        watch_bind(lease, 0);
    else
        queue(lease->stream, lease->seq, lease->due_ns);
}

static Status parse_ttl(Slice text, int64_t *out_ns) {
    int64_t ns;
    if (duration_parse(text, &ns) || ns < ns_per_second || ns > ttl_max_ns)
        return ERR_SYNTAX;
    *out_ns = ns;
    return OK;
}

static ApiError invalid(const Stream *stream, const char *why) {
    if (stream->parts->is_replaying)
        return api_error(HWLeaseInvalidF);
    return api_error_with(stream->group.home->turn, HWLeaseInvalidF, slice_of_text(why));
}

static ApiError check_end(Stream *stream, const Record *message, const PubHeaders *ask) {
    uint64_t seq;
    const Lease *lease =
        slice_parse_u64(ask->expected_subject_seq, &seq) == OK ? lease_find(stream, seq) : NULL;
    bool is_over = false;
    if (lease && lease->bind.len)
        is_over = slice_starts_with(ask->lease_ended, unbound) &&
                  slice_equal(slice_from_at(ask->lease_ended, unbound.len), lease->bind);
    else if (lease)
        is_over = slice_equal(ask->lease_ended, expired) && lease->due_ns <= message->time_ns;
    return is_over ? API_OK : invalid(stream, "it has not ended");
}

static ApiError check_free(Stream *stream, Slice subject, uint64_t *out_current) {
    SubjectState state;
    stream_subject_state(stream, subject, &state);
    const MsgSlot *slot = state.count ? msg_index_get(stream->index, state.last_seq) : NULL;
    if (!slot || slot->is_tombstone)
        return API_OK;
    *out_current = state.last_seq;
    return stream->parts->is_replaying
               ? api_error(JSStreamWrongLastSequenceErrF)
               : api_error_with_u64(stream->group.home->turn, JSStreamWrongLastSequenceErrF,
                                    state.last_seq);
}

ApiError lease_check(Stream *stream, const Record *message, const PubHeaders *ask, bool is_batch,
                     uint64_t *out_current) {
    const StreamConfig *config = stream->config;
    int64_t ttl_ns;
    if (ask->lease_ended.len)
        return check_end(stream, message, ask);
    if (parse_ttl(ask->lease, &ttl_ns))
        return invalid(stream, "a duration of a second or more is expected");
    if (ask->lease_bind.len > LEASE_BIND_BYTES_MAX ||
        (ask->lease_bind.len && !subject_is_valid(ask->lease_bind)))
        return invalid(stream, "what it is bound to is no subject");
    if (is_batch)
        return invalid(stream, "not in a batch");
    if (config->retention != RETENTION_LIMITS || config->allow_msg_counter ||
        (config->discard == DISCARD_NEW && config->discard_new_per_subject))
        return invalid(stream, "not on such a stream");
    if (pub_headers_are_tombstone(ask))
        return invalid(stream, "a delete cannot be leased");
    if (stream->parts->leases.by_seq.len >= LEASES_MAX)
        return api_error(HWTooManyLeasesErr);
    if (ask->expected_subject_seq.len)
        return API_OK;
    return check_free(stream, message->subject, out_current);
}

void lease_on_stored(Stream *stream, const Record *message, const PubHeaders *ask, uint64_t before,
                     uint64_t seq) {
    int64_t ttl_ns;
    lease_forget(stream, before);
    if (!ask || !ask->lease.len || parse_ttl(ask->lease, &ttl_ns) ||
        !msg_index_get(stream->index, seq))
        return;
    tend(put(stream, seq, ttl_ns, message->time_ns + ttl_ns, ask->lease_bind));
}

void lease_refresh(Lease *lease, int64_t now_ns, int64_t ttl_ns, Slice bind) {
    if (ttl_ns > 0)
        lease->ttl_ns = ttl_ns;
    lease->due_ns = now_ns + lease->ttl_ns;
    if (bind.len && !slice_equal(bind, lease->bind))
        set_bind(lease, bind);
    tend(lease);
}

void lease_forget(Stream *stream, uint64_t seq) {
    Map64 *leases = &stream->parts->leases.by_seq;
    Lease *lease = leases->len ? map64_remove(leases, seq) : NULL;
    if (lease)
        lease_free(lease);
}

void lease_forget_all(Stream *stream) {
    Leases *leases = &stream->parts->leases;
    uint64_t seq;
    void *lease;
    for (size_t at = 0; map64_next(&leases->by_seq, &at, &seq, &lease);)
        lease_free(lease);
    map64_done(&leases->by_seq);
    leases->by_seq = (Map64){0};
    ttl_queue_done(&leases->dues);
}

/* ---- life ---- */

void leases_init(Stream *stream) {
    timer_init(&stream->parts->leases.timer, on_timer);
}

void leases_done(Stream *stream) {
    timer_cancel(stream->group.home, &stream->parts->leases.timer);
    lease_forget_all(stream);
}

void leases_start(Stream *stream) {
    uint64_t seq;
    void *value;
    for (size_t at = 0; map64_next(&stream->parts->leases.by_seq, &at, &seq, &value);) {
        Lease *lease = value;
        if (lease->bind.len)
            watch_bind(lease, lease->ttl_ns);
        else
            queue(stream, seq, lease->due_ns);
    }
}

void leases_save(Stream *stream, Buf *out) {
    uint64_t seq;
    void *value;
    if (!stream->parts->leases.by_seq.len)
        return;
    packed_write_u64(out, stream->parts->leases.by_seq.len);
    for (size_t at = 0; map64_next(&stream->parts->leases.by_seq, &at, &seq, &value);) {
        const Lease *lease = value;
        packed_write_u64(out, seq);
        packed_write_i64(out, lease->ttl_ns);
        packed_write_i64(out, lease->due_ns);
        packed_write_slice(out, lease->bind);
    }
}

Status leases_load(Stream *stream, Slice bytes) {
    uint64_t count, seq;
    int64_t ttl_ns, due_ns;
    Slice bind;
    if (!packed_read_u64(&bytes, &count) || count > LEASES_MAX)
        return ERR_CORRUPT;
    for (; count; count--) {
        if (!packed_read_u64(&bytes, &seq) || !packed_read_i64(&bytes, &ttl_ns) ||
            !packed_read_i64(&bytes, &due_ns) || !packed_read_slice(&bytes, &bind) ||
            ttl_ns < ns_per_second || ttl_ns > ttl_max_ns || bind.len > LEASE_BIND_BYTES_MAX ||
            !msg_index_get(stream->index, seq) || lease_find(stream, seq))
            return ERR_CORRUPT;
        put(stream, seq, ttl_ns, due_ns, bind);
    }
    return OK;
}
