/* Advisories about a consumer; nothing is built when nobody listens. */
#include "proto/timefmt.h"
#include "stream/consumer.h"

/* <kind>.<stream>.<consumer>; in the turn arena. */
static Slice tail_of(const Consumer *consumer, Slice kind) {
    Slice names = slice_from_at(consumer_ack_prefix(consumer), sizeof "$JS.ACK." - 1);
    char *text = arena_alloc(consumer->home->turn, kind.len + 1 + names.len);
    memcpy(text, kind.ptr, kind.len);
    text[kind.len] = '.';
    memcpy(text + kind.len + 1, names.ptr, names.len - 1);
    return slice_from(text, kind.len + names.len);
}

/* False when nobody wants it. Else fields holds stream and consumer. */
static bool begin(const Consumer *consumer, Slice kind, Slice *out_tail, Buf *fields,
                  bool has_account) {
    Stream *stream = consumer_stream(consumer);
    if (!consumer->set->is_started)
        return false;
    *out_tail = tail_of(consumer, kind);
    if (!api_advisory_is_wanted(stream->js, stream->account, *out_tail))
        return false;
    if (has_account) {
        buf_append_lit(fields, ",\"account\":");
        json_write_string(fields, account_name(stream->account));
    }
    buf_append_lit(fields, ",\"stream\":");
    json_write_string(fields, stream_name(stream));
    buf_append_lit(fields, ",\"consumer\":");
    json_write_string(fields, consumer_name(consumer));
    return true;
}

static void finish(const Consumer *consumer, Slice tail, Slice type, Buf *fields) {
    Stream *stream = consumer_stream(consumer);
    api_advisory(stream->js, stream->account, tail, type, buf_slice(fields));
    buf_done(fields);
}

static void add_number(Buf *fields, const char *name, uint64_t value) {
    buf_printf(fields, ",\"%s\":%llu", name, (unsigned long long)value);
}

static void add_string(Buf *fields, const char *name, Slice value) {
    buf_printf(fields, ",\"%s\":", name);
    json_write_string(fields, value);
}

static void add_delivery(Buf *fields, uint64_t dseq, uint64_t sseq, uint64_t deliveries) {
    add_number(fields, "consumer_seq", dseq);
    add_number(fields, "stream_seq", sseq);
    add_number(fields, "deliveries", deliveries);
}

void consumer_advise_action(const Consumer *consumer, bool is_create) {
    Buf fields = {0};
    Slice tail,
        kind = is_create ? LIT("ADVISORY.CONSUMER.CREATED") : LIT("ADVISORY.CONSUMER.DELETED");
    if (!begin(consumer, kind, &tail, &fields, false))
        return;
    add_string(&fields, "action", is_create ? LIT("create") : LIT("delete"));
    finish(consumer, tail, LIT("consumer_action"), &fields);
}

void consumer_advise_pause(const Consumer *consumer) {
    Buf fields = {0};
    Slice tail;
    if (!begin(consumer, LIT("ADVISORY.CONSUMER.PAUSE"), &tail, &fields, false))
        return;
    const ConsumerConfig *config = consumer_config(consumer);
    buf_printf(&fields, ",\"paused\":%s,\"pause_until\":\"",
               consumer->is_paused ? "true" : "false");
    time_write(&fields, config->has_pause_until ? config->pause_until_ns : TIME_ZERO);
    buf_append_char(&fields, '"');
    finish(consumer, tail, LIT("consumer_pause"), &fields);
}

void consumer_advise_nak(const Consumer *consumer, uint64_t dseq, uint64_t sseq,
                         uint64_t deliveries) {
    Buf fields = {0};
    Slice tail;
    if (!begin(consumer, LIT("ADVISORY.CONSUMER.MSG_NAKED"), &tail, &fields, false))
        return;
    add_delivery(&fields, dseq, sseq, deliveries);
    finish(consumer, tail, LIT("nak"), &fields);
}

void consumer_advise_damaged(const Consumer *consumer, uint64_t sseq) {
    Buf fields = {0};
    Slice tail;
    if (!begin(consumer, LIT("ADVISORY.CONSUMER.MSG_DAMAGED"), &tail, &fields, false))
        return;
    add_number(&fields, "stream_seq", sseq);
    finish(consumer, tail, LIT("hw_consumer_msg_damaged"), &fields);
}

void consumer_advise_terminated(const Consumer *consumer, uint64_t dseq, uint64_t sseq,
                                uint64_t deliveries, Slice reason) {
    Buf fields = {0};
    Slice tail;
    if (!begin(consumer, LIT("ADVISORY.CONSUMER.MSG_TERMINATED"), &tail, &fields, false))
        return;
    add_delivery(&fields, dseq, sseq, deliveries);
    if (reason.len)
        add_string(&fields, "reason", reason);
    finish(consumer, tail, LIT("terminated"), &fields);
}

void consumer_advise_max_deliver(const Consumer *consumer, uint64_t sseq, uint64_t deliveries) {
    Buf fields = {0};
    Slice tail;
    if (!begin(consumer, LIT("ADVISORY.CONSUMER.MAX_DELIVERIES"), &tail, &fields, false))
        return;
    add_number(&fields, "stream_seq", sseq);
    add_number(&fields, "deliveries", deliveries);
    finish(consumer, tail, LIT("max_deliver"), &fields);
}

void consumer_advise_pinned(const Consumer *consumer, Slice group, Slice pin) {
    Buf fields = {0};
    Slice tail;
    if (!begin(consumer, LIT("ADVISORY.CONSUMER.PINNED"), &tail, &fields, true))
        return;
    add_string(&fields, "group", group);
    add_string(&fields, "pinned_id", pin);
    finish(consumer, tail, LIT("consumer_group_pinned"), &fields);
}

void consumer_advise_unpinned(const Consumer *consumer, Slice group, Slice reason) {
    Buf fields = {0};
    Slice tail;
    if (!begin(consumer, LIT("ADVISORY.CONSUMER.UNPINNED"), &tail, &fields, true))
        return;
    add_string(&fields, "group", group);
    add_string(&fields, "reason", reason);
    finish(consumer, tail, LIT("consumer_group_unpinned"), &fields);
}

void consumer_advise_ack(const Consumer *consumer, uint64_t dseq, uint64_t sseq,
                         uint64_t deliveries, int64_t ack_time_ns) {
    Buf fields = {0};
    Slice tail;
    if (!begin(consumer, LIT("METRIC.CONSUMER.ACK"), &tail, &fields, false))
        return;
    add_number(&fields, "consumer_seq", dseq);
    add_number(&fields, "stream_seq", sseq);
    add_number(&fields, "ack_time", (uint64_t)ack_time_ns);
    add_number(&fields, "deliveries", deliveries);
    finish(consumer, tail, LIT("consumer_ack"), &fields);
}
