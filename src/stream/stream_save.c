/* The stream's part of a checkpoint (docs/STORAGE.md). All numbers packed (packed.h):
 *   version | config JSON (len, bytes) | created | clock | first_seq | last_seq | last_time | last
 *   msg id (len, bytes) | messages (stream_run.c, then stream_messages.c; version 4 without what
 *   was moved, version 3 without the former; before only their places, stream_places.c) |
 * duplicates (dup_window.h) | consumers (len, bytes) | sections: count, then tag and bytes of each
 */
#include "stream/copy.h"
#include "stream/packed.h"
#include "stream/retained.h"
#include "stream/stream_parts.h"
#include "stream/stream_touch.h"
#include "stream/stream_txn.h"

enum { STREAM_STATE_VERSION = 5 };

/* What a feature keeps beside the messages. A tag is never used again for something else; a section
 * that is not there leaves the feature as a new stream has it. */
typedef struct Section {
    uint32_t tag;
    void (*save)(Stream *stream, Buf *out); /* nothing appended: the section is left out */
    Status (*load)(Stream *stream, Slice bytes);
} Section;

enum { COPY_SECTION = 2 };
static const Section sections[] = {
    {3, counters_save, counters_load},   {COPY_SECTION, copies_save, copies_load},
    {20, retained_save, retained_load},  {21, stream_touch_save, stream_touch_load},
    {22, leases_save, leases_load},      {30, stream_txn_save, stream_txn_load},
    {4, schedules_save, schedules_load}, {40, stream_chunks_save, stream_chunks_load},
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

static void save_head(Stream *stream, const MessagesForm *form, Buf *out) {
    StreamParts *parts = stream->parts;
    Buf json = {0};

    stream_config_write(&json, stream->config, false);
    packed_write_u64(out, STREAM_STATE_VERSION);
    packed_write_slice(out, buf_slice(&json));
    packed_write_i64(out, stream->created_ns);
    packed_write_i64(out, parts->clock_ns);
    packed_write_u64(out, stream->state.first_seq);
    packed_write_u64(out, stream->state.last_seq);
    packed_write_i64(out, stream->state.last_time_ns);
    packed_write_slice(out, buf_slice(&parts->last_msg_id));
    stream_save_run(stream, form, out);
    stream_save_messages(stream, form, out);
    dup_window_save(&parts->duplicates, out);
    buf_done(&json);
}

static void save_tail(Stream *stream, const MessagesForm *form, Buf *out) {
    save_sections(stream, out);
    stream_age_drops(stream);
    stream->group.run = form->generation;
}

/* As it stands, on its run or without one. */
static MessagesForm form_now(const Stream *stream) {
    return (MessagesForm){.generation = stream->parts->run_generation,
                          .from = msg_index_base_end(stream->index)};
}

void stream_save(Group *group, Buf *out) {
    Stream *stream = (Stream *)group;
    MessagesForm form = form_now(stream);
    Buf consumers = {0};
    save_head(stream, &form, out);
    consumer_set_save(stream->consumers, &consumers);
    packed_write_slice(out, buf_slice(&consumers));
    buf_done(&consumers);
    save_tail(stream, &form, out);
}

void stream_save_begin(Stream *stream, uint64_t generation, uint64_t cut, Buf *out, Buf *out_tail) {
    MessagesForm form = {.generation = generation, .from = cut, .is_frozen = true};
    if (!generation)
        form = form_now(stream);
    save_head(stream, &form, out);
    save_tail(stream, &form, out_tail);
    consumer_set_save_begin(stream->consumers);
}

void stream_save_end(Stream *stream, Buf *out, const Buf *tail) {
    Buf consumers = {0};
    consumer_set_save_end(stream->consumers, &consumers);
    packed_write_slice(out, buf_slice(&consumers));
    buf_append(out, buf_slice(tail));
    buf_done(&consumers);
}

/* ---- load ---- */

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

static Status load_messages(Stream *stream, uint64_t version, Slice *from) {
    if (version < 3)
        return stream_load_places(stream, from);
    return version == 3 ? stream_load_messages(stream, from)
                        : stream_load_run(stream, version >= 5, from);
}

bool stream_state_run(Slice state, uint64_t *out_generation) {
    uint64_t version, number;
    int64_t time_ns;
    Slice text;
    return packed_read_u64(&state, &version) && version > 3 && version <= STREAM_STATE_VERSION &&
           packed_read_slice(&state, &text) && packed_read_i64(&state, &time_ns) &&
           packed_read_i64(&state, &time_ns) && packed_read_u64(&state, &number) &&
           packed_read_u64(&state, &number) && packed_read_i64(&state, &time_ns) &&
           packed_read_slice(&state, &text) && packed_read_u64(&state, out_generation);
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
        status = load_messages(stream, version, &state);
    if (status == OK)
        status = dup_window_load(&parts->duplicates, &state);
    if (status == OK && !packed_read_slice(&state, &consumers))
        status = ERR_CORRUPT;
    if (status)
        return status;
    buf_clear(&parts->last_msg_id);
    buf_append(&parts->last_msg_id, last_msg_id);
    /* What was before is not known, unless its section says it. */
    parts->retained = (RetainedMarks){1, stream->state.last_seq, true, 1};
    group->needs_log = parts->unseen > 0;
    status = consumer_set_load(stream->consumers, consumers);
    return status || version == 1 ? status : load_sections(stream, &state);
}
