/* /jsz: JetStream's usage, accounts, streams and consumers. */
#include <stdlib.h>

#include "base/vec.h"
#include "journal/progress.h"
#include "journal/scrubber.h"
#include "monitor/gather.h"
#include "monitor/monitor.h"
#include "monitor/monitor_pages.h"
#include "proto/json.h"
#include "proto/timefmt.h"
#include "store/chunk_table.h"
#include "stream/consumer_set.h"
#include "stream/stream.h"

typedef struct StreamText {
    size_t account;
    char *name;
    Buf json;
} StreamText;

typedef struct Jsz {
    Gather gather;
    Page *page;
    const MonitorFacts *facts;
    bool accounts, streams, consumers, config, direct_consumers, ignored;
    int64_t offset, limit;
    Buf only; /* acc */
    JetStreamUsage sum;
    JetStreamUsage *by_account;
    size_t account_count;
    VEC(StreamText) texts;
    ScrubStatus scrub;
} Jsz;

static void write_consumers(Stream *stream, Buf *out) {
    Consumer **list;
    size_t n = consumer_set_page(stream->consumers, 0, SIZE_MAX, &list);
    bool is_first = true;
    for (size_t i = 0; i < n; i++) {
        buf_append(out, is_first ? LIT(",\"consumer_detail\":[{") : LIT(",{"));
        is_first = false;
        consumer_info_write(out, list[i], false);
        buf_append_char(out, '}');
    }
    if (!is_first)
        buf_append_char(out, ']');
}

static void add_stream(Jsz *all, Worker *here, Stream *stream) {
    StreamText text = {.account = account_index(stream->account),
                       .name = slice_to_text(stream_name(stream))};
    Buf *out = &text.json;
    buf_append_lit(out, "{\"name\":");
    json_write_string(out, stream_name(stream));
    buf_append_lit(out, ",\"created\":\"");
    time_write(out, stream->created_ns);
    buf_append_lit(out, "\",\"cluster\":{\"leader\":");
    json_write_string(out, all->facts->server_name);
    buf_append_char(out, '}');
    if (all->config) {
        buf_append_lit(out, ",\"config\":");
        stream_config_write(out, stream->config, false);
    }
    buf_append_lit(out, ",\"state\":");
    stream_state_write(out, stream);
    if (all->consumers)
        write_consumers(stream, out);
    buf_append_char(out, '}');
    vec_push(&all->texts, text);
}

static void visit(Gather *gather, Worker *here) {
    Jsz *all = CONTAINER_OF(gather, Jsz, gather);
    JetStream *js = here->jetstream;
    if (js == NULL)
        return;
    monitor_add_usage(here, &all->sum);
    if (here->index == 0)
        journal_scrub_status(js->store, &all->scrub);
    for (size_t i = 0; i < all->account_count; i++) {
        const JetStreamUsage *usage = &js->usage[i];
        all->by_account[i].memory += usage->memory;
        all->by_account[i].storage += usage->storage;
        all->by_account[i].api_total += usage->api_total;
        all->by_account[i].api_errors += usage->api_errors;
    }
    void *value;
    uint64_t group;
    for (size_t at = 0; all->streams && map64_next(&js->streams, &at, &group, &value);)
        if (!((Stream *)value)->is_hidden)
            add_stream(all, here, value);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const StreamText *)a)->name, ((const StreamText *)b)->name);
}

static void write_usage(Buf *out, const JetStreamUsage *usage, bool has_reserve, uint64_t accounts,
                        unsigned level) {
    buf_printf(out,
               "\"memory\":%llu,\"storage\":%llu,\"reserved_memory\":%llu,\"reserved_storage\":%"
               "llu,\"accounts\":%llu,\"ha_assets\":0,"
               "\"api\":{\"level\":%u,\"total\":%llu,\"errors\":%llu}",
               (unsigned long long)usage->memory, (unsigned long long)usage->storage,
               has_reserve ? (unsigned long long)usage->reserved_memory : ~0ull,
               has_reserve ? (unsigned long long)usage->reserved_storage : ~0ull,
               (unsigned long long)accounts, level, (unsigned long long)usage->api_total,
               (unsigned long long)usage->api_errors);
}

static void write_account(Jsz *all, Buf *out, size_t index, Slice name) {
    buf_append_lit(out, "{\"name\":");
    json_write_string(out, name);
    buf_append_lit(out, ",\"id\":");
    json_write_string(out, name);
    buf_append_char(out, ',');
    write_usage(out, &all->by_account[index], false, 0, 0);
    bool is_first = true;
    for (size_t i = 0; i < all->texts.len; i++) {
        StreamText *text = &all->texts.at[i];
        if (text->account != index)
            continue;
        buf_append(out, is_first ? LIT(",\"stream_detail\":[") : LIT(","));
        is_first = false;
        buf_append(out, buf_slice(&text->json));
    }
    buf_append(out, is_first ? LIT("}") : LIT("]}"));
}

static void write_accounts(Jsz *all, Buf *out, Bus *bus) {
    int64_t skip = all->only.len ? 0 : all->offset, left = all->only.len ? 1 : all->limit;
    bool is_first = true;
    for (size_t i = 0; i < all->account_count && left > 0; i++) {
        Slice name = account_name(bus_account(bus, i));
        if (!all->facts->jetstream->account_is_enabled[i] ||
            (all->only.len && !slice_equal(name, buf_slice(&all->only))) || skip-- > 0)
            continue;
        buf_append(out, is_first ? LIT(",\"account_details\":[") : LIT(","));
        is_first = false;
        left--;
        write_account(all, out, i, name);
    }
    if (!is_first)
        buf_append_char(out, ']');
}

static uint64_t enabled_accounts(const Jsz *all) {
    uint64_t n = 0;
    for (size_t i = 0; all->facts->jetstream && i < all->account_count; i++)
        n += all->facts->jetstream->account_is_enabled[i];
    return n;
}

static void jsz_free(Jsz *all) {
    for (size_t i = 0; i < all->texts.len; i++) {
        mem_free(all->texts.at[i].name);
        buf_done(&all->texts.at[i].json);
    }
    vec_done(&all->texts);
    buf_done(&all->only);
    mem_free(all->by_account);
    mem_free(all);
}

/* Nothing of it is in the original's page: left out when there are none. */
static void write_chunks(const Jsz *all, Buf *out) {
    JetStream *js = all->page->home->all[0]->jetstream;
    ChunkTotals totals = js ? chunk_table_totals(js->chunks) : (ChunkTotals){0};
    if (totals.chunks)
        buf_printf(out,
                   ",\"hw_chunks\":{\"messages\":%llu,\"bytes\":%llu,\"chunks\":%llu,"
                   "\"stored_bytes\":%llu,\"damaged\":%llu}",
                   (unsigned long long)all->sum.chunk_messages,
                   (unsigned long long)all->sum.chunk_bytes, (unsigned long long)totals.chunks,
                   (unsigned long long)totals.bytes, (unsigned long long)totals.damaged);
}

/* What the files of the log and of index runs take, beside what is accounted. */
static void write_store(Jsz *all, Buf *out) {
    const JetStream *js = all->page->home->all[0]->jetstream;
    JournalSpace space;
    journal_store_space(js->store, &space);
    buf_printf(out,
               ",\"hw_store\":{\"log_bytes\":%llu,\"spare_bytes\":%llu,\"live_bytes\":%llu,"
               "\"dead_bytes\":%llu,\"index_bytes\":%llu,\"moved_records\":%llu,"
               "\"moved_bytes\":%llu,\"packed_bytes\":%llu,\"frame_bytes\":%llu}",
               (unsigned long long)space.log_bytes, (unsigned long long)space.spare_bytes,
               (unsigned long long)space.live_bytes, (unsigned long long)space.dead_bytes,
               (unsigned long long)space.index_bytes, (unsigned long long)space.moved_records,
               (unsigned long long)space.moved_bytes, (unsigned long long)space.packed_bytes,
               (unsigned long long)space.frame_bytes);
}

static void finish(Gather *gather) {
    Jsz *all = CONTAINER_OF(gather, Jsz, gather);
    Buf *out = &all->page->body;
    uint64_t accounts = enabled_accounts(all);
    buf_append_char(out, '{');
    write_usage(out, &all->sum, true, accounts, 5);
    buf_append_char(out, ',');
    monitor_write_head(out, all->facts);
    buf_append_char(out, ',');
    monitor_write_js_config(out, all->facts);
    buf_printf(out, ",\"streams\":%llu,\"consumers\":%llu,\"messages\":%llu,\"bytes\":%llu",
               (unsigned long long)all->sum.streams, (unsigned long long)all->sum.consumers,
               (unsigned long long)all->sum.messages, (unsigned long long)all->sum.bytes);
    write_chunks(all, out);
    write_store(all, out);
    if (all->texts.len)
        qsort(all->texts.at, all->texts.len, sizeof all->texts.at[0], by_name);
    if (all->accounts)
        write_accounts(all, out, all->page->home->all[0]->bus);
    buf_append_lit(out, ",\"scrub\":{");
    monitor_write_scrub(out, &all->scrub);
    buf_printf(out, "},\"total\":%llu}", (unsigned long long)accounts);
    page_finish(all->page);
    jsz_free(all);
}

static bool read_parameters(Page *page, Jsz *all) {
    Slice only = {0};
    bool *const ignored = &all->ignored; /* what only clusters have */
    if (page_text(page, LIT("acc"), &only)) {
        buf_append(&all->only, only);
        all->accounts = only.len > 0;
    }
    return page_bool(page, LIT("accounts"), &all->accounts) &&
           page_bool(page, LIT("streams"), &all->streams) &&
           page_bool(page, LIT("consumers"), &all->consumers) &&
           page_bool(page, LIT("config"), &all->config) &&
           page_bool(page, LIT("direct-consumers"), &all->direct_consumers) &&
           page_bool(page, LIT("leader-only"), ignored) &&
           page_bool(page, LIT("stream-leader-only"), ignored) &&
           page_bool(page, LIT("raft"), ignored) && page_int(page, LIT("offset"), &all->offset) &&
           page_int(page, LIT("limit"), &all->limit);
}

/* What can be said while the store is read: nothing of the workers is looked at. */
static void write_recovering(Page *page, const MonitorFacts *facts) {
    Buf *out = &page->body, stage = {0};
    JetStreamUsage none = {0};
    size_t streams = journal_progress_names(facts->recovery, 0, out);
    buf_append_char(out, '{');
    write_usage(out, &none, true, 0, 5);
    buf_append_char(out, ',');
    monitor_write_head(out, facts);
    buf_append_char(out, ',');
    monitor_write_js_config(out, facts);
    buf_append_lit(out, ",\"streams\":0,\"consumers\":0,\"messages\":0,\"bytes\":0,"
                        "\"hw_recovering\":{\"stage\":");
    journal_progress_write(facts->recovery, &stage);
    json_write_string(out, buf_slice(&stage));
    buf_printf(out, ",\"streams_not_ready\":%zu},\"total\":0}", streams);
    buf_done(&stage);
    page_finish(page);
}

void jsz_page(Page *page, void *cookie) {
    const MonitorFacts *facts = cookie;
    if (facts->jetstream == NULL) {
        buf_append_char(&page->body, '{');
        buf_append_lit(&page->body, "\"memory\":0,\"storage\":0,\"reserved_memory\":0,\"reserved_"
                                    "storage\":0,\"accounts\":0,\"ha_assets\":0,"
                                    "\"api\":{\"level\":0,\"total\":0,\"errors\":0},");
        monitor_write_head(&page->body, facts);
        buf_append_lit(&page->body, ",\"disabled\":true,\"streams\":0,\"consumers\":0,\"messages\":"
                                    "0,\"bytes\":0,\"total\":0}");
        page_finish(page);
        return;
    }
    if (monitor_is_recovering(facts)) {
        write_recovering(page, facts);
        return;
    }
    Jsz *all = mem_zalloc(sizeof *all);
    *all = (Jsz){
        .gather = {.visit = visit, .finish = finish}, .page = page, .facts = facts, .limit = 1024};
    all->account_count = bus_account_count(page->home->all[0]->bus);
    all->by_account = mem_zalloc(all->account_count * sizeof *all->by_account);
    if (!read_parameters(page, all)) {
        jsz_free(all);
        return;
    }
    all->streams |= all->consumers;
    all->accounts |= all->streams;
    all->offset = all->offset < 0 ? 0 : all->offset;
    gather_start(&all->gather, page->home);
}
