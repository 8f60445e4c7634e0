/* Mailbox: the only way one thread hands anything to another.
 *
 * Any thread posts, the owner takes. Mail is taken in the order it was posted, across all senders,
 * so whatever happened before a post is known to the owner when it takes that mail. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct Worker Worker;
typedef struct Mail Mail;

/* First field of every message that crosses threads. */
struct Mail {
    Mail *next;
    void (*arrive)(Worker *here, Mail *mail); /* runs on the owner; takes mail. here is NULL on threads that are no workers */
};

typedef struct Mailbox Mailbox;

/* ERR_IO when no eventfd is to be had. */
MUST_CHECK Status mailbox_open(Mailbox **out_box);
void mailbox_close(Mailbox *box);

/* Any thread. Takes mail. Never blocks, never fails: senders are bounded by their own credit. */
void mailbox_post(Mailbox *box, Mail *mail);

/* Any thread. Posts a whole chain (oldest first, linked by next) at once. */
void mailbox_post_all(Mailbox *box, Mail *oldest, Mail *newest);

/* Owner only. Everything posted so far, oldest first; NULL when empty. One atomic load when empty. */
Mail *mailbox_take(Mailbox *box);

/* Owner only, for threads without a loop: sleeps until there is mail or until_mono_ns (0 = no limit). */
void mailbox_wait(Mailbox *box, uint64_t until_mono_ns);

/* Readable when mail arrived in an empty box; reset by mailbox_take. */
int mailbox_fd(const Mailbox *box);
