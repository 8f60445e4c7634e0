#include "monitor/metrics_store.h"

#include <stdio.h>

#include "monitor/metrics_text.h"
#include "store/chunk_table.h"

void store_figures_take(const JetStream *js, StoreFigures *out_figures) {
    ChunkTotals chunks = chunk_table_totals(js->chunks);
    journal_store_space(js->store, &out_figures->space);
    journal_scrub_status(js->store, &out_figures->scrub);
    log_figures(journal_log(js->journal), &out_figures->log);
    out_figures->chunks = chunks.chunks;
    out_figures->chunk_bytes = chunks.bytes;
    out_figures->chunks_damaged = chunks.damaged;
}

static void write_space(const StoreFigures *figures, Slice labels, Buf *out) {
    const JournalSpace *space = &figures->space;
    const struct {
        const char *name;
        MetricType type;
        const char *help;
        uint64_t value;
    } rows[] = {
        {"holdwater_store_disk_bytes", METRIC_GAUGE, "Bytes of the store's files",
         space->log_bytes + space->spare_bytes + space->index_bytes},
        {"holdwater_log_segments", METRIC_GAUGE, "Segments of the log", space->segments},
        {"holdwater_log_bytes", METRIC_GAUGE, "Bytes of the segments' files", space->log_bytes},
        {"holdwater_log_spare_bytes", METRIC_GAUGE, "Bytes of prepared and used-up segments",
         space->spare_bytes},
        {"holdwater_log_live_bytes", METRIC_GAUGE, "Bytes of records that are needed",
         space->live_bytes},
        {"holdwater_log_dead_bytes", METRIC_GAUGE,
         "Bytes of records that two more checkpoints give up", space->dead_bytes},
        {"holdwater_index_bytes", METRIC_GAUGE, "Bytes of index runs", space->index_bytes},
        {"holdwater_clean_moved_records_total", METRIC_COUNTER, "Records moved by cleaning",
         space->moved_records},
        {"holdwater_clean_moved_bytes_total", METRIC_COUNTER, "Bytes moved by cleaning",
         space->moved_bytes},
        {"holdwater_chunks", METRIC_GAUGE, "Payloads that are stored once", figures->chunks},
        {"holdwater_chunk_stored_bytes", METRIC_GAUGE, "Bytes of payloads that are stored once",
         figures->chunk_bytes},
        {"holdwater_chunks_damaged", METRIC_GAUGE, "Payloads stored once that are damaged",
         figures->chunks_damaged},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        metric_one(out, rows[i].name, rows[i].type, rows[i].help, labels, rows[i].value);
}

static void write_commits(const LogFigures *log, Slice labels, Buf *out) {
    static const char name[] = "holdwater_log_sync_seconds";
    Buf bucket = {0};
    uint64_t sum = 0;
    metric_one(out, "holdwater_log_commits_total", METRIC_COUNTER, "Blocks written to the log",
               labels, log->commits);
    metric_one(out, "holdwater_log_commit_records_total", METRIC_COUNTER, "Records in these blocks",
               labels, log->records);
    metric_one(out, "holdwater_log_commit_bytes_total", METRIC_COUNTER, "Bytes of these blocks",
               labels, log->bytes);
    metric_family(out, name, METRIC_HISTOGRAM, "How long the disk took for a sync of the log");
    for (size_t i = 0; i <= LOG_SYNC_BUCKETS; i++) {
        char limit[32] = "+Inf";
        if (i < LOG_SYNC_BUCKETS)
            (void)snprintf(limit, sizeof limit, "%.9g", (double)log_sync_limit_ns(i) / 1e9);
        sum += log->sync_buckets[i];
        buf_clear(&bucket);
        buf_append(&bucket, labels);
        metric_label(&bucket, "le", slice_of_text(limit));
        metric_u64(out, "holdwater_log_sync_seconds_bucket", buf_slice(&bucket), sum);
    }
    metric_double(out, "holdwater_log_sync_seconds_sum", labels, (double)log->sync_ns / 1e9);
    metric_u64(out, "holdwater_log_sync_seconds_count", labels, sum);
    buf_done(&bucket);
}

static void write_scrub(const ScrubStatus *scrub, Slice labels, Buf *out) {
    metric_one(out, "holdwater_scrub_running", METRIC_GAUGE, "1 while the scrubber reads", labels,
               scrub->is_running);
    metric_one(out, "holdwater_scrub_bytes_total", METRIC_COUNTER, "Bytes read by the scrubber",
               labels, scrub->bytes);
    metric_one(out, "holdwater_scrub_passes_total", METRIC_COUNTER,
               "Passes of the scrubber over the whole store", labels, scrub->passes);
    metric_one(out, "holdwater_scrub_damages", METRIC_GAUGE, "Pieces of damage on disk", labels,
               scrub->damages);
    metric_one(out, "holdwater_scrub_damaged_bytes", METRIC_GAUGE, "Damaged bytes on disk", labels,
               scrub->damaged_bytes);
    if (scrub->ended_ns == 0)
        return;
    metric_family(out, "holdwater_scrub_last_pass_timestamp_seconds", METRIC_GAUGE,
                  "When the last whole pass of the scrubber ended");
    metric_double(out, "holdwater_scrub_last_pass_timestamp_seconds", labels,
                  (double)(scrub->ended_ns / 1000000) / 1e3);
}

void store_figures_write(const StoreFigures *figures, const JetStreamUsage *usage, Status journal,
                         Slice labels, Buf *out) {
    metric_one(out, "holdwater_log_full", METRIC_GAUGE,
               "1 while publishes are refused since there is no space", labels,
               journal == ERR_FULL);
    metric_one(out, "holdwater_log_failed", METRIC_GAUGE,
               "1 while writes are refused since the device failed", labels, journal == ERR_IO);
    write_space(figures, labels, out);
    metric_one(out, "holdwater_chunk_messages", METRIC_GAUGE,
               "Messages whose payload is stored once", labels, usage->chunk_messages);
    metric_one(out, "holdwater_chunk_message_bytes", METRIC_GAUGE,
               "Bytes of these messages' payloads", labels, usage->chunk_bytes);
    write_commits(&figures->log, labels, out);
    write_scrub(&figures->scrub, labels, out);
}
