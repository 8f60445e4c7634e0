/* /varz: the server's own figures and settings. */
#pragma once

#include <stdint.h>

#include "front/client/client_options.h"
#include "monitor/metrics.h"
#include "server/options.h"

typedef struct VarzFacts { /* owned by the server; immutable but for what a reload replaces on the
                              main worker */
    const MonitorFacts *monitor;
    const Options *options;       /* the newest */
    const ClientOptions *clients; /* as in use: what INFO says */
    const Pages *pages;
    int64_t start_ns, config_load_ns;    /* wall */
    uint16_t port, http_port, leaf_port; /* as bound */
} VarzFacts;

/* facts must live on. */
void varz_add_page(Pages *pages, const VarzFacts *facts);
/* The same figures for /metrics. */
MetricsPart varz_metrics(const VarzFacts *facts);
/* /statsz: the short form that the system account asks for. */
void statsz_add_page(Pages *pages, const VarzFacts *facts);
