#include "stream/schedules.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "io/clock.h"
#include "proto/headers.h"
#include "proto/subject.h"
#include "stream/packed.h"
#include "stream/schedule.h"
#include "stream/stream_parts.h"
#include "stream/zones.h"

enum {
    TICK_NS = 20 * 1000000, /* at the earliest after now: what is due together goes together */
    FIRE_PER_TICK = 256,    /* the rest goes in the next turns */
    QUEUE_SLACK = 1024,     /* dead entries of the queue before it is cleaned */
    RETRY_NS = 1000000000,  /* after a refusal by the log */
};
static const int64_t SLEEP_MAX_NS = 10ll * 1000000000; /* the wall clock may be set meanwhile */

/* Of a subject whose last message it is. */
typedef struct Standing {
    uint64_t seq;
    int64_t due_ns;    /* INT64_MAX: never */
    bool is_under_way; /* being read, or its entries are in flight */
    uint16_t subject_len;
    char subject[];
} Standing;

/* One that waits for bytes from disk. */
typedef struct Firing {
    StreamWait wait;
    Link link;
    Stream *stream;
    uint64_t seq;
} Firing;

struct Schedules {
    Stream *stream;
    Map standing;   /* by subject: its ids come and go with index runs */
    Buf unsettled;  /* of a section: those whose records have not come */
    TtlQueue queue; /* (due, seq); dead entries stay a while */
    Timer timer;
    int64_t timer_due_ns; /* what the timer is set for; INT64_MAX = not set */
    Zones zones;
    List firings;
    uint64_t fire_index, fire_seq; /* state: the entry that may fire that schedule */
    int64_t fire_next_ns;          /* INT64_MAX: it is over then */
};

static void on_timer(Timer *timer);

static Schedules *schedules_of(Stream *stream) {
    StreamParts *parts = stream->parts;
    if (!parts->schedules) {
        parts->schedules = mem_zalloc(sizeof *parts->schedules);
        parts->schedules->stream = stream;
        parts->schedules->timer_due_ns = INT64_MAX;
        timer_init(&parts->schedules->timer, on_timer);
        list_init(&parts->schedules->firings);
    }
    return parts->schedules;
}

/* The schedule that seq is, or NULL. */
static Standing *standing_of(Schedules *schedules, uint64_t seq) {
    const MsgSlot *slot = msg_index_get(schedules->stream->index, seq);
    Standing *standing = NULL;
    if (slot && slot->subject && schedules->standing.len)
        standing = map_get(&schedules->standing, stream_slot_subject(schedules->stream, slot));
    return standing && standing->seq == seq ? standing : NULL;
}

/* There is none of that subject. */
static Standing *standing_new(Schedules *schedules, Slice subject, uint64_t seq) {
    Standing *standing = mem_alloc(sizeof *standing + subject.len);
    *standing = (Standing){.seq = seq, .subject_len = (uint16_t)subject.len};
    memcpy(standing->subject, subject.ptr, subject.len);
    (void)map_put(&schedules->standing, slice_from(standing->subject, subject.len), standing);
    return standing;
}

static bool is_live(void *cookie, TtlDue due) {
    return standing_of(cookie, due.seq) != NULL;
}

static void set_due(Schedules *schedules, Standing *standing, int64_t due_ns) {
    standing->due_ns = due_ns;
    if (due_ns != INT64_MAX)
        ttl_queue_push(&schedules->queue, due_ns, standing->seq);
    if (schedules->queue.len > 2 * schedules->standing.len + QUEUE_SLACK)
        ttl_queue_keep(&schedules->queue, is_live, schedules);
}

/* --- checks --- */

static bool is_literal(Slice subject) {
    return subject_is_valid(subject) && subject_is_literal(subject) &&
           slice_find(subject, ' ') == subject.len;
}

static bool is_ours(const Stream *stream, Slice subject) {
    for (size_t i = 0; i < stream->config->subject_count; i++)
        if (subject_matches(stream->config->subjects[i], subject))
            return true;
    return false;
}

static bool ttl_is_valid(Slice ttl) {
    int64_t ns;
    TtlKind kind = ttl_parse(ttl, &ns);
    return kind == TTL_SOME || kind == TTL_FOREVER;
}

static unsigned check_pattern(Stream *stream, const ScheduleAsk *ask) {
    const TimeZone *zone = NULL;
    Schedule schedule;
    int64_t due_ns;
    if (ask->has_zone && zones_get(&schedules_of(stream)->zones, ask->zone, &zone))
        return JSMessageSchedulesTimeZoneInvalidErr;
    if (schedule_parse(ask->pattern, ask->has_zone, zone, &schedule) ||
        schedule_next(&schedule, stream->parts->clock_ns, stream->parts->clock_ns, &due_ns))
        return JSMessageSchedulesPatternInvalidErr;
    return 0;
}

unsigned schedules_check(Stream *stream, Slice subject, Slice headers) {
    ScheduleAsk ask;
    Slice rollup = {0};
    if (!stream->config->allow_msg_schedules)
        return JSMessageSchedulesDisabledErr;
    schedule_ask(headers, &ask);
    unsigned code = check_pattern(stream, &ask);
    if (code)
        return code;
    if (ask.ttl.len && !ttl_is_valid(ask.ttl))
        return JSMessageSchedulesTTLInvalidErr;
    if (ask.ttl.len && !stream->config->allow_msg_ttl)
        return JSMessageTTLDisabledErr;
    if (!is_literal(ask.target) || slice_equal(ask.target, subject) || !is_ours(stream, ask.target))
        return JSMessageSchedulesTargetInvalidErr;
    if (ask.source.len && (!is_literal(ask.source) || slice_equal(ask.source, subject) ||
                           slice_equal(ask.source, ask.target) || !is_ours(stream, ask.source)))
        return JSMessageSchedulesSourceInvalidErr;
    if (ask.rollup.len && !slice_equal(ask.rollup, LIT("sub")))
        return JSMessageSchedulesRollupInvalidErr;
    if (header_get(headers, LIT("Nats-Rollup"), &rollup) &&
        !slice_equal_ignoring_case(rollup, LIT("sub")))
        return JSMessageSchedulesRollupInvalidErr;
    return 0;
}

Slice schedules_stored_headers(Stream *stream, Slice headers, const PubHeaders *ask) {
    if (ask->rollup.len)
        return headers;
    Buf text = {0};
    buf_append(&text, slice_first(headers, headers.len - 2)); /* without the empty line */
    header_append(&text, LIT("Nats-Rollup"), LIT("sub"));
    header_end(&text);
    Slice stored = arena_copy(stream->group.home->turn, buf_slice(&text));
    buf_done(&text);
    return stored;
}

static const SubjectEntry *live_entry(Stream *stream, Slice subject) {
    SubjectIndex *subjects = &stream->parts->subjects;
    SubjectId id = subject_index_find(subjects, subject);
    const SubjectEntry *entry = id ? subject_index_entry(subjects, id) : NULL;
    return entry && entry->count ? entry : NULL;
}

unsigned schedules_check_request(Stream *stream, Slice subject, const PubHeaders *ask) {
    if (!ask->scheduler.len && !ask->schedule_next.len)
        return 0;
    if (!slice_equal(ask->schedule_next, LIT("purge")) || !is_literal(ask->scheduler) ||
        slice_equal(ask->scheduler, subject))
        return JSMessageSchedulesSchedulerInvalidErr;
    if (!stream->config->allow_msg_schedules)
        return JSMessageSchedulesDisabledErr;
    if (live_entry(stream, ask->scheduler) &&
        !(stream->parts->schedules && map_get(&stream->parts->schedules->standing, ask->scheduler)))
        return JSMessageSchedulesSchedulerInvalidErr;
    return 0;
}

/* --- state --- */

static int64_t first_due(Stream *stream, const StoreMsg *msg) {
    const TimeZone *zone = NULL;
    ScheduleAsk ask;
    Schedule schedule;
    int64_t due_ns;
    schedule_ask(msg->headers, &ask);
    if ((!ask.has_zone || zones_get(&schedules_of(stream)->zones, ask.zone, &zone) == OK) &&
        schedule_parse(ask.pattern, ask.has_zone, zone, &schedule) == OK &&
        schedule_next(&schedule, msg->time_ns, msg->time_ns, &due_ns) == OK)
        return due_ns;
    LOG_WARNING("schedule not understood", "stream=%.*s subject=%.*s pattern=%.*s zone=%.*s",
                SLICE_ARG(stream_name(stream)), SLICE_ARG(msg->subject), SLICE_ARG(ask.pattern),
                SLICE_ARG(ask.zone));
    return INT64_MAX;
}

void schedules_on_stored(Stream *stream, uint64_t seq, const StoreMsg *msg) {
    if (!stream->config->allow_msg_schedules)
        return;
    bool is_schedule = msg->ask && msg->ask->schedule.len;
    Schedules *schedules = stream->parts->schedules;
    if (!is_schedule && !schedules)
        return;
    schedules = schedules_of(stream);
    mem_free(map_remove(&schedules->standing, msg->subject));
    if (is_schedule)
        set_due(schedules, standing_new(schedules, msg->subject, seq), first_due(stream, msg));
}

void schedules_on_removed(Stream *stream, Slice subject, uint64_t seq) {
    Schedules *schedules = stream->parts->schedules;
    Standing *standing = schedules ? map_get(&schedules->standing, subject) : NULL;
    if (standing && standing->seq == seq)
        mem_free(map_remove(&schedules->standing, subject));
}

void schedules_on_removed_all(Stream *stream) {
    Schedules *schedules = stream->parts->schedules;
    Slice subject;
    void *standing;
    if (!schedules)
        return;
    for (size_t i = 0; map_next(&schedules->standing, &i, &subject, &standing);)
        mem_free(standing);
    map_done(&schedules->standing);
    buf_done(&schedules->unsettled);
    ttl_queue_done(&schedules->queue);
}

void schedules_apply_fire(Stream *stream, const Record *record) {
    Slice rest = record->payload;
    uint64_t seq;
    int64_t next_ns;
    if (!packed_read_u64(&rest, &seq) || !packed_read_i64(&rest, &next_ns))
        return;
    Schedules *schedules = schedules_of(stream);
    schedules->fire_index = record->index + 1;
    schedules->fire_seq = seq;
    schedules->fire_next_ns = next_ns;
}

bool schedules_take_fired(Stream *stream, const Record *record) {
    Schedules *schedules = schedules_of(stream);
    return schedules->fire_index == record->index &&
           standing_of(schedules, schedules->fire_seq) != NULL;
}

void schedules_on_fired(Stream *stream, const PubHeaders *ask) {
    Schedules *schedules = schedules_of(stream);
    Standing *standing =
        live_entry(stream, ask->scheduler) ? map_get(&schedules->standing, ask->scheduler) : NULL;
    if (standing && standing->seq == schedules->fire_seq)
        set_due(schedules, standing, schedules->fire_next_ns);
}

void schedules_save(Stream *stream, Buf *out) {
    Schedules *schedules = stream->parts->schedules;
    Slice subject;
    void *at;
    if (!schedules)
        return;
    packed_write_u64(out, schedules->fire_index);
    packed_write_u64(out, schedules->fire_seq);
    packed_write_i64(out, schedules->fire_next_ns);
    for (size_t i = 0; map_next(&schedules->standing, &i, &subject, &at);) {
        const Standing *standing = at;
        packed_write_u64(out, standing->seq);
        packed_write_i64(out, standing->due_ns);
    }
}

static Status load_standing(Stream *stream, Slice bytes) {
    Schedules *schedules = schedules_of(stream);
    uint64_t seq;
    int64_t due_ns;
    while (bytes.len) {
        if (!packed_read_u64(&bytes, &seq) || !packed_read_i64(&bytes, &due_ns))
            return ERR_CORRUPT;
        const MsgSlot *slot = msg_index_get(stream->index, seq);
        Slice subject = slot ? stream_slot_subject(stream, slot) : (Slice){0};
        if (subject.len && !map_get(&schedules->standing, subject)) {
            set_due(schedules, standing_new(schedules, subject, seq), due_ns);
        } else if (slot && !subject.len && stream->parts->unseen) {
            packed_write_u64(&schedules->unsettled, seq);
            packed_write_i64(&schedules->unsettled, due_ns);
        }
    }
    return OK;
}

void schedules_settle(Stream *stream) {
    Schedules *schedules = stream->parts->schedules;
    if (!schedules || !schedules->unsettled.len)
        return;
    Buf unsettled = schedules->unsettled;
    schedules->unsettled = (Buf){0};
    Status status = load_standing(stream, buf_slice(&unsettled));
    ASSERT(status == OK);
    buf_done(&unsettled);
}

Status schedules_load(Stream *stream, Slice bytes) {
    Schedules *schedules = schedules_of(stream);
    if (!packed_read_u64(&bytes, &schedules->fire_index) ||
        !packed_read_u64(&bytes, &schedules->fire_seq) ||
        !packed_read_i64(&bytes, &schedules->fire_next_ns))
        return ERR_CORRUPT;
    return load_standing(stream, bytes);
}

/* --- firing --- */

static void fire(Stream *stream, uint64_t seq);

static void on_ready(StreamWait *wait) {
    Firing *firing = CONTAINER_OF(wait, Firing, wait);
    Stream *stream = firing->stream;
    uint64_t seq = firing->seq;
    list_remove(&firing->link);
    mem_free(firing);
    fire(stream, seq);
    schedules_arm(stream);
}

static void wait_for(Stream *stream, uint64_t seq, uint64_t wanted_seq) {
    Firing *firing = mem_zalloc(sizeof *firing);
    firing->wait.ready = on_ready;
    firing->stream = stream;
    firing->seq = seq;
    list_push_back(&schedules_of(stream)->firings, &firing->link);
    stream_fetch(stream, wanted_seq, &firing->wait);
}

/* The source's latest message. ERR_NOT_FOUND: the schedule's own bytes serve. */
static Status read_source(Stream *stream, Slice source, StoredMsg *out_msg, uint64_t *out_seq) {
    const SubjectEntry *entry = source.len ? live_entry(stream, source) : NULL;
    if (!entry)
        return ERR_NOT_FOUND;
    *out_seq = entry->last;
    Status status = stream_read(stream, entry->last, out_msg);
    return status == OK || status == ERR_AGAIN ? status : ERR_NOT_FOUND;
}

static void append_fired(Stream *stream, uint64_t seq, int64_t next_ns, Record *message) {
    Buf payload = {0};
    packed_write_u64(&payload, seq);
    packed_write_i64(&payload, next_ns);
    Record fire_record = {.type = RECORD_SCHEDULE_FIRE,
                          .time_ns = stream_clock(stream),
                          .payload = buf_slice(&payload)};
    Ticket nobody = {.kind = TICKET_CALL};
    journal_append(stream->js->journal, &stream->group, &fire_record, &nobody, false);
    Ticket ticket = {.kind = TICKET_FIRED, .pointer = (void *)(uintptr_t)seq};
    message->time_ns = fire_record.time_ns;
    stream_note_flight(stream, message);
    journal_append(stream->js->journal, &stream->group, message, &ticket, false);
    buf_done(&payload);
}

/* Both messages are in memory. False: the schedule makes no sense. */
static bool propose(Stream *stream, const Standing *standing, const StoredMsg *schedule_msg,
                    const ScheduleAsk *ask, const StoredMsg *from) {
    Schedules *schedules = schedules_of(stream);
    const TimeZone *zone = NULL;
    Schedule schedule;
    int64_t next_ns = INT64_MAX;
    if ((ask->has_zone && zones_get(&schedules->zones, ask->zone, &zone)) ||
        schedule_parse(ask->pattern, ask->has_zone, zone, &schedule))
        return false;
    if (schedule.kind != SCHEDULE_AT &&
        schedule_next(&schedule, standing->due_ns, stream_clock(stream), &next_ns))
        return false;
    Buf headers = {0};
    schedule_write_headers(&headers, from->headers, ask, schedule_msg->subject, &schedule, next_ns);
    Record message = {.type = RECORD_PUBLISH,
                      .flags = RECORD_FIRED,
                      .subject = ask->target,
                      .headers = buf_slice(&headers),
                      .payload = from->payload};
    append_fired(stream, standing->seq, next_ns, &message);
    buf_done(&headers);
    return true;
}

static void fire(Stream *stream, uint64_t seq) {
    Standing *standing = standing_of(schedules_of(stream), seq);
    StoredMsg schedule_msg, source_msg;
    ScheduleAsk ask;
    uint64_t source_seq = 0;
    if (!standing)
        return;
    standing->is_under_way = true;
    Status status = stream_read(stream, seq, &schedule_msg);
    if (status == ERR_AGAIN) {
        wait_for(stream, seq, seq);
        return;
    }
    if (status) { /* damaged, which was said */
        standing->due_ns = INT64_MAX;
        standing->is_under_way = false;
        return;
    }
    schedule_ask(schedule_msg.headers, &ask);
    status = read_source(stream, ask.source, &source_msg, &source_seq);
    if (status == ERR_AGAIN) {
        wait_for(stream, seq, source_seq);
    } else if (!propose(stream, standing, &schedule_msg, &ask,
                        status == OK ? &source_msg : &schedule_msg)) {
        standing->due_ns = INT64_MAX;
        standing->is_under_way = false;
    }
    if (status == OK)
        stored_msg_done(&source_msg);
    stored_msg_done(&schedule_msg);
}

void schedules_landed(Stream *stream, void *pointer) {
    Schedules *schedules = schedules_of(stream);
    Standing *standing = standing_of(schedules, (uint64_t)(uintptr_t)pointer);
    if (!standing)
        return;
    standing->is_under_way = false;
    if (standing->due_ns <= stream->parts->clock_ns) /* it was refused: once more, a little later */
        ttl_queue_push(&schedules->queue, stream->parts->clock_ns + RETRY_NS, standing->seq);
}

static int by_seq(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void on_timer(Timer *timer) {
    Schedules *schedules = CONTAINER_OF(timer, Schedules, timer);
    Stream *stream = schedules->stream;
    int64_t now_ns = stream_clock(stream);
    uint64_t due[FIRE_PER_TICK];
    size_t count = 0;

    schedules->timer_due_ns = INT64_MAX;
    TtlQueue *queue = &schedules->queue;
    while (queue->len && queue->heap[0].due_ns <= now_ns && count < FIRE_PER_TICK) {
        uint64_t seq = queue->heap[0].seq;
        ttl_queue_pop(queue);
        Standing *standing = standing_of(schedules, seq);
        if (!standing || standing->is_under_way || standing->due_ns > now_ns)
            continue;
        standing->is_under_way = true;
        due[count++] = seq;
    }
    if (count)
        qsort(due, count, sizeof *due, by_seq);
    for (size_t i = 0; i < count; i++)
        fire(stream, due[i]);
    schedules_arm(stream);
}

void schedules_arm(Stream *stream) {
    Schedules *schedules = stream->parts->schedules;
    if (!schedules || !schedules->queue.len || !stream->parts->is_started)
        return;
    int64_t due_ns = schedules->queue.heap[0].due_ns;
    if (due_ns >= schedules->timer_due_ns)
        return;
    schedules->timer_due_ns = due_ns;
    int64_t wait_ns = due_ns - clock_wall_ns();
    if (wait_ns < TICK_NS)
        wait_ns = TICK_NS;
    if (wait_ns > SLEEP_MAX_NS)
        wait_ns = SLEEP_MAX_NS;
    timer_set(stream->group.home, &schedules->timer, clock_mono_ns() + (uint64_t)wait_ns);
}

void schedules_free(Schedules *schedules) {
    if (!schedules)
        return;
    timer_cancel(schedules->stream->group.home, &schedules->timer);
    for (Link *link; (link = list_pop_front(&schedules->firings));) {
        Firing *firing = CONTAINER_OF(link, Firing, link);
        stream_cancel_wait(&firing->wait);
        mem_free(firing);
    }
    schedules_on_removed_all(schedules->stream);
    zones_done(&schedules->zones);
    mem_free(schedules);
}
