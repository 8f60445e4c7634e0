#include "front/client/accstatz.h"

#include "base/mem.h"
#include "cluster/leafnodes.h"
#include "front/client/clients.h"
#include "monitor/gather.h"
#include "proto/json.h"

typedef struct Accstatz {
    Gather gather;
    Page *page;
    const MonitorFacts *facts;
    bool has_unused;
    Buf only; /* one account; empty = all */
    size_t count;
    ClientsStats *by_account;
    LeafStats *leafs; /* by account */
} Accstatz;

static void visit(Gather *gather, Worker *here) {
    Accstatz *all = CONTAINER_OF(gather, Accstatz, gather);
    for (size_t i = 0; i < all->count; i++) {
        ClientsStats stats;
        clients_account_stats(here->clients, i, &stats);
        clients_stats_add(&all->by_account[i], &stats);
        if (here->leafnodes)
            leafnodes_account_stats(here->leafnodes, i, &all->leafs[i]);
    }
}

static void write_flow(Buf *out, const char *name, uint64_t msgs, uint64_t bytes,
                       uint64_t leaf_msgs, uint64_t leaf_bytes) {
    buf_printf(out,
               ",\"%s\":{\"msgs\":%llu,\"bytes\":%llu,\"gateways\":{\"msgs\":0,\"bytes\":0},"
               "\"routes\":{\"msgs\":0,\"bytes\":0},\"leafs\":{\"msgs\":%llu,\"bytes\":%llu}}",
               name, (unsigned long long)(msgs + leaf_msgs),
               (unsigned long long)(bytes + leaf_bytes), (unsigned long long)leaf_msgs,
               (unsigned long long)leaf_bytes);
}

static void write_account(Buf *out, Slice name, const ClientsStats *stats, const LeafStats *leafs) {
    buf_append_lit(out, "{\"acc\":");
    json_write_string(out, name);
    buf_append_lit(out, ",\"name\":");
    json_write_string(out, name);
    buf_printf(
        out, ",\"conns\":%llu,\"leafnodes\":%llu,\"total_conns\":%llu,\"num_subscriptions\":%llu",
        (unsigned long long)stats->open, (unsigned long long)leafs->open,
        (unsigned long long)(stats->open + leafs->open), (unsigned long long)stats->subscriptions);
    write_flow(out, "sent", stats->out_msgs, stats->out_bytes, leafs->out_msgs, leafs->out_bytes);
    write_flow(out, "received", stats->in_msgs, stats->in_bytes, leafs->in_msgs, leafs->in_bytes);
    buf_printf(out, ",\"slow_consumers\":%llu}", (unsigned long long)stats->slow_consumers);
}

static void finish(Gather *gather) {
    Accstatz *all = CONTAINER_OF(gather, Accstatz, gather);
    Bus *bus = gather->main->all[0]->bus; /* the table of accounts is immutable */
    Buf *out = &all->page->body;
    bool is_first = true;
    buf_append_char(out, '{');
    monitor_write_head(out, all->facts);
    buf_append_lit(out, ",\"account_statz\":[");
    for (size_t i = 0; i < all->count; i++) {
        Slice name = account_name(bus_account(bus, i));
        if (all->only.len ? !slice_equal(name, buf_slice(&all->only))
                          : all->by_account[i].open + all->leafs[i].open == 0 && !all->has_unused)
            continue;
        if (!is_first)
            buf_append_char(out, ',');
        is_first = false;
        write_account(out, name, &all->by_account[i], &all->leafs[i]);
    }
    buf_append_lit(out, "]}");
    page_finish(all->page);
    buf_done(&all->only);
    mem_free(all->by_account);
    mem_free(all->leafs);
    mem_free(all);
}

static void accstatz_page(Page *page, void *cookie) {
    Slice only = {0};
    bool has_unused = false;
    if (!page_bool(page, LIT("unused"), &has_unused))
        return;
    Accstatz *all = mem_zalloc(sizeof *all);
    *all = (Accstatz){.gather = {.visit = visit, .finish = finish},
                      .page = page,
                      .facts = cookie,
                      .has_unused = has_unused,
                      .count = bus_account_count(page->home->all[0]->bus)};
    if (page_text(page, LIT("acc"), &only))
        buf_append(&all->only, only);
    all->by_account = mem_zalloc(all->count * sizeof *all->by_account);
    all->leafs = mem_zalloc(all->count * sizeof *all->leafs);
    gather_start(&all->gather, page->home);
}

void accstatz_add_page(Pages *pages, const MonitorFacts *facts) {
    pages_add(pages, LIT("/accstatz"), accstatz_page, (void *)(uintptr_t)facts);
}
