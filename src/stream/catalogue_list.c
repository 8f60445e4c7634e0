#include <string.h>

#include "base/mem.h"
#include "proto/subject.h"
#include "stream/catalogue_private.h"

/* STREAM.NAMES, STREAM.LIST and INFO. What only the homes know is gathered by one mail that visits
 * all workers in turn. */

typedef struct ListRequest {
    int64_t offset;
    Slice subject;
} ListRequest;

static const JsonField list_rows[] = {
    JSON_ROW(ListRequest, offset, "offset", JSON_INT, .go_type = "int"),
    JSON_ROW(ListRequest, subject, "subject", JSON_STRING),
};
static const JsonSchema names_schema = JSON_SCHEMA("JSApiStreamNamesRequest", list_rows);
static const JsonSchema list_schema = JSON_SCHEMA("JSApiStreamListRequest", list_rows);

static bool read_page(ApiCall *call, const JsonSchema *schema, size_t limit, AssetPage *out_page) {
    ListRequest request = {0};

    if (json_looks_structured(call->body) && !api_read_body(call, schema, JSON_STRICT, &request))
        return false;
    out_page->offset = request.offset > 0 ? (size_t)request.offset : 0;
    catalogue_page(call->js->catalogue, call->account, request.subject, limit, api_arena(call),
                   out_page);
    return true;
}

void catalogue_on_stream_names(ApiCall *call) {
    AssetPage page;
    Buf out;

    if (!read_page(call, &names_schema, LIMIT_API_NAMES_PER_PAGE, &page))
        return;
    api_begin(call, &out);
    api_write_page(&out, page.total, page.offset, LIMIT_API_NAMES_PER_PAGE);
    buf_append_lit(&out, ",\"streams\":");
    if (page.count == 0)
        buf_append_lit(&out, "null");
    for (size_t i = 0; i < page.count; i++) {
        buf_append_char(&out, i == 0 ? '[' : ',');
        json_write_string(&out, page.assets[i]->config->name);
    }
    if (page.count > 0)
        buf_append_char(&out, ']');
    api_finish(call, &out);
}

/* Gather: visits worker 0, 1, ... and ends on worker 0. */

typedef struct ListItem {
    uint32_t group;
    Buf info; /* stays empty when the stream went meanwhile */
} ListItem;

typedef struct Gather {
    Mail mail;
    ApiCall *call;
    unsigned next;
    void (*visit)(struct Gather *gather, JetStream *js);
    void (*end)(struct Gather *gather, ApiCall *call); /* frees what it holds, not gather */
    size_t account;
    uint64_t total, offset;
    JetStreamUsage sum;
    size_t item_count;
    ListItem items[];
} Gather;

static void gather_arrived(Worker *here, Mail *mail);

static void gather_go(Worker *from, Gather *gather) {
    worker_post(from, from->all[gather->next < from->count ? gather->next : 0], &gather->mail);
}

static void gather_arrived(Worker *here, Mail *mail) {
    Gather *gather = CONTAINER_OF(mail, Gather, mail);

    if (gather->next < here->count) {
        gather->visit(gather, here->jetstream);
        gather->next++;
        gather_go(here, gather);
        return;
    }
    api_attach(gather->call, here);
    gather->end(gather, gather->call);
    mem_free(gather);
}

static Gather *new_gather(ApiCall *call, size_t item_count) {
    Gather *gather = mem_zalloc(sizeof *gather + item_count * sizeof gather->items[0]);

    gather->mail.arrive = gather_arrived;
    gather->call = call;
    gather->account = account_index(call->account);
    gather->item_count = item_count;
    return gather;
}

/* Takes gather and its call. */
static void gather_start(Gather *gather) {
    Worker *here = gather->call->home;

    api_detach(gather->call);
    gather_go(here, gather);
}

static void visit_for_list(Gather *gather, JetStream *js) {
    StreamInfoOptions options = {.has_domain = true, .is_list = true};

    for (size_t i = 0; i < gather->item_count; i++) {
        ListItem *item = &gather->items[i];
        if (jetstream_home_of(js->home, item->group) != js->home)
            continue;
        Stream *stream = map64_get(&js->streams, item->group);
        if (!stream)
            continue;
        buf_append_char(&item->info, '{');
        stream_info_write(&item->info, stream, &options);
        buf_append_char(&item->info, '}');
    }
}

static void end_list(Gather *gather, ApiCall *call) {
    Buf out;
    bool is_first = true;

    api_begin(call, &out);
    api_write_page(&out, gather->total, gather->offset, LIMIT_API_INFOS_PER_PAGE);
    buf_append_lit(&out, ",\"streams\":[");
    for (size_t i = 0; i < gather->item_count; i++) {
        Buf *info = &gather->items[i].info;
        if (info->len) {
            if (!is_first)
                buf_append_char(&out, ',');
            buf_append(&out, buf_slice(info));
            is_first = false;
        }
        buf_done(info);
    }
    buf_append_char(&out, ']');
    api_finish(call, &out);
}

void catalogue_on_stream_list(ApiCall *call) {
    AssetPage page;

    if (!read_page(call, &list_schema, LIMIT_API_INFOS_PER_PAGE, &page))
        return;
    Gather *gather = new_gather(call, page.count);
    gather->visit = visit_for_list;
    gather->end = end_list;
    gather->total = page.total;
    gather->offset = page.offset;
    for (size_t i = 0; i < page.count; i++)
        gather->items[i].group = page.assets[i]->group;
    gather_start(gather);
}

/* Account info. */

static void visit_for_account(Gather *gather, JetStream *js) {
    const JetStreamUsage *usage = &js->usage[gather->account];
    JetStreamUsage *sum = &gather->sum;
    uint64_t group;
    void *value;

    sum->memory += usage->memory;
    sum->storage += usage->storage;
    sum->reserved_memory += usage->reserved_memory;
    sum->reserved_storage += usage->reserved_storage;
    sum->streams += usage->streams;
    sum->api_total += usage->api_total;
    sum->api_errors += usage->api_errors;
    for (size_t at = 0; map64_next(&js->streams, &at, &group, &value);) {
        const Stream *stream = value;
        if (account_index(stream->account) == gather->account)
            sum->consumers += consumer_set_visible_count(stream->consumers);
    }
}

static void write_u64(Buf *out, const char *name, uint64_t value) {
    buf_printf(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

static int64_t shown(int64_t limit) {
    return limit > 0 ? limit : -1;
}

static void write_limits(Buf *out, const JetStreamAccountLimits *limits) {
    buf_printf(out,
               ",\"limits\":{\"max_memory\":%lld,\"max_storage\":%lld,\"max_streams\":%lld,\"max_"
               "consumers\":%lld,"
               "\"max_ack_pending\":%lld,\"memory_max_stream_bytes\":%lld,\"storage_max_stream_"
               "bytes\":%lld,"
               "\"max_bytes_required\":%s}",
               (long long)limits->max_memory, (long long)limits->max_file,
               (long long)shown(limits->max_streams), (long long)shown(limits->max_consumers),
               (long long)shown(limits->max_ack_pending),
               (long long)shown(limits->max_memory_stream_bytes),
               (long long)shown(limits->max_file_stream_bytes),
               limits->max_bytes_required ? "true" : "false");
}

static void end_account(Gather *gather, ApiCall *call) {
    const JetStreamOptions *options = call->js->options;
    const JetStreamUsage *sum = &gather->sum;
    Buf out;

    api_begin(call, &out);
    write_u64(&out, "memory", sum->memory);
    write_u64(&out, "storage", sum->storage);
    write_u64(&out, "reserved_memory", sum->reserved_memory);
    write_u64(&out, "reserved_storage", sum->reserved_storage);
    write_u64(&out, "streams", sum->streams);
    write_u64(&out, "consumers", sum->consumers);
    write_limits(&out, jetstream_limits(options, gather->account));
    if (options->domain.len) {
        buf_append_lit(&out, ",\"domain\":");
        json_write_string(&out, options->domain);
    }
    buf_printf(&out, ",\"api\":{\"level\":%d,\"total\":%llu,\"errors\":%llu}", SERVER_API_LEVEL,
               (unsigned long long)sum->api_total, (unsigned long long)sum->api_errors);
    api_finish(call, &out);
}

void catalogue_on_account_info(ApiCall *call) {
    Gather *gather = new_gather(call, 0);

    gather->visit = visit_for_account;
    gather->end = end_account;
    gather_start(gather);
}
