#include "stream/consumer_options.h"

#include "base/hash.h"
#include "base/mem.h"

/* Two passes over the config's strings: first their size, then the copies. */
typedef struct Packer {
    char *to; /* NULL in the first pass */
    size_t used;
} Packer;

static void *pack_bytes(Packer *packer, const void *bytes, size_t len, size_t align) {
    packer->used = (packer->used + align - 1) & ~(align - 1);
    void *at = packer->to ? packer->to + packer->used : NULL;
    if (at && len)
        memcpy(at, bytes, len);
    packer->used += len;
    return at;
}

static Slice pack_slice(Packer *packer, Slice slice) {
    const char *at = pack_bytes(packer, slice.ptr, slice.len, 1);
    return slice.len ? slice_from(at, slice.len) : (Slice){0};
}

static Slice *pack_slices(Packer *packer, const Slice *slices, size_t count) {
    Slice *at = pack_bytes(packer, slices, count * sizeof *slices, _Alignof(Slice));
    for (size_t i = 0; i < count; i++) {
        Slice copy = pack_slice(packer, slices[i]);
        if (at)
            at[i] = copy;
    }
    return at;
}

static MetaPair *pack_pairs(Packer *packer, const MetaPair *pairs, size_t count) {
    MetaPair *at = pack_bytes(packer, pairs, count * sizeof *pairs, _Alignof(MetaPair));
    for (size_t i = 0; i < count; i++) {
        MetaPair copy = {pack_slice(packer, pairs[i].key), pack_slice(packer, pairs[i].value)};
        if (at)
            at[i] = copy;
    }
    return at;
}

static void pack_config(Packer *packer, const ConsumerConfig *from, ConsumerConfig *to) {
    *to = *from;
    to->arena = NULL;
    to->durable_name = to->name = to->deliver_subject = to->filter_beside = (Slice){0};
    to->filters = NULL;
    to->filters_are_plural = false;
    to->filter_count = 0;
    to->backoff_ns = pack_bytes(packer, from->backoff_ns,
                                from->backoff_count * sizeof *from->backoff_ns, _Alignof(int64_t));
    to->metadata = pack_pairs(packer, from->metadata, from->metadata_count);
    to->priority_groups = pack_slices(packer, from->priority_groups, from->priority_group_count);
    to->description = pack_slice(packer, from->description);
    to->opt_start_time_text = pack_slice(packer, from->opt_start_time_text);
    to->sample_freq = pack_slice(packer, from->sample_freq);
    to->deliver_group = pack_slice(packer, from->deliver_group);
}

static uint8_t sample_percent(Slice text) {
    uint64_t percent;
    Slice digits =
        text.len && text.ptr[text.len - 1] == '%' ? slice_first(text, text.len - 1) : text;
    if (slice_parse_u64(digits, &percent) != OK)
        return 0;
    return (uint8_t)(percent > 100 ? 100 : percent);
}

static ConsumerOptions *options_new(const ConsumerConfig *config, uint64_t hash) {
    ConsumerConfig ignored;
    Packer packer = {NULL, 0};
    pack_config(&packer, config, &ignored);
    ConsumerOptions *options = mem_zalloc(sizeof *options + packer.used + _Alignof(Slice));
    /* text is not aligned by itself: the packer's offsets are, from an aligned start on. */
    size_t skip = (_Alignof(Slice) - (uintptr_t)options->text % _Alignof(Slice)) % _Alignof(Slice);
    packer = (Packer){options->text + skip, 0};
    pack_config(&packer, config, &options->config);
    options->hash = hash;
    options->refs = 1;
    options->sample_percent = sample_percent(config->sample_freq);
    return options;
}

ConsumerOptions *consumer_options_take(Map64 *table, const ConsumerConfig *config) {
    Buf text = {0}, other = {0};
    ConsumerConfig stripped = *config;
    stripped.durable_name = stripped.name = stripped.deliver_subject = (Slice){0};
    stripped.filter_count = 0;
    consumer_config_write(&text, &stripped, false);
    uint64_t hash = hash_slice(buf_slice(&text));

    ConsumerOptions *options = map64_get(table, hash);
    if (options) {
        consumer_config_write(&other, &options->config, false);
        if (slice_equal(buf_slice(&text), buf_slice(&other)))
            options->refs++;
        else
            options = options_new(config, hash);
    } else {
        options = options_new(config, hash);
        options->is_listed = true;
        map64_put(table, hash, options);
    }
    buf_done(&text);
    buf_done(&other);
    return options;
}

void consumer_options_release(Map64 *table, ConsumerOptions *options) {
    if (options == NULL || --options->refs > 0)
        return;
    if (options->is_listed)
        map64_remove(table, options->hash);
    mem_free(options);
}

ConsumerFilters *consumer_filters_new(const ConsumerConfig *config) {
    size_t count = config->filter_count, bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += config->filters[i].len;
    if (count == 0)
        return NULL;
    ConsumerFilters *filters = mem_alloc(sizeof *filters + count * sizeof(Slice) + bytes);
    char *to = (char *)&filters->patterns[count];
    filters->count = count;
    filters->is_everything = false;
    filters->are_plural = config->filters_are_plural;
    for (size_t i = 0; i < count; i++) {
        Slice filter = config->filters[i];
        memcpy(to, filter.ptr, filter.len);
        filters->patterns[i] = slice_from(to, filter.len);
        filters->is_everything |= slice_equal(filter, LIT(">"));
        to += filter.len;
    }
    return filters;
}

bool consumer_filters_equal(const ConsumerFilters *filters, const ConsumerConfig *config) {
    if ((filters ? filters->count : 0) != config->filter_count)
        return false;
    for (size_t i = 0; i < config->filter_count; i++)
        if (!slice_equal(filters->patterns[i], config->filters[i]))
            return false;
    return true;
}
