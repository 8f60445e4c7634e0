#include "monitor/monitor.h"

#include "io/clock.h"
#include "journal/progress.h"
#include "monitor/monitor_pages.h"
#include "proto/json.h"
#include "proto/timefmt.h"
#include "stream/consumer_set.h"

void monitor_add_pages(Pages *pages, const MonitorFacts *facts) {
    void *cookie = (void *)(uintptr_t)facts;
    pages_add(pages, LIT("/subsz"), subsz_page, cookie);
    pages_add(pages, LIT("/subscriptionsz"), subsz_page, cookie);
    pages_add(pages, LIT("/jsz"), jsz_page, cookie);
    pages_add(pages, LIT("/healthz"), healthz_page, cookie);
    pages_add(pages, LIT("/accountz"), accountz_page, cookie);
    pages_add(pages, LIT("/routez"), routez_page, cookie);
    pages_add(pages, LIT("/gatewayz"), gatewayz_page, cookie);
    pages_add(pages, LIT("/leafz"), leafz_page, cookie);
    pages_add(pages, LIT("/scrubz"), scrubz_page, cookie);
}

void monitor_add_actions(Pages *pages, const MonitorFacts *facts) {
    pages_add(pages, LIT("/scrub"), scrub_start_page, (void *)(uintptr_t)facts);
}

bool monitor_is_recovering(const MonitorFacts *facts) {
    return facts->jetstream && facts->recovery && !journal_progress_is_ready(facts->recovery);
}

void monitor_write_head(Buf *out, const MonitorFacts *facts) {
    buf_append_lit(out, "\"server_id\":");
    json_write_string(out, facts->server_id);
    buf_append_lit(out, ",\"now\":\"");
    time_write(out, clock_wall_ns());
    buf_append_char(out, '"');
}

void monitor_write_js_config(Buf *out, const MonitorFacts *facts) {
    const JetStreamOptions *js = facts->jetstream;
    buf_printf(out, "\"config\":{\"max_memory\":%lld,\"max_storage\":%lld,\"store_dir\":",
               (long long)js->max_memory, (long long)js->max_file);
    json_write_string(out, slice_of_text(js->store_dir));
    if (js->sync_interval_ns)
        buf_printf(out, ",\"sync_interval\":%llu", (unsigned long long)js->sync_interval_ns);
    else
        buf_append_lit(out, ",\"sync_always\":true");
    if (js->domain.len) {
        buf_append_lit(out, ",\"domain\":");
        json_write_string(out, js->domain);
    }
    if (js->limits.is_strict)
        buf_append_lit(out, ",\"strict\":true");
    buf_append_lit(out, "},\"limits\":{");
    if (js->max_consumers_default > 0)
        buf_printf(out, "\"default_max_consumers\":%lld", (long long)js->max_consumers_default);
    buf_append_char(out, '}');
}

void monitor_add_usage(Worker *here, JetStreamUsage *sum) {
    JetStream *js = here->jetstream;
    if (js == NULL)
        return;
    for (size_t i = 0; i < bus_account_count(here->bus); i++) {
        const JetStreamUsage *usage = &js->usage[i];
        sum->memory += usage->memory;
        sum->storage += usage->storage;
        sum->reserved_memory += usage->reserved_memory;
        sum->reserved_storage += usage->reserved_storage;
        sum->streams += usage->streams;
        sum->messages += usage->messages;
        sum->bytes += usage->bytes;
        sum->chunk_messages += usage->chunk_messages;
        sum->chunk_bytes += usage->chunk_bytes;
        sum->api_total += usage->api_total;
        sum->api_errors += usage->api_errors;
    }
    void *stream;
    uint64_t group;
    for (size_t at = 0; map64_next(&js->streams, &at, &group, &stream);)
        sum->consumers += consumer_set_visible_count(((Stream *)stream)->consumers);
}
