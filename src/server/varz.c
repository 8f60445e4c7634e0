#include "server/varz.h"

#include "cluster/leafnodes.h"
#include "front/client/clients.h"
#include "io/clock.h"
#include "io/process.h"
#include "io/thread.h"
#include "monitor/gather.h"
#include "monitor/metrics_text.h"
#include "proto/json.h"
#include "proto/timefmt.h"

typedef struct Varz {
    Gather gather;
    Page *page;
    const VarzFacts *facts;
    ClientsStats clients;
    LeafStats leafs;
    BusStats bus;
    JetStreamUsage usage;
    bool *is_active; /* [account]; statsz only */
    uint64_t active_accounts;
} Varz;

static void add_clients(ClientsStats *sum, const Clients *clients) {
    ClientsStats stats;
    clients_stats(clients, &stats);
    clients_stats_add(sum, &stats);
}

static void visit(Gather *gather, Worker *here) {
    Varz *varz = CONTAINER_OF(gather, Varz, gather);
    BusStats bus;
    add_clients(&varz->clients, here->clients);
    if (here->leafnodes)
        leafnodes_stats(here->leafnodes, &varz->leafs);
    bus_stats(here->bus, &bus);
    varz->bus.subscriptions += bus.subscriptions;
    monitor_add_usage(here, &varz->usage);
}

static void write_text(Buf *out, const char *name, Slice value, bool omit_empty) {
    if (omit_empty && value.len == 0)
        return;
    buf_printf(out, ",\"%s\":", name);
    json_write_string(out, value);
}

static void write_u64(Buf *out, const char *name, uint64_t value) {
    buf_printf(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

static void write_time(Buf *out, const char *name, int64_t wall_ns) {
    buf_printf(out, ",\"%s\":\"", name);
    time_write(out, wall_ns);
    buf_append_char(out, '"');
}

static void write_websocket(Buf *out, const WebSocketServerOptions *options, unsigned port) {
    if (port == 0)
        return;
    buf_append_lit(out, "\"host\":");
    json_write_string(out, options->host);
    write_u64(out, "port", port);
    write_text(out, "advertise", options->advertise, true);
    if (options->handshake_timeout_ns)
        write_u64(out, "handshake_timeout", (uint64_t)options->handshake_timeout_ns);
    buf_append_lit(out, ",\"no_tls\":true");
    if (options->is_same_origin)
        buf_append_lit(out, ",\"same_origin\":true");
    for (size_t i = 0; i < options->allowed_origins.count; i++) {
        buf_append(out, i ? LIT(",") : LIT(",\"allowed_origins\":["));
        json_write_string(out, options->allowed_origins.at[i]);
    }
    if (options->allowed_origins.count)
        buf_append_char(out, ']');
    if (options->is_compressed)
        buf_append_lit(out, ",\"compression\":true");
}

static void write_list(Buf *out, const char *name, const Slice *texts, size_t count) {
    if (count == 0)
        return;
    buf_printf(out, "\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append_char(out, ',');
        json_write_string(out, texts[i]);
    }
    buf_append_char(out, ']');
}

static void write_leaf_remote(Buf *out, const LeafRemoteOptions *remote) {
    buf_append_lit(out, "{\"local_account\":");
    json_write_string(out, remote->account_name.len ? remote->account_name : LIT("$G"));
    buf_append_lit(out, ",\"urls\":[");
    for (size_t i = 0; i < remote->url_count; i++) {
        bool is_v6 = slice_find(remote->urls[i].host, ':') < remote->urls[i].host.len;
        if (i)
            buf_append_char(out, ',');
        buf_printf(out, is_v6 ? "\"[%.*s]:%u\"" : "\"%.*s:%u\"", SLICE_ARG(remote->urls[i].host),
                   remote->urls[i].port);
    }
    buf_append_char(out, ']');
    if (remote->deny_import_count || remote->deny_export_count) {
        buf_append_lit(out, ",\"deny\":{");
        write_list(out, "exports", remote->deny_exports, remote->deny_export_count);
        if (remote->deny_import_count && remote->deny_export_count)
            buf_append_char(out, ',');
        write_list(out, "imports", remote->deny_imports, remote->deny_import_count);
        buf_append_char(out, '}');
    }
    buf_append_char(out, '}');
}

static void write_leafnodes(Buf *out, const LeafOptions *options, unsigned port) {
    if (port) {
        buf_append_lit(out, "\"host\":");
        json_write_string(out, options->host);
        buf_printf(out, ",\"port\":%u,\"auth_timeout\":%g,\"tls_timeout\":2", port,
                   options->auth_timeout_s > 0 ? options->auth_timeout_s : 2);
    }
    if (options->remote_count == 0)
        return;
    buf_append(out, port ? LIT(",\"remotes\":[") : LIT("\"remotes\":["));
    for (size_t i = 0; i < options->remote_count; i++) {
        if (i)
            buf_append_char(out, ',');
        write_leaf_remote(out, &options->remotes[i]);
    }
    buf_append_char(out, ']');
}

static void write_settings(Buf *out, const VarzFacts *facts) {
    const Options *options = facts->options;
    const ClientOptions *clients = facts->clients;
    buf_append_lit(out, "{\"server_id\":");
    json_write_string(out, clients->server_id);
    write_text(out, "server_name", clients->server_name, false);
    write_text(out, "version", clients->version, false);
    write_u64(out, "proto", 1);
    write_text(out, "git_commit", clients->git_commit, true);
    write_text(out, "go", clients->go, false);
    write_text(out, "host", clients->host, false);
    write_u64(out, "port", facts->port);
    if (options->authorization.is_configured || options->has_accounts)
        buf_append_lit(out, ",\"auth_required\":true");
    write_u64(out, "max_connections", clients->max_connections);
    if (clients->max_subs)
        write_u64(out, "max_subscriptions", clients->max_subs);
    write_u64(out, "ping_interval", clients->ping_interval_ns);
    write_u64(out, "ping_max", clients->ping_max);
    write_text(out, "http_host", options->http_host, false);
    write_u64(out, "http_port", facts->http_port);
    write_text(out, "http_base_path", options->http_base_path, false);
    write_u64(out, "https_port", 0);
    buf_printf(out, ",\"auth_timeout\":%g", (double)clients->auth_timeout_ns / NS_PER_S);
    write_u64(out, "max_control_line", clients->max_control_line);
    write_u64(out, "max_payload", clients->max_payload);
    write_u64(out, "max_pending", clients->max_pending);
    buf_append_lit(out, ",\"cluster\":{},\"gateway\":{},\"leaf\":{");
    write_leafnodes(out, &options->leafnodes, facts->leaf_port);
    buf_append_lit(out, "},\"mqtt\":{},\"websocket\":{");
    write_websocket(out, &options->websocket, clients->websocket_port);
    buf_append_char(out, '}');
}

static uint64_t enabled_accounts(const MonitorFacts *facts, Bus *bus) {
    uint64_t n = 0;
    for (size_t i = 0; i < bus_account_count(bus); i++)
        n += facts->jetstream->account_is_enabled[i];
    return n;
}

static void write_jetstream(Buf *out, const Varz *varz) {
    const MonitorFacts *facts = varz->facts->monitor;
    const JetStreamUsage *usage = &varz->usage;
    if (facts->jetstream == NULL) {
        buf_append_lit(out, ",\"jetstream\":{}");
        return;
    }
    buf_append_lit(out, ",\"jetstream\":{");
    monitor_write_js_config(out, facts);
    buf_printf(out,
               ",\"stats\":{\"memory\":%llu,\"storage\":%llu,\"reserved_memory\":%llu,\"reserved_"
               "storage\":%llu,\"accounts\":%llu,"
               "\"ha_assets\":0,\"api\":{\"level\":5,\"total\":%llu,\"errors\":%llu}}}",
               (unsigned long long)usage->memory, (unsigned long long)usage->storage,
               (unsigned long long)usage->reserved_memory,
               (unsigned long long)usage->reserved_storage,
               (unsigned long long)enabled_accounts(facts, varz->page->home->all[0]->bus),
               (unsigned long long)usage->api_total, (unsigned long long)usage->api_errors);
}

static void write_traffic(Buf *out, const Varz *varz) {
    const ClientsStats *clients = &varz->clients;
    const LeafStats *leafs = &varz->leafs;
    write_u64(out, "connections", clients->open);
    write_u64(out, "total_connections", clients->total);
    buf_append_lit(out, ",\"routes\":0,\"remotes\":0");
    write_u64(out, "leafnodes", leafs->open);
    write_u64(out, "in_msgs", clients->in_msgs + leafs->in_msgs);
    write_u64(out, "in_bytes", clients->in_bytes + leafs->in_bytes);
    write_u64(out, "in_client_msgs", clients->in_msgs);
    write_u64(out, "in_client_bytes", clients->in_bytes);
    write_u64(out, "out_msgs", clients->out_msgs + leafs->out_msgs);
    write_u64(out, "out_bytes", clients->out_bytes + leafs->out_bytes);
    write_u64(out, "out_client_msgs", clients->out_msgs);
    write_u64(out, "out_client_bytes", clients->out_bytes);
    write_u64(out, "slow_consumers", clients->slow_consumers + leafs->slow_consumers);
    write_u64(out, "stale_connections", clients->stale_connections + leafs->stale_connections);
    write_u64(out, "stalled_clients", clients->stalled_clients);
    write_u64(out, "subscriptions", varz->bus.subscriptions);
}

static void write_labels(Buf *out, const Options *options) {
    for (size_t i = 0; i < options->tags.count; i++) {
        buf_append(out, i ? LIT(",") : LIT(",\"tags\":["));
        json_write_string(out, options->tags.at[i]);
    }
    if (options->tags.count)
        buf_append_char(out, ']');
    for (size_t i = 0; i + 1 < options->metadata.count; i += 2) {
        buf_append(out, i ? LIT(",") : LIT(",\"metadata\":{"));
        json_write_string(out, options->metadata.at[i]);
        buf_append_char(out, ':');
        json_write_string(out, options->metadata.at[i + 1]);
    }
    if (options->metadata.count)
        buf_append_char(out, '}');
    for (size_t i = 0; i < options->feature_flags.len; i++) {
        buf_append(out, i ? LIT(",") : LIT(",\"feature_flags\":{"));
        json_write_string(out, options->feature_flags.at[i].name);
        buf_append(out, options->feature_flags.at[i].is_on ? LIT(":true") : LIT(":false"));
    }
    if (options->feature_flags.len)
        buf_append_char(out, '}');
}

static void write_process(Buf *out, const VarzFacts *facts, int64_t now) {
    uint64_t up = (uint64_t)(now - facts->start_ns) / NS_PER_S;
    write_u64(out, "tls_timeout", 2);
    write_u64(out, "write_deadline", facts->clients->write_deadline_ns);
    write_time(out, "start", facts->start_ns);
    write_time(out, "now", now);
    buf_append_lit(out, ",\"uptime\":\"");
    if (up >= 86400)
        buf_printf(out, "%llud", (unsigned long long)(up / 86400));
    if (up >= 3600)
        buf_printf(out, "%lluh", (unsigned long long)(up / 3600 % 24));
    if (up >= 60)
        buf_printf(out, "%llum", (unsigned long long)(up / 60 % 60));
    buf_printf(out, "%llus\"", (unsigned long long)(up % 60));
    write_u64(out, "mem", process_rss_bytes());
    write_u64(out, "cores", thread_cpu_count());
    write_u64(out, "gomaxprocs", (uint64_t)facts->options->workers);
    double seconds = (double)(now - facts->start_ns) / NS_PER_S;
    buf_printf(out, ",\"cpu\":%.2f",
               seconds > 0 ? (double)process_cpu_ns() / NS_PER_S / seconds * 100 : 0);
}

static void finish(Gather *gather) {
    Varz *varz = CONTAINER_OF(gather, Varz, gather);
    const VarzFacts *facts = varz->facts;
    Buf *out = &varz->page->body;
    add_clients(&varz->clients, gather->main->clients);
    write_settings(out, facts);
    write_jetstream(out, varz);
    write_process(out, facts, clock_wall_ns());
    write_traffic(out, varz);
    buf_append_lit(out, ",\"http_req_stats\":");
    pages_write_counts(facts->pages, out);
    write_time(out, "config_load_time", facts->config_load_ns);
    write_text(out, "config_digest", slice_of_text(facts->options->digest), false);
    write_labels(out, facts->options);
    write_text(out, "system_account", facts->monitor->system_account, true);
    buf_printf(
        out,
        ",\"slow_consumer_stats\":{\"clients\":%llu,\"routes\":0,\"gateways\":0,\"leafs\":%llu},"
        "\"stale_connection_stats\":{\"clients\":%llu,\"routes\":0,\"gateways\":0,\"leafs\":%llu},"
        "\"disk_io_wait_stats\":{\"waiters\":0,\"waits\":0,\"wait_time\":0,\"max_wait_time\":0}}",
        (unsigned long long)varz->clients.slow_consumers,
        (unsigned long long)varz->leafs.slow_consumers,
        (unsigned long long)varz->clients.stale_connections,
        (unsigned long long)varz->leafs.stale_connections);
    page_finish(varz->page);
    mem_free(varz);
}

static void varz_page(Page *page, void *cookie) {
    Varz *varz = mem_zalloc(sizeof *varz);
    *varz = (Varz){.gather = {.visit = visit, .finish = finish}, .page = page, .facts = cookie};
    if (monitor_is_recovering(varz->facts->monitor)) {
        varz->gather.main = page->home; /* nobody is served yet: there is nothing to gather */
        finish(&varz->gather);
        return;
    }
    gather_start(&varz->gather, page->home);
}

/* Tools that watch Go programs look for these two. */
static void debug_vars_page(Page *page, void *cookie) {
    (void)cookie;
    unsigned long long bytes = process_rss_bytes();
    buf_printf(&page->body, "{\"memstats\":{\"Alloc\":%llu,\"Sys\":%llu}}", bytes, bytes);
    page_finish(page);
}

void varz_add_page(Pages *pages, const VarzFacts *facts) {
    pages_add(pages, LIT("/varz"), varz_page, (void *)(uintptr_t)facts);
    pages_add(pages, LIT("/debug/vars"), debug_vars_page, NULL);
}

static void write_flow(Buf *out, const char *name, uint64_t msgs, uint64_t bytes) {
    buf_printf(out, ",\"%s\":{\"msgs\":%llu,\"bytes\":%llu}", name, (unsigned long long)msgs,
               (unsigned long long)bytes);
}

static void finish_statsz(Gather *gather) {
    Varz *varz = CONTAINER_OF(gather, Varz, gather);
    const VarzFacts *facts = varz->facts;
    const ClientsStats *clients = &varz->clients;
    double seconds = (double)(clock_wall_ns() - facts->start_ns) / NS_PER_S;
    Buf *out = &varz->page->body;
    add_clients(&varz->clients, gather->main->clients);
    buf_append_lit(out, "{\"start\":\"");
    time_write(out, facts->start_ns);
    buf_append_char(out, '"');
    write_u64(out, "mem", process_rss_bytes());
    write_u64(out, "cores", thread_cpu_count());
    buf_printf(out, ",\"cpu\":%.2f",
               seconds > 0 ? (double)process_cpu_ns() / NS_PER_S / seconds * 100 : 0);
    write_u64(out, "connections", clients->open);
    write_u64(out, "total_connections", clients->total);
    write_u64(out, "active_accounts", varz->active_accounts);
    write_u64(out, "subscriptions", varz->bus.subscriptions);
    write_flow(out, "sent", clients->out_msgs, clients->out_bytes);
    write_flow(out, "sent_to_clients", clients->out_msgs, clients->out_bytes);
    write_flow(out, "received", clients->in_msgs, clients->in_bytes);
    write_flow(out, "received_from_clients", clients->in_msgs, clients->in_bytes);
    write_u64(out, "slow_consumers", clients->slow_consumers);
    write_u64(out, "active_servers", 1);
    if (facts->monitor->jetstream)
        write_jetstream(out, varz);
    buf_append_char(out, '}');
    page_finish(varz->page);
    mem_free(varz->is_active);
    mem_free(varz);
}

/* An account is active while it has clients, on whichever worker. */
static void visit_for_statsz(Gather *gather, Worker *here) {
    Varz *varz = CONTAINER_OF(gather, Varz, gather);
    for (size_t i = 0; i < bus_account_count(here->bus); i++) {
        ClientsStats stats;
        clients_account_stats(here->clients, i, &stats);
        if (stats.open > 0 && !varz->is_active[i]) {
            varz->is_active[i] = true;
            varz->active_accounts++;
        }
    }
    visit(gather, here);
}

static void statsz_page(Page *page, void *cookie) {
    Varz *varz = mem_zalloc(sizeof *varz);
    *varz = (Varz){.gather = {.visit = visit_for_statsz, .finish = finish_statsz},
                   .page = page,
                   .facts = cookie};
    varz->is_active = mem_zalloc(bus_account_count(page->home->all[0]->bus) + 1);
    gather_start(&varz->gather, page->home);
}

void statsz_add_page(Pages *pages, const VarzFacts *facts) {
    pages_add(pages, LIT("/statsz"), statsz_page, (void *)(uintptr_t)facts);
}

/* --- the same for /metrics --- */

static void *begin_metrics(void *cookie) {
    Varz *varz = mem_zalloc(sizeof *varz);
    varz->facts = cookie;
    return varz;
}

static void visit_for_metrics(void *state, Worker *here) {
    visit(&((Varz *)state)->gather, here);
}

static void write_counts(const Varz *varz, Slice labels, Buf *out) {
    const ClientsStats *clients = &varz->clients;
    const ClientOptions *options = varz->facts->clients;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"gnatsd_varz_connections", clients->open},
        {"gnatsd_varz_total_connections", clients->total},
        {"gnatsd_varz_subscriptions", varz->bus.subscriptions},
        {"gnatsd_varz_in_msgs", clients->in_msgs},
        {"gnatsd_varz_in_bytes", clients->in_bytes},
        {"gnatsd_varz_out_msgs", clients->out_msgs},
        {"gnatsd_varz_out_bytes", clients->out_bytes},
        {"gnatsd_varz_slow_consumers", clients->slow_consumers},
        {"gnatsd_varz_stale_connections", clients->stale_connections},
        {"gnatsd_varz_stalled_clients", clients->stalled_clients},
        {"gnatsd_varz_mem", process_rss_bytes()},
        {"gnatsd_varz_cores", thread_cpu_count()},
        {"gnatsd_varz_gomaxprocs", (uint64_t)varz->facts->options->workers},
        {"gnatsd_varz_max_connections", options->max_connections},
        {"gnatsd_varz_max_payload", options->max_payload},
        {"gnatsd_varz_max_pending", options->max_pending},
        {"gnatsd_varz_start", (uint64_t)varz->facts->start_ns / NS_PER_MS},
        {"gnatsd_varz_config_load_time", (uint64_t)varz->facts->config_load_ns / NS_PER_MS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        metric_one(out, rows[i].name, METRIC_GAUGE, rows[i].name + sizeof "gnatsd_varz_" - 1,
                   labels, rows[i].value);
}

static void write_stats(const Varz *varz, Slice labels, Buf *out) {
    const JetStreamUsage *usage = &varz->usage;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"gnatsd_varz_jetstream_stats_memory", usage->memory},
        {"gnatsd_varz_jetstream_stats_storage", usage->storage},
        {"gnatsd_varz_jetstream_stats_reserved_memory", usage->reserved_memory},
        {"gnatsd_varz_jetstream_stats_reserved_storage", usage->reserved_storage},
        {"gnatsd_varz_jetstream_stats_api_total", usage->api_total},
        {"gnatsd_varz_jetstream_stats_api_errors", usage->api_errors},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        metric_one(out, rows[i].name, METRIC_GAUGE, rows[i].name + sizeof "gnatsd_varz_" - 1,
                   labels, rows[i].value);
}

static void write_metrics(void *state, Worker *main, Slice labels, Buf *out) {
    Varz *varz = state;
    double seconds = (double)(clock_wall_ns() - varz->facts->start_ns) / NS_PER_S;
    Buf version = {0};
    add_clients(&varz->clients, main->clients);
    write_counts(varz, labels, out);
    metric_family(out, "gnatsd_varz_cpu", METRIC_GAUGE, "cpu");
    metric_double(out, "gnatsd_varz_cpu", labels,
                  seconds > 0 ? (double)process_cpu_ns() / NS_PER_S / seconds * 100 : 0);
    buf_append(&version, labels);
    metric_label(&version, "value", varz->facts->clients->version);
    metric_one(out, "gnatsd_varz_version", METRIC_GAUGE, "version", buf_slice(&version), 1);
    buf_done(&version);
    if (varz->facts->monitor->jetstream)
        write_stats(varz, labels, out);
}

MetricsPart varz_metrics(const VarzFacts *facts) {
    return (MetricsPart){(void *)(uintptr_t)facts, begin_metrics, visit_for_metrics, write_metrics,
                         mem_free};
}
