/* A consumer as archives of streams carry it. */
#include "io/clock.h"
#include "stream/consumer.h"

static void write_pair(Buf *out, SeqPair pair) {
    buf_printf(out, "{\"consumer_seq\":%llu,\"stream_seq\":%llu}", (unsigned long long)pair.dseq,
               (unsigned long long)pair.sseq);
}

/* When it was delivered last, as far as its deadline tells. */
static int64_t delivered_at(const Consumer *consumer, const PendingEntry *entry, int64_t wall_ns) {
    int64_t wait_ns = consumer_ack_wait(consumer, entry->deliveries);
    if (entry->due_ns == 0)
        return wall_ns;
    return wall_ns + (int64_t)(entry->due_ns - consumer->home->now_ns) - wait_ns;
}

static void write_pending(Buf *out, const Consumer *consumer) {
    const Pending *pending = &consumer->acks->pending;
    int64_t wall_ns = clock_wall_ns();
    char comma = '{';
    buf_append_lit(out, ",\"pending\":");
    for (PendingEntry *entry = pending_above(pending, 0); entry;
         entry = pending_above(pending, entry->sseq)) {
        buf_append_char(out, comma);
        buf_printf(out, "\"%llu\":{\"Sequence\":%llu,\"Timestamp\":%lld}",
                   (unsigned long long)entry->sseq, (unsigned long long)entry->dseq,
                   (long long)delivered_at(consumer, entry, wall_ns));
        comma = ',';
    }
    buf_append_char(out, '}');
}

static void write_redelivered(Buf *out, const Consumer *consumer) {
    const Pending *pending = &consumer->acks->pending;
    char comma = '{';
    buf_append_lit(out, ",\"redelivered\":");
    for (PendingEntry *entry = pending_above(pending, 0); entry;
         entry = pending_above(pending, entry->sseq)) {
        if (entry->deliveries < 2)
            continue;
        buf_append_char(out, comma);
        buf_printf(out, "\"%llu\":%lu", (unsigned long long)entry->sseq,
                   (unsigned long)entry->deliveries - 1);
        comma = ',';
    }
    buf_append_char(out, '}');
}

void consumer_archive_write(Buf *out, const Consumer *consumer) {
    ConsumerConfig config = consumer_whole_config(consumer);
    if (config.name.len == 0)
        config.name = consumer_name(consumer);
    buf_append_lit(out, "{\"config\":");
    consumer_config_write(out, &config, false);
    buf_append_lit(out, ",\"state\":{\"delivered\":");
    write_pair(out, consumer->delivered);
    buf_append_lit(out, ",\"ack_floor\":");
    write_pair(out, consumer_tracks_acks(consumer) ? consumer->floor : consumer->delivered);
    if (consumer_pending_count(consumer)) {
        write_pending(out, consumer);
        if (consumer->acks->redelivered)
            write_redelivered(out, consumer);
    }
    buf_append_lit(out, "}}");
}
