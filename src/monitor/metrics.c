#include "monitor/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"
#include "journal/progress.h"
#include "monitor/gather.h"
#include "monitor/metrics_store.h"
#include "monitor/metrics_text.h"
#include "stream/consumer_set.h"
#include "stream/stream.h"

enum { VALUES_MAX = 8 };

/* A stream or a consumer, copied on its worker. */
typedef struct Sample {
    size_t account;
    char *stream, *consumer, *description;
    double values[VALUES_MAX];
} Sample;

typedef VEC(Sample) Samples;

typedef struct Metrics {
    Gather gather;
    Page *page;
    const MetricsFacts *facts;
    void *part;
    bool has_streams, has_consumers, is_recovering;
    Status journal;
    JetStreamUsage usage;
    StoreFigures store;
    Samples streams, consumers;
} Metrics;

/* A family of samples: which of the values. */
typedef struct Family {
    const char *name, *help;
} Family;

static const Family stream_families[] = {
    {"jetstream_stream_total_messages", "Total number of messages from a stream"},
    {"jetstream_stream_total_bytes", "Total stored bytes from a stream"},
    {"jetstream_stream_first_seq", "First sequence from a stream"},
    {"jetstream_stream_last_seq", "Last sequence from a stream"},
    {"jetstream_stream_consumer_count", "Total number of consumers from a stream"},
    {"jetstream_stream_subject_count", "Total number of subjects in a stream"},
    {"jetstream_stream_limit_messages", "Limit of messages of a stream, -1 when there is none"},
    {"jetstream_stream_limit_bytes", "Limit of bytes of a stream, -1 when there is none"},
};
static const Family consumer_families[] = {
    {"jetstream_consumer_delivered_consumer_seq", "Latest sequence number of a stream consumer"},
    {"jetstream_consumer_delivered_stream_seq", "Latest sequence number of a stream"},
    {"jetstream_consumer_ack_floor_consumer_seq", "Ack floor of a consumer, its own sequence"},
    {"jetstream_consumer_ack_floor_stream_seq", "Ack floor of a consumer, sequence of the stream"},
    {"jetstream_consumer_num_ack_pending", "Number of pending acks from a consumer"},
    {"jetstream_consumer_num_redelivered", "Number of redelivered messages from a consumer"},
    {"jetstream_consumer_num_waiting", "Number of waiting fetch requests of a pull consumer"},
    {"jetstream_consumer_num_pending", "Number of pending messages from a consumer"},
};

/* --- on each worker --- */

static void add_stream(Samples *samples, const Stream *stream) {
    const StreamState *state = &stream->state;
    Sample sample = {
        .account = account_index(stream->account),
        .stream = slice_to_text(stream_name(stream)),
        .values = {(double)state->messages, (double)state->bytes, (double)state->first_seq,
                   (double)state->last_seq, (double)consumer_set_visible_count(stream->consumers),
                   (double)state->num_subjects, (double)stream->config->max_msgs,
                   (double)stream->config->max_bytes},
    };
    vec_push(samples, sample);
}

static void add_consumers(Samples *samples, Stream *stream) {
    Consumer **list;
    size_t n = consumer_set_page(stream->consumers, 0, SIZE_MAX, &list);
    for (size_t i = 0; i < n; i++) {
        ConsumerFigures figures;
        consumer_figures(list[i], &figures);
        Sample sample = {
            .account = account_index(stream->account),
            .stream = slice_to_text(stream_name(stream)),
            .consumer = slice_to_text(consumer_name(list[i])),
            .description = slice_to_text(figures.description),
            .values = {(double)figures.delivered_dseq, (double)figures.delivered_sseq,
                       (double)figures.floor_dseq, (double)figures.floor_sseq,
                       (double)figures.ack_pending, (double)figures.redelivered,
                       (double)figures.waiting, (double)figures.pending},
        };
        vec_push(samples, sample);
    }
}

static void visit(Gather *gather, Worker *here) {
    Metrics *all = CONTAINER_OF(gather, Metrics, gather);
    JetStream *js = here->jetstream;
    if (all->part)
        all->facts->part.visit(all->part, here);
    if (js == NULL)
        return;
    monitor_add_usage(here, &all->usage);
    Status status = journal_health(js->journal);
    if (all->journal != ERR_IO && status != OK)
        all->journal = status;
    if (here->index == 0)
        store_figures_take(js, &all->store);
    void *value;
    uint64_t group;
    for (size_t at = 0; map64_next(&js->streams, &at, &group, &value);) {
        Stream *stream = value;
        if (stream->is_hidden)
            continue;
        if (all->has_streams)
            add_stream(&all->streams, stream);
        if (all->has_consumers)
            add_consumers(&all->consumers, stream);
    }
}

/* --- the text --- */

static void write_labels(const MonitorFacts *facts, Buf *out) {
    metric_label(out, "server_id", facts->server_id);
    metric_label(out, "server_name", facts->server_name);
    if (facts->jetstream)
        metric_label(out, "domain", facts->jetstream->domain);
    metric_label(out, "is_meta_leader", LIT("true"));
}

static void write_server(Metrics *all, Slice labels, Buf *out) {
    const JetStreamOptions *js = all->facts->monitor->jetstream;
    metric_one(out, "jetstream_server_jetstream_disabled", METRIC_GAUGE,
               "JetStream disabled or not", labels, js == NULL);
    if (js == NULL)
        return;
    metric_family(out, "jetstream_server_max_memory", METRIC_GAUGE, "JetStream Max Memory");
    metric_i64(out, "jetstream_server_max_memory", labels, js->max_memory);
    metric_family(out, "jetstream_server_max_storage", METRIC_GAUGE, "JetStream Max Storage");
    metric_i64(out, "jetstream_server_max_storage", labels, js->max_file);
    if (all->is_recovering)
        return;
    const JetStreamUsage *usage = &all->usage;
    metric_one(out, "jetstream_server_total_streams", METRIC_GAUGE,
               "Total number of streams in JetStream", labels, usage->streams);
    metric_one(out, "jetstream_server_total_consumers", METRIC_GAUGE,
               "Total number of consumers in JetStream", labels, usage->consumers);
    metric_one(out, "jetstream_server_total_messages", METRIC_GAUGE,
               "Total number of stored messages in JetStream", labels, usage->messages);
    metric_one(out, "jetstream_server_total_message_bytes", METRIC_GAUGE,
               "Total number of bytes stored in JetStream", labels, usage->bytes);
}

static int by_name(const void *a, const void *b) {
    const Sample *left = a, *right = b;
    int order = left->account < right->account ? -1 : left->account > right->account;
    if (order == 0)
        order = strcmp(left->stream, right->stream);
    return order || left->consumer == NULL ? order : strcmp(left->consumer, right->consumer);
}

static void write_sample_labels(Metrics *all, Slice common, const Sample *sample, Buf *out) {
    Bus *bus = all->page->home->all[0]->bus;
    Slice account = account_name(bus_account(bus, sample->account));
    Slice leader = all->facts->monitor->server_name;
    buf_clear(out);
    buf_append(out, common);
    metric_label(out, "account", account);
    metric_label(out, "account_name", account);
    metric_label(out, "account_id", account);
    metric_label(out, "stream_name", slice_of_text(sample->stream));
    metric_label(out, "stream_leader", leader);
    metric_label(out, "is_stream_leader", LIT("true"));
    if (sample->consumer == NULL)
        return;
    metric_label(out, "consumer_name", slice_of_text(sample->consumer));
    metric_label(out, "consumer_leader", leader);
    metric_label(out, "is_consumer_leader", LIT("true"));
    metric_label(out, "consumer_desc", slice_of_text(sample->description));
}

/* All samples of a family stand together. */
static void write_samples(Metrics *all, Slice common, Samples *samples, const Family *families,
                          Buf *out) {
    Buf labels = {0};
    if (samples->len == 0)
        return;
    qsort(samples->at, samples->len, sizeof samples->at[0], by_name);
    for (size_t f = 0; f < VALUES_MAX; f++) {
        metric_family(out, families[f].name, METRIC_GAUGE, families[f].help);
        for (size_t i = 0; i < samples->len; i++) {
            write_sample_labels(all, common, &samples->at[i], &labels);
            buf_append(out, slice_of_text(families[f].name));
            buf_append_char(out, '{');
            buf_append(out, buf_slice(&labels));
            buf_printf(out, "} %.17g\n", samples->at[i].values[f]);
        }
    }
    buf_done(&labels);
}

static void write_health(Metrics *all, Slice labels, Buf *out) {
    bool is_well = !all->is_recovering && all->journal == OK;
    metric_one(out, "gnatsd_healthz_status", METRIC_GAUGE, "0 when healthy, else 1", labels,
               !is_well);
    if (all->facts->monitor->jetstream == NULL)
        return;
    metric_one(out, "holdwater_recovering", METRIC_GAUGE, "1 while the store is read at a start",
               labels, all->is_recovering);
    if (all->is_recovering)
        metric_one(out, "holdwater_streams_not_ready", METRIC_GAUGE,
                   "Streams that are not ready yet", labels,
                   journal_progress_names(all->facts->monitor->recovery, 0, NULL));
}

static void samples_done(Samples *samples) {
    for (size_t i = 0; i < samples->len; i++) {
        mem_free(samples->at[i].stream);
        mem_free(samples->at[i].consumer);
        mem_free(samples->at[i].description);
    }
    vec_done(samples);
}

static void metrics_free(Metrics *all) {
    if (all->part)
        all->facts->part.done(all->part);
    samples_done(&all->streams);
    samples_done(&all->consumers);
    mem_free(all);
}

static void finish(Gather *gather) {
    Metrics *all = CONTAINER_OF(gather, Metrics, gather);
    Buf *out = &all->page->body, id = {0}, labels = {0};
    metric_label(&id, "server_id", all->facts->monitor->server_id);
    write_labels(all->facts->monitor, &labels);
    Slice common = buf_slice(&labels);
    if (all->part)
        all->facts->part.write(all->part, gather->main, buf_slice(&id), out);
    write_health(all, buf_slice(&id), out);
    write_server(all, common, out);
    write_samples(all, common, &all->streams, stream_families, out);
    write_samples(all, common, &all->consumers, consumer_families, out);
    if (all->facts->monitor->jetstream && !all->is_recovering)
        store_figures_write(&all->store, &all->usage, all->journal, buf_slice(&id), out);
    buf_done(&id);
    buf_done(&labels);
    page_finish(all->page);
    metrics_free(all);
}

static void metrics_page(Page *page, void *cookie) {
    const MetricsFacts *facts = cookie;
    Metrics *all = mem_zalloc(sizeof *all);
    *all = (Metrics){.gather = {.visit = visit, .finish = finish},
                     .page = page,
                     .facts = facts,
                     .has_streams = true,
                     .is_recovering = monitor_is_recovering(facts->monitor)};
    if (!page_bool(page, LIT("streams"), &all->has_streams) ||
        !page_bool(page, LIT("consumers"), &all->has_consumers)) {
        metrics_free(all);
        return;
    }
    page->is_metrics = true;
    if (facts->part.begin)
        all->part = facts->part.begin(facts->part.cookie);
    if (all->is_recovering) { /* the workers are the recovery's */
        all->gather.main = page->home;
        finish(&all->gather);
        return;
    }
    gather_start(&all->gather, page->home);
}

void metrics_add_page(Pages *pages, const MetricsFacts *facts) {
    pages_add(pages, LIT("/metrics"), metrics_page, (void *)(uintptr_t)facts);
}
