/* Mailbox: the only way one thread hands anything to another.
 *
 * Any thread posts, the owner takes. Mail is taken in the order it was posted, across all senders,
 * so whatever happened before a post is known to the owner when it takes that mail. A post costs a
 * system call only when the owner sleeps. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct Worker Worker;
typedef struct Mail Mail;

/* First field of every message that crosses threads. */
struct Mail {
    Mail *next;
    /* Runs on the owner; takes mail. here is NULL on threads that are no workers. */
    void (*arrive)(Worker *here, Mail *mail);
};

typedef struct Mailbox Mailbox;

/* ERR_IO when no eventfd is to be had. */
MUST_CHECK Status mailbox_open(Mailbox **out_box);
/* NULL-safe. Mail still inside is not freed. */
void mailbox_close(Mailbox *box);

/* Any thread. Takes mail. Never blocks, never fails: senders are bounded by their own credit. */
void mailbox_post(Mailbox *box, Mail *mail);

/* Any thread. Posts a whole chain (oldest first, linked by next) at once. */
void mailbox_post_all(Mailbox *box, Mail *oldest, Mail *newest);

/* The same for a chain linked from the newest to the oldest: as it is kept inside, so cheaper. */
void mailbox_post_reversed(Mailbox *box, Mail *newest, Mail *oldest);

/* Owner only. Everything posted so far, oldest first; NULL when empty. One atomic load when empty.
 */
Mail *mailbox_take(Mailbox *box);

/* Owner only, for threads without a loop: sleeps until there is mail or until_mono_ns (0 = no
 * limit). May return early without mail. */
void mailbox_wait(Mailbox *box, uint64_t until_mono_ns);

/* Owner only, for loops that sleep elsewhere: between mailbox_sleep and mailbox_awake the first
 * post signals mailbox_fd. False when there is mail already: then do not sleep. */
MUST_CHECK bool mailbox_sleep(Mailbox *box);
void mailbox_awake(Mailbox *box);

/* An eventfd that is never reset by mailbox_sleep and mailbox_awake: watch it edge-triggered. */
int mailbox_fd(const Mailbox *box);

/* Any thread: signals mailbox_fd without mail. Only for owners that watch it, not for mailbox_wait.
 */
void mailbox_nudge(Mailbox *box);
