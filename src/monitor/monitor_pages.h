/* The handlers behind monitor_add_pages, one file each; cookie is the MonitorFacts. */
#pragma once

#include "monitor/page.h"

PageHandler subsz_page, jsz_page, healthz_page, accountz_page, routez_page, gatewayz_page,
    leafz_page, scrubz_page, scrub_start_page;
