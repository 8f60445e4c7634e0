/* /accountz: the accounts, or one of them. */
#include "bus/bus.h"
#include "io/clock.h"
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

static void write_detail(Buf *out, const MonitorFacts *facts, Account *account) {
    const JetStreamOptions *js = facts->jetstream;
    bool has_js = js && js->account_is_enabled[account_index(account)];
    bool is_system = slice_equal(account_name(account), facts->system_account);
    buf_append_lit(out, ",\"account_detail\":{\"account_name\":");
    json_write_string(out, account_name(account));
    buf_append_lit(out, ",\"update_time\":\"");
    time_write(out, clock_wall_ns());
    buf_printf(out, "\"%s,\"expired\":false,\"complete\":true,\"jetstream_enabled\":%s}",
               is_system ? ",\"is_system\":true" : "", has_js ? "true" : "false");
}

void accountz_page(Page *page, void *cookie) {
    const MonitorFacts *facts = cookie;
    Bus *bus = page->home->all[0]->bus; /* the table of accounts is immutable */
    Slice name = {0};
    Buf *out = &page->body;
    Account *account = NULL;
    if (page_text(page, LIT("acc"), &name) && name.len) {
        account = bus_account_by_name(bus, name);
        if (account == NULL) {
            page_fail(page, 500, "account %.*s does not exist", SLICE_ARG(name));
            return;
        }
    }
    buf_append_char(out, '{');
    monitor_write_head(out, facts);
    buf_append_lit(out, ",\"system_account\":");
    json_write_string(out, facts->system_account);
    if (account)
        write_detail(out, facts, account);
    else
        write_names(out, bus);
    buf_append_char(out, '}');
    page_finish(page);
}
