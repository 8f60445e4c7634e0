/* /accountz: the accounts, or one of them. */
#include "base/mem.h"
#include "bus/bus.h"
#include "cluster/leafnodes.h"
#include "io/clock.h"
#include "monitor/gather.h"
#include "monitor/monitor.h"
#include "monitor/monitor_pages.h"
#include "proto/json.h"
#include "proto/timefmt.h"

static void write_names(Buf *out, Bus *bus) {
    buf_append_lit(out, ",\"accounts\":[");
    for (size_t i = 0; i < bus_account_count(bus); i++) {
        if (i)
            buf_append_char(out, ',');
        json_write_string(out, account_name(bus_account(bus, i)));
    }
    buf_append_char(out, ']');
}

/* The detail of one account: who has leafnode connections knows their homes only. */
typedef struct AccountDetail {
    Gather gather;
    Page *page;
    const MonitorFacts *facts;
    Account *account;
    LeafStats leafs;
} AccountDetail;

static void visit(Gather *gather, Worker *here) {
    AccountDetail *detail = CONTAINER_OF(gather, AccountDetail, gather);
    if (here->leafnodes)
        leafnodes_account_stats(here->leafnodes, account_index(detail->account), &detail->leafs);
}

static void write_head(Buf *out, const MonitorFacts *facts) {
    buf_append_char(out, '{');
    monitor_write_head(out, facts);
    buf_append_lit(out, ",\"system_account\":");
    json_write_string(out, facts->system_account);
}

static void finish(Gather *gather) {
    AccountDetail *detail = CONTAINER_OF(gather, AccountDetail, gather);
    const MonitorFacts *facts = detail->facts;
    const Account *account = detail->account;
    const JetStreamOptions *js = facts->jetstream;
    Buf *out = &detail->page->body;
    bool has_js = js && js->account_is_enabled[account_index(account)];
    bool is_system = slice_equal(account_name(account), facts->system_account);
    write_head(out, facts);
    buf_append_lit(out, ",\"account_detail\":{\"account_name\":");
    json_write_string(out, account_name(account));
    buf_append_lit(out, ",\"update_time\":\"");
    time_write(out, clock_wall_ns());
    buf_printf(out,
               "\"%s,\"expired\":false,\"complete\":true,\"jetstream_enabled\":%s,"
               "\"leafnode_connections\":%llu}}",
               is_system ? ",\"is_system\":true" : "", has_js ? "true" : "false",
               (unsigned long long)detail->leafs.open);
    page_finish(detail->page);
    mem_free(detail);
}

void accountz_page(Page *page, void *cookie) {
    const MonitorFacts *facts = cookie;
    Bus *bus = page->home->all[0]->bus; /* the table of accounts is immutable */
    Slice name = {0};
    if (page_text(page, LIT("acc"), &name) && name.len) {
        Account *account = bus_account_by_name(bus, name);
        if (account == NULL) {
            page_fail(page, 500, "account %.*s does not exist", SLICE_ARG(name));
            return;
        }
        AccountDetail *detail = mem_zalloc(sizeof *detail);
        *detail = (AccountDetail){.gather = {.visit = visit, .finish = finish},
                                  .page = page,
                                  .facts = facts,
                                  .account = account};
        gather_start(&detail->gather, page->home);
        return;
    }
    write_head(&page->body, facts);
    write_names(&page->body, bus);
    buf_append_char(&page->body, '}');
    page_finish(page);
}
