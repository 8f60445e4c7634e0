#include "offload_sim.h"

#include "base/assert.h"
#include "base/mem.h"

struct Offload {
    OffloadJob *oldest, *newest; /* linked by mail.next */
};

Status offload_start(unsigned threads, Offload **out_offload) {
    (void)threads;
    *out_offload = mem_zalloc(sizeof **out_offload);
    return OK;
}

void offload_submit(Offload *offload, OffloadJob *job) {
    job->mail.next = NULL;
    if (offload->newest)
        offload->newest->mail.next = &job->mail;
    else
        offload->oldest = job;
    offload->newest = job;
}

static void on_done_mail(Worker *here, Mail *mail) {
    OffloadJob *job = CONTAINER_OF(mail, OffloadJob, mail);
    job->done(here, job);
}

bool offload_sim_is_empty(const Offload *offload) {
    return offload->oldest == NULL;
}

bool offload_sim_run(Offload *offload) {
    OffloadJob *job = offload->oldest;
    if (job == NULL)
        return false;
    offload->oldest = job->mail.next ? CONTAINER_OF(job->mail.next, OffloadJob, mail) : NULL;
    if (offload->oldest == NULL)
        offload->newest = NULL;
    job->run(job);
    job->mail.arrive = on_done_mail;
    worker_post_now(job->home, &job->mail);
    return true;
}

void offload_stop(Offload *offload) {
    if (offload == NULL)
        return;
    while (offload_sim_run(offload))
        continue;
    mem_free(offload);
}
