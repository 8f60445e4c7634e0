/* What the items of an archive become. */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "io/clock.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "stream/restore_private.h"
#include "stream/stream_parts.h"

typedef struct State {
    uint64_t first_seq, last_seq;
    bool has_last_time;
    int64_t last_time_ns;
} State;

static const JsonField state_rows[] = {
    JSON_ROW(State, first_seq, "first_seq", JSON_UINT),
    JSON_ROW(State, last_seq, "last_seq", JSON_UINT),
    JSON_TIME_ROW(State, last_time_ns, has_last_time, JSON_NONE, "last_ts"),
};
static const JsonSchema state_schema = JSON_SCHEMA("StreamState", state_rows);

typedef struct Created {
    bool has_time;
    int64_t time_ns;
} Created;

static const JsonField created_rows[] = {
    JSON_TIME_ROW(Created, time_ns, has_time, JSON_NONE, "Created"),
};
static const JsonSchema created_schema = JSON_SCHEMA("FileStreamInfo", created_rows);

static Arena *turn_of(const Restore *restore) {
    return restore->stream->group.home->turn;
}

/* 0 when it does not say. */
static int64_t created_of(const Restore *restore, Slice json) {
    Created created = {0};
    if (json_read(json, &created_schema, JSON_LOOSE, turn_of(restore), &created, NULL) != OK ||
        !created.has_time || created.time_ns == TIME_ZERO)
        return 0;
    return created.time_ns;
}

static void take_state(Restore *restore, Slice json) {
    State state = {0};
    if (json_read(json, &state_schema, JSON_LOOSE, turn_of(restore), &state, NULL) != OK) {
        restore_fail(restore, LIT("state of the archive is not understood"));
        return;
    }
    if (state.first_seq < UINT64_MAX) { /* an empty one begins at 1 at least */
        restore->seq_last = state.first_seq ? state.first_seq - 1 : 0;
        stream_propose_skip(restore->stream, restore->seq_last, TIME_ZERO);
    }
    restore->state_last_seq = state.last_seq;
    if (state.has_last_time)
        restore->state_last_ns = state.last_time_ns;
}

/* Its time to live is over: its sequence becomes a gap. */
static bool is_expired(const Restore *restore, const ArchiveItem *item) {
    PubHeaders ask;
    uint32_t flags = 0;
    if (item->headers.len == 0 || !restore->stream->config->allow_msg_ttl)
        return false;
    pub_headers_parse(item->headers, &ask);
    return stream_ttl_flags(&ask, item->time_ns, &flags) <= clock_wall_ns();
}

static void take_message(Restore *restore, const ArchiveItem *item) {
    const StreamConfig *config = restore->stream->config;
    uint64_t size = item->headers.len + item->payload.len;
    if (item->seq <= restore->seq_last || item->seq == UINT64_MAX)
        return;
    if (item->subject.len > UINT16_MAX || !subject_is_literal(item->subject)) {
        restore_fail(restore, LIT("message with a bad subject"));
        return;
    }
    if (item->subject.len + size > STREAM_MESSAGE_BYTES_MAX ||
        item->headers.len > LIMIT_STORED_HEADER_BYTES ||
        (config->max_msg_size >= 0 && size > (uint64_t)config->max_msg_size)) {
        restore_fail(restore, LIT("message size exceeds maximum allowed"));
        return;
    }
    if (is_expired(restore, item))
        return;
    const Record record = {
        .subject = item->subject, .headers = item->headers, .payload = item->payload};
    ApiError error = stream_check_server(restore->stream, &record);
    if (api_failed(error)) {
        restore_fail(restore, error.text);
        return;
    }
    restore->seq_last = item->seq;
    StoredMsg msg = {.seq = item->seq,
                     .time_ns = item->time_ns,
                     .subject = item->subject,
                     .headers = item->headers,
                     .payload = item->payload};
    stream_propose_copy(restore->stream, &msg);
}

/* Only what can be: in order, delivered, not acknowledged. */
static size_t sane_pending(const ArchiveConsumer *from, RestoredPending *to) {
    size_t n = 0;
    for (size_t i = 0; i < from->pending_count; i++) {
        const ArchivePending *entry = &from->pending[i];
        if (entry->sseq <= from->floor_sseq || entry->sseq > from->delivered_sseq)
            continue;
        to[n++] = (RestoredPending){entry->sseq, entry->dseq,
                                    entry->deliveries < UINT32_MAX ? (uint32_t)entry->deliveries
                                                                   : UINT32_MAX};
    }
    return n;
}

static ApiError check_consumer(Restore *restore, ConsumerConfig *config, Slice name) {
    const Stream *stream = restore->stream;
    if (config->name.len == 0 && config->durable_name.len == 0)
        config->name = arena_copy(config->arena, name);
    ApiError error = consumer_name_check(name, turn_of(restore));
    if (!api_failed(error))
        error = consumer_config_check(config, stream->config, &stream->js->options->limits, false,
                                      turn_of(restore));
    return error;
}

static void take_consumer(Restore *restore, const ArchiveItem *item) {
    ConsumerConfig *config;
    const ArchiveConsumer *state = &item->consumer;
    if (item->json.len == 0 || consumer_config_parse_stored(item->json, &config) != OK ||
        state->delivered_sseq == UINT64_MAX) {
        restore_fail(restore, LIT("consumer of the archive is not understood"));
        return;
    }
    ApiError error = check_consumer(restore, config, item->name);
    if (api_failed(error)) {
        restore_fail(restore, error.text);
        consumer_config_free(config);
        return;
    }
    RestoredPending *pending = mem_alloc((state->pending_count + 1) * sizeof *pending);
    int64_t created_ns = created_of(restore, item->json);
    RestoredConsumer consumer = {
        .name = item->name,
        .config = config,
        .created_ns = created_ns ? created_ns : clock_wall_ns(),
        .delivered_dseq = state->delivered_dseq,
        .delivered_sseq = state->delivered_sseq,
        .floor_dseq = state->floor_dseq,
        .floor_sseq = state->floor_sseq,
        .pending = pending,
        .pending_count = sane_pending(state, pending),
    };
    buf_clear(&restore->consumer);
    consumer_restore_write(&restore->consumer, &consumer);
    if (restore->consumer.len > STREAM_MESSAGE_BYTES_MAX)
        restore_fail(restore, LIT("consumer with too many pending messages"));
    else
        stream_propose_restored(restore->stream, buf_slice(&restore->consumer));
    mem_free(pending);
    consumer_config_free(config);
}

void restore_take(Restore *restore, const ArchiveItem *item) {
    switch (item->kind) {
    case ARCHIVE_STATE:
        take_state(restore, item->json);
        break;
    case ARCHIVE_CONFIG:
        restore->created_ns = created_of(restore, item->json);
        break;
    case ARCHIVE_CONSUMER:
        take_consumer(restore, item);
        break;
    case ARCHIVE_MESSAGE:
        take_message(restore, item);
        break;
    case ARCHIVE_REMOVED:
        if (item->seq <= restore->seq_last) {
            stream_propose_removed(restore->stream, item->seq);
        } else if (item->seq < UINT64_MAX) {
            restore->seq_last = item->seq;
            stream_propose_skip(restore->stream, item->seq, item->time_ns);
        }
        break;
    case ARCHIVE_END:
        restore_take_end(restore);
        break;
    }
}

void restore_take_end(Restore *restore) {
    restore->is_whole = true;
    if (restore->state_last_seq > restore->seq_last && restore->state_last_seq < UINT64_MAX)
        stream_propose_skip(restore->stream, restore->state_last_seq, restore->state_last_ns);
}
