/* Services: requests of the system account to this server ($SYS.REQ.SERVER.PING.VARZ and the like),
 * answered with the pages of monitoring. */
#pragma once

#include "monitor/page.h"
#include "server/varz.h"

typedef struct Services Services;

/* Set-up, after the bus was made and all pages were added. pages and facts must live on. */
Services *services_new(Worker *main, Pages *pages, const VarzFacts *facts);
/* After the workers were joined and the buses freed. NULL-safe. */
void services_free(Services *services);
