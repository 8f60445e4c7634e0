/* A walk carries one damage from worker to worker; on each, a task looks at the places of all
 * messages, a slice in each turn. Walks go one after the other. */
#include "stream/damage.h"

#include "base/log.h"
#include "base/mem.h"
#include "journal/scrubber.h"
#include "stream/api.h"
#include "stream/stream_parts.h"

enum {
    SLOTS_PER_TURN = 4096,
    BYTES_PER_SLOT = 512, /* that are summed up in the time of a slot */
    SEQS_IN_ADVISORY = 100,
    WALKS_MAX = 1000, /* that wait; what is found beyond them is found again in the next pass */
};

typedef struct Walk {
    Mail mail; /* first */
    Link link;
    DamageWatch *watch;
    ScrubDamage damage;
    Worker *here;
    Task task;
    VEC(uint64_t) groups; /* of this worker, still to be looked at */
    uint64_t group, seq;  /* the stream that is looked at, from seq on; 0 = none */
    uint64_t hits;        /* in that stream */
    Buf seqs;             /* the first of them */
    uint64_t messages, streams;
    Place frame; /* that was looked at last, and what was found */
    bool is_frame_hit;
} Walk;

struct DamageWatch {
    JetStream *first;
    List waiting;
    Walk *under_way;
};

static void start_next(DamageWatch *watch);

static void walk_free(Walk *walk) {
    task_cancel(&walk->task);
    shared_unref(walk->damage.content);
    vec_done(&walk->groups);
    buf_done(&walk->seqs);
    mem_free(walk);
}

/* ---- on a home ---- */

static void advise(Walk *walk, Stream *stream) {
    const ScrubDamage *damage = &walk->damage;
    Buf tail = {0}, fields = {0};
    LOG_ERR("messages damaged on disk",
            "account=%.*s stream=%.*s messages=%llu segment=%llu offset=%llu",
            SLICE_ARG(account_name(stream->account)), SLICE_ARG(stream_name(stream)),
            (unsigned long long)walk->hits, (unsigned long long)damage->file.number,
            (unsigned long long)damage->offset);
    buf_append_lit(&tail, "ADVISORY.STREAM.DAMAGED.");
    buf_append(&tail, stream_name(stream));
    if (api_advisory_is_wanted(stream->js, stream->account, buf_slice(&tail))) {
        buf_append_lit(&fields, ",\"stream\":");
        json_write_string(&fields, stream_name(stream));
        buf_printf(&fields,
                   ",\"segment\":%llu,\"offset\":%llu,\"bytes\":%llu,\"messages\":%llu,"
                   "\"stream_seqs\":[%.*s]",
                   (unsigned long long)damage->file.number, (unsigned long long)damage->offset,
                   (unsigned long long)damage->bytes, (unsigned long long)walk->hits,
                   SLICE_ARG(buf_slice(&walk->seqs)));
        api_advisory(stream->js, stream->account, buf_slice(&tail), LIT("hw_stream_damaged"),
                     buf_slice(&fields));
    }
    buf_done(&tail);
    buf_done(&fields);
}

static void mark(Walk *walk, Stream *stream, const uint64_t *seqs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!stream_mark_damaged(stream, seqs[i]))
            continue;
        if (walk->hits++ < SEQS_IN_ADVISORY)
            buf_printf(&walk->seqs, "%s%llu", walk->seqs.len ? "," : "",
                       (unsigned long long)seqs[i]);
    }
}

static bool is_hit_at(const Walk *walk, Place place, size_t bytes) {
    return place_segment(place) == walk->damage.file.number &&
           scrub_damage_hits(&walk->damage, place, bytes);
}

/* Either of the two records; of a chunk all who refer to it shall know. */
static bool is_ref_hit(const Walk *walk, Stream *stream, uint64_t seq, const MsgSlot *slot,
                       Slice subject) {
    ChunkMsg msg;
    if (!chunk_msg_of(stream, seq, slot, subject, &msg))
        return true;
    if (is_hit_at(walk, msg.place, msg.bytes))
        return true;
    Place place = chunk_state(stream->js->chunks, msg.chunk).place;
    if (!is_hit_at(walk, place, record_chunk_bytes(chunk_len(msg.chunk))))
        return false;
    chunk_mark_damaged(stream->js->chunks, msg.chunk, place);
    return true;
}

/* One that is hit is so for all of its records. */
static bool is_hit_in_frame(Walk *walk, Place frame) {
    if (walk->frame != frame)
        walk->is_frame_hit = is_hit_at(walk, frame, 0);
    walk->frame = frame;
    return walk->is_frame_hit;
}

static bool is_hit(Walk *walk, Stream *stream, uint64_t seq, const MsgSlot *slot) {
    if (slot->place & MSG_IN_HEAP || slot->size & (MSG_DAMAGED | MSG_UNSEEN) || !slot->subject)
        return false;
    if (!(slot->place & MSG_REF) && place_segment(slot->place) != walk->damage.file.number)
        return false;
    if (slot->place & MSG_FRAME)
        return is_hit_in_frame(walk, place_of_frame(slot->place));
    Slice subject =
        subject_entry_text(subject_index_entry(&stream->parts->subjects, slot->subject));
    if (slot->place & MSG_REF)
        return is_ref_hit(walk, stream, seq, slot, subject);
    return is_hit_at(walk, slot->place, stream_record_bytes(subject.len, slot->size));
}

/* In slots. A record of the segment may have to be summed up. */
static unsigned cost_of(const Walk *walk, const MsgSlot *slot) {
    bool is_near = place_segment(slot->place & ~MSG_REF) == walk->damage.file.number;
    return is_near ? 1 + (slot->size & MSG_LEN_MASK) / BYTES_PER_SLOT : 1;
}

/* The index must not change while it is walked: what is hit is marked behind it. True: all of the
 * stream was looked at. */
static bool look_at(Walk *walk, Stream *stream, unsigned *budget) {
    VEC(uint64_t) hits = {0};
    MsgScan scan;
    const MsgSlot *slot;
    uint64_t seq;
    msg_scan_up(&scan, stream->index, walk->seq);
    while (*budget && (slot = msg_scan_next_up(&scan, &seq))) {
        unsigned cost = cost_of(walk, slot);
        *budget -= cost < *budget ? cost : *budget;
        walk->seq = seq + 1;
        if (is_hit(walk, stream, seq, slot))
            vec_push(&hits, seq);
    }
    mark(walk, stream, hits.at, hits.len);
    vec_done(&hits);
    return *budget > 0;
}

static void end_stream(Walk *walk, Stream *stream) {
    if (stream && walk->hits) {
        advise(walk, stream);
        walk->messages += walk->hits;
        walk->streams++;
    }
    walk->group = walk->hits = 0;
    buf_clear(&walk->seqs);
}

static void arrive(Worker *here, Mail *mail);

static void look_on(Task *task) {
    Walk *walk = CONTAINER_OF(task, Walk, task);
    Worker *here = walk->here;
    unsigned budget = SLOTS_PER_TURN;
    while (walk->group || walk->groups.len) {
        if (!walk->group) {
            walk->group = vec_pop(&walk->groups);
            walk->seq = 1;
            budget -= budget > 0;
        }
        Stream *stream = map64_get(&here->jetstream->streams, walk->group);
        bool is_done = !stream || stream->group.is_memory || look_at(walk, stream, &budget);
        if (is_done)
            end_stream(walk, stream);
        if (budget == 0) {
            worker_ready(here, task);
            return;
        }
    }
    Worker *next = here->index + 1 < here->count ? here->all[here->index + 1] : here->all[0];
    walk->here = NULL;
    walk->mail.arrive = arrive;
    worker_post(here, next, &walk->mail);
}

/* Its stream writes it anew at the next checkpoint. */
static void take_run_damage(Walk *walk, Worker *here) {
    Stream *stream = map64_get(&here->jetstream->streams, walk->damage.file.group);
    if (stream && stream->group.run == walk->damage.file.number)
        stream->group.wants_run = true;
}

static void begin_here(Walk *walk, Worker *here) {
    uint64_t group;
    void *value;
    walk->here = here;
    for (size_t at = 0; map64_next(&here->jetstream->streams, &at, &group, &value);)
        vec_push(&walk->groups, group);
    task_init(&walk->task, look_on);
    worker_ready(here, &walk->task);
}

/* ---- from worker to worker ---- */

static void on_home(Worker *here, Mail *mail) {
    Walk *walk = (Walk *)mail;
    if (walk->damage.file.kind == SCRUB_SEGMENT) {
        begin_here(walk, here);
        return;
    }
    take_run_damage(walk, here);
    walk->mail.arrive = arrive;
    worker_post(here, here->all[0], &walk->mail);
}

static void end_walk(Walk *walk) {
    DamageWatch *watch = walk->watch;
    const ScrubDamage *damage = &walk->damage;
    JournalStore *store = watch->first->store;
    bool is_segment = damage->file.kind == SCRUB_SEGMENT;
    Place end = place_of(damage->file.number, damage->offset + damage->bytes);
    /* What is needed of the log that is no message, and what was marked just now, goes into
     * checkpoints while it is known. */
    if (!is_segment || walk->messages || end > log_floor(journal_log(watch->first->journal)))
        journal_request_checkpoints(store);
    if (is_segment)
        LOG_WARNING("damage looked at", "segment=%llu offset=%llu streams=%llu messages=%llu",
                    (unsigned long long)damage->file.number, (unsigned long long)damage->offset,
                    (unsigned long long)walk->streams, (unsigned long long)walk->messages);
    watch->under_way = NULL;
    walk_free(walk);
    start_next(watch);
}

static void arrive(Worker *here, Mail *mail) {
    if (here->index == 0)
        end_walk((Walk *)mail);
    else
        on_home(here, mail);
}

static void start_next(DamageWatch *watch) {
    Worker *home = watch->first->home;
    Link *link = list_pop_front(&watch->waiting);
    if (!link)
        return;
    Walk *walk = CONTAINER_OF(link, Walk, link);
    watch->under_way = walk;
    walk->mail.arrive = on_home;
    bool is_segment = walk->damage.file.kind == SCRUB_SEGMENT;
    Worker *to = is_segment ? home : jetstream_home_of(home, (uint32_t)walk->damage.file.group);
    worker_post(home, to, &walk->mail);
}

static size_t count_waiting(const DamageWatch *watch) {
    size_t n = 0;
    LIST_FOR_EACH(link, &watch->waiting) {
        n++;
    }
    return n;
}

static void on_damage(void *cookie, const ScrubDamage *damage) {
    DamageWatch *watch = cookie;
    if (count_waiting(watch) >= WALKS_MAX)
        return;
    Walk *walk = mem_zalloc(sizeof *walk);
    walk->watch = watch;
    walk->damage = *damage;
    if (damage->content)
        (void)shared_ref(damage->content);
    task_init(&walk->task, look_on);
    link_init(&walk->link);
    list_push_back(&watch->waiting, &walk->link);
    if (!watch->under_way)
        start_next(watch);
}

DamageWatch *damage_watch_new(JetStream *first) {
    DamageWatch *watch = mem_zalloc(sizeof *watch);
    watch->first = first;
    list_init(&watch->waiting);
    journal_on_damage(first->store, on_damage, watch);
    return watch;
}

void damage_watch_free(DamageWatch *watch) {
    if (!watch)
        return;
    if (watch->under_way)
        walk_free(watch->under_way);
    for (Link *link; (link = list_pop_front(&watch->waiting));)
        walk_free(CONTAINER_OF(link, Walk, link));
    mem_free(watch);
}
