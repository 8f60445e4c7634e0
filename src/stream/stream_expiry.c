/* Age and TTL. Without markers expiry follows from time: each entry first removes what was due at
 * its time, and a timer does the same in between, when nothing is in flight. With markers
 * (subject_delete_marker_ttl) new messages are made, so it takes an entry. */
#include "base/mem.h"
#include "io/clock.h"
#include "stream/stream_parts.h"
#include "stream/stream_touch.h"

enum {
    TICK_NS = 20 * 1000000, /* at the earliest after now: what is due together goes together */
    MARKER_TICK_NS = 100 * 1000000, /* the same where each tick is an entry */
    QUEUE_SLACK = 1024,
};

/* The wall clock may be set meanwhile. */
static const int64_t SLEEP_MAX_NS = 10ll * 1000000000;

int64_t stream_clock(Stream *stream) {
    int64_t now_ns = clock_wall_ns();
    if (now_ns > stream->parts->clock_ns)
        stream->parts->clock_ns = now_ns;
    return stream->parts->clock_ns;
}

int64_t stream_clock_now(Stream *stream) {
    return stream_clock(stream);
}

int64_t stream_ttl_flags(const PubHeaders *ask, int64_t time_ns, uint32_t *size) {
    if (!ask)
        return INT64_MAX;
    if (ask->is_purge_operation || ask->is_marker)
        *size |= MSG_NO_MARKER;
    if (ask->ttl_kind == TTL_FOREVER)
        *size |= MSG_NEVER;
    if (ask->ttl_kind != TTL_SOME || ask->ttl_ns > INT64_MAX - 1 - time_ns)
        return INT64_MAX;
    *size |= MSG_HAS_TTL;
    return time_ns + ask->ttl_ns;
}

static bool is_with_ttl(void *cookie, TtlDue due) {
    const Stream *stream = cookie;
    const MsgSlot *slot = msg_index_get(stream->index, due.seq);
    return slot && slot->size & MSG_HAS_TTL && stream_due_is_current(stream, due.seq, due.due_ns);
}

static void store_marker(Stream *stream, Slice subject, int64_t now_ns) {
    Buf headers = {0};
    buf_append_lit(&headers, "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: ");
    duration_write(&headers, stream->config->subject_delete_marker_ttl_ns);
    buf_append_lit(&headers, "\r\nNats-Rollup: sub\r\n\r\n");

    PubHeaders ask;
    StoredMsg stored;
    pub_headers_parse(buf_slice(&headers), &ask);
    StoreMsg marker = {
        .subject = subject, .headers = buf_slice(&headers), .ask = &ask, .time_ns = now_ns};
    bool is_wanted = stream->config->retention != RETENTION_INTEREST ||
                     consumer_set_wants(stream->consumers, subject);
    if (is_wanted && stream_store(stream, &marker, &stored) && !stream->parts->is_replaying) {
        Shared *hold = shared_ref(stored.hold);
        consumer_set_on_stored(stream->consumers, &stored);
        shared_unref(hold);
    }
    buf_done(&headers);
}

static void expire_one(Stream *stream, uint64_t seq, const MsgSlot *slot, int64_t now_ns) {
    bool has_marker = false;
    Buf subject = {0};
    if (stream_has_markers(stream) && slot->subject && !(slot->size & MSG_NO_MARKER)) {
        const SubjectEntry *entry = subject_index_entry(&stream->parts->subjects, slot->subject);
        has_marker = entry->count == 1;
        if (has_marker)
            buf_append(&subject, subject_entry_text(entry));
    }
    stream_drop(stream, seq, true);
    if (has_marker)
        store_marker(stream, buf_slice(&subject), now_ns);
    buf_done(&subject);
}

/* The first that max_age may take; moves the mark over those that never go. 0 when there is none.
 */
static uint64_t first_by_age(Stream *stream, const MsgSlot **out_slot) {
    StreamParts *parts = stream->parts;
    if (stream->config->max_age_ns <= 0)
        return 0;
    uint64_t seq;
    while ((seq = msg_index_next(stream->index, parts->age_seq))) {
        *out_slot = msg_index_get(stream->index, seq);
        if (!((*out_slot)->size & MSG_NEVER))
            return seq;
        parts->age_seq = seq + 1;
    }
    return 0;
}

bool stream_expire(Stream *stream, int64_t now_ns, uint64_t max) {
    StreamParts *parts = stream->parts;
    const MsgSlot *slot;
    uint64_t seq;

    while ((seq = first_by_age(stream, &slot)) &&
           slot->time_ns <= now_ns - stream->config->max_age_ns) {
        if (max-- == 0)
            return false;
        parts->age_seq = seq + 1;
        expire_one(stream, seq, slot, now_ns);
    }
    while (parts->ttls.len && parts->ttls.heap[0].due_ns <= now_ns) {
        if (max-- == 0)
            return false;
        TtlDue due = parts->ttls.heap[0];
        seq = due.seq;
        ttl_queue_pop(&parts->ttls);
        slot = msg_index_get(stream->index, seq);
        if (slot && slot->size & MSG_HAS_TTL && stream_due_is_current(stream, seq, due.due_ns))
            expire_one(stream, seq, slot, now_ns);
    }
    if (parts->ttls.len > 2 * parts->ttl_live + QUEUE_SLACK)
        ttl_queue_keep(&parts->ttls, is_with_ttl, stream);
    return true;
}

void stream_expire_quietly(Stream *stream, int64_t now_ns) {
    if (stream_has_markers(stream) || stream->group.in_flight)
        return;
    stream->parts->clock_ns = now_ns;
    stream_expire(stream, now_ns, STREAM_EXPIRE_PER_TICK);
}

static int64_t first_due(Stream *stream) {
    StreamParts *parts = stream->parts;
    const MsgSlot *slot;
    int64_t due_ns = parts->ttls.len ? parts->ttls.heap[0].due_ns : INT64_MAX;
    if (first_by_age(stream, &slot)) {
        int64_t max_age_ns = stream->config->max_age_ns;
        int64_t age_due_ns =
            slot->time_ns > INT64_MAX - max_age_ns ? INT64_MAX : slot->time_ns + max_age_ns;
        if (age_due_ns < due_ns)
            due_ns = age_due_ns;
    }
    return due_ns;
}

void stream_expiry_arm(Stream *stream) {
    StreamParts *parts = stream->parts;
    if (!parts->is_started || parts->is_expire_in_flight ||
        (stream->config->max_age_ns <= 0 && parts->ttls.len == 0))
        return;
    /* What is set for ages only grows later; a new TTL may be sooner. */
    if (parts->expiry_due_ns != INT64_MAX &&
        (!parts->ttls.len || parts->ttls.heap[0].due_ns >= parts->expiry_due_ns))
        return;
    int64_t due_ns = first_due(stream);
    if (due_ns >= parts->expiry_due_ns)
        return;

    parts->expiry_due_ns = due_ns;
    int64_t wait_ns = due_ns - clock_wall_ns();
    int64_t least_ns = stream_has_markers(stream) ? MARKER_TICK_NS : TICK_NS;
    if (wait_ns < least_ns)
        wait_ns = least_ns;
    if (wait_ns > SLEEP_MAX_NS)
        wait_ns = SLEEP_MAX_NS;
    timer_set(stream->group.home, &parts->expiry, clock_mono_ns() + (uint64_t)wait_ns);
}

static void propose_expire(Stream *stream, int64_t now_ns) {
    Record draft = {.type = RECORD_EXPIRE, .time_ns = now_ns};
    Ticket ticket = {.kind = TICKET_EXPIRE};
    stream->parts->is_expire_in_flight = true;
    journal_append(stream->js->journal, &stream->group, &draft, &ticket, true);
}

static void on_timer(Timer *timer) {
    StreamParts *parts = CONTAINER_OF(timer, StreamParts, expiry);
    Stream *stream = parts->stream;
    int64_t now_ns = stream_clock(stream);

    parts->expiry_due_ns = INT64_MAX;
    if (!stream_has_markers(stream))
        stream_expire_quietly(stream, now_ns);
    else if (!parts->is_expire_in_flight && first_due(stream) <= now_ns)
        propose_expire(stream, now_ns);
    stream_expiry_arm(stream);
}

void stream_expiry_init(Stream *stream) {
    timer_init(&stream->parts->expiry, on_timer);
    stream->parts->expiry_due_ns = INT64_MAX;
}
