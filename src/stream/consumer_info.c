/* What the API says about a consumer. */
#include "io/clock.h"
#include "proto/headers.h"
#include "proto/timefmt.h"
#include "stream/consumer.h"
#include "stream/copy.h"
#include "stream/priority.h"
#include "stream/pull.h"
#include "stream/push.h"

static void write_time(Buf *out, int64_t wall_ns) {
    buf_append_char(out, '"');
    time_write(out, wall_ns);
    buf_append_char(out, '"');
}

static void write_sequences(Buf *out, SeqPair pair, int64_t active_ns) {
    buf_printf(out, "{\"consumer_seq\":%llu,\"stream_seq\":%llu", (unsigned long long)pair.dseq,
               (unsigned long long)pair.sseq);
    if (active_ns) {
        buf_append_lit(out, ",\"last_active\":");
        write_time(out, active_ns);
    }
    buf_append_char(out, '}');
}

void consumer_figures(Consumer *consumer, ConsumerFigures *out_figures) {
    ASSERT_HOME(consumer);
    SeqPair floor = consumer_tracks_acks(consumer) ? consumer->floor : consumer->delivered;
    const Acks *acks = consumer->acks;
    *out_figures = (ConsumerFigures){
        .delivered_dseq = consumer->delivered.dseq,
        .delivered_sseq = consumer->delivered.sseq,
        .floor_dseq = floor.dseq,
        .floor_sseq = floor.sseq,
        .ack_pending = consumer_pending_count(consumer),
        .redelivered = acks && consumer_config(consumer)->max_deliver != 1
                           ? acks->redelivered + acks->given_up.len
                           : 0,
        .waiting = consumer->pull ? pull_count(consumer) : 0,
        .pending = consumer->num_pending,
        .description = consumer_config(consumer)->description,
    };
}

static void write_numbers(Buf *out, Consumer *consumer) {
    int64_t acked_at_ns = consumer_tracks_acks(consumer) ? consumer->acked_at_ns : 0;
    ConsumerFigures figures;
    consumer_figures(consumer, &figures);
    buf_append_lit(out, ",\"delivered\":");
    write_sequences(out, consumer->delivered, consumer->delivered_at_ns);
    buf_append_lit(out, ",\"ack_floor\":");
    write_sequences(out, (SeqPair){figures.floor_dseq, figures.floor_sseq}, acked_at_ns);
    buf_append_lit(out, ",\"num_ack_pending\":");
    buf_append_u64(out, figures.ack_pending);
    buf_append_lit(out, ",\"num_redelivered\":");
    buf_append_u64(out, figures.redelivered);
    buf_append_lit(out, ",\"num_waiting\":");
    buf_append_u64(out, figures.waiting);
    buf_append_lit(out, ",\"num_pending\":");
    buf_append_u64(out, figures.pending);
}

static void write_groups(Buf *out, const Consumer *consumer) {
    const ConsumerConfig *config = consumer_config(consumer);
    const Priority *priority = consumer->priority;
    buf_append_lit(out, ",\"priority_groups\":[");
    for (size_t i = 0; i < config->priority_group_count; i++) {
        const Pin *pin =
            priority && i < priority->count && priority->pins[i].is_set ? &priority->pins[i] : NULL;
        if (i > 0)
            buf_append_char(out, ',');
        buf_append_lit(out, "{\"group\":");
        json_write_string(out, config->priority_groups[i]);
        if (pin)
            buf_printf(out, ",\"pinned_client_id\":\"%.*s\"", PIN_BYTES, pin->id);
        buf_append_lit(out, ",\"pinned_ts\":");
        write_time(out, pin ? pin->since_ns : TIME_ZERO);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

void consumer_info_write(Buf *out, Consumer *consumer, bool has_dynamic_metadata) {
    ASSERT_HOME(consumer);
    const ConsumerConfig config = consumer_whole_config(consumer);
    int64_t now_ns = clock_wall_ns();
    if (out->len && out->ptr[out->len - 1] != '{')
        buf_append_char(out, ',');
    buf_append_lit(out, "\"stream_name\":");
    json_write_string(out, stream_name(consumer_stream(consumer)));
    buf_append_lit(out, ",\"name\":");
    json_write_string(out, consumer_name(consumer));
    buf_append_lit(out, ",\"created\":");
    write_time(out, consumer->created_ns);
    buf_append_lit(out, ",\"config\":");
    consumer_config_write(out, &config, has_dynamic_metadata);
    write_numbers(out, consumer);
    if (consumer->push && push_is_active(consumer))
        buf_append_lit(out, ",\"push_bound\":true");
    if (config.has_pause_until && config.pause_until_ns > now_ns) {
        buf_append_lit(out, ",\"paused\":true,\"pause_remaining\":");
        buf_append_i64(out, config.pause_until_ns - now_ns);
    }
    buf_append_lit(out, ",\"ts\":");
    write_time(out, now_ns);
    if (config.priority_group_count)
        write_groups(out, consumer);
}

bool consumer_awaits_entries(const Consumer *consumer) {
    return consumer->num_pending == 0 && consumer_stream(consumer)->group.in_flight > 0;
}

ApiError consumer_check_identity(const ConsumerSet *set, const ApiCall *call) {
    Slice asked;
    char mine[COPY_IDENTITY_LEN];
    if (!call->headers.len || !header_get(call->headers, LIT("Nats-Stream-Identity"), &asked))
        return API_OK;
    copy_identity_write(set->stream, mine);
    Slice identity = slice_from(mine, sizeof mine);
    return slice_equal(asked, identity)
               ? API_OK
               : api_error_with(set->home->turn, JSConsumerStreamIdentityMismatchF, identity);
}

/* Who copies wants to know which incarnation of the stream answers. */
static void finish_with_identity(const Consumer *consumer, ApiCall *call, Buf *out) {
    Buf headers = {0};
    char identity[COPY_IDENTITY_LEN];
    copy_identity_write(consumer_stream(consumer), identity);
    header_begin(&headers, (Slice){0});
    header_append(&headers, LIT("Nats-Stream-Identity"), slice_from(identity, sizeof identity));
    header_end(&headers);
    api_finish_with(call, buf_slice(&headers), out);
    buf_done(&headers);
}

void consumer_reply_info(Consumer *consumer, ApiCall *call) {
    Buf out = {0};
    api_begin(call, &out);
    consumer_info_write(&out, consumer, true);
    if (!consumer_config(consumer)->direct && !consumer_config(consumer)->sourcing) {
        api_finish(call, &out);
        return;
    }
    finish_with_identity(consumer, call, &out);
}

void consumer_reply_reset(Consumer *consumer, ApiCall *call) {
    Buf out = {0};
    api_begin(call, &out);
    consumer_info_write(&out, consumer, true);
    buf_append_lit(&out, ",\"reset_seq\":");
    buf_append_u64(&out, consumer->delivered.sseq + 1);
    if (slice_find_slice(call->headers, LIT("\nNats-Stream-Identity:")) < call->headers.len)
        finish_with_identity(consumer, call, &out);
    else
        api_finish(call, &out);
}

void consumer_reply_pause(const Consumer *consumer, ApiCall *call) {
    const ConsumerConfig *config = consumer_config(consumer);
    int64_t until_ns = config->has_pause_until ? config->pause_until_ns : TIME_ZERO;
    int64_t now_ns = clock_wall_ns();
    bool is_paused = until_ns > now_ns;
    Buf out = {0};
    api_begin(call, &out);
    buf_printf(&out, ",\"paused\":%s,\"pause_until\":", is_paused ? "true" : "false");
    write_time(&out, until_ns);
    if (is_paused) {
        buf_append_lit(&out, ",\"pause_remaining\":");
        buf_append_i64(&out, until_ns - now_ns);
    }
    api_finish(call, &out);
}
