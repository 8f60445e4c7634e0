/* /connz: open and closed client connections. */
#pragma once

#include "monitor/monitor.h"

/* facts must live on. The page runs on the main worker, whose clients must be set. */
void connz_add_page(Pages *pages, const MonitorFacts *facts);
