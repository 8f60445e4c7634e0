#include "io/send_ring.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

typedef struct Mapping {
    char *at;
    size_t bytes;
} Mapping;

/* What the kernel writes is read with acquire, what it reads is written with release. */
struct SendRing {
    int fd;
    Mapping rings, entries;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    unsigned *submit_tail, *submit_slots;
    unsigned *done_head, *done_tail;
    unsigned submit_mask, done_mask;
};

static bool map(Mapping *mapping, int fd, size_t bytes, off_t what) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
    if (at == MAP_FAILED)
        return false;
    *mapping = (Mapping){at, bytes};
    return true;
}

static void unmap(Mapping *mapping) {
    if (mapping->at)
        (void)munmap(mapping->at, mapping->bytes);
}

static bool map_all(SendRing *ring, const struct io_uring_params *params) {
    size_t submits = params->sq_off.array + params->sq_entries * sizeof(unsigned);
    size_t dones = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    if (!map(&ring->rings, ring->fd, submits > dones ? submits : dones, IORING_OFF_SQ_RING) ||
        !map(&ring->entries, ring->fd, params->sq_entries * sizeof(struct io_uring_sqe),
             IORING_OFF_SQES))
        return false;
    char *at = ring->rings.at;
    ring->sqes = (struct io_uring_sqe *)(void *)ring->entries.at;
    ring->cqes = (struct io_uring_cqe *)(void *)(at + params->cq_off.cqes);
    ring->submit_tail = (unsigned *)(void *)(at + params->sq_off.tail);
    ring->submit_slots = (unsigned *)(void *)(at + params->sq_off.array);
    ring->done_head = (unsigned *)(void *)(at + params->cq_off.head);
    ring->done_tail = (unsigned *)(void *)(at + params->cq_off.tail);
    ring->submit_mask = params->sq_entries - 1;
    ring->done_mask = params->cq_entries - 1;
    return true;
}

SendRing *send_ring_new(void) {
    /* From 5.7 on: all that is needed is there. One mapping holds both rings since 5.4. */
    const unsigned needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_FAST_POLL;
    struct io_uring_params params = {0};
    int fd = (int)syscall(SYS_io_uring_setup, SEND_RING_JOBS_MAX, &params);
    if (fd < 0)
        return NULL;
    SendRing *ring = mem_zalloc(sizeof *ring);
    ring->fd = fd;
    if ((params.features & needed) == needed && map_all(ring, &params))
        return ring;
    send_ring_free(ring);
    return NULL;
}

void send_ring_free(SendRing *ring) {
    if (ring == NULL)
        return;
    unmap(&ring->rings);
    unmap(&ring->entries);
    (void)close(ring->fd);
    mem_free(ring);
}

static void prepare(SendRing *ring, const SendJob *jobs, unsigned count) {
    unsigned tail = *ring->submit_tail;
    for (unsigned i = 0; i < count; i++, tail++) {
        unsigned slot = tail & ring->submit_mask;
        size_t len = jobs[i].len;
        ring->sqes[slot] = (struct io_uring_sqe){
            .opcode = IORING_OP_SEND,
            .fd = jobs[i].fd,
            .addr = (uintptr_t)jobs[i].bytes,
            .len = len < INT32_MAX ? (uint32_t)len : INT32_MAX,
            .msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT,
            .user_data = i,
        };
        ring->submit_slots[slot] = slot;
    }
    __atomic_store_n(ring->submit_tail, tail, __ATOMIC_RELEASE);
}

static unsigned take_results(SendRing *ring, SendJob *jobs, unsigned count) {
    unsigned head = *ring->done_head, taken = 0;
    for (unsigned tail = __atomic_load_n(ring->done_tail, __ATOMIC_ACQUIRE); head != tail; head++) {
        const struct io_uring_cqe *done = &ring->cqes[head & ring->done_mask];
        ASSERT(done->user_data < count);
        jobs[done->user_data].sent = done->res;
        taken++;
    }
    __atomic_store_n(ring->done_head, head, __ATOMIC_RELEASE);
    return taken;
}

bool send_ring_run(SendRing *ring, SendJob *jobs, unsigned count) {
    ASSERT(count <= SEND_RING_JOBS_MAX);
    for (unsigned i = 0; i < count; i++)
        jobs[i].sent = -EINTR;
    prepare(ring, jobs, count);
    for (unsigned submitted = 0, done = 0; done < count;) {
        long n = syscall(SYS_io_uring_enter, ring->fd, count - submitted, count - done,
                         IORING_ENTER_GETEVENTS, NULL, 0);
        int why = n < 0 ? errno : 0;
        if (n > 0)
            submitted += (unsigned)n;
        done += take_results(ring, jobs, count);
        if (why != 0 && why != EINTR)
            return false;
    }
    return true;
}
