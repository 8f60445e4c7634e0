/* Entries that the disk no longer gives, in recovery: their messages take their sequences all the
 * same, as damaged ones, so that what comes behind keeps its own. */
#include "base/log.h"
#include "io/clock.h"
#include "proto/subject.h"
#include "stream/catalogue.h"
#include "stream/copy.h"
#include "stream/stream_batch.h"
#include "stream/stream_parts.h"

/* The subject is believed when the stream has it: then what it would have pushed out goes, and the
 * older value of a key is not taken for the newest. */
static SubjectId known_subject(Stream *stream, const Record *record, Place place) {
    if (!place || !record->subject.len || !subject_is_literal(record->subject) ||
        record->headers.len + record->payload.len > MSG_LEN_MASK)
        return 0;
    SubjectIndex *subjects = &stream->parts->subjects;
    SubjectId id = subject_index_find(subjects, record->subject);
    return id && subject_index_entry(subjects, id)->count
               ? subject_index_add(subjects, record->subject)
               : 0;
}

static void add_damaged(Stream *stream, const Record *record, Place place) {
    StreamState *state = &stream->state;
    SubjectId id = known_subject(stream, record, place);
    uint64_t seq = ++state->last_seq;
    uint32_t size = MSG_DAMAGED | MSG_UNSEEN;
    Slice subject = {0};
    MsgSlot *slot = msg_index_add(stream->index, seq);
    int64_t time_ns =
        state->last_time_ns > stream->created_ns ? state->last_time_ns : stream->created_ns;

    if (id) {
        subject = record->subject;
        size = (uint32_t)(record->headers.len + record->payload.len) | MSG_DAMAGED;
        size |= record->headers.len ? MSG_HAS_HEADERS : 0;
        slot->place = place;
        log_add_live(journal_log(stream->js->journal), place,
                     stream_record_bytes(subject.len, size));
    }
    slot->time_ns = time_ns;
    slot->size = size;
    if (id)
        stream_link(stream, id, seq, slot);
    stream_count_live(stream, subject, size, 1);
    counters_on_lost(stream, subject);
    state->damaged++;
    state->last_time_ns = time_ns;
    if (state->messages == 1) {
        state->first_seq = seq;
        state->first_time_ns = time_ns;
    }
    stream_enforce_limits(stream, id);
}

/* The catalogue has it, too. */
static void take_config(Stream *stream, const Record *record) {
    const JetStream *first = stream->js->home->all[0]->jetstream;
    const StreamConfig *config =
        catalogue_config_of(first->catalogue, account_name(stream->account), stream_name(stream));
    Buf json = {0};
    if (!config || stream_config_equal(config, stream->config))
        return;
    stream_config_write(&json, config, false);
    Record draft = {.type = RECORD_STREAM_CONFIG,
                    .index = record->index,
                    .time_ns = stream->parts->clock_ns,
                    .payload = buf_slice(&json)};
    stream_group_ops.apply(&stream->group, &draft, 0, NULL, NULL);
    buf_done(&json);
}

/* Its time is believed when it is possible: what was due by then is due now in any case. */
static void expire(Stream *stream, const Record *record) {
    if (record->time_ns >= stream->parts->clock_ns && record->time_ns <= clock_wall_ns())
        stream_group_ops.apply(&stream->group, record, 0, NULL, NULL);
}

static void tell(const Stream *stream, const Record *record, uint64_t first) {
    LOG_ERR("entry lost by the disk", "stream=%.*s index=%llu type=%d first_seq=%llu messages=%llu",
            SLICE_ARG(stream_name(stream)), (unsigned long long)record->index, (int)record->type,
            (unsigned long long)first, (unsigned long long)(stream->state.last_seq + 1 - first));
}

static void add_members(Stream *stream, const Record *batch, Place place) {
    Record member;
    Place member_place;
    for (size_t at = 0; batch_next_member(batch, place, &at, &member, &member_place);)
        add_damaged(stream, &member, member_place);
}

void stream_lost_batch(Stream *stream, const Record *batch, Place place) {
    uint64_t first = stream->state.last_seq + 1;
    stream->parts->is_replaying = true;
    if (stream->parts->unseen)
        stream_settle_places(stream);
    add_members(stream, batch, place);
    stream->parts->is_replaying = false;
    tell(stream, batch, first);
}

void stream_lost(Group *group, const Record *record, Place place) {
    Stream *stream = (Stream *)group;
    uint64_t first = stream->state.last_seq + 1;

    stream->parts->is_replaying = true;
    if (stream->parts->unseen)
        stream_settle_places(stream);
    switch ((int)record->type) {
    case RECORD_BATCH:
        add_members(stream, record, place);
        break;
    case RECORD_COPY: /* of mirrors and restored streams: what follows brings its own sequence */
        if (record->flags & COPY_OF_SOURCE)
            add_damaged(stream, record, 0);
        break;
    case 0: /* most likely a message */
    case RECORD_PUBLISH:
        add_damaged(stream, record, place);
        break;
    case RECORD_STREAM_CONFIG:
        take_config(stream, record);
        break;
    case RECORD_EXPIRE:
        if (place)
            expire(stream, record);
        break;
    case RECORD_CHUNK: /* its message, the next entry, is damaged */
        stream_lost_chunk(stream, record, place);
        break;
    default:
        break;
    }
    stream->parts->chunks.lost_index = record->index;
    stream->parts->is_replaying = false;
    tell(stream, record, first);
}
