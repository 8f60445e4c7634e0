/* The stream's part of a checkpoint (docs/STORAGE.md). All numbers packed (packed.h):
 *   version | config JSON (len, bytes) | created | clock | first_seq | last_seq | last_time | last
 * msg id (len, bytes) live messages: count, then runs: gap to the previous sequence, length, and
 * per message the distance of its place to the previous one; distance 0: the message itself
 * follows: time, subject, headers, payload (markers, which are no records) duplicates
 * (dup_window.h) | consumers (len, bytes) | sections: count, then tag and bytes of each. Subjects,
 * times and sizes come with the records, as recovery reads the log anyway. */
#include "base/log.h"
#include "stream/packed.h"
#include "stream/stream_parts.h"

enum { STREAM_STATE_VERSION = 2 };

/* What a feature keeps beside the messages. A tag is never used again for something else; a section
 * that is not there leaves the feature as a new stream has it. */
typedef struct Section {
    uint32_t tag;
    void (*save)(Stream *stream, Buf *out); /* nothing appended: the section is left out */
    Status (*load)(Stream *stream, Slice bytes);
} Section;

static const Section sections[] = {
    {0, NULL, NULL},
};
enum { SECTION_COUNT = sizeof sections / sizeof sections[0] };

static void save_sections(Stream *stream, Buf *out) {
    Buf all = {0}, bytes = {0};
    uint64_t count = 0;
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        buf_clear(&bytes);
        if (sections[i].save)
            sections[i].save(stream, &bytes);
        if (!bytes.len)
            continue;
        count++;
        packed_write_u64(&all, sections[i].tag);
        packed_write_slice(&all, buf_slice(&bytes));
    }
    packed_write_u64(out, count);
    buf_append(out, buf_slice(&all));
    buf_done(&bytes);
    buf_done(&all);
}

static Status load_sections(Stream *stream, Slice *from) {
    uint64_t count, tag;
    Slice bytes;
    if (!packed_read_u64(from, &count))
        return ERR_CORRUPT;
    while (count--) {
        if (!packed_read_u64(from, &tag) || !packed_read_slice(from, &bytes))
            return ERR_CORRUPT;
        Status status = ERR_VERSION;
        for (size_t i = 0; i < SECTION_COUNT; i++)
            if (sections[i].load && sections[i].tag == tag)
                status = sections[i].load(stream, bytes);
        if (status)
            return status;
    }
    return OK;
}

static void save_one(const Stream *stream, const MsgSlot *slot, Place *last_place, Buf *out) {
    if (!(slot->place & MSG_IN_HEAP)) {
        packed_write_u64(out, slot->place - *last_place);
        *last_place = slot->place;
        return;
    }
    StoredMsg msg;
    heap_msg_get(slot_heap(slot), &msg);
    packed_write_u64(out, 0);
    packed_write_i64(out, slot->time_ns);
    packed_write_slice(out, msg.subject);
    packed_write_slice(out, msg.headers);
    packed_write_slice(out, msg.payload);
    (void)stream;
}

/* First sequence after the run of live ones that begins at seq. */
static uint64_t run_end(const Stream *stream, uint64_t seq) {
    MsgScan scan;
    uint64_t at;
    msg_scan_up(&scan, stream->index, seq);
    while (msg_scan_next_up(&scan, &at) && at == seq)
        seq++;
    return seq;
}

static void save_messages(const Stream *stream, Buf *out) {
    MsgScan scan;
    uint64_t seq, end = 0;
    const MsgSlot *slot;
    Place last_place = 0;

    packed_write_u64(out, stream->state.messages);
    msg_scan_up(&scan, stream->index, 0);
    while ((slot = msg_scan_next_up(&scan, &seq))) {
        if (seq >= end) {
            packed_write_u64(out, seq - end);
            end = run_end(stream, seq);
            packed_write_u64(out, end - seq);
        }
        save_one(stream, slot, &last_place, out);
    }
}

void stream_save(Group *group, Buf *out) {
    Stream *stream = (Stream *)group;
    StreamParts *parts = stream->parts;
    Buf json = {0}, consumers = {0};

    stream_config_write(&json, stream->config, false);
    consumer_set_save(stream->consumers, &consumers);
    packed_write_u64(out, STREAM_STATE_VERSION);
    packed_write_slice(out, buf_slice(&json));
    packed_write_i64(out, stream->created_ns);
    packed_write_i64(out, parts->clock_ns);
    packed_write_u64(out, stream->state.first_seq);
    packed_write_u64(out, stream->state.last_seq);
    packed_write_i64(out, stream->state.last_time_ns);
    packed_write_slice(out, buf_slice(&parts->last_msg_id));
    save_messages(stream, out);
    dup_window_save(&parts->duplicates, out);
    packed_write_slice(out, buf_slice(&consumers));
    save_sections(stream, out);
    buf_done(&json);
    buf_done(&consumers);
    stream_age_drops(stream);
}

/* ---- load ---- */

static void load_in_heap(Stream *stream, uint64_t seq, int64_t time_ns, Slice subject,
                         Slice headers, Slice payload) {
    StreamParts *parts = stream->parts;
    PubHeaders ask;
    uint32_t size = (uint32_t)(headers.len + payload.len) | (headers.len ? MSG_HAS_HEADERS : 0);
    if (headers.len)
        pub_headers_parse(headers, &ask);
    int64_t due_ns = stream_ttl_flags(headers.len ? &ask : NULL, time_ns, &size);

    SubjectId id = subject_index_add(&parts->subjects, subject);
    MsgSlot *slot = msg_index_add(stream->index, seq);
    slot->place = heap_place(heap_msg_new(subject, headers, payload));
    slot->time_ns = time_ns;
    slot->size = size;
    subject_chain_add(stream->index, &parts->subjects, id, seq, slot);
    if (subject_index_entry(&parts->subjects, id)->count == 1)
        stream->state.num_subjects++;
    if (due_ns != INT64_MAX) {
        ttl_queue_push(&parts->ttls, due_ns, seq);
        parts->ttl_live++;
    }
    stream_count_live(stream, subject, size, 1);
}

static Status load_one(Stream *stream, uint64_t seq, Slice *from, Place *last_place) {
    uint64_t distance;
    if (!packed_read_u64(from, &distance))
        return ERR_CORRUPT;
    if (distance) {
        if (distance > MSG_IN_HEAP - 1 - *last_place)
            return ERR_CORRUPT;
        *last_place += distance;
        MsgSlot *slot = msg_index_add(stream->index, seq);
        slot->place = *last_place;
        slot->size = MSG_UNSEEN;
        stream->parts->unseen++;
        stream_count_live(stream, (Slice){0}, slot->size, 1);
        return OK;
    }
    int64_t time_ns;
    Slice subject, headers, payload;
    if (!packed_read_i64(from, &time_ns) || !packed_read_slice(from, &subject) ||
        !packed_read_slice(from, &headers) || !packed_read_slice(from, &payload) ||
        subject.len > UINT16_MAX || headers.len + payload.len > MSG_LEN_MASK)
        return ERR_CORRUPT;
    load_in_heap(stream, seq, time_ns, subject, headers, payload);
    return OK;
}

static Status load_messages(Stream *stream, Slice *from) {
    uint64_t count, gap, len, seq = 0;
    Place last_place = 0;

    if (!packed_read_u64(from, &count))
        return ERR_CORRUPT;
    while (count) {
        if (!packed_read_u64(from, &gap) || !packed_read_u64(from, &len) || len == 0 ||
            len > count || gap > stream->state.last_seq - seq || (seq += gap) == 0 ||
            len > stream->state.last_seq + 1 - seq)
            return ERR_CORRUPT;
        count -= len;
        for (; len; len--, seq++) {
            Status status = load_one(stream, seq, from, &last_place);
            if (status)
                return status;
        }
        if (count && seq > stream->state.last_seq)
            return ERR_CORRUPT;
    }
    return OK;
}

static Status load_config(Stream *stream, Slice json) {
    StreamConfig *config;
    if (stream_config_parse_stored(json, &config))
        return ERR_CORRUPT;
    JetStreamUsage *usage = stream->parts->usage;
    uint64_t *reserved =
        stream_is_file(stream) ? &usage->reserved_storage : &usage->reserved_memory;
    *reserved += stream_config_reserves(config);
    *reserved -= stream_config_reserves(stream->config);
    stream_config_free(stream->config);
    stream->config = config;
    stream_config_took_effect(stream);
    return OK;
}

Status stream_load(Group *group, Slice state) {
    Stream *stream = (Stream *)group;
    StreamParts *parts = stream->parts;
    uint64_t version;
    Slice json, last_msg_id, consumers;

    if (!packed_read_u64(&state, &version))
        return ERR_CORRUPT;
    if (version == 0 || version > STREAM_STATE_VERSION)
        return ERR_VERSION;
    if (!packed_read_slice(&state, &json) || !packed_read_i64(&state, &stream->created_ns) ||
        !packed_read_i64(&state, &parts->clock_ns) ||
        !packed_read_u64(&state, &stream->state.first_seq) ||
        !packed_read_u64(&state, &stream->state.last_seq) ||
        !packed_read_i64(&state, &stream->state.last_time_ns) ||
        !packed_read_slice(&state, &last_msg_id))
        return ERR_CORRUPT;
    Status status = load_config(stream, json);
    if (status == OK)
        status = load_messages(stream, &state);
    if (status == OK)
        status = dup_window_load(&parts->duplicates, &state);
    if (status == OK && !packed_read_slice(&state, &consumers))
        status = ERR_CORRUPT;
    if (status)
        return status;
    buf_clear(&parts->last_msg_id);
    buf_append(&parts->last_msg_id, last_msg_id);
    parts->place_seq = 0;
    status = consumer_set_load(stream->consumers, consumers);
    return status || version == 1 ? status : load_sections(stream, &state);
}

/* ---- places ---- */

static void fill_slot(Stream *stream, uint64_t seq, MsgSlot *slot, const Record *record) {
    StreamParts *parts = stream->parts;
    PubHeaders ask;
    uint32_t size = (uint32_t)(record->headers.len + record->payload.len);
    if (record->headers.len) {
        pub_headers_parse(record->headers, &ask);
        size |= MSG_HAS_HEADERS;
    }
    int64_t due_ns = stream_ttl_flags(record->headers.len ? &ask : NULL, record->time_ns, &size);

    stream_count_live(stream, (Slice){0}, slot->size, -1);
    slot->size = size;
    slot->time_ns = record->time_ns;
    stream_count_live(stream, record->subject, size, 1);
    SubjectId id = subject_index_add(&parts->subjects, record->subject);
    subject_chain_add(stream->index, &parts->subjects, id, seq, slot);
    if (subject_index_entry(&parts->subjects, id)->count == 1)
        stream->state.num_subjects++;
    if (due_ns != INT64_MAX) {
        ttl_queue_push(&parts->ttls, due_ns, seq);
        parts->ttl_live++;
    }
    log_add_live(journal_log(stream->js->journal), slot->place,
                 stream_record_bytes(record->subject.len, size));
    parts->unseen--;
}

/* Bytes from the disk: what does not fit leaves the message unseen, which is damage. */
static bool is_plausible(const Stream *stream, uint64_t seq, const Record *record) {
    SubjectIndex *subjects = &stream->parts->subjects;
    if (record->subject.len == 0 || record->subject.len > UINT16_MAX ||
        record->headers.len + record->payload.len > MSG_LEN_MASK)
        return false;
    SubjectId id = subject_index_find(subjects, record->subject);
    const SubjectEntry *entry = id ? subject_index_entry(subjects, id) : NULL;
    return !entry || !entry->count || entry->last < seq;
}

/* Records come in the order of the log, which is that of sequences. */
void stream_place(Group *group, const Record *record, Place place) {
    Stream *stream = (Stream *)group;
    StreamParts *parts = stream->parts;
    uint64_t seq;
    if (record->type != RECORD_PUBLISH || !parts->unseen)
        return;
    while ((seq = msg_index_next(stream->index, parts->place_seq))) {
        parts->place_seq = seq;
        MsgSlot *slot = msg_index_get(stream->index, seq);
        if (slot->size & MSG_UNSEEN && slot->place >= place) {
            if (slot->place == place && is_plausible(stream, seq, record))
                fill_slot(stream, seq, slot, record);
            return;
        }
        parts->place_seq = seq + 1;
    }
}

void stream_settle_places(Stream *stream) {
    StreamParts *parts = stream->parts;
    StreamState *state = &stream->state;
    MsgScan scan;
    uint64_t seq, first_damaged = 0;
    MsgSlot *slot;
    int64_t time_ns = stream->created_ns;

    if (parts->unseen) {
        msg_scan_up(&scan, stream->index, 0);
        while ((slot = msg_scan_next_up(&scan, &seq))) {
            if (slot->size & MSG_UNSEEN && !(slot->size & MSG_DAMAGED)) {
                slot->size |= MSG_DAMAGED;
                slot->time_ns = time_ns;
                state->damaged++;
                first_damaged = first_damaged ? first_damaged : seq;
            }
            time_ns = slot->time_ns;
        }
        LOG_ERR("messages lost by the disk", "stream=%.*s messages=%llu first_seq=%llu",
                SLICE_ARG(stream_name(stream)), (unsigned long long)parts->unseen,
                (unsigned long long)first_damaged);
        parts->unseen = 0;
    }
    slot = state->messages ? msg_index_get(stream->index, state->first_seq) : NULL;
    state->first_time_ns = slot ? slot->time_ns : TIME_ZERO;
}
