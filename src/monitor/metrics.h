/* /metrics: the figures of the other pages as Prometheus reads them. Names and labels are those
 * that prometheus-nats-exporter makes of the pages of a NATS-protocol server (gnatsd_*,
 * jetstream_*), and holdwater_* for what only this one has.
 *
 * Streams are there unless ?streams=0, consumers with ?consumers=1: on a server with very many of
 * them those are the ones that cost. */
#pragma once

#include "monitor/monitor.h"

/* What a higher layer adds: the figures of /varz. */
typedef struct MetricsPart {
    void *cookie;
    void *(*begin)(void *cookie);                                     /* on the main worker */
    void (*visit)(void *state, Worker *here);                         /* on each worker */
    void (*write)(void *state, Worker *main, Slice labels, Buf *out); /* on the main one */
    void (*done)(void *state);
} MetricsPart;

typedef struct MetricsFacts { /* immutable */
    const MonitorFacts *monitor;
    MetricsPart part;
} MetricsFacts;

/* facts must live on. */
void metrics_add_page(Pages *pages, const MetricsFacts *facts);
