#include "stream/consumer_limits.h"

#include "stream/consumer.h"

static bool is_above(const ConsumerConfig *consumer, const StreamConfig *stream) {
    int64_t pending_max = stream->limit_max_ack_pending,
            threshold_max = stream->limit_inactive_threshold_ns;

    return (pending_max > 0 && consumer->max_ack_pending > pending_max) ||
           (threshold_max > 0 && consumer->inactive_threshold_ns > threshold_max);
}

void consumer_limits_find_above(ConsumerSet *set, const StreamConfig *config, Buf *out_names) {
    Consumer **consumers;
    size_t count = consumer_set_page(set, 0, SIZE_MAX, &consumers);

    for (size_t i = 0; i < count; i++) {
        if (!is_above(consumer_config(consumers[i]), config))
            continue;
        if (out_names->len)
            buf_append_lit(out_names, ", ");
        buf_append(out_names, consumer_name(consumers[i]));
    }
}
