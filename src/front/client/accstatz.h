/* /accstatz: what each account's clients do. */
#pragma once

#include "monitor/monitor.h"

/* facts must live on. */
void accstatz_add_page(Pages *pages, const MonitorFacts *facts);
