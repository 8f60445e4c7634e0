#include "io/offload.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "io/thread.h"

struct Offload {
    pthread_mutex_t lock;
    pthread_cond_t has_news;
    OffloadJob *oldest, *newest; /* waiting; linked by mail.next */
    bool is_stopping;
    unsigned thread_count;
    Thread *threads[];
};

static OffloadJob *next_of(const OffloadJob *job) {
    return job->mail.next ? CONTAINER_OF(job->mail.next, OffloadJob, mail) : NULL;
}

/* The next job; NULL when it is time to end: stopping, and nothing waits. */
static OffloadJob *take_job(Offload *offload) {
    (void)pthread_mutex_lock(&offload->lock);
    while (offload->oldest == NULL && !offload->is_stopping)
        (void)pthread_cond_wait(&offload->has_news, &offload->lock);
    OffloadJob *job = offload->oldest;
    if (job) {
        offload->oldest = next_of(job);
        if (offload->oldest == NULL)
            offload->newest = NULL;
    }
    (void)pthread_mutex_unlock(&offload->lock);
    return job;
}

static void on_done_mail(Worker *here, Mail *mail) {
    OffloadJob *job = CONTAINER_OF(mail, OffloadJob, mail);
    job->done(here, job);
}

static void thread_run(void *cookie) {
    for (OffloadJob *job; (job = take_job(cookie));) {
        job->run(job);
        job->mail.arrive = on_done_mail;
        worker_post_now(job->home, &job->mail);
    }
}

Status offload_start(unsigned threads, Offload **out_offload) {
    ASSERT(threads >= 1);
    Offload *offload = mem_zalloc(sizeof *offload + threads * sizeof(Thread *));
    (void)pthread_mutex_init(&offload->lock, NULL);
    (void)pthread_cond_init(&offload->has_news, NULL);
    for (unsigned i = 0; i < threads; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "offload-%u", i % 1000);
        if (thread_start(name, thread_run, offload, &offload->threads[i]) != OK) {
            int why = errno;
            offload_stop(offload);
            errno = why;
            return ERR_IO;
        }
        offload->thread_count++;
    }
    *out_offload = offload;
    return OK;
}

void offload_stop(Offload *offload) {
    if (offload == NULL)
        return;
    (void)pthread_mutex_lock(&offload->lock);
    offload->is_stopping = true;
    (void)pthread_cond_broadcast(&offload->has_news);
    (void)pthread_mutex_unlock(&offload->lock);
    for (unsigned i = 0; i < offload->thread_count; i++)
        thread_join(offload->threads[i]);
    (void)pthread_cond_destroy(&offload->has_news);
    (void)pthread_mutex_destroy(&offload->lock);
    mem_free(offload);
}

void offload_submit(Offload *offload, OffloadJob *job) {
    ASSERT(job->home != NULL);
    job->mail.next = NULL;
    (void)pthread_mutex_lock(&offload->lock);
    ASSERT(!offload->is_stopping);
    if (offload->newest)
        offload->newest->mail.next = &job->mail;
    else
        offload->oldest = job;
    offload->newest = job;
    (void)pthread_mutex_unlock(&offload->lock);
    /* Without the lock: or the thread that wakes would go to sleep again for it. */
    (void)pthread_cond_signal(&offload->has_news);
}
