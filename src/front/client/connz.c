#include "front/client/connz.h"

#include <stdlib.h>

#include "base/vec.h"
#include "front/client/clients.h"
#include "io/clock.h"
#include "monitor/gather.h"
#include "proto/json.h"
#include "proto/subject.h"
#include "proto/timefmt.h"

typedef struct ConnRow {
    uint64_t cid, subs, pending, msgs_to, msgs_from, bytes_to, bytes_from, rtt;
    int64_t start, stop, last;
    char *reason; /* borrowed, static */
    char *json;
} ConnRow;

typedef int Comparer(const void *a, const void *b);

typedef struct Connz {
    Gather gather;
    Page *page;
    const MonitorFacts *facts;
    bool auth, subs, subs_detail, wants_open, wants_closed;
    int64_t offset, limit;
    uint64_t cid;
    Buf user, account, filter_subject;
    Comparer *compare;
    int64_t now;
    VEC(ConnRow) rows;
} Connz;

/* How a connection's subscriptions are walked: open and closed ones differ. */
typedef struct SubWalk {
    Connz *all;
    const ClientInfo *info;
    Buf *out;
    bool is_first, matches;
} SubWalk;

static void write_sub(void *cookie, const ClientSubInfo *sub) {
    SubWalk *walk = cookie;
    if (!walk->is_first)
        buf_append_char(walk->out, ',');
    walk->is_first = false;
    if (!walk->all->subs_detail) {
        json_write_string(walk->out, sub->subject);
        return;
    }
    buf_append_lit(walk->out, "{\"subject\":");
    json_write_string(walk->out, sub->subject);
    if (sub->queue.len) {
        buf_append_lit(walk->out, ",\"qgroup\":");
        json_write_string(walk->out, sub->queue);
    }
    buf_append_lit(walk->out, ",\"sid\":");
    json_write_string(walk->out, sub->sid);
    buf_printf(walk->out, ",\"msgs\":%llu", (unsigned long long)sub->msgs);
    if (sub->max)
        buf_printf(walk->out, ",\"max\":%llu", (unsigned long long)sub->max);
    buf_printf(walk->out, ",\"cid\":%llu}", (unsigned long long)walk->info->cid);
}

static void match_sub(void *cookie, const ClientSubInfo *sub) {
    SubWalk *walk = cookie;
    walk->matches |= subject_overlaps(sub->subject, buf_slice(&walk->all->filter_subject));
}

static void write_text(Buf *out, const char *name, Slice value) {
    if (value.len == 0)
        return;
    buf_printf(out, ",\"%s\":", name);
    json_write_string(out, value);
}

static void write_time(Buf *out, const char *name, int64_t wall_ns) {
    buf_printf(out, ",\"%s\":\"", name);
    time_write(out, wall_ns);
    buf_append_char(out, '"');
}

/* "1y2d3h4m5s", whole seconds, as the original shows uptime and idle. */
static void write_span(Buf *out, const char *name, int64_t ns) {
    uint64_t seconds = ns > 0 ? (uint64_t)ns / NS_PER_S : 0;
    uint64_t days = seconds / 86400;
    buf_printf(out, ",\"%s\":\"", name);
    if (days >= 365)
        buf_printf(out, "%lluy", (unsigned long long)(days / 365));
    if (days)
        buf_printf(out, "%llud", (unsigned long long)(days % 365));
    if (seconds >= 3600)
        buf_printf(out, "%lluh", (unsigned long long)(seconds / 3600 % 24));
    if (seconds >= 60)
        buf_printf(out, "%llum", (unsigned long long)(seconds / 60 % 60));
    buf_printf(out, "%llus\"", (unsigned long long)(seconds % 60));
}

static void write_conn(const Connz *all, Buf *out, const ClientInfo *info) {
    int64_t until = info->stop_ns ? info->stop_ns : all->now;
    buf_printf(out, "{\"cid\":%llu,\"kind\":\"Client\",\"type\":\"%s\",\"ip\":",
               (unsigned long long)info->cid, info->is_websocket ? "websocket" : "nats");
    json_write_string(out, info->ip);
    buf_printf(out, ",\"port\":%u", info->port);
    write_time(out, "start", info->start_ns);
    write_time(out, "last_activity", info->last_activity_ns);
    if (info->stop_ns) {
        write_time(out, "stop", info->stop_ns);
        write_text(out, "reason", slice_of_text(info->reason));
    }
    if (info->rtt_ns) {
        buf_append_lit(out, ",\"rtt\":\"");
        duration_write(out, (int64_t)info->rtt_ns);
        buf_append_char(out, '"');
    }
    write_span(out, "uptime", until - info->start_ns);
    write_span(out, "idle", until - info->last_activity_ns);
    buf_printf(out,
               ",\"pending_bytes\":%llu,\"in_msgs\":%llu,\"out_msgs\":%llu,\"in_bytes\":%llu,\"out_"
               "bytes\":%llu",
               (unsigned long long)info->pending_bytes, (unsigned long long)info->in_msgs,
               (unsigned long long)info->out_msgs, (unsigned long long)info->in_bytes,
               (unsigned long long)info->out_bytes);
    if (info->stalls)
        buf_printf(out, ",\"stalls\":%llu", (unsigned long long)info->stalls);
    buf_printf(out, ",\"subscriptions\":%llu", (unsigned long long)info->subscriptions);
    write_text(out, "name", info->name);
    write_text(out, "lang", info->lang);
    write_text(out, "version", info->version);
    if (all->auth) {
        write_text(out, "authorized_user", info->user);
        write_text(out, "account", info->account);
    }
}

typedef void SubEach(const void *of, void (*each)(void *cookie, const ClientSubInfo *sub),
                     void *cookie);

static void add_row(Connz *all, const ClientInfo *info, const void *of, SubEach *each_sub) {
    if ((all->cid && info->cid != all->cid) ||
        (all->user.len && !slice_equal(info->user, buf_slice(&all->user))) ||
        (all->account.len && !slice_equal(info->account, buf_slice(&all->account))))
        return;
    Buf out = {0};
    SubWalk walk = {.all = all, .info = info, .out = &out, .is_first = true};
    if (all->filter_subject.len) {
        each_sub(of, match_sub, &walk);
        if (!walk.matches)
            return;
    }
    write_conn(all, &out, info);
    if (all->subs && info->subscriptions) {
        buf_append(&out, all->subs_detail ? LIT(",\"subscriptions_list_detail\":[")
                                          : LIT(",\"subscriptions_list\":["));
        each_sub(of, write_sub, &walk);
        buf_append_char(&out, ']');
    }
    buf_append_char(&out, '}');
    (void)buf_text(&out);
    vec_push(&all->rows, ((ConnRow){.cid = info->cid,
                                    .subs = info->subscriptions,
                                    .pending = info->pending_bytes,
                                    .msgs_to = info->out_msgs,
                                    .msgs_from = info->in_msgs,
                                    .bytes_to = info->out_bytes,
                                    .bytes_from = info->in_bytes,
                                    .rtt = info->rtt_ns,
                                    .start = info->start_ns,
                                    .stop = info->stop_ns,
                                    .last = info->last_activity_ns,
                                    .reason = (char *)(uintptr_t)info->reason,
                                    .json = out.ptr}));
}

static void open_subs(const void *of, void (*each)(void *cookie, const ClientSubInfo *sub),
                      void *cookie) {
    client_each_sub(of, each, cookie);
}

static void closed_subs(const void *of, void (*each)(void *cookie, const ClientSubInfo *sub),
                        void *cookie) {
    closed_client_each_sub(of, each, cookie);
}

static void add_open(void *cookie, const ClientInfo *info, const Client *client) {
    add_row(cookie, info, client, open_subs);
}

static void add_closed(void *cookie, const ClientInfo *info, const ClosedClient *closed) {
    add_row(cookie, info, closed, closed_subs);
}

static void visit(Gather *gather, Worker *here) {
    Connz *all = CONTAINER_OF(gather, Connz, gather);
    if (all->wants_open)
        clients_each(here->clients, add_open, all);
}

#define COMPARE(name, field, sign)                                                                 \
    static int name(const void *a, const void *b) {                                                \
        const ConnRow *x = a, *y = b;                                                              \
        if (x->field == y->field)                                                                  \
            return x->cid < y->cid ? -1 : x->cid > y->cid;                                         \
        return x->field < y->field ? -(sign) : (sign);                                             \
    }
COMPARE(by_cid, cid, 1)
COMPARE(by_start, start, 1)
COMPARE(by_subs, subs, -1)
COMPARE(by_pending, pending, -1)
COMPARE(by_msgs_to, msgs_to, -1)
COMPARE(by_msgs_from, msgs_from, -1)
COMPARE(by_bytes_to, bytes_to, -1)
COMPARE(by_bytes_from, bytes_from, -1)
COMPARE(by_last, last, -1)
COMPARE(by_idle, last, 1)
COMPARE(by_stop, stop, -1)
COMPARE(by_rtt, rtt, -1)

static int by_reason(const void *a, const void *b) {
    const ConnRow *x = a, *y = b;
    int order = strcmp(x->reason ? x->reason : "", y->reason ? y->reason : "");
    return order ? order : by_cid(a, b);
}

static const struct {
    Slice name;
    Comparer *compare;
    bool needs_closed;
} orders[] = {
    {LIT("cid"), by_cid, false},           {LIT("start"), by_start, false},
    {LIT("subs"), by_subs, false},         {LIT("pending"), by_pending, false},
    {LIT("msgs_to"), by_msgs_to, false},   {LIT("msgs_from"), by_msgs_from, false},
    {LIT("bytes_to"), by_bytes_to, false}, {LIT("bytes_from"), by_bytes_from, false},
    {LIT("last"), by_last, false},         {LIT("idle"), by_idle, false},
    {LIT("uptime"), by_start, false},      {LIT("stop"), by_stop, true},
    {LIT("reason"), by_reason, true},      {LIT("rtt"), by_rtt, false},
};

static void connz_free(Connz *all) {
    for (size_t i = 0; i < all->rows.len; i++)
        mem_free(all->rows.at[i].json);
    vec_done(&all->rows);
    buf_done(&all->user);
    buf_done(&all->account);
    buf_done(&all->filter_subject);
    mem_free(all);
}

static void finish(Gather *gather) {
    Connz *all = CONTAINER_OF(gather, Connz, gather);
    Buf *out = &all->page->body;
    if (all->wants_closed)
        clients_each_closed(gather->main->clients, add_closed, all);
    size_t total = all->rows.len;
    size_t from = (uint64_t)all->offset < total ? (size_t)all->offset : total;
    size_t to = (uint64_t)all->limit < total - from ? from + (size_t)all->limit : total;
    if (total)
        qsort(all->rows.at, total, sizeof all->rows.at[0], all->compare);
    buf_append_char(out, '{');
    monitor_write_head(out, all->facts);
    buf_printf(
        out,
        ",\"num_connections\":%zu,\"total\":%zu,\"offset\":%lld,\"limit\":%lld,\"connections\":[",
        to - from, total, (long long)all->offset, (long long)all->limit);
    for (size_t i = from; i < to; i++) {
        if (i > from)
            buf_append_char(out, ',');
        buf_append(out, slice_of_text(all->rows.at[i].json));
    }
    buf_append_lit(out, "]}");
    page_finish(all->page);
    connz_free(all);
}

/* False: the page was failed. */
static bool read_state_and_sort(Connz *all) {
    Slice state = LIT("open"), sort = {0}, subs = {0};
    Page *page = all->page;
    (void)page_text(page, LIT("state"), &state);
    all->wants_open = state.len == 0 || slice_equal_ignoring_case(state, LIT("open")) ||
                      slice_equal_ignoring_case(state, LIT("any")) ||
                      slice_equal_ignoring_case(state, LIT("all"));
    all->wants_closed = slice_equal_ignoring_case(state, LIT("closed")) ||
                        slice_equal_ignoring_case(state, LIT("any")) ||
                        slice_equal_ignoring_case(state, LIT("all"));
    if (!all->wants_open && !all->wants_closed) {
        page_fail(page, 400, "Error decoding state for %.*s", SLICE_ARG(state));
        return false;
    }
    if (page_text(page, LIT("subs"), &subs) && slice_equal_ignoring_case(subs, LIT("detail")))
        all->subs = all->subs_detail = true;
    else if (!page_bool(page, LIT("subs"), &all->subs))
        return false;
    all->compare = by_cid;
    if (!page_text(page, LIT("sort"), &sort) || sort.len == 0)
        return true;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (!slice_equal(sort, orders[i].name))
            continue;
        if (orders[i].needs_closed && all->wants_open && !(i == 11 && all->wants_closed)) {
            page_fail(page, 400, "sort by %.*s only valid on closed connections", SLICE_ARG(sort));
            return false;
        }
        all->compare = orders[i].compare;
        return true;
    }
    page_fail(page, 400, "invalid sorting option: %.*s", SLICE_ARG(sort));
    return false;
}

static bool read_parameters(Connz *all) {
    Slice text;
    Page *page = all->page;
    if (page_text(page, LIT("user"), &text))
        buf_append(&all->user, text);
    if (page_text(page, LIT("acc"), &text))
        buf_append(&all->account, text);
    if (page_text(page, LIT("filter_subject"), &text))
        buf_append(&all->filter_subject, text);
    return page_bool(page, LIT("auth"), &all->auth) &&
           page_int(page, LIT("offset"), &all->offset) &&
           page_int(page, LIT("limit"), &all->limit) && page_u64(page, LIT("cid"), &all->cid) &&
           read_state_and_sort(all);
}

static void connz_page(Page *page, void *cookie) {
    Connz *all = mem_zalloc(sizeof *all);
    *all = (Connz){.gather = {.visit = visit, .finish = finish},
                   .page = page,
                   .facts = cookie,
                   .limit = 1024,
                   .now = clock_wall_ns()};
    if (!read_parameters(all)) {
        connz_free(all);
        return;
    }
    all->offset = all->offset < 0 ? 0 : all->offset;
    all->limit = all->limit <= 0 ? 1024 : all->limit;
    gather_start(&all->gather, page->home);
}

void connz_add_page(Pages *pages, const MonitorFacts *facts) {
    pages_add(pages, LIT("/connz"), connz_page, (void *)(uintptr_t)facts);
}
