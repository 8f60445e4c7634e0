#include "stream/usage.h"

#include "base/mem.h"
#include "io/counter.h"
#include "stream/consumer_set.h"

enum { FILE_OVERHEAD = 22 + 8, FILE_HEADERS_OVERHEAD = 4, MEMORY_OVERHEAD = 16 };
enum { OF_SERVER, OF_ACCOUNTS };

typedef struct UsageSum {
    Counter bytes;              /* held by the streams at home here */
    uint64_t in_flight;         /* proposed here and not applied */
    uint64_t others, others_ns; /* what the other workers held in the turn that began then */
} UsageSum;

struct UsageTable {
    UsageSum rows[0][2]; /* OF_SERVER, then the accounts; by Storage */
};

UsageTable *usage_table_new(size_t accounts) {
    UsageTable *table;

    return mem_zalloc(sizeof *table + (OF_ACCOUNTS + accounts) * sizeof table->rows[0]);
}

void usage_table_free(UsageTable *table) {
    mem_free(table);
}

static unsigned kind_of(const Stream *stream) {
    return stream->group.is_memory ? STORAGE_MEMORY : STORAGE_FILE;
}

static size_t row_of(const Stream *stream) {
    return OF_ACCOUNTS + account_index(stream->account);
}

static void add(UsageSum *sum, int64_t bytes) {
    counter_set(&sum->bytes, counter_get(&sum->bytes) + (uint64_t)bytes);
}

uint64_t usage_of_record(const Stream *stream, const Record *record) {
    uint64_t bytes = record->subject.len + record->headers.len + record->payload.len;

    if (stream->group.is_memory)
        return bytes + MEMORY_OVERHEAD;
    return bytes + FILE_OVERHEAD + (record->headers.len ? FILE_HEADERS_OVERHEAD : 0);
}

void usage_count(Stream *stream, int64_t bytes) {
    JetStreamUsage *usage = &stream->js->usage[account_index(stream->account)];
    uint64_t *total = stream->group.is_memory ? &usage->memory : &usage->storage;

    *total += (uint64_t)bytes;
    usage->bytes += (uint64_t)bytes;
    UsageTable *table = stream->js->held;
    add(&table->rows[OF_SERVER][kind_of(stream)], bytes);
    add(&table->rows[row_of(stream)][kind_of(stream)], bytes);
}

static void note(Stream *stream, uint64_t bytes) {
    UsageTable *table = stream->js->held;
    table->rows[OF_SERVER][kind_of(stream)].in_flight += bytes;
    table->rows[row_of(stream)][kind_of(stream)].in_flight += bytes;
}

void usage_propose(Stream *stream, const Record *record) {
    note(stream, usage_of_record(stream, record));
}

void usage_land(Stream *stream, const Record *record) {
    note(stream, 0 - usage_of_record(stream, record));
}

/* On all workers, and on its way here. */
static uint64_t held(const JetStream *js, size_t row, unsigned kind) {
    UsageSum *mine = &js->held->rows[row][kind];
    const Worker *home = js->home;

    if (home->count > 1 && mine->others_ns != home->now_ns) {
        mine->others_ns = home->now_ns;
        mine->others = 0;
        for (unsigned i = 0; i < home->count; i++)
            if (home->all[i] != home)
                mine->others += counter_get(&home->all[i]->jetstream->held->rows[row][kind].bytes);
    }
    return counter_get(&mine->bytes) + mine->in_flight + mine->others;
}

ApiError usage_check(Stream *stream, const Record *record) {
    JetStream *js = stream->js;
    const JetStreamOptions *options = js->options;
    unsigned kind = kind_of(stream);
    bool is_file = kind == STORAGE_FILE;
    int64_t max = is_file ? options->max_file : options->max_memory;

    if (max >= 0 && held(js, OF_SERVER, kind) > (uint64_t)max)
        return api_error(JSInsufficientResourcesErr);
    const JetStreamAccountLimits *mine = jetstream_limits(options, account_index(stream->account));
    max = is_file ? mine->max_file : mine->max_memory;
    if (max < 0 || !record)
        return API_OK;
    bool is_kept = stream->config->retention != RETENTION_INTEREST ||
                   consumer_set_visible_count(stream->consumers) > 0;
    if (is_kept && held(js, row_of(stream), kind) + usage_of_record(stream, record) > (uint64_t)max)
        return api_error(JSAccountResourcesExceededErr);
    return API_OK;
}

ApiError usage_check_bytes(const JetStream *js, size_t account, bool is_memory, uint64_t bytes) {
    const JetStreamAccountLimits *limits = jetstream_limits(js->options, account);
    int64_t max = is_memory ? limits->max_memory : limits->max_file;
    unsigned kind = is_memory ? STORAGE_MEMORY : STORAGE_FILE;

    if (max < 0 || held(js, OF_ACCOUNTS + account, kind) + bytes <= (uint64_t)max)
        return API_OK;
    return api_error(JSAccountResourcesExceededErr);
}
