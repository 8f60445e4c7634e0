/* ConsumerOptions: a consumer's config without its names and filters, in one block of memory. Equal
 * ones of a stream are shared: thousands of watchers of a bucket differ by name, inbox and filter
 * only. */
#pragma once

#include "base/map.h"
#include "stream/consumer_config.h"
#include "stream/stream.h"

typedef struct ConsumerOptions {
    ConsumerConfig config; /* arena, durable_name, name, deliver_subject and filters are empty */
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

/* A consumer's own filters, in one block; freed with mem_free. */
typedef struct ConsumerFilters {
    size_t count;
    bool is_everything; /* one of them is ">" */
    bool are_plural;    /* were given as filter_subjects */
    Slice patterns[];   /* then their text */
} ConsumerFilters;

/* NULL when there are none. */
ConsumerFilters *consumer_filters_new(const ConsumerConfig *config);
bool consumer_filters_equal(const ConsumerFilters *filters, const ConsumerConfig *config);
