/* /subsz: figures of the interest structures, and the subscriptions themselves. */
#include <stdlib.h>

#include "base/vec.h"
#include "bus/bus.h"
#include "monitor/gather.h"
#include "monitor/monitor.h"
#include "monitor/monitor_pages.h"
#include "proto/json.h"
#include "proto/subject.h"

typedef struct Item {
    char *json;
    Slice subject; /* inside json's copy, for sorting */
} Item;

typedef struct Subsz {
    Gather gather;
    Page *page;
    const MonitorFacts *facts;
    bool is_listing;
    int64_t offset, limit;
    Buf test, account;
    BusStats sum;
    VEC(Item) items;
} Subsz;

static void add_sub(void *cookie, Sub *sub) {
    Subsz *all = cookie;
    Slice test = buf_slice(&all->test);
    if (test.len && !subject_matches(sub_subject(sub), test))
        return;
    Buf out = {0};
    buf_append_lit(&out, "{\"account\":");
    json_write_string(&out, account_name(sub_account(sub)));
    buf_append_lit(&out, ",\"account_tag\":");
    json_write_string(&out, account_name(sub_account(sub)));
    buf_append_lit(&out, ",\"subject\":");
    json_write_string(&out, sub_subject(sub));
    bool is_far = sub->queue_len && sub->text[sub->subject_len] == SUB_FAR_MARK;
    if (sub->queue_len) {
        buf_append_lit(&out, ",\"qgroup\":");
        json_write_string(&out, slice_from_at(sub_queue(sub), is_far));
    }
    buf_append_lit(&out, ",\"sid\":");
    json_write_string(&out, sub_sid(sub));
    buf_printf(&out, ",\"msgs\":%llu", (unsigned long long)sub->delivered);
    if (sub->max && !is_far)
        buf_printf(&out, ",\"max\":%llu", (unsigned long long)sub->max);
    buf_append_lit(&out, "}");
    (void)buf_text(&out);
    vec_push(&all->items, ((Item){out.ptr, {0}}));
}

static void visit(Gather *gather, Worker *here) {
    Subsz *all = CONTAINER_OF(gather, Subsz, gather);
    BusStats stats;
    bus_stats(here->bus, &stats);
    all->sum.subscriptions += stats.subscriptions;
    all->sum.cache_entries += stats.cache_entries;
    all->sum.inserts += stats.inserts;
    all->sum.removes += stats.removes;
    all->sum.matches += stats.matches;
    all->sum.cache_hits += stats.cache_hits;
    all->sum.fanout_sum += stats.fanout_sum;
    all->sum.fanout_count += stats.fanout_count;
    if (stats.fanout_max > all->sum.fanout_max)
        all->sum.fanout_max = stats.fanout_max;
    for (size_t i = 0; all->is_listing && i < bus_account_count(here->bus); i++) {
        Account *account = bus_account(here->bus, i);
        if (all->account.len == 0 || slice_equal(account_name(account), buf_slice(&all->account)))
            account_each_sub(account, add_sub, all);
    }
}

static int by_text(const void *a, const void *b) {
    return strcmp(((const Item *)a)->json, ((const Item *)b)->json);
}

static void write_ratio(Buf *out, uint64_t part, uint64_t whole) {
    buf_printf(out, "%.16g", whole ? (double)part / (double)whole : 0.0);
}

static void finish(Gather *gather) {
    Subsz *all = CONTAINER_OF(gather, Subsz, gather);
    Buf *out = &all->page->body;
    const BusStats *sum = &all->sum;
    size_t total = all->items.len;
    size_t from = (uint64_t)all->offset < total ? (size_t)all->offset : total;
    size_t to = (uint64_t)all->limit < total - from ? from + (size_t)all->limit : total;

    buf_append_char(out, '{');
    monitor_write_head(out, all->facts);
    buf_printf(out,
               ",\"num_subscriptions\":%llu,\"num_cache\":%llu,\"num_inserts\":%llu,\"num_"
               "removes\":%llu,\"num_matches\":%llu",
               (unsigned long long)sum->subscriptions, (unsigned long long)sum->cache_entries,
               (unsigned long long)sum->inserts, (unsigned long long)sum->removes,
               (unsigned long long)sum->matches);
    buf_append_lit(out, ",\"cache_hit_rate\":");
    write_ratio(out, sum->cache_hits, sum->matches);
    buf_printf(out, ",\"max_fanout\":%llu,\"avg_fanout\":", (unsigned long long)sum->fanout_max);
    write_ratio(out, sum->fanout_sum, sum->fanout_count);
    buf_printf(out, ",\"total\":%zu,\"offset\":%lld,\"limit\":%lld", total, (long long)all->offset,
               (long long)all->limit);
    if (total) {
        qsort(all->items.at, total, sizeof all->items.at[0], by_text);
        buf_append_lit(out, ",\"subscriptions_list\":[");
        for (size_t i = from; i < to; i++) {
            if (i > from)
                buf_append_char(out, ',');
            buf_append(out, slice_of_text(all->items.at[i].json));
        }
        buf_append_char(out, ']');
    }
    buf_append_char(out, '}');
    for (size_t i = 0; i < total; i++)
        mem_free(all->items.at[i].json);
    vec_done(&all->items);
    buf_done(&all->test);
    buf_done(&all->account);
    page_finish(all->page);
    mem_free(all);
}

void subsz_page(Page *page, void *cookie) {
    bool is_listing = false;
    int64_t offset = 0, limit = 1024;
    Slice test = {0}, account = {0};
    if (!page_bool(page, LIT("subs"), &is_listing) || !page_int(page, LIT("offset"), &offset) ||
        !page_int(page, LIT("limit"), &limit))
        return;
    if (page_text(page, LIT("test"), &test) && test.len && !subject_is_literal(test)) {
        page_fail(page, 400, "invalid test subject, must be publish subject: %.*s",
                  SLICE_ARG(test));
        return;
    }
    (void)page_text(page, LIT("acc"), &account);
    Subsz *all = mem_zalloc(sizeof *all);
    all->gather.visit = visit;
    all->gather.finish = finish;
    all->page = page;
    all->facts = cookie;
    all->is_listing = is_listing || test.len;
    all->offset = offset < 0 ? 0 : offset;
    all->limit = limit <= 0 ? 1024 : limit;
    buf_append(&all->test, test);
    buf_append(&all->account, account);
    gather_start(&all->gather, page->home);
}
