/* SendRing: many sends to as many sockets with one system call, by io_uring. Private to io/.
 *
 * Every send is carried out, as far as its socket takes it at once, before the call returns: what
 * is saved is the way into the kernel and back for each. Where the kernel has no io_uring, or a
 * filter of system calls forbids it, there is none, and send() does the same. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SEND_RING_JOBS_MAX = 256 };

typedef struct SendJob {
    int fd; /* non-blocking */
    const char *bytes;
    size_t len;
    ssize_t sent; /* result: as of send(), or the negative errno; -EINTR = to be tried again */
} SendJob;

typedef struct SendRing SendRing;

/* NULL when there is none to be had. */
SendRing *send_ring_new(void);
/* NULL-safe. */
void send_ring_free(SendRing *ring);

/* count <= SEND_RING_JOBS_MAX; all have their result afterwards. False: the ring is of no use any
 * more. */
bool send_ring_run(SendRing *ring, SendJob *jobs, unsigned count);
