#include "stream/stream.h"

#include "base/mem.h"
#include "stream/api.h"
#include "stream/copy.h"
#include "stream/mirror_direct.h"
#include "stream/msg_base.h"
#include "stream/puback.h"
#include "stream/puback_current.h"
#include "stream/restore.h"
#include "stream/snapshot.h"
#include "stream/stream_await.h"
#include "stream/stream_batch.h"
#include "stream/stream_fast.h"
#include "stream/stream_keys.h"
#include "stream/stream_move.h"
#include "stream/stream_parts.h"
#include "stream/usage.h"

static const PortOps port_ops = {.kind = PORT_STREAM, .deliver = stream_on_publish};

static uint64_t *reserved_of(Stream *stream) {
    JetStreamUsage *usage = stream->parts->usage;
    return stream_is_file(stream) ? &usage->reserved_storage : &usage->reserved_memory;
}

static void make_transforms(Stream *stream) {
    StreamParts *parts = stream->parts;
    const StreamConfig *config = stream->config;
    transform_free(parts->transform);
    transform_free(parts->republish);
    parts->transform = parts->republish = NULL;

    /* Both were checked with the config; a failure here means "unchanged". */
    if (config->has_subject_transform &&
        transform_new(config->subject_transform.src, config->subject_transform.dest, false, NULL,
                      &parts->transform))
        parts->transform = NULL;
    if (config->has_republish && transform_new(config->republish.src, config->republish.dest, false,
                                               NULL, &parts->republish))
        parts->republish = NULL;
}

Stream *stream_new(JetStream *js, Account *account, uint32_t group, StreamConfig *config,
                   int64_t created_ns) {
    Stream *stream = mem_zalloc(sizeof *stream);
    StreamParts *parts = mem_zalloc(sizeof *parts);

    stream->group = (Group){.home = js->home,
                            .ops = &stream_group_ops,
                            .id = group,
                            .is_memory = config->storage == STORAGE_MEMORY};
    link_init(&stream->group.link);
    stream->js = js;
    stream->account = account;
    stream->config = config;
    stream->created_ns = created_ns;
    stream->index = mem_zalloc(sizeof *stream->index);
    stream->parts = parts;
    stream->state.first_time_ns = stream->state.last_time_ns = TIME_ZERO;
    if (config->first_seq) {
        stream->state.first_seq = config->first_seq;
        stream->state.last_seq = config->first_seq - 1;
    }
    parts->stream = stream;
    parts->port = (Port){.ops = &port_ops, .home = js->home};
    parts->in_flight_max =
        js->options->max_in_flight ? js->options->max_in_flight : STREAM_IN_FLIGHT_MAX;
    parts->in_flight_bytes_max = js->options->max_in_flight_bytes ? js->options->max_in_flight_bytes
                                                                  : STREAM_IN_FLIGHT_BYTES_MAX;
    parts->clock_ns = created_ns;
    parts->usage = &js->usage[account_index(account)];
    parts->ack_prefix = puback_prefix(config->name, js->options->domain, &parts->ack_prefix_len);
    list_init(&parts->snapshots);
    stream_waits_init(stream);
    stream_chunk_gate_init(stream);
    stream_settle_init(stream);
    stream_awaits_init(stream);
    puback_current_init(stream);
    stream_keys_init(stream);
    leases_init(stream);
    retained_on_config(stream);
    stream_expiry_init(stream);
    stream_owed_init(stream);
    make_transforms(stream);
    stream_chunks_configure(stream);
    stream->consumers = consumer_set_new(stream);
    copies_configure(stream);

    if (config->compression_s2 && stream_is_file(stream))
        journal_ask_pack(js->journal, false);
    parts->usage->streams++;
    *reserved_of(stream) += stream_config_reserves(config);
    journal_add_group(js->journal, &stream->group);
    map64_put(&js->streams, group, stream);
    return stream;
}

static bool is_subscribed(const Stream *stream, Slice subject) {
    for (size_t i = 0; i < stream->parts->sub_count; i++)
        if (slice_equal(sub_subject(stream->parts->subs[i]), subject))
            return true;
    return false;
}

static bool is_listed(const StreamConfig *config, Slice subject) {
    for (size_t i = 0; i < config->subject_count; i++)
        if (slice_equal(config->subjects[i], subject))
            return true;
    return false;
}

/* Brings the subscriptions to what the config says; those that stay are not touched. */
static void subscribe(Stream *stream) {
    StreamParts *parts = stream->parts;
    const StreamConfig *config = stream->config;

    for (size_t i = parts->sub_count; i-- > 0;)
        if (!is_listed(config, sub_subject(parts->subs[i]))) {
            sub_remove(parts->subs[i]);
            parts->subs[i] = parts->subs[--parts->sub_count];
        }
    parts->subs =
        mem_realloc(parts->subs, (parts->sub_count + config->subject_count + 1) * sizeof(Sub *));
    for (size_t i = 0; i < config->subject_count; i++)
        if (!is_subscribed(stream, config->subjects[i]))
            parts->subs[parts->sub_count++] = sub_add(
                stream->account, &parts->port, config->subjects[i], (Slice){0}, (Slice){0}, false);
}

void stream_start(Stream *stream) {
    ASSERT_HOME(&stream->group);
    StreamParts *parts = stream->parts;
    ASSERT(!parts->is_started);

    stream_settle_places(stream);
    parts->is_started = true;
    subscribe(stream);
    leases_start(stream);
    stream_expiry_arm(stream);
    schedules_arm(stream);
    consumer_set_start(stream->consumers);
    copies_start(stream);
    mirror_direct_configure(stream);
}

void stream_hide(Stream *stream) {
    stream->is_hidden = true;
    stream->parts->usage->streams--;
}

void stream_reveal(Stream *stream) {
    stream->is_hidden = false;
    stream->parts->usage->streams++;
}

void stream_config_took_effect(Stream *stream) {
    StreamParts *parts = stream->parts;
    make_transforms(stream);
    stream_chunks_configure(stream);
    copies_configure(stream);
    mirror_direct_configure(stream);
    if (stream->config->duplicate_window_ns <= 0)
        dup_window_done(&parts->duplicates);
    parts->age_seq = 0;
    retained_on_config(stream);
    parts->expiry_due_ns = INT64_MAX;
    if (!stream->config->allow_atomic)
        stream_batches_free(stream);
    if (!stream->config->allow_batched)
        stream_fast_close_all(stream);
    if (parts->is_started)
        subscribe(stream);
}

static void drop_from_usage(Stream *stream) {
    JetStreamUsage *usage = stream->parts->usage;
    usage_count(stream, -(int64_t)stream->state.bytes);
    usage->messages -= stream->state.messages;
    usage->streams -= !stream->is_hidden;
    *reserved_of(stream) -= stream_config_reserves(stream->config);
}

static void free_heap_messages(Stream *stream) {
    MsgScan scan;
    uint64_t seq;
    const MsgSlot *slot;
    void *edit;
    const MsgBase *base = stream->index->base;
    for (size_t at = 0; base && map64_next(&base->edits, &at, &seq, &edit);) {
        slot = edit;
        if (slot->place & MSG_IN_HEAP)
            shared_unref(slot_heap(slot));
    }
    msg_scan_up(&scan, stream->index, msg_index_base_end(stream->index));
    while ((slot = msg_scan_next_up(&scan, &seq)))
        if (slot->place & MSG_IN_HEAP)
            shared_unref(slot_heap(slot));
}

void stream_delete(Stream *stream) {
    ASSERT_HOME(&stream->group);
    StreamParts *parts = stream->parts;

    for (size_t i = 0; i < parts->sub_count; i++)
        sub_remove(parts->subs[i]);
    parts->sub_count = 0;
    parts->is_started = false;
    timer_cancel(stream->group.home, &parts->expiry);
    stream_settle_done(stream, true);
    snapshot_end_all(stream, LIT("500 stream deleted"));
    stream_awaits_end(stream);
    copies_stop(stream);
    mirror_direct_configure(stream);
    consumer_set_stop(stream->consumers);
    stream_drop_log_bytes(stream);
    stream_free(stream);
}

void stream_free(Stream *stream) {
    if (!stream)
        return;
    StreamParts *parts = stream->parts;

    parts->is_started = false;
    timer_cancel(stream->group.home, &parts->expiry);
    stream_settle_done(stream, false);
    snapshot_end_all(stream, (Slice){0});
    restore_free(stream->restore);
    stream_awaits_end(stream);
    puback_current_done(stream);
    stream_keys_done(stream);
    stream_owed_done(stream);
    leases_done(stream);
    map64_done(&parts->touched);
    stream_waits_done(stream);
    stream_placing_free(stream);
    if (parts->build)
        stream_build_leave(stream);
    if (parts->move)
        stream_move_leave(stream);
    journal_remove_group(stream->js->journal, &stream->group);
    map64_remove(&stream->js->streams, stream->group.id);
    stream_batches_free(stream);
    stream_fast_free(stream);
    consumer_set_free(stream->consumers);
    counters_free(stream, parts->counters);
    schedules_free(parts->schedules);
    copies_free(parts->copies);
    mirror_direct_free(parts->mirror_direct);
    drop_from_usage(stream);
    free_heap_messages(stream);
    msg_index_done(stream->index);
    mem_free(stream->index);
    subject_index_done(&parts->subjects);
    dup_window_done(&parts->duplicates);
    ttl_queue_done(&parts->ttls);
    transform_free(parts->transform);
    transform_free(parts->republish);
    buf_done(&parts->last_msg_id);
    for (unsigned i = 0; i < DROP_AGES; i++)
        mem_free(parts->drops[i].at);
    stream_chunks_done(stream);
    mem_free(parts->objects);
    mem_free(parts->ack_prefix);
    mem_free(parts->subs);
    mem_free(parts);
    stream_config_free(stream->config);
    mem_free(stream);
}

void stream_propose_config(Stream *stream, StreamConfig *config, ApiCall *call) {
    ASSERT_HOME(&stream->group);
    Buf json = {0};
    stream_config_write(&json, config, false);
    stream_config_free(config);
    stream_append_config(stream, buf_slice(&json), call);
    buf_done(&json);
}

void stream_propose_consumer(Stream *stream, const ConsumerProposal *proposal) {
    ASSERT_HOME(&stream->group);
    Record draft = {.type = proposal->type,
                    .time_ns = stream_clock(stream),
                    .subject = proposal->name,
                    .payload = proposal->payload};
    Ticket ticket = {
        .kind = TICKET_CONSUMER, .data = proposal->ack_replies, .pointer = proposal->call};
    journal_append(stream->js->journal, &stream->group, &draft, &ticket, true);
}

bool stream_log_works(const Stream *stream) {
    return journal_health(stream->js->journal) != ERR_IO;
}

void stream_on_consumed(Stream *stream, Consumer *consumer, uint64_t seq) {
    (void)consumer;
    if (stream->config->retention == RETENTION_LIMITS)
        return;
    Slice subject;
    if (stream_subject_of(stream, seq, &subject) ||
        consumer_set_needs(stream->consumers, seq, subject))
        return;
    stream_drop(stream, seq, false);
}

void stream_on_consumer_gone(Stream *stream, const Filters *filters, uint64_t from) {
    if (stream->config->retention != RETENTION_INTEREST)
        return;
    Slice subject;
    for (uint64_t seq = stream_next(stream, filters, from); seq;
         seq = stream_next(stream, filters, seq + 1))
        if (stream_subject_of(stream, seq, &subject) == OK &&
            !consumer_set_needs(stream->consumers, seq, subject))
            stream_drop(stream, seq, false);
}
