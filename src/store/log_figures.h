/* What a log has done since it was opened, for monitoring. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct Log Log;

enum { LOG_SYNC_BUCKETS = 12 };

typedef struct LogFigures {
    uint64_t commits, records, bytes;            /* blocks, and what is in them */
    uint64_t sync_ns;                            /* in syncs of the log's files, together */
    uint64_t sync_buckets[LOG_SYNC_BUCKETS + 1]; /* syncs by how long they took; the last: longer */
} LogFigures;

/* Any thread; the parts need not be of the same moment. */
void log_figures(const Log *log, LogFigures *out_figures);
/* A sync of the bucket took no longer than that. */
uint64_t log_sync_limit_ns(size_t bucket);
