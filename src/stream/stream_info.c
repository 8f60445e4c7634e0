/* Stream info as the API shows it. */
#include <stdlib.h>

#include "base/mem.h"
#include "io/clock.h"
#include "stream/api.h"
#include "stream/copy.h"
#include "stream/stream_parts.h"

enum { LOST_LISTED_MAX = 1000, DELETED_LISTED_MAX = 1 << 20 };

static void write_time(Buf *out, int64_t wall_ns) {
    buf_append_char(out, '"');
    time_write(out, wall_ns);
    buf_append_char(out, '"');
}

static void write_field_u64(Buf *out, const char *name, uint64_t value) {
    buf_printf(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

static uint64_t num_deleted(const StreamState *state) {
    return state->messages ? state->last_seq + 1 - state->first_seq - state->messages : 0;
}

static void write_deleted(Buf *out, Stream *stream) {
    uint64_t count = num_deleted(&stream->state);
    size_t max = count < DELETED_LISTED_MAX ? count : DELETED_LISTED_MAX;
    if (!max)
        return;
    uint64_t *seqs = mem_alloc(max * sizeof *seqs);
    size_t len = stream_deleted(stream, seqs, max);
    buf_append_lit(out, ",\"deleted\":[");
    for (size_t i = 0; i < len; i++) {
        if (i)
            buf_append_char(out, ',');
        buf_append_u64(out, seqs[i]);
    }
    buf_append_char(out, ']');
    mem_free(seqs);
}

/* Which messages the disk no longer gives; how long they were is not known any more. */
static void write_lost(Buf *out, Stream *stream) {
    MsgScan scan;
    uint64_t seq;
    const MsgSlot *slot;
    unsigned listed = 0;

    if (!stream->state.damaged)
        return;
    buf_append_lit(out, ",\"lost\":{\"msgs\":[");
    msg_scan_up(&scan, stream->index, 0);
    while (listed < LOST_LISTED_MAX && (slot = msg_scan_next_up(&scan, &seq))) {
        if (!(slot->size & MSG_DAMAGED))
            continue;
        if (listed++)
            buf_append_char(out, ',');
        buf_append_u64(out, seq);
    }
    buf_append_lit(out, "],\"bytes\":0}");
}

static int by_subject(const void *a, const void *b) {
    const SubjectState *x = a, *y = b;
    return slice_compare(x->subject, y->subject);
}

typedef struct Subjects {
    SubjectState *at;
    size_t len, cap;
    Arena *texts; /* subjects of a run are given for a moment only */
} Subjects;

static void add_subject(void *cookie, const SubjectState *subject) {
    Subjects *subjects = cookie;
    if (subjects->len == subjects->cap) {
        subjects->cap = subjects->cap ? subjects->cap * 2 : 64;
        subjects->at = mem_realloc(subjects->at, subjects->cap * sizeof *subjects->at);
    }
    subjects->at[subjects->len] = *subject;
    subjects->at[subjects->len++].subject = arena_copy(subjects->texts, subject->subject);
}

/* One page of subjects and their counts, in order. */
static void write_subjects(Buf *out, Stream *stream, const StreamInfoOptions *options) {
    Subjects subjects = {.texts = stream->group.home->turn};
    Filters filters = {&options->subjects_filter, 1};
    stream_each_subject(stream, &filters, add_subject, &subjects);
    if (options->offset < subjects.len) {
        qsort(subjects.at, subjects.len, sizeof *subjects.at, by_subject);
        size_t end = subjects.len - options->offset > LIMIT_API_SUBJECTS_PER_PAGE
                         ? options->offset + LIMIT_API_SUBJECTS_PER_PAGE
                         : subjects.len;
        buf_append_lit(out, ",\"subjects\":{");
        for (size_t i = options->offset; i < end; i++) {
            if (i > options->offset)
                buf_append_char(out, ',');
            json_write_string(out, subjects.at[i].subject);
            buf_append_char(out, ':');
            buf_append_u64(out, subjects.at[i].count);
        }
        buf_append_char(out, '}');
    }
    mem_free(subjects.at);
}

static void write_state(Buf *out, Stream *stream, const StreamInfoOptions *options) {
    const StreamState *state = &stream->state;
    buf_printf(out, "{\"messages\":%llu,\"bytes\":%llu,\"first_seq\":%llu,\"first_ts\":",
               (unsigned long long)state->messages, (unsigned long long)state->bytes,
               (unsigned long long)state->first_seq);
    write_time(out, state->first_time_ns);
    write_field_u64(out, "last_seq", state->last_seq);
    buf_append_lit(out, ",\"last_ts\":");
    write_time(out, state->last_time_ns);
    if (state->num_subjects)
        write_field_u64(out, "num_subjects", state->num_subjects);
    if (options && options->subjects_filter.len)
        write_subjects(out, stream, options);
    if (num_deleted(state))
        write_field_u64(out, "num_deleted", num_deleted(state));
    if (options && options->deleted_details)
        write_deleted(out, stream);
    write_lost(out, stream);
    write_field_u64(out, "consumer_count", consumer_set_visible_count(stream->consumers));
    buf_append_char(out, '}');
}

void stream_state_write(Buf *out, Stream *stream) {
    write_state(out, stream, NULL);
}

void stream_info_write(Buf *out, Stream *stream, const StreamInfoOptions *options) {
    const JetStreamOptions *server = stream->js->options;
    if (out->len && out->ptr[out->len - 1] != '{')
        buf_append_char(out, ',');
    buf_append_lit(out, "\"config\":");
    stream_config_write(out, stream->config, !options->is_list);
    buf_append_lit(out, ",\"created\":");
    write_time(out, stream->created_ns);
    buf_append_lit(out, ",\"state\":");
    write_state(out, stream, options);
    if (options->has_domain && server->domain.len) {
        buf_append_lit(out, ",\"domain\":");
        json_write_string(out, server->domain);
    }
    if (options->has_cluster) {
        buf_append_lit(out, ",\"cluster\":{\"leader\":");
        json_write_string(out, server->server_name);
        buf_append_char(out, '}');
    }
    copies_info_write(out, stream);
    buf_append_lit(out, ",\"ts\":");
    write_time(out, clock_wall_ns());
    if (options->chunks)
        buf_printf(out, ",\"hw_chunks\":{\"messages\":%zu,\"bytes\":%llu}",
                   stream->parts->chunks.uses.len, (unsigned long long)stream->parts->chunks.bytes);
}
