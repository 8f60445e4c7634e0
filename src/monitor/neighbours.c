/* /routez, /gatewayz: the other servers of a cluster, in which this one stands alone. */
#include "monitor/monitor.h"
#include "monitor/monitor_pages.h"
#include "proto/json.h"

static void finish(Page *page, const MonitorFacts *facts, Slice rest) {
    Buf *out = &page->body;
    buf_append_char(out, '{');
    monitor_write_head(out, facts);
    buf_append(out, rest);
    buf_append_char(out, '}');
    page_finish(page);
}

void routez_page(Page *page, void *cookie) {
    finish(page, cookie, LIT(",\"num_routes\":0,\"routes\":[]"));
}

void gatewayz_page(Page *page, void *cookie) {
    finish(page, cookie, LIT(",\"outbound_gateways\":{},\"inbound_gateways\":{}"));
}
