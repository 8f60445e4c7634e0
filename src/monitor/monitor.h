/* Monitor: the pages of the bus and of JetStream, and what all pages begin with. */
#pragma once

#include "monitor/page.h"
#include "stream/jetstream.h"

typedef struct MonitorFacts { /* immutable after start */
    Slice server_id, server_name;
    Slice system_account;
    const JetStreamOptions *jetstream; /* NULL when off */
    uint64_t sync_interval_ns;
    struct JournalProgress *recovery; /* of the start */
} MonitorFacts;

/* Registers /subsz, /subscriptionsz, /jsz, /healthz, /accountz, /routez, /gatewayz, /leafz,
 * /scrubz. facts must live on. */
void monitor_add_pages(Pages *pages, const MonitorFacts *facts);
/* What does something, and thus is for the system account only: /scrub starts a pass of the
 * scrubber. */
void monitor_add_actions(Pages *pages, const MonitorFacts *facts);

/* The store is still being opened: the workers do not run, and what is theirs is the recovery's. */
bool monitor_is_recovering(const MonitorFacts *facts);

/* "server_id":"...","now":"..." */
void monitor_write_head(Buf *out, const MonitorFacts *facts);

/* The jetstream parts that /varz and /jsz share: "config":{...}, "limits":{...} without leading
 * comma. */
void monitor_write_js_config(Buf *out, const MonitorFacts *facts);

/* Adds up the usage of the streams at home on here, all accounts; accounts_used counts accounts
 * with JetStream. On here. */
void monitor_add_usage(Worker *here, JetStreamUsage *sum);
