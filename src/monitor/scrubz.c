/* /scrubz: what the scrubber has read, where it is, what it found. */
#include "base/mem.h"
#include "journal/scrubber.h"
#include "monitor/gather.h"
#include "monitor/monitor.h"
#include "monitor/monitor_pages.h"
#include "proto/timefmt.h"

typedef struct Scrubz {
    Gather gather;
    Page *page;
    const MonitorFacts *facts;
    bool wants_start, has_status, has_started;
    ScrubStatus status;
} Scrubz;

static void visit(Gather *gather, Worker *here) {
    Scrubz *all = CONTAINER_OF(gather, Scrubz, gather);
    JetStream *js = here->jetstream;
    if (js == NULL || here->index != 0)
        return;
    if (all->wants_start)
        all->has_started = journal_scrub_now(js->store);
    journal_scrub_status(js->store, &all->status);
    all->has_status = true;
}

static void write_time(Buf *out, const char *name, int64_t wall_ns) {
    if (wall_ns == 0)
        return;
    buf_printf(out, ",\"%s\":\"", name);
    time_write(out, wall_ns);
    buf_append_char(out, '"');
}

static void write_position(Buf *out, const ScrubStatus *status) {
    static const char *const kinds[] = {"super", "checkpoint", "run", "segment"};
    const ScrubFile *at = &status->position;
    buf_printf(out, ",\"position\":{\"file\":\"%s\",\"number\":%llu", kinds[at->kind],
               (unsigned long long)at->number);
    if (at->kind == SCRUB_RUN)
        buf_printf(out, ",\"group\":%llu", (unsigned long long)at->group);
    buf_printf(out, ",\"offset\":%llu}", (unsigned long long)status->offset);
}

void monitor_write_scrub(Buf *out, const ScrubStatus *status) {
    buf_printf(out, "\"scheduled\":%s,\"running\":%s", status->is_on ? "true" : "false",
               status->is_running ? "true" : "false");
    buf_printf(out,
               ",\"bytes\":%llu,\"files\":%llu,\"segments\":%llu,\"passes\":%llu,\"damages\":%llu,"
               "\"damaged_bytes\":%llu",
               (unsigned long long)status->bytes, (unsigned long long)status->files,
               (unsigned long long)status->segments, (unsigned long long)status->passes,
               (unsigned long long)status->damages, (unsigned long long)status->damaged_bytes);
    write_time(out, "pass_began", status->began_ns);
    write_time(out, "last_full_pass", status->ended_ns);
    if (status->is_running)
        write_position(out, status);
}

static void finish(Gather *gather) {
    Scrubz *all = CONTAINER_OF(gather, Scrubz, gather);
    Buf *out = &all->page->body;
    buf_append_char(out, '{');
    monitor_write_head(out, all->facts);
    if (all->has_status && all->wants_start)
        buf_printf(out, ",\"started\":%s", all->has_started ? "true" : "false");
    if (all->has_status)
        buf_append_char(out, ',');
    if (all->has_status)
        monitor_write_scrub(out, &all->status);
    else
        buf_append_lit(out, ",\"disabled\":true");
    buf_append_char(out, '}');
    page_finish(all->page);
    mem_free(all);
}

static void serve(Page *page, void *cookie, bool wants_start) {
    Scrubz *all = mem_zalloc(sizeof *all);
    *all = (Scrubz){.gather = {.visit = visit, .finish = finish},
                    .page = page,
                    .facts = cookie,
                    .wants_start = wants_start};
    gather_start(&all->gather, page->home);
}

void scrubz_page(Page *page, void *cookie) {
    serve(page, cookie, false);
}

void scrub_start_page(Page *page, void *cookie) {
    serve(page, cookie, true);
}
