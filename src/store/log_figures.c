#include "store/log_figures.h"

#include "io/clock.h"
#include "store/log_private.h"

static const uint64_t limits_us[LOG_SYNC_BUCKETS] = {
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 100000, 500000, 2500000,
};

uint64_t log_sync_limit_ns(size_t bucket) {
    return limits_us[bucket] * 1000;
}

void log_count_commit(Log *log, const BlockHead *head, uint64_t bytes) {
    (void)counter_add(&log->counts.commits, 1);
    (void)counter_add(&log->counts.records, head->record_count);
    (void)counter_add(&log->counts.bytes, bytes);
}

Status log_sync_file(Log *log, DiskFile *file) {
    uint64_t began_ns = clock_mono_ns();
    Status status = disk_sync(file);
    uint64_t took_ns = clock_mono_ns() - began_ns;
    size_t bucket = 0;
    while (bucket < LOG_SYNC_BUCKETS && took_ns > log_sync_limit_ns(bucket))
        bucket++;
    (void)counter_add(&log->counts.sync_ns, took_ns);
    (void)counter_add(&log->counts.sync_buckets[bucket], 1);
    return status;
}

void log_figures(const Log *log, LogFigures *out_figures) {
    const LogCounts *counts = &log->counts;
    *out_figures = (LogFigures){.commits = counter_get(&counts->commits),
                                .records = counter_get(&counts->records),
                                .bytes = counter_get(&counts->bytes),
                                .sync_ns = counter_get(&counts->sync_ns)};
    for (size_t i = 0; i <= LOG_SYNC_BUCKETS; i++)
        out_figures->sync_buckets[i] = counter_get(&counts->sync_buckets[i]);
}
