/* The handlers behind monitor_add_pages, one file each; cookie is the MonitorFacts. */
#pragma once

#include "monitor/page.h"

typedef struct ScrubStatus ScrubStatus;

/* Its figures, without braces. */
void monitor_write_scrub(Buf *out, const ScrubStatus *status);

PageHandler subsz_page, jsz_page, healthz_page, accountz_page, routez_page, gatewayz_page,
    leafz_page, scrubz_page, scrub_start_page;
