/* ConsumerOptions: a consumer's config without its names, in one block of memory. Equal ones of a
 * stream are shared: thousands of watchers of a bucket differ by name and inbox only. */
#pragma once

#include "base/map.h"
#include "stream/consumer_config.h"
#include "stream/stream.h"

typedef struct ConsumerOptions {
    ConsumerConfig config; /* arena, durable_name, name and deliver_subject are empty */
    Filters filters;       /* as the stream is asked: none for everything */
    uint64_t hash;
    uint32_t refs;
    uint8_t sample_percent;
    bool is_listed; /* in the table: shared */
    char text[];
} ConsumerOptions;

/* config is borrowed. */
ConsumerOptions *consumer_options_take(Map64 *table, const ConsumerConfig *config);
/* NULL-safe. */
void consumer_options_release(Map64 *table, ConsumerOptions *options);
