#include "stream/retained.h"

#include "stream/packed.h"
#include "stream/stream_parts.h"

void retained_on_removed(Stream *stream, uint64_t seq, uint64_t first_of_subject,
                         bool is_by_subject_limit) {
    RetainedMarks *marks = &stream->parts->retained;
    if (!is_by_subject_limit)
        marks->has_others = true;
    if (first_of_subject == seq)
        return;
    if (!marks->hole_min || seq < marks->hole_min)
        marks->hole_min = seq;
    if (seq > marks->hole_max)
        marks->hole_max = seq;
}

void retained_on_config(Stream *stream) {
    RetainedMarks *marks = &stream->parts->retained;
    int64_t max = stream->config->max_msgs_per_subject;
    if (max > 0 && (!marks->subject_max || (uint64_t)max < marks->subject_max))
        marks->subject_max = (uint64_t)max;
}

/* Whether each sequence above from, up to upto, is there. */
static bool is_whole(const Stream *stream, uint64_t from, uint64_t upto) {
    uint64_t live = msg_index_count_from(stream->index, from + 1) -
                    msg_index_count_from(stream->index, upto + 1);
    return live == upto - from;
}

static uint64_t before_first(const Stream *stream) {
    return stream->config->first_seq ? stream->config->first_seq - 1 : 0;
}

static bool never_trimmed(const RetainedMarks *marks, uint64_t count) {
    return !marks->has_others && (!marks->subject_max || count < marks->subject_max);
}

bool retained_is_exact(Stream *stream, uint64_t found, uint64_t upto, uint64_t count) {
    const RetainedMarks *marks = &stream->parts->retained;
    if (found)
        return !marks->hole_max || marks->hole_max <= found || marks->hole_min > upto ||
               is_whole(stream, found, upto);
    return never_trimmed(marks, count) || upto <= before_first(stream) ||
           is_whole(stream, before_first(stream), upto);
}

bool retained_has_all_subjects(Stream *stream, uint64_t upto) {
    return !stream->parts->retained.has_others || upto <= before_first(stream) ||
           is_whole(stream, before_first(stream), upto);
}

void retained_save(Stream *stream, Buf *out) {
    const RetainedMarks *marks = &stream->parts->retained;
    packed_write_u64(out, marks->hole_min);
    packed_write_u64(out, marks->hole_max);
    packed_write_u64(out, marks->has_others);
    packed_write_u64(out, marks->subject_max);
}

Status retained_load(Stream *stream, Slice bytes) {
    RetainedMarks marks = {0};
    uint64_t has_others;
    if (!packed_read_u64(&bytes, &marks.hole_min) || !packed_read_u64(&bytes, &marks.hole_max) ||
        !packed_read_u64(&bytes, &has_others) || !packed_read_u64(&bytes, &marks.subject_max))
        return ERR_CORRUPT;
    marks.has_others = has_others != 0;
    stream->parts->retained = marks;
    return OK;
}
