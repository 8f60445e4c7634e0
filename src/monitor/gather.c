#include "monitor/gather.h"

#include <stddef.h>

static void arrive(Worker *here, Mail *mail) {
    Gather *gather = CONTAINER_OF(mail, Gather, mail);
    if (here == gather->main) {
        gather->finish(gather);
        return;
    }
    gather->visit(gather, here);
    unsigned next = ++gather->next;
    worker_post(here, here->all[next], &gather->mail); /* all[count] is the main worker */
}

void gather_start(Gather *gather, Worker *main) {
    gather->main = main;
    gather->next = 0;
    gather->mail = (Mail){.arrive = arrive};
    worker_post(main, main->all[0], &gather->mail);
}
