#include "io/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "io/clock.h"

enum { CACHE_LINE_BYTES = 64 };

struct Mailbox {
    int wake_fd;
    char pad_before[CACHE_LINE_BYTES]; /* what senders write shares no line with anything else */
    _Atomic(Mail *) newest;            /* a stack; next leads to older mail */
    atomic_bool is_asleep;             /* who turns it off signals wake_fd */
    char pad_after[CACHE_LINE_BYTES];
};

Status mailbox_open(Mailbox **out_box) {
    int fd = eventfd(0, EFD_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    Mailbox *box = mem_zalloc(sizeof *box);
    box->wake_fd = fd;
    atomic_init(&box->newest, NULL);
    atomic_init(&box->is_asleep, false);
    *out_box = box;
    return OK;
}

void mailbox_close(Mailbox *box) {
    if (box == NULL)
        return;
    (void)close(box->wake_fd);
    mem_free(box);
}

void mailbox_post(Mailbox *box, Mail *mail) {
    mailbox_post_reversed(box, mail, mail);
}

void mailbox_post_all(Mailbox *box, Mail *oldest, Mail *newest) {
    newest->next = NULL;
    Mail *reversed = NULL;
    for (Mail *mail = oldest, *next; mail; mail = next) {
        next = mail->next;
        mail->next = reversed;
        reversed = mail;
    }
    ASSERT(reversed == newest);
    mailbox_post_reversed(box, newest, oldest);
}

/* Sequentially consistent on both sides: either the sender sees that the owner sleeps, or the
 * owner, which says so before it looks, sees the mail. */
void mailbox_post_reversed(Mailbox *box, Mail *newest, Mail *oldest) {
    Mail *before = atomic_load_explicit(&box->newest, memory_order_relaxed);
    do {
        oldest->next = before;
    } while (!atomic_compare_exchange_weak(&box->newest, &before, newest));

    if (atomic_load(&box->is_asleep) && atomic_exchange(&box->is_asleep, false))
        mailbox_nudge(box);
}

void mailbox_nudge(Mailbox *box) {
    (void)eventfd_write(box->wake_fd, 1);
}

Mail *mailbox_take(Mailbox *box) {
    if (atomic_load_explicit(&box->newest, memory_order_relaxed) == NULL)
        return NULL;
    Mail *oldest = NULL;
    Mail *newest = atomic_exchange_explicit(&box->newest, NULL, memory_order_acquire);
    for (Mail *mail = newest, *older; mail; mail = older) {
        older = mail->next;
        mail->next = oldest;
        oldest = mail;
    }
    return oldest;
}

bool mailbox_sleep(Mailbox *box) {
    atomic_store(&box->is_asleep, true);
    if (atomic_load(&box->newest) == NULL)
        return true;
    mailbox_awake(box);
    return false;
}

void mailbox_awake(Mailbox *box) {
    atomic_store_explicit(&box->is_asleep, false, memory_order_relaxed);
}

/* Rounded up, so that the wait does not end just before the time. */
static int milliseconds_until(uint64_t until_mono_ns) {
    uint64_t now = clock_mono_ns();
    if (until_mono_ns <= now)
        return 0;
    uint64_t ms = (until_mono_ns - now + NS_PER_MS - 1) / NS_PER_MS;
    return ms < 1000 * 1000 ? (int)ms : 1000 * 1000;
}

void mailbox_wait(Mailbox *box, uint64_t until_mono_ns) {
    if (!mailbox_sleep(box))
        return;

    if (until_mono_ns != 0) {
        struct pollfd poll_fd = {.fd = box->wake_fd, .events = POLLIN};
        (void)poll(&poll_fd, 1, milliseconds_until(until_mono_ns));
        if (atomic_exchange(&box->is_asleep, false))
            return; /* nobody woke us, nothing to reset */
    }
    /* Signalled, or about to be: a sender has turned the flag off. Without a limit, sleeps here. */
    eventfd_t count;
    while (eventfd_read(box->wake_fd, &count) != 0 && errno == EINTR)
        ;
    mailbox_awake(box);
}

int mailbox_fd(const Mailbox *box) {
    return box->wake_fd;
}
