/* /leafz: the leafnode connections, of all accounts or of one. */
#include "base/mem.h"
#include "cluster/leafnodes.h"
#include "monitor/gather.h"
#include "monitor/monitor.h"
#include "monitor/monitor_pages.h"
#include "proto/json.h"
#include "proto/timefmt.h"

typedef struct Leafz {
    Gather gather;
    Page *page;
    const MonitorFacts *facts;
    bool with_subs;
    Buf only; /* one account; empty = all */
    Buf leafs;
    size_t count;
} Leafz;

static void write_sub(void *cookie, Slice subject) {
    Buf *out = cookie;
    if (out->ptr[out->len - 1] != '[')
        buf_append_char(out, ',');
    json_write_string(out, subject);
}

static void write_leaf(void *cookie, const LeafInfo *info, const LeafConn *leaf) {
    Leafz *all = cookie;
    Buf *out = &all->leafs;
    if (all->only.len && !slice_equal(buf_slice(&all->only), info->account))
        return;
    if (all->count++)
        buf_append_char(out, ',');
    buf_printf(out, "{\"id\":%llu,\"name\":", (unsigned long long)info->id);
    json_write_string(out, info->name);
    buf_printf(out, ",\"is_spoke\":%s", info->is_spoke ? "true" : "false");
    if (info->is_isolated)
        buf_append_lit(out, ",\"is_isolated\":true");
    buf_append_lit(out, ",\"account\":");
    json_write_string(out, info->account);
    buf_append_lit(out, ",\"ip\":");
    json_write_string(out, info->ip);
    buf_printf(out, ",\"port\":%u,\"rtt\":\"", info->port);
    duration_write(out, (int64_t)info->rtt_ns);
    buf_printf(out,
               "\",\"in_msgs\":%llu,\"out_msgs\":%llu,\"in_bytes\":%llu,\"out_bytes\":%llu,"
               "\"subscriptions\":%zu",
               (unsigned long long)info->in_msgs, (unsigned long long)info->out_msgs,
               (unsigned long long)info->in_bytes, (unsigned long long)info->out_bytes,
               info->subscriptions);
    if (all->with_subs && info->subscriptions) {
        buf_append_lit(out, ",\"subscriptions_list\":[");
        leaf_each_sub(leaf, write_sub, out);
        buf_append_char(out, ']');
    }
    buf_append_lit(out, ",\"compression\":\"off\"}");
}

static void visit(Gather *gather, Worker *here) {
    Leafz *all = CONTAINER_OF(gather, Leafz, gather);
    if (here->leafnodes)
        leafnodes_each(here->leafnodes, write_leaf, all);
}

static void finish(Gather *gather) {
    Leafz *all = CONTAINER_OF(gather, Leafz, gather);
    Buf *out = &all->page->body;
    buf_append_char(out, '{');
    monitor_write_head(out, all->facts);
    buf_printf(out, ",\"leafnodes\":%zu,\"leafs\":[", all->count);
    buf_append(out, buf_slice(&all->leafs));
    buf_append_lit(out, "]}");
    page_finish(all->page);
    buf_done(&all->only);
    buf_done(&all->leafs);
    mem_free(all);
}

void leafz_page(Page *page, void *cookie) {
    Slice only = {0};
    bool with_subs = false;
    if (!page_bool(page, LIT("subs"), &with_subs))
        return;
    Leafz *all = mem_zalloc(sizeof *all);
    *all = (Leafz){.gather = {.visit = visit, .finish = finish},
                   .page = page,
                   .facts = cookie,
                   .with_subs = with_subs};
    if (page_text(page, LIT("acc"), &only))
        buf_append(&all->only, only);
    gather_start(&all->gather, page->home);
}
